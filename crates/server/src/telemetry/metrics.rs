//! Numbers about the server as a whole, in the OpenMetrics text format. Each series counts over all tenants: no label
//! ever carries a tenant, a principal, a session or anything that a caller or a model chose. The HTTP routes and the
//! turn runner count into it; `/metrics` reads it.

use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// The media type of [`Metrics::render`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Upper bounds of the latency buckets, in seconds.
const LATENCY_SECONDS: [f64; 13] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0];

/// The counters of one server. Cheap to clone; clones count into the same series.
#[derive(Clone, Debug)]
pub struct Metrics {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    registry: Registry,
    turns_started: Counter,
    turns: Family<OutcomeLabel, Counter>,
    turn_seconds: Histogram,
    turns_queued: Level,
    tools: Family<ToolLabel, Counter>,
    requests: Family<RequestLabel, Counter>,
    request_seconds: Histogram,
    problems: Family<CodeLabel, Counter>,
    queue_refusals: Counter,
    limit_refusals: Counter,
    open_tenants: Level,
}

type Level = Gauge<i64, AtomicI64>;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ToolLabel {
    tool: &'static str,
    ok: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabel {
    method: &'static str,
    route: String,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CodeLabel {
    code: &'static str,
}

impl Metrics {
    /// Starts all series at zero.
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("haversack");
        let mut made = Maker { registry: &mut registry };
        let inner = Inner {
            turns_started: made.counter("turns_started", "Turns that left their queue"),
            turns: made.family("turns", "Finished turns by outcome"),
            turn_seconds: made
                .histogram("turn_duration_seconds", "From the start of a turn to its last event"),
            turns_queued: made.level("turns_queued", "Turns that wait for their session now"),
            tools: made.family("tool_calls", "Tool calls by tool and success"),
            requests: made.family("http_requests", "HTTP answers by route pattern and status"),
            request_seconds: made
                .histogram("http_request_duration_seconds", "From the request's head to the answer's head"),
            problems: made.family("problems", "Problems answered, by code"),
            queue_refusals: made
                .counter("queue_refusals", "Turns refused because the queue of their session was full"),
            limit_refusals: made.counter("limit_refusals", "Requests refused by a limit of their tenant"),
            open_tenants: made.level("open_tenants", "Tenant files that are open now"),
            registry,
        };
        Self { inner: Arc::new(inner) }
    }

    /// A turn left the queue and runs.
    pub fn turn_started(&self) {
        self.inner.turns_started.inc();
    }

    /// A turn ended. `outcome`: `finished`, `failed`, `cancelled`, `timed_out`; `took` goes into the histogram.
    pub fn turn_finished(&self, outcome: &'static str, took: Duration) {
        self.inner.turns.get_or_create(&OutcomeLabel { outcome }).inc();
        self.inner.turn_seconds.observe(took.as_secs_f64());
    }

    /// Turns that wait for their session now, over all sessions.
    pub fn turns_queued(&self, now: usize) {
        self.inner.turns_queued.set(level(now));
    }

    /// A tool call ended. A name that is not one of the built-in tools counts as `other`: a model may have chosen it,
    /// and a label must not carry what a model wrote.
    pub fn tool(&self, name: &str, ok: bool) {
        const KNOWN: [&str; 4] = ["remember", "recall", "note_attempt", "search_knowledge"];
        let tool = KNOWN.into_iter().find(|known| *known == name).unwrap_or("other");
        let ok = if ok { "true" } else { "false" };
        self.inner.tools.get_or_create(&ToolLabel { tool, ok }).inc();
    }

    /// One HTTP answer. `route` is the matched pattern, never the path itself; a method outside the usual ones counts
    /// as `other`.
    pub fn request(&self, method: &str, route: &str, status: u16, took: Duration) {
        const KNOWN: [&str; 7] = ["GET", "POST", "DELETE", "HEAD", "OPTIONS", "PUT", "PATCH"];
        let method = KNOWN.into_iter().find(|known| *known == method).unwrap_or("other");
        self.inner.requests.get_or_create(&RequestLabel { method, route: route.to_owned(), status }).inc();
        self.inner.request_seconds.observe(took.as_secs_f64());
    }

    /// A problem was answered. The codes of a full queue and of a tenant's limit also count in series of their own.
    pub fn problem(&self, code: &'static str) {
        self.inner.problems.get_or_create(&CodeLabel { code }).inc();
        match code {
            "HV0220" => drop(self.inner.queue_refusals.inc()),
            "HV0221" => drop(self.inner.limit_refusals.inc()),
            _ => {}
        }
    }

    /// Says how many tenant files are open now.
    pub fn open_tenants(&self, open: usize) {
        self.inner.open_tenants.set(level(open));
    }

    /// All series in the OpenMetrics text format, ended by `# EOF`.
    pub fn render(&self) -> String {
        let mut text = String::new();
        // Writing into a string cannot fail; an encoder that gives up leaves what it wrote so far.
        let _ = text::encode(&mut text, &self.inner.registry);
        text
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

/// Makes series and registers them under their name.
struct Maker<'a> {
    registry: &'a mut Registry,
}

impl Maker<'_> {
    fn counter(&mut self, name: &str, help: &str) -> Counter {
        let made = Counter::default();
        self.registry.register(name, help, made.clone());
        made
    }

    fn level(&mut self, name: &str, help: &str) -> Level {
        let made = Level::default();
        self.registry.register(name, help, made.clone());
        made
    }

    fn histogram(&mut self, name: &str, help: &str) -> Histogram {
        let made = Histogram::new(LATENCY_SECONDS);
        self.registry.register(name, help, made.clone());
        made
    }

    fn family<L>(&mut self, name: &str, help: &str) -> Family<L, Counter>
    where
        L: EncodeLabelSet + Clone + std::hash::Hash + Eq + std::fmt::Debug + Send + Sync + 'static,
    {
        let made = Family::<L, Counter>::default();
        self.registry.register(name, help, made.clone());
        made
    }
}

fn level(now: usize) -> i64 {
    i64::try_from(now).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_never_carry_what_a_model_or_a_caller_wrote() {
        let metrics = Metrics::new();
        metrics.tool("recall", true);
        metrics.tool("canary-7f3a", false);
        metrics.request("CANARY-METHOD", "/v1/turns/{turn}/context", 404, Duration::from_millis(1));
        metrics.turn_finished("finished", Duration::from_millis(3));
        metrics.problem("HV0220");
        metrics.problem("HV0221");
        metrics.open_tenants(2);
        let text = metrics.render();
        for line in [
            r#"haversack_tool_calls_total{tool="recall",ok="true"} 1"#,
            r#"haversack_tool_calls_total{tool="other",ok="false"} 1"#,
            r#"haversack_turns_total{outcome="finished"} 1"#,
            "haversack_queue_refusals_total 1",
            "haversack_limit_refusals_total 1",
            "haversack_open_tenants 2",
        ] {
            assert!(text.contains(line), "{line} is missing in\n{text}");
        }
        assert!(!text.to_lowercase().contains("canary"), "{text}");
    }
}
