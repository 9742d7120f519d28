//! What goes over the wire for pipelines and their runs: the request, the lists, the parts of a path, and the schema of
//! what the pipeline crate serialises. The types that only document are held against real answers by a law.
#![allow(dead_code)] // those that only document

use std::collections::BTreeMap;

use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequestParts, Path};
use haversack_pipeline::run::{RunEntry, RunId};
use haversack_pipeline::run_log::Event;
use http::request::Parts;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoResponses, ToSchema};

use crate::code::Code;
use crate::http::App;
use crate::problem::{Fault, Problem};

/// How a run is started.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct RunRequest {
    /// Values by name, before the pipeline's own.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub(super) parameters: BTreeMap<String, Value>,
    /// The name of the run, chosen by you: 1 to 128 letters, digits, `.`, `_` or `-`. The same key never starts a second
    /// run. Without it the run gets a name.
    #[schema(example = "export-2026-11-25")]
    pub(super) key: Option<String>,
}

/// The pipelines of this installation.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(in crate::http) struct PipelineList {
    /// In the order of their names.
    pub(super) pipelines: Vec<PipelineEntry>,
}

/// One pipeline.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct PipelineEntry {
    /// Its name.
    pub(super) name: String,
    /// What it is for.
    #[serde(skip_serializing_if = "String::is_empty")]
    #[schema(required = false)]
    pub(super) description: String,
    /// Whether it can be run; when not, `haversack pipeline check` says why.
    pub(super) runnable: bool,
}

/// Your runs, newest first.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(in crate::http) struct RunList {
    /// The runs.
    #[schema(value_type = Vec<RunInList>)]
    pub(super) runs: Vec<RunEntry>,
}

/// A part of a run's log.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(in crate::http) struct RunLog {
    /// The events, in their order.
    #[schema(value_type = Vec<RunEvent>)]
    pub(super) events: Vec<Event>,
    /// Send it as `after` for what follows; absent when nothing will.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) after: Option<u64>,
}

/// One run. Times are milliseconds since the Unix epoch, UTC.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Run {
    /// Its name.
    run: String,
    /// The pipeline's name.
    pipeline: String,
    /// SHA-256 of the pipeline's definition.
    definition: String,
    /// Who started it, and whose it is.
    principal: String,
    /// The session that it was started in; it goes with that session.
    session: Option<String>,
    /// `pending`, `running`, `succeeded`, `failed` or `cancelled`.
    status: String,
    /// What it was started with.
    #[schema(value_type = Object)]
    parameters: Value,
    /// How many executors have worked on it.
    generation: u64,
    /// The number of its last event.
    last_event: u64,
    /// The number of the event that asked for this try: the first one, or the last retry.
    asked: u64,
    /// Its trace.
    trace: String,
    /// Whether its end was asked for.
    cancel_requested: bool,
    /// What its steps gave, once it has ended.
    #[schema(value_type = Option<Object>)]
    outputs: Option<Value>,
    /// Which step failed, and why.
    reason: Option<String>,
    /// The last lines that this step printed, at most 20; `/v1/runs/{run}/steps/{step}/output` has all of it.
    last_lines: Option<String>,
    /// Present when the key that sealed it has gone: what it was given or gave is missing here then.
    unreadable: Option<bool>,
    /// When it was started.
    created_at: i64,
    /// When an executor first worked on it.
    began_at: Option<i64>,
    /// When it ended.
    ended_at: Option<i64>,
}

/// One run of a list: what it was given and what it gave stand in the run alone. Times are milliseconds since the Unix
/// epoch, UTC.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct RunInList {
    /// Its name.
    run: String,
    /// The pipeline's name.
    pipeline: String,
    /// SHA-256 of the pipeline's definition.
    definition: String,
    /// Who started it, and whose it is.
    principal: String,
    /// The session that it was started in; it goes with that session.
    session: Option<String>,
    /// `pending`, `running`, `succeeded`, `failed` or `cancelled`.
    status: String,
    /// How many executors have worked on it.
    generation: u64,
    /// The number of its last event.
    last_event: u64,
    /// The number of the event that asked for this try: the first one, or the last retry.
    asked: u64,
    /// Its trace.
    trace: String,
    /// Whether its end was asked for.
    cancel_requested: bool,
    /// When it was started.
    created_at: i64,
    /// When an executor first worked on it.
    began_at: Option<i64>,
    /// When it ended.
    ended_at: Option<i64>,
}

/// One event of a run's log; what it holds besides depends on `event`.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct RunEvent {
    /// From 1, without gaps.
    number: u64,
    /// Milliseconds since the Unix epoch, UTC.
    at: i64,
    /// Which executor wrote it: 0 for what callers did.
    generation: u64,
    /// What happened, such as `attempt_started`.
    event: String,
}

/// There is no such run.
#[derive(IntoResponses)]
pub(in crate::http) enum NoRun {
    /// HV0703
    #[response(status = 404, content_type = "application/problem+json")]
    NotFound(Problem),
}

/// The state of a run, or a parameter, does not allow it.
#[derive(IntoResponses)]
pub(in crate::http) enum RunRefused {
    /// HV0705
    #[response(status = 409, content_type = "application/problem+json")]
    Conflict(Problem),
}

/// Why a run is not started, besides what refuses every body.
#[derive(IntoResponses)]
pub(in crate::http) enum NotStarted {
    /// HV0211
    #[response(status = 400, content_type = "application/problem+json")]
    Json(Problem),
    /// HV0702
    #[response(status = 404, content_type = "application/problem+json")]
    NotFound(Problem),
    /// HV0217
    #[response(status = 408, content_type = "application/problem+json")]
    Slow(Problem),
    /// HV0705
    #[response(status = 409, content_type = "application/problem+json")]
    Conflict(Problem),
    /// HV0210
    #[response(status = 413, content_type = "application/problem+json")]
    TooLarge(Problem),
    /// HV0214
    #[response(status = 415, content_type = "application/problem+json")]
    MediaType(Problem),
    /// HV0212, HV0701
    #[response(status = 422, content_type = "application/problem+json")]
    Invalid(Problem),
}

/// A run's name from the path. What cannot be one names no run: one answer for both.
pub(in crate::http) struct RunPath(pub(super) RunId);

impl FromRequestParts<App> for RunPath {
    type Rejection = Fault;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Fault> {
        let name: Result<Path<String>, PathRejection> = Path::from_request_parts(parts, app).await;
        let run = name.ok().and_then(|Path(name)| RunId::new(name).ok());
        run.map(Self).ok_or_else(|| Fault::new(Code::RunNotFound, "There is no such run."))
    }
}
