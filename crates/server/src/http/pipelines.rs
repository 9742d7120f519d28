//! Pipelines over HTTP: what there is, and runs: start, look, follow, cancel, try again. A run belongs to the tenant and
//! the principal of the context; whoever starts one submits the job that executes it, so that it works in its starter's context, in
//! whichever process has a worker.

pub(crate) mod output;
mod wire;

use std::convert::Infallible;
use std::time::Duration;

use axum::Json;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::response::sse::{self, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use haversack_pipeline::run::{RunId, RunStatus, RunView};
use haversack_pipeline::run_log::{Event, Follow};
use http::header::LOCATION;
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::Deserialize;

use super::App;
use super::json::JsonBody;
use super::prefer::{self, Answer, LastEvent};
use super::schema::Refused;
use crate::code::Code;
use crate::problem::{Fault, Problem};
use crate::work::pipelines;
pub(super) use wire::{
    NoRun, NotStarted, PipelineEntry, PipelineList, Run, RunEvent, RunInList, RunList, RunLog, RunPath,
    RunRefused, RunRequest,
};

/// Runs and events of one page when nothing is asked for, and at most.
const PAGE: usize = 50;
const LARGEST_PAGE: usize = 1_000;

/// Which runs are asked for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    status: Option<RunStatus>,
    limit: Option<usize>,
}

/// Which part of a log is asked for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Part {
    after: Option<u64>,
    limit: Option<usize>,
}

/// List the pipelines of this installation.
#[utoipa::path(get, path = "/v1/pipelines", tag = "pipelines", security(("api_key" = ["member"])),
    responses(
        Refused,
        (status = 200, description = "The pipelines.", body = PipelineList),
        (status = 404, description = "HV0702: the folder cannot be read", body = Problem,
            content_type = "application/problem+json"),
    ))]
pub(super) async fn list(State(app): State<App>) -> Result<Json<PipelineList>, Fault> {
    let catalogue = app.engine.work().catalogue().clone();
    let listing = haversack::spawn_blocking(move || {
        let entry = |name: String| match catalogue.get(&name) {
            Ok(pipeline) => {
                PipelineEntry { name, description: pipeline.description().to_owned(), runnable: true }
            }
            Err(_) => PipelineEntry { name, description: String::new(), runnable: false },
        };
        Ok::<_, Fault>(catalogue.names()?.into_iter().map(entry).collect())
    });
    Ok(Json(PipelineList { pipelines: listing.await.map_err(Fault::internal)?? }))
}

/// Start a run of a pipeline: it is written down, and a worker executes it.
///
/// A second start under the same key gives the first run, whatever it brings. When nobody is at work on that run, and it has
/// not ended, a worker takes it up again.
#[utoipa::path(post, path = "/v1/pipelines/{name}/runs", tag = "pipelines", security(("api_key" = ["member"])),
    params(("name" = String, Path, description = "The pipeline's name.")),
    request_body = RunRequest,
    responses(
        Refused,
        NotStarted,
        (status = 200, description = "The key names a run that has ended.", body = Run),
        (status = 202, description = "The run; `Location` says where to ask.", body = Run),
    ))]
pub(super) async fn start(
    State(app): State<App>,
    name: Result<Path<String>, PathRejection>,
    JsonBody(body): JsonBody<RunRequest>,
) -> Result<Response, Fault> {
    let name = name.map(|Path(name)| name).unwrap_or_default();
    let key = match body.key {
        Some(key) => key,
        None => pipelines::fresh().map_err(Fault::internal)?,
    };
    let key = RunId::new(key).map_err(|error| {
        Fault::caused(
            Code::FieldInvalid,
            "`key` has 1 to 128 letters, digits, `.`, `_` or `-`, the first one a letter or a digit.",
            error,
        )
    })?;
    let catalogue = app.engine.work().catalogue().clone();
    let reading = haversack::spawn_blocking(move || catalogue.get(&name));
    let pipeline = reading.await.map_err(Fault::internal)??;
    let parameters = body.parameters.into_iter().collect();
    let started = pipelines::start(app.engine.work(), &pipeline, parameters, key).await?;
    Ok(accepted(started.run))
}

