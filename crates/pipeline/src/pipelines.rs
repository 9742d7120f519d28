//! The way in: start, execute, cancel, retry, look.
//!
//! [`Pipelines`] holds the store, the options, and the runs that this process executes now. Each function works for the
//! tenant of the context in which it is called, and takes none; the program enters a door first. A run is started once
//! under the caller's key, and executed by whoever calls `execute`: a worker, a command, a request.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::sync::Arc;

use haversack::FutureExt;
use haversack::well_known::{PRINCIPAL, TRACE_CONTEXT};
use haversack_store::{Store, now_millis};
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

use crate::catalog::RunFolder;
use crate::check::Finding;
use crate::parameters::{Parameters, digest, hex};
use crate::pipeline::Pipeline;
use crate::run::{Executor, Live, RunId, RunStatus, RunView};
use crate::run_log::{self, Event, Follow, NewRun};
use crate::{PipelineError, PipelineOptions};

/// Pipelines over one store. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Pipelines {
    shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pub(crate) store: Store,
    pub(crate) settings: PipelineOptions,
    pub(crate) live: Live,
    pub(crate) children: Semaphore,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// A run that was started, now or before.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Started {
    /// The run.
    pub run: RunView,
    /// Whether it had been started before under this key; it is then as it was, whatever this call brought.
    pub existing: bool,
}

impl Pipelines {
    /// Pipelines whose runs lie in this store and under the options' folder. Touches no file.
    #[must_use]
    pub fn new(store: Store, options: PipelineOptions) -> Self {
        let children = Semaphore::new(options.children.min(Semaphore::MAX_PERMITS));
        Self { shared: Arc::new(Shared { store, settings: options, live: Live::default(), children }) }
    }

    /// What of the pipeline this program cannot run: functions, runners and reducers that are not registered. What is
    /// wrong with the graph itself is found when it is read.
    #[must_use]
    pub fn check(&self, pipeline: &Pipeline) -> Vec<Finding> {
        self.shared.settings.check(pipeline)
    }

