//! The MCP endpoint among the routes: with and without a slash at its end, readable for pages of the configured origins, and
//! with problems where the transport has words of its own.
//!
//! A browser asks without a key whether a page may call (the preflight), so that is answered before keys are looked at. It
//! says of each answer whether the page may read it. Nothing here lets anybody in: the transport checks the origin again.

use std::sync::Arc;

use axum::Router;
use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state, map_response};
use axum::response::{IntoResponse, Response};
use haversack_mcp::{Allowed, McpServer};
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
    ACCESS_CONTROL_REQUEST_METHOD, CONTENT_TYPE, ORIGIN, VARY,
};
use http::{HeaderValue, Method, StatusCode};

use crate::code::Code;
use crate::problem::Fault;

/// The methods of the transport.
const METHODS: HeaderValue = HeaderValue::from_static("GET, POST, DELETE");
/// The response headers that a page may read.
const EXPOSED: HeaderValue =
    HeaderValue::from_static("mcp-session-id, mcp-protocol-version, x-request-id, retry-after");
/// How many seconds a browser may keep the answer to a preflight.
const KEPT_S: HeaderValue = HeaderValue::from_static("600");
/// The longest text of the transport that is passed on, in bytes.
const LONGEST: usize = 4 * 1024;

/// The endpoint at `/mcp` and `/mcp/`, without a key.
pub(super) fn routes<S: Clone + Send + Sync + 'static>(mcp: &McpServer) -> Router<S> {
    let endpoint = mcp.router().layer(map_response(refusal));
    Router::new().nest("/mcp", endpoint.clone()).nest("/mcp/", endpoint).with_state(())
}

/// Lets pages of these origins read what the endpoint answers. It goes around the layer that looks up the key.
pub(super) fn readable<S: Clone + Send + Sync + 'static>(routes: Router<S>, allowed: &Allowed) -> Router<S> {
    routes.layer(from_fn_with_state(Arc::new(allowed.clone()), cross_origin))
}

async fn cross_origin(State(allowed): State<Arc<Allowed>>, request: Request, next: Next) -> Response {
    let origin = request.headers().get(ORIGIN).cloned();
    let listed = |origin: &HeaderValue| origin.to_str().is_ok_and(|origin| allowed.lets_in(origin));
    let Some(origin) = origin.filter(listed) else { return next.run(request).await };
    let asks =
        request.method() == Method::OPTIONS && request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD);
    let mut response = if asks {
        let mut response = StatusCode::NO_CONTENT.into_response();
        let headers = response.headers_mut();
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, METHODS);
        headers.insert(ACCESS_CONTROL_MAX_AGE, KEPT_S);
        // The headers that tools may read are the operator's choice, so each that is asked for may be sent.
        if let Some(asked) = request.headers().get(ACCESS_CONTROL_REQUEST_HEADERS) {
            headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, asked.clone());
        }
        response
    } else {
        next.run(request).await
    };
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
    headers.append(VARY, HeaderValue::from_static("origin"));
    response
}

/// The transport refuses in plain words where it has no message to answer; each of these refusals has a code.
async fn refusal(response: Response) -> Response {
    let kind = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if response.status().as_u16() < 400 || kind.starts_with("application/") {
        return response;
    }
    let (parts, body) = response.into_parts();
    let text = to_bytes(body, LONGEST).await.unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let fault = match parts.status {
        StatusCode::FORBIDDEN => Fault::new(
            Code::OriginRefused,
            "The request names a host or an origin that is not allowed; `[mcp] hosts` and `origins` list those that are.",
        ),
        StatusCode::NOT_FOUND => {
            Fault::new(Code::McpSession, "There is no session of this id; begin one with `initialize`.")
        }
        StatusCode::METHOD_NOT_ALLOWED => {
            Fault::new(Code::MethodNotAllowed, "This revision of the protocol has no such request.")
        }
        StatusCode::NOT_ACCEPTABLE => Fault::new(
            Code::McpAccept,
            "The request accepts neither `application/json` nor `text/event-stream`, or no stream where one is asked for.",
        ),
        StatusCode::PAYLOAD_TOO_LARGE => {
            Fault::new(Code::BodyTooLarge, "The message is longer than `limits.body_bytes`.")
        }
        StatusCode::UNSUPPORTED_MEDIA_TYPE => {
            Fault::new(Code::MediaType, "A message is sent as `application/json`.")
        }
        status if status.is_client_error() => {
            let why = text.trim().trim_start_matches("Bad Request: ");
            let why = if why.is_empty() { "the request could not be read" } else { why };
            Fault::new(Code::McpRequest, format!("The transport refused the request: {why}."))
        }
        _ => Fault::internal(text.into_owned()),
    };
    let mut response = fault.into_response();
    for (name, value) in &parts.headers {
        if name == http::header::ALLOW {
            response.headers_mut().append(name.clone(), value.clone());
        }
    }
    response
}
