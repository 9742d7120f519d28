//! The statements about one run, or one owner's runs: start, look, take, append, cancel, retry.
//!
//! Each function runs inside a closure of [`OwnRows`](super::owner::OwnRows) and takes tenant and principal from the owner
//! that it hands in, never from a caller. What an executor writes compares its run's id and its generation first, so one
//! that was overtaken, or whose run was deleted, changes nothing.

use haversack_store::now_millis;
use haversack_store::sqlite::{Connection, Error, OptionalExtension, Row, Transaction, params};

use super::owner::{Owner, Said};
use super::{Event, What};
use crate::PipelineError;
use crate::parameters::Parameters;
use crate::run::{RunId, RunStatus, RunView};

const COLUMNS: &str = "run, id, pipeline, definition, session, parameters, status, generation, last_event, asked, trace,
                       cancel_at, created_at, began_at, ended_at,
                       CASE WHEN ended_at IS NOT NULL THEN
                           (SELECT body FROM pipeline_events AS log
                            WHERE log.tenant = pipeline_runs.tenant AND log.principal = pipeline_runs.principal
                            AND log.run = pipeline_runs.run AND log.number = last_event)
                       END";

/// A run as it is started.
pub(crate) struct NewRun {
    pub(crate) run: RunId,
    /// 32 hexadecimal digits that no other run has, whatever it is called.
    pub(crate) id: String,
    pub(crate) pipeline: String,
    pub(crate) identity: String,
    pub(crate) definition: String,
    pub(crate) session: Option<String>,
    pub(crate) parameters: Parameters,
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
            owner.seal(Said::Parameters, &new.id, &new.parameters)?,
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
pub(crate) fn find(conn: &Connection, owner: &Owner, run: &RunId) -> Result<Option<RunView>, PipelineError> {
    let mut statement = conn.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM pipeline_runs WHERE tenant = ?1 AND principal = ?2 AND run = ?3"
    ))?;
    let found =
        statement.query_row([owner.tenant(), owner.principal(), run.as_str()], Stored::of).optional()?;
    found.map(|stored| stored.view(owner)).transpose()
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

/// The principal's runs, newest first; only those in one state, where a state is given.
pub(crate) fn list(
    conn: &Connection,
    owner: &Owner,
    status: Option<RunStatus>,
    limit: usize,
) -> Result<Vec<RunView>, PipelineError> {
    let mut statement = conn.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM pipeline_runs WHERE tenant = ?1 AND principal = ?2 AND (?3 IS NULL OR status = ?3)
         ORDER BY created_at DESC, run LIMIT ?4"
    ))?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows = statement.query_map(
        params![owner.tenant(), owner.principal(), status.map(RunStatus::name), limit],
        Stored::of,
    )?;
    rows.map(|stored| stored?.view(owner)).collect()
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
    pub(crate) events: Vec<Event>,
    /// Whether the run has ended, and nothing follows.
    pub(crate) is_last: bool,
}

/// At most `limit` events after the one of number `after`; `None` when there is no such run.
pub(crate) fn page(
    conn: &Connection,
    owner: &Owner,
    run: &RunId,
    after: u64,
    limit: usize,
) -> Result<Option<Page>, PipelineError> {
    let Some(found) = standing(conn, owner, run)? else { return Ok(None) };
    let events = events(conn, owner, run, &found.id, after, limit)?;
    let seen = events.last().map_or(after, |event| event.number);
    let is_last = found.status.is_ended() && seen >= found.last_event;
    Ok(Some(Page { id: found.id, events, is_last }))
}

fn events(
    conn: &Connection,
    owner: &Owner,
    run: &RunId,
    id: &str,
    after: u64,
    limit: usize,
) -> Result<Vec<Event>, PipelineError> {
    let mut statement = conn.prepare_cached(
        "SELECT number, at, generation, body FROM pipeline_events
         WHERE tenant = ?1 AND principal = ?2 AND run = ?3 AND number > ?4 ORDER BY number LIMIT ?5",
    )?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let asked = params![owner.tenant(), owner.principal(), run.as_str(), signed(after), limit];
    let mut rows = statement.query(asked)?;
    let mut events = Vec::new();
    while let Some(row) = rows.next()? {
        let number = row.get::<_, i64>(0)?.unsigned_abs();
        let body: Vec<u8> = row.get(3)?;
        events.push(Event {
            number,
            at: row.get(1)?,
            generation: row.get::<_, i64>(2)?.unsigned_abs(),
            what: owner.open(Said::Event(number), id, &body)?,
        });
    }
    Ok(events)
}

/// What an executor takes over.
pub(crate) struct Claim {
    pub(crate) id: String,
    pub(crate) view: RunView,
    pub(crate) definition: String,
    pub(crate) events: Vec<Event>,
}

