//! What the ring holds of one unit of work: whose it is, where it hangs in its trace, and its spans as they come.
//! One lock a record, held for the length of a push or a copy. The ring makes records, its layer fills them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use haversack::well_known::{REQUEST_ID, SESSION_ID, SessionId, TRACE_CONTEXT, TraceContext};
use tracing::Metadata;

use super::super::fields::Fields;
use super::super::kind::Kind;
use super::super::owner::Owner;
use super::super::trace::{CAUSE, LINK};
use super::super::tree::{Bindings, State, Unit, Work};

/// One unit of work.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) kind: Kind,
    pub(super) id: String,
    pub(super) owner: Owner,
    pub(super) session: Option<SessionId>,
    /// The trace, and the span of this unit in it; none for work that no journal entered.
    pub(super) trace: Option<TraceContext>,
    request: Option<String>,
    cause: Option<TraceContext>,
    link: Option<TraceContext>,
    began: Instant,
    started_at: i64,
    max_units: usize,
    spans: Mutex<Spans>,
}

#[derive(Debug, Default)]
struct Spans {
    spans: Vec<Entry>,
    running: usize,
    dropped: u64,
}

#[derive(Debug)]
struct Entry {
    metadata: &'static Metadata<'static>,
    parent: Option<u32>,
    fields: Fields,
    start_us: u64,
    elapsed_us: Option<u64>,
    context: Bindings,
}

/// The spans of a record at one moment.
#[derive(Debug)]
pub(crate) struct Recorded {
    /// When the first span began, milliseconds since the Unix epoch.
    pub(crate) started_at: i64,
    /// Whether all spans have ended.
    pub(crate) complete: bool,
    /// Spans that did not fit.
    pub(crate) dropped: u64,
    pub(crate) units: Vec<Unit>,
}

impl Record {
    /// A record of `owner`'s work that begins now, in the current context.
    pub(super) fn new(kind: Kind, id: String, owner: Owner, max_units: usize) -> Arc<Self> {
        Arc::new(Self {
            kind,
            id,
            owner,
            session: SESSION_ID.bound(),
            trace: TRACE_CONTEXT.bound(),
            request: REQUEST_ID.bound().map(|id| id.as_str().to_owned()),
            cause: CAUSE.bound(),
            link: LINK.bound(),
            began: Instant::now(),
            started_at: haversack_store::now_millis(),
            max_units,
            spans: Mutex::default(),
        })
    }

    /// Adds a span and returns its position; `None` when the record is full.
    pub(super) fn open(
        &self,
        metadata: &'static Metadata<'static>,
        parent: Option<u32>,
        fields: Fields,
    ) -> Option<u32> {
        // A span under somebody else's context is a defect elsewhere; this tree must not tell whose.
        let context = match Owner::current() {
            Ok(owner) if owner != self.owner => Bindings::withheld(),
            _ => Bindings::current(),
        };
        let start_us = self.elapsed();
        let mut held = self.spans();
        if held.spans.len() >= self.max_units {
            held.dropped += 1;
            return None;
        }
        let position = u32::try_from(held.spans.len()).ok()?;
        held.running += 1;
        held.spans.push(Entry { metadata, parent, fields, start_us, elapsed_us: None, context });
        Some(position)
    }

    pub(super) fn add(&self, position: u32, fields: Fields) {
        if let Some(entry) = self.spans().spans.get_mut(position as usize) {
            entry.fields.values.extend(fields.values);
        }
    }

    pub(super) fn close(&self, position: u32) {
        let now = self.elapsed();
        let mut held = self.spans();
        if let Some(entry) = held.spans.get_mut(position as usize)
            && entry.elapsed_us.is_none()
        {
            entry.elapsed_us = Some(now.saturating_sub(entry.start_us));
            held.running -= 1;
        }
    }

    /// Whether it hangs in a trace that can be asked for under this id.
    pub(super) fn is_called(&self, id: &str) -> bool {
        let Some(trace) = &self.trace else { return false };
        self.id == id || trace.trace_id() == id || self.request.as_deref() == Some(id)
    }

    /// Its spans as they are now.
    pub(super) fn recorded(&self) -> Recorded {
        let held = self.spans();
        Recorded {
            started_at: self.started_at,
            complete: held.running == 0,
            dropped: held.dropped,
            units: held.spans.iter().zip(0..).map(|(entry, id)| entry.unit(id)).collect(),
        }
    }

    /// It as a reader of a trace gets it; `None` for work outside any trace.
    pub(super) fn work(&self) -> Option<Work> {
        let trace = self.trace.as_ref()?;
        let Recorded { started_at, complete, dropped, units } = self.recorded();
        Some(Work {
            kind: self.kind.name().to_owned(),
            id: self.id.clone(),
            span: trace.parent_id().to_owned(),
            parent: self.cause.as_ref().map(|cause| cause.parent_id().to_owned()),
            session: self.session.as_ref().map(|session| session.as_str().to_owned()),
            request: self.request.clone(),
            link: self.link.as_ref().map(|link| link.as_str().to_owned()),
            process: None,
            started_at,
            ended_at: complete.then(|| started_at.saturating_add(units_end(&units))),
            state: if complete { State::Complete } else { State::Running },
            dropped,
            units,
        })
    }

    fn elapsed(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// A panic elsewhere does not make what is recorded less true.
    fn spans(&self) -> MutexGuard<'_, Spans> {
        self.spans.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    fn unit(&self, id: u32) -> Unit {
        let at = self.metadata.file().map(|file| match self.metadata.line() {
            Some(line) => format!("{file}:{line}"),
            None => file.to_owned(),
        });
        let fields = self.fields.values.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
        Unit {
            id,
            parent: self.parent,
            name: self.metadata.name().to_owned(),
            target: self.metadata.target().to_owned(),
            at,
            fields: fields.collect(),
            start_us: self.start_us,
            elapsed_us: self.elapsed_us,
            context: self.context.clone(),
        }
    }
}

/// When the last span ended, milliseconds after the first began.
fn units_end(units: &[Unit]) -> i64 {
    let last = units.iter().filter_map(|unit| Some(unit.start_us + unit.elapsed_us?)).max();
    i64::try_from(last.unwrap_or_default() / 1_000).unwrap_or(i64::MAX)
}
