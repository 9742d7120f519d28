//! The statements about one run, or one owner's runs: start, look, take, append, cancel, retry.
//!
//! Each function runs inside a closure of [`OwnRows`](super::owner::OwnRows) and takes tenant and principal from the owner
//! that it hands in, never from a caller. What an executor writes compares its run's id and its generation first, so one
//! that was overtaken, or whose run was deleted, changes nothing.

use haversack_store::now_millis;
use haversack_store::sqlite::{Connection, OptionalExtension, Row, Transaction, params};

use super::What;
use super::owner::{Owner, Said};
use super::stored::{ENTRY, SEALED, StoredEvent, StoredRun, entry_of, unreadable};
use crate::PipelineError;
use crate::run::{RunEntry, RunId, RunStatus};

/// How many bytes of events are read at once, as they are stored. One event always is, however large.
const PAGE_BYTES: usize = 1024 * 1024;

/// A run as it is started.
pub(crate) struct NewRun {
    pub(crate) run: RunId,
    /// 32 hexadecimal digits that no other run has, whatever it is called.
    pub(crate) id: String,
    pub(crate) pipeline: String,
    pub(crate) identity: String,
    pub(crate) definition: String,
    pub(crate) session: Option<String>,
    /// Sealed for the id.
    pub(crate) parameters: Vec<u8>,
    pub(crate) trace: String,
}

/// Where a run stands, without a word of what it says.
#[derive(Clone, Debug)]
pub(crate) struct Standing {
    pub(crate) id: String,
    pub(crate) status: RunStatus,
    pub(crate) generation: u64,
    pub(crate) last_event: u64,
    pub(crate) cancel_requested: bool,
}

/// Inserts a run; false when the principal has one of this name.
pub(crate) fn insert(tx: &Transaction<'_>, owner: &Owner, new: &NewRun) -> Result<bool, PipelineError> {
    let now = now_millis();
    tx.prepare_cached(
        "INSERT INTO pipeline_definitions (tenant, identity, body) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
    )?
    .execute(params![owner.tenant(), new.identity, new.definition])?;
    let inserted = tx
        .prepare_cached(
            "INSERT INTO pipeline_runs (tenant, principal, run, id, pipeline, definition, session, parameters, status,
                                        generation, last_event, asked, trace, created_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 'pending', 0, 1, 1, ?9, ?10)
             ON CONFLICT (tenant, principal, run) DO NOTHING",
        )?
        .execute(params![
            owner.tenant(),
            owner.principal(),
            new.run.as_str(),
            new.id,
            new.pipeline,
            new.identity,
            new.session,
            new.parameters,
            new.trace,
            now
        ])?;
    if inserted == 0 {
        return Ok(false);
    }
    let created = What::Created { pipeline: new.pipeline.clone(), definition: new.identity.clone() };
    add(tx, owner, &new.run, &new.id, 0, 1, [&(now, created)].into_iter())?;
    Ok(true)
}

/// The run of this name.
pub(crate) fn find(
    conn: &Connection,
    owner: &Owner,
    run: &RunId,
) -> Result<Option<StoredRun>, PipelineError> {
    let mut statement = conn.prepare_cached(&format!(
        "SELECT {ENTRY}, {SEALED} FROM pipeline_runs WHERE tenant = ?1 AND principal = ?2 AND run = ?3"
    ))?;
    Ok(statement.query_row([owner.tenant(), owner.principal(), run.as_str()], StoredRun::of).optional()?)
}

/// The run of this name, without a word of what it says.
pub(crate) fn entry(
    conn: &Connection,
    owner: &Owner,
    run: &RunId,
) -> Result<Option<RunEntry>, PipelineError> {
    let mut statement = conn.prepare_cached(&format!(
        "SELECT {ENTRY} FROM pipeline_runs WHERE tenant = ?1 AND principal = ?2 AND run = ?3"
    ))?;
    Ok(statement.query_row([owner.tenant(), owner.principal(), run.as_str()], entry_of).optional()?)
}

