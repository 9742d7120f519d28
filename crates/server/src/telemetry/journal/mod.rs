//! The journal: what was done for a tenant, kept in the tenant's own file, so that it outlives the process. Each unit
//! of work, a turn, an attempt of a job, a run or a delivery, is a row: added when it begins, completed with its span
//! tree when it ends. Code that runs such work wraps it in [`Journal::unit`]; [`Journal::trace`] reads a whole trace
//! back, whichever processes wrote it, for the tenant and principal of the context and for nobody else.

mod presence;
mod rows;
mod stored;

use std::collections::HashSet;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join;
use haversack::well_known::{PRINCIPAL, REQUEST_ID, SESSION_ID, SessionId, TRACE_CONTEXT, TraceContext};
use haversack::{Context, FutureExt, MissingContext, WithContext};
use haversack_store::{Store, StoreError, TenantDb};
use tokio::sync::watch;

use super::kind::Kind;
use super::ring::Ring;
use super::trace::{self, CAUSE, LINK};
use super::tree::{State, TraceTree, Work};
use presence::Presence;
use rows::{Begun, Found};

/// How much of a tenant's past is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keep {
    /// Units of work; the oldest goes first. 0 writes no journal.
    pub units: usize,
    /// How old one may be. Older ones are not read, and are removed as new ones come.
    pub age: Duration,
}

/// The journal of this process. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Journal {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    store: Store,
    ring: Ring,
    keep: Keep,
    presence: Presence,
    /// The spans of the units that this process runs now.
    live: watch::Sender<HashSet<String>>,
}

impl Journal {
    /// The journal of a process with this `role`, such as `server` or `worker`, that takes its trees from `ring`.
    /// Blocks.
    #[must_use]
    pub fn open(store: Store, ring: Ring, role: &str, keep: Keep) -> Self {
        let presence = Presence::take(store.path(), role);
        let live = watch::Sender::new(HashSet::new());
        Self { inner: Arc::new(Inner { store, ring, keep, presence, live }) }
    }

    /// Runs `work` as the unit `id` of this kind, in the context of this call: under a span of its own in the trace
    /// that is bound, or in a new trace where none is. Its [`TRACE_CONTEXT`] is what work that it causes hangs on,
    /// [`CAUSE`] what caused it. Bindings that are confined stay behind.
    ///
    /// Give it an `async` block: a future that took its context before does not see the unit. The root span, named as
    /// the kind, is opened by the work itself. A unit that cannot be recorded runs all the same, and the log says so.
    ///
    /// # Cancellation
    /// A unit that is dropped before its end is read as interrupted, and so is one whose process dies.
    #[track_caller]
    pub fn unit<F>(&self, kind: Kind, id: &str, work: F) -> impl Future<Output = F::Output> + use<F>
    where
        F: Future,
    {
        let cause = TRACE_CONTEXT.bound();
        let minted = cause.as_ref().map_or_else(trace::mint, trace::child);
        let at = minted.inspect_err(|error| tracing::warn!(%error, "a unit of work has no trace")).ok();
        let work = inside(cause.as_ref(), at.as_ref(), work);
        let entry = at.and_then(|at| self.entry(kind, id, cause.as_ref(), at));
        async move {
            let Some(entry) = entry else { return work.await };
            // Both are polled in this order, so the row is the first of all that the unit writes.
            let (began, output) = join(entry.begin(), work).await;
            match began {
                Ok(()) => entry.end().await,
                Err(error) => tracing::warn!(%error, "the journal does not have a unit of work"),
            }
            output
        }
        .in_current_context()
    }

    /// Everything of the current tenant and principal in the trace that `id` belongs to: a unit of work, a request, or
    /// the trace itself. `None` when they have nothing of this id, or not any more; a reader cannot tell these apart.
    ///
    /// # Errors
    /// [`StoreError::Unbound`] outside a door; else what the store says.
    #[track_caller]
    pub fn trace(
        &self,
        id: &str,
    ) -> impl Future<Output = Result<Option<TraceTree>, StoreError>> + Send + 'static + use<> {
        let asked = self.ask();
        let (inner, id) = (Arc::clone(&self.inner), id.to_owned());
        async move {
            let (db, principal) = asked?;
            let in_ring = inner.ring.trace_of(&id)?;
            let reader = Arc::clone(&inner);
            let reading = db.read("read the journal", move |conn| {
                let known = rows::trace_of(conn, &principal, &id, reader.keep)?;
                let Some(trace) = known.or(in_ring) else { return Ok(None) };
                let (found, more) = rows::of_trace(conn, &principal, &trace, reader.keep)?;
                Ok(Some((trace, found.into_iter().map(|row| reader.work(row)).collect(), more)))
            });
            let Some((trace, written, more)) = reading.await? else { return Ok(None) };
            let held = inner.ring.trace(&trace)?;
            Ok(Some(tree(trace, merged(written, held), more)))
        }
        .in_current_context()
    }

    /// The name of this process, which no other one that lives has.
    #[must_use]
    pub fn process(&self) -> &str {
        self.inner.presence.name()
    }

    /// Whether the process of this name is alive, this one too. Blocks.
    #[must_use]
    pub fn is_alive(&self, process: &str) -> bool {
        self.inner.presence.alive(process)
    }

    /// The processes of this installation that are alive, this one too, in the order of their names. Blocks.
    #[must_use]
    pub fn alive(&self) -> Vec<String> {
        self.inner.presence.all()
    }

    /// Drops what this process still holds of a session of the current tenant and principal. Its rows go with the
    /// session itself.
    ///
    /// # Errors
    /// [`MissingContext`] outside a door.
    pub fn forget(&self, session: &SessionId) -> Result<(), MissingContext> {
        self.inner.ring.forget(session)
    }

    /// Waits until no unit of this process is under way, so that the store may be closed; not longer than `within`.
    pub async fn settle(&self, within: Duration) {
        let mut live = self.inner.live.subscribe();
        // The sender lives in `self`, so the wait ends only with the last unit.
        let _ = tokio::time::timeout(within, live.wait_for(HashSet::is_empty)).await;
    }

    #[track_caller]
    fn ask(&self) -> Result<(TenantDb, String), StoreError> {
        Ok((self.inner.store.tenant()?, PRINCIPAL.get()?.as_str().to_owned()))
    }

    /// The row that a unit will have; none where no journal is kept.
    #[track_caller]
    fn entry(&self, kind: Kind, id: &str, cause: Option<&TraceContext>, at: TraceContext) -> Option<Entry> {
        if self.inner.keep.units == 0 {
            return None;
        }
        let asked = self.ask();
        let asked = asked.inspect_err(|error| tracing::warn!(%error, "the journal cannot be opened"));
        let (db, principal) = asked.ok()?;
        let begun = Begun {
            unit: id.to_owned(),
            kind: kind.name(),
            principal,
            session: SESSION_ID.bound().map(|session| session.as_str().to_owned()),
            request: REQUEST_ID.bound().map(|request| request.as_str().to_owned()),
            trace: at.trace_id().to_owned(),
            span: at.parent_id().to_owned(),
            parent: cause.map(|cause| cause.parent_id().to_owned()),
            link: LINK.bound().map(|link| link.as_str().to_owned()),
            process: self.inner.presence.name().to_owned(),
        };
        let live = Live::new(&self.inner, at.parent_id());
        Some(Entry { inner: Arc::clone(&self.inner), db, begun, at, _live: live })
    }
}

