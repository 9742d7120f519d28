//! Jobs whose end is to be told: by the worker that wrote it, and by any other when that one died over it or when no
//! worker wrote it.
//!
//! Taking one moves its time on, so it is offered again, later each time, unless somebody says that it was told. Only the
//! worker comes here.

use haversack_store::StoreError;
use haversack_store::sqlite::{Connection, Transaction, params};

use super::claim::{DELIVERY, delivery};
use super::owner::named;
use crate::FailureKind;
use crate::backend::{Ended, Untold};

/// How often the wait for the next try doubles.
const DOUBLINGS: u32 = 6;

/// When the next one is due.
pub(super) fn next(conn: &Connection) -> Result<Option<i64>, StoreError> {
    let mut next = conn
        .prepare_cached("SELECT min(tell_at) FROM jobs INDEXED BY jobs_to_tell WHERE tell_at IS NOT NULL")?;
    Ok(next.query_row([], |row| row.get(0))?)
}

pub(super) fn take(
    tx: &Transaction<'_>,
    limit: usize,
    again_ms: i64,
    now: i64,
) -> Result<Untold, StoreError> {
    let mut due = tx.prepare_cached(
        "SELECT number, finished_at FROM jobs INDEXED BY jobs_to_tell WHERE tell_at <= ?1 ORDER BY tell_at LIMIT ?2",
    )?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let due = due.query_map(params![now, limit], |row| Ok((row.get(0)?, row.get::<_, Option<i64>>(1)?)))?;
    let due: Vec<(i64, Option<i64>)> = due.collect::<Result<_, _>>()?;
    let mut take = tx.prepare_cached(&format!(
        "UPDATE jobs SET tell_tries = tell_tries + 1, tell_at = ?2 + (?3 << min(tell_tries, {DOUBLINGS}))
         WHERE number = ?1
         RETURNING {DELIVERY}, state, failure, failure_code, outcome, tell_tries"
    ))?;
    let mut jobs = Vec::with_capacity(due.len());
    for (number, ended_at) in due {
        jobs.push(take.query_row(params![number, now, again_ms], |row| {
            let failure: Option<String> = row.get(15)?;
            Ok(Ended {
                delivery: delivery(row, ended_at.unwrap_or(now))?,
                state: named(&row.get::<_, String>(14)?)?,
                failure: failure.map(|kind| FailureKind::named(&kind).unwrap_or(FailureKind::Handler)),
                code: row.get(16)?,
                outcome: row.get(17)?,
                tries: row.get(18)?,
            })
        })?);
    }
    Ok(Untold { jobs, next_at: next(tx)? })
}
