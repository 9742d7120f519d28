//! MCP over streamable HTTP.
//!
//! rmcp speaks the protocol; the front added here takes the caller from the current context and puts it into the request,
//! which is the only way by which a handler learns who calls. A request that passed no door is refused before rmcp sees
//! it. Credentials are taken out of the headers, because the transport keeps them beside the message.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;
use haversack_jobs::Headers;
use http::header::{AUTHORIZATION, CONTENT_TYPE, COOKIE, PROXY_AUTHORIZATION};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use rmcp::ErrorData;
use rmcp::model::{ClientRequest, ErrorCode, JsonRpcMessage};
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};

use super::accept::Accepted;
use super::handler::{Handler, Source};
use super::message::{self, Refusal};
use super::sessions::OwnedSessions;
use super::{McpServer, no_context};
use crate::caller::Caller;

/// The header by which a client may name its session, on any revision of the protocol.
pub const SESSION_HEADER: &str = "haversack-session";
/// The header by which the transport names its own.
pub(super) const MCP_SESSION: &str = "mcp-session-id";

/// The header by which a client says which revision a message is of, and the first revision without sessions.
const REVISION: &str = "mcp-protocol-version";
const STATELESS: &[u8] = b"2026-07-28";
/// The header that repeats the name of a tool or the id of a task.
const NAME: &str = "mcp-name";
/// How many bytes of a message that is too long are read before its client is left alone.
const LINGER: usize = 16 << 20;

/// Headers that authenticate. Whoever checks them stands in front; a tool has no use for them.
const CREDENTIALS: [HeaderName; 3] = [AUTHORIZATION, PROXY_AUTHORIZATION, COOKIE];

impl McpServer {
    /// The routes of this server, at `/`: nest it where clients look, behind a layer that authenticates and a
    /// [`ContextLayer`](haversack::ContextLayer) that binds tenant and principal.
    ///
    /// ```no_run
    /// # fn mount(mcp: &haversack_mcp::McpServer) -> axum::Router {
    /// axum::Router::new().nest("/mcp", mcp.router())
    /// // .route_layer(ContextLayer::new(door)).route_layer(from_fn(authenticate))
    /// # }
    /// ```
    pub fn router(&self) -> Router {
        let options = &self.parts.options;
        let config = StreamableHttpServerConfig::default()
            .with_json_response(true)
            .with_sse_keep_alive(Some(options.heartbeat))
            .with_max_request_body_bytes(options.message_bytes)
            .with_cancellation_token(self.parts.closing.clone());
        let config = options.allowed.apply(config);
        let sessions = OwnedSessions::new(options.sessions, options.session_idle);
        let (server, source) = (self.clone(), Source::Http(Arc::clone(&sessions)));
        let factory = move || Ok(Handler::new(&server, source.clone()));
        let service = StreamableHttpService::new(factory, Arc::clone(&sessions), config);
        let front = from_fn_with_state(Front { server: self.clone(), sessions }, front);
        Router::new().route_service("/", service).layer(front)
    }
}

/// The layer in front of the transport.
#[derive(Clone)]
struct Front {
    server: McpServer,
    sessions: Arc<OwnedSessions>,
}

/// Lets a request pass that carries a context, with its caller.
async fn front(State(front): State<Front>, request: Request, next: Next) -> Response {
    match Caller::current() {
        Ok(caller) => front.pass(caller, request, next).await,
        Err(missing) => {
            let refusal = Refusal::with_id(None, no_context(&missing));
            said(StatusCode::INTERNAL_SERVER_ERROR, &refusal)
        }
    }
}

