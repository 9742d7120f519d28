//! The way in: start, execute, cancel, retry, look.
//!
//! [`Pipelines`] holds the store, the keys, the options, and the runs that this process executes now. Each function works
//! for the tenant and the principal of the context in which it is called, and takes neither; a run of somebody else looks
//! like one that never was. The program enters a door first. A run is started once
//! under the caller's key, and executed by whoever calls `execute`: a worker, a command, a request.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use haversack::FutureExt;
use haversack::well_known::{SESSION_ID, SessionId, TRACE_CONTEXT};
use haversack_store::{KeyFile, Store, now_millis};
use serde::{Deserialize, Serialize};

use crate::catalog::RunFolder;
use crate::check::Finding;
use crate::parameters::{Parameters, digest, hex};
use crate::pipeline::Pipeline;
use crate::run::{Executor, Live, RunEntry, RunId, RunStatus, RunView};
use crate::run_log::{self, Deleted, Event, Follow, Leftover, NewRun, OwnRows, Said, What};
use crate::step::printed::Part;
use crate::step::{OutputPart, Printed, Seats};
use crate::{PipelineError, PipelineOptions, sweep};

/// Pipelines over one store. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Pipelines {
    shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pub(crate) store: Store,
    pub(crate) keys: KeyFile,
    pub(crate) settings: PipelineOptions,
    pub(crate) live: Live,
    pub(crate) seats: Seats,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Shared {
    /// Removes folders of runs whose rows are gone.
    async fn clear(&self, left: Vec<Leftover>) -> Result<(), PipelineError> {
        sweep::remove(&self.store, &self.settings.catalog, left).await?;
        Ok(())
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
    /// Pipelines whose runs lie in this store, sealed with these keys, and under the options' folder. Touches no file.
    #[must_use]
    pub fn new(store: Store, keys: KeyFile, options: PipelineOptions) -> Self {
        let seats = Seats::new(options.children, options.share());
        Self { shared: Arc::new(Shared { store, keys, settings: options, live: Live::default(), seats }) }
    }

    /// What of the pipeline this program cannot run: functions, runners and reducers that are not registered. What is
    /// wrong with the graph itself is found when it is read.
    #[must_use]
    pub fn check(&self, pipeline: &Pipeline) -> Vec<Finding> {
        self.shared.settings.check(pipeline)
    }

    /// Starts a run under the caller's key: checks it and writes it down. Nothing is executed yet. A second start under
    /// the same key gives the first run. It belongs to the session that is bound, if one is, and goes with it.
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
        let rows = self.rows();
        async move {
            let ((mut new, parameters), rows) = (made?, rows?);
            let id = new.id.clone();
            new.parameters = rows.apart(move |owner| owner.seal(Said::Parameters, &id, &parameters)).await?;
            let write = rows.write("start a run", move |tx, owner| {
                let inserted = run_log::insert(tx, owner, &new)?;
                Ok((run_log::find(tx, owner, &new.run)?, inserted))
            });
            let (found, inserted) = write.await?;
            let found = found.ok_or(PipelineError::UnknownRun)?;
            let run = rows.apart(|owner| found.view(owner)).await?;
            Ok(Started { run, existing: !inserted })
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
    /// [`PipelineError::UnknownRun`], [`PipelineError::TakenOver`], [`PipelineError::Stopped`], [`PipelineError::NotHere`],
    /// and what the store meets. A run that fails is no error: its view says so.
    ///
    /// # Cancellation
    /// Dropping the future kills the children of the run and leaves it as after a crash: the next `execute` goes on. So does
    /// the caller's `CANCEL`, in order: its children are ended, how its attempts ended is written down, and the call ends
    /// with [`PipelineError::Stopped`]. Only [`cancel`](Self::cancel) ends the run.
    #[track_caller]
    pub fn execute(
        &self,
        run: &RunId,
    ) -> impl Future<Output = Result<RunView, PipelineError>> + Send + 'static + use<> {
        let (shared, rows, run) = (Arc::clone(&self.shared), self.rows(), run.clone());
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
        let (shared, rows, run) = (Arc::clone(&self.shared), self.rows(), run.clone());
        async move {
            let rows = rows?;
            let wanted = run.clone();
            let write = rows.write("cancel a run", move |tx, owner| run_log::cancel(tx, owner, &wanted));
            let found = write.await?.ok_or(PipelineError::UnknownRun)?;
            shared.live.cancel(&found.id);
            rows.apart(|owner| found.view(owner)).await
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
        let (rows, run) = (self.rows(), run.clone());
        async move {
            let rows = rows?;
            let write = rows.write("retry a run", move |tx, owner| run_log::retry(tx, owner, &run));
            match write.await?.ok_or(PipelineError::UnknownRun)? {
                (true, found) => rows.apart(|owner| found.view(owner)).await,
                (false, _) => Err(PipelineError::NotFailed),
            }
        }
        .in_current_context()
    }

    /// Ends a run that nobody will go on with, as failed or as cancelled, with this reason. It is of the try that the event
    /// `asked` asked for; one that has ended, was retried since, or is not there stays as it is. Whoever still works on it
    /// can write nothing more.
    ///
    /// # Errors
    /// What the store meets.
    #[track_caller]
    pub fn give_up(
        &self,
        run: &RunId,
        asked: u64,
        cancelled: bool,
        reason: &str,
    ) -> impl Future<Output = Result<(), PipelineError>> + Send + 'static + use<> {
        let (shared, rows, run) = (Arc::clone(&self.shared), self.rows(), run.clone());
        let reason = reason.to_owned();
        let status = if cancelled { RunStatus::Cancelled } else { RunStatus::Failed };
        async move {
            let (rows, given_up) = (rows?, run.clone());
            let write = rows.write("give a run up", move |tx, owner| {
                run_log::give_up(tx, owner, &run, asked, status, &reason)
            });
            if let Some(id) = write.await? {
                shared.live.overtake(&id);
                let folder = RunFolder::of(&shared.settings.catalog, rows.scope(), &given_up, &id);
                // A pool that is gone removes nothing; then the sweep removes the folder when its time is up.
                drop(haversack::spawn_blocking(move || folder.abandon()).await);
            }
            Ok(())
        }
        .in_current_context()
    }

    /// Deletes a run that has ended: its row, its log, its folder. Its key is free again.
    ///
    /// # Errors
    /// [`PipelineError::UnknownRun`], [`PipelineError::NotEnded`], and what the store meets. A folder that cannot be removed
    /// now is removed by a later [`sweep`](Self::sweep).
    #[track_caller]
    pub fn delete(
        &self,
        run: &RunId,
    ) -> impl Future<Output = Result<(), PipelineError>> + Send + 'static + use<> {
        let (shared, rows, run) = (Arc::clone(&self.shared), self.rows(), run.clone());
        async move {
            let write = rows?.write("delete a run", move |tx, owner| run_log::delete(tx, owner, &run));
            match write.await?.ok_or(PipelineError::UnknownRun)? {
                Deleted::Gone(gone) => shared.clear(vec![gone.left]).await,
                Deleted::NotEnded => Err(PipelineError::NotEnded),
            }
        }
        .in_current_context()
    }

    /// Deletes every run that the caller started in this session, with its log and its folder, wherever it stands; how many.
    /// What is at work on one is stopped and can write nothing more: its `execute` ends with [`PipelineError::TakenOver`].
    ///
    /// # Errors
    /// What the store meets. A folder that cannot be removed now is removed by a later [`sweep`](Self::sweep).
    #[track_caller]
    pub fn forget(
        &self,
        session: &SessionId,
    ) -> impl Future<Output = Result<usize, PipelineError>> + Send + 'static + use<> {
        let (shared, rows, session) = (Arc::clone(&self.shared), self.rows(), session.clone());
        async move {
            let write = rows?.write("delete the runs of a session", move |tx, owner| {
                run_log::forget(tx, owner, session.as_str())
            });
            let gone = write.await?;
            let count = gone.len();
            gone.iter().for_each(|gone| shared.live.overtake(&gone.id));
            shared.clear(gone.into_iter().map(|gone| gone.left).collect()).await?;
            Ok(count)
        }
        .in_current_context()
    }

    /// Deletes runs of all tenants that ended longer than `keep` ago, with their logs and folders, and folders that a crash
    /// left behind; how many runs. For the housekeeping of a program: it is called now and then, and belongs to no
    /// request.
    ///
    /// # Errors
    /// What the store meets. The next call goes on.
    ///
    /// # Panics
    /// When it is polled outside a tokio runtime.
    pub fn sweep(
        &self,
        keep: Duration,
    ) -> impl Future<Output = Result<usize, PipelineError>> + Send + 'static + use<> {
        let shared = Arc::clone(&self.shared);
        haversack::detached(async move {
            sweep::sweep(shared.store.clone(), shared.settings.catalog.clone(), keep).await
        })
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
        let (rows, run) = (self.rows(), run.clone());
        async move {
            let rows = rows?;
            let read = rows.read("read a run", move |conn, owner| run_log::find(conn, owner, &run));
            let found = read.await?.ok_or(PipelineError::UnknownRun)?;
            rows.apart(|owner| found.view(owner)).await
        }
        .in_current_context()
    }

    /// The run of this name, without what it was given and what it gave.
    ///
    /// # Errors
    /// [`PipelineError::UnknownRun`], and what the store meets.
    #[track_caller]
    pub fn entry(
        &self,
        run: &RunId,
    ) -> impl Future<Output = Result<RunEntry, PipelineError>> + Send + 'static + use<> {
        let (rows, run) = (self.rows(), run.clone());
        async move {
            let read = rows?.read("read a run", move |conn, owner| run_log::entry(conn, owner, &run));
            read.await?.ok_or(PipelineError::UnknownRun)
        }
        .in_current_context()
    }

    /// At most `limit` runs, newest first, without what they were given and what they gave; only those in one state, where
    /// a state is given.
    ///
    /// # Errors
    /// What the store meets.
    #[track_caller]
    pub fn list(
        &self,
        status: Option<RunStatus>,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<RunEntry>, PipelineError>> + Send + 'static + use<> {
        let rows = self.rows();
        async move {
            let read = rows?.read("list runs", move |conn, owner| run_log::list(conn, owner, status, limit));
            read.await
        }
        .in_current_context()
    }

    /// At most `limit` events of the run's log after the one of number `after`; from the first on with 0. They are fewer
    /// where more would be over 1 MiB as they are stored, and at least one where there is one: only an empty answer says
    /// that nothing follows now.
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
        let (rows, run) = (self.rows(), run.clone());
        async move {
            let rows = rows?;
            let read = rows
                .read("read a run's log", move |conn, owner| run_log::page(conn, owner, &run, after, limit));
            let found = read.await?.ok_or(PipelineError::UnknownRun)?;
            rows.apart(move |owner| run_log::opened(found.events, &found.id, owner)).await
        }
        .in_current_context()
    }

    /// The events of the run's log after the one of number `after`, as they are written, until the run ends.
    ///
    /// # Errors
    /// [`PipelineError::Unbound`] outside a door. An unknown run is told by the first event.
    #[track_caller]
    pub fn follow(&self, run: &RunId, after: u64) -> Result<Follow, PipelineError> {
        let (shared, rows, run) = (Arc::clone(&self.shared), self.rows()?, run.clone());
        Ok(Follow { shared, rows, run, id: None, after, ready: VecDeque::new(), is_last: false })
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
        let (shared, rows, run) = (Arc::clone(&self.shared), self.rows(), run.clone());
        async move {
            match read_output(&shared, &rows?, &run, started, OutputPart::End { limit }).await? {
                (0, ..) => Err(PipelineError::UnknownAttempt),
                (_, _, bytes) => Ok(bytes),
            }
        }
        .in_current_context()
    }

    /// A part of what a step printed: its last attempt, or the one of this number. `started` may name the attempt too, by the
    /// number of the event that says that it started, as an earlier answer has it; without it the log is searched.
    ///
    /// # Errors
    /// [`PipelineError::UnknownRun`]; [`PipelineError::UnknownAttempt`] if the step has no such attempt, which holds for
    /// steps that only have branches; [`PipelineError::Folder`], and what the store meets.
    #[track_caller]
    pub fn printed(
        &self,
        run: &RunId,
        step: &str,
        attempt: Option<u32>,
        started: Option<u64>,
        part: OutputPart,
    ) -> impl Future<Output = Result<Printed, PipelineError>> + Send + 'static + use<> {
        let (shared, rows, run) = (Arc::clone(&self.shared), self.rows(), run.clone());
        let step = step.to_owned();
        async move {
            let rows = rows?;
            let mut found = None;
            // One event where it is named, all of them where it is not.
            let (mut after, limit) = started.map_or((0, SEARCHED), |started| (started.saturating_sub(1), 1));
            loop {
                let wanted = run.clone();
                let read = rows.read("search a run's log", move |conn, owner| {
                    run_log::page(conn, owner, &wanted, after, limit)
                });
                let page = read.await?.ok_or(PipelineError::UnknownRun)?;
                let events = rows.apart(move |owner| run_log::opened(page.events, &page.id, owner)).await?;
                let Some(last) = events.last().map(|event| event.number) else { break };
                for event in events {
                    match event.what {
                        What::AttemptStarted { step: name, attempt: number, .. }
                            if name == step && attempt.is_none_or(|attempt| attempt == number) =>
                        {
                            found = Some((event.number, number));
                        }
                        _ => {}
                    }
                }
                if started.is_some() {
                    break;
                }
                after = last;
            }
            let (started, attempt) = found.ok_or(PipelineError::UnknownAttempt)?;
            let (size, offset, bytes) = read_output(&shared, &rows, &run, started, part).await?;
            Ok(Printed { step, attempt, started, size, offset, bytes })
        }
        .in_current_context()
    }

    /// The caller's rows, for this call.
    #[track_caller]
    fn rows(&self) -> Result<OwnRows, PipelineError> {
        OwnRows::current(&self.shared.store, &self.shared.keys)
    }

    #[track_caller]
    fn new_run(
        &self,
        pipeline: &Pipeline,
        parameters: Parameters,
        run: RunId,
    ) -> Result<(NewRun, Parameters), PipelineError> {
        let scope = haversack_store::Scope::current()?;
        let findings = self.check(pipeline);
        if !findings.is_empty() {
            return Err(PipelineError::Invalid(findings));
        }
        parameters.check()?;
        let defaults = pipeline.parameters().clone();
        let parameters: Parameters = defaults.into_iter().chain(parameters).collect();
        let mut id = [0; 16];
        getrandom::fill(&mut id).map_err(|_| PipelineError::NoRandomness)?;
        // One trace a run: the caller's, or one that nobody else has.
        let trace = match TRACE_CONTEXT.get() {
            Ok(trace) => trace.trace_id().to_owned(),
            Err(_) => hex(&digest(format!("{}\0{run}\0{}", scope.tenant(), now_millis()).as_bytes())[..16]),
        };
        let new = NewRun {
            run,
            id: hex(&id),
            pipeline: pipeline.name().to_owned(),
            identity: pipeline.identity().to_owned(),
            definition: pipeline.json().to_owned(),
            session: SESSION_ID.bound().map(String::from),
            parameters: Vec::new(),
            trace,
        };
        Ok((new, parameters))
    }
}

/// How many events of a log are searched at once.
const SEARCHED: usize = 1_000;

async fn read_output(
    shared: &Shared,
    rows: &OwnRows,
    run: &RunId,
    started: u64,
    part: OutputPart,
) -> Result<Part, PipelineError> {
    let wanted = run.clone();
    let read = rows.read("read a run", move |conn, owner| run_log::standing(conn, owner, &wanted));
    let found = read.await?.ok_or(PipelineError::UnknownRun)?;
    let folder = RunFolder::of(&shared.settings.catalog, rows.scope(), run, &found.id);
    let read = haversack::spawn_blocking(move || folder.output(started, part)).await;
    let read = read.map_err(|_| PipelineError::Internal("the pool is gone"))?;
    read.map_err(|source| PipelineError::Folder { what: "read the output of an attempt", source })
}
