//! What a turn tells while it runs.
//!
//! Events are plain tagged data; a sink is a function that was made under an entry and refuses to be used
//! under another. The turn emits, the server and the command line listen; `finished` comes only after the
//! commit.

use std::sync::Arc;

use haversack::{Entry, ForeignContext, MissingContext};
use serde::Serialize;

use crate::error::TurnError;
use crate::turn::{Reply, TurnId};

/// Something that happened in a turn, in the order in which it happened.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum TurnEvent {
    /// The turn is recorded and begins.
    Started {
        /// Its id.
        turn: TurnId,
    },
    /// The supervisor handed the turn to a specialist.
    Agent {
        /// The specialist's name.
        name: String,
    },
    /// A tool starts.
    ToolStarted {
        /// The call's id, unique within the turn.
        call: String,
        /// The tool's name.
        name: String,
    },
    /// A tool ended.
    ToolFinished {
        /// The call's id.
        call: String,
        /// The tool's name.
        name: String,
        /// False when it failed, panicked or timed out.
        ok: bool,
    },
    /// More text of the answer. Text before a tool call is part of the turn, but not of the final reply.
    TextDelta {
        /// The words.
        text: String,
    },
    /// The turn is committed; this is its reply.
    Finished {
        /// The whole reply.
        reply: Box<Reply>,
    },
    /// The turn ended without a reply.
    Failed {
        /// The published error code.
        code: String,
        /// What happened and what to do next.
        detail: String,
    },
}

type Listen = dyn Fn(TurnEvent) + Send + Sync;

/// Where the events of a turn go. Cheap to clone.
#[derive(Clone)]
pub struct EventSink {
    listener: Option<(Entry, Arc<Listen>)>,
}

impl EventSink {
    /// A sink that calls `listen`, in the context of the turn, from the task that drives it. `listen` must be
    /// quick and must not block.
    ///
    /// # Errors
    /// Outside any entry: a reply needs to know whom it belongs to.
    pub fn new(listen: impl Fn(TurnEvent) + Send + Sync + 'static) -> Result<Self, MissingContext> {
        Ok(Self { listener: Some((Entry::current()?, Arc::new(listen))) })
    }

    /// A sink for those who only want the reply.
    #[must_use]
    pub fn none() -> Self {
        Self { listener: None }
    }

    /// Passes an event on.
    ///
    /// # Errors
    /// [`ForeignContext`] when the sink belongs to another entry than the current one; nothing is passed on
    /// then.
    pub fn emit(&self, event: TurnEvent) -> Result<(), ForeignContext> {
        if let Some((entry, listen)) = &self.listener {
            entry.check("event sink")?;
            listen(event);
        }
        Ok(())
    }

    pub(crate) fn failed(&self, error: &TurnError) {
        // A foreign sink must not hear of the failure either; the caller gets the error itself.
        let _ = self.emit(TurnEvent::Failed { code: error.code().to_owned(), detail: error.to_string() });
    }
}

impl std::fmt::Debug for EventSink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EventSink").field("listening", &self.listener.is_some()).finish()
    }
}
