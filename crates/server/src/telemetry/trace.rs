//! Traces: which ids a piece of work has, and what caused it. A door mints a trace, each unit of work in it is a child
//! of the one that caused it, and the ids go where the context goes, also into another process. An outside caller's
//! `traceparent` begins a trace of ours with a link to theirs; only a caller whom the configuration trusts continues one.
//! Doors mint, the journal makes children, everybody else reads the variables.

use haversack::ContextVar;
use haversack::propagator::{self, Caller, Propagator, TraceState};
use haversack::well_known::{TRACE_CONTEXT, TraceContext};
use http::HeaderMap;
use opentelemetry::Context as OtelContext;
use opentelemetry::trace::TraceContextExt;

pub use haversack::propagator::{NoTrace, TRACE_LINK as LINK, TRACE_STATE, child, mint};

/// The unit of work, or the request, that caused the current unit.
pub static CAUSE: ContextVar<TraceContext> = ContextVar::new("cause").shown();

/// What is taken from the headers of a request: the trace and nothing else.
static WIRE: Propagator = Propagator::new();

/// What a request brings and gets: a trace of ours, and the caller's, if it sent one, to link to; or the caller's trace,
/// to go on in.
#[derive(Debug, Clone)]
pub struct Arrival {
    /// The trace of the request, and the span that stands for it.
    pub trace: TraceContext,
    /// The span of a trusted caller that this one is a child of.
    pub parent: Option<TraceContext>,
    /// What other systems noted about the trusted caller's trace.
    pub state: Option<TraceState>,
    /// The span of an outside caller.
    pub link: Option<TraceContext>,
}

impl Arrival {
    /// Begins a trace for a request of anybody. A `traceparent` that is malformed or sent twice counts as none (W3C Trace
    /// Context, section 3.2).
    ///
    /// # Errors
    /// [`NoTrace`].
    pub fn of(headers: &HeaderMap) -> Result<Self, NoTrace> {
        Self::read(headers, Caller::Outside)
    }

    /// Goes on in the trace of a caller whom the configuration trusts; begins one where the caller sent none.
    ///
    /// # Errors
    /// [`NoTrace`].
    pub fn of_trusted(headers: &HeaderMap) -> Result<Self, NoTrace> {
        Self::read(headers, Caller::Trusted)
    }

    fn read(headers: &HeaderMap, caller: Caller) -> Result<Self, NoTrace> {
        let arrival: propagator::Arrival = WIRE.extract(headers, caller)?;
        for dropped in arrival.dropped() {
            tracing::debug!(reason = %dropped, "a header of a trace was dropped");
        }
        Ok(Self {
            trace: arrival.trace().clone(),
            parent: arrival.parent().cloned(),
            state: arrival.state().cloned(),
            link: arrival.link().cloned(),
        })
    }

    /// Calls `f` with the trace bound, before there is a door: for the span of the request.
    pub fn run<R>(&self, f: impl FnOnce() -> R) -> R {
        // An exporter hangs the request's span under this one; without it the span is a root.
        let parent = self.parent.as_ref().and_then(super::otlp::elsewhere);
        let above = OtelContext::new();
        let _attached =
            parent.map_or(above.clone(), |parent| above.with_remote_span_context(parent)).attach();
        TRACE_CONTEXT.sync_scope(self.trace.clone(), || match &self.link {
            Some(link) => LINK.sync_scope(link.clone(), f),
            None => f(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const THEIRS: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn headers(sent: &[&str]) -> HeaderMap {
        sent.iter()
            .map(|text| {
                (http::HeaderName::from_static("traceparent"), http::HeaderValue::from_str(text).unwrap())
            })
            .collect()
    }

    #[test]
    fn a_child_hangs_in_the_same_trace() {
        let cause = mint().unwrap();
        let unit = child(&cause).unwrap();
        assert_eq!(unit.trace_id(), cause.trace_id());
        assert_ne!(unit.parent_id(), cause.parent_id());
        assert_ne!(mint().unwrap().trace_id(), cause.trace_id());
    }

    #[test]
    fn an_outside_caller_does_not_continue_a_trace() {
        let arrival = Arrival::of(&headers(&[THEIRS])).unwrap();
        assert_ne!(arrival.trace.trace_id(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(arrival.link.unwrap().as_str(), THEIRS);
        for none in [headers(&[]), headers(&["nonsense"]), headers(&[THEIRS, THEIRS])] {
            assert!(Arrival::of(&none).unwrap().link.is_none());
        }
    }

    #[test]
    fn a_trusted_caller_continues_a_trace_that_is_well_formed() {
        let arrival = Arrival::of_trusted(&headers(&[THEIRS])).unwrap();
        assert_eq!(arrival.trace.trace_id(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_ne!(arrival.trace.parent_id(), "00f067aa0ba902b7");
        assert_eq!((arrival.parent.unwrap().as_str(), arrival.link), (THEIRS, None));
        for none in [headers(&[]), headers(&["nonsense"]), headers(&[THEIRS, THEIRS])] {
            let arrival = Arrival::of_trusted(&none).unwrap();
            assert!(
                arrival.parent.is_none() && arrival.trace.trace_id() != "4bf92f3577b34da6a3ce929d0e0e4736"
            );
        }
    }
}
