//! The handle of a task that was started: made by the caller, asked as often as wanted.
//!
//! It shares one slot with the worker. A worker that ends fills it, and one that is dropped closes it, so that
//! a handle resolves in every case. [`super::Task::execute_async`] makes handles; anyone may keep clones.

use std::fmt;

use haversack::well_known::Cancel;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::{TaskError, TaskId, TaskOutput};

/// What becomes of a task.
pub(super) type Outcome = Result<TaskOutput, TaskError>;

/// A task that was started. Clones stand for the same run; dropping them all does not end it.
#[derive(Clone)]
#[must_use = "the output comes out of the handle"]
pub struct TaskHandle {
    pub(super) id: TaskId,
    pub(super) cancel: Cancel,
    pub(super) outcome: watch::Receiver<Option<Outcome>>,
    /// Ends the worker at its next await. Work on a thread has none: it runs to its end.
    pub(super) abort: Option<AbortHandle>,
}

impl TaskHandle {
    /// Which run of which task this is.
    #[must_use]
    pub fn id(&self) -> &TaskId {
        &self.id
    }

    /// Waits for the output. It can be asked again, and again gives the same.
    ///
    /// # Errors
    /// What kept the task from its output; the error of the work itself unchanged in [`TaskError::Failed`].
    ///
    /// # Cancellation
    /// Dropping the future changes nothing: the task goes on.
    pub fn output(&self) -> impl Future<Output = Result<TaskOutput, TaskError>> + Send + 'static + use<> {
        let mut slot = self.outcome.clone();
        async move {
            let filled = slot.wait_for(Option::is_some).await;
            filled.ok().and_then(|outcome| outcome.clone()).unwrap_or(Err(TaskError::Gone))
        }
    }

    /// Asks the task to stop: it sees its `CANCEL`, and is dropped when it has not ended a little later. A
    /// blocking task runs on until it looks. The handle says how it ended.
    pub fn cancel(&self) {
        self.cancel.cancel();
    }

    /// Whether the task has ended, one way or another.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.outcome.borrow().is_some() || self.outcome.has_changed().is_err()
    }

    /// Ends the task without waiting for it.
    pub(super) fn abort(&self) {
        self.cancel.cancel();
        if let Some(abort) = &self.abort {
            abort.abort();
        }
    }
}

impl fmt::Debug for TaskHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskHandle").field("id", &self.id).field("finished", &self.is_finished()).finish()
    }
}
