//! Why a crew cannot be built, why a task failed, and which task of a crew failed first.
//!
//! A task's own failure is passed on as it is; what the crew adds is a name and nothing of what was said. The
//! builder, the handles and [`super::Crew::execute`] return these errors.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use haversack::{ForeignContext, MissingContext};
use haversack_memory::MemoryError;
use haversack_store::StoreError;

use crate::error::TurnError;
use crate::tool::ToolError;

/// What the work of a task fails with: any error.
pub type Failure = Box<dyn Error + Send + Sync>;

/// Why a task has no output. Clones share the failure, so everybody who asks a handle gets the same one.
#[derive(Debug, Clone, thiserror::Error)]
pub enum TaskError {
    /// The work failed; this is its own error, unchanged. [`TaskError::failure`] gives it back.
    #[error(transparent)]
    Failed(Arc<dyn Error + Send + Sync>),
    /// The work, a guardrail or the condition of the task panicked.
    #[error("the task panicked")]
    Panicked,
    /// It was cancelled, by its handle, by the failure of another task of its crew, or by the caller.
    #[error("the task was cancelled")]
    Cancelled,
    /// Its time was up.
    #[error("the task did not end in time; raise its time limit or the caller's deadline")]
    TimedOut,
    /// No attempt passed the guardrails. The feedback may quote the output, so no text of an error holds it.
    #[error("no output was accepted by the guardrails in {attempts} attempts")]
    Refused {
        /// How many attempts were made.
        attempts: u32,
        /// What the guardrail said about the last of them.
        feedback: String,
    },
    /// The runtime or the thread that ran the task is gone, or there was none at the call.
    #[error("the task was dropped before it ended; run it inside a tokio runtime that outlives it")]
    Gone,
}

impl TaskError {
    /// The failure of some work. Work that waited for another task fails as that one did.
    pub(super) fn failed(failure: Failure) -> Self {
        match failure.downcast::<Self>() {
            Ok(error) => *error,
            Err(failure) => Self::Failed(Arc::from(failure)),
        }
    }

    /// The error of the work itself, to be downcast to its own type.
    #[must_use]
    pub fn failure(&self) -> Option<&(dyn Error + Send + Sync + 'static)> {
        match self {
            Self::Failed(failure) => Some(&**failure),
            _ => None,
        }
    }
}

/// The first failure of a crew. Everything else that ran was cancelled and has ended.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the task `{task}` failed: {error}")]
pub struct CrewError {
    /// The task that failed.
    pub task: String,
    /// Why.
    #[source]
    pub error: TaskError,
}

impl CrewError {
    /// The failure of the task's tool, if its tool is what failed.
    #[must_use]
    pub fn tool_error(&self) -> Option<&ToolError> {
        self.error.failure()?.downcast_ref()
    }

    /// The published error code, as in `docs/errors/`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        self.context_code().unwrap_or("HV0310")
    }

    /// The published code when a missing or foreign context is the reason: that is no failure of the task, and
    /// no model should be asked to do better.
    #[must_use]
    pub fn context_code(&self) -> Option<&'static str> {
        let failure = self.error.failure()?;
        let code = match () {
            () if failure.is::<MissingContext>() => "HV0001",
            () if failure.is::<ForeignContext>() => "HV0002",
            () => code_within(failure)?,
        };
        matches!(code, "HV0001" | "HV0002").then_some(code)
    }
}

fn code_within(failure: &(dyn Error + Send + Sync + 'static)) -> Option<&'static str> {
    if let Some(turn) = failure.downcast_ref::<TurnError>() {
        return Some(turn.code());
    }
    let store = |error: &StoreError| match error {
        StoreError::Unbound(_) => Some("HV0001"),
        StoreError::Foreign(_) => Some("HV0002"),
        _ => None,
    };
    let memory = |error: &MemoryError| match error {
        MemoryError::Unbound(_) => Some("HV0001"),
        MemoryError::Foreign(_) => Some("HV0002"),
        MemoryError::Store(error) => store(error),
        _ => None,
    };
    match failure.downcast_ref::<ToolError>() {
        Some(ToolError::Unbound(_)) => Some("HV0001"),
        Some(ToolError::Foreign(_)) => Some("HV0002"),
        Some(ToolError::Store(error)) => store(error),
        Some(ToolError::Memory(error)) => memory(error),
        Some(_) => None,
        None => failure.downcast_ref().and_then(store).or_else(|| failure.downcast_ref().and_then(memory)),
    }
}

/// Why tasks do not make a crew.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OrderError {
    /// There is nothing to do.
    #[error("a crew needs at least one task")]
    Empty,
    /// Two tasks with one name.
    #[error("two tasks are named `{0}`; names must be unique in a crew")]
    DuplicateName(String),
    /// A context list names a task that is not there.
    #[error("the task `{task}` wants the output of `{wants}`, and there is no such task; known are: {known}")]
    Unknown {
        /// The task with the list.
        task: String,
        /// What it names.
        wants: String,
        /// Every task of the crew.
        known: String,
    },
    /// Tasks that wait for each other, or one that waits for itself.
    #[error("these tasks wait for each other: {}", Chain(.0))]
    Cycle(Vec<String>),
    /// A context list names a task that comes later.
    #[error("the task `{task}` wants the output of `{wants}`, which comes later; put `{wants}` before it")]
    Later {
        /// The task with the list.
        task: String,
        /// What it names.
        wants: String,
    },
    /// A background task names one that may still run beside it.
    #[error(
        "the background task `{task}` wants the output of `{wants}`, which runs beside it; put a task that \
            is not in the background between them, or take one out of the background"
    )]
    Running {
        /// The task with the list.
        task: String,
        /// What it names.
        wants: String,
    },
}

struct Chain<'c>(&'c [String]);

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for name in self.0 {
            write!(f, "`{name}`, then ")?;
        }
        write!(f, "`{}` again", self.0.first().map_or("", String::as_str))
    }
}

/// What a task that hears of a request to stop may still use to end by itself.
pub(super) const GRACE: Duration = Duration::from_millis(500);
