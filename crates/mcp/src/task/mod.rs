//! Tasks: calls whose answer is fetched later (`io.modelcontextprotocol/tasks`, SEP-2663).
//!
//! [`Tasks`] is the durable store behind them. A task is created with the context of the call, which its snapshot carries
//! to wherever the tool runs; [`perform`] runs it there. Every look at a task is the current context's: a task of another
//! tenant or principal and one that never was answer alike.

mod durable;
mod perform;
pub(crate) mod wire;

use std::pin::Pin;

use haversack::{ForeignContext, MissingContext};
use haversack_jobs::FailureKind;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use durable::JobTasks;
pub use perform::{OWNER, OwningTool, PerformError, perform};

/// The future of one question to a store of tasks.
pub type TaskFuture<T> = Pin<Box<dyn Future<Output = Result<T, TaskError>> + Send>>;

/// A durable store of tasks. Whose task something is comes from the context of the call, never from an argument.
pub trait Tasks: Send + Sync + 'static {
    /// Creates a task. When the future resolves the task is durable: [`get`](Self::get) finds it, also after a restart.
    fn create(&self, call: TaskCall) -> TaskFuture<Task>;

    /// How a task stands.
    fn get(&self, id: &str) -> TaskFuture<Task>;

    /// Asks a task to stop. It may end otherwise all the same; one that has ended stays as it is.
    fn cancel(&self, id: &str) -> TaskFuture<()>;
}

/// What a task does: one call of a tool.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskCall {
    /// The tool.
    pub tool: String,
    /// The version of the server that took the call.
    pub version: String,
    /// What the model wrote.
    pub arguments: Value,
}

impl TaskCall {
    pub(crate) fn new(tool: &str, version: &str, arguments: Value) -> Self {
        Self { tool: tool.to_owned(), version: version.to_owned(), arguments }
    }
}

/// A task, as its owner sees it. Times are milliseconds since the Unix epoch, UTC.
#[derive(Debug, Clone, PartialEq)]
pub struct Task {
    /// Its id.
    pub id: String,
    /// How it stands.
    pub state: TaskState,
    /// What it says about itself, for its owner.
    pub message: Option<String>,
    /// When it was created.
    pub created_at: i64,
    /// When its state last changed.
    pub updated_at: i64,
}

/// How a task stands.
#[derive(Debug, Clone, PartialEq)]
pub enum TaskState {
    /// It waits or runs.
    Working,
    /// The tool answered, well or not.
    Completed(Finished),
    /// It could not be run to an answer.
    Failed {
        /// Why, where the store knows. It names no content.
        reason: Option<FailureKind>,
        /// The code that the failure was given, if it was: a constant of the program.
        code: Option<String>,
    },
    /// It was cancelled.
    Cancelled,
}

/// The answer of a tool.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Finished {
    /// False when the tool refused or failed, and `output` says so in words.
    pub ok: bool,
    /// What it answered.
    pub output: Value,
}

/// Why a store of tasks did not answer.
#[derive(Debug, thiserror::Error)]
pub enum TaskError {
    /// There is no such task, or it is somebody else's.
    #[error("there is no such task; it may have expired")]
    Unknown,
    /// A variable is unbound where the store was asked.
    #[error(transparent)]
    Unbound(#[from] MissingContext),
    /// The store was asked under another entry than it was opened for.
    #[error(transparent)]
    Foreign(#[from] ForeignContext),
    /// The store failed.
    #[error("the store of tasks failed")]
    Store(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Something that cannot happen did.
    #[error("internal error: {0}")]
    Internal(&'static str),
}
