//! The run log: what happened in a run, in order, append-only.
//!
//! Each [`Event`] is one row with a number; the log is the event stream too, so whoever lost the connection goes on
//! after the last number seen. Inputs are named with their hashes, outputs are kept whole because later steps read them
//! after a restart, and no value of a secret stands in either. All of it is sealed where it is stored. The executor writes,
//! the run's owner reads.

mod follow;
mod gone;
mod owner;
mod rows;
mod stored;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use follow::Follow;
pub(crate) use gone::{Deleted, Leftover, cleared, delete, expire, folder_name, forget, leftovers};
pub(crate) use owner::{OwnRows, Said};
pub(crate) use rows::{
    NewRun, Standing, Taken, append, cancel, claim, entry, find, give_up, insert, list, page, retry,
    standing, taken,
};
pub(crate) use stored::opened;

use crate::catalog::FileRecord;
use crate::run::RunStatus;

/// One row of a run's log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// From 1, without gaps.
    pub number: u64,
    /// Milliseconds since the Unix epoch, UTC.
    pub at: i64,
    /// Which executor wrote it: 0 for what callers did.
    pub generation: u64,
    /// What happened.
    #[serde(flatten)]
    pub what: What,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum What {
    /// The run was started.
    Created {
        /// The pipeline's name.
        pipeline: String,
        /// SHA-256 of its definition.
        definition: String,
    },
    /// An executor took the run.
    Began {
        /// What the program says of its code; once a run, unless the code changed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        code: Option<String>,
    },
    /// An attempt of a task or a stub started.
    AttemptStarted {
        /// The step, with the branches that lead to it.
        step: String,
        /// From 1.
        attempt: u32,
        /// `shell`, `python`, `function`, `stub`, or the name of a runner.
        kind: String,
        /// What it was given.
        inputs: Inputs,
    },
    /// An attempt ended.
    AttemptEnded {
        /// The step, with the branches that lead to it.
        step: String,
        /// From 1.
        attempt: u32,
        /// The number of the event that says that it started.
        started: u64,
        /// How.
        status: AttemptStatus,
        /// How long it took, in milliseconds, without what it waited for its seat.
        ms: u64,
        /// What it gave back.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        outputs: BTreeMap<String, Value>,
        /// Which of the outputs are metrics.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        metrics: Vec<String>,
        /// What it took from the catalog.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        got: Vec<FileRecord>,
        /// What it left in the catalog.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        put: Vec<FileRecord>,
        /// Why it failed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
        /// The last lines that it printed, if it failed: at most 20.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        last_lines: Option<String>,
    },
    /// A composite step began to run its branches.
    StepStarted {
        /// The step, with the branches that lead to it.
        step: String,
        /// `parallel`, `map`, `conditional` or `loop`.
        kind: String,
        /// How many branches it has; 0 when that is known only at the end.
        branches: u64,
        /// A hash over everything it sees.
        hash: String,
    },
    /// A composite step ended, after all of its branches.
    StepEnded {
        /// The step, with the branches that lead to it.
        step: String,
        /// Whether it succeeded.
        succeeded: bool,
        /// What its branches gave, merged.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        outputs: BTreeMap<String, Value>,
        /// Why it failed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// Somebody asked for the run's end.
    CancelRequested,
    /// Somebody asked for what failed to be tried again.
    Retried,
    /// The run ended.
    Ended {
        /// How.
        status: RunStatus,
        /// What the steps at the root gave.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        outputs: BTreeMap<String, Value>,
        /// Which step failed, and why.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
        /// The last lines that this step printed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        last_lines: Option<String>,
    },
}

impl What {
    /// The step it is about.
    #[must_use]
    pub fn step(&self) -> Option<&str> {
        match self {
            Self::AttemptStarted { step, .. }
            | Self::AttemptEnded { step, .. }
            | Self::StepStarted { step, .. }
            | Self::StepEnded { step, .. } => Some(step),
            _ => None,
        }
    }
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttemptStatus {
    /// It did what it should.
    Succeeded,
    /// It did not.
    Failed,
    /// Its time was up.
    TimedOut,
    /// The run was cancelled, or its executor was told to stop.
    Cancelled,
    /// Its executor died, or was overtaken, before it wrote the end down.
    Lost,
}

/// What an attempt was given: names and hashes, no values.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inputs {
    /// A hash over everything that the step sees.
    pub hash: String,
    /// How many parameters it sees.
    pub count: usize,
    /// SHA-256 by name, of the parameters that the step declares; of all where there are few.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<String, String>,
    /// Names of the secrets that it is given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<String>,
}