impl Front {
    async fn pass(&self, mut caller: Caller, mut request: Request, next: Next) -> Response {
        let allowed: Vec<_> = self.server.parts.options.headers.iter().map(String::as_str).collect();
        if caller.headers.is_none() && !allowed.is_empty() {
            let given = request.headers().iter();
            let given = given.filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
            caller.headers = Some(Headers::allowed(&allowed, given));
        }
        for name in &CREDENTIALS {
            request.headers_mut().remove(name);
        }
        request.extensions_mut().insert(caller);
        let method = request.method().clone();
        let accepted = Accepted::of(&method, request.headers_mut());
        if method == Method::POST && is_json(request.headers()) {
            request = match self.read(request).await {
                Ok(request) => request,
                Err(refused) => return refused,
            };
        }
        let mut response = accepted.answer(next.run(request).await).await;
        // Official clients take anything but these two for a failure.
        if method == Method::DELETE && response.status() == StatusCode::ACCEPTED {
            *response.status_mut() = StatusCode::NO_CONTENT;
        }
        response
    }

    /// Reads the message of a request, so that one which is none is answered as the protocol demands.
    async fn read(&self, request: Request) -> Result<Request, Response> {
        let (mut parts, body) = request.into_parts();
        let bytes = whole(body, self.server.parts.options.message_bytes).await?;
        let modern = parts.headers.get(REVISION).is_some_and(|revision| revision.as_bytes() >= STATELESS);
        let message = message::read(&bytes).map_err(|refusal| {
            let status = match refusal.error.code {
                ErrorCode::METHOD_NOT_FOUND if modern => StatusCode::NOT_FOUND,
                ErrorCode::METHOD_NOT_FOUND | ErrorCode::INVALID_PARAMS if !modern => StatusCode::OK,
                _ => StatusCode::BAD_REQUEST,
            };
            said(status, &refusal)
        })?;
        if let JsonRpcMessage::Request(request) = &message {
            if matches!(request.request, ClientRequest::InitializeRequest(_)) && !self.sessions.has_room() {
                let full =
                    "as many sessions as you may have are open and none is idle; end one, then begin again";
                let refusal = Refusal::of(&bytes, ErrorData::internal_error(full, None));
                return Err(said(StatusCode::SERVICE_UNAVAILABLE, &refusal));
            }
            complete(&mut parts.headers, &request.request);
        }
        Ok(Request::from_parts(parts, Body::from(bytes)))
    }
}

/// The whole body, of at most so many bytes. What is longer is read a while on, because a client that still writes would
/// not read the answer.
async fn whole(body: Body, most: usize) -> Result<Bytes, Response> {
    let refused = |status: StatusCode| status.into_response();
    let mut stream = body.into_data_stream();
    let mut bytes = Vec::new();
    while let Some(piece) = stream.next().await {
        // The layers around bound time and size of a body as well; what they say of it is in the error.
        let piece = piece.map_err(|_| refused(StatusCode::BAD_REQUEST))?;
        if bytes.len() + piece.len() > most {
            drop(bytes);
            let mut left = LINGER;
            while let Some(Ok(piece)) = stream.next().await {
                left = left.saturating_sub(piece.len());
                if left == 0 {
                    break;
                }
            }
            return Err(refused(StatusCode::PAYLOAD_TOO_LARGE));
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes.into())
}

/// Names the tool or the task in the headers where the client did not. Some clients leave it out, and it says nothing that
/// the message does not say; one that differs from the message is still refused.
fn complete(headers: &mut HeaderMap, request: &ClientRequest) {
    if headers.contains_key(NAME) {
        return;
    }
    let name = match request {
        ClientRequest::CallToolRequest(call) => call.params.name.as_ref(),
        ClientRequest::GetTaskRequest(task) => &task.params.task_id,
        ClientRequest::UpdateTaskRequest(task) => &task.params.task_id,
        ClientRequest::CancelTaskRequest(task) => &task.params.task_id,
        _ => return,
    };
    // Other names would have to be encoded; no tool and no task has one.
    let plain =
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic()) && !name.starts_with("=?");
    if plain && let Ok(value) = HeaderValue::from_str(name) {
        headers.insert(NAME, value);
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    kind.trim_start().to_ascii_lowercase().starts_with("application/json")
}

fn said(status: StatusCode, refusal: &Refusal) -> Response {
    (status, [(CONTENT_TYPE, "application/json")], refusal.answer().to_string()).into_response()
}
