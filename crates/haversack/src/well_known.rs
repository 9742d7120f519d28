//! The variables that every part of a service agrees on.
//!
//! Tenant, principal and session are bound at doors only: no code on the way can change who the work is for.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::{AtDoor, ContextVar};

/// Whose data the work may touch.
pub static TENANT_ID: ContextVar<TenantId, AtDoor> = ContextVar::new("tenant").portable(1).shown().at_door();

/// Who asked, within the tenant.
pub static PRINCIPAL: ContextVar<Principal, AtDoor> =
    ContextVar::new("principal").portable(1).shown().at_door();

/// The conversation that the work belongs to, within the tenant.
pub static SESSION_ID: ContextVar<SessionId, AtDoor> =
    ContextVar::new("session").portable(1).shown().at_door();

/// The request that started the work, for logs and support.
pub static REQUEST_ID: ContextVar<RequestId> = ContextVar::new("request").portable(1).shown();

/// The trace that the work hangs in, and the piece of work in it that causes whatever is begun now.
pub static TRACE_CONTEXT: ContextVar<TraceContext> =
    ContextVar::new("trace").portable(1).outbound("traceparent").shown();

/// When the answer is no longer wanted.
pub static DEADLINE: ContextVar<Deadline> = ContextVar::new("deadline").portable(1);

/// Whether the caller has gone away.
#[cfg(feature = "tokio")]
pub static CANCEL: ContextVar<Cancel> = ContextVar::new("cancel");

/// The longest id, in bytes.
pub const MAX_ID_BYTES: usize = 4096;

/// An id that is empty or longer than [`MAX_ID_BYTES`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct InvalidId {
    what: &'static str,
    bytes: usize,
}

impl fmt::Display for InvalidId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, bytes } = self;
        match bytes {
            0 => write!(f, "a {what} cannot be empty"),
            _ => write!(f, "a {what} has at most {MAX_ID_BYTES} bytes, this one has {bytes}"),
        }
    }
}

impl std::error::Error for InvalidId {}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        ///
        /// An opaque key: equal or not, never a prefix or a pattern. Any text of 1 to 4096 bytes.
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// Takes a text as it is.
            ///
            /// # Errors
            /// [`InvalidId`] when it is empty or longer than [`MAX_ID_BYTES`].
            pub fn new(text: impl Into<Arc<str>>) -> Result<Self, InvalidId> {
                let text = text.into();
                match text.len() {
                    1..=MAX_ID_BYTES => Ok(Self(text)),
                    bytes => Err(InvalidId { what: $what, bytes }),
                }
            }

            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;

            fn try_from(text: String) -> Result<Self, InvalidId> {
                Self::new(text)
            }
        }

        impl std::str::FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.as_str().to_owned()
            }
        }
    };
}

id!(
    /// A tenant.
    TenantId,
    "tenant id"
);
id!(
    /// A person or a program that asks, within a tenant.
    Principal,
    "principal"
);
id!(
    /// A conversation, within a tenant.
    SessionId,
    "session id"
);
id!(
    /// A request.
    RequestId,
    "request id"
);

/// A W3C `traceparent`: 55 characters of version, trace id, parent id and flags.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TraceContext(Arc<str>);

/// A text that is not a `traceparent` of version 00.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct InvalidTraceContext;

impl fmt::Display for InvalidTraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "not a W3C traceparent of version 00: expected 00-<32 hex>-<16 hex>-<2 hex>, ids not zero",
        )
    }
}

impl std::error::Error for InvalidTraceContext {}

impl TraceContext {
    /// Reads a header value (W3C Trace Context, section 3.2).
    ///
    /// # Errors
    /// [`InvalidTraceContext`] when it is not well-formed or an id is all zeros.
    pub fn parse(header: &str) -> Result<Self, InvalidTraceContext> {
        let parts: Vec<&str> = header.split('-').collect();
        let [version, trace, parent, flags] = parts[..] else { return Err(InvalidTraceContext) };
        let hex = |part: &str, digits: usize| {
            part.len() == digits && part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        };
        let id = |part: &str, digits: usize| hex(part, digits) && part.bytes().any(|b| b != b'0');
        if version == "00" && id(trace, 32) && id(parent, 16) && hex(flags, 2) {
            Ok(Self(header.into()))
        } else {
            Err(InvalidTraceContext)
        }
    }

