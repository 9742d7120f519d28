//! The lists of a propagator: which variables cross, checked when they are compiled.
//!
//! A list is made by [`outgoing!`](crate::outgoing) or [`incoming!`](crate::incoming) alone. A variable is listed by its
//! static, so it keeps its type: what leaves is its `Display`, what is taken goes through its `FromStr`.

use std::fmt::{self, Write as _};
use std::panic::Location;
use std::str::FromStr;

use super::{MAX_HEADER_BYTES, Why};
use crate::ContextVar;
use crate::boundary::Bindings;
use crate::listing::{distinct, each, same};
use crate::policy::Policy;

/// Lists variables that may leave in an outgoing request, for a [`Propagator`](crate::propagator::Propagator).
///
/// Each must be declared [`outbound`](crate::ContextVar::outbound) and print as text; one that is not does not compile.
///
/// ```
/// use haversack::propagator::Propagator;
/// use haversack::{ContextVar, outgoing};
///
/// static LOCALE: ContextVar<String> = ContextVar::new("locale").outbound("x-locale");
/// static WIRE: Propagator = Propagator::new().headers_out(outgoing![LOCALE]);
/// ```
#[cfg_attr(docsrs, doc(cfg(feature = "propagator")))]
#[macro_export]
macro_rules! outgoing {
    ($($variable:path),* $(,)?) => {{
        static LISTED: &[$crate::propagator::Sent] = &[$($crate::propagator::Sent::new(&$variable)),*];
        LISTED
    }};
}

/// Lists variables that are taken from the headers of a request that arrives, for a
/// [`Propagator`](crate::propagator::Propagator).
///
/// Each must be declared [`outbound`](crate::ContextVar::outbound) and read from text. One that only doors bind does not
/// compile: no header says who is asking.
///
/// ```
/// use haversack::propagator::Propagator;
/// use haversack::{ContextVar, incoming};
///
/// static LOCALE: ContextVar<String> = ContextVar::new("locale").outbound("x-locale");
/// static WIRE: Propagator = Propagator::new().headers_from_anybody(incoming![LOCALE]);
/// ```
#[cfg_attr(docsrs, doc(cfg(feature = "propagator")))]
#[macro_export]
macro_rules! incoming {
    ($($variable:path),* $(,)?) => {{
        static LISTED: &[$crate::propagator::Taken] = &[$($crate::propagator::Taken::new(&$variable)),*];
        LISTED
    }};
}

/// One variable of an [`outgoing!`](crate::outgoing) list.
#[derive(Clone, Copy)]
pub struct Sent {
    pub(crate) name: &'static str,
    pub(super) header: &'static str,
    variable: &'static dyn Text,
}

/// One variable of an [`incoming!`](crate::incoming) list.
#[derive(Clone, Copy)]
pub struct Taken {
    pub(super) name: &'static str,
    pub(super) header: &'static str,
    variable: &'static dyn Readable,
}

impl Sent {
    #[doc(hidden)]
    #[must_use]
    pub const fn new<T: Send + Sync + fmt::Display + 'static, B>(
        variable: &'static ContextVar<T, B>,
    ) -> Self {
        Self { name: variable.name(), header: header_of(variable.policy()), variable }
    }

    /// The value bound in the current frame as the text of a header; `None` where it is unbound.
    pub(super) fn header_text(&self) -> Result<Option<String>, Why> {
        let Some(text) = self.variable.text()? else { return Ok(None) };
        let visible = text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
        if !visible || text.trim_matches(' ') != text {
            return Err(Why::NotText);
        }
        match text.len() {
            0..=MAX_HEADER_BYTES => Ok(Some(text)),
            bytes => Err(Why::TooLong { bytes, limit: MAX_HEADER_BYTES }),
        }
    }

    /// The value bound in the current frame, as it prints.
    pub(crate) fn text(&self) -> Result<Option<String>, Why> {
        self.variable.text()
    }
}

impl Taken {
    #[doc(hidden)]
    #[must_use]
    pub const fn new<T: Send + Sync + FromStr + 'static>(variable: &'static ContextVar<T>) -> Self {
        Self { name: variable.name(), header: header_of(variable.policy()), variable }
    }

    /// Whether the variable's type reads this text.
    pub(super) fn reads(&self, text: &str) -> bool {
        self.variable.reads(text)
    }

    pub(super) fn bind(&self, bindings: Bindings, text: &str, at: &'static Location<'static>) -> Bindings {
        self.variable.bind(bindings, text, at)
    }
}

