//! Claiming: which job comes next, when many tenants wait.
//!
//! The tenants that have something due are found by stepping over an index from tenant to tenant, so a backlog of one
//! costs the others nothing. Slots go to whoever has the fewest running, in turns. Only the worker's claim comes here.

use std::collections::HashMap;

use haversack_store::StoreError;
use haversack_store::sqlite::{OptionalExtension, Row, Transaction, params};

use crate::FailureKind;
use crate::backend::{Ask, Claimed, Delivery, Lease, Place, Unfinished};
use crate::policy::{Backoff, span};

/// How many tenants of a queue one claim looks at. The next claim goes on from there.
const TENANTS: usize = 256;

/// How many expired leases one claim puts back.
const EXPIRED: i64 = 100;

/// The columns that [`delivery`] reads, of a row of `jobs`.
pub(super) const DELIVERY: &str = "id, generation, tenant, principal, queue, handler, attempt, max_attempts,
    backoff_first_ms, backoff_max_ms, timeout_ms, deadline, drive,
    (SELECT sealed FROM job_requests r WHERE r.number = jobs.number)";

/// A tenant with something due.
struct Candidate {
    tenant: String,
    running: usize,
    /// How many more it may have.
    room: usize,
    /// It had less than it was to have: there is no more.
    drained: bool,
}

/// What is out now, of one tenant.
#[derive(Clone, Copy, Default)]
struct Out {
    /// Over all workers.
    all: usize,
    /// Of the worker that claims.
    own: usize,
}

/// A part of a lap over the tenants of a queue, as much as one claim looks at.
#[derive(Default)]
struct Part {
    candidates: Vec<Candidate>,
    /// When the first of those falls due that have nothing due yet, over the lap so far.
    next_at: Option<i64>,
    /// The tenant at which it stopped and the rest of the lap, when that is not done.
    stopped_at: Option<(String, Unfinished)>,
}

pub(super) fn claim(tx: &Transaction<'_>, ask: Ask, now: i64) -> Result<Claimed, StoreError> {
    put_back(tx, now)?;
    let mut out = out(tx, &ask.owner)?;
    let mut claimed =
        Claimed { jobs: Vec::new(), places: ask.places, next_at: None, more: false, held_back: false };
    let until = now.saturating_add(ask.lease_ms);
    // Each queue is the first in its turn, so that none is always behind another's backlog.
    let (before, from) = ask.queues.split_at(ask.turn % ask.queues.len().max(1));
    for queue in from.iter().chain(before) {
        let mut free = ask.slots.saturating_sub(claimed.jobs.len());
        if free == 0 {
            break;
        }
        let mut place = claimed.places.remove(queue).unwrap_or_default();
        let mut part = part(tx, queue, &place, now)?;
        for candidate in &mut part.candidates {
            let out = out.get(&candidate.tenant).copied().unwrap_or_default();
            candidate.running = out.all;
            let over_all = ask.per_tenant.map_or(usize::MAX, |limit| limit.saturating_sub(out.all));
            candidate.room = ask.share.map_or(over_all, |share| share.saturating_sub(out.own).min(over_all));
        }
        while free > 0 {
            let due = part.candidates.len();
            part.candidates.retain(|candidate| candidate.room > 0);
            claimed.held_back |= part.candidates.len() < due;
            if part.candidates.is_empty() {
                break;
            }
            let shares = share(&part.candidates, free);
            for (candidate, share) in part.candidates.iter_mut().zip(shares) {
                if share == 0 {
                    continue;
                }
                let taken = take(tx, queue, &candidate.tenant, share, &ask.owner, now, until)?;
                free -= taken.len();
                let out = out.entry(candidate.tenant.clone()).or_default();
                (out.all, out.own) = (out.all + taken.len(), out.own + taken.len());
                if !taken.is_empty() {
                    // Slots that are freed later go to those behind it, in a new lap.
                    place = Place { after: candidate.tenant.clone(), lap: None };
                }
                candidate.running += taken.len();
                candidate.room -= taken.len();
                candidate.drained = taken.len() < share;
                claimed.jobs.extend(taken);
            }
            part.candidates.retain(|candidate| !candidate.drained);
        }
        if free > 0 {
            match part.stopped_at {
                // Nothing more among these: the next claim goes on behind them.
                Some((after, lap)) => {
                    claimed.more = true;
                    place = Place { after, lap: Some(lap) };
                }
                None => {
                    place.lap = None;
                    claimed.next_at = earlier(claimed.next_at, part.next_at);
                }
            }
        }
        claimed.places.insert(queue.clone(), place);
    }
    claimed.next_at = earlier(claimed.next_at, next_expiry(tx)?);
    Ok(claimed)
}

