//! What the holder of a lease may do to its job: keep the lease, report, end it, say that the end was told.
//!
//! Every statement names the id, the generation and the state `running`, or the drive whose end was told; a lease that
//! was lost matches no row, and nothing of its report is written. Only the worker's calls come here, in batches.

use haversack_store::StoreError;
use haversack_store::sqlite::{Connection, OptionalExtension, Transaction, params};

use crate::backend::{Ill, Lease, Record, Report, Standing};

/// How many rows one sweep deletes, so that nobody waits long for it.
const SWEPT: i64 = 500;

/// How long a job may stay parked before it fails: seven days.
const PARKED_MS: i64 = 7 * 24 * 3600 * 1000;

pub(super) fn renew(tx: &Transaction<'_>, leases: &[Lease], until: i64) -> Result<Vec<Standing>, StoreError> {
    let mut renew = tx.prepare_cached(
        "UPDATE jobs SET lease_until = ?3 WHERE id = ?1 AND generation = ?2 AND state = 'running'
         RETURNING cancel_requested",
    )?;
    let each = leases.iter().map(|lease| {
        let row = renew
            .query_row(params![lease.id.as_str(), lease.generation.cast_signed(), until], |row| row.get(0));
        Ok(standing(row.optional()?))
    });
    each.collect()
}

pub(super) fn look(conn: &Connection, leases: &[Lease]) -> Result<Vec<Standing>, StoreError> {
    let mut look = conn.prepare_cached(
        "SELECT cancel_requested FROM jobs WHERE id = ?1 AND generation = ?2 AND state = 'running'",
    )?;
    let each = leases.iter().map(|lease| {
        let row =
            look.query_row(params![lease.id.as_str(), lease.generation.cast_signed()], |row| row.get(0));
        Ok(standing(row.optional()?))
    });
    each.collect()
}

fn standing(cancel_requested: Option<bool>) -> Standing {
    match cancel_requested {
        Some(false) => Standing::Held,
        Some(true) => Standing::CancelRequested,
        None => Standing::Lost,
    }
}

pub(super) fn record(
    tx: &Transaction<'_>,
    records: &[Record],
    tell_in: Option<i64>,
    now: i64,
) -> Result<Vec<bool>, StoreError> {
    let clock = Clock { now, tell_at: tell_in.map(|wait| now.saturating_add(wait)) };
    records.iter().map(|record| one(tx, &record.lease, &record.what, &clock)).collect()
}

/// The instant of a transaction, and when an end of it is told by somebody else.
struct Clock {
    now: i64,
    tell_at: Option<i64>,
}

fn one(tx: &Transaction<'_>, lease: &Lease, what: &Report, clock: &Clock) -> Result<bool, StoreError> {
    let now = clock.now;
    match what {
        Report::Progress { done, total, note } => {
            let mut progress = tx.prepare_cached(
                "UPDATE jobs SET progress_done = ?3, progress_total = ?4, progress_note = ?5, changes = changes + 1
                 WHERE id = ?1 AND generation = ?2 AND state = 'running'",
            )?;
            let total = total.map(u64::cast_signed);
            let id = lease.id.as_str();
            let changed = progress.execute(params![
                id,
                lease.generation.cast_signed(),
                done.cast_signed(),
                total,
                note
            ])?;
            Ok(changed == 1)
        }
        Report::Succeeded { outcome } => end(tx, lease, "succeeded", Some(outcome), None, clock),
        Report::Failed(ill) => end(tx, lease, "failed", ill.text.as_ref(), Some(ill), clock),
        Report::Cancelled(ill) => end(tx, lease, "cancelled", None, ill.as_ref(), clock),
        Report::Retry(ill, wait) => {
            let mut retry = tx.prepare_cached(
                "UPDATE jobs SET state = 'retrying', run_at = ?3, attempt = attempt + 1, deliveries = 0,
                        outcome = ?4, failure = ?5, failure_code = ?6, expires_at = NULL,
                        lease_until = NULL, lease_owner = NULL, changes = changes + 1
                 WHERE id = ?1 AND generation = ?2 AND state = 'running'",
            )?;
            back(&mut retry, lease, now.saturating_add(*wait), ill)
        }
        Report::Parked(ill, wait) => {
            let mut park = tx.prepare_cached(&format!(
                "UPDATE jobs SET state = 'parked', run_at = ?3, deliveries = 0,
                        outcome = ?4, failure = ?5, failure_code = ?6,
                        expires_at = coalesce(expires_at, ?3 + {PARKED_MS}),
                        lease_until = NULL, lease_owner = NULL, changes = changes + 1
                 WHERE id = ?1 AND generation = ?2 AND state = 'running'"
            ))?;
            back(&mut park, lease, now.saturating_add(*wait), ill)
        }
        Report::Released(wait) => {
            let mut release = tx.prepare_cached(
                "UPDATE jobs SET state = CASE WHEN attempt > 1 THEN 'retrying' ELSE 'queued' END, run_at = ?3,
                        deliveries = max(deliveries - 1, 0), lease_until = NULL, lease_owner = NULL,
                        changes = changes + 1
                 WHERE id = ?1 AND generation = ?2 AND state = 'running'",
            )?;
            let until = now.saturating_add(*wait);
            Ok(release.execute(params![lease.id.as_str(), lease.generation.cast_signed(), until])? == 1)
        }
        Report::Told { drive, lost } => told(tx, lease, *drive, *lost),
    }
}

