//! What a client is told.
//!
//! The output of a tool goes out as structured content and as text; a failure that the model can mend goes out in words,
//! and one that it cannot is masked, with the request's id for whoever reads the log. No text here quotes anything but
//! the caller's own arguments.

use haversack::well_known::REQUEST_ID;
use haversack::{MissingContext, Refused};
use haversack_agent::tool::{ToolError, ToolOutput};
use rmcp::ErrorData;
use rmcp::model::{CallToolResult, ContentBlock};
use serde_json::Value;

use super::CallError;
use crate::task::{Finished, TaskError};

impl Finished {
    /// What the client of a call is told, for the request of the current context.
    pub(crate) fn of(outcome: Result<ToolOutput, CallError>) -> Self {
        match outcome {
            Ok(output) => Self { ok: true, output: output.into_json() },
            Err(error) => {
                tracing::warn!(error = %error, "a tool call failed");
                Self { ok: false, output: Value::String(said(&error)) }
            }
        }
    }

    /// The answer as text.
    pub(crate) fn text(&self) -> String {
        text(&self.output)
    }

    pub(crate) fn into_result(self) -> CallToolResult {
        match (self.ok, self.output) {
            (false, output) => CallToolResult::error(vec![ContentBlock::text(text(&output))]),
            (true, Value::String(text)) => CallToolResult::success(vec![ContentBlock::text(text)]),
            (true, output) => CallToolResult::structured(output),
        }
    }
}

fn text(output: &Value) -> String {
    output.as_str().map_or_else(|| output.to_string(), str::to_owned)
}

fn said(error: &CallError) -> String {
    match error {
        CallError::Needs(_) | CallError::Cancelled => error.to_string(),
        CallError::Tool(error) if is_told(error) => error.for_model(),
        CallError::Tool(_) => masked("the tool failed"),
    }
}

/// Whether the words of a failure are for the caller. A crew tells what the tool of its task tells.
fn is_told(error: &ToolError) -> bool {
    match error {
        ToolError::Unknown
        | ToolError::Arguments { .. }
        | ToolError::TimedOut(_)
        | ToolError::Panicked
        | ToolError::Refused(_)
        | ToolError::Failed(_)
        | ToolError::NotHere(_) => true,
        ToolError::Crew(crew) => crew.tool_error().is_some_and(is_told),
        _ => false,
    }
}

/// A failure whose cause is nobody's business but the operator's.
fn masked(what: &str) -> String {
    match REQUEST_ID.get() {
        Ok(request) => format!("{what}; the server's log has more under request {request}"),
        Err(_) => format!("{what}; the server's log has more"),
    }
}

/// The message passed no door: a mistake of the program, not of the client.
pub(crate) fn no_context(missing: &MissingContext) -> ErrorData {
    tracing::error!(error = %missing, "an MCP message passed no door; mount the router behind the layer that enters one");
    ErrorData::internal_error("the message carries no context, so nothing was done", None)
}

/// A door refused.
pub(crate) fn refused(refused: &Refused) -> ErrorData {
    tracing::error!(error = %refused, "a door refused an MCP message");
    ErrorData::internal_error("the message carries no context, so nothing was done", None)
}

/// There is no such tool, or not for this caller.
pub(crate) fn no_tool() -> ErrorData {
    ErrorData::invalid_params("there is no such tool; `tools/list` names those there are", None)
}

/// As many calls of the tenant are under way as there may be. The protocol has no code for it, so it is the answer of the
/// tool, which a model can act upon.
pub(crate) fn too_many() -> CallToolResult {
    let told = "as many calls of this tenant are under way as there may be; call again when one has ended";
    CallToolResult::error(vec![ContentBlock::text(told)])
}

/// What is said of a task that cannot be had.
pub(crate) fn task_error(error: &TaskError) -> ErrorData {
    match error {
        TaskError::Unknown => ErrorData::invalid_params(TaskError::Unknown.to_string(), None),
        other => {
            tracing::error!(error = %other, "a task could not be served");
            ErrorData::internal_error(masked("the task could not be served"), None)
        }
    }
}

/// Something that cannot happen did.
pub(crate) fn internal(what: &'static str) -> ErrorData {
    tracing::error!(what, "an MCP message could not be answered");
    ErrorData::internal_error(masked("the message could not be answered"), None)
}
