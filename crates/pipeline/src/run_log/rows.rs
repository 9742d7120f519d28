//! The statements of this crate: every SQL text that touches runs and their log.
//!
//! Each function runs inside a closure of [`ControlRows`](haversack_store::ControlRows) and takes the tenant from the
//! scope that the store hands in, never from a caller. What an executor writes compares its generation first, so one
//! that was overtaken changes nothing.

use haversack_store::sqlite::{Connection, Error, OptionalExtension, Row, Transaction, params};
use haversack_store::{Scope, StoreError, now_millis};

use super::{Event, What};
use crate::parameters::Parameters;
use crate::run::{RunId, RunStatus, RunView};

const COLUMNS: &str =
    "run, pipeline, definition, principal, parameters, status, generation, last_event, trace,
                       cancel_at, created_at, began_at, ended_at,
                       CASE WHEN ended_at IS NOT NULL THEN
                           (SELECT body FROM pipeline_events AS log WHERE log.tenant = pipeline_runs.tenant
                            AND log.run = pipeline_runs.run AND log.number = last_event)
                       END";

/// A run as it is started.
pub(crate) struct NewRun {
    pub(crate) run: RunId,
    pub(crate) pipeline: String,
    pub(crate) identity: String,
    pub(crate) definition: String,
    pub(crate) principal: Option<String>,
    pub(crate) parameters: String,
    pub(crate) trace: String,
}

/// Inserts a run; false when there is one of this name.
pub(crate) fn insert(tx: &Transaction<'_>, scope: &Scope, new: &NewRun) -> Result<bool, StoreError> {
    let (owner, now) = (scope.tenant().as_str(), now_millis());
    tx.prepare_cached(
        "INSERT INTO pipeline_definitions (tenant, identity, body) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
    )?
    .execute(params![owner, new.identity, new.definition])?;
    let inserted = tx
        .prepare_cached(
            "INSERT INTO pipeline_runs (tenant, run, pipeline, definition, principal, parameters, status, generation,
                                        last_event, trace, created_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, 'pending', 0, 1, ?7, ?8) ON CONFLICT DO NOTHING",
        )?
        .execute(params![
            owner,
            new.run.as_str(),
            new.pipeline,
            new.identity,
            new.principal,
            new.parameters,
            new.trace,
            now
        ])?;
    if inserted == 0 {
        return Ok(false);
    }
    let created = What::Created { pipeline: new.pipeline.clone(), definition: new.identity.clone() };
    add(tx, scope, &new.run, 0, 1, [&(now, created)].into_iter())?;
    Ok(true)
}

/// The run of this name.
pub(crate) fn find(conn: &Connection, scope: &Scope, run: &RunId) -> Result<Option<RunView>, StoreError> {
    let mut statement =
        conn.prepare_cached(&format!("SELECT {COLUMNS} FROM pipeline_runs WHERE tenant = ?1 AND run = ?2"))?;
    Ok(statement.query_row([scope.tenant().as_str(), run.as_str()], view_of_row).optional()?)
}

/// Runs, newest first; only those in one state, where a state is given.
pub(crate) fn list(
    conn: &Connection,
    scope: &Scope,
    status: Option<RunStatus>,
    limit: usize,
) -> Result<Vec<RunView>, StoreError> {
    let mut statement = conn.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM pipeline_runs WHERE tenant = ?1 AND (?2 IS NULL OR status = ?2)
         ORDER BY created_at DESC, run LIMIT ?3"
    ))?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows = statement
        .query_map(params![scope.tenant().as_str(), status.map(RunStatus::name), limit], view_of_row)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The definition that the run was started with.
pub(crate) fn definition(
    conn: &Connection,
    scope: &Scope,
    identity: &str,
) -> Result<Option<String>, StoreError> {
    let mut statement =
        conn.prepare_cached("SELECT body FROM pipeline_definitions WHERE tenant = ?1 AND identity = ?2")?;
    Ok(statement.query_row([scope.tenant().as_str(), identity], |row| row.get(0)).optional()?)
}

/// Some events of a run.
pub(crate) struct Page {
    pub(crate) events: Vec<Event>,
    /// Whether the run has ended, and nothing follows.
    pub(crate) is_last: bool,
}

/// At most `limit` events after the one of number `after`; `None` when there is no such run.
pub(crate) fn page(
    conn: &Connection,
    scope: &Scope,
    run: &RunId,
    after: u64,
    limit: usize,
) -> Result<Option<Page>, StoreError> {
    let Some(view) = find(conn, scope, run)? else { return Ok(None) };
    let events = events(conn, scope, run, after, limit)?;
    let seen = events.last().map_or(after, |event| event.number);
    Ok(Some(Page { is_last: view.status.is_ended() && seen >= view.last_event, events }))
}