/// Binds where a unit stands around its work. What is confined stays behind, as in any hand-over.
#[track_caller]
fn inside<F: Future>(cause: Option<&TraceContext>, at: Option<&TraceContext>, work: F) -> WithContext<F> {
    let here = Context::current().bind_some(&CAUSE, cause.cloned()).bind_some(&TRACE_CONTEXT, at.cloned());
    here.run(|| work.in_current_context())
}

/// A unit under way, on its way into the journal.
struct Entry {
    inner: Arc<Inner>,
    db: TenantDb,
    begun: Begun,
    at: TraceContext,
    _live: Live,
}

impl Entry {
    fn begin(&self) -> impl Future<Output = Result<(), StoreError>> + Send + 'static + use<> {
        let (begun, keep) = (self.begun.clone(), self.inner.keep);
        self.db.write("begin a unit of work", move |tx| rows::begin(tx, &begun, keep))
    }

    /// Completes the row; one that is gone, because its session was deleted, stays gone.
    async fn end(&self) {
        let recorded = self.inner.ring.recorded(&self.begun.unit, &self.at).ok().flatten();
        let span = self.begun.span.clone();
        let ending = self.db.write("end a unit of work", move |tx| {
            rows::end(tx, &span, recorded.and_then(stored::write).as_deref())
        });
        if let Err(error) = ending.await {
            tracing::warn!(%error, "the journal does not have the end of a unit of work");
        }
    }
}

/// A unit that this process runs, until this is dropped.
struct Live {
    inner: Arc<Inner>,
    span: String,
}

impl Live {
    fn new(inner: &Arc<Inner>, span: &str) -> Self {
        inner.live.send_modify(|live| {
            live.insert(span.to_owned());
        });
        Self { inner: Arc::clone(inner), span: span.to_owned() }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.inner.live.send_modify(|live| {
            live.remove(&self.span);
        });
    }
}

impl Inner {
    /// A row as a reader gets it. Blocks for a moment when another process began it and has not ended it.
    fn work(&self, row: Found) -> Work {
        let running = || match row.process == self.presence.name() {
            true => self.live.borrow().contains(&row.span),
            false => self.presence.alive(&row.process),
        };
        let state = match row.ended_at {
            Some(_) => State::Complete,
            None if running() => State::Running,
            None => State::Interrupted,
        };
        let (units, dropped) = row.tree.as_deref().and_then(stored::read).unwrap_or_default();
        Work {
            kind: row.kind,
            id: row.unit,
            span: row.span,
            parent: row.parent,
            session: row.session,
            request: row.request,
            link: row.link,
            process: Some(who(&row.process)),
            started_at: row.started_at,
            ended_at: row.ended_at,
            state,
            dropped,
            units,
        }
    }
}

/// `server 4711`, from the name of a process.
fn who(process: &str) -> String {
    process.rsplit_once('-').map_or(process, |(who, _chance)| who).replace('-', " ")
}

/// What is written, with the spans that only the ring has yet, and what is not written.
fn merged(mut written: Vec<Work>, held: Vec<Work>) -> Vec<Work> {
    for live in held {
        match written.iter_mut().find(|work| work.span == live.span) {
            Some(work) if work.units.is_empty() => (work.units, work.dropped) = (live.units, live.dropped),
            Some(_) => {}
            None => written.push(live),
        }
    }
    written.sort_by_key(|work| work.started_at);
    written
}

/// What is the same for the whole trace is said once.
fn tree(trace: String, mut work: Vec<Work>, more: bool) -> TraceTree {
    let request = work.iter().find_map(|work| work.request.clone());
    let link = work.iter().find_map(|work| work.link.clone());
    for one in &mut work {
        one.request.take_if(|own| Some(&*own) == request.as_ref());
        one.link.take_if(|own| Some(&*own) == link.as_ref());
    }
    TraceTree { trace, request, link, more, work }
}
