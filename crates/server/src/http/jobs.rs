//! Jobs over HTTP: post one, list yours, look, listen, call off, drive again. Whose jobs are meant is read from the
//! context that the door made, so a job of somebody else is answered like one that never was; nothing in a request can
//! say otherwise.

use std::convert::Infallible;

use axum::Json;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{FromRequestParts, Path, Query, State};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use haversack::StreamExt;
use haversack::well_known::REQUEST_ID;
use haversack_jobs::{Cursor, FailureKind, Job, JobId, JobWatch, Outcome, Submitted};
use http::header::LOCATION;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::App;
use super::json::JsonBody;
use super::prefer::{self, LastEvent};
use super::schema::{JobView, JobsPage, NoJob, NotDriven, NotPosted, Refused, SubmittedJob};
use crate::auth::name::session_name;
use crate::boundary;
use crate::code::Code;
use crate::problem::{Fault, Problem};
use crate::work::background::ToolJob;
use crate::work::posted;

/// Jobs of one page when nothing is asked for.
const PAGE: u32 = 50;

/// Jobs of one page at most.
const LARGEST_PAGE: u32 = 100;

/// One run of a tool, in the background.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct JobRequest {
    /// The tool.
    #[schema(example = "remember")]
    tool: String,
    /// What it is given: an object of the tool's own shape.
    #[serde(default = "nothing")]
    #[schema(value_type = Object)]
    arguments: Value,
    /// The session of yours in which it runs and into which its result comes, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(pattern = "^[A-Za-z0-9_:-][A-Za-z0-9._:-]{0,127}$")]
    session: Option<String>,
    /// In the place of the header `Idempotency-Key`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(pattern = "^[!-~]{1,128}$")]
    key: Option<String>,
}

fn nothing() -> Value {
    Value::Object(serde_json::Map::new())
}

/// A job as its owner sees it: where it stands, and what it came to.
#[derive(Debug, Serialize)]
pub(super) struct JobState {
    #[serde(flatten)]
    job: Job,
    /// What it answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<Value>,
    /// Why it has no answer, when it was given up.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<Problem>,
}

/// Some jobs, the newest first.
#[derive(Debug, Serialize)]
pub(super) struct List {
    jobs: Vec<Job>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<Cursor>,
}

/// Which page is asked for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    limit: Option<u32>,
    cursor: Option<Cursor>,
}

/// Run a tool in the background, under the context of this request.
///
/// The answer comes when the job is stored; `Location` says where to ask. While a job of yours is live under an
/// idempotency key, the same key gives that job and starts no second one. A job in a session also brings its result into
/// the session, once.
#[utoipa::path(post, path = "/v1/jobs", tag = "jobs", security(("api_key" = ["member"])),
    params(("Idempotency-Key" = Option<String>, Header, pattern = "^[!-~]{1,128}$", description = "Names this request.")),
    request_body = JobRequest,
    responses(
        Refused,
        NotPosted,
        (status = 202, description = "The job is stored; `Location` says where to ask.", body = SubmittedJob),
    ))]
pub(super) async fn post(
    State(app): State<App>,
    headers: HeaderMap,
    JsonBody(body): JsonBody<JobRequest>,
) -> Result<Response, Fault> {
    let key = match (prefer::idempotency_key(&headers)?, body.key) {
        (Some(sent), Some(other)) if sent != other => {
            return Err(Fault::new(Code::FieldInvalid, "`key` and the header Idempotency-Key differ."));
        }
        (sent, other) => sent.or(other),
    };
    let job = ToolJob { tool: body.tool, arguments: body.arguments };
    let (work, agents) = (app.engine.work(), app.engine.agents());
    let posting = posted::post(work, agents, &app.posted, job, key.as_deref());
    let submitted = match body.session {
        None => posting.await?,
        Some(session) => {
            let session = session_name(&session)?;
            if !agents.history()?.has(&session).await? {
                return Err(Fault::new(Code::SessionNotFound, "You have no session of this name."));
            }
            boundary::in_session(session)?.wrap(posting).await?
        }
    };
    accepted(submitted)
}

