//! Sessions that are over: whether what still runs in one may write there.
//!
//! A deletion leaves a hash of the session and its principal behind, until the same principal opens one of the name
//! again. Whoever writes what a session said asks here, inside the transaction of the write.

use rusqlite::{Connection, Transaction, params};
use sha2::{Digest, Sha256};

use crate::{StoreError, now_millis};

/// How long a deletion is remembered: longer than any work of the session may wait.
const KEPT_MS: i64 = 90 * 24 * 3600 * 1000;

/// Whether the principal may no longer write in a session of this name: it deleted that, or it is another principal's. A
/// session that has never been in the history, such as one of an MCP client, is nobody's and may be written in.
///
/// # Errors
/// What SQLite says.
pub fn is_over(db: &Connection, session: &str, principal: &str) -> Result<bool, StoreError> {
    let over = "SELECT NOT EXISTS (SELECT 1 FROM sessions WHERE session_id = ?1 AND principal = ?2)
                   AND (EXISTS (SELECT 1 FROM sessions WHERE session_id = ?1)
                     OR EXISTS (SELECT 1 FROM deleted_sessions WHERE fingerprint = ?3))";
    let of = params![session, principal, fingerprint(session, principal)];
    Ok(db.prepare_cached(over)?.query_row(of, |row| row.get(0))?)
}

/// Notes that the principal deleted the session, in the transaction that does it.
///
/// # Errors
/// What SQLite says.
pub fn deleted(tx: &Transaction<'_>, session: &str, principal: &str) -> Result<(), StoreError> {
    let now = now_millis();
    let insert = "INSERT OR REPLACE INTO deleted_sessions (fingerprint, deleted_at) VALUES (?1, ?2)";
    tx.execute(insert, params![fingerprint(session, principal), now])?;
    tx.execute("DELETE FROM deleted_sessions WHERE deleted_at < ?1", [now.saturating_sub(KEPT_MS)])?;
    Ok(())
}

fn fingerprint(session: &str, principal: &str) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(u64::try_from(session.len()).unwrap_or(u64::MAX).to_be_bytes());
    hash.update(session);
    hash.update(principal);
    hash.finalize().into()
}
