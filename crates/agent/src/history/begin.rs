//! Beginning a turn, in one transaction: owner, repetition, leftovers, number, message, history.
//!
//! Whether a turn may begin and what it is told about the past is decided on one state of the session. Only
//! the book calls it.

use haversack::well_known::{Principal, SessionId};
use haversack_memory::buffer::Manifest;
use haversack_store::sqlite::{Connection, OptionalExtension, Row, Transaction, params};
use haversack_store::{StoreError, now_millis};
use sha2::{Digest, Sha256};

use super::added;
use super::commit::StoredReply;
use super::past::{self, Past};
use crate::error::TurnError;
use crate::model::Message;
use crate::turn::{Reply, TurnId, TurnRequest};

/// The turn may go on, or was answered before.
#[derive(Debug)]
pub(crate) enum Begun {
    /// The message is recorded.
    New { past: Past },
    /// The same request was answered before.
    Replay(Box<Reply>),
}

/// Everything that the transaction needs.
pub(super) struct Opening {
    turn: TurnId,
    session: SessionId,
    principal: Principal,
    key: Option<String>,
    hash: [u8; 32],
    message: String,
    history_turns: i64,
    speaker: Option<Principal>,
}

impl Opening {
    pub(super) fn new(
        turn: TurnId,
        session: &SessionId,
        principal: &Principal,
        request: &TurnRequest,
        history_turns: usize,
    ) -> Result<Self, TurnError> {
        let message = Message::User { text: request.message.clone() };
        Ok(Self {
            turn,
            session: session.clone(),
            principal: principal.clone(),
            key: request.idempotency_key.clone(),
            hash: Sha256::digest(request.message.as_bytes()).into(),
            message: json(&message)?,
            history_turns: i64::try_from(history_turns).unwrap_or(i64::MAX),
            speaker: None,
        })
    }

    /// The same, spoken by a person who does not own the session.
    pub(super) fn spoken_by(mut self, speaker: Option<Principal>) -> Self {
        self.speaker = speaker.filter(|speaker| *speaker != self.principal);
        self
    }
}

pub(super) fn json(value: &impl serde::Serialize) -> Result<String, TurnError> {
    serde_json::to_string(value).map_err(|_| TurnError::Internal("a message does not serialise"))
}

/// What the transaction found; the closure of a store cannot say it in a [`TurnError`].
pub(super) enum Found {
    New(Past),
    Replay(StoredRow),
    /// The words were added to this turn.
    Added(StoredRow),
    Conflict,
    Taken,
}

/// A committed reply as it is stored.
pub(super) struct StoredRow {
    turn: String,
    session: SessionId,
    content: String,
    manifest: String,
}

impl Found {
    pub(super) fn settle(self) -> Result<Begun, TurnError> {
        match self {
            Self::New(past) => Ok(Begun::New { past }),
            Self::Replay(stored) => stored.reply().map(|reply| Begun::Replay(Box::new(reply))),
            Self::Added(stored) => {
                stored.reply().map(|reply| Begun::Replay(Box::new(Reply { added: true, ..reply })))
            }
            Self::Conflict => Err(TurnError::IdempotencyConflict),
            Self::Taken => Err(TurnError::SessionTaken),
        }
    }
}

impl StoredRow {
    pub(super) fn reply(self) -> Result<Reply, TurnError> {
        let broken = TurnError::Internal("a stored reply does not parse");
        let Ok(turn) = self.turn.parse() else { return Err(broken) };
        let Ok(stored) = serde_json::from_str::<StoredReply>(&self.content) else { return Err(broken) };
        let Ok(manifest) = serde_json::from_str::<Manifest>(&self.manifest) else { return Err(broken) };
        Ok(stored.into_reply(turn, &self.session, manifest))
    }
}

