//! Propagation: what of a context crosses HTTP headers, out of the process and into it.
//!
//! A [`Propagator`] is a static that a person can review: which variables leave in a header of their own or as baggage,
//! which are taken from whom. The trace (W3C Trace Context, W3C Baggage) is always part of it. Clients call
//! [`inject`](Propagator::inject) before a request leaves, doors call [`extract`](Propagator::extract) when one arrives
//! and bind what the [`Arrival`] holds.
//!
//! What arrives is hostile until it is shown to be well-formed: a header that is malformed, repeated or over its limit
//! is dropped as a whole, with a typed reason ([`Dropped`]), and never taken in part. Who sends it decides what it is
//! worth: an outside caller gets a new trace with a link to theirs, only a [`Caller::Trusted`] one continues a trace.
//!
//! ```
//! use std::collections::BTreeMap;
//!
//! use haversack::propagator::{Caller, Propagator};
//! use haversack::well_known::TRACE_CONTEXT;
//! use haversack::{Boundary, Context, ContextVar, incoming, outgoing};
//!
//! static TIER: ContextVar<String> = ContextVar::new("tier").outbound("x-tier");
//! static WIRE: Propagator = Propagator::new().baggage_out(outgoing![TIER]).baggage_in(incoming![TIER]);
//! static HTTP: Boundary = Boundary::new("http");
//!
//! // Our client, inside a request:
//! let mut headers = BTreeMap::new();
//! let trace = haversack::propagator::mint()?;
//! let here = Context::empty().bind(&TRACE_CONTEXT, trace.clone()).bind(&TIER, "gold & more".to_owned());
//! assert!(here.run(|| WIRE.inject(&mut headers)).is_empty(), "nothing was left behind");
//! assert_eq!(headers["baggage"], "tier=gold%20&%20more");
//!
//! // A server of ours, which trusts it:
//! let arrival = WIRE.extract(&headers, Caller::Trusted)?;
//! let visit = HTTP.enter(|bindings| arrival.bind(bindings))?;
//! visit.run(|| {
//!     assert_eq!(TRACE_CONTEXT.get().unwrap().trace_id(), trace.trace_id());
//!     assert_eq!(TIER.get().unwrap(), "gold & more");
//! });
//!
//! // A server of somebody else's, which does not:
//! let arrival = WIRE.extract(&headers, Caller::Outside)?;
//! assert_ne!(arrival.trace().trace_id(), trace.trace_id());
//! assert_eq!(arrival.link().map(|link| link.as_str()), Some(trace.as_str()));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod arrival;
mod baggage;
mod carrier;
mod listed;
mod trace;

pub use arrival::{Arrival, Caller, Dropped, Why};
pub use carrier::{Extract, Inject};
pub use listed::{Sent, Taken};
pub use trace::{InvalidTraceState, NoTrace, TraceState, child, mint};

use crate::ContextVar;
use crate::well_known::{TRACE_CONTEXT, TraceContext};
use listed::{check_headers, check_keys};

/// The outside caller's trace that ours was begun for. It is not ours, so nothing hangs in it.
pub static TRACE_LINK: ContextVar<TraceContext> = ContextVar::new("link").portable(1).shown();

/// What other systems noted about the trace that is continued here. Unbound in a trace of our own.
pub static TRACE_STATE: ContextVar<TraceState> =
    ContextVar::new("tracestate").portable(1).outbound(TRACESTATE);

/// Longest `baggage`, in bytes, all headers of that name together (W3C Baggage, section 3.3.2).
pub const MAX_BAGGAGE_BYTES: usize = 8192;
/// Most members of a `baggage`.
pub const MAX_BAGGAGE_MEMBERS: usize = 180;
/// Longest `tracestate`, in bytes (W3C Trace Context, section 3.3.1.5).
pub const MAX_TRACESTATE_BYTES: usize = 512;
/// Most members of a `tracestate`.
pub const MAX_TRACESTATE_MEMBERS: usize = 32;
/// Longest value of a variable's own header, in bytes.
pub const MAX_HEADER_BYTES: usize = 8192;

const TRACEPARENT: &str = "traceparent";
const TRACESTATE: &str = "tracestate";
const BAGGAGE: &str = "baggage";

/// What crosses headers. Made once, as a `static`.
///
/// Lists are made with [`outgoing!`](crate::outgoing) and [`incoming!`](crate::incoming). Every listed variable declares
/// [`outbound`](ContextVar::outbound), so a secret and a confined variable cannot be listed; a variable that only doors
/// bind cannot be listed as incoming, so no header says who is asking.
#[derive(Clone, Copy, Debug)]
pub struct Propagator {
    headers_out: &'static [Sent],
    baggage_out: &'static [Sent],
    headers_in: &'static [Taken],
    baggage_in: &'static [Taken],
    headers_from_anybody: &'static [Taken],
    baggage_from_anybody: &'static [Taken],
}

