//! The trace on the wire: reading a `traceparent` and a `tracestate`, and making the ids of a new trace and of a child.
//!
//! Reading follows W3C Trace Context strictly, because what is malformed there is somebody's mistake or somebody's
//! attempt. A newer version than ours is read as the standard asks: by its first four parts.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{MAX_TRACESTATE_BYTES, MAX_TRACESTATE_MEMBERS, Why};
use crate::well_known::TraceContext;

/// No ids could be made: the system gives no random bits.
#[derive(Clone, Copy, Debug)]
pub struct NoTrace(getrandom::Error);

impl fmt::Display for NoTrace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the system gives no random bits for a trace: {}", self.0)
    }
}

impl std::error::Error for NoTrace {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

/// A new trace and its first span, sampled.
///
/// # Errors
/// [`NoTrace`].
///
/// ```
/// let trace = haversack::propagator::mint()?;
/// let next = haversack::propagator::child(&trace)?;
/// assert_eq!(next.trace_id(), trace.trace_id());
/// assert_ne!(next.parent_id(), trace.parent_id());
/// # Ok::<(), haversack::propagator::NoTrace>(())
/// ```
pub fn mint() -> Result<TraceContext, NoTrace> {
    Ok(TraceContext::from_parts(&id::<16>()?, &id::<8>()?, SAMPLED))
}

/// A new span in the same trace, with the flags of `of` that this version knows.
///
/// # Errors
/// [`NoTrace`].
pub fn child(of: &TraceContext) -> Result<TraceContext, NoTrace> {
    Ok(TraceContext::from_parts(of.trace_id(), &id::<8>()?, of.flags() & KNOWN_FLAGS))
}

const SAMPLED: u8 = 1;
/// `sampled`, and `random` of level 2.
const KNOWN_FLAGS: u8 = 3;

/// Random digits, not all of them zero.
fn id<const N: usize>() -> Result<String, NoTrace> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(NoTrace)?;
    if bytes.iter().all(|byte| *byte == 0) {
        bytes[0] = 1;
    }
    Ok(bytes.iter().fold(String::with_capacity(2 * N), |mut text, byte| {
        text.push(HEX[usize::from(byte >> 4)]);
        text.push(HEX[usize::from(byte & 15)]);
        text
    }))
}

const HEX: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];

/// A `traceparent` as somebody sent it (section 3.2).
pub(super) fn parent(sent: &[u8]) -> Result<TraceContext, Why> {
    const LONGEST: usize = 512;
    if sent.len() > LONGEST {
        return Err(Why::TooLong { bytes: sent.len(), limit: LONGEST });
    }
    let text = visible(sent)?;
    let (Some(known), Some(version)) = (text.get(..55), text.get(..2)) else { return Err(Why::Malformed) };
    let more = &text[55..];
    match version {
        "ff" => return Err(Why::Version),
        "00" if !more.is_empty() => return Err(Why::Malformed),
        _ if !more.is_empty() && !more.starts_with('-') => return Err(Why::Malformed),
        _ => {}
    }
    let lower = |part: &str| part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let parts = (&known[2..3], &known[3..35], &known[35..36], &known[36..52], &known[52..53], &known[53..]);
    let ("-", trace, "-", span, "-", flags) = parts else { return Err(Why::Malformed) };
    if ![version, trace, span, flags].into_iter().all(lower) {
        return Err(Why::Malformed);
    }
    if [trace, span].into_iter().any(|id| id.bytes().all(|byte| byte == b'0')) {
        return Err(Why::ZeroId);
    }
    let flags = u8::from_str_radix(flags, 16).map_err(|_| Why::Malformed)?;
    Ok(TraceContext::from_parts(trace, span, if version == "00" { flags } else { flags & KNOWN_FLAGS }))
}

/// The text of a header, if it is visible ASCII, spaces and tabs.
pub(super) fn visible(sent: &[u8]) -> Result<&str, Why> {
    if sent.iter().all(|byte| matches!(byte, b'\t' | b' '..=b'~')) {
        std::str::from_utf8(sent).map_err(|_| Why::NotText)
    } else {
        Err(Why::NotText)
    }
}

/// A W3C `tracestate`: what other systems noted about a trace. At most 32 members and 512 bytes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TraceState(Arc<str>);

/// A text that is no `tracestate`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct InvalidTraceState(Why);

impl InvalidTraceState {
    /// What is wrong with it.
    #[must_use]
    pub fn why(self) -> Why {
        self.0
    }
}

impl fmt::Display for InvalidTraceState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not a W3C tracestate: {}", self.0)
    }
}

impl std::error::Error for InvalidTraceState {}

impl TraceState {
    /// Reads a header value (W3C Trace Context, section 3.3).
    ///
    /// # Errors
    /// [`InvalidTraceState`] when it is not well-formed, names a key twice, or is over its limits.
    pub fn parse(header: &str) -> Result<Self, InvalidTraceState> {
        state(&[header.as_bytes()]).map_err(InvalidTraceState)
    }

    /// The header value.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TraceState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for TraceState {
    type Error = InvalidTraceState;

    fn try_from(text: String) -> Result<Self, InvalidTraceState> {
        Self::parse(&text)
    }
}

impl From<TraceState> for String {
    fn from(state: TraceState) -> Self {
        state.as_str().to_owned()
    }
}

/// A `tracestate`, which may be sent in several headers.
pub(super) fn state(sent: &[&[u8]]) -> Result<TraceState, Why> {
    let bytes = sent.iter().map(|value| value.len() + 1).sum::<usize>().saturating_sub(1);
    if bytes > MAX_TRACESTATE_BYTES {
        return Err(Why::TooLong { bytes, limit: MAX_TRACESTATE_BYTES });
    }
    let mut members: Vec<(&str, &str)> = Vec::new();
    for value in sent {
        for member in visible(value)?.split(',') {
            let member = member.trim_matches([' ', '\t']);
            if member.is_empty() {
                continue; // the standard allows it
            }
            let (key, value) = member.split_once('=').ok_or(Why::Malformed)?;
            if !is_key(key) || !is_value(value) {
                return Err(Why::Malformed);
            }
            if members.iter().any(|(known, _)| *known == key) {
                return Err(Why::RepeatedKey);
            }
            members.push((key, value));
        }
    }
    match members.len() {
        0 => Err(Why::Malformed),
        1..=MAX_TRACESTATE_MEMBERS => {
            let members: Vec<String> = members.iter().map(|(key, value)| format!("{key}={value}")).collect();
            Ok(TraceState(members.join(",").into()))
        }
        members => Err(Why::TooMany { members, limit: MAX_TRACESTATE_MEMBERS }),
    }
}

/// `simple-key` or `tenant@system` (section 3.3.1.3.1).
fn is_key(key: &str) -> bool {
    let of = |part: &str, longest: usize, digit_first: bool| {
        let first = part
            .bytes()
            .next()
            .is_some_and(|byte| byte.is_ascii_lowercase() || digit_first && byte.is_ascii_digit());
        let rest = |byte: u8| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'-' | b'*' | b'/')
        };
        first && part.len() <= longest && part.bytes().all(rest)
    };
    match key.split_once('@') {
        Some((tenant, system)) => of(tenant, 241, true) && of(system, 14, false),
        None => of(key, 256, false),
    }
}

/// Printable ASCII without `,` and `=`, not ending in a space (section 3.3.1.3.2).
fn is_value(value: &str) -> bool {
    let fits = |byte: u8| matches!(byte, b' '..=b'~') && byte != b',' && byte != b'=';
    (1..=256).contains(&value.len()) && value.bytes().all(fits) && !value.ends_with(' ')
}
