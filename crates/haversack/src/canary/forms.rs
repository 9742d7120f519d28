//! What bytes may stand for: every reading of them under the encodings in which values leave a program by accident.
//!
//! The haystack is decoded and not the needle encoded, so it does not matter how a writer escapes, at which of three
//! alignments a value stands in a base64 text, or how many encodings lie over one another. A decoder keeps what it does
//! not understand, so that a value beside its encoded neighbours is found too.
//!
//! Compressed and encrypted bytes are not looked into.

use std::fmt;

/// How many encodings may lie over one another.
const DEEPEST: usize = 3;

/// A run of letters that is shorter is not taken for an encoded text.
const SHORTEST: usize = 8;

/// So many plain letters make a run of pairs of bytes a text.
const PLAIN: usize = 4;

/// A way to write bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[non_exhaustive]
pub enum Encoding {
    /// Escapes with a backslash, as in JSON, in Rust's `Debug` and in most languages.
    Json,
    /// `%41`, as in URLs and forms; a plus may be a space.
    Percent,
    /// Base64 in either alphabet, with or without padding, also broken into lines.
    Base64,
    /// Two hexadecimal digits a byte.
    Hex,
    /// Decimal numbers in a list, as Rust's `Debug` prints bytes.
    Numbers,
    /// UTF-16 of either byte order.
    Utf16,
}

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Json => "JSON",
            Self::Percent => "percent signs",
            Self::Base64 => "base64",
            Self::Hex => "hex",
            Self::Numbers => "a list of numbers",
            Self::Utf16 => "UTF-16",
        })
    }
}

/// The encodings that were taken off, the outermost first. None means that the bytes stand as they are.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Form(Vec<Encoding>);

impl Form {
    /// The encodings, the outermost first.
    #[must_use]
    pub fn encodings(&self) -> &[Encoding] {
        &self.0
    }
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((outermost, inner)) = self.0.split_first() else { return f.write_str("it is") };
        write!(f, "{outermost}")?;
        inner.iter().try_for_each(|encoding| write!(f, " of {encoding}"))
    }
}

/// Calls `look` with `bytes` as they are, and with each of their other readings.
///
/// ```
/// use haversack::canary::{Encoding, forms};
///
/// let mut read_as = Vec::new();
/// forms(b"Basic YWxhZGRpbjpvcGVuc2VzYW1l", &mut |form, bytes| {
///     if bytes.windows(10).any(|window| window == b"opensesame") {
///         read_as.push(form.encodings().to_vec());
///     }
/// });
/// assert_eq!(read_as, [[Encoding::Base64]]);
/// ```
///
/// A few times the memory of `bytes` is used, and none of it is kept.
pub fn forms(bytes: &[u8], look: &mut dyn FnMut(&Form, &[u8])) {
    descend(&mut Form::default(), bytes, look);
}

fn descend(form: &mut Form, bytes: &[u8], look: &mut dyn FnMut(&Form, &[u8])) {
    look(form, bytes);
    if form.0.len() == DEEPEST {
        return;
    }
    let mut inside = |encoding, decoded: Vec<u8>| {
        if decoded.len() >= 4 {
            form.0.push(encoding);
            descend(form, &decoded, look);
            form.0.pop();
        }
    };
    if bytes.contains(&b'\\') {
        inside(Encoding::Json, unescaped(bytes));
    }
    if let Some(decoded) = percent(bytes, false) {
        inside(Encoding::Percent, decoded);
    }
    if bytes.contains(&b'+') {
        inside(Encoding::Percent, percent(bytes, true).unwrap_or_default());
    }
    for decoded in base64(bytes) {
        inside(Encoding::Base64, decoded);
    }
    for decoded in hex(bytes) {
        inside(Encoding::Hex, decoded);
    }
    inside(Encoding::Numbers, numbers(bytes));
    // A text of this encoding has a zero byte for each of its plain letters.
    if bytes.contains(&0) {
        for skipped in 0..2 {
            inside(Encoding::Utf16, utf16(bytes, skipped, u16::from_le_bytes));
            inside(Encoding::Utf16, utf16(bytes, skipped, u16::from_be_bytes));
        }
    }
}

/// Takes escapes with a backslash out. What follows a backslash and is no escape stays.
fn unescaped(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    // The first half of a pair of escapes that stand for one character.
    let mut high = None;
    let mut rest = bytes;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        let Some((&kind, after)) = rest.split_first() else { break };
        rest = after;
        match kind {
            b'n' => out.push(b'\n'),
            b'r' => out.push(b'\r'),
            b't' => out.push(b'\t'),
            b'b' => out.push(8),
            b'f' => out.push(12),
            b'0' => out.push(0),
            b'x' => match number(rest, 2) {
                Some(value) => {
                    out.push(u8::try_from(value).unwrap_or_default());
                    rest = &rest[2..];
                }
                None => out.extend(b"\\x"),
            },
            b'u' => {
                let Some((value, length)) = code_point(rest) else {
                    out.extend(b"\\u");
                    continue;
                };
                rest = &rest[length..];
                let value = match (high.take(), value) {
                    (_, 0xd800..=0xdbff) => {
                        high = Some(value);
                        continue;
                    }
                    (Some(high), 0xdc00..=0xdfff) => 0x10000 + ((high - 0xd800) << 10) + (value - 0xdc00),
                    (_, value) => value,
                };
                let character = char::from_u32(value).unwrap_or(char::REPLACEMENT_CHARACTER);
                out.extend(character.encode_utf8(&mut [0; 4]).bytes());
            }
            other => out.push(other),
        }
    }
    out
}

