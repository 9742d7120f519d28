//! What a request brought: the trace it gets, what was taken, and what was dropped.
//!
//! An arrival is made by [`Propagator::extract`](super::Propagator::extract) before a door is passed, and gives what it
//! holds to the door by [`Arrival::bind`]. It keeps no header that is not on a list.

use std::fmt;
use std::panic::Location;

use super::trace::{child, mint, parent, state, visible};
use super::{
    BAGGAGE, Extract, MAX_HEADER_BYTES, NoTrace, TRACE_LINK, TRACE_STATE, TRACEPARENT, TRACESTATE, Taken,
    TraceState, baggage,
};
use crate::boundary::Bindings;
use crate::well_known::{TRACE_CONTEXT, TraceContext};

/// What a caller is worth.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Caller {
    /// Anybody. Their trace is linked and not continued, and of their headers only what may come from anybody is taken.
    Outside,
    /// One of ours, as a key or a connection proved, never a header. Their trace goes on here.
    Trusted,
}

/// What a request brought.
#[derive(Clone)]
#[must_use = "an arrival does nothing until a door binds it"]
pub struct Arrival {
    trace: TraceContext,
    parent: Option<TraceContext>,
    link: Option<TraceContext>,
    state: Option<TraceState>,
    taken: Vec<(Taken, String)>,
    dropped: Vec<Dropped>,
}

impl Arrival {
    /// The trace of this arrival.
    pub(super) fn of(carrier: &impl Extract, caller: Caller) -> Result<Self, NoTrace> {
        let mut dropped = Vec::new();
        let theirs = single(carrier, TRACEPARENT).and_then(|sent| sent.map(parent).transpose());
        let theirs = theirs.unwrap_or_else(|why| {
            dropped.push(Dropped { header: TRACEPARENT, variable: None, why });
            None
        });
        let mut arrival =
            Self { trace: mint()?, parent: None, link: None, state: None, taken: Vec::new(), dropped };
        match (theirs, caller) {
            (Some(theirs), Caller::Trusted) => {
                arrival.trace = child(&theirs)?;
                arrival.parent = Some(theirs);
                arrival.take_state(carrier);
            }
            (Some(theirs), Caller::Outside) => arrival.link = Some(theirs),
            (None, _) if !carrier.values(TRACESTATE).is_empty() => {
                arrival.drop_header(TRACESTATE, Why::WithoutTrace);
            }
            (None, _) => {}
        }
        Ok(arrival)
    }

    fn take_state(&mut self, carrier: &impl Extract) {
        let sent = carrier.values(TRACESTATE);
        if !sent.is_empty() {
            match state(&sent) {
                Ok(state) => self.state = Some(state),
                Err(why) => self.drop_header(TRACESTATE, why),
            }
        }
    }

    pub(super) fn take_header(&mut self, carrier: &impl Extract, taken: &Taken) {
        let read = single(carrier, taken.header).and_then(|sent| {
            let Some(sent) = sent else { return Ok(None) };
            if sent.len() > MAX_HEADER_BYTES {
                return Err(Why::TooLong { bytes: sent.len(), limit: MAX_HEADER_BYTES });
            }
            let text = visible(sent)?;
            if taken.reads(text) { Ok(Some(text.to_owned())) } else { Err(Why::Refused) }
        });
        match read {
            Ok(Some(text)) => self.take(*taken, text),
            Ok(None) => {}
            Err(why) => {
                self.dropped.push(Dropped { header: taken.header, variable: Some(taken.name), why });
            }
        }
    }

