//! Putting jobs into the queue: one row and its sealed request, at most one live one for a key.
//!
//! The tenant comes from the scope of the store's rows, the principal from the context at the submitting call. Submitting
//! and the relay of the outbox come here.

use std::str::FromStr;

use haversack_store::sqlite::{Error, OptionalExtension, Transaction, ValueRef, params};
use haversack_store::{StoreError, now_millis};
use sha2::{Digest, Sha256};

use crate::job::Plan;
use crate::policy::{OnExisting, millis};
use crate::{JobId, Submitted};

/// A job whose context is captured and sealed.
pub(crate) struct Sealed {
    pub(crate) id: JobId,
    pub(crate) principal: String,
    /// The hash of the session that it belongs to.
    pub(crate) session: Option<[u8; 32]>,
    pub(crate) plan: Plan,
    pub(crate) sealed: Vec<u8>,
}

/// How a job comes into the queue.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Through {
    Submit,
    /// Its tenant's outbox, which holds it until somebody clears it.
    Outbox,
}

/// Queues `job` for `tenant`, or finds that it need not. One that was queued before, under the same id, is left alone.
pub(crate) fn insert(
    tx: &Transaction<'_>,
    tenant: &str,
    job: &Sealed,
    through: Through,
) -> Result<Submitted, StoreError> {
    let mut known = tx.prepare_cached("SELECT 1 FROM jobs WHERE id = ?1")?;
    if known.exists([job.id.as_str()])? {
        return Ok(Submitted::AlreadyScheduled(job.id.clone()));
    }
    let now = now_millis();
    let dedup = job.plan.dedup.as_deref().map(|key| hash([tenant, &job.plan.handler, key]));
    let mut replaced = false;
    if let Some(dedup) = dedup
        && let Some(existing) = live(tx, &dedup)?
    {
        match job.plan.existing {
            OnExisting::Block => return Ok(Submitted::Blocked),
            OnExisting::Replace if existing.waits && existing.principal == job.principal => {
                call_off(tx, existing.number, now)?;
                replaced = true;
            }
            OnExisting::Keep | OnExisting::Replace => return Ok(Submitted::AlreadyScheduled(existing.id)),
        }
    }
    let plan = &job.plan;
    let mut insert = tx.prepare_cached(
        "INSERT INTO jobs (id, tenant, principal, queue, handler, dedup, state, run_at, max_attempts, max_deliveries,
                           timeout_ms, deadline, backoff_first_ms, backoff_max_ms, keep_ms, created_at, session,
                           in_outbox)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, 'queued', ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)",
    )?;
    let number = insert.insert(params![
        job.id.as_str(),
        tenant,
        job.principal,
        plan.queue,
        plan.handler,
        dedup,
        plan.run_at,
        plan.max_attempts,
        plan.max_deliveries,
        plan.timeout_ms,
        plan.deadline,
        millis(plan.backoff.first),
        millis(plan.backoff.max),
        plan.keep_ms,
        now,
        job.session,
        through == Through::Outbox
    ])?;
    let mut request = tx.prepare_cached("INSERT INTO job_requests (number, sealed) VALUES (?1, ?2)")?;
    request.execute(params![number, job.sealed])?;
    let id = job.id.clone();
    Ok(if replaced { Submitted::Replaced(id) } else { Submitted::Scheduled(id) })
}

/// The live job of a key.
struct Existing {
    number: i64,
    id: JobId,
    principal: String,
    /// It has not begun.
    waits: bool,
}

fn live(tx: &Transaction<'_>, dedup: &[u8; 32]) -> Result<Option<Existing>, StoreError> {
    let mut live = tx.prepare_cached(
        "SELECT number, id, principal, state IN ('queued', 'parked') FROM jobs
         WHERE dedup = ?1 AND finished_at IS NULL",
    )?;
    let row = live.query_row([dedup], |row| {
        Ok(Existing {
            number: row.get(0)?,
            id: job_id(&row.get::<_, String>(1)?, 1)?,
            principal: row.get(2)?,
            waits: row.get(3)?,
        })
    });
    Ok(row.optional()?)
}

/// Ends a job that nobody has claimed. A worker tells it, and then forgets what it was given.
pub(super) fn call_off(tx: &Transaction<'_>, number: i64, now: i64) -> Result<(), StoreError> {
    let mut cancel = tx.prepare_cached(
        "UPDATE jobs SET state = 'cancelled', run_at = NULL, cancel_requested = 1, finished_at = ?2,
                expires_at = ?2 + keep_ms, tell_at = ?2, tell_tries = 0, changes = changes + 1
         WHERE number = ?1",
    )?;
    cancel.execute([number, now])?;
    Ok(())
}

/// Three texts as they are stored: an idempotency key, or a session. Lengths stand in front, so that no two triples read
/// alike.
pub(crate) fn hash(parts: [&str; 3]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part.as_bytes());
    }
    hash.finalize().into()
}

/// An id out of column `at` of a row.
pub(crate) fn job_id(text: &str, at: usize) -> Result<JobId, Error> {
    JobId::from_str(text).map_err(|invalid| {
        Error::FromSqlConversionFailure(at, ValueRef::Text(&[]).data_type(), Box::new(invalid))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_keys_read_alike() {
        assert_ne!(hash(["a", "b", "c"]), hash(["a", "bc", ""]));
        assert_ne!(hash(["a|b", "h", "k"]), hash(["a", "b|h", "k"]));
        assert_eq!(hash(["a:%", "h", "k"]), hash(["a:%", "h", "k"]));
    }
}
