//! Running one task: its context, its attempts, and the end of them.
//!
//! Whatever happens to the work (an output, an error, a panic, a time limit, a request to stop, a runtime that
//! goes away), the handle's slot is filled or closed, and only after the work is gone. Tasks and crews start
//! workers; nothing else does.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt;
use haversack::well_known::{CANCEL, Cancel, DEADLINE, Deadline};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tracing::Span;

use super::handle::Outcome;
use super::task::{Place, Work};
use super::{TASK_ID, Task, TaskError, TaskHandle, TaskId, TaskInput, TaskOutput};

/// Starts a task in the context of this call. `under` is what cancels it; without one it is the caller's.
pub(super) fn start(task: &Task, input: TaskInput, under: Option<&Cancel>, grace: Duration) -> TaskHandle {
    let id = TaskId::next(&task.name);
    let callers = CANCEL.bound();
    let cancel = under.or(callers.as_ref()).map(Cancel::child).unwrap_or_default();
    let (slot, outcome) = watch::channel(None);
    let span = tracing::info_span!("task", name = %task.name, id = %id, outcome = tracing::field::Empty);
    let input = TaskInput {
        description: task.description.clone(),
        expected_output: task.expected_output.clone(),
        ..input
    };
    let run = Run { task: task.clone(), input, cancel: cancel.clone(), grace, span: span.clone() };
    let launch = || span.in_scope(|| launch(run, slot));
    let timed = || match deadline(task.time_limit) {
        Some(deadline) => DEADLINE.sync_scope(deadline, launch),
        None => launch(),
    };
    let abort = TASK_ID.sync_scope(id.clone(), || CANCEL.sync_scope(cancel.clone(), timed));
    TaskHandle { id, cancel, outcome, abort }
}

/// The nearer of the caller's deadline and one's own limit.
pub(super) fn deadline(limit: Option<Duration>) -> Option<Deadline> {
    let own = limit.map(Deadline::after);
    let callers = DEADLINE.bound();
    own.into_iter().chain(callers).min()
}

struct Run {
    task: Task,
    input: TaskInput,
    cancel: Cancel,
    grace: Duration,
    span: Span,
}

/// Hands the work over, together with the context of this call. Without a runtime the slot closes at once.
fn launch(run: Run, slot: watch::Sender<Option<Outcome>>) -> Option<AbortHandle> {
    let fill = move |span: &Span, outcome: Outcome| {
        span.record("outcome", word(&outcome));
        slot.send_replace(Some(outcome));
    };
    match run.task.work {
        Work::Async(_) => {
            Handle::try_current().ok()?;
            let work = async move {
                let span = run.span.clone();
                let ended = AssertUnwindSafe(run.until_the_end()).catch_unwind().await;
                fill(&span, ended.unwrap_or_else(panicked));
            };
            Some(haversack::spawn(work).abort_handle())
        }
        Work::Blocking(_, place) => {
            let work = move || {
                let span = run.span.clone();
                let ended = std::panic::catch_unwind(AssertUnwindSafe(|| run.blocking()));
                fill(&span, ended.unwrap_or_else(panicked));
            };
            match place {
                Place::Pool => {
                    Handle::try_current().ok()?;
                    haversack::spawn_blocking(work);
                }
                Place::Thread => {
                    // A thread that cannot be started drops the work, which closes the slot.
                    let name = "haversack-task".to_owned();
                    // The runtime is there as on the pool: work that waits for I/O works on either.
                    let runtime = Handle::try_current().ok();
                    let work = move || {
                        let _inside = runtime.as_ref().map(Handle::enter);
                        work();
                    };
                    drop(haversack::thread::Builder::new().name(name).spawn(work));
                }
            }
            None
        }
    }
}

/// The payload of a panic may hold anything, stored text included, so it is dropped here.
fn panicked(payload: Box<dyn std::any::Any + Send>) -> Outcome {
    drop(payload);
    Err(TaskError::Panicked)
}

fn word(outcome: &Outcome) -> &'static str {
    match outcome {
        Ok(_) => "ok",
        Err(TaskError::Failed(_)) => "failed",
        Err(TaskError::Panicked) => "panicked",
        Err(TaskError::Cancelled) => "cancelled",
        Err(TaskError::TimedOut) => "timed out",
        Err(TaskError::Refused { .. }) => "refused",
        Err(TaskError::Gone) => "gone",
    }
}

impl Run {
    /// The async work, until it ends or is given up.
    async fn until_the_end(self) -> Outcome {
        let (cancel, grace) = (self.cancel.clone(), self.grace);
        tokio::select! {
            biased;
            outcome = self.attempts() => outcome,
            error = given_up(cancel, grace) => Err(error),
        }
    }

    async fn attempts(mut self) -> Outcome {
        for attempt in 1.. {
            self.may_begin()?;
            let Work::Async(work) = &self.task.work else { return Err(TaskError::Gone) };
            let text = work(self.input.clone()).await.map_err(TaskError::failed)?;
            if let Some(output) = self.judge(text, attempt)? {
                return Ok(output);
            }
        }
        Err(TaskError::Gone)
    }

    /// The blocking work. It cannot be given up half-way, but what comes too late does not count.
    fn blocking(mut self) -> Outcome {
        for attempt in 1.. {
            self.may_begin()?;
            let Work::Blocking(work, _) = &self.task.work else { return Err(TaskError::Gone) };
            let text = work(self.input.clone()).map_err(TaskError::failed)?;
            if is_late() {
                return Err(TaskError::TimedOut);
            }
            if let Some(output) = self.judge(text, attempt)? {
                return Ok(output);
            }
        }
        Err(TaskError::Gone)
    }

    fn may_begin(&self) -> Result<(), TaskError> {
        match () {
            () if self.cancel.is_cancelled() => Err(TaskError::Cancelled),
            () if is_late() => Err(TaskError::TimedOut),
            () => Ok(()),
        }
    }

    /// The output, when the guardrails accept it; nothing, when there is another attempt with their feedback.
    fn judge(&mut self, text: String, attempt: u32) -> Result<Option<TaskOutput>, TaskError> {
        let refused = self.task.guardrails.iter().find_map(|guardrail| guardrail.check(&text).err());
        let Some(feedback) = refused else {
            let task = self.task.name.to_string();
            return Ok(Some(TaskOutput { task, text, attempts: attempt }));
        };
        if attempt > self.task.retries {
            return Err(TaskError::Refused { attempts: attempt, feedback });
        }
        tracing::info!(attempt, "a guardrail sent an output back");
        self.input.feedback = Some(feedback);
        Ok(None)
    }
}

fn is_late() -> bool {
    DEADLINE.bound().is_some_and(Deadline::expired)
}

/// Resolves when the work is not waited for any longer: at its deadline, or a little after the request to stop.
pub(super) async fn given_up(cancel: Cancel, grace: Duration) -> TaskError {
    let late = async {
        match DEADLINE.get() {
            Ok(deadline) => tokio::time::sleep(deadline.remaining()).await,
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        () = late => TaskError::TimedOut,
        () = cancel.cancelled() => {
            tokio::time::sleep(grace).await;
            TaskError::Cancelled
        }
    }
}
