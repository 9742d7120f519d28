//! The bridge to OpenTelemetry: its current context moves in the same swap as ours.
//!
//! With this feature a captured [`Context`](crate::Context) holds the OpenTelemetry context that was current, and each
//! poll, call and drop of the work has exactly that one current; what was current before is so again afterwards, also on
//! panic. No hand-over names it: `spawn`, `wrap`, streams, bodies and doors move it with everything else. Work that is
//! [`detached`](crate::detached) has the empty one.
//!
//! The functions here translate, for whoever starts spans: what is bound becomes attributes and baggage, a
//! [`TraceContext`] becomes a parent or a link. Nothing here talks to an exporter.
//!
//! ```
//! use haversack::{Context, FutureExt};
//! use opentelemetry::Context as Otel;
//!
//! #[derive(Debug, PartialEq)]
//! struct Desk(u32);
//!
//! let attached = Otel::new().with_value(Desk(7)).attach();
//! let here = Context::current();
//! drop(attached);
//!
//! assert_eq!(Otel::current().get::<Desk>(), None);
//! here.run(|| assert_eq!(Otel::current().get::<Desk>(), Some(&Desk(7))));
//! assert_eq!(Otel::current().get::<Desk>(), None);
//! ```
//!
//! # What stays with its owner
//!
//! A guard of [`attach`](opentelemetry::Context::attach) cannot change threads, so a task of a multi-threaded runtime
//! cannot hold one over an await. A `spawn_local` task can, and OpenTelemetry has no way to take it off the thread: bare
//! work polled there sees it until its owner drops it. Work in a frame of ours does not, because each poll makes its own
//! context current.

use opentelemetry::baggage::BaggageExt;
use opentelemetry::trace::{
    SpanContext, SpanId, SpanRef, TraceContextExt, TraceFlags, TraceId, TraceState as OtelTraceState,
};
use opentelemetry::{Context as OtelContext, KeyValue};

use crate::Context;
use crate::propagator::{Arrival, Sent, TRACE_LINK, TraceState};
use crate::well_known::TraceContext;

/// Attributes that name a binding begin with this.
pub const PREFIX: &str = "haversack.context.";

/// What the current context binds, as attributes: `haversack.context.<variable>` for each variable that is declared
/// [`shown`](crate::ContextVar::shown), and `entry` and `boundary`. Secrets and undeclared variables leave nothing.
///
/// ```
/// use haversack::{Context, ContextVar};
///
/// static SHELF: ContextVar<u32> = ContextVar::new("shelf").shown();
/// static PIN: ContextVar<u32> = ContextVar::new("pin").secret();
///
/// let here = Context::empty().bind(&SHELF, 7).bind(&PIN, 1234);
/// let attributes = here.run(haversack::opentelemetry::attributes);
/// assert_eq!(attributes.len(), 1);
/// assert_eq!(attributes[0].key.as_str(), "haversack.context.shelf");
/// ```
///
/// A span processor records them with every span that is started, whoever starts it:
///
/// ```
/// # use std::time::Duration;
/// # use opentelemetry::Context;
/// # use opentelemetry::trace::Span as _;
/// # use opentelemetry_sdk::error::OTelSdkResult;
/// # use opentelemetry_sdk::trace::{Span, SpanData, SpanProcessor};
/// #[derive(Debug)]
/// struct Bindings;
///
/// impl SpanProcessor for Bindings {
///     fn on_start(&self, span: &mut Span, _parent: &Context) {
///         span.set_attributes(haversack::opentelemetry::attributes());
///     }
/// #   fn on_end(&self, _span: SpanData) {}
/// #   fn force_flush(&self) -> OTelSdkResult { Ok(()) }
/// #   fn shutdown_with_timeout(&self, _timeout: Duration) -> OTelSdkResult { Ok(()) }
/// }
/// ```
#[must_use]
pub fn attributes() -> Vec<KeyValue> {
    let bound = Context::current().describe();
    let entry = bound.entry.map(|entry| KeyValue::new(format!("{PREFIX}entry"), entry.to_string()));
    let boundary = bound.boundary.map(|boundary| KeyValue::new(format!("{PREFIX}boundary"), boundary));
    let shown = bound.bindings.into_iter().filter(|binding| binding.shown);
    let shown = shown.map(|binding| KeyValue::new(format!("{PREFIX}{}", binding.name), binding.value));
    entry.into_iter().chain(boundary).chain(shown).collect()
}

