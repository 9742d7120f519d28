//! What a run looks like from outside: a serialisable value, whole or as an entry of a list, for commands and HTTP.
//!
//! It is read from the run's row and its last event, and changes nothing. The run's log has the rest.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::RunId;
use crate::parameters::Parameters;

/// Where a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunStatus {
    /// Nobody has executed it yet, or it is to be tried again.
    Pending,
    /// An executor works on it, or died doing so.
    Running,
    /// It ended at a success step.
    Succeeded,
    /// It ended at a fail step, or a step failed without a handler.
    Failed,
    /// It was cancelled.
    Cancelled,
}

impl RunStatus {
    /// Whether it ended.
    #[must_use]
    pub fn is_ended(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled)
    }

    /// The exit code of a command that waited for it: 0 for a success, 1 otherwise.
    #[must_use]
    pub fn exit_code(self) -> u8 {
        u8::from(self != Self::Succeeded)
    }

    /// The word for it, as it is stored and sent.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        let all = [Self::Pending, Self::Running, Self::Succeeded, Self::Failed, Self::Cancelled];
        all.into_iter().find(|status| status.name() == name)
    }
}

/// One run as lists have it: without what it was given and what it gave, so that a list is as large as it has rows.
/// Times are milliseconds since the Unix epoch, UTC.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunEntry {
    /// Its name.
    pub run: RunId,
    /// The pipeline's name.
    pub pipeline: String,
    /// SHA-256 of the pipeline's definition.
    pub definition: String,
    /// Who started it, and whose it is.
    pub principal: String,
    /// The session that was bound when it was started; it goes with that session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// Where it stands.
    pub status: RunStatus,
    /// How many executors have worked on it.
    pub generation: u64,
    /// The number of its last event.
    pub last_event: u64,
    /// The number of the event that asked for this try: the first one, or the last retry.
    pub asked: u64,
    /// Its trace: 32 hexadecimal digits.
    pub trace: String,
    /// Whether its cancellation was asked for.
    pub cancel_requested: bool,
    /// When it was started.
    pub created_at: i64,
    /// When an executor first worked on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub began_at: Option<i64>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<i64>,
}

/// One run, whole: its entry, what it was given, and what came of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunView {
    /// What lists have of it. Its fields stand beside the others when it is serialised.
    #[serde(flatten)]
    pub entry: RunEntry,
    /// What it was started with.
    pub parameters: Parameters,
    /// What the steps at the root gave, once it has ended.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub outputs: BTreeMap<String, Value>,
    /// Which step failed, and why, when that is how it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The last lines that this step printed: at most 20.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_lines: Option<String>,
    /// Whether what it was given or gave cannot be opened any more, because the key that sealed it has gone; it is
    /// missing here then.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unreadable: bool,
}