fn events(
    conn: &Connection,
    scope: &Scope,
    run: &RunId,
    after: u64,
    limit: usize,
) -> Result<Vec<Event>, StoreError> {
    let mut statement = conn.prepare_cached(
        "SELECT number, at, generation, body FROM pipeline_events
         WHERE tenant = ?1 AND run = ?2 AND number > ?3 ORDER BY number LIMIT ?4",
    )?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows = statement
        .query_map(params![scope.tenant().as_str(), run.as_str(), signed(after), limit], event_of_row)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// What an executor takes over.
pub(crate) struct Claim {
    pub(crate) view: RunView,
    pub(crate) definition: String,
    pub(crate) events: Vec<Event>,
}

/// Takes the run for a new generation, and reads all that it has to know, in one transaction. A run that has ended is
/// read and not taken.
pub(crate) fn claim(tx: &Transaction<'_>, scope: &Scope, run: &RunId) -> Result<Option<Claim>, StoreError> {
    let taken = tx
        .prepare_cached(
            "UPDATE pipeline_runs
             SET generation = generation + 1, status = 'running', began_at = coalesce(began_at, ?3)
             WHERE tenant = ?1 AND run = ?2 AND status IN ('pending', 'running')",
        )?
        .execute(params![scope.tenant().as_str(), run.as_str(), now_millis()])?;
    let Some(view) = find(tx, scope, run)? else { return Ok(None) };
    if taken == 0 {
        return Ok(Some(Claim { view, definition: String::new(), events: Vec::new() }));
    }
    let definition = definition(tx, scope, &view.definition)?.unwrap_or_default();
    let events = events(tx, scope, run, 0, usize::MAX)?;
    Ok(Some(Claim { view, definition, events }))
}

/// What a write found.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Written {
    /// The number of the last event.
    pub(crate) last: u64,
    /// Whether the run's end was asked for.
    pub(crate) cancelled: bool,
}

/// Appends what one executor has to tell; `None`, and nothing is written, when it was overtaken. An event that ends the
/// run ends it.
pub(crate) fn append(
    tx: &Transaction<'_>,
    scope: &Scope,
    run: &RunId,
    generation: u64,
    told: &[(i64, What)],
) -> Result<Option<Written>, StoreError> {
    let ended = told.iter().find_map(|(at, what)| match what {
        What::Ended { status, .. } => Some((*at, *status)),
        _ => None,
    });
    let count = i64::try_from(told.len()).unwrap_or(i64::MAX);
    let found = tx
        .prepare_cached(
            "UPDATE pipeline_runs
             SET last_event = last_event + ?4, status = coalesce(?5, status), ended_at = coalesce(?6, ended_at)
             WHERE tenant = ?1 AND run = ?2 AND generation = ?3 AND status = 'running'
             RETURNING last_event, cancel_at IS NOT NULL",
        )?
        .query_row(
            params![
                scope.tenant().as_str(),
                run.as_str(),
                signed(generation),
                count,
                ended.map(|(_, status)| status.name()),
                ended.map(|(at, _)| at)
            ],
            |row| Ok((row.get::<_, i64>(0)?.unsigned_abs(), row.get::<_, bool>(1)?)),
        )
        .optional()?;
    let Some((last, cancelled)) = found else { return Ok(None) };
    add(tx, scope, run, generation, last + 1 - told.len() as u64, told.iter())?;
    Ok(Some(Written { last, cancelled }))
}

/// Asks for the run's end. One that nobody has begun ends at once.
pub(crate) fn cancel(
    tx: &Transaction<'_>,
    scope: &Scope,
    run: &RunId,
) -> Result<Option<RunView>, StoreError> {
    let Some(view) = find(tx, scope, run)? else { return Ok(None) };
    if view.status.is_ended() || view.cancel_requested {
        return Ok(Some(view));
    }
    let now = now_millis();
    let mut told = vec![(now, What::CancelRequested)];
    if view.status == RunStatus::Pending {
        let status = RunStatus::Cancelled;
        told.push((now, What::Ended { status, outputs: Default::default(), reason: None }));
    }
    tx.prepare_cached(
        "UPDATE pipeline_runs
         SET cancel_at = ?3, last_event = last_event + ?4,
             ended_at = CASE status WHEN 'pending' THEN ?3 END,
             status = CASE status WHEN 'pending' THEN 'cancelled' ELSE status END
         WHERE tenant = ?1 AND run = ?2",
    )?
    .execute(params![scope.tenant().as_str(), run.as_str(), now, told.len() as i64])?;
    add(tx, scope, run, 0, view.last_event + 1, told.iter())?;
    find(tx, scope, run)
}