    /// From ids that are well-formed, which the caller made or checked.
    #[cfg(feature = "propagator")]
    pub(crate) fn from_parts(trace: &str, parent: &str, flags: u8) -> Self {
        Self(format!("00-{trace}-{parent}-{flags:02x}").into())
    }

    /// The header value.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The trace id: 32 hexadecimal digits.
    #[must_use]
    pub fn trace_id(&self) -> &str {
        &self.0[3..35]
    }

    /// The span id of the caller, or of the cause: 16 hexadecimal digits.
    #[must_use]
    pub fn parent_id(&self) -> &str {
        &self.0[36..52]
    }

    /// The flags: bit 0 says that the caller records the trace.
    #[must_use]
    pub fn flags(&self) -> u8 {
        u8::from_str_radix(&self.0[53..], 16).unwrap_or_default()
    }
}

impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::str::FromStr for TraceContext {
    type Err = InvalidTraceContext;

    fn from_str(text: &str) -> Result<Self, InvalidTraceContext> {
        Self::parse(text)
    }
}

impl TryFrom<String> for TraceContext {
    type Error = InvalidTraceContext;

    fn try_from(text: String) -> Result<Self, InvalidTraceContext> {
        Self::parse(&text)
    }
}

impl From<TraceContext> for String {
    fn from(trace: TraceContext) -> Self {
        trace.as_str().to_owned()
    }
}

/// A moment after which the answer is no longer wanted.
///
/// In the process it is a moment of the monotonic clock. On its way into another it is a time of the wall clock, in
/// milliseconds since the epoch, so time spent on the way counts; a clock that is wrong there is wrong by as much.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(from = "u64", into = "u64")]
pub struct Deadline(Instant);

impl Deadline {
    /// At this moment.
    #[must_use]
    pub const fn at(moment: Instant) -> Self {
        Self(moment)
    }

    /// So long from now. A span too long for the clock counts as thirty years.
    #[must_use]
    pub fn after(span: Duration) -> Self {
        const LONG: Duration = Duration::from_secs(30 * 365 * 24 * 3600);
        let now = Instant::now();
        Self(now.checked_add(span).unwrap_or_else(|| now + LONG))
    }

    /// At this time of the wall clock, in milliseconds since the epoch.
    #[must_use]
    pub fn at_unix_millis(millis: u64) -> Self {
        let now = wall_clock_millis();
        match millis.checked_sub(now) {
            Some(ahead) => Self::after(Duration::from_millis(ahead)),
            None => {
                let passed = Duration::from_millis(now - millis);
                let moment = Instant::now();
                Self(moment.checked_sub(passed).unwrap_or(moment))
            }
        }
    }

    /// This moment as a time of the wall clock, in milliseconds since the epoch.
    #[must_use]
    pub fn unix_millis(self) -> u64 {
        let (now, moment) = (wall_clock_millis(), Instant::now());
        let millis = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        match self.0.checked_duration_since(moment) {
            Some(ahead) => now.saturating_add(millis(ahead)),
            None => now.saturating_sub(millis(moment.duration_since(self.0))),
        }
    }

    /// The moment itself.
    #[must_use]
    pub const fn instant(self) -> Instant {
        self.0
    }

    /// How long is left; zero when it has passed.
    #[must_use]
    pub fn remaining(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }

    /// Whether it has passed.
    #[must_use]
    pub fn expired(self) -> bool {
        self.remaining().is_zero()
    }
}

impl From<u64> for Deadline {
    fn from(millis: u64) -> Self {
        Self::at_unix_millis(millis)
    }
}

impl From<Deadline> for u64 {
    fn from(deadline: Deadline) -> Self {
        deadline.unix_millis()
    }
}

fn wall_clock_millis() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// A request to stop, seen by everything that works for one caller.
#[cfg(feature = "tokio")]
#[derive(Clone, Debug, Default)]
pub struct Cancel(tokio_util::sync::CancellationToken);

#[cfg(feature = "tokio")]
impl Cancel {
    /// Not cancelled yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks everything that holds this, or a child of it, to stop. It cannot be taken back.
    pub fn cancel(&self) {
        self.0.cancel();
    }

    /// Whether stopping was asked for.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.is_cancelled()
    }

    /// Waits until stopping is asked for. Cancellation loses nothing.
    pub async fn cancelled(&self) {
        self.0.cancelled().await;
    }

    /// One that is cancelled with this one, and can be cancelled alone.
    #[must_use]
    pub fn child(&self) -> Self {
        Self(self.0.child_token())
    }
}