    pub(super) fn take_baggage(&mut self, carrier: &impl Extract, lists: &[&'static [Taken]]) {
        let sent = carrier.values(BAGGAGE);
        if sent.is_empty() {
            return;
        }
        let members = match baggage::read(&sent) {
            Ok(members) => members,
            Err(why) => return self.drop_header(BAGGAGE, why),
        };
        for taken in lists.iter().copied().flatten() {
            let Some((_, text)) = members.iter().find(|(key, _)| *key == taken.name) else { continue };
            if taken.reads(text) {
                self.take(*taken, text.clone());
            } else {
                let why = Why::Refused;
                self.dropped.push(Dropped { header: BAGGAGE, variable: Some(taken.name), why });
            }
        }
    }

    /// A variable on two lists is taken once, from the first.
    fn take(&mut self, taken: Taken, text: String) {
        if self.taken.iter().all(|(known, _)| known.name != taken.name) {
            self.taken.push((taken, text));
        }
    }

    fn drop_header(&mut self, header: &'static str, why: Why) {
        self.dropped.push(Dropped { header, variable: None, why });
    }

    /// The trace that the request's work hangs in, and the span that stands for the request.
    #[must_use]
    pub fn trace(&self) -> &TraceContext {
        &self.trace
    }

    /// The trusted caller's span that this one is a child of. `None` in a trace of our own.
    #[must_use]
    pub fn parent(&self) -> Option<&TraceContext> {
        self.parent.as_ref()
    }

    /// The outside caller's span that ours is linked to.
    #[must_use]
    pub fn link(&self) -> Option<&TraceContext> {
        self.link.as_ref()
    }

    /// What other systems noted about the trace that goes on here.
    #[must_use]
    pub fn state(&self) -> Option<&TraceState> {
        self.state.as_ref()
    }

    /// What was sent and not taken. The texts are gone.
    #[must_use]
    pub fn dropped(&self) -> &[Dropped] {
        &self.dropped
    }

    /// Binds trace, link, state and what was taken, on the way through a door. A door that binds a variable itself
    /// afterwards has the last word.
    #[track_caller]
    pub fn bind(&self, bindings: Bindings) -> Bindings {
        let at = Location::caller();
        let bindings = bindings
            .bind(&TRACE_CONTEXT, self.trace.clone())
            .bind_some(&TRACE_LINK, self.link.clone())
            .bind_some(&TRACE_STATE, self.state.clone());
        self.taken.iter().fold(bindings, |bindings, (taken, text)| taken.bind(bindings, text, at))
    }
}

/// The one value of a header that may be sent once.
fn single<'a>(carrier: &'a impl Extract, header: &str) -> Result<Option<&'a [u8]>, Why> {
    match carrier.values(header)[..] {
        [] => Ok(None),
        [one] => Ok(Some(one)),
        _ => Err(Why::Repeated),
    }
}

impl fmt::Debug for Arrival {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let taken: Vec<_> = self.taken.iter().map(|(taken, _)| taken.name).collect();
        f.debug_struct("Arrival")
            .field("trace", &self.trace)
            .field("parent", &self.parent)
            .field("link", &self.link)
            .field("taken", &taken)
            .field("dropped", &self.dropped)
            .finish_non_exhaustive()
    }
}

/// Something that did not cross. Its text is not kept: it is somebody's, and may be meant for our log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Dropped {
    /// The header.
    pub header: &'static str,
    /// The variable, where it concerns one alone and not the whole header.
    pub variable: Option<&'static str>,
    /// What is wrong with it.
    pub why: Why,
}

impl fmt::Display for Dropped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.variable {
            Some(variable) => write!(f, "`{variable}` in the header `{}`: {}", self.header, self.why),
            None => write!(f, "the header `{}`: {}", self.header, self.why),
        }
    }
}

/// Why something did not cross.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Why {
    /// It was sent more than once.
    Repeated,
    /// It holds something other than visible ASCII and blanks.
    NotText,
    /// It has more bytes than it may.
    TooLong {
        /// Its length.
        bytes: usize,
        /// The longest that is taken or sent.
        limit: usize,
    },
    /// It has more members than it may.
    TooMany {
        /// Their number.
        members: usize,
        /// The most that are taken or sent.
        limit: usize,
    },
    /// It does not follow its grammar.
    Malformed,
    /// It is of version `ff`, which is none.
    Version,
    /// An id of the trace is all zeros.
    ZeroId,
    /// One key stands in it twice.
    RepeatedKey,
    /// A value decodes to bytes that are no UTF-8.
    NotUtf8,
    /// A value holds, or decodes to, a control character.
    ControlCharacter,
    /// It is about a trace that was not sent, or could not be read.
    WithoutTrace,
    /// The variable's type does not read the text.
    Refused,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Repeated => f.write_str("it stands there more than once"),
            Self::NotText => f.write_str("it is not visible ASCII"),
            Self::TooLong { bytes, limit } => write!(f, "it has {bytes} bytes, and may have {limit}"),
            Self::TooMany { members, limit } => write!(f, "it has {members} members, and may have {limit}"),
            Self::Malformed => f.write_str("it is malformed"),
            Self::Version => f.write_str("its version is none"),
            Self::ZeroId => f.write_str("an id is all zeros"),
            Self::RepeatedKey => f.write_str("a key stands in it twice"),
            Self::NotUtf8 => f.write_str("a value is no UTF-8"),
            Self::ControlCharacter => f.write_str("a value has a control character"),
            Self::WithoutTrace => f.write_str("there is no trace that it could be about"),
            Self::Refused => f.write_str("the variable's type does not read it"),
        }
    }
}
