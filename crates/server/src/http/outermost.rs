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
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HOST, HeaderName, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderMap, HeaderValue, StatusCode, Version};
use tracing::Instrument;

use super::App;
use super::metered::NoRoom;
use crate::auth::key::hex;
use crate::code::Code;
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
    let one_host = request.version() != Version::HTTP_11 || has_one_host(request.headers());
    let no_room = request.extensions().get::<NoRoom>().cloned();
    let route = request.extensions().get::<MatchedPath>().map_or("-", MatchedPath::as_str).to_owned();
    request.extensions_mut().insert(id.clone());
    let span = arrival.run(|| tracing::info_span!("http", %method, route, request = id.as_str()));
    request.extensions_mut().insert(arrival);
    let inside = async move {
        if one_host {
            return next.run(request).await;
        }
        Fault::new(Code::RequestInvalid, "A request over HTTP/1.1 has one `Host` header.").into_response()
    };
    let inside = AssertUnwindSafe(inside).catch_unwind().instrument(span.clone()).await;
    let _in_span = span.enter();
    let mut response = inside.unwrap_or_else(|_panic| Fault::internal("a handler panicked").into_response());
    // Whoever read the body saw it break off.
    if no_room.is_some_and(|no_room| no_room.happened()) {
        let detail = "Too many bytes of requests are under way. Nothing was kept of this one.";
        response = Fault::retry(Code::ServerBusy, detail, 1).into_response();
    }
    if is_rejection(&response, &route) {
        let detail = "The path or the query cannot be read; percent signs in it decode to UTF-8.";
        response = Fault::new(Code::RequestInvalid, detail).into_response();
    }
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

/// Returns true if axum itself refused the request: an extractor could not read its path or query. The MCP transport
/// has answers of its own.
fn is_rejection(response: &Response, route: &str) -> bool {
    let kind = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    response.status() == StatusCode::BAD_REQUEST
        && response.extensions().get::<Fault>().is_none()
        && kind.is_some_and(|kind| kind.starts_with("text/plain"))
        && !route.starts_with("/mcp")
}

/// RFC 9112, 3.2: without a `Host` it is not known who is asked, and two of them are two answers.
fn has_one_host(headers: &HeaderMap) -> bool {
    headers.get_all(HOST).iter().count() == 1
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
