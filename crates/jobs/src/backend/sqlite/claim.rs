//! Claiming: which job comes next, when many tenants wait.
//!
//! The tenants that have something due are found by stepping over an index from tenant to tenant, so a backlog of one
//! costs the others nothing. Slots go to whoever has the fewest running, in turns. Only the worker's claim comes here.

use std::collections::HashMap;

use haversack_store::StoreError;
use haversack_store::sqlite::{OptionalExtension, Row, Transaction, params};

use super::record::forget_request;
use crate::FailureKind;
use crate::backend::{Ask, Claimed, Delivery, Lease};
use crate::policy::{Backoff, span};

/// How many tenants of a queue one claim looks at. The next claim goes on from there.
const TENANTS: usize = 256;

/// How many expired leases one claim puts back.
const EXPIRED: i64 = 100;

/// A tenant with something due.
struct Candidate {
    tenant: String,
    running: usize,
}

/// One round over the tenants of a queue.
#[derive(Default)]
struct Lap {
    candidates: Vec<Candidate>,
    /// When the first of those falls due that have nothing due yet.
    next_at: Option<i64>,
    /// The tenant at which it stopped, when it did not get round.
    stopped_at: Option<String>,
}

pub(super) fn claim(tx: &Transaction<'_>, ask: Ask, now: i64) -> Result<Claimed, StoreError> {
    put_back(tx, now)?;
    let mut running = running(tx)?;
    let mut claimed = Claimed { jobs: Vec::new(), after: ask.after, next_at: None, more: false };
    let until = now.saturating_add(ask.lease_ms);
    // Each queue is the first in its turn, so that none is always behind another's backlog.
    let (before, from) = ask.queues.split_at(ask.turn % ask.queues.len().max(1));
    for queue in from.iter().chain(before) {
        let free = ask.slots.saturating_sub(claimed.jobs.len());
        if free == 0 {
            break;
        }
        let after = claimed.after.get(queue).map_or("", String::as_str);
        let mut lap = lap(tx, queue, after, now)?;
        for candidate in &mut lap.candidates {
            candidate.running = running.get(&candidate.tenant).copied().unwrap_or(0);
        }
        let mut free = free;
        while free > 0 {
            let limit = ask.per_tenant.unwrap_or(usize::MAX);
            lap.candidates.retain(|candidate| candidate.running < limit);
            if lap.candidates.is_empty() {
                break;
            }
            let shares = share(&lap.candidates, free, limit);
            for (candidate, share) in lap.candidates.iter_mut().zip(shares) {
                if share == 0 {
                    continue;
                }
                let taken = take(tx, queue, &candidate.tenant, share, &ask.owner, now, until)?;
                free -= taken.len();
                *running.entry(candidate.tenant.clone()).or_default() += taken.len();
                if !taken.is_empty() {
                    claimed.after.insert(queue.clone(), candidate.tenant.clone());
                }
                // One that had less than its share has nothing more.
                candidate.running =
                    if taken.len() < share { usize::MAX } else { candidate.running + taken.len() };
                claimed.jobs.extend(taken);
            }
        }
        if let Some(last) = lap.stopped_at.filter(|_| free > 0) {
            // Nothing more among these: the next claim goes on behind them.
            claimed.more = true;
            claimed.after.insert(queue.clone(), last);
        }
        claimed.next_at = earlier(claimed.next_at, lap.next_at);
    }
    claimed.next_at = earlier(claimed.next_at, next_expiry(tx)?);
    Ok(claimed)
}