/// Records [`attributes`] with a span.
///
/// ```
/// use opentelemetry::trace::TraceContextExt;
///
/// haversack::opentelemetry::record(&opentelemetry::Context::current().span());
/// ```
pub fn record(span: &SpanRef<'_>) {
    span.set_attributes(attributes());
}

/// The current OpenTelemetry context with the listed variables that are bound as its baggage, in the place of what it
/// held. A value with a control character is left out, as [`inject`](crate::propagator::Propagator::inject) leaves it
/// out.
///
/// ```
/// use haversack::{Context, ContextVar, outgoing};
/// use opentelemetry::baggage::BaggageExt;
///
/// static TIER: ContextVar<String> = ContextVar::new("tier").outbound("x-tier");
///
/// let here = Context::empty().bind(&TIER, "gold".to_owned());
/// let otel = here.run(|| haversack::opentelemetry::with_baggage(outgoing![TIER]));
/// assert_eq!(otel.baggage().get("tier").map(|value| value.as_str()), Some("gold"));
/// ```
#[must_use]
pub fn with_baggage(listed: &'static [Sent]) -> OtelContext {
    let bound = listed.iter().filter_map(|sent| {
        let text = sent.text().ok().flatten()?;
        (!text.chars().any(char::is_control)).then(|| KeyValue::new(sent.name, text))
    });
    OtelContext::current().with_cleared_baggage().with_baggage(bound)
}

/// A trace's span as OpenTelemetry names it; `remote`, because it is some other piece of work's.
///
/// ```
/// let trace = haversack::propagator::mint()?;
/// let span = haversack::opentelemetry::span_context(&trace, None);
/// assert!(span.is_valid() && span.is_remote() && span.is_sampled());
/// assert_eq!(haversack::opentelemetry::trace_context(&span), Some(trace));
/// # Ok::<(), haversack::propagator::NoTrace>(())
/// ```
#[must_use]
pub fn span_context(trace: &TraceContext, state: Option<&TraceState>) -> SpanContext {
    let trace_id = TraceId::from_hex(trace.trace_id()).unwrap_or(TraceId::INVALID);
    let span_id = SpanId::from_hex(trace.parent_id()).unwrap_or(SpanId::INVALID);
    let state = state.and_then(|state| state.as_str().parse::<OtelTraceState>().ok()).unwrap_or_default();
    SpanContext::new(trace_id, span_id, TraceFlags::new(trace.flags()), true, state)
}

/// The other way: what to bind as [`TRACE_CONTEXT`](crate::well_known::TRACE_CONTEXT) for work under this span. `None`
/// for a span that is none.
#[must_use]
pub fn trace_context(span: &SpanContext) -> Option<TraceContext> {
    span.is_valid().then(|| {
        let (trace_id, span_id) = (span.trace_id().to_string(), span.span_id().to_string());
        TraceContext::from_parts(&trace_id, &span_id, span.trace_flags().to_u8())
    })
}

/// The context in which the span of an arrival is started: with a trusted caller's span as parent, empty for anybody
/// else. Whatever is current on this thread has no say.
///
/// ```
/// use std::collections::BTreeMap;
///
/// use haversack::propagator::{Caller, Propagator};
/// use opentelemetry::trace::TraceContextExt;
///
/// static WIRE: Propagator = Propagator::new();
///
/// let sent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
/// let headers = BTreeMap::from([("traceparent".to_owned(), sent.to_owned())]);
/// let trusted = WIRE.extract(&headers, Caller::Trusted)?;
/// let parent = haversack::opentelemetry::parent(&trusted);
/// assert_eq!(parent.span().span_context().span_id().to_string(), "00f067aa0ba902b7");
///
/// let outside = WIRE.extract(&headers, Caller::Outside)?;
/// assert!(!haversack::opentelemetry::parent(&outside).has_active_span());
/// # Ok::<(), haversack::propagator::NoTrace>(())
/// ```
#[must_use]
pub fn parent(arrival: &Arrival) -> OtelContext {
    match arrival.parent() {
        Some(parent) => OtelContext::new().with_remote_span_context(span_context(parent, arrival.state())),
        None => OtelContext::new(),
    }
}

/// The outside caller's span that the current context's trace was begun for, to link a span to.
#[must_use]
pub fn link() -> Option<SpanContext> {
    TRACE_LINK.with(|link| span_context(link, None)).ok()
}