impl Propagator {
    /// The trace and nothing else.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            headers_out: &[],
            baggage_out: &[],
            headers_in: &[],
            baggage_in: &[],
            headers_from_anybody: &[],
            baggage_from_anybody: &[],
        }
    }

    /// Variables that leave, where they are bound, each in the header that its declaration names.
    ///
    /// # Panics
    /// When two have one header, or one has a header that is not its own to set. In a `static` that does not compile.
    #[must_use]
    pub const fn headers_out(mut self, list: &'static [Sent]) -> Self {
        check_headers(list);
        self.headers_out = list;
        self
    }

    /// Variables that leave, where they are bound, as members of `baggage`, under their names. What is in `baggage`
    /// passes through every system behind the one that is called.
    ///
    /// # Panics
    /// When two have one name, or a name is no key of baggage. In a `static` that does not compile.
    #[must_use]
    pub const fn baggage_out(mut self, list: &'static [Sent]) -> Self {
        check_keys(list);
        self.baggage_out = list;
        self
    }

    /// Variables that are taken from the headers of trusted callers.
    ///
    /// # Panics
    /// As [`headers_out`](Self::headers_out).
    #[must_use]
    pub const fn headers_in(mut self, list: &'static [Taken]) -> Self {
        listed::check_headers_taken(list);
        self.headers_in = list;
        self
    }

    /// Variables that are taken from the `baggage` of trusted callers.
    ///
    /// # Panics
    /// As [`baggage_out`](Self::baggage_out).
    #[must_use]
    pub const fn baggage_in(mut self, list: &'static [Taken]) -> Self {
        listed::check_keys_taken(list);
        self.baggage_in = list;
        self
    }

    /// Variables that are taken from the headers of any caller: wishes, such as a language, and never facts.
    ///
    /// # Panics
    /// As [`headers_out`](Self::headers_out).
    #[must_use]
    pub const fn headers_from_anybody(mut self, list: &'static [Taken]) -> Self {
        listed::check_headers_taken(list);
        self.headers_from_anybody = list;
        self
    }

    /// Variables that are taken from the `baggage` of any caller.
    ///
    /// # Panics
    /// As [`baggage_out`](Self::baggage_out).
    #[must_use]
    pub const fn baggage_from_anybody(mut self, list: &'static [Taken]) -> Self {
        listed::check_keys_taken(list);
        self.baggage_from_anybody = list;
        self
    }

    /// Writes what the current context binds of the listed variables, and its trace, into the headers of an outgoing
    /// request. The names of this propagator are its own: what the carrier holds under them is replaced, and removed
    /// where nothing is bound. Answers what could not be written: a value that is no header text or is too long.
    pub fn inject(&self, carrier: &mut impl Inject) -> Vec<Dropped> {
        let mut left = Vec::new();
        let trace = TRACE_CONTEXT.peek(TraceContext::clone);
        let state = TRACE_STATE.peek(TraceState::clone).filter(|_| trace.is_some());
        write(carrier, TRACEPARENT, trace.as_ref().map(TraceContext::as_str));
        write(carrier, TRACESTATE, state.as_ref().map(TraceState::as_str));
        for sent in self.headers_out {
            let text = sent.header_text().unwrap_or_else(|why| {
                left.push(Dropped { header: sent.header, variable: Some(sent.name), why });
                None
            });
            write(carrier, sent.header, text.as_deref());
        }
        let baggage = baggage::write(self.baggage_out, &mut left);
        if !self.baggage_out.is_empty() {
            write(carrier, BAGGAGE, baggage.as_deref());
        }
        left
    }

    /// Reads the headers of a request that arrives.
    ///
    /// # Errors
    /// [`NoTrace`] when the system gives no random bits for the ids of a trace. Nothing that the carrier holds is an
    /// error: what is not well-formed is dropped, see [`Arrival::dropped`].
    pub fn extract(&self, carrier: &impl Extract, caller: Caller) -> Result<Arrival, NoTrace> {
        let mut arrival = Arrival::of(carrier, caller)?;
        let trusted = caller == Caller::Trusted;
        let from_anybody = self.headers_from_anybody.iter();
        for taken in from_anybody.chain(self.headers_in.iter().filter(|_| trusted)) {
            arrival.take_header(carrier, taken);
        }
        let (anybody, from_trusted) =
            (self.baggage_from_anybody, if trusted { self.baggage_in } else { &[] });
        if !anybody.is_empty() || !from_trusted.is_empty() {
            arrival.take_baggage(carrier, &[anybody, from_trusted]);
        }
        Ok(arrival)
    }
}

impl Default for Propagator {
    fn default() -> Self {
        Self::new()
    }
}

fn write(carrier: &mut impl Inject, header: &'static str, text: Option<&str>) {
    match text {
        Some(text) => carrier.put(header, text),
        None => carrier.remove(header),
    }
}
