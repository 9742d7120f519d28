//! What has become of a job: its state, how far it got, why it failed, what it answered.
//!
//! A [`Job`] is a picture of one moment, made for the job's owner. States, kinds and codes stand in the store in the
//! clear; texts and results are opened for the owner only.

use std::fmt;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::JobId;

/// Where a job stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It waits for its time and a worker.
    Queued,
    /// A worker has it.
    Running,
    /// An attempt failed, and another will be made.
    Retrying,
    /// No worker that met it could do it: it comes from a newer program. It is offered again from time to time.
    Parked,
    /// It is done, and its result is kept for a while.
    Succeeded,
    /// It is given up.
    Failed,
    /// Its owner, or its owner's newer job under the same key, called it off.
    Cancelled,
    /// Workers died over it too often. It stays as it is until its owner drives it again, or its time is up.
    Quarantined,
}

impl State {
    const ALL: [Self; 8] = [
        Self::Queued,
        Self::Running,
        Self::Retrying,
        Self::Parked,
        Self::Succeeded,
        Self::Failed,
        Self::Cancelled,
        Self::Quarantined,
    ];

    /// The name that is stored and shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Retrying => "retrying",
            Self::Parked => "parked",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Quarantined => "quarantined",
        }
    }

    /// The state of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == name)
    }

    /// Whether nothing more happens to it by itself.
    #[must_use]
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled | Self::Quarantined)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident = $name:literal),+ $(,)?) => {
        /// Why a job is not well. It names no content, so operators and logs may see it.
        #[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        #[non_exhaustive]
        pub enum FailureKind {
            $($(#[$doc])* $kind,)+
        }

        impl FailureKind {
            const ALL: &[Self] = &[$(Self::$kind),+];

            /// The name that is stored and shown.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$kind => $name,)+
                }
            }
        }
    };
}

kinds! {
    /// Its handler said so.
    Handler = "handler",
    /// Its arguments are not what the handler takes.
    Arguments = "arguments",
    /// Its handler panicked.
    Panicked = "panicked",
    /// The time of an attempt was up.
    TimedOut = "timed_out",
    /// The moment after which nobody wanted it has passed.
    Deadline = "deadline",
    /// Its handler read a variable that is not bound in it.
    Context = "context",
    /// Its access token had expired.
    TokenExpired = "token_expired",
    /// The credential that it was submitted with was withdrawn.
    Withdrawn = "withdrawn",
    /// No worker that met it has a handler of its name, or what that handler needs for it.
    NoHandler = "no_handler",
    /// What it was given could not be opened; the code says why.
    Unopened = "unopened",
    /// Its context could not be restored; the code says why.
    Unrestored = "unrestored",
    /// What was sealed names another owner than its row. It was not run.
    ForeignOwner = "foreign_owner",
    /// Its answer could not be stored.
    Unstored = "unstored",
    /// Workers died over it as often as it may be delivered.
    Deliveries = "deliveries",
}

impl FailureKind {
    /// The kind of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.as_str() == name)
    }
}

impl fmt::Display for FailureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A job as its owner sees it. Times are milliseconds since the Unix epoch, UTC.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Job {
    /// Its name.
    pub id: JobId,
    /// What does it.
    pub handler: String,
    /// Where it waits or waited.
    pub queue: String,
    /// Where it stands.
    pub state: State,
    /// The attempt that runs or comes next, or the last one.
    pub attempt: u32,
    /// How many there are at most.
    pub max_attempts: u32,
    /// Whether calling it off was asked for and its worker has not followed yet.
    pub cancelling: bool,
    /// How far it says it is.
    pub progress: Option<Step>,
    /// Why it is not well.
    pub failure: Option<FailureKind>,
    /// The code that its handler gave the failure.
    pub failure_code: Option<String>,
    /// Grows with each change: a number for events about it.
    pub change: u64,
    /// When it was submitted.
    pub created_at: i64,
    /// When it may next be claimed, while it waits.
    pub run_at: Option<i64>,
    /// When it first ran.
    pub started_at: Option<i64>,
    /// When it ended.
    pub finished_at: Option<i64>,
    /// Its end could not be told to whoever was promised it, because what it was submitted with cannot be opened or the
    /// telling failed again and again. Whoever looks at the job is the first to know.
    pub untold: bool,
    /// Counts from 1 how often it was begun from its first attempt: driving it again adds one.
    pub drive: u32,
}

/// How far a job is.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Step {
    /// How much is done, in the job's own unit.
    pub done: u64,
    /// How much there is, where it is known.
    pub total: Option<u64>,
    /// What it says about it.
    pub note: Option<String>,
}

/// What a job came to.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// Nothing yet; ask again.
    Pending {
        /// Where it stands.
        state: State,
    },
    /// Its handler's answer.
    Succeeded {
        /// As JSON.
        result: serde_json::Value,
    },
    /// It was given up or put into quarantine.
    Failed {
        /// Why.
        kind: FailureKind,
        /// The code that its handler gave the failure.
        code: Option<String>,
        /// The handler's own words, for the owner.
        text: Option<String>,
    },
    /// It was called off.
    Cancelled,
}

impl Outcome {
    /// The answer as its type; `None` when there is none.
    ///
    /// # Errors
    /// When the answer is not of this type.
    pub fn into_result<R: DeserializeOwned>(self) -> Result<Option<R>, serde_json::Error> {
        match self {
            Self::Succeeded { result } => serde_json::from_value(result).map(Some),
            _ => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back() {
        for state in State::ALL {
            assert_eq!(State::named(state.as_str()), Some(state));
        }
        for kind in FailureKind::ALL {
            assert_eq!(FailureKind::named(kind.as_str()), Some(*kind));
        }
    }
}
