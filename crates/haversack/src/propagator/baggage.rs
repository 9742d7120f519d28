//! W3C Baggage: reading and writing the header `baggage`.
//!
//! It is read as a whole or not at all. Values are percent-encoded; one that decodes to anything but text without
//! control characters makes the header one that nobody meant, and it is dropped.

use std::fmt::Write as _;

use super::listed::{Sent, is_token};
use super::trace::visible;
use super::{BAGGAGE, Dropped, MAX_BAGGAGE_BYTES, MAX_BAGGAGE_MEMBERS, Why};

/// The members of a `baggage`, which may be sent in several headers: keys and decoded values.
pub(super) fn read<'a>(sent: &[&'a [u8]]) -> Result<Vec<(&'a str, String)>, Why> {
    let bytes = sent.iter().map(|value| value.len() + 1).sum::<usize>().saturating_sub(1);
    if bytes > MAX_BAGGAGE_BYTES {
        return Err(Why::TooLong { bytes, limit: MAX_BAGGAGE_BYTES });
    }
    let mut members: Vec<(&str, String)> = Vec::new();
    for value in sent {
        for member in visible(value)?.split(',') {
            if members.len() == MAX_BAGGAGE_MEMBERS {
                let more = sent.iter().flat_map(|value| value.iter()).filter(|byte| **byte == b',').count();
                let members = more + sent.len();
                return Err(Why::TooMany { members, limit: MAX_BAGGAGE_MEMBERS });
            }
            let (key, value) = read_member(member)?;
            if members.iter().any(|(known, _)| *known == key) {
                return Err(Why::RepeatedKey);
            }
            members.push((key, value));
        }
    }
    Ok(members)
}

/// `key=value`, and properties, which nobody here reads.
fn read_member(member: &str) -> Result<(&str, String), Why> {
    let mut parts = member.split(';');
    let (key, value) = parts.next().and_then(|pair| pair.split_once('=')).ok_or(Why::Malformed)?;
    let (key, value) = (blank(key), blank(value));
    if !is_token(key, true) || !value.bytes().all(is_octet) {
        return Err(Why::Malformed);
    }
    for property in parts {
        let (key, value) = property.split_once('=').unwrap_or((property, ""));
        if !is_token(blank(key), true) || !blank(value).bytes().all(is_octet) {
            return Err(Why::Malformed);
        }
    }
    Ok((key, decode(value)?))
}

/// Without the blanks that HTTP allows around it.
fn blank(text: &str) -> &str {
    text.trim_matches([' ', '\t'])
}

/// `baggage-octet` (section 3.3.1.3).
fn is_octet(byte: u8) -> bool {
    matches!(byte, b'!' | b'#'..=b'+' | b'-'..=b':' | b'<'..=b'[' | b']'..=b'~')
}

fn decode(value: &str) -> Result<String, Why> {
    let mut decoded = Vec::with_capacity(value.len());
    let mut rest = value.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            decoded.push(byte);
            continue;
        }
        let digit =
            |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16)).ok_or(Why::Malformed);
        let (high, low) = (digit(rest.next())?, digit(rest.next())?);
        decoded.push(u8::try_from(high << 4 | low).map_err(|_| Why::Malformed)?);
    }
    let decoded = String::from_utf8(decoded).map_err(|_| Why::NotUtf8)?;
    if decoded.chars().any(char::is_control) {
        return Err(Why::ControlCharacter);
    }
    Ok(decoded)
}

/// The header for what is bound of these variables; `None` where nothing is.
pub(super) fn write(listed: &[Sent], left: &mut Vec<Dropped>) -> Option<String> {
    let mut header = String::new();
    let mut members = 0;
    for sent in listed {
        let dropped = |why| Dropped { header: BAGGAGE, variable: Some(sent.name), why };
        let text = match sent.text() {
            Ok(Some(text)) => text,
            Ok(None) => continue,
            Err(why) => {
                left.push(dropped(why));
                continue;
            }
        };
        if text.chars().any(char::is_control) {
            left.push(dropped(Why::ControlCharacter));
            continue;
        }
        if members > 0 {
            header.push(',');
        }
        header.push_str(sent.name);
        header.push('=');
        encode(&text, &mut header);
        members += 1;
    }
    let whole = |why| Dropped { header: BAGGAGE, variable: None, why };
    if header.len() > MAX_BAGGAGE_BYTES {
        left.push(whole(Why::TooLong { bytes: header.len(), limit: MAX_BAGGAGE_BYTES }));
        return None;
    }
    if members > MAX_BAGGAGE_MEMBERS {
        left.push(whole(Why::TooMany { members, limit: MAX_BAGGAGE_MEMBERS }));
        return None;
    }
    (members > 0).then_some(header)
}

fn encode(value: &str, header: &mut String) {
    for byte in value.bytes() {
        if is_octet(byte) && byte != b'%' {
            header.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(header, "%{byte:02X}");
        }
    }
}