/// Where the run of this name stands.
pub(crate) fn standing(
    conn: &Connection,
    owner: &Owner,
    run: &RunId,
) -> Result<Option<Standing>, PipelineError> {
    let mut statement = conn.prepare_cached(
        "SELECT id, status, generation, last_event, cancel_at IS NOT NULL FROM pipeline_runs
         WHERE tenant = ?1 AND principal = ?2 AND run = ?3",
    )?;
    let of = |row: &Row<'_>| {
        let status: String = row.get(1)?;
        Ok(Standing {
            id: row.get(0)?,
            status: RunStatus::named(&status).ok_or_else(unreadable)?,
            generation: row.get::<_, i64>(2)?.unsigned_abs(),
            last_event: row.get::<_, i64>(3)?.unsigned_abs(),
            cancel_requested: row.get(4)?,
        })
    };
    Ok(statement.query_row([owner.tenant(), owner.principal(), run.as_str()], of).optional()?)
}

/// The principal's runs, newest first, without a word of what they say; only those in one state, where a state is given.
pub(crate) fn list(
    conn: &Connection,
    owner: &Owner,
    status: Option<RunStatus>,
    limit: usize,
) -> Result<Vec<RunEntry>, PipelineError> {
    let mut statement = conn.prepare_cached(&format!(
        "SELECT {ENTRY} FROM pipeline_runs WHERE tenant = ?1 AND principal = ?2 AND (?3 IS NULL OR status = ?3)
         ORDER BY created_at DESC, run LIMIT ?4"
    ))?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows = statement.query_map(
        params![owner.tenant(), owner.principal(), status.map(RunStatus::name), limit],
        entry_of,
    )?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The definition that the run was started with.
fn definition(conn: &Connection, owner: &Owner, identity: &str) -> Result<Option<String>, PipelineError> {
    let mut statement =
        conn.prepare_cached("SELECT body FROM pipeline_definitions WHERE tenant = ?1 AND identity = ?2")?;
    Ok(statement.query_row([owner.tenant(), identity], |row| row.get(0)).optional()?)
}

/// Some events of a run.
pub(crate) struct Page {
    /// The run's id.
    pub(crate) id: String,
    pub(crate) events: Vec<StoredEvent>,
    /// Whether the run has ended, and nothing follows.
    pub(crate) is_last: bool,
}

/// At most `limit` events after the one of number `after`, and no more than fit a page; `None` when there is no such run.
pub(crate) fn page(
    conn: &Connection,
    owner: &Owner,
    run: &RunId,
    after: u64,
    limit: usize,
) -> Result<Option<Page>, PipelineError> {
    let Some(found) = standing(conn, owner, run)? else { return Ok(None) };
    let events = events(conn, owner, run, after, limit, PAGE_BYTES)?;
    let seen = events.last().map_or(after, |event| event.number);
    let is_last = found.status.is_ended() && seen >= found.last_event;
    Ok(Some(Page { id: found.id, events, is_last }))
}

fn events(
    conn: &Connection,
    owner: &Owner,
    run: &RunId,
    after: u64,
    limit: usize,
    bytes: usize,
) -> Result<Vec<StoredEvent>, PipelineError> {
    let mut statement = conn.prepare_cached(
        "SELECT number, at, generation, length(body), body FROM pipeline_events
         WHERE tenant = ?1 AND principal = ?2 AND run = ?3 AND number > ?4 ORDER BY number LIMIT ?5",
    )?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let asked = params![owner.tenant(), owner.principal(), run.as_str(), signed(after), limit];
    let mut rows = statement.query(asked)?;
    let (mut events, mut left) = (Vec::new(), bytes);
    while let Some(row) = rows.next()? {
        // The length is known without the body being read.
        match left.checked_sub(usize::try_from(row.get::<_, i64>(3)?).unwrap_or(usize::MAX)) {
            Some(rest) => left = rest,
            None if events.is_empty() => left = 0,
            None => break,
        }
        events.push(StoredEvent {
            number: row.get::<_, i64>(0)?.unsigned_abs(),
            at: row.get(1)?,
            generation: row.get::<_, i64>(2)?.unsigned_abs(),
            body: row.get(4)?,
        });
    }
    Ok(events)
}

/// Takes the run for a new generation; where it stands then. A run that has ended is not taken.
pub(crate) fn claim(
    tx: &Transaction<'_>,
    owner: &Owner,
    run: &RunId,
) -> Result<Option<Standing>, PipelineError> {
    tx.prepare_cached(
        "UPDATE pipeline_runs
         SET generation = generation + 1, status = 'running', began_at = coalesce(began_at, ?4)
         WHERE tenant = ?1 AND principal = ?2 AND run = ?3 AND status IN ('pending', 'running')",
    )?
    .execute(params![owner.tenant(), owner.principal(), run.as_str(), now_millis()])?;
    standing(tx, owner, run)
}

/// What an executor has to know of a run that it took.
pub(crate) struct Taken {
    pub(crate) run: StoredRun,
    pub(crate) definition: String,
    pub(crate) events: Vec<StoredEvent>,
}

/// All that an executor has to know, read beside the writers.
pub(crate) fn taken(conn: &Connection, owner: &Owner, run: &RunId) -> Result<Option<Taken>, PipelineError> {
    let Some(found) = find(conn, owner, run)? else { return Ok(None) };
    let events = events(conn, owner, run, 0, usize::MAX, usize::MAX)?;
    let definition = definition(conn, owner, &found.entry.definition)?.unwrap_or_default();
    Ok(Some(Taken { run: found, definition, events }))
}

/// What a write found.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Written {
    /// The number of the last event.
    pub(crate) last: u64,
    /// Whether the run's end was asked for.
    pub(crate) cancelled: bool,
}

