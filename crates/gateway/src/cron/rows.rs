//! The rows of schedules.
//!
//! Making, listing and ending name tenant and owner; claiming and finishing are the engine's, under a lease with a fence.

use haversack::well_known::{Principal, TenantId};
use haversack_store::sqlite::{Connection, Error, Transaction, params};
use haversack_store::{StoreError, now_millis};
use serde::Serialize;

/// A schedule as its owner sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Schedule {
    /// Its name.
    pub id: String,
    /// When: five cron fields, UTC.
    pub expression: String,
    /// When next, in milliseconds since the Unix epoch.
    pub next_at: i64,
    /// What it was to do cannot be opened any more, as after a key was lost: it does not run. Make it anew.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub lost: bool,
}

pub(super) struct NewRow {
    pub(super) schedule: Schedule,
    pub(super) owner: Principal,
    pub(super) sealed: Vec<u8>,
}

/// A schedule that is due and ours for a while.
pub(super) struct Due {
    pub(super) id: String,
    pub(super) tenant: String,
    pub(super) expression: String,
    pub(super) next_at: i64,
    pub(super) fence: i64,
    pub(super) sealed: Vec<u8>,
}

/// Adds one. False when its owner has `most`.
pub(super) fn insert(
    tx: &Transaction<'_>,
    tenant: &TenantId,
    row: &NewRow,
    most: usize,
) -> Result<bool, StoreError> {
    let there: i64 = tx.query_row(
        "SELECT count(*) FROM gateway_schedules WHERE tenant = ?1 AND owner = ?2 AND lost_at IS NULL",
        params![tenant.as_str(), row.owner.as_str()],
        |row| row.get(0),
    )?;
    if usize::try_from(there).unwrap_or(usize::MAX) >= most {
        return Ok(false);
    }
    let Schedule { id, expression, next_at, lost: _ } = &row.schedule;
    tx.execute(
        "INSERT INTO gateway_schedules (id, tenant, owner, expression, next_at, sealed, created_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        params![id, tenant.as_str(), row.owner.as_str(), expression, next_at, row.sealed, now_millis()],
    )?;
    Ok(true)
}

pub(super) fn list(
    conn: &Connection,
    tenant: &TenantId,
    owner: &Principal,
) -> Result<Vec<Schedule>, StoreError> {
    let mut statement = conn.prepare_cached(
        "SELECT id, expression, next_at, lost_at IS NOT NULL FROM gateway_schedules
         WHERE tenant = ?1 AND owner = ?2 ORDER BY created_at, id",
    )?;
    let rows = statement.query_map(params![tenant.as_str(), owner.as_str()], |row| {
        Ok(Schedule { id: row.get(0)?, expression: row.get(1)?, next_at: row.get(2)?, lost: row.get(3)? })
    })?;
    Ok(rows.collect::<Result<_, Error>>()?)
}

pub(super) fn delete(
    tx: &Transaction<'_>,
    tenant: &TenantId,
    owner: &Principal,
    id: &str,
) -> Result<bool, StoreError> {
    let deleted = tx.execute(
        "DELETE FROM gateway_schedules WHERE id = ?1 AND tenant = ?2 AND owner = ?3",
        params![id, tenant.as_str(), owner.as_str()],
    )?;
    Ok(deleted > 0)
}

/// Whether anything may be claimed.
pub(super) fn any_due(conn: &Connection) -> Result<bool, StoreError> {
    let mut statement = conn.prepare_cached(
        "SELECT EXISTS (
             SELECT 1 FROM gateway_schedules
             WHERE lost_at IS NULL AND next_at <= ?1 AND coalesce(lease_until, 0) <= ?1)",
    )?;
    Ok(statement.query_row([now_millis()], |row| row.get(0))?)
}

/// Claims what is due. The time of the run stays in the row until it is finished, so that a run whose gateway died is done
/// again, under the same name.
pub(super) fn claim(tx: &Transaction<'_>, lease: i64) -> Result<Vec<Due>, StoreError> {
    let mut statement = tx.prepare_cached(
        "UPDATE gateway_schedules SET fence = fence + 1, lease_until = ?1 + ?2
         WHERE lost_at IS NULL AND next_at <= ?1 AND coalesce(lease_until, 0) <= ?1
         RETURNING id, tenant, expression, next_at, fence, sealed",
    )?;
    let rows = statement.query_map([now_millis(), lease], |row| {
        Ok(Due {
            id: row.get(0)?,
            tenant: row.get(1)?,
            expression: row.get(2)?,
            next_at: row.get(3)?,
            fence: row.get(4)?,
            sealed: row.get(5)?,
        })
    })?;
    Ok(rows.collect::<Result<_, Error>>()?)
}

/// Keeps a claim. False when it was lost or the schedule was ended.
pub(super) fn renew(tx: &Transaction<'_>, id: &str, fence: i64, lease: i64) -> Result<bool, StoreError> {
    let changed = tx.execute(
        "UPDATE gateway_schedules SET lease_until = ?3 WHERE id = ?1 AND fence = ?2",
        params![id, fence, now_millis() + lease],
    )?;
    Ok(changed > 0)
}

/// It does not open: it is done with, and its owner sees that.
pub(super) fn lose(tx: &Transaction<'_>, id: &str, fence: i64) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE gateway_schedules SET lost_at = ?3, lease_until = NULL WHERE id = ?1 AND fence = ?2",
        params![id, fence, now_millis()],
    )?;
    Ok(())
}

/// Ends a run: the next one is due at `next_at`, and its words are sealed with the newest key.
pub(super) fn finish(
    tx: &Transaction<'_>,
    id: &str,
    fence: i64,
    next_at: i64,
    sealed: &[u8],
) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE gateway_schedules SET next_at = ?3, sealed = ?4, lease_until = NULL WHERE id = ?1 AND fence = ?2",
        params![id, fence, next_at, sealed],
    )?;
    Ok(())
}
