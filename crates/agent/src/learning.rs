//! What remains of a session: what helped in it becomes memory, and a long one gets a summary.
//!
//! Plain functions in the context of their call, so that a job can run them after a session was closed. The
//! sessions are those of the context's principal; nobody can name another's.

use haversack::well_known::{SESSION_ID, SessionId};
use haversack_memory::MemoryError;
use haversack_memory::recall::{NewMemory, Outcome, Source};
use serde::{Deserialize, Serialize};

use crate::agents::Agents;
use crate::error::TurnError;
use crate::history::{Learnt, Summary};

/// What became of what a session learnt.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Promoted {
    /// New memories.
    pub kept: usize,
    /// Memories that were there before.
    pub known: usize,
}

impl Agents {
    /// What helped in a session of the context's principal, oldest first; a closed one too. Empty when there is
    /// no such session.
    ///
    /// # Errors
    /// [`TurnError::Unbound`] where tenant or principal are not bound; else what the store says.
    #[track_caller]
    pub fn learnt(
        &self,
        session: &SessionId,
    ) -> impl Future<Output = Result<Vec<Learnt>, TurnError>> + Send + 'static + use<> {
        let reading = self.history().map(|history| history.learnt(session));
        async move { Ok(reading?.await?) }
    }

    /// Keeps what helped in the context's session as memories of the tenant, for every later session. Doing it
    /// again keeps nothing twice.
    ///
    /// # Errors
    /// [`TurnError::Unbound`] where tenant, principal or session are not bound; else what the store says.
    ///
    /// # Cancellation
    /// Each memory is kept or not kept, never half; the rest is kept by the next call.
    #[track_caller]
    pub fn promote(&self) -> impl Future<Output = Result<Promoted, TurnError>> + Send + 'static + use<> {
        let recall = self.memory().recall();
        let reading = SESSION_ID.get().map(|session| self.learnt(&session));
        let work = async move {
            let (recall, mut promoted) = (recall?, Promoted::default());
            for learnt in reading?.await? {
                let new = NewMemory { text: memory_of(&learnt), subject: None, source: Source::Learnt };
                let remembered = match recall.remember(new).await {
                    // Deleted since it was read: that is the end of what it learnt.
                    Err(MemoryError::SessionOver) => break,
                    remembered => remembered?,
                };
                match remembered.outcome {
                    Outcome::Duplicate => promoted.known += 1,
                    Outcome::New | Outcome::Superseded(_) => promoted.kept += 1,
                }
            }
            Ok(promoted)
        };
        haversack::FutureExt::in_current_context(work)
    }

    /// Makes a summary of a long session and stores it in its history: later turns read it in the place of what
    /// it covers, and the newest turns as they were. It is made by rules that only quote, whatever the model.
    /// `None` when the principal has no such session, or it is too short to be worth one.
    ///
    /// # Errors
    /// As [`Agents::learnt`].
    #[track_caller]
    pub fn summarise(
        &self,
        session: &SessionId,
    ) -> impl Future<Output = Result<Option<Summary>, TurnError>> + Send + 'static + use<> {
        let writing = self.history().map(|history| history.summarise(session));
        async move { Ok(writing?.await?) }
    }
}

fn memory_of(learnt: &Learnt) -> String {
    let action = learnt.action.trim_end_matches('.');
    match &learnt.detail {
        Some(detail) => format!("This helped before: {action} ({}).", detail.trim_end_matches('.')),
        None => format!("This helped before: {action}."),
    }
}