/// Appends what one executor has to tell; `None`, and nothing is written, when it was overtaken or the run is gone. An
/// event that ends the run ends it.
pub(crate) fn append(
    tx: &Transaction<'_>,
    owner: &Owner,
    run: &RunId,
    id: &str,
    generation: u64,
    told: &[(i64, What)],
) -> Result<Option<Written>, PipelineError> {
    let ended = told.iter().find_map(|(at, what)| match what {
        What::Ended { status, .. } => Some((*at, *status)),
        _ => None,
    });
    let count = i64::try_from(told.len()).unwrap_or(i64::MAX);
    let found = tx
        .prepare_cached(
            "UPDATE pipeline_runs
             SET last_event = last_event + ?6, status = coalesce(?7, status), ended_at = coalesce(?8, ended_at)
             WHERE tenant = ?1 AND principal = ?2 AND run = ?3 AND id = ?4 AND generation = ?5 AND status = 'running'
             RETURNING last_event, cancel_at IS NOT NULL",
        )?
        .query_row(
            params![
                owner.tenant(),
                owner.principal(),
                run.as_str(),
                id,
                signed(generation),
                count,
                ended.map(|(_, status)| status.name()),
                ended.map(|(at, _)| at)
            ],
            |row| Ok((row.get::<_, i64>(0)?.unsigned_abs(), row.get::<_, bool>(1)?)),
        )
        .optional()?;
    let Some((last, cancelled)) = found else { return Ok(None) };
    add(tx, owner, run, id, generation, last + 1 - told.len() as u64, told.iter())?;
    Ok(Some(Written { last, cancelled }))
}