/// What follows `\u`: four digits, or any number of them in braces. With the bytes it takes.
fn code_point(rest: &[u8]) -> Option<(u32, usize)> {
    if let Some(braced) = rest.strip_prefix(b"{") {
        let digits = braced.iter().take(6).take_while(|byte| byte.is_ascii_hexdigit()).count();
        let closed = braced.get(digits) == Some(&b'}');
        return closed.then(|| number(braced, digits)).flatten().map(|value| (value, digits + 2));
    }
    number(rest, 4).map(|value| (value, 4))
}

/// So many hexadecimal digits.
fn number(bytes: &[u8], digits: usize) -> Option<u32> {
    let text = std::str::from_utf8(bytes.get(..digits)?).ok()?;
    // `from_str_radix` would take a sign.
    let all = text.bytes().all(|byte| byte.is_ascii_hexdigit());
    all.then(|| u32::from_str_radix(text, 16).ok()).flatten()
}

/// Takes percent escapes out; `None` where there are none.
fn percent(bytes: &[u8], plus_is_space: bool) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let (mut at, mut any) = (0, plus_is_space);
    while let Some(&byte) = bytes.get(at) {
        at += 1;
        match (byte, bytes.get(at..).and_then(|rest| number(rest, 2))) {
            (b'%', Some(value)) => {
                out.push(u8::try_from(value).unwrap_or_default());
                at += 2;
                any = true;
            }
            (b'+', _) if plus_is_space => out.push(b' '),
            _ => out.push(byte),
        }
    }
    any.then_some(out)
}

/// Each run of at least [`SHORTEST`] bytes that `belongs` takes, without the line breaks in it.
fn runs(bytes: &[u8], belongs: impl Fn(u8) -> bool, mut each: impl FnMut(&[u8])) {
    let mut run = Vec::new();
    for &byte in bytes {
        if belongs(byte) {
            run.push(byte);
        } else if !matches!(byte, b'\n' | b'\r') {
            if run.len() >= SHORTEST {
                each(&run);
            }
            run.clear();
        }
    }
    if run.len() >= SHORTEST {
        each(&run);
    }
}

/// Everything that may be base64, read from each of the first four letters of each run, with a line break between
/// runs: a word that no separator ends may stand before it.
fn base64(bytes: &[u8]) -> [Vec<u8>; 4] {
    let mut decoded: [Vec<u8>; 4] = Default::default();
    runs(
        bytes,
        |byte| six_bits(byte).is_some(),
        |run| {
            for (skipped, out) in decoded.iter_mut().enumerate() {
                let (mut bits, mut held) = (0_u32, 0);
                for value in run[skipped..].iter().filter_map(|letter| six_bits(*letter)) {
                    bits = bits << 6 | value;
                    held += 6;
                    if held >= 8 {
                        held -= 8;
                        out.push((bits >> held & 0xff) as u8);
                    }
                }
                out.push(b'\n');
            }
        },
    );
    decoded
}

fn six_bits(letter: u8) -> Option<u32> {
    let value = match letter {
        b'A'..=b'Z' => letter - b'A',
        b'a'..=b'z' => letter - b'a' + 26,
        b'0'..=b'9' => letter - b'0' + 52,
        b'+' | b'-' => 62,
        b'/' | b'_' => 63,
        _ => return None,
    };
    Some(u32::from(value))
}

/// Everything that may be hexadecimal digits, in pairs that begin at the first or the second of each run.
fn hex(bytes: &[u8]) -> [Vec<u8>; 2] {
    let mut decoded: [Vec<u8>; 2] = Default::default();
    runs(
        bytes,
        |byte| byte.is_ascii_hexdigit(),
        |run| {
            for (skipped, out) in decoded.iter_mut().enumerate() {
                let pairs = run[skipped..].chunks_exact(2).filter_map(|pair| number(pair, 2));
                out.extend(pairs.map(|value| value as u8));
                out.push(b'\n');
            }
        },
    );
    decoded
}

/// Everything that may be a list of bytes: numbers below 256 with commas between them.
fn numbers(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let (mut value, mut digits): (u32, u32) = (0, 0);
    for &byte in bytes {
        match byte {
            b'0'..=b'9' if digits < 3 => {
                value = value * 10 + u32::from(byte - b'0');
                digits += 1;
            }
            b',' if digits > 0 && value < 256 => {
                out.push(value as u8);
                (value, digits) = (0, 0);
            }
            b' ' | b'\n' | b'\r' | b'\t' if digits == 0 => {}
            // The list ends here, with this number or before it.
            _ => {
                if digits > 0 && value < 256 {
                    out.push(value as u8);
                }
                if out.last().is_some_and(|last| *last != b'\n') {
                    out.push(b'\n');
                }
                (value, digits) = (0, 0);
            }
        }
    }
    if digits > 0 && value < 256 {
        out.push(value as u8);
    }
    out
}

/// Every text that may be in pairs of bytes, with a line break between two. Most bytes are some character, so a run
/// counts only where several are plain letters.
fn utf16(bytes: &[u8], skipped: usize, unit: fn([u8; 2]) -> u16) -> Vec<u8> {
    let units = bytes[skipped..].chunks_exact(2).map(|pair| unit([pair[0], pair[1]]));
    let (mut out, mut run, mut plain) = (String::new(), String::new(), 0);
    let end = [Err(())];
    let read = char::decode_utf16(units).map(|read| read.map_err(drop)).chain(end);
    for character in read {
        match character {
            Ok(character) if !character.is_control() || matches!(character, '\n' | '\r' | '\t') => {
                run.push(character);
                plain += usize::from(character.is_ascii_graphic());
            }
            _ => {
                if plain >= PLAIN {
                    out += &run;
                    out.push('\n');
                }
                run.clear();
                plain = 0;
            }
        }
    }
    out.into_bytes()
}
