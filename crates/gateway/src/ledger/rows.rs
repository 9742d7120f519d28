//! The rows of the ledger, and what may happen to them.
//!
//! Each function is one change between two states, in a transaction of its caller. A claim hands out a fence; whoever settles
//! shows it, and a claim that was lost meanwhile changes nothing. Only the ledger calls it.

use std::collections::HashMap;

use haversack::well_known::{Principal, TenantId};
use haversack_store::sqlite::{
    Connection, Error, FromSql, FromSqlError, FromSqlResult, Transaction, ValueRef, params,
};
use haversack_store::{StoreError, now_millis};
use serde::Serialize;
use serde_json::Value;

use super::LedgerOptions;

/// A place, as a number.
pub(super) type Target = [u8; 32];

/// Where a delivery stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryState {
    /// It waits.
    Pending,
    /// It is being sent, or its gateway died while it was.
    Attempting,
    /// It was taken by the other side.
    Delivered,
    /// It was refused, or nobody was there.
    Failed,
    /// It was given up: too old, or interrupted twice.
    Abandoned,
}

impl FromSql for DeliveryState {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        match value.as_str()? {
            "pending" => Ok(Self::Pending),
            "attempting" => Ok(Self::Attempting),
            "delivered" => Ok(Self::Delivered),
            "failed" => Ok(Self::Failed),
            "abandoned" => Ok(Self::Abandoned),
            _ => Err(FromSqlError::InvalidType),
        }
    }
}

/// A delivery, without its words. Times in milliseconds since the Unix epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Delivery {
    /// Its name.
    pub id: String,
    /// Where it stands.
    pub state: DeliveryState,
    /// How often it was tried.
    pub attempts: u32,
    /// When it was submitted.
    pub created_at: i64,
    /// When it ended.
    pub ended_at: Option<i64>,
    /// Why it ended as it did: a short fixed word.
    pub reason: Option<String>,
}

/// A row that is about to be.
pub(crate) struct NewDelivery {
    pub(crate) id: String,
    pub(super) principal: String,
    pub(super) target: Target,
    pub(super) sealed: Vec<u8>,
    pub(super) at: i64,
}

impl NewDelivery {
    /// Adds it, unless one of this name is there.
    pub(crate) fn insert(&self, tx: &Transaction<'_>, tenant: &TenantId) -> Result<(), StoreError> {
        let Self { id, principal, target, sealed, at } = self;
        tx.prepare_cached(
            "INSERT INTO gateway_deliveries (id, tenant, principal, target, state, sealed, due_at, created_at)
             VALUES (?1, ?2, ?3, ?4, 'pending', ?5, ?6, ?6) ON CONFLICT (tenant, id) DO NOTHING",
        )?
        .execute(params![id, tenant.as_str(), principal, target, sealed, at])?;
        Ok(())
    }
}

/// A delivery that is ours for a while.
pub(super) struct Claimed {
    pub(super) number: i64,
    pub(super) id: String,
    pub(super) tenant: String,
    pub(super) target: Target,
    pub(super) sealed: Vec<u8>,
    pub(super) parts_done: usize,
    pub(super) again: bool,
    pub(super) attempts: u32,
    pub(super) fence: i64,
}

/// What may be claimed, and by whom: each tenant in turn, and none more than its share.
#[derive(Clone, Debug)]
pub(super) struct Places {
    /// Deliveries that may begin.
    pub(super) free: usize,
    /// Deliveries of one tenant that may be under way.
    pub(super) share: usize,
    /// The tenant that was served last.
    pub(super) after: String,
}

/// What a look at the ledger found.
pub(super) struct Look {
    /// Something may be claimed, or the lease of somebody who died is over.
    pub(super) claim: bool,
    /// When there is more to do, unless something changes before.
    pub(super) next: Option<i64>,
}

/// Looks without changing anything: most looks find nothing, and a write would wake every watcher of the file.
pub(super) fn look(conn: &Connection, places: &Places) -> Result<Look, StoreError> {
    let now = now_millis();
    let mut statement =
        conn.prepare_cached("SELECT min(lease_until) FROM gateway_deliveries WHERE state = 'attempting'")?;
    let lapse: Option<i64> = statement.query_row([], |row| row.get(0))?;
    let lapsed = lapse.is_some_and(|at| at <= now);
    // What is due and cannot be claimed waits for an end, and needs no time.
    let mut statement = conn.prepare_cached(
        "SELECT min(max(due.due_at, coalesce(place.probe_at, 0))) FROM gateway_deliveries AS due
         LEFT JOIN gateway_targets AS place ON place.target = due.target
         WHERE due.state = 'pending' AND max(due.due_at, coalesce(place.probe_at, 0)) > ?1 AND NOT EXISTS (
             SELECT 1 FROM gateway_deliveries AS earlier
             WHERE earlier.target = due.target AND earlier.number < due.number
               AND earlier.state IN ('pending', 'attempting'))",
    )?;
    let due: Option<i64> = statement.query_row([now], |row| row.get(0))?;
    let claim = lapsed || !pick(conn, places, now)?.is_empty();
    Ok(Look { claim, next: due.into_iter().chain(lapse).min() })
}

