//! What a replay found: expectations, crossings, latency, and each failure with its place. It is data first; `replay`
//! prints it, tests read it.

use std::path::PathBuf;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

/// The outcome of one replay.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// What the values were made from; the same seed gives the same values.
    pub seed: u64,
    /// The name of the run, part of every session's name on the server.
    pub run: String,
    /// Conversations that were played.
    pub conversations: usize,
    /// Turns that were answered.
    pub answered: usize,
    /// Turns in the files.
    pub turns: usize,
    /// Expectations that a reply met.
    pub met: usize,
    /// Expectations in the files.
    pub expectations: usize,
    /// Values of one tenant in an answer to another.
    pub crossings: usize,
    /// Requests that were sent again because the server was busy.
    pub retries: usize,
    /// From request to reply.
    pub latency_ms: Latency,
    /// Answered turns a second.
    pub turns_per_second: f64,
    /// Wall time, in seconds.
    pub seconds: f64,
    /// What was not as it should be.
    pub failures: Vec<Failure>,
}

impl Report {
    /// Whether every turn was answered, every expectation met and nothing crossed.
    pub fn is_met(&self) -> bool {
        self.failures.is_empty() && self.met == self.expectations && self.answered == self.turns
    }
}

/// Percentiles in milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Latency {
    /// Half of the turns were faster.
    pub p50: f64,
    /// Nine of ten.
    pub p90: f64,
    /// Ninety-nine of a hundred.
    pub p99: f64,
    /// The slowest.
    pub max: f64,
}

/// One thing that was not as it should be.
#[derive(Debug, Clone, Serialize)]
pub struct Failure {
    /// The replay file.
    pub file: PathBuf,
    /// Line of the turn's message.
    pub line: usize,
    /// Tenant of the conversation.
    pub tenant: String,
    /// The conversation's name in the file.
    pub conversation: String,
    /// Number of the turn in its conversation, from 1.
    pub turn: usize,
    /// What was wrong.
    #[serde(flatten)]
    pub wrong: Wrong,
    /// The reply; empty when there was none.
    pub reply: String,
}

/// What was wrong with a turn.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "wrong", rename_all = "snake_case")]
pub enum Wrong {
    /// The reply lacks an expected text.
    Missing {
        /// The text.
        expected: String,
    },
    /// The reply holds an excluded text.
    Unwanted {
        /// The text.
        excluded: String,
    },
    /// The answer holds a value of another tenant.
    Crossing {
        /// The other tenant and the slot.
        value_of: String,
    },
    /// There was no answer.
    Unanswered {
        /// The error.
        error: String,
    },
    /// The turn was not sent because one before it in its conversation was not answered.
    NotSent,
}

impl std::fmt::Display for Wrong {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Missing { expected } => write!(f, "expected in the reply: {expected}"),
            Self::Unwanted { excluded } => write!(f, "must not be in the reply: {excluded}"),
            Self::Crossing { value_of } => write!(f, "CROSSING: the answer holds the value of {value_of}"),
            Self::Unanswered { error } => write!(f, "no answer: {error}"),
            Self::NotSent => f.write_str("not sent: an earlier turn of the conversation was not answered"),
        }
    }
}

/// Collects latencies.
#[derive(Debug)]
pub(super) struct Latencies(Histogram<u64>);

impl Latencies {
    /// None yet. Values are kept to three digits, up to two hours; what is longer counts as that.
    pub(super) fn new() -> Result<Self, hdrhistogram::CreationError> {
        Ok(Self(Histogram::new_with_bounds(1, 7_200_000_000, 3)?))
    }

    pub(super) fn add(&mut self, took: Duration) {
        self.0.saturating_record(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
    }

    pub(super) fn percentiles(&self) -> Latency {
        if self.0.is_empty() {
            return Latency::default();
        }
        // Microseconds below two hours are exact in a float.
        #[allow(clippy::cast_precision_loss)]
        let ms = |value: u64| value as f64 / 1_000.0;
        Latency {
            p50: ms(self.0.value_at_quantile(0.50)),
            p90: ms(self.0.value_at_quantile(0.90)),
            p99: ms(self.0.value_at_quantile(0.99)),
            max: ms(self.0.max()),
        }
    }
}