fn accepted(submitted: Submitted) -> Result<Response, Fault> {
    let location = submitted.id().map(location).transpose()?;
    let mut response = (StatusCode::ACCEPTED, Json(submitted)).into_response();
    response.headers_mut().extend(location.map(|location| (LOCATION, location)));
    Ok(response)
}

fn location(job: &JobId) -> Result<HeaderValue, Fault> {
    HeaderValue::from_str(&format!("/v1/jobs/{job}")).map_err(Fault::internal)
}

/// List your jobs, the newest first. Results are not in it.
#[utoipa::path(get, path = "/v1/jobs", tag = "jobs", security(("api_key" = ["member"])),
    params(
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 100, description = "Jobs of a page; 50 when absent."),
        ("cursor" = Option<String>, Query, pattern = "^-?[0-9]{1,19}[.]job_[0-9a-f]{32}$", description = "The `next` of the page that came first."),
    ),
    responses(
        Refused,
        (status = 200, description = "A page of jobs.", body = JobsPage),
        (status = 422, description = "HV0212", body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn list(
    State(app): State<App>,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Result<Json<List>, Fault> {
    let rule = "`limit` is a number from 1 to 100, `cursor` the `next` of another page.";
    let refused = || Fault::new(Code::FieldInvalid, rule);
    let Query(asked) = asked.map_err(|_| refused())?;
    let limit = asked.limit.unwrap_or(PAGE);
    if !(1..=LARGEST_PAGE).contains(&limit) {
        return Err(refused());
    }
    let page = app.engine.work().jobs().list(asked.cursor, limit).await?;
    Ok(Json(List { jobs: page.jobs, next: page.next }))
}

/// Look at a job: where it stands, how far it is, and its result or its problem when it is over.
#[utoipa::path(get, path = "/v1/jobs/{job}", tag = "jobs", security(("api_key" = ["member"])),
    params(("job" = String, Path, description = "The job's id.")),
    responses(
        Refused,
        NoJob,
        (status = 200, description = "The job.", body = JobView),
    ))]
pub(super) async fn show(State(app): State<App>, JobPath(job): JobPath) -> Result<Json<JobState>, Fault> {
    let job = app.engine.work().jobs().get(&job).await?;
    Ok(Json(state(&app, job).await?))
}

/// Listen to a job: a picture at each change, from now or behind `Last-Event-ID`, up to its end.
///
/// Each event is `changed`, the last one `ended`; its data is what `GET /v1/jobs/{job}` answers. A slow listener misses
/// pictures in between and never the last one.
#[utoipa::path(get, path = "/v1/jobs/{job}/events", tag = "jobs", security(("api_key" = ["member"])),
    params(
        ("job" = String, Path, description = "The job's id."),
        ("Last-Event-ID" = Option<String>, Header, pattern = "^.+[.][0-9]{1,19}$", description = "The last event that was seen."),
    ),
    responses(
        Refused,
        NoJob,
        (status = 200, description = "The events.", body = String, content_type = "text/event-stream"),
        (status = 204, description = "`Last-Event-ID` was the last event."),
        (status = 422, description = "HV0212: `Last-Event-ID` is none of this job", body = Problem,
            content_type = "application/problem+json"),
    ))]
