//! Tasks as the protocol writes them.
//!
//! A task past its time to live is as gone for the client as if the store had dropped it already. Only the handler comes
//! here.

use std::time::Duration;

use haversack_jobs::FailureKind;
use haversack_store::now_millis;
use jiff::Timestamp;
use rmcp::ErrorData;
use rmcp::model::{self, ClientCapabilities, DetailedTask, ErrorCode, JsonObject, TaskPayload, TaskStatus};
use serde_json::Value;

use super::{Task, TaskError, TaskState};
use crate::options::McpOptions;

/// What a client must say before it gets a task.
pub(crate) fn must_speak_tasks() -> ErrorData {
    ErrorData::missing_required_client_capability(ClientCapabilities::builder().enable_tasks().build())
}

/// A task without its answer.
pub(crate) fn task(task: &Task, options: &McpOptions) -> Result<model::Task, TaskError> {
    let status = match &task.state {
        TaskState::Working => TaskStatus::Working,
        TaskState::Completed(_) => TaskStatus::Completed,
        TaskState::Failed { .. } => TaskStatus::Failed,
        TaskState::Cancelled => TaskStatus::Cancelled,
    };
    let mut wired = model::Task::new(task.id.clone(), status, iso(task.created_at)?, iso(task.updated_at)?);
    wired.status_message.clone_from(&task.message);
    wired.ttl_ms = options.task_ttl.map(|ttl| since(task.created_at, until(task, ttl)));
    wired.poll_interval_ms = Some(millis(options.task_poll));
    Ok(wired)
}

/// A task with its answer.
pub(crate) fn detailed(one: Task, options: &McpOptions) -> Result<DetailedTask, TaskError> {
    let wired = task(&one, options)?;
    let payload = match one.state {
        TaskState::Working => TaskPayload::Working,
        TaskState::Cancelled => TaskPayload::Cancelled,
        TaskState::Completed(finished) => TaskPayload::Completed { result: object(&finished.into_result())? },
        TaskState::Failed { reason, code } => {
            let error = ErrorData::new(ErrorCode::INTERNAL_ERROR, why(reason), Some(facts(reason, code)));
            TaskPayload::Failed { error: object(&error)? }
        }
    };
    Ok(DetailedTask::new(wired, payload))
}

/// Why a task has no answer, in words, where its client can do something about it.
fn why(reason: Option<FailureKind>) -> &'static str {
    match reason {
        Some(FailureKind::TokenExpired) => {
            "the access token expired before the task ran; call the tool again with a new one"
        }
        Some(FailureKind::TimedOut | FailureKind::Deadline) => "the time of the task was up",
        _ => "the task could not be run to an answer; the server's log has more under its id",
    }
}

/// The same for a program: names that say nothing of the task itself.
fn facts(reason: Option<FailureKind>, code: Option<String>) -> Value {
    let mut facts = JsonObject::new();
    facts.extend(reason.map(|reason| ("reason".to_owned(), reason.as_str().into())));
    facts.extend(code.map(|code| ("code".to_owned(), code.into())));
    Value::Object(facts)
}

/// Fails as for an unknown task when its time is up. A task that works has all of its time before it.
pub(crate) fn within_ttl(task: &Task, options: &McpOptions) -> Result<(), TaskError> {
    let Some(ttl) = options.task_ttl.filter(|_| !matches!(task.state, TaskState::Working)) else {
        return Ok(());
    };
    if now_millis() < until(task, ttl) { Ok(()) } else { Err(TaskError::Unknown) }
}

/// Until when a task is kept: its time to live counts from its end, and as long as it has none from now.
fn until(task: &Task, ttl: Duration) -> i64 {
    let ended = if matches!(task.state, TaskState::Working) { now_millis() } else { task.updated_at };
    ended.saturating_add(i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX))
}

/// The protocol counts from the creation.
fn since(created_at: i64, until: i64) -> u64 {
    u64::try_from(until.saturating_sub(created_at)).unwrap_or(0)
}

fn object(value: &impl serde::Serialize) -> Result<JsonObject, TaskError> {
    match serde_json::to_value(value) {
        Ok(Value::Object(object)) => Ok(object),
        _ => Err(TaskError::Internal("the answer of a task is no object")),
    }
}

fn iso(millis: i64) -> Result<String, TaskError> {
    let time = Timestamp::from_millisecond(millis);
    time.map(|time| time.to_string()).map_err(|_| TaskError::Internal("the time of a task is out of range"))
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
