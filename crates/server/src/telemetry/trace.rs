//! Traces: which ids a piece of work has, and what caused it. A door mints a trace, each unit of work in it is a child
//! of the one that caused it, and the ids go where the context goes, also into another process. An outside caller's
//! `traceparent` begins a trace of ours with a link to theirs; no caller is trusted to continue one yet. Doors mint,
//! the journal makes children, everybody else reads the variables.

use haversack::ContextVar;
use haversack::well_known::{InvalidTraceContext, TRACE_CONTEXT, TraceContext};
use http::HeaderMap;

use crate::auth::key::hex;

/// The unit of work, or the request, that caused the current unit.
pub static CAUSE: ContextVar<TraceContext> = ContextVar::new("cause").shown();

/// The outside caller's trace that ours was begun for. It is not ours, so nothing hangs in it.
pub static LINK: ContextVar<TraceContext> = ContextVar::new("link").portable(1).shown();

/// No ids could be made.
#[derive(Debug, thiserror::Error)]
pub enum NoTrace {
    /// The system gives no random bits.
    #[error("the system gives no random bits for a trace: {0}")]
    Random(getrandom::Error),
    /// The bits are no id; all zeros, once in the lifetime of many universes.
    #[error("the system gave zeros for a trace")]
    Zeros(#[from] InvalidTraceContext),
}

/// A new trace and its first span.
///
/// # Errors
/// [`NoTrace`].
pub fn mint() -> Result<TraceContext, NoTrace> {
    Ok(TraceContext::parse(&format!("00-{}-{}-01", random::<16>()?, random::<8>()?))?)
}

/// A new span in the same trace.
///
/// # Errors
/// [`NoTrace`].
pub fn child(of: &TraceContext) -> Result<TraceContext, NoTrace> {
    Ok(TraceContext::parse(&format!("00-{}-{}-01", of.trace_id(), random::<8>()?))?)
}

/// What a request brings and gets: a trace of ours, and the caller's, if it sent one, to link to.
#[derive(Debug, Clone)]
pub struct Arrival {
    /// Ours.
    pub trace: TraceContext,
    /// Theirs.
    pub link: Option<TraceContext>,
}

impl Arrival {
    /// Begins a trace for a request with these headers. A `traceparent` that is malformed or sent twice counts as none
    /// (W3C Trace Context, section 3.2).
    ///
    /// # Errors
    /// [`NoTrace`].
    pub fn of(headers: &HeaderMap) -> Result<Self, NoTrace> {
        let mut sent = headers.get_all("traceparent").iter();
        let link = match (sent.next(), sent.next()) {
            (Some(one), None) => one.to_str().ok().and_then(|text| TraceContext::parse(text).ok()),
            _ => None,
        };
        Ok(Self { trace: mint()?, link })
    }

    /// Calls `f` with the trace bound, before there is a door: for the span of the request.
    pub fn run<R>(&self, f: impl FnOnce() -> R) -> R {
        TRACE_CONTEXT.sync_scope(self.trace.clone(), || match &self.link {
            Some(link) => LINK.sync_scope(link.clone(), f),
            None => f(),
        })
    }
}

fn random<const N: usize>() -> Result<String, NoTrace> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(NoTrace::Random)?;
    Ok(hex(&bytes))
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
}
