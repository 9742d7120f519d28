//! Which span and event fields may leave the code that recorded them. A field is kept when its name is on one list;
//! everything else is dropped, so a prompt, a message or a tool argument that somebody adds to a span by mistake
//! reaches no ring, no log line and no collector. The ring, the log format and the OTLP processor ask here.

use std::collections::BTreeMap;
use std::fmt;

use tracing::field::{Field, Visit};

/// Longest value that is kept, in characters; the rest is cut and marked with `…`.
pub(super) const MAX_VALUE: usize = 200;

/// Names of fields that hold ids, names from the configuration, numbers, outcomes and error texts, which never quote what
/// anybody said; sorted.
const SHOWN: [&str; 50] = [
    "addr",
    "agent",
    "attempt",
    "bytes",
    "call",
    "cause",
    "code",
    "count",
    "delivery",
    "elapsed_ms",
    "error",
    "file",
    "generation",
    "hits",
    "input_tokens",
    "job",
    "limit",
    "messages",
    "method",
    "mode",
    "model",
    "ms",
    "name",
    "number",
    "ok",
    "outcome",
    "output_tokens",
    "parallel",
    "path",
    "place",
    "problem",
    "provider",
    "queue",
    "reason",
    "request",
    "route",
    "rows_in_fence",
    "rows_outside",
    "run",
    "signal",
    "status",
    "step",
    "steps",
    "tokens",
    "tool",
    "tools",
    "turn",
    "turns",
    "version",
    "what",
];

/// Whether a field of this name may be kept.
pub(super) fn shown(name: &str) -> bool {
    SHOWN.binary_search(&name).is_ok()
}

/// The kept fields of one span or event, as text.
#[derive(Debug, Default, Clone)]
pub(super) struct Fields {
    pub(super) values: BTreeMap<&'static str, String>,
}

impl Fields {
    fn keep(&mut self, field: &Field, value: impl fmt::Display) {
        if shown(field.name()) {
            self.values.insert(field.name(), clip(&value.to_string()));
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // `%value` arrives here too, as a Debug that prints its Display.
        self.keep(field, format_args!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.keep(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.keep(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.keep(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.keep(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.keep(field, value);
    }
}

/// Cuts a value to [`MAX_VALUE`] characters and replaces control characters, so that no value can forge a line or
/// steer a terminal.
pub(super) fn clip(value: &str) -> String {
    let mut out: String = value
        .chars()
        .take(MAX_VALUE)
        .map(|c| if c.is_control() || is_bidi(c) { '\u{fffd}' } else { c })
        .collect();
    if value.chars().nth(MAX_VALUE).is_some() {
        out.push('…');
    }
    out
}

/// Characters that reorder the text around them on a terminal.
fn is_bidi(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_sorted() {
        assert!(SHOWN.is_sorted(), "binary search needs a sorted list");
        assert!(shown("turn") && shown("addr") && shown("version"));
        assert!(!shown("prompt") && !shown("message") && !shown("text") && !shown("args"));
    }

    #[test]
    fn a_value_cannot_forge_a_line() {
        assert_eq!(clip("a\nERROR b\u{1b}[31m"), "a\u{fffd}ERROR b\u{fffd}[31m");
        let long = clip(&"x".repeat(MAX_VALUE + 1));
        assert_eq!(long.chars().count(), MAX_VALUE + 1);
        assert!(long.ends_with('…'));
    }
}
