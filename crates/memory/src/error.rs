//! What can go wrong in memory.
//!
//! Identity errors are variants of their own, whichever layer below noticed; everything else of the store is passed
//! on with its cause. No text quotes what was stored, asked or tried.

use haversack::{ForeignContext, MissingContext};
use haversack_store::StoreError;

/// An error of the memory layers.
#[derive(Debug, thiserror::Error)]
pub enum MemoryError {
    /// No tenant, or for the session cache no session, is bound in the context. Nothing was opened.
    #[error("memory was asked outside a door that says whose: {0}")]
    Unbound(#[source] MissingContext),

    /// The handle was made for another request. Nothing was opened.
    #[error("this handle to memory belongs to another request: {0}")]
    Foreign(#[source] ForeignContext),

    /// What was to be kept cannot be. Nothing was opened.
    #[error("{field} {why}")]
    Invalid {
        /// The field.
        field: &'static str,
        /// What is wrong, and the limit where there is one.
        why: &'static str,
    },

    /// What was to be kept was said in a session that was deleted meanwhile, or that is another principal's by now.
    /// Nothing was written.
    #[error("the session is over: it was deleted, so nothing is kept of it any more; begin a new one")]
    SessionOver,

    /// The store failed.
    #[error("memory could not reach its store: {0}")]
    Store(#[source] StoreError),
}

impl From<StoreError> for MemoryError {
    fn from(cause: StoreError) -> Self {
        match cause {
            StoreError::Unbound(missing) => Self::Unbound(missing),
            StoreError::Foreign(foreign) => Self::Foreign(foreign),
            cause => Self::Store(cause),
        }
    }
}

impl From<MissingContext> for MemoryError {
    fn from(missing: MissingContext) -> Self {
        Self::Unbound(missing)
    }
}
