//! Why a turn did not end with a reply.
//!
//! One enum, with the cause of each variant, a published code (`HV....`) and nothing of what was said or
//! stored in its texts. [`crate::Agents`] and [`crate::Turn`] return it; the server turns it into a problem
//! document.

use haversack::{ForeignContext, MissingContext};
use haversack_memory::MemoryError;
use haversack_store::StoreError;

use crate::crew::CrewError;
use crate::model::ModelError;
use crate::turn::TurnId;

/// Why a turn was refused or failed.
#[derive(Debug, thiserror::Error)]
pub enum TurnError {
    /// A variable that every turn needs is not bound: no door was passed.
    #[error(transparent)]
    Unbound(#[from] MissingContext),
    /// The turn was made under another entry than the one it is used in.
    #[error(transparent)]
    Foreign(#[from] ForeignContext),
    /// The message has no text.
    #[error("the message is empty; say something")]
    Empty,
    /// The session name is in use by another principal of the tenant.
    #[error("this session name is taken by another principal; choose another name")]
    SessionTaken,
    /// The idempotency key was used in this session with a different message.
    #[error("the idempotency key was used before with another request; use a new key for a new request")]
    IdempotencyConflict,
    /// The turn was marked interrupted while it ran: a second turn began in the same session.
    #[error("the turn {0} was interrupted by another turn of its session; send the message again")]
    Interrupted(TurnId),
    /// The caller cancelled the turn.
    #[error("the turn was cancelled")]
    Cancelled,
    /// The turn's deadline passed.
    #[error("the turn ran out of time")]
    TimedOut,
    /// The specialist used up its steps without an answer.
    #[error("no answer within {steps} steps; raise `agent.limits.steps` or simplify the request")]
    Budget {
        /// The configured number of model calls.
        steps: u32,
    },
    /// The prompt does not fit: even the instructions and the message alone are over the token budget.
    #[error(
        "the message does not fit into the token budget of {budget}; shorten it or raise \
            `agent.limits.buffer_tokens`"
    )]
    TooLong {
        /// The budget in tokens.
        budget: usize,
    },
    /// The model failed.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A context was missing or foreign in a task of a crew.
    #[error(transparent)]
    Crew(CrewError),
    /// The memory layers failed.
    #[error(transparent)]
    Memory(MemoryError),
    /// The history could not be read or written.
    #[error(transparent)]
    Store(StoreError),
    /// Something that cannot happen did: stored data that does not parse, a random source that fails.
    #[error("internal error: {0}")]
    Internal(&'static str),
}

impl TurnError {
    /// The published error code, as in `docs/errors/`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unbound(_) => "HV0001",
            Self::Foreign(_) => "HV0002",
            Self::SessionTaken => "HV0204",
            Self::Memory(MemoryError::SessionOver) => "HV0205",
            Self::TooLong { .. } => "HV0210",
            Self::Empty => "HV0212",
            Self::IdempotencyConflict => "HV0213",
            Self::TimedOut => "HV0230",
            Self::Cancelled => "HV0231",
            Self::Interrupted(_) => "HV0232",
            Self::Model(ModelError::Timeout(_)) => "HV0302",
            Self::Model(ModelError::Misconfigured(_) | ModelError::Refused { .. }) => "HV0303",
            Self::Model(_) => "HV0301",
            Self::Budget { .. } => "HV0304",
            Self::Memory(MemoryError::Store(error)) | Self::Store(error) => store_code(error),
            Self::Crew(error) => error.code(),
            Self::Memory(_) | Self::Internal(_) => "HV0500",
        }
    }
}

fn store_code(error: &StoreError) -> &'static str {
    match error {
        StoreError::Unbound(_) => "HV0001",
        StoreError::Foreign(_) => "HV0002",
        StoreError::ReadOnly { .. } => "HV0102",
        StoreError::InUse { .. } => "HV0103",
        StoreError::NewerSchema { .. } => "HV0104",
        StoreError::StampMismatch { .. } => "HV0105",
        StoreError::Full { .. } => "HV0107",
        StoreError::Closed => "HV0222",
        _ => "HV0106",
    }
}

// A missing or foreign context is the same law whichever layer noticed it, so it is one variant for the
// caller.
impl From<StoreError> for TurnError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unbound(missing) => Self::Unbound(missing),
            StoreError::Foreign(foreign) => Self::Foreign(foreign),
            other => Self::Store(other),
        }
    }
}

impl From<MemoryError> for TurnError {
    fn from(error: MemoryError) -> Self {
        match error {
            MemoryError::Unbound(missing) => Self::Unbound(missing),
            MemoryError::Foreign(foreign) => Self::Foreign(foreign),
            MemoryError::Store(store) => store.into(),
            other => Self::Memory(other),
        }
    }
}
