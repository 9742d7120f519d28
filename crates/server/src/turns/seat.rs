//! The seat of a live turn: as long as it exists the turn is in the book. The turn's task owns it, so that an error, a panic or an
//! aborted task gives the lane free and gives every listener an end, exactly like a reply.

use std::sync::Arc;
use std::time::Instant;

use super::{Inner, LiveTurn, Outcome};
use crate::code::Code;
use crate::problem::Fault;

pub(super) struct Seat {
    inner: Arc<Inner>,
    live: Arc<LiveTurn>,
    started: Option<Instant>,
}

impl Seat {
    pub(super) fn new(inner: Arc<Inner>, live: Arc<LiveTurn>) -> Self {
        Self { inner, live, started: None }
    }

    /// The turn left the queue.
    pub(super) fn starts(&mut self) {
        self.live.runs();
        self.inner.metrics.turn_started();
        self.started = Some(Instant::now());
        self.inner.publish_counts();
    }

    /// The turn's time limit.
    pub(super) fn time_limit(&self) -> std::time::Duration {
        std::time::Duration::from_secs(self.inner.limits.turn_timeout_s)
    }

    /// The turn ended like this.
    pub(super) fn ends(self, outcome: Outcome) {
        self.live.ends(outcome);
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        // Has no effect after `ends`: the first outcome stays.
        self.live.ends(Err(Fault::new(Code::TurnCancelled, "The turn was cancelled before it had a reply.")));
        self.inner.book().leave(&self.live, &self.inner.limits);
        if let Some(started) = self.started {
            self.inner.metrics.turn_finished(self.live.status().outcome_name(), started.elapsed());
        }
        self.inner.publish_counts();
    }
}
