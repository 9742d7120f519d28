//! The reply of a turn: the words, who said them, what was used.
//!
//! It is plain data; what is committed with the history and what the caller gets are the same value. The turn
//! makes it, the history gives it back when a request is repeated.

use haversack_memory::buffer::Manifest;
use haversack_memory::{Mode, Recalled};
use serde::{Deserialize, Serialize};

use super::TurnId;

/// The reply of a turn.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reply {
    /// The turn that made it.
    pub turn: TurnId,
    /// The session it belongs to.
    pub session: String,
    /// The words.
    pub text: String,
    /// The specialist that answered.
    pub agent: String,
    /// The model that answered; `offline` for the rules of this process.
    pub model: String,
    /// The tools that ran, in their order.
    pub tools: Vec<ToolUse>,
    /// What recall could see before the turn.
    pub memory: MemoryReport,
    /// What entered the last prompt, from which layer, at what cost.
    pub manifest: Manifest,
    /// True when this reply was given before, to the same request.
    pub replayed: bool,
    /// True when the words of the request were added to this turn while it ran: its reply went to whoever began it. Known in the
    /// process alone, and no part of what is stored or sent.
    #[serde(skip)]
    pub added: bool,
}

/// One tool call of a turn.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolUse {
    /// The tool.
    pub name: String,
    /// False when it failed, panicked or timed out.
    pub ok: bool,
    /// How long it took, in milliseconds.
    pub ms: u64,
}

/// What the recall of a turn could see, so that "nothing found" can be told from "not searched".
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryReport {
    /// How the search worked.
    pub mode: Mode,
    /// Facts that were found.
    pub hits: usize,
    /// Facts that were searched.
    pub rows_in_fence: u64,
    /// Facts that this kind of search cannot see.
    pub rows_outside: u64,
    /// Why the search was worse than configured, if it was.
    pub degraded: Option<String>,
}

impl From<&Recalled> for MemoryReport {
    fn from(found: &Recalled) -> Self {
        Self {
            mode: found.mode,
            hits: found.hits.len(),
            rows_in_fence: found.rows_in_fence,
            rows_outside: found.rows_outside,
            degraded: found.degraded.map(str::to_owned),
        }
    }
}
