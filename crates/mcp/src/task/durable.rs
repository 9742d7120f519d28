//! Tasks on the durable jobs.
//!
//! A task is a job of one handler, whose arguments are the call and whose answer is what the tool answered. The job's
//! snapshot carries the context of the call, sealed; its owner is the caller, so a task of somebody else is as unknown as
//! one that never was. The server submits, whichever worker has [`JobTasks::on`] performs.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use haversack_jobs::{
    Args, Failure, Handlers, JobError, JobId, Jobs, NewJob, Outcome, Progress as JobProgress, State, Step,
};

use serde_json::Value;

use super::{Finished, PerformError, Task, TaskCall, TaskError, TaskFuture, TaskState, Tasks, perform};
use crate::tool::{Offer, PROGRESS, Progress};

/// The handler of tasks.
const HANDLER: &str = "mcp.tool";

/// The code of a job whose tool answered that it failed. The words of the failure are that answer.
const REFUSED: &str = "mcp_tool_error";

/// A store of tasks that keeps them as jobs. Cheap to clone.
#[derive(Clone, Debug)]
pub struct JobTasks {
    jobs: Jobs,
    queue: Option<String>,
    timeout: Option<Duration>,
    of_tools: Arc<BTreeMap<String, Option<Duration>>>,
    keep: Option<Duration>,
}

impl JobTasks {
    /// Tasks among these jobs. The manifest of the jobs decides what travels with them.
    #[must_use]
    pub fn new(jobs: Jobs) -> Self {
        Self { jobs, queue: None, timeout: None, of_tools: Arc::default(), keep: None }
    }

    /// The queue of the tasks; that of the jobs by default.
    #[must_use]
    pub fn queue(self, queue: impl Into<String>) -> Self {
        Self { queue: Some(queue.into()), ..self }
    }

    /// The time of each attempt at a task.
    #[must_use]
    pub fn timeout(self, timeout: Duration) -> Self {
        Self { timeout: Some(timeout), ..self }
    }

    /// Limits of tools that have one of their own, in the place of [`timeout`](Self::timeout); `None` is no limit.
    #[must_use]
    pub fn timeouts_of_tools(self, limits: impl IntoIterator<Item = (String, Option<Duration>)>) -> Self {
        Self { of_tools: Arc::new(limits.into_iter().collect()), ..self }
    }

    /// How long the answer of a task is kept after its end: as long as clients are told, or longer.
    #[must_use]
    pub fn keep(self, keep: Duration) -> Self {
        Self { keep: Some(keep), ..self }
    }

    /// Lets a worker with these handlers perform tasks, by the tools of this offer: the same that the server has.
    pub fn on(handlers: Handlers, offer: &Offer) -> Handlers {
        let offer = offer.clone();
        handlers.on(HANDLER, move |Args(call): Args<TaskCall>, progress: JobProgress| {
            let offer = offer.clone();
            PROGRESS.scope(Progress::of_job(progress), async move {
                match perform(&offer, call).await {
                    Ok(finished) if finished.ok => Ok(finished),
                    // The task is completed with an error; the job failed, so that its owner sees it and may redrive it.
                    Ok(refused) => Err(Failure::permanent(refused.text()).with_code(REFUSED)),
                    Err(error) => Err(failure(&error)),
                }
            })
        })
    }

    fn job(&self, call: &TaskCall) -> Result<NewJob, JobError> {
        let mut job = NewJob::new(HANDLER, call)?;
        if let Some(queue) = &self.queue {
            job = job.queue(queue.clone());
        }
        job = match (self.of_tools.get(&call.tool), self.timeout) {
            (Some(None), _) => job.without_timeout(),
            (Some(Some(own)), _) => job.timeout(*own),
            (None, Some(timeout)) => job.timeout(timeout),
            (None, None) => job,
        };
        if let Some(keep) = self.keep {
            job = job.keep(keep);
        }
        Ok(job)
    }

