//! The outermost layer: gives each request its id and its trace, turns faults and panics into problems, counts and logs.
//! Nothing inside it renders an error; nothing outside it sees a request. It logs method, route and status,
//! never a path, a header or a body.

use std::panic::AssertUnwindSafe;
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use haversack::well_known::RequestId;
use http::header::{CACHE_CONTROL, HeaderName, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderMap, HeaderValue};
use tracing::Instrument;

use super::App;
use crate::auth::key::hex;
use crate::problem::Fault;
use crate::telemetry::trace::{Arrival, NoTrace};

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Runs a request inside this layer.
pub(super) async fn answer(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let began = Instant::now();
    let id = match request_id(request.headers()) {
        Ok(id) => id,
        Err(fault) => return fault.render("-"),
    };
    let arrival = match arrival(&app, request.headers()).await {
        Ok(arrival) => arrival,
        Err(error) => return Fault::internal(error).render(id.as_str()),
    };
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().map_or("-", MatchedPath::as_str).to_owned();
    request.extensions_mut().insert(id.clone());
    let span = arrival.run(|| tracing::info_span!("http", %method, route, request = id.as_str()));
    request.extensions_mut().insert(arrival);
    let inside = AssertUnwindSafe(next.run(request)).catch_unwind().instrument(span.clone()).await;
    let _in_span = span.enter();
    let response = inside.unwrap_or_else(|_panic| Fault::internal("a handler panicked").into_response());
    let mut response = render(&app, response, &id);
    finish_headers(response.headers_mut(), &id);
    let took = began.elapsed();
    let status = response.status().as_u16();
    app.engine.telemetry().metrics().request(method.as_str(), &route, status, took);
    tracing::debug!(status, ms = took.as_secs_f64() * 1e3, "answered");
    response
}

/// The trace of a request. A caller's goes on only where their key, and no header, says that they are trusted; the key is
/// looked at early for that, and a bad one is refused where every key is.
async fn arrival(app: &App, headers: &HeaderMap) -> Result<Arrival, NoTrace> {
    let trusted = headers.contains_key("traceparent")
        && !app.trusted.is_empty()
        && app.keyring.authenticate(headers).await.is_ok_and(|caller| app.trusts(&caller));
    if trusted { Arrival::of_trusted(headers) } else { Arrival::of(headers) }
}

fn render(app: &App, mut response: Response, id: &RequestId) -> Response {
    let Some(fault) = response.extensions_mut().remove::<Fault>() else { return response };
    let code = fault.code();
    app.engine.telemetry().metrics().problem(code.id());
    if code.status().is_server_error() {
        tracing::error!(%code, cause = fault.causes(), "the request failed");
    } else {
        tracing::info!(%code, "the request was refused");
    }
    let mut rendered = fault.render(id.as_str());
    // What the router or a handler added besides the body stays: `Allow`, for one.
    for (name, value) in response.headers() {
        if !rendered.headers().contains_key(name) && name != http::header::CONTENT_LENGTH {
            rendered.headers_mut().append(name.clone(), value.clone());
        }
    }
    rendered
}

fn finish_headers(headers: &mut HeaderMap, id: &RequestId) {
    if let Ok(value) = HeaderValue::from_str(id.as_str()) {
        headers.insert(X_REQUEST_ID, value);
    }
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
}

/// The caller's id when it is short and plain, so that logs of both sides meet; else one of ours.
fn request_id(headers: &HeaderMap) -> Result<RequestId, Fault> {
    let plain = |text: &&str| {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        (1..=64).contains(&text.len()) && text.bytes().all(allowed)
    };
    let given = headers.get(X_REQUEST_ID).and_then(|value| value.to_str().ok()).filter(plain);
    let id = match given {
        Some(given) => given.to_owned(),
        None => {
            let mut random = [0; 16];
            getrandom::fill(&mut random).map_err(Fault::internal)?;
            format!("req_{}", hex(&random))
        }
    };
    RequestId::new(id).map_err(Fault::internal)
}
