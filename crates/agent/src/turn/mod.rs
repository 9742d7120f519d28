//! A turn: one message of a caller and everything that happens until its reply.
//!
//! [`crate::Agents::turn`] makes a [`Turn`] under the current entry; running it records the message, asks the
//! supervisor, and commits the reply before anybody gets it. The server and the command line run turns; the
//! turn names no tenant, session or principal, they come from the context it was made in.

mod further;
mod id;
mod late;
mod reply;
mod run;

use haversack::Entry;
use haversack::FutureExt;
use haversack_memory::{Recall, SessionCache};
use tracing::Instrument;

pub use further::{FurtherWords, MOST_FURTHER};
pub use id::{InvalidTurnId, TurnId};
pub use late::Late;
pub use reply::{MemoryReport, Reply, ToolUse};

use crate::agents::Agents;
use crate::error::TurnError;
use crate::event::EventSink;
use crate::history::Book;

/// What a caller asks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TurnRequest {
    /// The words.
    pub message: String,
    /// With a key, the same request in the same session is answered once: a repetition gets the first reply.
    pub idempotency_key: Option<String>,
}

/// A turn that can be run, once, under the entry it was made under.
#[must_use = "a turn does nothing until it is run"]
pub struct Turn {
    pub(crate) id: TurnId,
    pub(crate) entry: Entry,
    pub(crate) request: TurnRequest,
    pub(crate) further: FurtherWords,
    pub(crate) agents: Agents,
    pub(crate) book: Book,
    pub(crate) session: SessionCache,
    pub(crate) recall: Recall,
}

impl Turn {
    /// The id under which the turn will be recorded. A replayed reply has the id of the turn that it repeats.
    #[must_use]
    pub fn id(&self) -> TurnId {
        self.id
    }

    /// The same turn, which takes words that are added while it runs: at most [`MOST_FURTHER`] requests, before each call of its
    /// specialist's model. Its reply answers them too.
    pub fn with_further(self, further: FurtherWords) -> Self {
        Self { further, ..self }
    }

    /// What ends the turn when whoever runs it gives up and drops it.
    pub fn late(&self) -> Late {
        Late { id: self.id, entry: self.entry, book: self.book.clone() }
    }

    /// Runs the turn in the context of this call, whoever polls it.
    ///
    /// The reply is returned after it is committed. `CANCEL` ends the turn during a model call at once; tool calls get half a
    /// second to end by themselves and are dropped then. `DEADLINE` bounds the turn, but for what its [`clock`](crate::clock) leaves out.
    ///
    /// # Errors
    /// [`TurnError::Foreign`] under another entry than the turn's own, before anything is read or written;
    /// else whatever kept the turn from its reply. The turn is recorded with how it ended.
    ///
    /// # Cancellation
    /// Dropping the future leaves the message recorded and the turn without an end; the next turn of the
    /// session marks it as interrupted, unless [`late`](Self::late) does something better. Writes that have begun are whole
    /// or not there.
    #[track_caller]
    pub fn run(self, events: EventSink) -> impl Future<Output = Result<Reply, TurnError>> + Send + 'static {
        let admitted = self.entry.check("run a turn");
        let span = tracing::info_span!(
            "turn",
            turn = %self.id,
            agent = tracing::field::Empty,
            outcome = tracing::field::Empty,
        );
        let work = async move {
            let outcome = match admitted {
                Ok(()) => self.live(&events).await,
                Err(foreign) => Err(foreign.into()),
            };
            let code = outcome.as_ref().map_or_else(TurnError::code, |_| "ok");
            tracing::Span::current().record("outcome", code);
            if let Err(error) = &outcome {
                tracing::warn!(code, error = %error, "a turn ended without a reply");
                events.failed(error);
            }
            outcome
        };
        work.instrument(span).in_current_context()
    }
}

impl std::fmt::Debug for Turn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Turn").field("id", &self.id).field("entry", &self.entry).finish_non_exhaustive()
    }
}