/// List your runs, the newest first: where each stands, without what it was given and gave, which the run itself has.
#[utoipa::path(get, path = "/v1/runs", tag = "pipelines", security(("api_key" = ["member"])),
    params(
        ("status" = Option<String>, Query, description = "Only those that are `pending`, `running`, `succeeded`, \
            `failed` or `cancelled`."),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 1000, description = "50 when absent."),
    ),
    responses(
        Refused,
        (status = 200, description = "The runs.", body = RunList),
        (status = 422, description = "HV0212", body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn runs(
    State(app): State<App>,
    which: Result<Query<Which>, QueryRejection>,
) -> Result<Json<RunList>, Fault> {
    let Query(which) = which.map_err(|_| invalid("The query takes `status` and `limit`, a number."))?;
    let limit = page(which.limit)?;
    Ok(Json(RunList { runs: app.engine.work().pipelines().list(which.status, limit).await? }))
}

/// Look at a run.
#[utoipa::path(get, path = "/v1/runs/{run}", tag = "pipelines", security(("api_key" = ["member"])),
    params(("run" = String, Path, description = "The run's name.")),
    responses(
        Refused,
        NoRun,
        (status = 200, description = "The run.", body = Run),
    ))]
pub(super) async fn show(State(app): State<App>, RunPath(run): RunPath) -> Result<Json<RunView>, Fault> {
    Ok(Json(app.engine.work().pipelines().get(&run).await?))
}

/// Read the log of a run: a page of events, or with `Accept: text/event-stream` each as it is written, to the run's end.
///
/// A page has at most `limit` events and about 1 MiB, and at least one event where there is one; `after` says where the next
/// one begins.
///
/// A broken stream goes on behind `Last-Event-ID`.
#[utoipa::path(get, path = "/v1/runs/{run}/log", tag = "pipelines", security(("api_key" = ["member"])),
    params(
        ("run" = String, Path, description = "The run's name."),
        ("after" = Option<u64>, Query, maximum = 9_223_372_036_854_775_807_i64, description = "Only events of a greater number."),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 1000, description = "Of a page; 50 when absent."),
        ("Last-Event-ID" = Option<String>, Header, pattern = "^.+[.][0-9]{1,19}$", description = "The last event that was seen."),
    ),
    responses(
        Refused,
        NoRun,
        (status = 200, description = "The events.",
            content((RunLog = "application/json"), (String = "text/event-stream"))),
        (status = 204, description = "`Last-Event-ID` was the last event."),
        (status = 422, description = "HV0212", body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn log(
    State(app): State<App>,
    RunPath(run): RunPath,
    part: Result<Query<Part>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Fault> {
    let refused = || invalid("The query takes `after` and `limit`, both numbers below 2^63.");
    let Query(part) = part.map_err(|_| refused())?;
    // Events are numbered by what the store can hold.
    if part.after.is_some_and(|after| i64::try_from(after).is_err()) {
        return Err(refused());
    }
    let runs = app.engine.work().pipelines();
    let view = runs.entry(&run).await?;
    if prefer::answer(&headers) == Answer::Events {
        let last = prefer::last_event(&headers)?;
        if last.as_ref().is_some_and(|last| last.turn != run.as_str()) {
            return Err(invalid("Last-Event-ID belongs to another stream."));
        }
        let seen = last.map(|last| last.number);
        if view.status.is_ended() && seen.is_some_and(|seen| seen >= view.last_event) {
            return Ok(StatusCode::NO_CONTENT.into_response());
        }
        let follow = runs.follow(&run, seen.or(part.after).unwrap_or(0))?;
        return Ok(stream(run, follow, app.limits.heartbeat()));
    }
    let (after, limit) = (part.after.unwrap_or(0), page(part.limit)?);
    let events = runs.log(&run, after, limit).await?;
    let seen = events.last().map_or(after, |event| event.number);
    let is_last = view.status.is_ended() && seen >= view.last_event;
    Ok(Json(RunLog { events, after: (!is_last).then_some(seen) }).into_response())
}

/// Try a run again that failed or was cancelled: what succeeded is kept, what failed has all its attempts again.
#[utoipa::path(post, path = "/v1/runs/{run}/retry", tag = "pipelines", security(("api_key" = ["member"])),
    params(("run" = String, Path, description = "The run's name.")),
    responses(
        Refused,
        NoRun,
        RunRefused,
        (status = 202, description = "The run, which a worker executes again.", body = Run),
    ))]
pub(super) async fn retry(State(app): State<App>, RunPath(run): RunPath) -> Result<Response, Fault> {
    let view = app.engine.work().pipelines().retry(&run).await?;
    pipelines::submit(app.engine.work(), &view).await?;
    Ok(accepted(view))
}

/// Cancel a run: its children are killed. It does not wait for the end.
#[utoipa::path(delete, path = "/v1/runs/{run}", tag = "pipelines", security(("api_key" = ["member"])),
    params(("run" = String, Path, description = "The run's name.")),
    responses(
        Refused,
        NoRun,
        RunRefused,
        (status = 200, description = "It is cancelled.", body = Run),
        (status = 202, description = "Its end was asked for.", body = Run),
    ))]