/// Makes a run that failed or was cancelled one to be executed again.
pub(crate) fn retry(
    tx: &Transaction<'_>,
    scope: &Scope,
    run: &RunId,
) -> Result<Option<(bool, RunView)>, StoreError> {
    let Some(view) = find(tx, scope, run)? else { return Ok(None) };
    if !matches!(view.status, RunStatus::Failed | RunStatus::Cancelled) {
        return Ok(Some((false, view)));
    }
    tx.prepare_cached(
        "UPDATE pipeline_runs SET status = 'pending', cancel_at = NULL, ended_at = NULL, last_event = last_event + 1
         WHERE tenant = ?1 AND run = ?2",
    )?
    .execute([scope.tenant().as_str(), run.as_str()])?;
    add(tx, scope, run, 0, view.last_event + 1, [&(now_millis(), What::Retried)].into_iter())?;
    Ok(find(tx, scope, run)?.map(|view| (true, view)))
}

/// Deletes a run that has ended, with its log and, if no other run has it, its definition.
pub(crate) fn delete(tx: &Transaction<'_>, scope: &Scope, run: &RunId) -> Result<Option<bool>, StoreError> {
    let Some(view) = find(tx, scope, run)? else { return Ok(None) };
    if !view.status.is_ended() {
        return Ok(Some(false));
    }
    let owner = scope.tenant().as_str();
    // The row goes first: the log may go only with its run.
    tx.execute("DELETE FROM pipeline_runs WHERE tenant = ?1 AND run = ?2", [owner, run.as_str()])?;
    tx.execute("DELETE FROM pipeline_events WHERE tenant = ?1 AND run = ?2", [owner, run.as_str()])?;
    tx.execute(
        "DELETE FROM pipeline_definitions WHERE tenant = ?1 AND identity = ?2
         AND NOT EXISTS (SELECT 1 FROM pipeline_runs WHERE tenant = ?1 AND definition = ?2)",
        [owner, &view.definition],
    )?;
    Ok(Some(true))
}

fn add<'a>(
    tx: &Transaction<'_>,
    scope: &Scope,
    run: &RunId,
    generation: u64,
    first: u64,
    told: impl Iterator<Item = &'a (i64, What)>,
) -> Result<(), StoreError> {
    let mut statement = tx.prepare_cached(
        "INSERT INTO pipeline_events (tenant, run, number, at, generation, body) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?;
    for (number, (at, what)) in (first..).zip(told) {
        let body = serde_json::to_string(what).map_err(|_| unreadable())?;
        let (owner, generation) = (scope.tenant().as_str(), signed(generation));
        statement.execute(params![owner, run.as_str(), signed(number), at, generation, body])?;
    }
    Ok(())
}

fn view_of_row(row: &Row<'_>) -> Result<RunView, Error> {
    let parameters: String = row.get(4)?;
    let status: String = row.get(5)?;
    // Nothing is written after the end, so the last event of a run that has ended is its end.
    let (outputs, reason) = match row.get::<_, Option<String>>(13)?.map(|body| serde_json::from_str(&body)) {
        Some(Ok(What::Ended { outputs, reason, .. })) => (outputs, reason),
        Some(_) => return Err(unreadable()),
        None => Default::default(),
    };
    Ok(RunView {
        run: RunId::new(row.get::<_, String>(0)?).map_err(|_| unreadable())?,
        pipeline: row.get(1)?,
        definition: row.get(2)?,
        principal: row.get(3)?,
        parameters: serde_json::from_str::<Parameters>(&parameters).map_err(|_| unreadable())?,
        status: RunStatus::named(&status).ok_or_else(unreadable)?,
        generation: row.get::<_, i64>(6)?.unsigned_abs(),
        last_event: row.get::<_, i64>(7)?.unsigned_abs(),
        trace: row.get(8)?,
        cancel_requested: row.get::<_, Option<i64>>(9)?.is_some(),
        created_at: row.get(10)?,
        began_at: row.get(11)?,
        ended_at: row.get(12)?,
        outputs,
        reason,
    })
}

fn event_of_row(row: &Row<'_>) -> Result<Event, Error> {
    let body: String = row.get(3)?;
    Ok(Event {
        number: row.get::<_, i64>(0)?.unsigned_abs(),
        at: row.get(1)?,
        generation: row.get::<_, i64>(2)?.unsigned_abs(),
        what: serde_json::from_str(&body).map_err(|_| unreadable())?,
    })
}

/// A row that this release cannot read: a newer one wrote it.
fn unreadable() -> Error {
    Error::ToSqlConversionFailure("a row of the run log is not readable by this release".into())
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
