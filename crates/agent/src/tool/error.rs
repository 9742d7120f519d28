//! Why a tool call failed.
//!
//! Most failures are told to the model, which may do better in its next step; a missing or foreign context is
//! not its business and fails the whole turn. Tools return this error, the dispatcher sorts it.

use std::time::Duration;

use haversack::{ForeignContext, MissingContext};
use haversack_memory::MemoryError;
use haversack_store::StoreError;

use crate::crew::CrewError;

/// Why a tool call failed.
#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    /// The model asked for a tool that this specialist does not have.
    #[error("there is no such tool here")]
    Unknown,
    /// The arguments do not fit the schema. The detail may quote them, so it goes to the model and nowhere
    /// else.
    #[error("the arguments do not match the tool's schema")]
    Arguments {
        /// What is wrong, in words for the model.
        detail: String,
    },
    /// The tool's time was up.
    #[error("the tool did not end within {0:?}")]
    TimedOut(Duration),
    /// The tool panicked. The panic stayed inside the call.
    #[error("the tool panicked")]
    Panicked,
    /// The tool says no: a limit, a refused input. The text goes to the model.
    #[error("{0}")]
    Refused(&'static str),
    /// The tool did what it was asked to do, and that failed, such as the run of a pipeline. The text says how. It goes to
    /// the model and to the owner of the job, so it holds no secret.
    #[error("{0}")]
    Failed(String),
    /// This process lacks what the tool works with; another one may have it. The text goes to the model.
    #[error("{0}")]
    NotHere(String),
    /// The memory layers failed.
    #[error(transparent)]
    Memory(#[from] MemoryError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The tool declares a variable that is not bound where it was run alone.
    #[error("the tool needs the variable `{variable}`, which is not bound here; bind it at the door")]
    Needs {
        /// The variable's name.
        variable: &'static str,
    },
    /// A variable is unbound inside the tool: the whole turn fails.
    #[error(transparent)]
    Unbound(#[from] MissingContext),
    /// The call ran under another entry than it was made in: the whole turn fails.
    #[error(transparent)]
    Foreign(#[from] ForeignContext),
    /// A task of a crew failed. A missing or foreign context in it fails the whole turn.
    #[error(transparent)]
    Crew(#[from] CrewError),
    /// The call could not be started in the background.
    #[error("the tool could not be started; try again")]
    NotStarted(#[source] Option<Box<dyn std::error::Error + Send + Sync>>),
    /// Files of the tenant could not be read.
    #[error("the knowledge folder could not be read")]
    Io(#[from] std::io::Error),
    /// Something that cannot happen did.
    #[error("internal error: {0}")]
    Internal(&'static str),
}

impl ToolError {
    /// What the model is told.
    #[must_use]
    pub fn for_model(&self) -> String {
        match self {
            Self::Arguments { detail } => format!("{self}: {detail}"),
            other => other.to_string(),
        }
    }
}