impl fmt::Debug for Sent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sent").field("name", &self.name).field("header", &self.header).finish()
    }
}

impl fmt::Debug for Taken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Taken").field("name", &self.name).field("header", &self.header).finish()
    }
}

/// A variable whose values print, whatever its type.
trait Text: Sync {
    fn text(&'static self) -> Result<Option<String>, Why>;
}

impl<T: Send + Sync + fmt::Display + 'static, B> Text for ContextVar<T, B> {
    fn text(&'static self) -> Result<Option<String>, Why> {
        let printed = self.peek(|value| {
            let mut text = String::new();
            // Not `to_string`, which panics when a value does not print.
            write!(text, "{value}").map(|()| text).map_err(|_| Why::NotText)
        });
        printed.transpose()
    }
}

/// A variable whose values are read from text, whatever its type.
trait Readable: Sync {
    fn reads(&self, text: &str) -> bool;
    fn bind(&'static self, bindings: Bindings, text: &str, at: &'static Location<'static>) -> Bindings;
}

impl<T: Send + Sync + FromStr + 'static> Readable for ContextVar<T> {
    fn reads(&self, text: &str) -> bool {
        text.parse::<T>().is_ok()
    }

    fn bind(&'static self, bindings: Bindings, text: &str, at: &'static Location<'static>) -> Bindings {
        match text.parse() {
            Ok(value) => bindings.bind_at(self, value, at),
            Err(_) => bindings,
        }
    }
}

#[allow(clippy::panic)] // when the list is compiled
const fn header_of(policy: &Policy) -> &'static str {
    match policy.header() {
        Some(header) => header,
        None => {
            panic!(
                "a variable in this list leaves the process: declare it `.outbound(\"x-header\")`, or take it out"
            )
        }
    }
}

/// Headers that mean something else to somebody on the way, and those of the propagator itself.
const NOT_OURS: &[&str] = &[
    super::TRACEPARENT,
    super::TRACESTATE,
    super::BAGGAGE,
    "authorization",
    "connection",
    "content-length",
    "cookie",
    "host",
    "proxy-authorization",
    "set-cookie",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

pub(super) const fn check_headers(list: &[Sent]) {
    each!(list, header, check_header);
    distinct!(list, header, "two variables of a list have the same header: one would be read as the other");
}

pub(super) const fn check_headers_taken(list: &[Taken]) {
    each!(list, header, check_header);
    distinct!(list, header, "two variables of a list have the same header: one would be read as the other");
}

pub(super) const fn check_keys(list: &[Sent]) {
    each!(list, name, check_key);
    distinct!(list, name, "two variables of a list have the same name: one would be read as the other");
}

pub(super) const fn check_keys_taken(list: &[Taken]) {
    each!(list, name, check_key);
    distinct!(list, name, "two variables of a list have the same name: one would be read as the other");
}

const fn check_key(name: &str) {
    assert!(
        is_token(name, true),
        "a variable that travels as baggage has a name of letters, digits and `-._`, without spaces"
    );
}

const fn check_header(header: &str) {
    assert!(is_token(header, false), "the header of a variable is written in lower case, as a name of HTTP");
    let mut i = 0;
    while i < NOT_OURS.len() {
        assert!(
            !same(header, NOT_OURS[i]),
            "this header means something else on its way: give the variable one of its own, as in `x-locale`"
        );
        i += 1;
    }
}

/// Whether it is a `token` of RFC 9110, section 5.6.2.
pub(super) const fn is_token(text: &str, upper_case: bool) -> bool {
    let bytes = text.as_bytes();
    let mut i = 0;
    while i < bytes.len() {
        let fits = match bytes[i] {
            b'a'..=b'z' | b'0'..=b'9' => true,
            b'A'..=b'Z' => upper_case,
            b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`'
            | b'|' | b'~' => true,
            _ => false,
        };
        if !fits {
            return false;
        }
        i += 1;
    }
    !bytes.is_empty()
}
