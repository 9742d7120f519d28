//! The spawn audit of a whole server: turns, jobs, messages with their answers, and MCP, over real HTTP, while tokio tells
//! of every task that is spawned, our dependencies' included. A target of its own, because it needs tokio's unstable
//! hooks; `cargo xtask test --deep` builds them.
#![cfg(tokio_unstable)]
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a broken law ends its test")]
#![allow(clippy::disallowed_methods, reason = "one model spawns bare, to be found")]
#![allow(dead_code, reason = "the laws use more of the harness")]

#[path = "laws/harness.rs"]
mod harness;

use std::sync::Arc;

use axum::routing::post;
use haversack::audit::{Auditor, Report};
use haversack_agent::model::{ChatModel, ChatRequest, ModelStream, Offline};
use haversack_gateway::platform::webhook::{SigningSecret, sign};
use haversack_server::config::Config;
use haversack_store::now_millis;
use reqwest::{Method, StatusCode};
use serde_json::json;
use tokio::sync::watch;

use harness::{client, json_of, start_with};

const SECRET: &str = "a secret of sixteen bytes and more";

/// Runs a server and its callers on an audited runtime.
fn audited<F: Future<Output = ()>>(work: F) -> Report {
    let auditor = Auditor::new()
        .allow(
            "/hyper-util-",
            "connections of a client's pool outlive the request that opened them, and bind nothing",
        )
        .allow(
            "/rmcp-",
            "a session of the transport outlives its messages; our handler enters a door for each of them",
        );
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    auditor.install(&mut builder);
    let runtime = builder.worker_threads(2).enable_all().build().unwrap();
    haversack::block_on(&runtime, work);
    auditor.report()
}

fn configured(config: &mut Config) {
    let here = config.store.path.parent().unwrap().to_owned();
    std::fs::write(here.join("secret"), SECRET).unwrap();
    let text = format!(
        "[[gateway.accounts]]\nname = \"desk\"\nplatform = \"webhook\"\ntenant = \"acme\"\nusers = {{ u-1 = \"kim\" }}\n\
         secrets = [\"file:{}\"]\ncallbacks = [\"http://127.0.0.1:*\"]\n",
        here.join("secret").display()
    );
    config.gateway = Config::parse(&here.join("haversack.toml"), &text, []).unwrap().gateway;
    config.jobs.tools = vec!["remember".to_owned()];
}

/// Everything that a caller can begin.
async fn everything(model: Option<Arc<dyn ChatModel>>) {
    let server = start_with(configured, model).await;
    for (tenant, principal) in [("acme", "kim"), ("acme", "sam"), ("other", "kim")] {
        let (key, session) = (server.key(tenant, principal).await, format!("of-{principal}"));
        server.say(&key, &session, "Remember that our account manager is Robin Vega.").await;
        server.say(&key, &session, "How do I reset the scanner?").await;
        let listening =
            server.turn(&key, &session, "hello").header("accept", "text/event-stream").send().await.unwrap();
        assert!(listening.text().await.unwrap().contains("finished"));

        let job = json!({ "tool": "remember", "arguments": { "text": "The lift is out of order." }, "session": session });
        let posted = server.request(Method::POST, "/v1/jobs", &key).json(&job).send().await.unwrap();
        let job = json_of(posted, StatusCode::ACCEPTED).await["job"].as_str().unwrap().to_owned();
        let events = server.get(&key, &format!("/v1/jobs/{job}/events")).await;
        assert!(events.text().await.unwrap().contains("succeeded"), "the events end with the job");

        let message = json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
            "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": { "name": "law", "version": "1" },
        }});
        let begun = server.request(Method::POST, "/mcp", &key).json(&message);
        let begun = begun.header("accept", "application/json, text/event-stream").send().await.unwrap();
        let session = begun.headers()["mcp-session-id"].to_str().unwrap().to_owned();
        let message = json!({ "jsonrpc": "2.0", "id": 2, "method": "tools/list", "params": {} });
        let listed =
            server.request(Method::POST, "/mcp", &key).json(&message).header("mcp-session-id", session);
        let listed = listed.header("accept", "application/json, text/event-stream").send().await.unwrap();
        assert!(listed.text().await.unwrap().contains("tools"));
    }
    message(&server.server.url()).await;
    server.server.shutdown().await.unwrap();
}

/// A signed message, and its answer at a listener.
async fn message(url: &str) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let callback = format!("http://{}/answers", listener.local_addr().unwrap());
    let answered = watch::Sender::new(false);
    let tell = answered.clone();
    let app = axum::Router::new().route(
        "/answers",
        post(move || async move {
            tell.send_replace(true);
            StatusCode::NO_CONTENT
        }),
    );
    haversack::spawn_detached(async move { axum::serve(listener, app).await.unwrap() });
    let body = json!({
        "chat": { "id": "c-1", "type": "direct" }, "thread": "t-1", "sender": { "id": "u-1", "name": "Kim" },
        "text": "hello", "callback": callback,
    });
    let (body, time) = (body.to_string(), now_millis() / 1000);
    let signature = sign::sign(&SigningSecret::parse(SECRET).unwrap(), "msg-1", time, body.as_bytes());
    let request =
        client().post(format!("{url}/gateway/webhook/desk")).header("content-type", "application/json");
    let request = request.header(sign::ID, "msg-1").header(sign::TIME, time.to_string());
    let told = request.header(sign::SIGNATURE, signature).body(body).send().await.unwrap();
    assert_eq!(told.status(), StatusCode::ACCEPTED);
    answered.subscribe().wait_for(|answered| *answered).await.unwrap();
}

#[test]
fn no_task_of_a_server_is_spawned_bare_while_something_is_bound() {
    let report = audited(everything(None));
    println!("{report}");
    assert!(report.tasks > 50, "the audit saw the server: {report}");
    assert!(report.raw.is_empty(), "{report}");
    assert!(
        !report.allowed.is_empty(),
        "a client's pool spawns bare, and the audit sees into dependencies: {report}"
    );
}

/// The offline model, with a fault planted: it spawns bare.
struct Planted(Offline);

const PLANTED: u32 = line!() + 8;

impl ChatModel for Planted {
    fn name(&self) -> &str {
        "planted"
    }

    fn chat(&self, request: ChatRequest) -> ModelStream {
        tokio::spawn(async {});
        self.0.chat(request)
    }
}

#[test]
fn a_bare_spawn_that_was_planted_in_a_server_is_named_by_its_line() {
    let report = audited(async {
        let server = start_with(|_| {}, Some(Arc::new(Planted(Offline)))).await;
        let key = server.key("acme", "kim").await;
        server.say(&key, "s", "hello").await;
        server.server.shutdown().await.unwrap();
    });
    let [raw] = &report.raw[..] else { panic!("{report}") };
    assert!(raw.at.file().ends_with("tests/audit.rs") && raw.at.line() == PLANTED, "{report}");
    assert_eq!(raw.boundary, Some("turn"));
    assert!(raw.variables.contains(&"tenant"), "{report}");
}
