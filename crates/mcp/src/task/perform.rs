//! Running the tool of a task, in a worker.
//!
//! The worker has restored the context of the call from its snapshot; what is added here is which tool the work belongs to.
//! An answer of the tool, also a refusal, ends the task; a failure of the house is given back, so that the job is tried
//! again by its own rules.

use std::sync::Arc;

use haversack::ContextVar;
use haversack_agent::tool::ToolError;

use super::{Finished, TaskCall};
use crate::server::{CallError, run};
use crate::tool::Offer;

/// The tool that the current task belongs to, bound before any of its code runs.
pub static OWNER: ContextVar<OwningTool> = ContextVar::new("owning tool").shown();

/// The tool that a task belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwningTool {
    /// Its name.
    pub name: String,
    /// The version of the server that took the call, which may be older than the one that runs it.
    pub version: String,
}

impl std::fmt::Display for OwningTool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({})", self.name, self.version)
    }
}

/// Why a task has no answer yet.
#[derive(Debug, thiserror::Error)]
pub enum PerformError {
    /// This worker does not offer the tool: it was taken away, or the worker is older than the server.
    #[error("this worker does not offer the tool of the task; give server and workers the same offer")]
    NoTool,
    /// This worker lacks what the tool works with.
    #[error("{0}")]
    NotHere(String),
    /// A variable that the tool needs did not come along.
    #[error("the tool needs `{0}`, which the task does not carry; add it to the manifest of what may leave")]
    Needs(&'static str),
    /// The tool met a failure of the house: the store, a missing context.
    #[error("the tool of the task failed")]
    Tool(#[source] ToolError),
}

impl PerformError {
    /// Whether trying again may help.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            // Another worker may offer it.
            Self::NoTool | Self::NotHere(_) => true,
            Self::Tool(error) => !matches!(error, ToolError::Unbound(_) | ToolError::Foreign(_)),
            Self::Needs(_) => false,
        }
    }
}

/// Runs the tool of a task in the current context. Its time is the job's.
///
/// # Errors
/// [`PerformError`] when the tool gave no answer.
///
/// # Cancellation
/// Dropping the future drops the tool's.
pub async fn perform(offer: &Offer, call: TaskCall) -> Result<Finished, PerformError> {
    let offered = offer.get(&call.tool).ok_or(PerformError::NoTool)?;
    let owner = OwningTool { name: call.tool, version: call.version };
    let outcome = OWNER.scope(owner, run(Arc::clone(&offered.tool), call.arguments, None)).await;
    match outcome {
        Err(CallError::Needs(variable)) => Err(PerformError::Needs(variable)),
        Err(CallError::Tool(ToolError::NotHere(what))) => Err(PerformError::NotHere(what)),
        Err(CallError::Tool(
            error @ (ToolError::Memory(_)
            | ToolError::Store(_)
            | ToolError::Unbound(_)
            | ToolError::Foreign(_)
            | ToolError::Io(_)),
        )) => Err(PerformError::Tool(error)),
        answered => Ok(Finished::of(answered)),
    }
}
