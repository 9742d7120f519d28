//! How many event streams of one tenant are open: of turns, jobs and runs, and of the MCP endpoint. It is modelled as a count for
//! each tenant that has any; a place is taken before the handler runs, so that one too many starts nothing, and belongs
//! to the body of the answer from then on. Each event asks whether the key that opened the stream still stands, and so does a
//! stream that is silent, twice a second. The router asks it behind the key.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use futures_util::stream::{self, StreamExt};
use haversack::well_known::TenantId;
use http::Method;
use http::header::{ACCEPT, CONTENT_TYPE};

use super::App;
use crate::auth::{Caller, Keyring};
use crate::code::Code;
use crate::problem::Fault;

/// The type of an event stream.
const EVENTS: &str = "text/event-stream";

/// The streams that are open.
pub(super) struct Streams {
    most: usize,
    open: Mutex<HashMap<TenantId, usize>>,
}

/// The place of one stream. It is free again when this is dropped.
struct Place {
    streams: Arc<Streams>,
    tenant: TenantId,
}

/// What an open stream holds: its place, and the key that it was opened with.
struct Held {
    keyring: Keyring,
    caller: Caller,
    _place: Place,
}

impl Held {
    fn take(app: &App, caller: &Caller) -> Result<Self, Fault> {
        let place = app.streams.take(&caller.tenant)?;
        Ok(Self { keyring: app.keyring.clone(), caller: caller.clone(), _place: place })
    }

    /// The body, up to the moment that the key does not stand any more. A client that comes back is refused like any
    /// request.
    fn guard(self, body: Body) -> Body {
        let frames = stream::unfold((body.into_data_stream(), self), async |(mut frames, held)| {
            let frame = tokio::select! {
                biased;
                frame = frames.next() => frame?,
                () = held.keyring.ended(&held.caller) => return None,
            };
            held.keyring.stands(&held.caller).await.then_some((frame, (frames, held)))
        });
        Body::from_stream(frames)
    }
}

impl Streams {
    pub(super) fn new(most: usize) -> Self {
        Self { most, open: Mutex::default() }
    }

    fn take(self: &Arc<Self>, tenant: &TenantId) -> Result<Place, Fault> {
        let mut open = self.open();
        let count = open.entry(tenant.clone()).or_default();
        if *count >= self.most {
            let detail = "This tenant has as many event streams open as it may.";
            return Err(Fault::retry(Code::TenantLimit, detail, 1));
        }
        *count += 1;
        Ok(Place { streams: self.clone(), tenant: tenant.clone() })
    }

    fn open(&self) -> MutexGuard<'_, HashMap<TenantId, usize>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.streams.open();
        if let Some(count) = open.get_mut(&self.tenant) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.tenant);
            }
        }
    }
}

/// Lets a request pass whose answer is no event stream, or one that its tenant may have.
pub(super) async fn bounded(State(app): State<App>, request: Request, next: Next) -> Result<Response, Fault> {
    let caller = request.extensions().get::<Caller>().filter(|_| may_stream(&request));
    let held = caller.map(|caller| Held::take(&app, caller)).transpose()?;
    let response = next.run(request).await;
    let kind = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    match held.filter(|_| kind.is_some_and(|kind| kind.starts_with(EVENTS))) {
        Some(held) => Ok(response.map(|body| held.guard(body))),
        None => Ok(response),
    }
}

/// Whether the answer may be a stream: it is asked for, or the path has no other. Whoever calls over MCP says of each message
/// that it may be answered so; that is a call, which ends, and is counted as one. Its standing stream is a `GET`.
fn may_stream(request: &Request) -> bool {
    if request.uri().path().trim_end_matches('/') == "/mcp" && request.method() != Method::GET {
        return false;
    }
    let mut accepted = request.headers().get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accepted.any(|value| value.to_ascii_lowercase().contains(EVENTS))
        || request.uri().path().ends_with("/events")
}
