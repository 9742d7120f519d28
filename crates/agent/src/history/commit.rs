//! Committing a turn, in one transaction: what was said since the first message, the reply, its manifest, the end.
//!
//! The last message of a completed turn is its reply, stored with all that a repetition must give back. A
//! turn that was interrupted meanwhile, or whose session is deleted, commits nothing. Only the book calls it.

use haversack::well_known::SessionId;
use haversack_memory::buffer::Manifest;
use haversack_store::sqlite::{Transaction, params};
use haversack_store::{StoreError, now_millis};
use serde::{Deserialize, Serialize};

use super::begin::json;
use crate::error::TurnError;
use crate::model::Message;
use crate::turn::{MemoryReport, Reply, ToolUse, TurnId};

/// The content of a reply's message.
#[derive(Serialize, Deserialize)]
pub(super) struct StoredReply {
    role: Assistant,
    text: String,
    agent: String,
    model: String,
    tools: Vec<ToolUse>,
    memory: MemoryReport,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Assistant {
    Assistant,
}

impl StoredReply {
    fn of(reply: &Reply) -> Self {
        let Reply { text, agent, model, tools, memory, .. } = reply.clone();
        Self { role: Assistant::Assistant, text, agent, model, tools, memory }
    }

    /// The reply as it was, marked as given before.
    pub(super) fn into_reply(self, turn: TurnId, session: &SessionId, manifest: Manifest) -> Reply {
        let Self { role: Assistant::Assistant, text, agent, model, tools, memory } = self;
        let session = session.as_str().to_owned();
        Reply { turn, session, text, agent, model, tools, memory, manifest, replayed: true, added: false }
    }
}

/// Everything that the transaction writes.
pub(super) struct Rows {
    session: SessionId,
    turn: String,
    messages: Vec<(i64, &'static str, String)>,
    manifest: String,
}

impl Rows {
    pub(super) fn new(session: &SessionId, reply: &Reply, steps: &[Vec<Message>]) -> Result<Self, TurnError> {
        let mut messages = Vec::new();
        for (seq, message) in (1..).zip(steps.iter().flatten()) {
            let role = match message {
                // Recorded when it was heard.
                Message::User { .. } => continue,
                Message::Assistant { .. } => "assistant",
                Message::Tool { .. } => "tool",
            };
            messages.push((seq, role, json(message)?));
        }
        let last = i64::try_from(steps.iter().map(Vec::len).sum::<usize>()).unwrap_or(i64::MAX);
        messages.push((last.saturating_add(1), "assistant", json(&StoredReply::of(reply))?));
        let (turn, manifest) = (reply.turn.to_string(), json(&reply.manifest)?);
        Ok(Self { session: session.clone(), turn, messages, manifest })
    }
}

/// False when the turn does not run any more; nothing is written then.
pub(super) fn commit(tx: &Transaction<'_>, rows: &Rows) -> Result<bool, StoreError> {
    let now = now_millis();
    let end =
        "UPDATE turns SET status = 'completed', ended_at = ?2 WHERE turn_id = ?1 AND status = 'running'";
    if tx.prepare_cached(end)?.execute(params![rows.turn, now])? == 0 {
        return Ok(false);
    }
    let insert =
        "INSERT INTO messages (session_id, turn_id, seq, role, content, at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    let mut insert = tx.prepare_cached(insert)?;
    for (seq, role, content) in &rows.messages {
        insert.execute(params![rows.session.as_str(), rows.turn, seq, role, content, now])?;
    }
    let insert = "INSERT INTO manifests (turn_id, json) VALUES (?1, ?2)";
    tx.prepare_cached(insert)?.execute(params![rows.turn, rows.manifest])?;
    Ok(true)
}
