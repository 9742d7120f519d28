//! Notices: messages of a session that are no turn's reply, such as what a background tool gave.
//!
//! A notice is a row of its own among the turns, with one message in the role `notice`, so that the history
//! stays append-only and a turn that runs meanwhile is not touched. Only [`super::History`] writes them; the
//! next turn of the session reads them.

use haversack::well_known::{Principal, SessionId};
use haversack_store::sqlite::{OptionalExtension, Transaction, params};
use haversack_store::{StoreError, now_millis};
use serde_json::json;

use super::TurnStatus;
use super::delete::owns;
use crate::turn::TurnId;

/// What stands before keys that no caller of a turn can send: it is no character of a header.
const RESERVED: char = '\u{1f}';

/// A message that is no reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    source: String,
    text: String,
    key: Option<String>,
}

impl Notice {
    /// What `source`, such as a tool, has to say.
    #[must_use]
    pub fn new(source: impl Into<String>, text: impl Into<String>) -> Self {
        Self { source: source.into(), text: text.into(), key: None }
    }

    /// With a key the notice is written once in its session, however often it is delivered: the id of a job.
    #[must_use]
    pub fn once_for(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }
}

/// A notice that is in the history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Noticed {
    /// The id of its row.
    pub id: TurnId,
    /// False when it was there before.
    pub new: bool,
}

pub(super) fn write(
    tx: &Transaction<'_>,
    owner: &Principal,
    session: &SessionId,
    notice: &Notice,
) -> Result<Option<Noticed>, StoreError> {
    if !owns(tx, owner, session)? {
        return Ok(None);
    }
    let key = notice.key.as_ref().map(|key| format!("{RESERVED}notice:{key}"));
    if let Some(id) = key.as_deref().map(|key| by_key(tx, session, key)).transpose()?.flatten() {
        return Ok(Some(Noticed { id, new: false }));
    }
    let content = json!({ "role": "notice", "source": notice.source, "text": notice.text });
    let id = append(tx, owner, session, TurnStatus::Notice, key.as_deref(), &content.to_string())?;
    Ok(Some(Noticed { id, new: true }))
}

/// The key of the summary that holds.
pub(super) fn summary_key() -> String {
    format!("{RESERVED}summary")
}

fn by_key(tx: &Transaction<'_>, session: &SessionId, key: &str) -> Result<Option<TurnId>, StoreError> {
    let sql = "SELECT turn_id FROM turns WHERE session_id = ?1 AND idempotency_key = ?2";
    Ok(tx.prepare_cached(sql)?.query_row(params![session.as_str(), key], |row| row.get(0)).optional()?)
}

/// Appends a row with one message. The session is as active as by a turn.
pub(super) fn append(
    tx: &Transaction<'_>,
    owner: &Principal,
    session: &SessionId,
    status: TurnStatus,
    key: Option<&str>,
    content: &str,
) -> Result<TurnId, StoreError> {
    let now = now_millis();
    let (session, status) = (session.as_str(), status.as_str());
    let insert = "INSERT INTO turns
                      (turn_id, session_id, number, principal, idempotency_key, status, started_at, ended_at)
                  VALUES ('turn_' || lower(hex(randomblob(16))), ?1,
                          1 + coalesce((SELECT max(number) FROM turns WHERE session_id = ?1), 0),
                          ?2, ?3, ?4, ?5, ?5)
                  RETURNING turn_id";
    let row = params![session, owner.as_str(), key, status, now];
    let id: TurnId = tx.prepare_cached(insert)?.query_row(row, |row| row.get(0))?;
    let insert =
        "INSERT INTO messages (session_id, turn_id, seq, role, content, at) VALUES (?1, ?2, 0, ?3, ?4, ?5)";
    tx.prepare_cached(insert)?.execute(params![session, id.to_string(), status, content, now])?;
    let sql = "UPDATE sessions SET last_active_at = ?2 WHERE session_id = ?1";
    tx.prepare_cached(sql)?.execute(params![session, now])?;
    Ok(id)
}
