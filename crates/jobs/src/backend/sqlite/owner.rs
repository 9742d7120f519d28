//! What a job's owner may do with it: look, list, call off, drive again.
//!
//! The owner is the tenant of the store's scope and the principal of the context, compared with the row in one place.
//! A job of somebody else is found as little as one that does not exist. The client comes here.

use haversack_store::sqlite::{Connection, Error, OptionalExtension, Row, Transaction, params};
use haversack_store::{Scope, StoreError, now_millis};

use super::queue::{call_off, job_id};
use crate::{FailureKind, Job, JobId, State};

/// A job, with what is sealed of it.
pub(crate) struct Found {
    pub(crate) job: Job,
    pub(crate) done: Option<(u64, Option<u64>)>,
    pub(crate) note: Option<Vec<u8>>,
    pub(crate) outcome: Option<Vec<u8>>,
}

/// What driving a job again gave.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Driven {
    Queued,
    Refused,
    Unknown,
}

const COLUMNS: &str = "number, id, handler, queue, state, attempt, max_attempts, cancel_requested, progress_done,
    progress_total, progress_note, outcome, failure, failure_code, changes, created_at, run_at, started_at, finished_at, untold, drive";

/// The number of the job `id`, if it belongs to who asks. The one fence around single jobs.
fn owned(conn: &Connection, scope: &Scope, principal: &str, id: &JobId) -> Result<Option<i64>, StoreError> {
    let mut find = conn.prepare_cached("SELECT number, tenant, principal FROM jobs WHERE id = ?1")?;
    let found = find.query_row([id.as_str()], |row| {
        Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?, row.get::<_, String>(2)?))
    });
    let Some((number, tenant, owner)) = found.optional()? else { return Ok(None) };
    #[cfg(feature = "mutants")]
    if haversack::mutants::active(haversack::mutants::Mutant::JobOwner) {
        return Ok(Some(number));
    }
    Ok((tenant == scope.tenant().as_str() && owner == principal).then_some(number))
}

pub(crate) fn get(
    conn: &Connection,
    scope: &Scope,
    principal: &str,
    id: &JobId,
) -> Result<Option<Found>, StoreError> {
    let Some(number) = owned(conn, scope, principal, id)? else { return Ok(None) };
    let mut get = conn.prepare_cached(&format!("SELECT {COLUMNS} FROM jobs WHERE number = ?1"))?;
    Ok(get.query_row([number], found).optional()?)
}

/// The newest first; behind the job `before` when it is given, or where it was by its time if it is gone.
pub(crate) fn list(
    conn: &Connection,
    scope: &Scope,
    principal: &str,
    before: Option<(i64, &JobId)>,
    limit: u32,
) -> Result<Vec<Found>, StoreError> {
    let mut list = conn.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM jobs WHERE tenant = ?1 AND principal = ?2 AND number < ?3
         ORDER BY number DESC LIMIT ?4"
    ))?;
    let before = match before {
        None => i64::MAX,
        Some((created_at, job)) => match owned(conn, scope, principal, job)? {
            Some(number) => number,
            None => behind(conn, scope, principal, created_at)?,
        },
    };
    let rows = list.query_map(params![scope.tenant().as_str(), principal, before, limit], found)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Behind all jobs that came later than `created_at`.
fn behind(conn: &Connection, scope: &Scope, principal: &str, created_at: i64) -> Result<i64, StoreError> {
    let mut newest = conn.prepare_cached(
        "SELECT coalesce(max(number) + 1, 0) FROM jobs
         WHERE tenant = ?1 AND principal = ?2 AND created_at <= ?3",
    )?;
    Ok(newest.query_row(params![scope.tenant().as_str(), principal, created_at], |row| row.get(0))?)
}

/// Calls the job off: at once where nobody has it, otherwise by asking its worker. Gives the state that follows.
pub(crate) fn cancel(
    tx: &Transaction<'_>,
    scope: &Scope,
    principal: &str,
    id: &JobId,
) -> Result<Option<State>, StoreError> {
    let Some(number) = owned(tx, scope, principal, id)? else { return Ok(None) };
    let state: String = tx
        .prepare_cached("SELECT state FROM jobs WHERE number = ?1")?
        .query_row([number], |row| row.get(0))?;
    let state = named(&state)?;
    match state {
        State::Queued | State::Retrying | State::Parked => {
            call_off(tx, number, now_millis())?;
            Ok(Some(State::Cancelled))
        }
        State::Running => {
            let mut ask = tx.prepare_cached(
                "UPDATE jobs SET cancel_requested = 1, changes = changes + 1
                 WHERE number = ?1 AND cancel_requested = 0",
            )?;
            ask.execute([number])?;
            Ok(Some(State::Running))
        }
        over => Ok(Some(over)),
    }
}

