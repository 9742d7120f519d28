//! One call of a tool: what it needs is there, it ends in time, and no panic goes further.
//!
//! It runs in the current context, which a door bound: that of the client's message, or in a worker that of the job. The
//! server and the worker of tasks both call tools here.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use haversack::well_known::Cancel;
use haversack::{Context, Entry};
use haversack_agent::tool::{Tool, ToolError, ToolOutput};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

/// Why a call has no output.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    /// The tool needs a variable that this call does not bind.
    #[error("the tool needs `{0}`, which this call does not bind")]
    Needs(&'static str),
    /// The client took the call back.
    #[error("the call was cancelled")]
    Cancelled,
    /// The tool failed.
    #[error(transparent)]
    Tool(#[from] ToolError),
}

/// Calls the tool, within `limit` where there is one.
pub(crate) async fn run(
    tool: Arc<dyn Tool>,
    arguments: Value,
    limit: Option<Duration>,
) -> Result<ToolOutput, CallError> {
    let here = Context::current();
    if let Some(missing) = tool.needs().iter().find(|variable| !variable.is_bound_in(&here)) {
        return Err(CallError::Needs(missing.name()));
    }
    let entry = Entry::current().map_err(ToolError::from)?;
    // The call itself may panic as well as its future, so it is made inside.
    let run = AssertUnwindSafe(async move {
        let output = tool.call(arguments).await?;
        entry.check("the answer of a tool")?;
        Ok(output)
    });
    let ended = match limit {
        Some(limit) => match tokio::time::timeout(limit, run.catch_unwind()).await {
            Ok(ended) => ended,
            Err(_) => return Err(ToolError::TimedOut(limit).into()),
        },
        None => run.catch_unwind().await,
    };
    ended.unwrap_or_else(|panic| Err(panicked(panic))).map_err(CallError::Tool)
}

/// Runs `work` to its end. When the client takes the call back, `cancel` tells the work, which has `grace` to end by
/// itself; then it is dropped.
pub(crate) async fn until_cancelled<R>(
    work: impl Future<Output = R>,
    client: CancellationToken,
    cancel: Cancel,
    grace: Duration,
) -> Result<R, CallError> {
    let mut work = std::pin::pin!(work);
    tokio::select! {
        biased;
        done = &mut work => return Ok(done),
        () = client.cancelled() => {}
        () = cancel.cancelled() => {}
    }
    cancel.cancel();
    tokio::time::timeout(grace, work).await.map_err(|_| CallError::Cancelled)
}

/// The payload of a panic may hold anything, stored text included, so it is dropped here.
fn panicked(payload: Box<dyn Any + Send>) -> ToolError {
    drop(payload);
    ToolError::Panicked
}