/// The tenants behind `place` that have something due, and after the last of them the first ones again, until the lap
/// comes to where it began.
fn part(tx: &Transaction<'_>, queue: &str, place: &Place, now: i64) -> Result<Part, StoreError> {
    let mut next = tx.prepare_cached(
        "SELECT tenant, run_at FROM jobs INDEXED BY jobs_waiting WHERE queue = ?1 AND tenant > ?2 AND run_at IS NOT NULL
         ORDER BY tenant, run_at LIMIT 1",
    )?;
    let mut at = place.after.clone();
    // A lap that begins before the first tenant is done when it is past the last one.
    let fresh = || Unfinished { began: at.clone(), wrapped: at.is_empty(), next_at: None };
    let mut lap = place.lap.clone().unwrap_or_else(fresh);
    let mut part = Part { next_at: lap.next_at, ..Part::default() };
    for looked in 0.. {
        let found: Option<(String, i64)> =
            next.query_row(params![queue, at], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
        let Some((tenant, run_at)) = found else {
            if lap.wrapped {
                break;
            }
            (at, lap.wrapped) = (String::new(), true);
            continue;
        };
        // Round to where it began; no tenant is the empty text.
        let round = lap.wrapped && !lap.began.is_empty() && tenant > lap.began;
        if round {
            break;
        }
        if looked >= TENANTS {
            lap.next_at = part.next_at;
            part.stopped_at = Some((at, lap));
            break;
        }
        if run_at <= now {
            part.candidates.push(Candidate { tenant: tenant.clone(), running: 0, room: 0, drained: false });
        } else {
            part.next_at = earlier(part.next_at, Some(run_at));
        }
        at = tenant;
    }
    Ok(part)
}

/// Gives each slot to the tenant that then has the fewest running, in the order of the lap.
fn share(candidates: &[Candidate], slots: usize) -> Vec<usize> {
    let mut shares = vec![0; candidates.len()];
    for _ in 0..slots {
        let fewest = (0..candidates.len())
            .filter(|at| shares[*at] < candidates[*at].room)
            .min_by_key(|at| candidates[*at].running + shares[*at]);
        match fewest {
            Some(at) => shares[at] += 1,
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
    let mut take = tx.prepare_cached(&format!(
        "UPDATE jobs SET state = 'running', run_at = NULL, deliveries = deliveries + 1,
                generation = generation + 1, lease_until = ?2, lease_owner = ?3,
                started_at = coalesce(started_at, ?4), changes = changes + 1
         WHERE number = ?1
         RETURNING {DELIVERY}"
    ))?;
    let mut taken = Vec::with_capacity(due.len());
    for (number, due_at) in due {
        taken.push(take.query_row(params![number, until, owner, now], |row| delivery(row, due_at))?);
    }
    Ok(taken)
}

pub(super) fn delivery(row: &Row<'_>, due_at: i64) -> Result<Delivery, haversack_store::sqlite::Error> {
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
        drive: row.get(12)?,
        due_at,
        // Without its request it cannot be opened, and the worker says so.
        sealed: row.get::<_, Option<Vec<u8>>>(13)?.unwrap_or_default(),
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
            tell_at = CASE WHEN cancel_requested OR deliveries >= max_deliveries THEN ?2 END, tell_tries = 0,
            lease_until = NULL, lease_owner = NULL, changes = changes + 1
         WHERE number = ?1",
    )?;
    for number in expired {
        back.execute(params![number, now, FailureKind::Deliveries.as_str()])?;
    }
    Ok(())
}

/// How many jobs of each tenant are out now. As many rows as workers have slots; the index is named because SQLite
/// would rather walk over all jobs in the order of their tenants.
fn out(tx: &Transaction<'_>, owner: &str) -> Result<HashMap<String, Out>, StoreError> {
    let mut leased = tx.prepare_cached(
        "SELECT tenant, lease_owner = ?1 FROM jobs INDEXED BY jobs_leased WHERE lease_until IS NOT NULL",
    )?;
    let mut counts: HashMap<String, Out> = HashMap::new();
    for row in leased.query_map([owner], |row| Ok((row.get(0)?, row.get::<_, Option<bool>>(1)?)))? {
        let (tenant, own) = row?;
        let out = counts.entry(tenant).or_default();
        (out.all, out.own) = (out.all + 1, out.own + usize::from(own.unwrap_or_default()));
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

    fn candidates(running: &[usize], limit: usize) -> Vec<Candidate> {
        let candidate = |running: &usize| Candidate {
            tenant: String::new(),
            running: *running,
            room: limit.saturating_sub(*running),
            drained: false,
        };
        running.iter().map(candidate).collect()
    }

    #[test]
    fn slots_go_to_whoever_has_the_fewest() {
        assert_eq!(share(&candidates(&[0, 0, 0], usize::MAX), 4), [2, 1, 1]);
        assert_eq!(share(&candidates(&[5, 0], usize::MAX), 4), [0, 4]);
        assert_eq!(share(&candidates(&[5, 0], usize::MAX), 7), [1, 6]);
        assert_eq!(share(&candidates(&[5, 0], 2), 7), [0, 2]);
        assert_eq!(share(&candidates(&[], 2), 7), Vec::<usize>::new());
    }
}
