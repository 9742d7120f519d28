//! The log: one line an event on standard error, for people on a terminal and as JSON otherwise. A line carries the
//! tenant, principal, session and request of the current context and the turn, job, run or delivery of the current
//! span, then the event's own sentence and the fields that may be shown. `telemetry` installs the layer; whoever calls
//! `tracing` writes to it.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::io::Write;
use std::sync::{Mutex, PoisonError};

use haversack::well_known::{PRINCIPAL, REQUEST_ID, SESSION_ID, TENANT_ID};
use serde::Serialize;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::{FilterExt, Targets, filter_fn};
use tracing_subscriber::layer::{Context, Filter, Layer};
use tracing_subscriber::registry::LookupSpan;

use super::fields::{Fields, clip};
use super::{OWN, ring::Place};

/// How a line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// For people; `color` paints the level.
    Human {
        /// Whether the reader is a terminal that shows colours.
        color: bool,
    },
    /// One JSON object a line.
    Json,
}

/// A filter that is not understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "log filter `{filter}` is not understood: write a level (error, warn, info, debug, trace) or `target=level, ..`"
)]
pub struct BadFilter {
    filter: String,
}

/// The filter of the log. A bare level is for our own modules, with warnings of everybody else; anything with a `=`
/// stands as it is. Model clients are off unless named, and the MCP
/// transport says no more than errors: they may quote what they send.
///
/// # Errors
/// [`BadFilter`] when it is neither.
pub fn filter(text: &str) -> Result<Targets, BadFilter> {
    let text = text.trim();
    let bad = || BadFilter { filter: clip(text) };
    if text.contains('=') || text.contains(',') {
        return text.parse().map_err(|_| bad());
    }
    let level: tracing::level_filters::LevelFilter = text.parse().map_err(|_| bad())?;
    let others = level.min(tracing::level_filters::LevelFilter::WARN);
    Ok(Targets::new()
        .with_default(others)
        .with_target("genai", tracing::level_filters::LevelFilter::OFF)
        .with_target("rmcp", level.min(tracing::level_filters::LevelFilter::ERROR))
        // It calls each client that goes away an error.
        .with_target("rmcp::service", tracing::level_filters::LevelFilter::OFF)
        .with_target(OWN, level))
}

/// The layer that writes lines to `sink`.
pub(super) fn layer<S>(style: Style, filter: Targets, sink: impl Write + Send + 'static) -> impl Layer<S>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    // Our spans stay visible at any level: an event finds its turn through them.
    let spans = filter_fn(|metadata| metadata.is_span() && super::own(metadata));
    LogLayer { style, sink: Mutex::new(Box::new(sink)) }.with_filter(or(spans, filter))
}

/// Either filter lets it through.
fn or<S>(a: impl Filter<S>, b: impl Filter<S>) -> impl Filter<S> {
    a.or(b)
}

struct LogLayer {
    style: Style,
    sink: Mutex<Box<dyn Write + Send>>,
}

/// The request that a span names: work outside the door, such as a refusal, has it from there.
struct RequestOf(String);

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for LogLayer {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        if let (Some(request), Some(span)) = (fields.values.remove("request"), context.span(id)) {
            span.extensions_mut().insert(RequestOf(request));
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut said = Said::default();
        event.record(&mut said);
        let unit = context.event_span(event).and_then(|span| {
            let (kind, id) = span.extensions().get::<Place>().map(|place| {
                let (kind, id) = place.unit();
                (kind.name(), id.to_owned())
            })?;
            Some(BTreeMap::from([(kind, id)]))
        });
        let request = context.event_scope(event).and_then(|mut scope| {
            scope.find_map(|span| span.extensions().get::<RequestOf>().map(|request| request.0.clone()))
        });
        let line = Line {
            time: jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string(),
            level: event.metadata().level().as_str(),
            target: event.metadata().target(),
            message: said.message,
            tenant: TENANT_ID.bound().map(|tenant| clip(tenant.as_str())),
            principal: PRINCIPAL.bound().map(|principal| clip(principal.as_str())),
            session: SESSION_ID.bound().map(|session| clip(session.as_str())),
            request: REQUEST_ID.bound().map(|request| clip(request.as_str())).or(request),
            unit: unit.unwrap_or_default(),
            fields: said.fields.values,
        };
        let mut text = match self.style {
            Style::Json => serde_json::to_string(&line).unwrap_or_default(),
            Style::Human { color } => line.human(*event.metadata().level(), color),
        };
        text.push('\n');
        let mut sink = self.sink.lock().unwrap_or_else(PoisonError::into_inner);
        // A closed standard error is no reason to stop the work that is being logged.
        let _ = sink.write_all(text.as_bytes());
    }
}

#[derive(Serialize)]
struct Line {
    time: String,
    level: &'static str,
    target: &'static str,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    principal: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<String>,
    /// The turn, job, run or delivery, and its id.
    #[serde(flatten)]
    unit: BTreeMap<&'static str, String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    fields: BTreeMap<&'static str, String>,
}

impl Line {
    fn human(&self, level: Level, color: bool) -> String {
        let mut text = String::new();
        let time = self.time.get(11..23).unwrap_or(&self.time);
        let (on, off) = if color { (paint(level), "\u{1b}[0m") } else { ("", "") };
        let _ = write!(text, "{time} {on}{:<5}{off} {} {}", self.level, self.target, self.message);
        let ids = [
            ("tenant", &self.tenant),
            ("principal", &self.principal),
            ("session", &self.session),
            ("request", &self.request),
        ];
        for (name, value) in ids {
            if let Some(value) = value {
                let _ = write!(text, " {name}={value}");
            }
        }
        for (name, value) in self.unit.iter().chain(&self.fields) {
            let _ = write!(text, " {name}={value}");
        }
        text
    }
}

fn paint(level: Level) -> &'static str {
    match level {
        Level::ERROR => "\u{1b}[31m",
        Level::WARN => "\u{1b}[33m",
        Level::INFO => "\u{1b}[32m",
        _ => "\u{1b}[2m",
    }
}

/// What an event says: its sentence and the fields that may be shown.
#[derive(Default)]
struct Said {
    message: String,
    fields: Fields,
}

impl Visit for Said {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.message = clip(&format!("{value:?}"));
        } else {
            self.fields.record_debug(field, value);
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            self.message = clip(value);
        } else {
            self.fields.record_str(field, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_level_is_for_our_own_modules() {
        let targets = filter("debug").unwrap();
        assert!(targets.would_enable("haversack_server::turns", &Level::DEBUG));
        assert!(targets.would_enable("hyper::proto", &Level::WARN));
        assert!(!targets.would_enable("hyper::proto", &Level::INFO));
        assert!(!targets.would_enable("genai::client", &Level::ERROR));
        assert!(
            filter("off").unwrap().iter().all(|(_, level)| level == tracing::level_filters::LevelFilter::OFF)
        );
    }

    #[test]
    fn a_filter_that_is_not_understood_is_refused() {
        assert!(filter("loud").is_err());
        assert!(filter("haversack=loud").is_err());
        assert!(
            filter("warn,haversack_server=trace").unwrap().would_enable("haversack_server", &Level::TRACE)
        );
    }
}