/// Claims what is due: of each place the oldest only, so that a place hears things in order, and of a dead place one when it
/// is time to probe. In the order in which they were picked.
pub(super) fn claim(tx: &Transaction<'_>, places: &Places, lease: i64) -> Result<Vec<Claimed>, StoreError> {
    let now = now_millis();
    let mut statement = tx.prepare_cached(
        "UPDATE gateway_deliveries
         SET state = 'attempting', fence = fence + 1, attempts = attempts + 1, lease_until = ?2, due_at = 0
         WHERE number = ?1
         RETURNING number, id, tenant, target, sealed, parts_done, again, attempts, fence",
    )?;
    let claimed = pick(tx, places, now)?.into_iter().map(|number| {
        statement.query_row([number, now + lease], |row| {
            Ok(Claimed {
                number: row.get(0)?,
                id: row.get(1)?,
                tenant: row.get(2)?,
                target: row.get(3)?,
                sealed: row.get(4)?,
                parts_done: usize::try_from(row.get::<_, i64>(5)?).unwrap_or_default(),
                again: row.get(6)?,
                attempts: row.get(7)?,
                fence: row.get(8)?,
            })
        })
    });
    Ok(claimed.collect::<Result<_, Error>>()?)
}

/// The deliveries that may begin now: one of each tenant, from the one behind whoever was served last, then a second one of
/// each, until there is no place left.
fn pick(conn: &Connection, places: &Places, now: i64) -> Result<Vec<i64>, StoreError> {
    let Places { free, share, after } = places;
    let mut under_way = HashMap::new();
    let mut statement = conn.prepare_cached(
        "SELECT tenant, count(*) FROM gateway_deliveries WHERE state = 'attempting' GROUP BY tenant",
    )?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let many = usize::try_from(row.get::<_, i64>(1)?).unwrap_or(usize::MAX);
        under_way.insert(row.get::<_, String>(0)?, many);
    }
    let mut next = conn.prepare_cached(
        "SELECT min(tenant) FROM gateway_deliveries WHERE state = 'pending' AND tenant > ?1",
    )?;
    let mut of_each: Vec<Vec<i64>> = Vec::new();
    // From the one behind `after` to the last, and from the first up to it.
    for (from, upto) in [(after.as_str(), None), ("", Some(after))] {
        let mut at = from.to_owned();
        while of_each.len() < *free {
            let Some(tenant) = next.query_row([&at], |row| row.get::<_, Option<String>>(0))? else { break };
            if upto.is_some_and(|upto| tenant > *upto) {
                break;
            }
            let room = share.saturating_sub(under_way.get(&tenant).copied().unwrap_or_default()).min(*free);
            if room > 0 {
                let due = due(conn, &tenant, now, room)?;
                of_each.extend((!due.is_empty()).then_some(due));
            }
            at = tenant;
        }
    }
    let rounds = (0..*share).flat_map(|round| of_each.iter().filter_map(move |due| due.get(round).copied()));
    Ok(rounds.take(*free).collect())
}

/// What is due of one tenant, the longest due first.
fn due(conn: &Connection, tenant: &str, now: i64, most: usize) -> Result<Vec<i64>, StoreError> {
    let mut statement = conn.prepare_cached(
        "SELECT due.number FROM gateway_deliveries AS due
         LEFT JOIN gateway_targets AS place ON place.target = due.target
         WHERE due.state = 'pending' AND due.tenant = ?1 AND due.due_at <= ?2
           AND (place.probe_at IS NULL OR place.probe_at <= ?2)
           AND NOT EXISTS (
               SELECT 1 FROM gateway_deliveries AS earlier
               WHERE earlier.target = due.target AND earlier.number < due.number
                 AND earlier.state IN ('pending', 'attempting'))
         ORDER BY due.due_at, due.number LIMIT ?3",
    )?;
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    let rows = statement.query_map(params![tenant, now, most], |row| row.get(0))?;
    Ok(rows.collect::<Result<_, Error>>()?)
}

