//! The hop to the blocking pool, where all file work of this crate happens.
//!
//! A closure goes over with the context of the future that sends it; a panic in it comes back as an error and a
//! runtime that is shutting down as [`StoreError::Closed`]. Only this crate calls it.

use crate::StoreError;

/// Runs `work` on the blocking pool. Once started it runs to its end, also when the returned future is dropped.
pub(crate) async fn run<R: Send + 'static>(
    what: &'static str,
    work: impl FnOnce() -> Result<R, StoreError> + Send + 'static,
) -> Result<R, StoreError> {
    match haversack::spawn_blocking(work).await {
        Ok(outcome) => outcome,
        Err(end) if end.is_panic() => Err(StoreError::Panicked { what }),
        Err(_) => Err(StoreError::Closed),
    }
}
