//! Deleting a session, in one transaction, with a receipt.
//!
//! Everything that holds the session's words goes: turns and messages, the session-learning cache, and the
//! facts that its principal told in it; so do the journal's rows of what ran in it. Only [`super::History`] calls it, inside an erasing transaction.

use haversack::well_known::{Principal, SessionId};
use haversack_store::StoreError;
use haversack_store::sqlite::{Connection, Transaction, params};
use serde::{Deserialize, Serialize};

/// What a deletion removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// Turns.
    pub turns: usize,
    /// Messages of those turns.
    pub messages: usize,
    /// Attempts noted in the session.
    pub attempts: usize,
    /// Facts that its principal told in it, superseded ones included.
    pub memories: usize,
}

/// Whether the session exists and is this principal's.
pub(super) fn owns(db: &Connection, owner: &Principal, id: &SessionId) -> Result<bool, StoreError> {
    let owned = "SELECT 1 FROM sessions WHERE session_id = ?1 AND principal = ?2";
    Ok(db.prepare_cached(owned)?.exists(params![id.as_str(), owner.as_str()])?)
}

/// Whether this principal left anything in the session. One in which nothing was said, such as those of MCP, has no row of
/// its own and may hold attempts, facts and trees all the same. What was asked of a name that is somebody else's is nothing.
pub(super) fn left(db: &Connection, owner: &Principal, id: &SessionId) -> Result<bool, StoreError> {
    let left = "SELECT 1 WHERE
        EXISTS (SELECT 1 FROM sessions WHERE session_id = ?1 AND principal = ?2)
        OR EXISTS (SELECT 1 FROM attempts WHERE session_id = ?1 AND principal = ?2)
        OR EXISTS (SELECT 1 FROM memories WHERE session_id = ?1 AND principal = ?2)
        OR (NOT EXISTS (SELECT 1 FROM sessions WHERE session_id = ?1)
            AND EXISTS (SELECT 1 FROM journal WHERE session_id = ?1 AND principal = ?2))";
    Ok(db.prepare_cached(left)?.exists(params![id.as_str(), owner.as_str()])?)
}

pub(super) fn session(
    tx: &Transaction<'_>,
    owner: &Principal,
    id: &SessionId,
) -> Result<Option<Receipt>, StoreError> {
    if !left(tx, owner, id)? {
        return Ok(None);
    }
    let owned = owns(tx, owner, id)?;
    let (id, owner) = (id.as_str(), owner.as_str());
    let mut receipt = Receipt {
        attempts: tx
            .execute("DELETE FROM attempts WHERE session_id = ?1 AND principal = ?2", params![id, owner])?,
        memories: tx
            .execute("DELETE FROM memories WHERE session_id = ?1 AND principal = ?2", params![id, owner])?,
        ..Receipt::default()
    };
    // The trees of what ran in it name the session and its ids.
    tx.execute("DELETE FROM journal WHERE session_id = ?1 AND principal = ?2", params![id, owner])?;
    if owned {
        receipt.messages = tx.execute("DELETE FROM messages WHERE session_id = ?1", [id])?;
        // Manifests go with their turns.
        receipt.turns = tx.execute("DELETE FROM turns WHERE session_id = ?1", [id])?;
        tx.execute("DELETE FROM sessions WHERE session_id = ?1", [id])?;
        // One without a row is never opened again, so a mark would keep its name shut.
        haversack_store::sessions::deleted(tx, id, owner)?;
    }
    Ok(Some(receipt))
}
