//! The end of a turn that somebody else gave up on: what the history has of it.
//!
//! Whoever drives a turn may drop it when it does not end in time. What of it runs on the pool runs to its end all the same,
//! so a reply may be committed that nobody gave out. [`Late`] is made before the turn is run, and asked after it was
//! dropped: its one write comes after the turn's own, so its answer stays true.

use haversack::{Entry, FutureExt};

use super::{Reply, TurnId};
use crate::error::TurnError;
use crate::history::Book;

/// Ends a turn that was dropped. Made by [`Turn::late`](super::Turn::late).
#[derive(Clone, Debug)]
#[must_use = "a turn is not ended by being dropped"]
pub struct Late {
    pub(super) id: TurnId,
    pub(super) entry: Entry,
    pub(super) book: Book,
}

impl Late {
    /// The reply of the turn, if it was committed; otherwise it is recorded as out of time, and nothing of it is committed
    /// any more. Drop the turn's future first: it may hold the place that this waits for.
    ///
    /// # Errors
    /// [`TurnError::Foreign`] under another entry than the turn's own, and what the store meets; what became of the turn is
    /// not known then.
    ///
    /// # Cancellation
    /// Dropped before it ends, it may have ended the turn and have told nobody.
    #[track_caller]
    pub fn settle(self) -> impl Future<Output = Result<Option<Reply>, TurnError>> + Send + 'static {
        let admitted = self.entry.check("end a turn");
        async move {
            admitted?;
            self.book.settle(self.id).await
        }
        .in_current_context()
    }
}
