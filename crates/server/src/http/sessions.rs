//! Sessions over HTTP: list, read, close, delete. The history is opened for the tenant and principal of the context,
//! so a session of somebody else is no row here; nothing in a request can say whose sessions are meant.

use axum::Json;
use axum::extract::Query;
use axum::extract::State;
use axum::extract::rejection::QueryRejection;
use haversack::well_known::SessionId;
use haversack_jobs::JobId;
use serde::{Deserialize, Serialize};

use super::App;
use super::schema::{NoSession, Receipt, Refused, SessionClosed, SessionView};
use super::wire::{KnownSession, SessionList};
use crate::auth::name::known_session;
use crate::code::Code;
use crate::problem::{Fault, Problem};
use crate::{boundary, work};

/// Sessions of one page when nothing is asked for.
const PAGE: usize = 50;

/// Sessions of one page at most.
const LARGEST_PAGE: usize = 100;

/// Which page is asked for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Page {
    limit: Option<usize>,
    before: Option<String>,
}

/// A session that was closed.
#[derive(Debug, Serialize)]
pub(super) struct Closed {
    session: String,
    closed_at: i64,
    job: JobId,
}

/// List your sessions, the most recently active first: your own, and shared conversations in which you spoke.
#[utoipa::path(get, path = "/v1/sessions", tag = "sessions", security(("api_key" = ["member"])),
    params(
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 100,
            description = "Sessions of a page; 50 when absent."),
        ("before" = Option<String>, Query, pattern = "^([A-Za-z0-9_:-][A-Za-z0-9._:-]{0,127}|(gateway|mcp)/.*)$", description = "The `before` of the page that came first."),
    ),
    responses(
        Refused,
        (status = 200, description = "A page of sessions.", body = SessionList),
        (status = 422, description = "HV0212", body = Problem,
            content_type = "application/problem+json"),
    ))]
pub(super) async fn list(
    State(app): State<App>,
    page: Result<Query<Page>, QueryRejection>,
) -> Result<Json<SessionList>, Fault> {
    let (limit, before) = asked(page)?;
    // One more than the page tells whether there is another.
    let mut sessions = app.engine.agents().history()?.sessions(limit + 1, before).await?;
    let more = sessions.len() > limit;
    sessions.truncate(limit);
    let before = sessions.last().filter(|_| more).map(|last| last.session.clone());
    Ok(Json(SessionList { sessions, before }))
}

/// Read a session with its turns: one of yours, or a shared conversation in which you spoke.
#[utoipa::path(get, path = "/v1/sessions/{session}", tag = "sessions", security(("api_key" = ["member"])),
    params(("session" = String, Path, pattern = "^([A-Za-z0-9_:-][A-Za-z0-9._:-]{0,127}|(gateway|mcp)/.*)$", description = "The session's name; one of the gateway or of MCP percent-encoded.")),
    responses(
        Refused,
        NoSession,
        (status = 200, description = "The session.", body = SessionView),
    ))]
pub(super) async fn show(
    State(app): State<App>,
    KnownSession(session): KnownSession,
) -> Result<Json<haversack_agent::history::SessionView>, Fault> {
    app.engine.agents().history()?.session(&session).await?.map(Json).ok_or_else(not_found)
}

/// Close a session: what helped in it becomes memory of the tenant, by a job that is stored with the close. The history
/// stays, and a new message opens the session again.
#[utoipa::path(post, path = "/v1/sessions/{session}/close", tag = "sessions", security(("api_key" = ["member"])),
    params(("session" = String, Path, pattern = "^([A-Za-z0-9_:-][A-Za-z0-9._:-]{0,127}|(gateway|mcp)/.*)$", description = "The session's name; one of the gateway or of MCP percent-encoded.")),
    responses(
        Refused,
        NoSession,
        (status = 200, description = "When it was closed, and the job.", body = SessionClosed),
    ))]
pub(super) async fn close(
    State(app): State<App>,
    KnownSession(session): KnownSession,
) -> Result<Json<Closed>, Fault> {
    let (work, agents) = (app.engine.work(), app.engine.agents());
    if !agents.history()?.has(&session).await? {
        return Err(not_found());
    }
    let within = boundary::in_session(session.clone())?;
    let (closed_at, job) = within.wrap(work::sessions::close(work, agents)).await?.ok_or_else(not_found)?;
    Ok(Json(Closed { session: session.as_str().to_owned(), closed_at, job }))
}

/// Delete a session with everything that was said and learnt in it, and with the runs of pipelines that were started in it.
/// Turns and runs that are under way are cancelled first.
///
/// Jobs that were started in it are deleted with their arguments and results, or called off and deleted when they have
/// stopped.
#[utoipa::path(delete, path = "/v1/sessions/{session}", tag = "sessions", security(("api_key" = ["member"])),
    params(("session" = String, Path, pattern = "^([A-Za-z0-9_:-][A-Za-z0-9._:-]{0,127}|(gateway|mcp)/.*)$", description = "The session's name; one of the gateway or of MCP percent-encoded.")),
    responses(
        Refused,
        NoSession,
        (status = 200, description = "What was deleted.", body = Receipt),
    ))]
pub(super) async fn delete(
    State(app): State<App>,
    KnownSession(session): KnownSession,
) -> Result<Json<haversack_agent::history::Receipt>, Fault> {
    erase(&app, session).await.map(Json)
}

/// Erases a session of the current principal with everything that hangs on it.
pub(super) async fn erase(app: &App, session: SessionId) -> Result<haversack_agent::history::Receipt, Fault> {
    let _shut = app.engine.turns().forget(&session).await?;
    // Before the session itself: after a crash in between it can be deleted again.
    app.engine.work().pipelines().forget(&session).await?;
    // First, so that a deletion that was interrupted finds the session and can be repeated. A session of MCP may have jobs and
    // nothing else; they are found under the caller's own name.
    let jobs = app.engine.work().jobs();
    let within = boundary::in_session(session.clone())?;
    let forgotten = within.wrap(async { jobs.forget_session().await }).await?;
    let receipt = app.engine.agents().history()?.delete(&session).await?;
    let receipt = receipt.or_else(|| (forgotten > 0).then(haversack_agent::history::Receipt::default));
    receipt.ok_or_else(not_found)
}

pub(super) fn asked(page: Result<Query<Page>, QueryRejection>) -> Result<(usize, Option<SessionId>), Fault> {
    let invalid = |detail| Fault::new(Code::FieldInvalid, detail);
    let Ok(Query(page)) = page else {
        return Err(invalid("The query takes `limit`, a number, and `before`."));
    };
    let limit = page.limit.unwrap_or(PAGE);
    if !(1..=LARGEST_PAGE).contains(&limit) {
        return Err(invalid("`limit` is a number from 1 to 100."));
    }
    let before = page.before.map(|name| known_session(&name)).transpose();
    Ok((limit, before.map_err(|_| invalid("`before` is not the name of a session."))?))
}

pub(super) fn not_found() -> Fault {
    Fault::new(Code::SessionNotFound, "You have no session of this name.")
}
