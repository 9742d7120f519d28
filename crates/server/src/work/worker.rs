//! The work of an installation as one handle, and the worker that does it. `serve` runs one beside its requests, and
//! `haversack worker` runs one alone; both are told to stop, and give back what they cannot finish.

use std::convert::Infallible;
use std::fmt;
use std::time::Duration;

use haversack::well_known::Cancel;
use haversack_jobs::{Handlers, JobError, Jobs, NewJob, Submitted, Worker, WorkerOptions};
use haversack_pipeline::Pipelines;

use super::Rules;
use super::pipelines::Catalogue;

/// Everything that outlives its request. Cheap to clone.
#[derive(Clone)]
pub struct Work {
    pub(super) jobs: Jobs,
    pub(super) rules: Rules,
    pub(super) pipelines: Pipelines,
    pub(super) keep_runs: Duration,
    pub(super) catalogue: Catalogue,
    pub(super) handlers: Handlers,
    pub(super) worker: WorkerOptions,
}

impl Work {
    /// The jobs.
    pub fn jobs(&self) -> &Jobs {
        &self.jobs
    }

    /// Submits a job by the rules of the configuration, in the context of this call. See [`Jobs::submit`].
    ///
    /// # Errors
    /// What the jobs say. Nothing was submitted then.
    #[track_caller]
    pub fn submit(
        &self,
        job: NewJob,
    ) -> impl Future<Output = Result<Submitted, JobError>> + Send + 'static + use<> {
        self.jobs.submit(self.rules.apply(job))
    }

    /// As [`submit`](Self::submit), for the job that executes a run.
    #[track_caller]
    pub(super) fn submit_run(
        &self,
        job: NewJob,
    ) -> impl Future<Output = Result<Submitted, JobError>> + Send + 'static + use<> {
        self.jobs.submit(self.rules.apply_to_run(job))
    }

    /// As [`submit`](Self::submit), for a job that runs this tool.
    #[track_caller]
    pub(super) fn submit_tool(
        &self,
        tool: &str,
        job: NewJob,
    ) -> impl Future<Output = Result<Submitted, JobError>> + Send + 'static + use<> {
        self.jobs.submit(self.rules.apply_to_tool(tool, job))
    }

    /// The runs of pipelines.
    pub fn pipelines(&self) -> &Pipelines {
        &self.pipelines
    }

    /// The pipelines that are configured.
    pub fn catalogue(&self) -> &Catalogue {
        &self.catalogue
    }

    /// Adds handlers before a worker is started.
    pub fn handlers(&mut self, add: impl FnOnce(Handlers) -> Handlers) {
        self.handlers = add(std::mem::take(&mut self.handlers));
    }

    /// Works until `shutdown` resolves, and deletes runs whose time is up meanwhile; see [`Worker::run`].
    pub fn run(
        &self,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> impl Future<Output = Result<(), JobError>> + Send + 'static {
        let working =
            Worker::new(self.jobs.clone(), self.handlers.clone(), self.worker.clone()).run(shutdown);
        let sweeping = sweep(self.pipelines.clone(), self.keep_runs, self.worker.sweep);
        haversack::detached(async move {
            tokio::select! {
                worked = working => worked,
                never = sweeping => match never {},
            }
        })
    }
}

/// Deletes runs whose time is up, and folders that a crash left, for as long as it is polled. A sweep that is broken off is
/// gone on with by the next one.
async fn sweep(pipelines: Pipelines, keep: Duration, every: Duration) -> Infallible {
    loop {
        match pipelines.sweep(keep).await {
            Ok(0) => {}
            Ok(runs) => tracing::info!(runs, "runs of pipelines whose time was up are deleted"),
            Err(error) => tracing::warn!(%error, "old runs could not be deleted; trying again later"),
        }
        tokio::time::sleep(every).await;
    }
}

/// A worker that runs beside something else, until it is stopped.
#[derive(Debug)]
pub struct Working {
    stop: Cancel,
    task: tokio::task::JoinHandle<Result<(), JobError>>,
}

impl Working {
    /// Starts a worker in a task of its own.
    pub fn start(work: &Work) -> Self {
        let stop = Cancel::new();
        let stopped = stop.clone();
        let running = work.run(async move { stopped.cancelled().await });
        let task = haversack::spawn_detached(async move {
            let ended = running.await;
            if let Err(error) = &ended {
                tracing::error!(%error, "the worker did not start");
            }
            ended
        });
        Self { stop, task }
    }

    /// Claims no more, lets running jobs end within their grace, gives the rest back, and waits for all that.
    pub async fn stop(self) {
        self.stop.cancel();
        // What became of it is in the log.
        let _ = self.task.await;
    }
}

impl fmt::Debug for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Work").field("jobs", &self.jobs).field("worker", &self.worker).finish_non_exhaustive()
    }
}