/// The tenants after `after` that have something due, and after the last of them the first ones again.
fn lap(tx: &Transaction<'_>, queue: &str, after: &str, now: i64) -> Result<Lap, StoreError> {
    let mut next = tx.prepare_cached(
        "SELECT tenant, run_at FROM jobs INDEXED BY jobs_waiting WHERE queue = ?1 AND tenant > ?2 AND run_at IS NOT NULL
         ORDER BY tenant, run_at LIMIT 1",
    )?;
    let mut lap = Lap::default();
    let (mut at, mut wrapped) = (after.to_owned(), after.is_empty());
    for looked in 0.. {
        let found: Option<(String, i64)> =
            next.query_row(params![queue, at], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
        let Some((tenant, run_at)) = found else {
            if wrapped {
                break;
            }
            (at, wrapped) = (String::new(), true);
            continue;
        };
        // Round to where it began; no tenant is the empty text.
        let round = wrapped && !after.is_empty() && tenant.as_str() > after;
        if round {
            break;
        }
        if looked >= TENANTS {
            lap.stopped_at = Some(at);
            break;
        }
        if run_at <= now {
            lap.candidates.push(Candidate { tenant: tenant.clone(), running: 0 });
        } else {
            lap.next_at = earlier(lap.next_at, Some(run_at));
        }
        at = tenant;
    }
    Ok(lap)
}

/// Gives each slot to the tenant that then has the fewest running, in the order of the lap.
fn share(candidates: &[Candidate], slots: usize, limit: usize) -> Vec<usize> {
    let mut shares = vec![0; candidates.len()];
    for _ in 0..slots {
        let counted = candidates.iter().zip(&shares).map(|(candidate, share)| candidate.running + share);
        let fewest = counted.enumerate().filter(|(_, count)| *count < limit).min_by_key(|(_, count)| *count);
        match fewest {
            Some((at, _)) => shares[at] += 1,
            None => break,
        }
    }
    shares
}

fn take(
    tx: &Transaction<'_>,
    queue: &str,
    tenant: &str,
    limit: usize,
    owner: &str,
    now: i64,
    until: i64,
) -> Result<Vec<Delivery>, StoreError> {
    let mut due = tx.prepare_cached(
        "SELECT number, run_at FROM jobs INDEXED BY jobs_waiting WHERE queue = ?1 AND tenant = ?2 AND run_at <= ?3
         ORDER BY run_at, number LIMIT ?4",
    )?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let due = due.query_map(params![queue, tenant, now, limit], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let due: Vec<(i64, i64)> = due.collect::<Result<_, _>>()?;
    let mut take = tx.prepare_cached(
        "UPDATE jobs SET state = 'running', run_at = NULL, deliveries = deliveries + 1,
                generation = generation + 1, lease_until = ?2, lease_owner = ?3,
                started_at = coalesce(started_at, ?4), changes = changes + 1
         WHERE number = ?1
         RETURNING id, generation, tenant, principal, queue, handler, attempt, max_attempts, backoff_first_ms,
                   backoff_max_ms, timeout_ms, deadline,
                   (SELECT sealed FROM job_requests WHERE number = ?1)",
    )?;
    let mut taken = Vec::with_capacity(due.len());
    for (number, due_at) in due {
        taken.push(take.query_row(params![number, until, owner, now], |row| delivery(row, due_at))?);
    }
    Ok(taken)
}

fn delivery(row: &Row<'_>, due_at: i64) -> Result<Delivery, haversack_store::sqlite::Error> {
    let id: String = row.get(0)?;
    let id = super::queue::job_id(&id, 0)?;
    Ok(Delivery {
        lease: Lease { id, generation: row.get::<_, i64>(1)?.unsigned_abs() },
        tenant: row.get(2)?,
        principal: row.get(3)?,
        queue: row.get(4)?,
        handler: row.get(5)?,
        attempt: row.get(6)?,
        max_attempts: row.get(7)?,
        backoff: Backoff { first: span(row.get(8)?), max: span(row.get(9)?) },
        timeout_ms: row.get(10)?,
        deadline: row.get(11)?,
        due_at,
        // Without its request it cannot be opened, and the worker says so.
        sealed: row.get::<_, Option<Vec<u8>>>(12)?.unwrap_or_default(),
    })
}

/// What workers left whose leases ran out: called off, given up or due again. The claims were counted when they
/// were made, so a job that kills its workers comes here only so often.
fn put_back(tx: &Transaction<'_>, now: i64) -> Result<(), StoreError> {
    let mut expired =
        tx.prepare_cached("SELECT number FROM jobs INDEXED BY jobs_leased WHERE lease_until <= ?1 LIMIT ?2")?;
    let expired: Vec<i64> =
        expired.query_map(params![now, EXPIRED], |row| row.get(0))?.collect::<Result<_, _>>()?;
    if expired.is_empty() {
        return Ok(());
    }
    let mut back = tx.prepare_cached(
        "UPDATE jobs SET
            state = CASE WHEN cancel_requested THEN 'cancelled'
                         WHEN deliveries >= max_deliveries THEN 'quarantined'
                         WHEN attempt > 1 THEN 'retrying' ELSE 'queued' END,
            failure = CASE WHEN NOT cancel_requested AND deliveries >= max_deliveries THEN ?3 ELSE failure END,
            run_at = CASE WHEN cancel_requested OR deliveries >= max_deliveries THEN NULL ELSE ?2 END,
            finished_at = CASE WHEN cancel_requested OR deliveries >= max_deliveries THEN ?2 END,
            expires_at = CASE WHEN cancel_requested OR deliveries >= max_deliveries THEN ?2 + keep_ms
                              ELSE expires_at END,
            lease_until = NULL, lease_owner = NULL, changes = changes + 1
         WHERE number = ?1
         RETURNING cancel_requested",
    )?;
    for number in expired {
        let gone =
            back.query_row(params![number, now, FailureKind::Deliveries.as_str()], |row| row.get(0))?;
        if gone {
            forget_request(tx, number)?;
        }
    }
    Ok(())
}

/// How many jobs of each tenant are out now. As many rows as workers have slots; the index is named because SQLite
/// would rather walk over all jobs in the order of their tenants.
fn running(tx: &Transaction<'_>) -> Result<HashMap<String, usize>, StoreError> {
    let mut out =
        tx.prepare_cached("SELECT tenant FROM jobs INDEXED BY jobs_leased WHERE lease_until IS NOT NULL")?;
    let mut counts = HashMap::new();
    for tenant in out.query_map([], |row| row.get(0))? {
        *counts.entry(tenant?).or_default() += 1;
    }
    Ok(counts)
}

fn next_expiry(tx: &Transaction<'_>) -> Result<Option<i64>, StoreError> {
    let mut first = tx.prepare_cached(
        "SELECT lease_until FROM jobs INDEXED BY jobs_leased WHERE lease_until IS NOT NULL ORDER BY lease_until LIMIT 1",
    )?;
    Ok(first.query_row([], |row| row.get(0)).optional()?)
}

fn earlier(one: Option<i64>, other: Option<i64>) -> Option<i64> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidates(running: &[usize]) -> Vec<Candidate> {
        running.iter().map(|running| Candidate { tenant: String::new(), running: *running }).collect()
    }

    #[test]
    fn slots_go_to_whoever_has_the_fewest() {
        assert_eq!(share(&candidates(&[0, 0, 0]), 4, usize::MAX), [2, 1, 1]);
        assert_eq!(share(&candidates(&[5, 0]), 4, usize::MAX), [0, 4]);
        assert_eq!(share(&candidates(&[5, 0]), 7, usize::MAX), [1, 6]);
        assert_eq!(share(&candidates(&[5, 0]), 7, 2), [0, 2]);
        assert_eq!(share(&candidates(&[]), 7, 2), Vec::<usize>::new());
    }
}