/// One part was taken: the next attempt begins after it, and needs no mark. False when the claim was lost.
pub(super) fn advance(
    tx: &Transaction<'_>,
    claim: (i64, i64),
    done: usize,
    lease: i64,
) -> Result<bool, StoreError> {
    let changed = tx
        .prepare_cached(
            "UPDATE gateway_deliveries SET parts_done = ?3, again = 0, interrupted = 0, lease_until = ?4
             WHERE number = ?1 AND fence = ?2 AND state = 'attempting'",
        )?
        .execute(params![claim.0, claim.1, i64::try_from(done).unwrap_or(i64::MAX), now_millis() + lease])?;
    Ok(changed > 0)
}

/// How an attempt ended.
pub(super) enum End {
    Delivered,
    Failed(&'static str),
    /// Not now. The `bool` says whether it may have arrived.
    Later(Option<i64>, bool),
    /// Nobody listens; the place says when somebody does.
    Away,
    /// The place is gone.
    Gone,
}

/// Ends an attempt. False when the claim was lost: somebody else has the delivery, and what we know of it is old.
pub(super) fn settle(
    tx: &Transaction<'_>,
    claim: (i64, i64),
    target: &Target,
    attempts: u32,
    end: &End,
    options: &LedgerOptions,
) -> Result<bool, StoreError> {
    let now = now_millis();
    let ended = |state: &str, reason: Option<&str>| -> Result<bool, StoreError> {
        let changed = tx
            .prepare_cached(
                "UPDATE gateway_deliveries
                 SET state = ?3, reason = ?4, ended_at = ?5, sealed = NULL, lease_until = NULL
                 WHERE number = ?1 AND fence = ?2 AND state = 'attempting'",
            )?
            .execute(params![claim.0, claim.1, state, reason, now])?;
        Ok(changed > 0)
    };
    let waits = |due: i64, again: bool| -> Result<bool, StoreError> {
        let changed = tx
            .prepare_cached(
                "UPDATE gateway_deliveries
                 SET state = 'pending', due_at = ?3, again = max(again, ?4), lease_until = NULL
                 WHERE number = ?1 AND fence = ?2 AND state = 'attempting'",
            )?
            .execute(params![claim.0, claim.1, due, again])?;
        Ok(changed > 0)
    };
    match end {
        End::Delivered => Ok(ended("delivered", None)? && heal(tx, target)?),
        End::Failed(reason) => ended("failed", Some(reason)),
        End::Gone => Ok(ended("failed", Some("gone"))? && fail(tx, target, true, options)?),
        End::Away => {
            // Somebody may have come back between our look and now: `revive` has then set a time.
            let revived: i64 = tx
                .prepare_cached("SELECT due_at FROM gateway_deliveries WHERE number = ?1")?
                .query_row([claim.0], |row| row.get(0))?;
            let later = now.saturating_add(millis(options.oldest));
            waits(if revived > 0 { revived } else { later }, false)
        }
        End::Later(after, again) => {
            let due = now.saturating_add(after.unwrap_or_else(|| backoff(attempts, options)));
            let ours = match attempts >= options.attempts {
                true => ended("failed", Some("unreachable"))?,
                false => waits(due, *again)?,
            };
            Ok(ours && fail(tx, target, false, options)?)
        }
    }
}

/// Deliveries whose gateway died while it sent them. The first time they are due again, with a mark; the second time they
/// are given up, because a message that kills whoever sends it would be sent for ever.
pub(super) fn recover(tx: &Transaction<'_>) -> Result<usize, StoreError> {
    let now = now_millis();
    let abandoned = tx
        .prepare_cached(
            "UPDATE gateway_deliveries
         SET state = 'abandoned', reason = 'interrupted', ended_at = ?1, sealed = NULL, lease_until = NULL
         WHERE state = 'attempting' AND lease_until <= ?1 AND interrupted > 0",
        )?
        .execute([now])?;
    let again = tx
        .prepare_cached(
            "UPDATE gateway_deliveries
         SET state = 'pending', again = 1, interrupted = interrupted + 1, due_at = ?1, lease_until = NULL
         WHERE state = 'attempting' AND lease_until <= ?1",
        )?
        .execute([now])?;
    Ok(abandoned + again)
}

/// Gives up what is too old, and forgets what ended long ago.
pub(super) fn sweep(tx: &Transaction<'_>, options: &LedgerOptions) -> Result<usize, StoreError> {
    let now = now_millis();
    let abandoned = tx.execute(
        "UPDATE gateway_deliveries SET state = 'abandoned', reason = 'too old', ended_at = ?1, sealed = NULL
         WHERE state = 'pending' AND created_at < ?1 - ?2",
        [now, millis(options.oldest)],
    )?;
    tx.execute("DELETE FROM gateway_deliveries WHERE ended_at < ?1 - ?2", [now, millis(options.keep)])?;
    Ok(abandoned)
}

/// Whether anything waits for a place, or the place counts as failing.
pub(super) fn waits(conn: &Connection, target: &Target) -> Result<bool, StoreError> {
    let mut statement = conn.prepare_cached(
        "SELECT EXISTS (SELECT 1 FROM gateway_deliveries WHERE target = ?1 AND state IN ('pending', 'attempting'))
             OR EXISTS (SELECT 1 FROM gateway_targets WHERE target = ?1)",
    )?;
    Ok(statement.query_row([target], |row| row.get(0))?)
}

/// What waits for a place is due now, and so is what is being tried there, should it find nobody.
pub(super) fn revive(tx: &Transaction<'_>, target: &Target) -> Result<(), StoreError> {
    tx.prepare_cached(
        "UPDATE gateway_deliveries SET due_at = ?2 WHERE target = ?1 AND state IN ('pending', 'attempting')",
    )?
    .execute(params![target, now_millis()])?;
    heal(tx, target)?;
    Ok(())
}

/// Takes back what was not attempted yet.
pub(super) fn withdraw(tx: &Transaction<'_>, tenant: &str, id: &str) -> Result<bool, StoreError> {
    let changed = tx.execute(
        "UPDATE gateway_deliveries SET state = 'abandoned', reason = 'withdrawn', ended_at = ?3, sealed = NULL
         WHERE id = ?1 AND tenant = ?2 AND state = 'pending' AND attempts = 0",
        params![id, tenant, now_millis()],
    )?;
    Ok(changed > 0)
}

/// The newest deliveries of some principals of a tenant; of all of them without.
pub(super) fn list(
    conn: &Connection,
    tenant: &str,
    principals: Option<&[Principal]>,
    limit: usize,
) -> Result<Vec<Delivery>, StoreError> {
    let mut statement = conn.prepare_cached(
        "SELECT id, state, attempts, created_at, ended_at, reason FROM gateway_deliveries
         WHERE tenant = ?1 AND (?2 IS NULL OR principal IN (SELECT value FROM json_each(?2)))
         ORDER BY number DESC LIMIT ?3",
    )?;
    let principals =
        principals.map(|those| Value::from_iter(those.iter().map(Principal::as_str)).to_string());
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows = statement.query_map(params![tenant, principals, limit], |row| {
        Ok(Delivery {
            id: row.get(0)?,
            state: row.get(1)?,
            attempts: row.get(2)?,
            created_at: row.get(3)?,
            ended_at: row.get(4)?,
            reason: row.get(5)?,
        })
    })?;
    Ok(rows.collect::<Result<_, Error>>()?)
}

/// The place answered.
fn heal(tx: &Transaction<'_>, target: &Target) -> Result<bool, StoreError> {
    tx.prepare_cached("DELETE FROM gateway_targets WHERE target = ?1")?.execute([target])?;
    Ok(true)
}

/// The place did not answer. After some failures in a row it is dead, and asked more and more seldom.
fn fail(
    tx: &Transaction<'_>,
    target: &Target,
    gone: bool,
    options: &LedgerOptions,
) -> Result<bool, StoreError> {
    let now = now_millis();
    let failures: u32 = tx
        .prepare_cached(
            "INSERT INTO gateway_targets (target, failures) VALUES (?1, 1)
             ON CONFLICT (target) DO UPDATE SET failures = failures + 1 RETURNING failures",
        )?
        .query_row([target], |row| row.get(0))?;
    if gone || failures >= options.dead_after {
        tx.prepare_cached(
            "UPDATE gateway_targets SET dead_since = coalesce(dead_since, ?2), probe_at = ?2 + ?3 WHERE target = ?1",
        )?
        .execute(params![target, now, backoff(failures, options)])?;
    }
    Ok(true)
}

/// Twice the wait with each failure, up to the longest. In milliseconds.
fn backoff(failures: u32, options: &LedgerOptions) -> i64 {
    let doubled = millis(options.first_wait).saturating_mul(1 << failures.saturating_sub(1).min(20));
    doubled.min(millis(options.longest_wait))
}

fn millis(span: std::time::Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}