pub(super) async fn cancel(State(app): State<App>, RunPath(run): RunPath) -> Result<Response, Fault> {
    let view = app.engine.work().pipelines().cancel(&run).await?;
    // One whose executor died is ended by the next one.
    pipelines::submit(app.engine.work(), &view).await?;
    match view.entry.status {
        RunStatus::Succeeded | RunStatus::Failed => {
            Err(Fault::new(Code::RunRefused, "The run has ended, so there is nothing to cancel."))
        }
        _ => Ok(accepted(view)),
    }
}

fn accepted(view: RunView) -> Response {
    let status = if view.entry.status.is_ended() { StatusCode::OK } else { StatusCode::ACCEPTED };
    let location = HeaderValue::from_str(&format!("/v1/runs/{}", view.entry.run));
    let mut response = (status, Json(view)).into_response();
    if let Ok(location) = location {
        response.headers_mut().insert(LOCATION, location);
    }
    response
}

/// The events as they are written. The body is read in the request's context, which the follower asks for.
fn stream(run: RunId, follow: Follow, heartbeat: Duration) -> Response {
    let events = futures_util::stream::unfold(Some((run, follow)), async |state| {
        let (run, mut follow) = state?;
        match follow.next().await {
            Ok(Some(event)) => {
                let sent = sent(&run, &event);
                Some((Ok::<_, Infallible>(sent), Some((run, follow))))
            }
            Ok(None) => None,
            Err(error) => {
                tracing::warn!(%error, "the log of a run broke off");
                None
            }
        }
    });
    Sse::new(events).keep_alive(KeepAlive::new().interval(heartbeat)).into_response()
}

fn sent(run: &RunId, event: &Event) -> sse::Event {
    let value = serde_json::to_value(event).unwrap_or_default();
    let name = value["event"].as_str().unwrap_or("event").to_owned();
    sse::Event::default().id(LastEvent::id(run.as_str(), event.number)).event(name).data(value.to_string())
}

fn page(limit: Option<usize>) -> Result<usize, Fault> {
    let limit = limit.unwrap_or(PAGE);
    match (1..=LARGEST_PAGE).contains(&limit) {
        true => Ok(limit),
        false => Err(invalid("`limit` is a number from 1 to 1000.")),
    }
}

fn invalid(detail: &'static str) -> Fault {
    Fault::new(Code::FieldInvalid, detail)
}
