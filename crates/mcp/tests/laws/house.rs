//! A server behind a door, on a loopback port, and clients that speak JSON-RPC to it by hand.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::response::{IntoResponse, Response};
use haversack::well_known::{PRINCIPAL, Principal, REQUEST_ID, RequestId, TENANT_ID, TenantId};
use haversack::{ContextLayer, Visit, testing};
use haversack_agent::tool::Tool;
use haversack_jobs::carried::{ACCESS_TOKEN, AccessToken};
use haversack_mcp::{McpOptions, McpServer, Offer, SESSION_HEADER};
use http::StatusCode;
use reqwest::header::HeaderMap;
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// Calls of each tenant at once.
pub(crate) const CALLS: usize = 200;

pub(crate) const OLD: &str = "2025-11-25";
pub(crate) const NEW: &str = "2026-07-28";

/// Who calls, as the door of these tests reads it. A real one looks up a key.
pub(crate) const WHO: &str = "x-test-caller";
pub(crate) const REQUEST: &str = "x-test-request";
/// The caller's access token and when it ends, as `secret milliseconds`.
pub(crate) const TOKEN: &str = "x-test-token";

/// A running server.
pub(crate) struct House {
    pub(crate) server: McpServer,
    pub(crate) address: String,
}

impl House {
    pub(crate) async fn offering(tools: impl IntoIterator<Item = Arc<dyn Tool>>) -> Self {
        Self::of(McpServer::new(offer(tools), McpOptions { calls: 1_000, ..McpOptions::default() }).unwrap())
            .await
    }

    pub(crate) async fn of(server: McpServer) -> Self {
        let routes = Router::new().nest("/mcp", server.router()).layer(ContextLayer::new(door));
        Self { address: listen(routes).await, server }
    }

    pub(crate) fn client(&self, tenant: &str, principal: &str) -> Client {
        // reqwest wants one, also where it speaks plain HTTP. The second test finds that of the first.
        let _ = rustls::crypto::ring::default_provider().install_default();
        Client {
            http: reqwest::Client::new(),
            url: format!("http://{}/mcp", self.address),
            who: format!("{tenant} {principal}"),
            session: None,
            named: None,
            tasks: false,
            headers: Vec::new(),
        }
    }
}

pub(crate) fn offer(tools: impl IntoIterator<Item = Arc<dyn Tool>>) -> Offer {
    tools.into_iter().fold(Offer::new(), Offer::with)
}

/// Serves these routes until the runtime ends.
pub(crate) async fn listen(routes: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    haversack::spawn_detached(async move { axum::serve(listener, routes).await.unwrap() });
    address
}

#[allow(clippy::result_large_err)] // the shape that the layer asks for
fn door<B>(request: &http::Request<B>) -> Result<Visit, Response> {
    let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
    let Some((tenant, principal)) = header(WHO).and_then(|who| who.split_once(' ')) else {
        return Err(StatusCode::UNAUTHORIZED.into_response());
    };
    let token = header(TOKEN).and_then(|token| token.split_once(' '));
    let token = token.map(|(secret, end)| AccessToken::new(secret, end.parse().ok()));
    let request = header(REQUEST).map(|id| RequestId::new(id).unwrap());
    Ok(testing::enter(|bindings| {
        bindings
            .bind(&TENANT_ID, TenantId::new(tenant).unwrap())
            .bind(&PRINCIPAL, Principal::new(principal).unwrap())
            .bind_some(&REQUEST_ID, request)
            .bind_some(&ACCESS_TOKEN, token)
    }))
}

/// A client of one caller, with or without a session of the transport.
#[derive(Clone)]
pub(crate) struct Client {
    pub(crate) http: reqwest::Client,
    pub(crate) url: String,
    pub(crate) who: String,
    /// The id of the session, for the revisions that have one.
    pub(crate) session: Option<String>,
    /// The name of the session for the tools.
    pub(crate) named: Option<String>,
    /// Whether it says that it speaks the tasks extension.
    pub(crate) tasks: bool,
    /// Further headers of each request.
    pub(crate) headers: Vec<(&'static str, String)>,
}

/// What came back for one message.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) messages: Vec<Value>,
    pub(crate) text: String,
}

impl Answer {
    /// The response to the request.
    pub(crate) fn last(&self) -> &Value {
        self.messages.last().unwrap_or_else(|| panic!("{} {}", self.status, self.text))
    }

    pub(crate) fn result(&self) -> &Value {
        self.last().get("result").unwrap_or_else(|| panic!("{} {}", self.status, self.text))
    }

    pub(crate) fn error(&self) -> &Value {
        self.last().get("error").unwrap_or_else(|| panic!("{} {}", self.status, self.text))
    }
}

static NEXT: AtomicU64 = AtomicU64::new(1);

pub(crate) fn next() -> u64 {
    NEXT.fetch_add(1, Ordering::Relaxed)
}

