//! What can go wrong with a pipeline, apart from a step that fails.
//!
//! One small enum: a failed step is no error but an outcome of its run, and is told in the run log. Texts name
//! steps, variables and places of the definition, which its author wrote, and quote no value and no secret.

use std::io;

use haversack::{CaptureError, ForeignContext, MissingContext, SealError};
use haversack_store::{KeyFileError, KeyUseError, StoreError, sqlite};

use crate::check::{self, Finding};

/// Why a pipeline was refused, or a run could not be started, executed or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PipelineError {
    /// A variable that every run needs is not bound: no door was passed.
    #[error(transparent)]
    Unbound(MissingContext),
    /// A handle was made under another entry than the one it is used in.
    #[error(transparent)]
    Foreign(ForeignContext),
    /// The text is not YAML, or not a pipeline.
    #[error("line {line}, column {column}: {what}")]
    Yaml {
        /// From 1; 0 when the place is not known.
        line: u64,
        /// From 1; 0 when the place is not known.
        column: u64,
        /// What is wrong there.
        what: String,
    },
    /// The graph, a name or a reference in it is wrong. Each finding says what to do.
    #[error("the pipeline has {} to mend:\n{}", check::counted(.0), check::listed(.0))]
    Invalid(Vec<Finding>),
    /// The caller's key cannot name a run.
    #[error(
        "a run is named by 1 to 128 letters, digits, `.`, `_` or `-`, the first one a letter or a digit; \
         choose such a key"
    )]
    BadKey,
    /// A parameter of this name cannot be given.
    #[error("the parameter `{name}` is refused: {why}")]
    BadParameter {
        /// The name that was given.
        name: String,
        /// Why, and what to do.
        why: &'static str,
    },
    /// No run of this principal has that name.
    #[error("there is no such run; `list` shows the runs there are")]
    UnknownRun,
    /// The run has no attempt of that number.
    #[error("the run has no such attempt; its log shows the attempts there are")]
    UnknownAttempt,
    /// Another executor took the run over, or the run was deleted; what this one had not written yet is not written.
    #[error("the run was taken over by a later executor, or deleted; read its log to follow it")]
    TakenOver,
    /// The executor was told to stop by its caller, and nobody asked for the run's end.
    #[error(
        "the executor was told to stop before the run had ended; execute the run again, and it goes on from there"
    )]
    Stopped,
    /// This program lacks what a step needs, such as a tool that a newer program has. The run has not ended.
    #[error("this program cannot run a step of it: {0}; execute the run with a program that has it")]
    NotHere(String),
    /// Only a run that failed or was cancelled can be tried again.
    #[error("the run has not failed, so there is nothing to try again")]
    NotFailed,
    /// Only a run that has ended can be deleted.
    #[error("the run has not ended; cancel it first, and execute it once if nobody does")]
    NotEnded,
    /// The run's folder could not be used.
    #[error("{what}: {source}; check the catalog's folder, its owner and the room on its disk")]
    Folder {
        /// The operation.
        what: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// What the run says cannot be opened: the key that sealed it is gone, or the row is another's.
    #[error("what the run says cannot be opened; the key ring may have lost its key")]
    Sealed,
    /// The key ring cannot be read. Nothing was written.
    #[error(transparent)]
    Keys(#[from] KeyFileError),
    /// Whose the run is could not be captured. Nothing was written.
    #[error("the run was not written down, because its context cannot travel: {0}")]
    Capture(#[from] CaptureError),
    /// What the run says could not be sealed. Nothing was written.
    #[error("the run was not written down, because it could not be sealed: {0}")]
    Seal(#[source] SealError),
    /// The system gives no random bits.
    #[error("the system gives no random bits for an id")]
    NoRandomness,
    /// The rows could not be read or written.
    #[error(transparent)]
    Store(StoreError),
    /// Something that cannot happen did: a stored row that does not parse, a task that vanished.
    #[error("internal error: {0}")]
    Internal(&'static str),
}

// A missing or foreign context is the same law whichever layer noticed it, so it is one variant for the caller.
impl From<StoreError> for PipelineError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unbound(missing) => Self::Unbound(missing),
            StoreError::Foreign(foreign) => Self::Foreign(foreign),
            // What a closure met that is not the store's.
            StoreError::Sqlite { what, source: sqlite::Error::ToSqlConversionFailure(cause) } => {
                match cause.downcast::<Self>() {
                    Ok(ours) => *ours,
                    Err(cause) => Self::Store(StoreError::Sqlite {
                        what,
                        source: sqlite::Error::ToSqlConversionFailure(cause),
                    }),
                }
            }
            other => Self::Store(other),
        }
    }
}

impl From<PipelineError> for StoreError {
    /// For closures of the store: what is no error of its own goes through it whole, and comes out again above.
    fn from(error: PipelineError) -> Self {
        match error {
            PipelineError::Store(error) => error,
            PipelineError::Unbound(missing) => Self::Unbound(missing),
            PipelineError::Foreign(foreign) => Self::Foreign(foreign),
            other => sqlite::Error::ToSqlConversionFailure(Box::new(other)).into(),
        }
    }
}

impl From<sqlite::Error> for PipelineError {
    fn from(error: sqlite::Error) -> Self {
        StoreError::from(error).into()
    }
}

impl From<KeyUseError<SealError>> for PipelineError {
    fn from(error: KeyUseError<SealError>) -> Self {
        match error {
            KeyUseError::Keys(error) => Self::Keys(error),
            KeyUseError::Envelope(error) => Self::Seal(error),
        }
    }
}

impl From<MissingContext> for PipelineError {
    fn from(missing: MissingContext) -> Self {
        Self::Unbound(missing)
    }
}

impl From<ForeignContext> for PipelineError {
    fn from(foreign: ForeignContext) -> Self {
        Self::Foreign(foreign)
    }
}
