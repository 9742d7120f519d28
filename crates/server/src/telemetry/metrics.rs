//! Counters and histograms of one server.

use std::time::Duration;

/// The metrics of one server. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Metrics {}

impl Metrics {
    /// A turn left the queue and runs.
    pub fn turn_started(&self) {}
    /// A turn ended. `outcome`: `finished`, `failed`, `cancelled`, `timed_out`.
    pub fn turn_finished(&self, _outcome: &'static str, _took: Duration) {}
    /// Turns that wait for their session now, over all sessions.
    pub fn turns_queued(&self, _now: usize) {}
    /// One HTTP answer. `route` is the matched pattern, never the path itself.
    pub fn request(&self, _method: &str, _route: &str, _status: u16, _took: Duration) {}
    /// A problem was answered.
    pub fn problem(&self, _code: &'static str) {}
    /// The text of `/metrics` (OpenMetrics).
    pub fn render(&self) -> String {
        String::new()
    }
}