impl Client {
    /// Begins a session of the transport.
    pub(crate) async fn initialize(&mut self) {
        let answer = self.begin().await;
        self.session = Some(answer.headers["mcp-session-id"].to_str().unwrap().to_owned());
        let ready = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
        assert_eq!(self.post(&ready, &[]).await.status, 202);
    }

    pub(crate) async fn begin(&self) -> Answer {
        let params = json!({
            "protocolVersion": OLD,
            "capabilities": self.capabilities(),
            "clientInfo": { "name": "law", "version": "1" },
        });
        let message = json!({ "jsonrpc": "2.0", "id": next(), "method": "initialize", "params": params });
        self.post(&message, &[(REQUEST, "of-initialize")]).await
    }

    fn capabilities(&self) -> Value {
        if self.tasks { json!({ "extensions": { "io.modelcontextprotocol/tasks": {} } }) } else { json!({}) }
    }

    /// Calls a tool.
    pub(crate) async fn call(&self, tool: &str, arguments: Value) -> Answer {
        self.call_as(tool, arguments, "of-call").await
    }

    pub(crate) async fn call_as(&self, tool: &str, arguments: Value, request: &str) -> Answer {
        let params = json!({ "name": tool, "arguments": arguments });
        self.ask_as("tools/call", params, request).await
    }

    pub(crate) async fn ask(&self, method: &str, params: Value) -> Answer {
        self.ask_as(method, params, "of-call").await
    }

    pub(crate) async fn ask_as(&self, method: &str, params: Value, request: &str) -> Answer {
        let (message, headers) = self.message(method, params, request);
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        self.post(&message, &headers).await
    }

    /// The request and its headers: of the old revision in a session, of the new one without.
    pub(crate) fn message(
        &self,
        method: &str,
        mut params: Value,
        request: &str,
    ) -> (Value, Vec<(&'static str, String)>) {
        let mut headers = vec![(REQUEST, request.to_owned())];
        if self.session.is_some() {
            headers.push(("mcp-protocol-version", OLD.to_owned()));
        } else {
            headers.push(("mcp-protocol-version", NEW.to_owned()));
            headers.push(("mcp-method", method.to_owned()));
            for key in ["name", "taskId"] {
                if let Some(name) = params.get(key).and_then(Value::as_str) {
                    headers.push(("mcp-name", name.to_owned()));
                }
            }
            let meta = &mut params["_meta"];
            meta["io.modelcontextprotocol/protocolVersion"] = NEW.into();
            meta["io.modelcontextprotocol/clientInfo"] = json!({ "name": "law", "version": "1" });
            meta["io.modelcontextprotocol/clientCapabilities"] = self.capabilities();
        }
        let message = json!({ "jsonrpc": "2.0", "id": next(), "method": method, "params": params });
        (message, headers)
    }

    pub(crate) async fn post(&self, message: &Value, headers: &[(&str, &str)]) -> Answer {
        let response = self.send(message, headers).await;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await.unwrap();
        Answer { status, headers, messages: messages(&text), text }
    }

    pub(crate) async fn send(&self, message: &Value, headers: &[(&str, &str)]) -> reqwest::Response {
        let mut request = self.http.post(&self.url).json(message);
        request = request.header("accept", "application/json, text/event-stream").header(WHO, &self.who);
        if let Some(session) = &self.session {
            request = request.header("mcp-session-id", session);
        }
        if let Some(named) = &self.named {
            request = request.header(SESSION_HEADER, named);
        }
        for (name, value) in &self.headers {
            request = request.header(*name, value);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.send().await.unwrap()
    }
}

/// The messages of a body, JSON or an event stream.
pub(crate) fn messages(text: &str) -> Vec<Value> {
    if let Ok(one) = serde_json::from_str(text) {
        return vec![one];
    }
    text.lines()
        .filter_map(|line| line.strip_prefix("data:"))
        .filter_map(|data| serde_json::from_str(data.trim()).ok())
        .collect()
}

/// A tool that tells in whose context it ran, before and after it waited, also in a task of its own.
pub(crate) fn whoami() -> Arc<dyn Tool> {
    use haversack::well_known::SESSION_ID;
    use haversack_agent::tool::ToolOutput;
    fn seen() -> Value {
        json!({
            "tenant": TENANT_ID.get().map(String::from).ok(),
            "principal": PRINCIPAL.get().map(String::from).ok(),
            "session": SESSION_ID.get().map(String::from).ok(),
            "request": REQUEST_ID.get().map(String::from).ok(),
        })
    }
    Arc::new(haversack_mcp::mcp_tool("whoami", "Tells who calls.", |_: haversack_mcp::Progress| async {
        let first = seen();
        tokio::task::yield_now().await;
        let spawned = haversack::spawn(async { seen() }).await.unwrap();
        let blocking = haversack::spawn_blocking(seen).await.unwrap();
        assert!(first == spawned && first == blocking && first == seen());
        ToolOutput::json(&first)
    }))
}