pub(super) async fn events(
    State(app): State<App>,
    JobPath(id): JobPath,
    headers: HeaderMap,
) -> Result<Response, Fault> {
    let last = prefer::last_event(&headers)?;
    if last.as_ref().is_some_and(|last| last.turn != id.as_str()) {
        return Err(Fault::new(Code::FieldInvalid, "Last-Event-ID belongs to something else."));
    }
    let seen = last.map_or(0, |last| last.number);
    let jobs = app.engine.work().jobs().clone();
    // Asked here, so that no stream begins for what is not the caller's.
    let job = jobs.get(&id).await?;
    if job.state.is_final() && seen >= job.change {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let watch = jobs.watch(&id)?.after(seen);
    let heartbeat = app.limits.heartbeat();
    let pictures = stream::unfold((app, watch), next_picture).in_current_context();
    Ok(Sse::new(pictures).keep_alive(KeepAlive::new().interval(heartbeat)).into_response())
}

/// The next event of a job; none after its end, and none when the store fails: the client comes back.
async fn next_picture(
    (app, mut watch): (App, JobWatch),
) -> Option<(Result<Event, Infallible>, (App, JobWatch))> {
    let job = watch.next().await.ok()??;
    let name = if job.state.is_final() { "ended" } else { "changed" };
    let id = LastEvent::id(job.id.as_str(), job.change);
    let data = serde_json::to_string(&state(&app, job).await.ok()?).ok()?;
    Some((Ok(Event::default().id(id).event(name).data(data)), (app, watch)))
}

/// Call a job off: at once when no worker has it, otherwise as soon as its worker follows. A job that is over stays as
/// it is.
#[utoipa::path(delete, path = "/v1/jobs/{job}", tag = "jobs", security(("api_key" = ["member"])),
    params(("job" = String, Path, description = "The job's id.")),
    responses(
        Refused,
        NoJob,
        (status = 200, description = "The job as it is now.", body = JobView),
    ))]
pub(super) async fn cancel(State(app): State<App>, JobPath(id): JobPath) -> Result<Json<JobState>, Fault> {
    let jobs = app.engine.work().jobs();
    jobs.cancel(&id).await?;
    let job = jobs.get(&id).await?;
    Ok(Json(state(&app, job).await?))
}

/// Queue a job once more that failed, was put into quarantine or is parked, under the context that it was posted in.
#[utoipa::path(post, path = "/v1/jobs/{job}/redrive", tag = "jobs", security(("api_key" = ["member"])),
    params(("job" = String, Path, description = "The job's id.")),
    responses(
        Refused,
        NoJob,
        NotDriven,
        (status = 202, description = "It is queued.", body = JobView),
    ))]
pub(super) async fn redrive(State(app): State<App>, JobPath(id): JobPath) -> Result<Response, Fault> {
    let jobs = app.engine.work().jobs();
    jobs.redrive(&id).await?;
    let job = jobs.get(&id).await?;
    let mut response = (StatusCode::ACCEPTED, Json(state(&app, job).await?)).into_response();
    response.headers_mut().insert(LOCATION, location(&id)?);
    Ok(response)
}

/// A picture of a job, with what it came to when it is over.
async fn state(app: &App, job: Job) -> Result<JobState, Fault> {
    let outcome = match job.state.is_final() {
        true => app.engine.work().jobs().result(&job.id).await?,
        false => Outcome::Pending { state: job.state },
    };
    let (result, problem) = match outcome {
        Outcome::Succeeded { result } => (Some(result), None),
        Outcome::Failed { kind, code, text } => {
            let request = REQUEST_ID.get()?;
            (None, Some(given_up(kind, code.as_deref(), text).problem(request.as_str())))
        }
        Outcome::Cancelled if job.failure == Some(FailureKind::Withdrawn) => {
            let fault = Fault::new(Code::KeyRevoked, "The key that the job was posted with was revoked.");
            (None, Some(fault.problem(REQUEST_ID.get()?.as_str())))
        }
        Outcome::Pending { .. } | Outcome::Cancelled => (None, None),
    };
    Ok(JobState { job, result, problem })
}

/// Why a job was given up. The words are the handler's, for the job's owner, who reads them here.
fn given_up(kind: FailureKind, code: Option<&str>, text: Option<String>) -> Fault {
    let code = match kind {
        FailureKind::TokenExpired => Code::AccessTokenExpired,
        _ => code.and_then(Code::find).unwrap_or(Code::JobFailed),
    };
    Fault::new(code, text.unwrap_or_else(|| format!("The job ended without a result: {kind}.")))
}

/// A job's id from the path.
pub(super) struct JobPath(JobId);

impl FromRequestParts<App> for JobPath {
    type Rejection = Fault;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Fault> {
        let id: Result<Path<String>, PathRejection> = Path::from_request_parts(parts, app).await;
        let id = id.ok().and_then(|Path(id)| id.parse().ok());
        // What cannot be an id names no job: one answer for both.
        id.map(Self).ok_or_else(|| Fault::new(Code::JobNotFound, "You have no job with this id."))
    }
}