/// Queues a job that was given up, put into quarantine or parked once more, from its first attempt. One whose deadline has
/// passed is refused: it would fail at once.
pub(crate) fn redrive(
    tx: &Transaction<'_>,
    scope: &Scope,
    principal: &str,
    id: &JobId,
) -> Result<Driven, StoreError> {
    let Some(number) = owned(tx, scope, principal, id)? else { return Ok(Driven::Unknown) };
    let mut drive = tx.prepare_cached(
        "UPDATE jobs SET state = 'queued', run_at = ?2, attempt = 1, deliveries = 0, drive = drive + 1,
                cancel_requested = 0, tell_at = NULL, tell_tries = 0, untold = 0, progress_done = NULL, progress_total = NULL, progress_note = NULL, outcome = NULL, failure = NULL,
                failure_code = NULL, finished_at = NULL, expires_at = NULL, changes = changes + 1
         WHERE number = ?1 AND state IN ('failed', 'quarantined', 'parked')
           AND (deadline IS NULL OR deadline > ?2)
           AND EXISTS (SELECT 1 FROM job_requests r WHERE r.number = jobs.number)
           AND NOT EXISTS (SELECT 1 FROM jobs o WHERE o.dedup = jobs.dedup AND o.finished_at IS NULL
                                                  AND o.number <> jobs.number)",
    )?;
    let driven = drive.execute([number, now_millis()])? == 1;
    Ok(if driven { Driven::Queued } else { Driven::Refused })
}

/// Deletes the jobs of a session: those that are over or wait at once, with all that is sealed of them; those that run are
/// called off, and swept at their end. How many there were.
pub(crate) fn forget(
    tx: &Transaction<'_>,
    scope: &Scope,
    principal: &str,
    session: &[u8; 32],
) -> Result<usize, StoreError> {
    // The hash names tenant and principal too; they are compared where every other call compares them.
    let whose = params![session, scope.tenant().as_str(), principal];
    let mut running = tx.prepare_cached(
        "UPDATE jobs SET cancel_requested = 1, keep_ms = 0, changes = changes + 1
         WHERE session = ?1 AND tenant = ?2 AND principal = ?3 AND state = 'running'",
    )?;
    let running = running.execute(whose)?;
    // What an outbox still holds is emptied and left for the sweep: without its row it would be relayed anew.
    let mut requests = tx.prepare_cached(
        "DELETE FROM job_requests WHERE number IN
            (SELECT number FROM jobs WHERE session = ?1 AND tenant = ?2 AND principal = ?3 AND state <> 'running')",
    )?;
    requests.execute(whose)?;
    let mut held = tx.prepare_cached(
        "UPDATE jobs SET state = 'cancelled', run_at = NULL, cancel_requested = 1, keep_ms = 0, outcome = NULL,
                progress_note = NULL, tell_at = NULL, finished_at = coalesce(finished_at, ?4), expires_at = ?4,
                changes = changes + 1
         WHERE session = ?1 AND tenant = ?2 AND principal = ?3 AND state <> 'running' AND in_outbox = 1",
    )?;
    let held = held.execute(params![session, scope.tenant().as_str(), principal, now_millis()])?;
    let mut gone = tx.prepare_cached(
        "DELETE FROM jobs WHERE session = ?1 AND tenant = ?2 AND principal = ?3 AND state <> 'running' AND in_outbox = 0",
    )?;
    Ok(running + held + gone.execute(whose)?)
}

fn found(row: &Row<'_>) -> Result<Found, Error> {
    let failure: Option<String> = row.get(12)?;
    let done: Option<i64> = row.get(8)?;
    let total: Option<i64> = row.get(9)?;
    let job = Job {
        id: job_id(&row.get::<_, String>(1)?, 1)?,
        handler: row.get(2)?,
        queue: row.get(3)?,
        state: named(&row.get::<_, String>(4)?)?,
        attempt: row.get(5)?,
        max_attempts: row.get(6)?,
        cancelling: row.get(7)?,
        progress: None,
        // A kind of a newer program is at least a failure.
        failure: failure.map(|kind| FailureKind::named(&kind).unwrap_or(FailureKind::Handler)),
        failure_code: row.get(13)?,
        change: row.get::<_, i64>(14)?.unsigned_abs(),
        created_at: row.get(15)?,
        run_at: row.get(16)?,
        started_at: row.get(17)?,
        finished_at: row.get(18)?,
        untold: row.get(19)?,
        drive: row.get(20)?,
    };
    let done = done.map(|done| (done.cast_unsigned(), total.map(i64::cast_unsigned)));
    Ok(Found { job, done, note: row.get(10)?, outcome: row.get(11)? })
}

pub(super) fn named(state: &str) -> Result<State, Error> {
    State::named(state).ok_or(Error::InvalidQuery)
}