    /// The task of this id. Other jobs of the caller are none.
    fn find(
        &self,
        id: &str,
    ) -> impl Future<Output = Result<haversack_jobs::Job, TaskError>> + Send + 'static + use<> {
        let asked = id.parse::<JobId>().map(|id| self.jobs.get(&id));
        async move {
            let job = asked.map_err(|_| TaskError::Unknown)?.await?;
            if job.handler == HANDLER { Ok(job) } else { Err(TaskError::Unknown) }
        }
    }
}

impl Tasks for JobTasks {
    fn create(&self, call: TaskCall) -> TaskFuture<Task> {
        let submitted = self.job(&call).map(|job| self.jobs.submit(job));
        let now = haversack_store::now_millis();
        Box::pin(async move {
            let submitted = submitted?.await?;
            // Without a key every job is a new one.
            let id = submitted.id().ok_or(TaskError::Internal("a task was blocked"))?;
            let (id, state) = (id.to_string(), TaskState::Working);
            Ok(Task { id, state, message: None, created_at: now, updated_at: now })
        })
    }

    fn get(&self, id: &str) -> TaskFuture<Task> {
        let found = self.find(id);
        let answered = id.parse::<JobId>().map(|id| self.jobs.result(&id));
        Box::pin(async move {
            let job = found.await?;
            let state = match job.state {
                State::Queued | State::Running | State::Retrying | State::Parked => TaskState::Working,
                State::Failed if job.failure_code.as_deref() == Some(REFUSED) => {
                    match answered.map_err(|_| TaskError::Unknown)?.await? {
                        Outcome::Failed { text, .. } => {
                            let output = Value::String(text.unwrap_or_default());
                            TaskState::Completed(Finished { ok: false, output })
                        }
                        // It was driven again in between.
                        _ => TaskState::Working,
                    }
                }
                State::Failed | State::Quarantined => {
                    TaskState::Failed { reason: job.failure, code: job.failure_code }
                }
                State::Cancelled => TaskState::Cancelled,
                State::Succeeded => match answered.map_err(|_| TaskError::Unknown)?.await? {
                    Outcome::Succeeded { result } => TaskState::Completed(read(result)?),
                    // It was driven again in between.
                    _ => TaskState::Working,
                },
            };
            let updated_at = job.finished_at.or(job.started_at).unwrap_or(job.created_at);
            let message = job.progress.map(said);
            Ok(Task { id: job.id.to_string(), state, message, created_at: job.created_at, updated_at })
        })
    }

    fn cancel(&self, id: &str) -> TaskFuture<()> {
        let found = self.find(id);
        let cancel = id.parse::<JobId>().map(|id| self.jobs.cancel(&id));
        Box::pin(async move {
            found.await?;
            cancel.map_err(|_| TaskError::Unknown)?.await?;
            Ok(())
        })
    }
}

impl From<JobError> for TaskError {
    fn from(error: JobError) -> Self {
        match error {
            JobError::Unknown => Self::Unknown,
            JobError::Unbound(missing) => Self::Unbound(missing),
            other => Self::Store(Box::new(other)),
        }
    }
}

fn read(answer: serde_json::Value) -> Result<Finished, TaskError> {
    serde_json::from_value(answer).map_err(|_| TaskError::Internal("the answer of a task cannot be read"))
}

fn said(step: Step) -> String {
    match (step.note, step.total) {
        (Some(note), _) => note,
        (None, Some(total)) => format!("{} of {total}", step.done),
        (None, None) => step.done.to_string(),
    }
}

fn failure(error: &PerformError) -> Failure {
    let text = error.to_string();
    let failure = match error {
        // Another worker may offer it, and this one may later.
        PerformError::NoTool | PerformError::NotHere(_) => Failure::not_here(text),
        error if error.is_transient() => Failure::retry(text),
        _ => Failure::permanent(text),
    };
    failure.with_code("mcp_tool")
}
