//! Turns over HTTP: start one, ask for one, listen to one. Each handler reads who is asking from the context
//! that the door made; what is live is found in [`crate::turns`], what ended long ago in the history. All
//! shapes of the answer come from the same live turn.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use haversack::well_known::REQUEST_ID;
use haversack_agent::FurtherWords;
use http::header::{CONTENT_LOCATION, HeaderName, LOCATION, VARY};
use http::{HeaderMap, HeaderValue, StatusCode};

use super::json::JsonBody;
use super::prefer::{self, Answer};
use super::schema::{NoReply, NoTurn, Refused, Reply};
use super::wire::{SessionPath, TurnPath, TurnRequest, TurnState};
use super::{App, sse};
use crate::code::Code;
use crate::problem::{Fault, Problem};
use crate::turns::{LiveTurn, NewTurn, Patience};

const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");
const IDEMPOTENCY_REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// Start a turn: the person of the API key says something in a session, and an agent answers.
///
/// The answer is the reply; with `Accept: text/event-stream` it is a stream of events whose last one is
/// `finished` or `failed`; with `Prefer: respond-async` it comes at once and says where to ask later. Turns
/// of one session run one after another. A client that goes away cancels its turn and the tools that run,
/// unless it preferred `respond-async`; a broken event stream has some seconds to come back, with
/// `Last-Event-ID`, here or at `/v1/turns/{turn}/events`.
#[utoipa::path(post, path = "/v1/sessions/{session}/turns", tag = "turns", security(("api_key" = ["member"])),
    params(
        ("session" = String, Path, pattern = "^[A-Za-z0-9_:-][A-Za-z0-9._:-]{0,127}$", description = "1 to 128 of `A-Z a-z 0-9 . _ : -`, not starting with a dot. \
            The session comes into being with its first turn."),
        ("Idempotency-Key" = Option<String>, Header, pattern = "^[!-~]{1,128}$", description = "Names this request: the same key with the \
            same message gives the same reply, and never a second turn."),
        ("Prefer" = Option<String>, Header, description = "`respond-async`: answer 202 at once; the turn goes \
            on without the connection."),
        ("Last-Event-ID" = Option<String>, Header, pattern = "^.+[.][0-9]{1,19}$", description = "Continue the event stream of a turn of this \
            session behind this event; the body is not used then."),
    ),
    request_body = TurnRequest,
    responses(
        NoReply,
        (status = 200, description = "The reply, or the events.", content((Reply = "application/json"), (String = "text/event-stream"))),
        (status = 202, description = "The turn goes on; `Location` says where to ask.", body = TurnState),
        (status = 204, description = "`Last-Event-ID` was the last event."),
    ))]
pub(super) async fn start(
    State(app): State<App>,
    SessionPath(session): SessionPath,
    headers: HeaderMap,
    JsonBody(body): JsonBody<TurnRequest>,
) -> Result<Response, Fault> {
    if let Some(last) = prefer::last_event(&headers)? {
        let turn = app.engine.turns().find(&last.turn)?.filter(|turn| *turn.session() == session);
        let turn = turn.ok_or_else(turn_not_found)?;
        return Ok(sse::events(&turn, last.number, app.limits.heartbeat()));
    }
    let message = body.checked(app.limits.message_bytes)?;
    let idempotency_key = prefer::idempotency_key(&headers)?;
    let live = app.engine.turns().submit(NewTurn {
        session,
        message,
        idempotency_key,
        further: FurtherWords::none(),
    })?;
    let mut response = match prefer::answer(&headers) {
        Answer::Later => later(&live)?,
        Answer::Events => sse::events(&live, 0, app.limits.heartbeat()),
        Answer::Reply => reply(&live).await?,
    };
    response.headers_mut().insert(VARY, HeaderValue::from_static("Accept, Prefer"));
    Ok(response)
}

/// Ask for a turn: where it stands, and its reply or its problem when it has ended.
#[utoipa::path(get, path = "/v1/turns/{turn}", tag = "turns", security(("api_key" = ["member"])),
    params(("turn" = String, Path, description = "The turn's id.")),
    responses(
        Refused,
        NoTurn,
        (status = 200, description = "The turn.", body = TurnState),
    ))]
pub(super) async fn show(State(app): State<App>, TurnPath(turn): TurnPath) -> Result<Json<TurnState>, Fault> {
    let request = REQUEST_ID.get()?;
    if let Some(live) = app.engine.turns().find(&turn.to_string())? {
        return Ok(Json(TurnState::of_live(&live, request.as_str())));
    }
    let stored = app.engine.agents().history()?.turn(turn).await?.ok_or_else(turn_not_found)?;
    Ok(Json(TurnState::of_stored(&stored, request.as_str())?))
}

/// Listen to a turn: its events from the first, or behind `Last-Event-ID`, up to its end.
///
/// The events of an ended turn are kept for a while; afterwards only the last one is sent, which holds the
/// whole reply.
#[utoipa::path(get, path = "/v1/turns/{turn}/events", tag = "turns", security(("api_key" = ["member"])),
    params(
        ("turn" = String, Path, description = "The turn's id."),
        ("Last-Event-ID" = Option<String>, Header, pattern = "^.+[.][0-9]{1,19}$", description = "The last event that was seen."),
    ),
    responses(
        Refused,
        NoTurn,
        (status = 200, description = "The events.", body = String, content_type = "text/event-stream"),
        (status = 204, description = "`Last-Event-ID` was the last event."),
        (status = 422, description = "HV0212: `Last-Event-ID` is none of this turn", body = Problem,
            content_type = "application/problem+json"),
    ))]
pub(super) async fn events(
    State(app): State<App>,
    TurnPath(turn): TurnPath,
    headers: HeaderMap,
) -> Result<Response, Fault> {
    let last = prefer::last_event(&headers)?;
    let id = turn.to_string();
    if last.as_ref().is_some_and(|last| last.turn != id) {
        return Err(Fault::new(Code::FieldInvalid, "Last-Event-ID belongs to another turn."));
    }
    let after = last.map(|last| last.number);
    if let Some(live) = app.engine.turns().find(&id)? {
        return Ok(sse::events(&live, after.unwrap_or(0), app.limits.heartbeat()));
    }
    let stored = app.engine.agents().history()?.turn(turn).await?.ok_or_else(turn_not_found)?;
    let request = REQUEST_ID.get()?;
    Ok(sse::last_event_of(&TurnState::of_stored(&stored, request.as_str())?, after))
}

/// Waits for the turn as a client that cannot come back.
async fn reply(live: &Arc<LiveTurn>) -> Result<Response, Fault> {
    let attached = live.attach(Patience::None);
    let outcome = live.outcome().await;
    drop(attached);
    let reply = outcome?;
    let replayed = reply.replayed;
    let mut response = Json(&*reply).into_response();
    insert(&mut response, CONTENT_LOCATION, &format!("/v1/turns/{}", reply.turn));
    if replayed {
        insert(&mut response, IDEMPOTENCY_REPLAYED, "true");
    }
    Ok(response)
}

fn later(live: &Arc<LiveTurn>) -> Result<Response, Fault> {
    live.outlive_clients();
    let state = TurnState::of_live(live, REQUEST_ID.get()?.as_str());
    let mut response = (StatusCode::ACCEPTED, Json(state)).into_response();
    insert(&mut response, LOCATION, &format!("/v1/turns/{}", live.id()));
    insert(&mut response, PREFERENCE_APPLIED, "respond-async");
    Ok(response)
}

fn insert(response: &mut Response, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}

fn turn_not_found() -> Fault {
    Fault::new(Code::TurnNotFound, "You have no turn with this id.")
}
