//! Rows of runs and events as they are stored, and what they say once they are opened.
//!
//! Statements give rows with what is sealed still sealed; it is opened by [`OwnRows::apart`](super::OwnRows::apart), on the
//! pool and after the file was given back, so that nobody waits for the unsealing and parsing of somebody else's words.

use haversack_store::sqlite::{Error, Row};

use super::owner::{Owner, Said};
use super::{Event, What};
use crate::PipelineError;
use crate::parameters::Parameters;
use crate::run::{RunEntry, RunId, RunStatus, RunView};

/// What is in clear, in the order in which [`entry_of`] reads it.
pub(super) const ENTRY: &str =
    "run, pipeline, definition, principal, session, status, generation, last_event, asked, trace,
                                cancel_at IS NOT NULL, created_at, began_at, ended_at";

/// What a row of [`StoredRun`] has behind its [`ENTRY`].
pub(super) const SEALED: &str = "id, parameters,
                                 CASE WHEN ended_at IS NOT NULL THEN
                                     (SELECT body FROM pipeline_events AS log
                                      WHERE log.tenant = pipeline_runs.tenant AND log.principal = pipeline_runs.principal
                                      AND log.run = pipeline_runs.run AND log.number = last_event)
                                 END";

/// A run of which nothing sealed was read.
pub(super) fn entry_of(row: &Row<'_>) -> Result<RunEntry, Error> {
    let status: String = row.get(5)?;
    Ok(RunEntry {
        run: RunId::new(row.get::<_, String>(0)?).map_err(|_| unreadable())?,
        pipeline: row.get(1)?,
        definition: row.get(2)?,
        principal: row.get(3)?,
        session: row.get(4)?,
        status: RunStatus::named(&status).ok_or_else(unreadable)?,
        generation: row.get::<_, i64>(6)?.unsigned_abs(),
        last_event: row.get::<_, i64>(7)?.unsigned_abs(),
        asked: row.get::<_, i64>(8)?.unsigned_abs(),
        trace: row.get(9)?,
        cancel_requested: row.get(10)?,
        created_at: row.get(11)?,
        began_at: row.get(12)?,
        ended_at: row.get(13)?,
    })
}

/// A run's row, with what is sealed still sealed.
pub(crate) struct StoredRun {
    pub(crate) entry: RunEntry,
    pub(crate) id: String,
    parameters: Vec<u8>,
    /// The body of the last event, of a run that has ended.
    end: Option<Vec<u8>>,
}

impl StoredRun {
    pub(super) fn of(row: &Row<'_>) -> Result<Self, Error> {
        Ok(Self { entry: entry_of(row)?, id: row.get(14)?, parameters: row.get(15)?, end: row.get(16)? })
    }

    /// What cannot be opened any more is left out, and the view says so: the run can still be seen, ended and deleted.
    pub(crate) fn view(self, owner: &Owner) -> Result<RunView, PipelineError> {
        let Self { entry, id, parameters, end } = self;
        let mut unreadable = false;
        let parameters: Option<Parameters> =
            kept(owner.open(Said::Parameters, &id, &parameters), &mut unreadable)?;
        // Nothing is written after the end, so the last event of a run that has ended is its end.
        let end = end.map(|body| owner.open(Said::Event(entry.last_event), &id, &body));
        let (outputs, reason, last_lines) =
            match end.map(|end| kept(end, &mut unreadable)).transpose()?.flatten() {
                Some(What::Ended { outputs, reason, last_lines, .. }) => (outputs, reason, last_lines),
                Some(_) => return Err(self::unreadable().into()),
                None => Default::default(),
            };
        Ok(RunView {
            entry,
            parameters: parameters.unwrap_or_default(),
            outputs,
            reason,
            last_lines,
            unreadable,
        })
    }
}

/// An event, with what happened still sealed.
pub(crate) struct StoredEvent {
    pub(super) number: u64,
    pub(super) at: i64,
    pub(super) generation: u64,
    pub(super) body: Vec<u8>,
}

/// Opens events of the run of this id.
pub(crate) fn opened(events: Vec<StoredEvent>, id: &str, owner: &Owner) -> Result<Vec<Event>, PipelineError> {
    let open = |StoredEvent { number, at, generation, body }: StoredEvent| {
        Ok(Event { number, at, generation, what: owner.open(Said::Event(number), id, &body)? })
    };
    events.into_iter().map(open).collect()
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
pub(super) fn unreadable() -> Error {
    Error::ToSqlConversionFailure("a row of the run log is not readable by this release".into())
}
