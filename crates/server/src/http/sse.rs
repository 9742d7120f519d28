//! A turn as an event stream (the HTML standard's server-sent events). Each event has the id
//! `<turn>.<number>`, so that a client that lost its connection continues behind the last one it saw. The
//! turn handlers answer with it.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;
use http::header::CONTENT_LOCATION;
use http::{HeaderValue, StatusCode};

use super::prefer::LastEvent;
use super::wire::TurnState;
use crate::turns::{LiveTurn, Patience};

/// The number of the last event of a turn whose events are gone.
const LAST: u64 = i64::MAX as u64;

/// The events of `turn` behind number `after`, and a sign of life after each `heartbeat` of silence. While the answer is read the client counts as waiting for the
/// turn.
pub(super) fn events(turn: &Arc<LiveTurn>, after: u64, heartbeat: Duration) -> Response {
    if turn.last_event().is_some_and(|last| after >= last) {
        // The client has them all; this status tells an event source to stop asking.
        return StatusCode::NO_CONTENT.into_response();
    }
    let attached = turn.attach(Patience::Reconnect);
    let id = turn.id().to_owned();
    let stream = turn.events(after).map(move |event| {
        let _waiting = &attached;
        let sent = Event::default().id(LastEvent::id(&id, event.number)).event(&event.name).data(&event.data);
        Ok::<_, Infallible>(sent)
    });
    let mut response = Sse::new(stream).keep_alive(KeepAlive::new().interval(heartbeat)).into_response();
    if let Ok(location) = HeaderValue::from_str(&format!("/v1/turns/{}", turn.id())) {
        response.headers_mut().insert(CONTENT_LOCATION, location);
    }
    response
}

/// The one event that the history still has of a turn that is no longer live: its last.
pub(super) fn last_event_of(state: &TurnState, after: Option<u64>) -> Response {
    // The numbers of its events are gone with them. Whoever saw any of them has yet to see this one, unless
    // it was this one.
    if after == Some(LAST) {
        return StatusCode::NO_CONTENT.into_response();
    }
    let (name, data) = state.last_event();
    let event = Event::default().id(LastEvent::id(state.turn(), LAST)).event(name).data(data.to_string());
    Sse::new(futures_util::stream::iter([Ok::<_, Infallible>(event)])).into_response()
}