/// Takes the run for a new generation, and reads all that it has to know, in one transaction. A run that has ended is
/// read and not taken. One whose words cannot be opened any more ends here: nobody can go on with it.
pub(crate) fn claim(
    tx: &Transaction<'_>,
    owner: &Owner,
    run: &RunId,
) -> Result<Option<Claim>, PipelineError> {
    let taken = tx
        .prepare_cached(
            "UPDATE pipeline_runs
             SET generation = generation + 1, status = 'running', began_at = coalesce(began_at, ?4)
             WHERE tenant = ?1 AND principal = ?2 AND run = ?3 AND status IN ('pending', 'running')",
        )?
        .execute(params![owner.tenant(), owner.principal(), run.as_str(), now_millis()])?;
    let Some(Standing { id, generation, .. }) = standing(tx, owner, run)? else { return Ok(None) };
    let Some(view) = find(tx, owner, run)? else { return Ok(None) };
    if taken == 0 {
        return Ok(Some(Claim { id, view, definition: String::new(), events: Vec::new() }));
    }
    let events =
        if view.unreadable { Err(PipelineError::Sealed) } else { events(tx, owner, run, &id, 0, usize::MAX) };
    let events = match events {
        Err(PipelineError::Sealed) => {
            let reason = Some("what it was started with cannot be opened any more".to_owned());
            let ended = What::Ended { status: RunStatus::Failed, outputs: Default::default(), reason };
            append(tx, owner, run, &id, generation, &[(now_millis(), ended)])?;
            let view = find(tx, owner, run)?.ok_or(PipelineError::UnknownRun)?;
            return Ok(Some(Claim { id, view, definition: String::new(), events: Vec::new() }));
        }
        events => events?,
    };
    let definition = definition(tx, owner, &view.definition)?.unwrap_or_default();
    Ok(Some(Claim { id, view, definition, events }))
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
) -> Result<Option<(String, RunView)>, PipelineError> {
    let Some(found) = standing(tx, owner, run)? else { return Ok(None) };
    if !found.status.is_ended() && !found.cancel_requested {
        let now = now_millis();
        let mut told = vec![(now, What::CancelRequested)];
        if found.status == RunStatus::Pending {
            let status = RunStatus::Cancelled;
            told.push((now, What::Ended { status, outputs: Default::default(), reason: None }));
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
    Ok(find(tx, owner, run)?.map(|view| (found.id, view)))
}

/// Makes a run that failed or was cancelled one to be executed again.
pub(crate) fn retry(
    tx: &Transaction<'_>,
    owner: &Owner,
    run: &RunId,
) -> Result<Option<(bool, RunView)>, PipelineError> {
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
    Ok(find(tx, owner, run)?.map(|view| (again, view)))
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
    let ended = What::Ended { status, outputs: Default::default(), reason: Some(reason.to_owned()) };
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

/// A run's row as it is stored.
struct Stored {
    run: String,
    id: String,
    status: String,
    parameters: Vec<u8>,
    /// The body of the last event, of a run that has ended.
    end: Option<Vec<u8>>,
    /// All that is not sealed.
    rest: Rest,
}

struct Rest {
    pipeline: String,
    definition: String,
    session: Option<String>,
    generation: u64,
    last_event: u64,
    asked: u64,
    trace: String,
    cancel_requested: bool,
    created_at: i64,
    began_at: Option<i64>,
    ended_at: Option<i64>,
}

impl Stored {
    fn of(row: &Row<'_>) -> Result<Self, Error> {
        Ok(Self {
            run: row.get(0)?,
            id: row.get(1)?,
            status: row.get(6)?,
            parameters: row.get(5)?,
            end: row.get(15)?,
            rest: Rest {
                pipeline: row.get(2)?,
                definition: row.get(3)?,
                session: row.get(4)?,
                generation: row.get::<_, i64>(7)?.unsigned_abs(),
                last_event: row.get::<_, i64>(8)?.unsigned_abs(),
                asked: row.get::<_, i64>(9)?.unsigned_abs(),
                trace: row.get(10)?,
                cancel_requested: row.get::<_, Option<i64>>(11)?.is_some(),
                created_at: row.get(12)?,
                began_at: row.get(13)?,
                ended_at: row.get(14)?,
            },
        })
    }

    /// What cannot be opened any more is left out, and the view says so: the run can still be seen, ended and deleted.
    fn view(self, owner: &Owner) -> Result<RunView, PipelineError> {
        let Self { run, id, status, parameters, end, rest } = self;
        let mut unreadable = false;
        let parameters: Option<Parameters> =
            kept(owner.open(Said::Parameters, &id, &parameters), &mut unreadable)?;
        // Nothing is written after the end, so the last event of a run that has ended is its end.
        let end = end.map(|body| owner.open(Said::Event(rest.last_event), &id, &body));
        let (outputs, reason) = match end.map(|end| kept(end, &mut unreadable)).transpose()?.flatten() {
            Some(What::Ended { outputs, reason, .. }) => (outputs, reason),
            Some(_) => return Err(self::unreadable().into()),
            None => Default::default(),
        };
        Ok(RunView {
            run: RunId::new(run)?,
            pipeline: rest.pipeline,
            definition: rest.definition,
            principal: owner.principal().to_owned(),
            session: rest.session,
            status: RunStatus::named(&status).ok_or_else(self::unreadable)?,
            parameters: parameters.unwrap_or_default(),
            generation: rest.generation,
            last_event: rest.last_event,
            asked: rest.asked,
            trace: rest.trace,
            cancel_requested: rest.cancel_requested,
            outputs,
            reason,
            unreadable,
            created_at: rest.created_at,
            began_at: rest.began_at,
            ended_at: rest.ended_at,
        })
    }
}

fn kept<T>(opened: Result<T, PipelineError>, unreadable: &mut bool) -> Result<Option<T>, PipelineError> {
    match opened {
        Err(PipelineError::Sealed) => {
            *unreadable = true;
            Ok(None)
        }
        opened => opened.map(Some),
    }
}

/// A row that this release cannot read: a newer one wrote it.
fn unreadable() -> Error {
    Error::ToSqlConversionFailure("a row of the run log is not readable by this release".into())
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
