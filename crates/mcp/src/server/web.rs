//! MCP over streamable HTTP.
//!
//! rmcp speaks the protocol; the front added here takes the caller from the current context and puts it into the request,
//! which is the only way by which a handler learns who calls. A request that passed no door is refused before rmcp sees
//! it. Credentials are taken out of the headers, because the transport keeps them beside the message.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use haversack_jobs::Headers;
use http::header::{AUTHORIZATION, CONTENT_TYPE, COOKIE, PROXY_AUTHORIZATION};
use http::{HeaderName, StatusCode};
use rmcp::model::JsonRpcError;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};

use super::handler::{Handler, Source};
use super::sessions::OwnedSessions;
use super::{McpServer, no_context};
use crate::caller::Caller;

/// The header by which a client may name its session, on any revision of the protocol.
pub const SESSION_HEADER: &str = "haversack-session";
/// The header by which the transport names its own.
pub(super) const MCP_SESSION: &str = "mcp-session-id";

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
        let sessions = Arc::new(OwnedSessions::new(options.sessions, options.session_idle));
        let server = self.clone();
        let factory = move || Ok(Handler::new(&server, Source::Http));
        let service = StreamableHttpService::new(factory, sessions, config);
        Router::new().route_service("/", service).layer(from_fn_with_state(self.clone(), front))
    }
}

/// Lets a request pass that carries a context, with its caller.
async fn front(State(server): State<McpServer>, mut request: Request, next: Next) -> Response {
    match Caller::current() {
        Ok(mut caller) => {
            let allowed: Vec<_> = server.parts.options.headers.iter().map(String::as_str).collect();
            if caller.headers.is_none() && !allowed.is_empty() {
                let given = request.headers().iter();
                let given = given.filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
                caller.headers = Some(Headers::allowed(&allowed, given));
            }
            for name in &CREDENTIALS {
                request.headers_mut().remove(name);
            }
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(missing) => {
            let error = JsonRpcError::new(None, no_context(&missing));
            let body = serde_json::to_string(&error).unwrap_or_default();
            (StatusCode::INTERNAL_SERVER_ERROR, [(CONTENT_TYPE, "application/json")], body).into_response()
        }
    }
}
