//! Words that are added to a turn while it runs.
//!
//! [`FurtherWords`] is a function that gives the oldest request that was added and that nobody took. A turn asks it before
//! each further model call, and what it takes is recorded before a model reads it: it stands in the history where it was
//! heard, whatever becomes of the turn. Whoever runs turns for people who may write meanwhile brings one.

use std::fmt;
use std::sync::Arc;

use haversack_memory::buffer::estimate_tokens;

use super::{Turn, TurnRequest};
use crate::error::TurnError;
use crate::model::Message;
use crate::tool::dispatch::is_cancelled;

/// Requests that one turn takes beside its own. What comes then is left where it waits.
pub const MOST_FURTHER: usize = 16;

/// Which part of the buffer they may fill before no more are taken: one in this many tokens.
const SHARE: usize = 4;

/// Where words come from that are added to a turn. Cheap to clone.
#[derive(Clone, Default)]
pub struct FurtherWords {
    take: Option<Arc<Take>>,
}

type Take = dyn Fn() -> Option<TurnRequest> + Send + Sync;

impl FurtherWords {
    /// Words that `take` gives: the oldest that nobody took, and each once. It is called in the context of the turn and must not
    /// block; one that reads the context of whoever made it is wrapped there, see [`haversack::wrap_fn`].
    ///
    /// What is taken is answered by the reply of the turn. With an idempotency key it is not answered again: a later turn of that
    /// key gets this reply, marked as [`added`](super::Reply::added).
    #[must_use]
    pub fn new(take: impl Fn() -> Option<TurnRequest> + Send + Sync + 'static) -> Self {
        Self { take: Some(Arc::new(take)) }
    }

    /// Nothing is added.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }
}

impl fmt::Debug for FurtherWords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FurtherWords").field("listening", &self.take.is_some()).finish()
    }
}

impl Turn {
    /// Takes what was added since, records it, and appends it to `steps`, each a step of its own. Whether there was anything.
    pub(crate) async fn hear(&self, steps: &mut Vec<Vec<Message>>) -> Result<bool, TurnError> {
        let Some(take) = &self.further.take else { return Ok(false) };
        let before = steps.len();
        while self.has_room(steps) && !is_cancelled() {
            // Words belong to the entry that asked, as the reply does.
            self.entry.check("further words")?;
            let Some(added) = take() else { break };
            if added.message.trim().is_empty() {
                continue;
            }
            let place = steps.iter().flatten().count() + 1;
            if self.book.add(self.id, place, &added).await? {
                tracing::info!("words were added to the turn");
                steps.push(vec![Message::User { text: added.message }]);
            }
        }
        Ok(steps.len() > before)
    }

    fn has_room(&self, steps: &[Vec<Message>]) -> bool {
        let (mut many, mut tokens) = (0, 0);
        for message in steps.iter().flatten() {
            if let Message::User { text } = message {
                (many, tokens) = (many + 1, tokens + estimate_tokens(text));
            }
        }
        many < MOST_FURTHER && tokens < self.agents.config().limits.buffer_tokens / SHARE
    }
}
