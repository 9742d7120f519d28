//! What can go wrong when a job is submitted or asked about.
//!
//! One small enum, with the cause of each variant. No text quotes arguments, results, keys or a tenant. What goes
//! wrong while a job runs is no error of a caller: it is stored as the job's [`FailureKind`](crate::FailureKind).

use haversack::{CaptureError, MissingContext, SealError};
use haversack_store::{KeyFileError, KeyUseError, StoreError, sqlite};

/// An error of the jobs.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// The caller's context does not say who asks. Nothing was queued or read.
    #[error("no job was touched, because the context does not say whose: {0}")]
    Unbound(#[from] MissingContext),

    /// The context could not be captured for the job. Nothing was queued.
    #[error("the job was not queued, because its context cannot travel: {0}")]
    Capture(#[from] CaptureError),

    /// The snapshot could not be sealed. Nothing was queued.
    #[error("the job was not queued, because it could not be sealed: {0}")]
    Seal(#[from] SealError),

    /// The key ring cannot be read.
    #[error(transparent)]
    Keys(#[from] KeyFileError),

    /// A name or key is empty, too long, or holds characters that it may not.
    #[error(
        "not a {what}: names have 1 to 128 letters, digits, `.`, `_` or `-`; idempotency keys 1 to 4096 bytes of any text"
    )]
    Name {
        /// What it would have named.
        what: &'static str,
    },

    /// The arguments are no JSON.
    #[error("the arguments do not serialise to JSON: {0}")]
    Arguments(#[source] serde_json::Error),

    /// The arguments are larger than allowed. Put them where both sides can read them, and pass the place.
    #[error("the arguments have {bytes} bytes and may have {limit}; store them, and pass where")]
    TooLarge {
        /// Their size as JSON.
        bytes: usize,
        /// What the program allows.
        limit: usize,
    },

    /// There is no such job, or it belongs to somebody else: the two look alike.
    #[error("there is no such job here")]
    Unknown,

    /// The job is not in a state from which it could be driven again, or a live job has its key.
    #[error(
        "the job cannot be driven again: only failed, quarantined and parked ones can, while no live job has their key"
    )]
    NotDrivable,

    /// The job's result is there and cannot be opened: another key, or another's.
    #[error("the result of the job cannot be opened; the key ring may have lost its key")]
    Sealed,

    /// The system gives no random bits.
    #[error("the system gives no random bits for an id")]
    NoRandomness,

    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// So that `?` works in the closure of a tenant's transaction, where [`Jobs::enqueue`](crate::Jobs::enqueue) is called.
impl From<JobError> for StoreError {
    fn from(error: JobError) -> Self {
        match error {
            JobError::Store(error) => error,
            JobError::Unbound(missing) => Self::Unbound(missing),
            other => sqlite::Error::ToSqlConversionFailure(Box::new(other)).into(),
        }
    }
}

impl From<KeyUseError<SealError>> for JobError {
    fn from(error: KeyUseError<SealError>) -> Self {
        match error {
            KeyUseError::Keys(error) => Self::Keys(error),
            KeyUseError::Envelope(error) => Self::Seal(error),
        }
    }
}

impl From<sqlite::Error> for JobError {
    fn from(error: sqlite::Error) -> Self {
        Self::Store(error.into())
    }
}