    /// Starts a run under the caller's key: checks it and writes it down. Nothing is executed yet. A second start under
    /// the same key gives the first run.
    ///
    /// # Errors
    /// At the call: [`PipelineError::Unbound`] outside a door, [`PipelineError::Invalid`],
    /// [`PipelineError::BadParameter`]. Later: what the store meets.
    #[track_caller]
    pub fn start(
        &self,
        pipeline: &Pipeline,
        parameters: Parameters,
        key: RunId,
    ) -> impl Future<Output = Result<Started, PipelineError>> + Send + 'static + use<> {
        let made = self.new_run(pipeline, parameters, key);
        let rows = self.shared.store.rows();
        async move {
            let (new, rows) = (made?, rows?);
            let write = rows.write("start a run", move |tx, scope| {
                let inserted = run_log::insert(tx, scope, &new)?;
                Ok(run_log::find(tx, scope, &new.run)?.map(|run| Started { run, existing: !inserted }))
            });
            write.await?.ok_or(PipelineError::UnknownRun)
        }
        .in_current_context()
    }

    /// Executes a run to its end, in the context of this call, which every step sees. Steps that succeeded before are not
    /// run again, and attempts that a dead executor left are written down as lost. A run that has ended is not executed;
    /// its end is told.
    ///
    /// Whoever calls later takes over: an earlier executor of the same run, wherever it works, can write nothing more, and
    /// ends with [`PipelineError::TakenOver`].
    ///
    /// # Errors
    /// [`PipelineError::UnknownRun`], [`PipelineError::TakenOver`], and what the store meets. A run that fails is no
    /// error: its view says so.
    ///
    /// # Cancellation
    /// Dropping the future kills the children of the run and leaves it as after a crash: the next `execute` goes on. The
    /// caller's `CANCEL`, and [`cancel`](Self::cancel), end the run in order.
    #[track_caller]
    pub fn execute(
        &self,
        run: &RunId,
    ) -> impl Future<Output = Result<RunView, PipelineError>> + Send + 'static + use<> {
        let (shared, rows, run) = (Arc::clone(&self.shared), self.shared.store.rows(), run.clone());
        let work = async move { Executor::run(shared, rows?, run).await };
        // It is large, and callers keep it beside their own state.
        Box::pin(work.in_current_context())
    }

    /// Ends a run: its children are killed, its row says `cancelled`. One that has ended stays as it is. It does not wait
    /// for the end; [`follow`](Self::follow) does.
    ///
    /// # Errors
    /// [`PipelineError::UnknownRun`], and what the store meets.
    #[track_caller]
    pub fn cancel(
        &self,
        run: &RunId,
    ) -> impl Future<Output = Result<RunView, PipelineError>> + Send + 'static + use<> {
        let (shared, rows, run) = (Arc::clone(&self.shared), self.shared.store.rows(), run.clone());
        async move {
            let rows = rows?;
            let wanted = run.clone();
            let write = rows.write("cancel a run", move |tx, scope| run_log::cancel(tx, scope, &wanted));
            let view = write.await?.ok_or(PipelineError::UnknownRun)?;
            shared.live.cancel(rows.scope().tenant(), &run);
            Ok(view)
        }
        .in_current_context()
    }

    /// Lets a run that failed or was cancelled be executed again: what succeeded is kept, what failed has all its attempts
    /// again. Call [`execute`](Self::execute) after it.
    ///
    /// # Errors
    /// [`PipelineError::UnknownRun`], [`PipelineError::NotFailed`], and what the store meets.
    #[track_caller]
    pub fn retry(
        &self,
        run: &RunId,
    ) -> impl Future<Output = Result<RunView, PipelineError>> + Send + 'static + use<> {
        let (rows, run) = (self.shared.store.rows(), run.clone());
        async move {
            let write = rows?.write("retry a run", move |tx, scope| run_log::retry(tx, scope, &run));
            match write.await?.ok_or(PipelineError::UnknownRun)? {
                (true, view) => Ok(view),
                (false, _) => Err(PipelineError::NotFailed),
            }
        }
        .in_current_context()
    }

    /// Deletes a run that has ended: its row, its log, its folder. Its key is free again.
    ///
    /// # Errors
    /// [`PipelineError::UnknownRun`], [`PipelineError::NotEnded`], [`PipelineError::Folder`] when the rows are gone and the
    /// folder could not be removed, and what the store meets.
    #[track_caller]
    pub fn delete(
        &self,
        run: &RunId,
    ) -> impl Future<Output = Result<(), PipelineError>> + Send + 'static + use<> {
        let (shared, rows, run) = (Arc::clone(&self.shared), self.shared.store.rows(), run.clone());
        async move {
            let rows = rows?;
            let folder = RunFolder::of(&shared.settings.catalog, rows.scope().tenant(), &run);
            let write = rows.write("delete a run", move |tx, scope| run_log::delete(tx, scope, &run));
            if !write.await?.ok_or(PipelineError::UnknownRun)? {
                return Err(PipelineError::NotEnded);
            }
            let removed = haversack::spawn_blocking(move || folder.remove()).await;
            let removed = removed.map_err(|_| PipelineError::Internal("the pool is gone"))?;
            removed.map_err(|source| PipelineError::Folder { what: "remove the folder of a run", source })
        }
        .in_current_context()
    }

    /// The run of this name.
    ///
    /// # Errors
    /// [`PipelineError::UnknownRun`], and what the store meets.
    #[track_caller]
    pub fn get(
        &self,
        run: &RunId,
    ) -> impl Future<Output = Result<RunView, PipelineError>> + Send + 'static + use<> {
        let (rows, run) = (self.shared.store.rows(), run.clone());
        async move {
            let read = rows?.read("read a run", move |conn, scope| run_log::find(conn, scope, &run));
            read.await?.ok_or(PipelineError::UnknownRun)
        }
        .in_current_context()
    }

    /// At most `limit` runs, newest first; only those in one state, where a state is given.
    ///
    /// # Errors
    /// What the store meets.
    #[track_caller]
    pub fn list(
        &self,
        status: Option<RunStatus>,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<RunView>, PipelineError>> + Send + 'static + use<> {
        let rows = self.shared.store.rows();
        async move {
            let read = rows?.read("list runs", move |conn, scope| run_log::list(conn, scope, status, limit));
            Ok(read.await?)
        }
        .in_current_context()
    }

    /// At most `limit` events of the run's log after the one of number `after`; all from the first on with 0.
    ///
    /// # Errors
    /// [`PipelineError::UnknownRun`], and what the store meets.
    #[track_caller]
    pub fn log(
        &self,
        run: &RunId,
        after: u64,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<Event>, PipelineError>> + Send + 'static + use<> {
        let (rows, run) = (self.shared.store.rows(), run.clone());
        async move {
            let read = rows?
                .read("read a run's log", move |conn, scope| run_log::page(conn, scope, &run, after, limit));
            Ok(read.await?.ok_or(PipelineError::UnknownRun)?.events)
        }
        .in_current_context()
    }

    /// The events of the run's log after the one of number `after`, as they are written, until the run ends.
    ///
    /// # Errors
    /// [`PipelineError::Unbound`] outside a door. An unknown run is told by the first event.
    #[track_caller]
    pub fn follow(&self, run: &RunId, after: u64) -> Result<Follow, PipelineError> {
        let (shared, rows, run) = (Arc::clone(&self.shared), self.shared.store.rows()?, run.clone());
        Ok(Follow { shared, rows, run, after, ready: VecDeque::new(), is_last: false })
    }

    /// What an attempt printed, at most `limit` bytes of its end. The attempt is named by the number of the event that
    /// says that it started.
    ///
    /// # Errors
    /// [`PipelineError::UnknownRun`], [`PipelineError::UnknownAttempt`] also for an attempt that printed nothing,
    /// [`PipelineError::Folder`].
    #[track_caller]
    pub fn output(
        &self,
        run: &RunId,
        started: u64,
        limit: u64,
    ) -> impl Future<Output = Result<Vec<u8>, PipelineError>> + Send + 'static + use<> {
        let (shared, rows, run) = (Arc::clone(&self.shared), self.shared.store.rows(), run.clone());
        async move {
            let rows = rows?;
            let wanted = run.clone();
            let read = rows.read("read a run", move |conn, scope| run_log::find(conn, scope, &wanted));
            read.await?.ok_or(PipelineError::UnknownRun)?;
            let folder = RunFolder::of(&shared.settings.catalog, rows.scope().tenant(), &run);
            let read = haversack::spawn_blocking(move || folder.output(started, limit)).await;
            let read = read.map_err(|_| PipelineError::Internal("the pool is gone"))?;
            let found = read
                .map_err(|source| PipelineError::Folder { what: "read the output of an attempt", source })?;
            found.ok_or(PipelineError::UnknownAttempt)
        }
        .in_current_context()
    }

    #[track_caller]
    fn new_run(
        &self,
        pipeline: &Pipeline,
        parameters: Parameters,
        run: RunId,
    ) -> Result<NewRun, PipelineError> {
        let scope = haversack_store::Scope::current()?;
        let findings = self.check(pipeline);
        if !findings.is_empty() {
            return Err(PipelineError::Invalid(findings));
        }
        parameters.check()?;
        let defaults = pipeline.parameters().clone();
        let parameters: Parameters = defaults.into_iter().chain(parameters).collect();
        let text = serde_json::to_string(&parameters);
        // One trace a run: the caller's, or one that nobody else has.
        let trace = match TRACE_CONTEXT.get() {
            Ok(trace) => trace.trace_id().to_owned(),
            Err(_) => hex(&digest(format!("{}\0{run}\0{}", scope.tenant(), now_millis()).as_bytes())[..16]),
        };
        Ok(NewRun {
            run,
            pipeline: pipeline.name().to_owned(),
            identity: pipeline.identity().to_owned(),
            definition: pipeline.json().to_owned(),
            principal: PRINCIPAL.get().ok().map(String::from),
            parameters: text.map_err(|_| PipelineError::Internal("parameters are not JSON"))?,
            trace,
        })
    }
}