pub(super) fn begin(tx: &Transaction<'_>, new: &Opening) -> Result<Found, StoreError> {
    let now = now_millis();
    if !own_session(tx, new, now)? {
        return Ok(Found::Taken);
    }
    if let Some(found) = repeated(tx, new)? {
        return Ok(found);
    }
    // The caller serialises the turns of a session, so a turn that still runs belongs to a process that is
    // gone, or to a future that was dropped.
    let leftover =
        "UPDATE turns SET status = 'interrupted', ended_at = ?2 WHERE session_id = ?1 AND status = 'running'";
    tx.prepare_cached(leftover)?.execute(params![new.session.as_str(), now])?;
    let insert = "INSERT INTO turns
                      (turn_id, session_id, number, principal, idempotency_key, request_hash, status, started_at)
                  VALUES (?1, ?2, 1 + coalesce((SELECT max(number) FROM turns WHERE session_id = ?2), 0),
                          ?3, ?4, ?5, 'running', ?6)";
    let turn = new.turn.to_string();
    let (session, principal) = (new.session.as_str(), new.principal.as_str());
    tx.prepare_cached(insert)?.execute(params![turn, session, principal, new.key, new.hash, now])?;
    let insert = "INSERT INTO messages (session_id, turn_id, seq, role, content, at) VALUES (?1, ?2, 0, \
        'user', ?3, ?4)";
    tx.prepare_cached(insert)?.execute(params![session, turn, new.message, now])?;
    if let Some(speaker) = &new.speaker {
        let insert =
            "INSERT OR IGNORE INTO session_members (session_id, principal, since) VALUES (?1, ?2, ?3)";
        tx.prepare_cached(insert)?.execute(params![session, speaker.as_str(), now])?;
    }
    Ok(Found::New(past::read(tx, &new.session, new.history_turns)?))
}

/// Makes the session or notes that it is active, which opens a closed one; false when it belongs to another principal.
fn own_session(tx: &Transaction<'_>, new: &Opening, now: i64) -> Result<bool, StoreError> {
    let (session, principal) = (new.session.as_str(), new.principal.as_str());
    let owner = tx
        .prepare_cached("SELECT principal FROM sessions WHERE session_id = ?1")?
        .query_row([session], |row| row.get::<_, String>(0))
        .optional()?;
    match owner {
        Some(owner) if owner != principal => return Ok(false),
        Some(_) => {
            let sql = "UPDATE sessions SET last_active_at = ?2, closed_at = NULL WHERE session_id = ?1";
            tx.prepare_cached(sql)?.execute(params![session, now])?;
        }
        None => {
            let sql = "INSERT INTO sessions (session_id, principal, created_at, last_active_at) VALUES (?1, \
                ?2, ?3, ?3)";
            tx.prepare_cached(sql)?.execute(params![session, principal, now])?;
        }
    }
    Ok(true)
}

/// An earlier turn with the same key: its reply, or a conflict. One that has no reply gives its key up, so
/// that the caller's retry is a new attempt.
fn repeated(tx: &Transaction<'_>, new: &Opening) -> Result<Option<Found>, StoreError> {
    let Some(key) = &new.key else { return Ok(None) };
    let sql =
        "SELECT turn_id, request_hash, status FROM turns WHERE session_id = ?1 AND idempotency_key = ?2";
    let read = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
    let earlier: Option<(String, Option<Vec<u8>>, String)> =
        tx.prepare_cached(sql)?.query_row(params![new.session.as_str(), key], read).optional()?;
    let Some((turn, hash, status)) = earlier else {
        return added::repeated(tx, &new.session, key, &new.hash);
    };
    if hash.as_deref() != Some(&new.hash) {
        return Ok(Some(Found::Conflict));
    }
    if status != "completed" {
        tx.prepare_cached("UPDATE turns SET idempotency_key = NULL WHERE turn_id = ?1")?.execute([turn])?;
        return added::repeated(tx, &new.session, key, &new.hash);
    }
    let stored = committed(tx, &new.session, turn)?;
    Ok(Some(Found::Replay(stored)))
}

/// The reply of a turn that is completed.
pub(super) fn committed(db: &Connection, session: &SessionId, turn: String) -> Result<StoredRow, StoreError> {
    let sql = "SELECT m.content, f.json FROM messages m JOIN manifests f ON f.turn_id = m.turn_id
               WHERE m.turn_id = ?1 ORDER BY m.seq DESC LIMIT 1";
    let row = db.prepare_cached(sql)?.query_row([turn.as_str()], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(StoredRow { turn, session: session.clone(), content: row.0, manifest: row.1 })
}