fn back(
    statement: &mut haversack_store::sqlite::CachedStatement<'_>,
    lease: &Lease,
    run_at: i64,
    ill: &Ill,
) -> Result<bool, StoreError> {
    let (id, generation) = (lease.id.as_str(), lease.generation.cast_signed());
    Ok(statement.execute(params![id, generation, run_at, ill.text, ill.kind.as_str(), ill.code])? == 1)
}

fn end(
    tx: &Transaction<'_>,
    lease: &Lease,
    state: &'static str,
    outcome: Option<&Vec<u8>>,
    ill: Option<&Ill>,
    clock: &Clock,
) -> Result<bool, StoreError> {
    let mut end = tx.prepare_cached(
        "UPDATE jobs SET state = ?3, outcome = ?4, failure = ?5, failure_code = ?6, run_at = NULL, finished_at = ?7,
                expires_at = ?7 + keep_ms, lease_until = NULL, lease_owner = NULL, tell_at = ?8, tell_tries = 0,
                changes = changes + 1
         WHERE id = ?1 AND generation = ?2 AND state = 'running'
         RETURNING number",
    )?;
    let (id, generation) = (lease.id.as_str(), lease.generation.cast_signed());
    let kind = ill.map(|ill| ill.kind.as_str());
    let code = ill.and_then(|ill| ill.code.as_deref());
    let number: Option<i64> = end
        .query_row(params![id, generation, state, outcome, kind, code, clock.now, clock.tell_at], |row| {
            row.get(0)
        })
        .optional()?;
    let Some(number) = number else { return Ok(false) };
    // What failed may be driven again; of what is done and told nobody needs the request.
    if state != "failed" && clock.tell_at.is_none() {
        forget_request(tx, number)?;
    }
    Ok(true)
}

/// The end of a drive needs no more telling. One that was driven again meanwhile has another end to come.
fn told(tx: &Transaction<'_>, lease: &Lease, drive: u32, lost: bool) -> Result<bool, StoreError> {
    let mut told = tx.prepare_cached(
        "UPDATE jobs SET tell_at = NULL, untold = ?4, changes = changes + ?4
         WHERE id = ?1 AND generation = ?2 AND drive = ?3 AND tell_at IS NOT NULL AND finished_at IS NOT NULL
         RETURNING number, state IN ('succeeded', 'cancelled')",
    )?;
    let params = params![lease.id.as_str(), lease.generation.cast_signed(), drive, lost];
    let row = told.query_row(params, |row| Ok((row.get::<_, i64>(0)?, row.get::<_, bool>(1)?)));
    let Some((number, over)) = row.optional()? else { return Ok(false) };
    if over {
        forget_request(tx, number)?;
    }
    Ok(true)
}

/// Deletes what a job was given: arguments, context, token.
pub(super) fn forget_request(tx: &Transaction<'_>, number: i64) -> Result<(), StoreError> {
    tx.prepare_cached("DELETE FROM job_requests WHERE number = ?1")?.execute([number])?;
    Ok(())
}

pub(super) fn sweep(tx: &Transaction<'_>, now: i64) -> Result<usize, StoreError> {
    let mut parked = tx.prepare_cached(
        "UPDATE jobs SET state = 'failed', run_at = NULL, finished_at = ?1, expires_at = ?1 + keep_ms, tell_at = ?1,
                tell_tries = 0, changes = changes + 1
         WHERE state = 'parked' AND expires_at <= ?1",
    )?;
    parked.execute([now])?;
    let mut sweep = tx.prepare_cached(
        "DELETE FROM jobs WHERE number IN
            (SELECT number FROM jobs WHERE expires_at <= ?1 AND finished_at IS NOT NULL AND tell_at IS NULL
                                       AND in_outbox = 0 LIMIT ?2)",
    )?;
    Ok(sweep.execute(params![now, SWEPT])?)
}
