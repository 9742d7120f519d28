//! Limits: one session, one tenant, one request. A refusal says when to try again and starts nothing.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use haversack_agent::model::{ChatModel, ChatRequest, ModelStream, Offline};
use haversack_server::server::Options;
use haversack_store::sqlite::Connection;
use reqwest::StatusCode;
use reqwest::header::RETRY_AFTER;
use serde_json::Value;

use super::harness::{Gated, TestServer, json_of, problem, start_with, start_with_options};

#[tokio::test(flavor = "multi_thread")]
async fn turns_of_a_session_run_one_after_another_in_their_order() {
    let model = Gated::closed();
    let server = start_with(|_| {}, Some(model.clone())).await;
    let kim = server.key("acme", "kim").await;
    let mut turns = Vec::new();
    for number in 0..5 {
        let request = server.turn(&kim, "s", &format!("hello {number}")).header("Prefer", "respond-async");
        let state = json_of(request.send().await.unwrap(), StatusCode::ACCEPTED).await;
        turns.push(state["turn"].as_str().unwrap().to_owned());
        model.called(1).await;
    }
    let status = async |turn: &String| {
        let state = json_of(server.get(&kim, &format!("/v1/turns/{turn}")).await, StatusCode::OK).await;
        state["status"].as_str().unwrap().to_owned()
    };
    assert_eq!(model.calls(), 1, "the second turn must wait for the first");
    assert_eq!(status(&turns[0]).await, "running");
    for turn in &turns[1..] {
        assert_eq!(status(turn).await, "queued");
    }
    model.open();
    server.get(&kim, &format!("/v1/turns/{}/events", turns[4])).await.text().await.unwrap();
    let view = json_of(server.get(&kim, "/v1/sessions/s").await, StatusCode::OK).await;
    let order: Vec<_> = view["history"].as_array().unwrap().iter().map(|turn| turn["turn"].clone()).collect();
    assert_eq!(order, turns.iter().map(|turn| Value::from(turn.as_str())).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn one_more_than_the_queue_is_refused_and_other_sessions_go_on() {
    let model = Gated::closed();
    let server = start_with(|config| config.limits.session_queue = 2, Some(model.clone())).await;
    let kim = server.key("acme", "kim").await;
    let later = |session| server.turn(&kim, session, "hello").header("Prefer", "respond-async").send();
    for _ in 0..3 {
        assert_eq!(later("s").await.unwrap().status(), StatusCode::ACCEPTED);
    }
    let refused = later("s").await.unwrap();
    assert_eq!(
        (refused.status(), &refused.headers()[RETRY_AFTER]),
        (StatusCode::TOO_MANY_REQUESTS, &"1".parse().unwrap())
    );
    problem(refused, "HV0220").await;
    assert_eq!(later("t").await.unwrap().status(), StatusCode::ACCEPTED);
    model.open();
    wait_for_turns(&server, &kim, "s", 3).await;
    assert_eq!(server.turn(&kim, "s", "hello").send().await.unwrap().status(), StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_colleague_who_tries_a_taken_name_does_not_hold_up_its_owner() {
    let model = Gated::closed();
    let server = start_with(|config| config.limits.session_queue = 1, Some(model.clone())).await;
    let kim = server.key("acme", "kim").await;
    let lee = server.key("acme", "lee").await;
    let later = |key| server.turn(key, "s", "hello").header("Prefer", "respond-async").send();
    assert_eq!(later(&kim).await.unwrap().status(), StatusCode::ACCEPTED);
    model.called(1).await;
    // Refused at once, without a wait that would tell that Kim's turn runs.
    for _ in 0..4 {
        problem(server.turn(&lee, "s", "hello").send().await.unwrap(), "HV0204").await;
    }
    assert_eq!(later(&kim).await.unwrap().status(), StatusCode::ACCEPTED, "Kim's queue is Kim's");
    model.open();
}

/// Waits until the last turn of the session has ended, by queueing one more behind it.
async fn wait_for_turns(server: &TestServer, key: &super::harness::Key, session: &str, before: usize) {
    loop {
        let response = server.turn(key, session, "and now?").send().await.unwrap();
        if response.status() == StatusCode::OK {
            break;
        }
        problem(response, "HV0220").await;
    }
    let view = json_of(server.get(key, &format!("/v1/sessions/{session}")).await, StatusCode::OK).await;
    assert_eq!(view["history"].as_array().unwrap().len(), before + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_at_its_number_of_turns_is_refused_and_others_are_not() {
    let model = Gated::closed();
    let server = start_with(|config| config.limits.concurrent_turns = 2, Some(model.clone())).await;
    let acme = server.key("acme", "kim").await;
    let acme_too = server.key("acme", "sam").await;
    let other = server.key("other", "kim").await;
    let later = |key, session| server.turn(key, session, "hello").header("Prefer", "respond-async").send();
    assert_eq!(later(&acme, "a").await.unwrap().status(), StatusCode::ACCEPTED);
    assert_eq!(later(&acme, "b").await.unwrap().status(), StatusCode::ACCEPTED);
    let refused = later(&acme_too, "c").await.unwrap();
    assert!(refused.headers().contains_key(RETRY_AFTER));
    problem(refused, "HV0221").await;
    assert_eq!(later(&other, "a").await.unwrap().status(), StatusCode::ACCEPTED);
    model.open();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_over_its_rate_is_refused_and_others_are_not() {
    let slow = |config: &mut haversack_server::config::Config| {
        config.limits.requests_per_second = 1;
        config.limits.burst = 3;
    };
    let server = start_with(slow, None).await;
    let acme = server.key("acme", "kim").await;
    let acme_too = server.key("acme", "sam").await;
    let other = server.key("other", "kim").await;
    let mut refused = None;
    // At one a second the fourth is too fast, or the machine is so slow that a later one is.
    for _ in 0..1000 {
        let response = server.get(&acme, "/v1/sessions").await;
        if response.status() == StatusCode::TOO_MANY_REQUESTS {
            refused = Some(response);
            break;
        }
    }
    let refused = refused.expect("a burst of three lets a thousand through");
    assert_eq!(refused.headers()[RETRY_AFTER], "1");
    problem(refused, "HV0221").await;
    assert_eq!(server.get(&other, "/v1/sessions").await.status(), StatusCode::OK);
    let _ = server.get(&acme_too, "/v1/sessions").await;
    // What is open to everybody has no tenant to count.
    for _ in 0..10 {
        let health = server.http.get(format!("{}/healthz", server.server.url())).send().await.unwrap();
        assert_eq!(health.status(), StatusCode::OK);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_turn_over_its_time_ends_with_its_code_and_frees_its_session() {
    let model = Gated::closed();
    let server = start_with(|config| config.limits.turn_timeout_s = 1, Some(model.clone())).await;
    let kim = server.key("acme", "kim").await;
    let response = server.turn(&kim, "s", "hello").send().await.unwrap();
    assert_eq!(response.status(), StatusCode::GATEWAY_TIMEOUT);
    problem(response, "HV0230").await;
    let view = json_of(server.get(&kim, "/v1/sessions/s").await, StatusCode::OK).await;
    assert_eq!(view["history"][0]["status"], "timed_out", "{view}");
    model.open();
    assert_eq!(server.turn(&kim, "s", "hello").send().await.unwrap().status(), StatusCode::OK);
}

/// The only tenant's file of a data folder.
fn tenant_file(data: &Path) -> PathBuf {
    let mut files = std::fs::read_dir(data.join("tenants")).unwrap().map(|entry| entry.unwrap().path());
    files.find(|path| path.extension().is_some_and(|ext| ext == "sqlite")).unwrap()
}

/// A model that takes its tenant's file before it answers, so that the commit of the turn waits on the disk.
struct Takes {
    data: PathBuf,
    held: Arc<Mutex<Option<Connection>>>,
    offline: Offline,
}

impl ChatModel for Takes {
    fn name(&self) -> &str {
        "takes"
    }

    fn chat(&self, request: ChatRequest) -> ModelStream {
        let conn = Connection::open(tenant_file(&self.data)).unwrap();
        conn.execute_batch("PRAGMA busy_timeout = 60000; BEGIN IMMEDIATE").unwrap();
        *self.held.lock().unwrap() = Some(conn);
        self.offline.chat(request)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_late_turn_committed_is_told_and_not_that_its_time_was_up() {
    let held: Arc<Mutex<Option<Connection>>> = Arc::default();
    let server = start_with_options(|config| {
        config.limits.turn_timeout_s = 1;
        config.store.busy_timeout_ms = 120_000;
        // One model call a turn, and nothing is written between it and the commit.
        config.agent.specialists.truncate(1);
        config.agent.specialists[0].tools.clear();
        let (data, held) = (config.store.path.clone(), Arc::clone(&held));
        let model: Arc<dyn ChatModel> = Arc::new(Takes { data, held, offline: Offline });
        Options { model: Some(model), ..Options::default() }
    })
    .await;
    let kim = server.key("acme", "kim").await;
    let mut asked = std::pin::pin!(server.turn(&kim, "s", "hello").send());
    // Longer than any turn is waited for that has no commit under way; who is told in that time is told too early.
    let early = tokio::time::timeout(Duration::from_secs(12), &mut asked).await;
    assert!(held.lock().unwrap().take().is_some(), "the commit had to wait");
    let answer = match early {
        Ok(answer) => answer,
        Err(_) => asked.await,
    };
    let reply = json_of(answer.unwrap(), StatusCode::OK).await;
    let view = json_of(server.get(&kim, "/v1/sessions/s").await, StatusCode::OK).await;
    assert_eq!(
        (&view["history"][0]["status"], &view["history"][0]["turn"]),
        (&"completed".into(), &reply["turn"])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_never_comes_is_given_up() {
    let server = start_with(|config| config.limits.body_timeout_s = 1, None).await;
    let kim = server.key("acme", "kim").await;
    let never =
        reqwest::Body::wrap_stream(futures_util::stream::pending::<Result<Vec<u8>, std::io::Error>>());
    let request = server.request(reqwest::Method::POST, "/v1/sessions/s/turns", &kim);
    let response = request.header("Content-Type", "application/json").body(never).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::REQUEST_TIMEOUT);
    problem(response, "HV0217").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_never_ends_is_given_up() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let server = start_with(|config| config.limits.body_timeout_s = 1, None).await;
    let mut socket = tokio::net::TcpStream::connect(server.server.addr()).await.unwrap();
    socket.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: ").await.unwrap();
    let mut rest = Vec::new();
    // Ends when the server closes the connection; without the limit it would not.
    socket.read_to_end(&mut rest).await.unwrap();
    assert!(!rest.starts_with(b"HTTP/1.1 200"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_at_its_number_of_event_streams_is_refused_and_others_are_not() {
    let model = Gated::closed();
    let server = start_with(|config| config.limits.event_streams = 2, Some(model.clone())).await;
    let acme = server.key("acme", "kim").await;
    let acme_too = server.key("acme", "sam").await;
    let other = server.key("other", "kim").await;
    let later = async |key| {
        let request = server.turn(key, "s", "hello").header("Prefer", "respond-async");
        let state = json_of(request.send().await.unwrap(), StatusCode::ACCEPTED).await;
        format!("/v1/turns/{}/events", state["turn"].as_str().unwrap())
    };
    let (own, others) = (later(&acme).await, later(&other).await);
    let first = server.get(&acme, &own).await;
    let second = server.get(&acme, &own).await;
    assert_eq!((first.status(), second.status()), (StatusCode::OK, StatusCode::OK));
    let refused = server.get(&acme, &own).await;
    assert!(refused.headers().contains_key(RETRY_AFTER));
    problem(refused, "HV0221").await;
    // One too many starts nothing, whoever of the tenant asks for it.
    let events = server.turn(&acme_too, "t", "hello").header("Accept", "text/event-stream");
    problem(events.send().await.unwrap(), "HV0221").await;
    problem(server.get(&acme_too, "/v1/sessions/t").await, "HV0205").await;
    problem(server.get(&acme, "/v1/jobs/none/events").await, "HV0221").await;
    // What is no stream is answered, and so is somebody else.
    assert_eq!(server.get(&acme, "/v1/sessions").await.status(), StatusCode::OK);
    assert!(!crate::mcp::begin(&server, &acme).await.is_empty(), "a call over MCP is no event stream");
    assert_eq!(server.get(&other, &others).await.status(), StatusCode::OK);
    drop(second);
    super::program::settled(async || {
        (server.get(&acme, &own).await.status() == StatusCode::OK).then_some(())
    })
    .await;
    model.open();
    assert!(first.text().await.unwrap().contains("event: finished"));
}
