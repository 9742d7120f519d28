//! The seat of a live turn: as long as it exists the turn is in the book. The turn's task owns it, so that an
//! error, a panic or an aborted task gives the lane free and gives every listener an end, exactly like a
//! reply.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Inner, LiveTurn, Outcome, run};
use crate::telemetry::Metrics;
use crate::work::sessions::LongSessions;

pub(super) struct Seat {
    inner: Arc<Inner>,
    live: Arc<LiveTurn>,
    started: Option<Instant>,
    outcome: Option<Outcome>,
}

impl Seat {
    pub(super) fn new(inner: Arc<Inner>, live: Arc<LiveTurn>) -> Self {
        Self { inner, live, started: None, outcome: None }
    }

    /// The turn left the queue.
    pub(super) fn starts(&mut self) {
        self.live.runs();
        self.inner.metrics.turn_started();
        self.started = Some(Instant::now());
        self.inner.publish_counts();
    }

    /// How long the turn may run.
    pub(super) fn time_limit(&self) -> Duration {
        Duration::from_secs(self.inner.limits.turn_timeout_s)
    }

    /// What counts the turn's tools.
    pub(super) fn metrics(&self) -> &Metrics {
        &self.inner.metrics
    }

    /// What looks at the session after the turn.
    pub(super) fn long_sessions(&self) -> LongSessions {
        self.inner.long.clone()
    }

    /// The turn ended like this.
    pub(super) fn ends(mut self, outcome: Outcome) {
        self.outcome = Some(outcome);
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        // Out of the book first: whoever hears of the end finds the session free.
        self.inner.book().leave(&self.live, &self.inner.limits);
        self.live.ends(self.outcome.take().unwrap_or_else(|| Err(run::cancelled())));
        if let Some(started) = self.started {
            self.inner.metrics.turn_finished(self.live.status().outcome_name(), started.elapsed());
        }
        self.inner.publish_counts();
    }
}
