//! A client that goes away: its turn is cancelled after the tool that runs, unless it asked for the answer
//! later or somebody else still listens.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use reqwest::StatusCode;

use super::harness::{Gated, Key, TestServer, json_of, start_with};

/// Waits for the end of the only turn of a session, as the history has it. One that never ends fails the test.
async fn ended(server: &TestServer, key: &Key, session: &str) -> String {
    let waiting = tokio::time::timeout(Duration::from_secs(60), end_of(server, key, session));
    waiting.await.expect("the turn goes on and on")
}

async fn end_of(server: &TestServer, key: &Key, session: &str) -> String {
    loop {
        let response = server.get(key, &format!("/v1/sessions/{session}")).await;
        if response.status() == StatusCode::OK {
            let view = json_of(response, StatusCode::OK).await;
            let status = view["history"][0]["status"].as_str().unwrap_or("running").to_owned();
            if status != "running" {
                return status;
            }
        }
        // As a client without a stream asks.
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_away_cancels_its_turn() {
    let model = Gated::closed();
    let server = Arc::new(start_with(|_| {}, Some(model.clone())).await);
    let kim = server.key("acme", "kim").await;
    let request = server.turn(&kim, "s", "hello").send();
    let client = haversack::spawn(request);
    model.called(1).await;
    client.abort();
    assert_eq!(ended(&server, &kim, "s").await, "cancelled");
    model.open();
    assert_eq!(server.turn(&kim, "s", "hello").send().await.unwrap().status(), StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_away_while_it_waits_starts_nothing() {
    let model = Gated::closed();
    let server = start_with(|_| {}, Some(model.clone())).await;
    let kim = server.key("acme", "kim").await;
    let first = server.turn(&kim, "s", "first").header("Prefer", "respond-async").send().await.unwrap();
    assert_eq!(first.status(), StatusCode::ACCEPTED);
    model.called(1).await;
    let second = haversack::spawn(server.turn(&kim, "s", "second").header("Idempotency-Key", "k").send());
    // The count of turns that wait tells when it is there; a repetition could come first and take its key.
    let queued = async |count: &str| {
        while !server.get(&kim, "/metrics").await.text().await.unwrap().contains(count) {
            tokio::task::yield_now().await;
        }
    };
    queued("haversack_turns_queued 1\n").await;
    second.abort();
    let _ = second.await;
    // The first still runs, so it leaves the queue only because its client is gone.
    queued("haversack_turns_queued 0\n").await;
    model.open();
    let third = server.turn(&kim, "s", "third").send().await.unwrap();
    assert_eq!(third.status(), StatusCode::OK);
    let view = server.get(&kim, "/v1/sessions/s").await.text().await.unwrap();
    assert!(view.contains("first") && view.contains("third") && !view.contains("second"), "{view}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_turn_that_was_asked_for_later_outlives_its_client() {
    let model = Gated::closed();
    let server = start_with(|_| {}, Some(model.clone())).await;
    let kim = server.key("acme", "kim").await;
    let response = server.turn(&kim, "s", "hello").header("Prefer", "respond-async").send().await.unwrap();
    assert_eq!(response.headers()["preference-applied"], "respond-async");
    let location = response.headers()["location"].to_str().unwrap().to_owned();
    let state = json_of(response, StatusCode::ACCEPTED).await;
    assert_eq!(location, format!("/v1/turns/{}", state["turn"].as_str().unwrap()));
    model.called(1).await;
    // A listener that comes and goes changes nothing either.
    let mut listening = server.get(&kim, &format!("{location}/events")).await.bytes_stream();
    listening.next().await.unwrap().unwrap();
    drop(listening);
    model.open();
    assert_eq!(ended(&server, &kim, "s").await, "completed");
    let state = json_of(server.get(&kim, &location).await, StatusCode::OK).await;
    assert_eq!(state["status"], "finished");
    assert!(!state["reply"]["text"].as_str().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_turn_goes_on_while_anybody_listens() {
    let model = Gated::closed();
    let server = start_with(|config| config.limits.reconnect_s = 0, Some(model.clone())).await;
    let kim = server.key("acme", "kim").await;
    let keyed = || server.turn(&kim, "s", "hello").header("Idempotency-Key", "k");
    let first = haversack::spawn(keyed().send());
    model.called(1).await;
    // The answer's head comes when the second client is attached.
    let second = keyed().header("Accept", "text/event-stream").send().await.unwrap();
    first.abort();
    let _ = first.await;
    model.open();
    let events = second.text().await.unwrap();
    assert!(events.contains("event: finished"), "{events}");
    assert_eq!(ended(&server, &kim, "s").await, "completed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_event_stream_cancels_when_nobody_comes_back() {
    let model = Gated::closed();
    let server = start_with(|config| config.limits.reconnect_s = 0, Some(model.clone())).await;
    let kim = server.key("acme", "kim").await;
    let mut stream = server
        .turn(&kim, "s", "hello")
        .header("Accept", "text/event-stream")
        .send()
        .await
        .unwrap()
        .bytes_stream();
    stream.next().await.unwrap().unwrap();
    model.called(1).await;
    drop(stream);
    assert_eq!(ended(&server, &kim, "s").await, "cancelled");
}

#[tokio::test(flavor = "multi_thread")]
async fn deleting_a_session_cancels_what_runs_in_it() {
    let model = Gated::closed();
    let server = start_with(|_| {}, Some(model.clone())).await;
    let kim = server.key("acme", "kim").await;
    let later = server.turn(&kim, "s", "hello").header("Prefer", "respond-async").send().await.unwrap();
    let turn = json_of(later, StatusCode::ACCEPTED).await["turn"].as_str().unwrap().to_owned();
    model.called(1).await;
    let delete = server.request(reqwest::Method::DELETE, "/v1/sessions/s", &kim).send().await.unwrap();
    assert_eq!(json_of(delete, StatusCode::OK).await["turns"], 1);
    super::harness::problem(server.get(&kim, &format!("/v1/turns/{turn}")).await, "HV0206").await;
    assert_eq!(server.get(&kim, "/v1/sessions/s").await.status(), StatusCode::NOT_FOUND);
    model.open();
}