/// Asks for the run's end. One that nobody has begun ends at once.
pub(crate) fn cancel(
    tx: &Transaction<'_>,
    owner: &Owner,
    run: &RunId,
) -> Result<Option<StoredRun>, PipelineError> {
    let Some(found) = standing(tx, owner, run)? else { return Ok(None) };
    if !found.status.is_ended() && !found.cancel_requested {
        let now = now_millis();
        let mut told = vec![(now, What::CancelRequested)];
        if found.status == RunStatus::Pending {
            let status = RunStatus::Cancelled;
            told.push((
                now,
                What::Ended { status, outputs: Default::default(), reason: None, last_lines: None },
            ));
        }
        tx.prepare_cached(
            "UPDATE pipeline_runs
             SET cancel_at = ?4, last_event = last_event + ?5,
                 ended_at = CASE status WHEN 'pending' THEN ?4 END,
                 status = CASE status WHEN 'pending' THEN 'cancelled' ELSE status END
             WHERE tenant = ?1 AND principal = ?2 AND run = ?3",
        )?
        .execute(params![
            owner.tenant(),
            owner.principal(),
            run.as_str(),
            now,
            told.len() as i64
        ])?;
        add(tx, owner, run, &found.id, 0, found.last_event + 1, told.iter())?;
    }
    find(tx, owner, run)
}

/// Makes a run that failed or was cancelled one to be executed again.
pub(crate) fn retry(
    tx: &Transaction<'_>,
    owner: &Owner,
    run: &RunId,
) -> Result<Option<(bool, StoredRun)>, PipelineError> {
    let Some(found) = standing(tx, owner, run)? else { return Ok(None) };
    let again = matches!(found.status, RunStatus::Failed | RunStatus::Cancelled);
    if again {
        let number = found.last_event + 1;
        tx.prepare_cached(
            "UPDATE pipeline_runs
             SET status = 'pending', cancel_at = NULL, ended_at = NULL, last_event = ?4, asked = ?4
             WHERE tenant = ?1 AND principal = ?2 AND run = ?3",
        )?
        .execute(params![owner.tenant(), owner.principal(), run.as_str(), signed(number)])?;
        add(tx, owner, run, &found.id, 0, number, [&(now_millis(), What::Retried)].into_iter())?;
    }
    Ok(find(tx, owner, run)?.map(|found| (again, found)))
}

/// Ends a run that nobody goes on with, of the try that this event asked for; whoever still works on it is overtaken. Its id,
/// or `None` when it has ended or is another try's.
pub(crate) fn give_up(
    tx: &Transaction<'_>,
    owner: &Owner,
    run: &RunId,
    asked: u64,
    status: RunStatus,
    reason: &str,
) -> Result<Option<String>, PipelineError> {
    let now = now_millis();
    let found = tx
        .prepare_cached(
            "UPDATE pipeline_runs
             SET generation = generation + 1, last_event = last_event + 1, status = ?5, ended_at = ?6
             WHERE tenant = ?1 AND principal = ?2 AND run = ?3 AND asked = ?4 AND status IN ('pending', 'running')
             RETURNING id, last_event",
        )?
        .query_row(
            params![owner.tenant(), owner.principal(), run.as_str(), signed(asked), status.name(), now],
            |row| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?.unsigned_abs())),
        )
        .optional()?;
    let Some((id, number)) = found else { return Ok(None) };
    let reason = Some(reason.to_owned());
    let ended = What::Ended { status, outputs: Default::default(), reason, last_lines: None };
    add(tx, owner, run, &id, 0, number, [&(now, ended)].into_iter())?;
    Ok(Some(id))
}

fn add<'a>(
    tx: &Transaction<'_>,
    owner: &Owner,
    run: &RunId,
    id: &str,
    generation: u64,
    first: u64,
    told: impl Iterator<Item = &'a (i64, What)>,
) -> Result<(), PipelineError> {
    let mut statement = tx.prepare_cached(
        "INSERT INTO pipeline_events (tenant, principal, run, number, at, generation, body)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?;
    for (number, (at, what)) in (first..).zip(told) {
        let body = owner.seal(Said::Event(number), id, what)?;
        let (tenant, principal, generation) = (owner.tenant(), owner.principal(), signed(generation));
        statement.execute(params![tenant, principal, run.as_str(), signed(number), at, generation, body])?;
    }
    Ok(())
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
