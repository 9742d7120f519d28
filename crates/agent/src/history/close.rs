//! The end of a session: closing it, and reading what it learnt.
//!
//! A closed session keeps its history; a new message opens it again. Every statement names the principal. Only
//! [`super::History`] calls it.

use haversack::well_known::{Principal, SessionId};
use haversack_store::sqlite::{Connection, OptionalExtension, Transaction, params};
use haversack_store::{StoreError, now_millis};
use serde::{Deserialize, Serialize};

/// Something that helped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Learnt {
    /// What was tried.
    pub action: String,
    /// What else was said about it.
    pub detail: Option<String>,
}

/// When the session was closed: now, or before. `None` when the principal has none of this name.
pub(super) fn close(
    tx: &Transaction<'_>,
    owner: &Principal,
    session: &SessionId,
) -> Result<Option<i64>, StoreError> {
    let sql =
        "UPDATE sessions SET closed_at = coalesce(closed_at, ?3) WHERE session_id = ?1 AND principal = ?2
               RETURNING closed_at";
    let row = params![session.as_str(), owner.as_str(), now_millis()];
    Ok(tx.prepare_cached(sql)?.query_row(row, |row| row.get(0)).optional()?)
}

/// The attempts of the session that worked and have not expired, oldest first. A closed session has them too.
pub(super) fn learnt(
    db: &Connection,
    owner: &Principal,
    session: &SessionId,
) -> Result<Vec<Learnt>, StoreError> {
    let sql = "SELECT a.action, a.detail FROM attempts a JOIN sessions s ON s.session_id = a.session_id AND s.principal = a.principal
               WHERE a.session_id = ?1 AND s.principal = ?2 AND a.outcome = 'worked' AND a.expires_at > ?3
               ORDER BY a.rowid";
    let mut statement = db.prepare_cached(sql)?;
    let rows = statement.query_map(params![session.as_str(), owner.as_str(), now_millis()], |row| {
        Ok(Learnt { action: row.get(0)?, detail: row.get(1)? })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}
