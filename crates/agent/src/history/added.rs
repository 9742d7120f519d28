//! Words that were added to a turn, in one transaction: the message, and the key that must not be answered again.
//!
//! They are recorded when they are heard, so they stand in the history however the turn ends. Their key is answered with the
//! turn and is free again when the turn has no reply. Only the book calls it.

use haversack::well_known::SessionId;
use haversack_store::sqlite::{Connection, OptionalExtension, Row, Transaction, params};
use haversack_store::{StoreError, now_millis};
use sha2::{Digest, Sha256};

use super::begin::{Found, committed, json};
use crate::error::TurnError;
use crate::model::Message;
use crate::turn::{TurnId, TurnRequest};

/// Everything that the transaction needs.
pub(super) struct Addition {
    turn: String,
    session: SessionId,
    seq: i64,
    message: String,
    key: Option<String>,
    hash: [u8; 32],
}

/// What became of added words.
pub(super) enum Added {
    Recorded,
    /// They were answered before.
    Known,
    /// The turn does not run any more.
    Over,
}

impl Addition {
    pub(super) fn new(
        turn: TurnId,
        session: &SessionId,
        place: usize,
        words: &TurnRequest,
    ) -> Result<Self, TurnError> {
        Ok(Self {
            turn: turn.to_string(),
            session: session.clone(),
            seq: i64::try_from(place).unwrap_or(i64::MAX),
            message: json(&Message::User { text: words.message.clone() })?,
            key: words.idempotency_key.clone(),
            hash: Sha256::digest(words.message.as_bytes()).into(),
        })
    }
}

pub(super) fn add(tx: &Transaction<'_>, new: &Addition) -> Result<Added, StoreError> {
    let session = new.session.as_str();
    if let Some(key) = &new.key {
        let sql = "SELECT 1 FROM turns
                   WHERE session_id = ?1 AND status = 'completed'
                     AND (idempotency_key = ?2
                          OR turn_id = (SELECT turn_id FROM added_words WHERE session_id = ?1 AND idempotency_key = ?2))";
        if tx.prepare_cached(sql)?.exists(params![session, key])? {
            return Ok(Added::Known);
        }
    }
    let insert = "INSERT INTO messages (session_id, turn_id, seq, role, content, at)
                  SELECT session_id, turn_id, ?2, 'user', ?3, ?4 FROM turns WHERE turn_id = ?1 AND status = 'running'";
    let row = params![new.turn, new.seq, new.message, now_millis()];
    if tx.prepare_cached(insert)?.execute(row)? == 0 {
        return Ok(Added::Over);
    }
    if let Some(key) = &new.key {
        let insert = "INSERT INTO added_words (session_id, idempotency_key, request_hash, turn_id)
                      VALUES (?1, ?2, ?3, ?4)
                      ON CONFLICT (session_id, idempotency_key)
                      DO UPDATE SET request_hash = excluded.request_hash, turn_id = excluded.turn_id";
        tx.prepare_cached(insert)?.execute(params![session, key, new.hash, new.turn])?;
    }
    Ok(Added::Recorded)
}

/// What answered words of this key that were added to a turn. A turn without a reply gives them up.
pub(super) fn repeated(
    tx: &Transaction<'_>,
    session: &SessionId,
    key: &str,
    hash: &[u8; 32],
) -> Result<Option<Found>, StoreError> {
    let Some((turn, asked, status)) = find(tx, session, key)? else { return Ok(None) };
    if asked.as_slice() != hash {
        return Ok(Some(Found::Conflict));
    }
    if status != "completed" {
        let sql = "DELETE FROM added_words WHERE session_id = ?1 AND idempotency_key = ?2";
        tx.prepare_cached(sql)?.execute(params![session.as_str(), key])?;
        return Ok(None);
    }
    Ok(Some(Found::Added(committed(tx, session, turn)?)))
}

fn find(
    db: &Connection,
    session: &SessionId,
    key: &str,
) -> Result<Option<(String, Vec<u8>, String)>, StoreError> {
    let sql =
        "SELECT a.turn_id, a.request_hash, t.status FROM added_words a JOIN turns t ON t.turn_id = a.turn_id
               WHERE a.session_id = ?1 AND a.idempotency_key = ?2";
    let read = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
    Ok(db.prepare_cached(sql)?.query_row(params![session.as_str(), key], read).optional()?)
}
