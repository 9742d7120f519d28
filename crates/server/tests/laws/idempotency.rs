//! One idempotency key is one turn: while it runs, after it ended, and after a restart.

use std::sync::Arc;

use reqwest::StatusCode;
use serde_json::Value;

use super::harness::{Gated, Key, TestServer, json_of, problem, start, start_with};

fn keyed(server: &TestServer, key: &Key, message: &str) -> reqwest::RequestBuilder {
    server.turn(key, "s", message).header("Idempotency-Key", "k-1")
}

async fn turns_of(server: &TestServer, key: &Key) -> usize {
    let view = json_of(server.get(key, "/v1/sessions/s").await, StatusCode::OK).await;
    view["history"].as_array().unwrap().len()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repetition_while_the_turn_runs_joins_it() {
    let model = Gated::closed();
    let server = Arc::new(start_with(|config| config.limits.session_queue = 0, Some(model.clone())).await);
    let kim = server.key("acme", "kim").await;
    let mut callers = haversack::JoinSet::new();
    let first = keyed(&server, &kim, "hello");
    callers.spawn(async move { json_of(first.send().await.unwrap(), StatusCode::OK).await });
    model.called(1).await;
    for _ in 0..4 {
        let again = keyed(&server, &kim, "hello");
        callers.spawn(async move { json_of(again.send().await.unwrap(), StatusCode::OK).await });
    }
    // The joined ones are there when their answer comes; one that asks for later proves that the others were
    // no new turns.
    let later = keyed(&server, &kim, "hello").header("Prefer", "respond-async").send().await.unwrap();
    let turn = json_of(later, StatusCode::ACCEPTED).await["turn"].clone();
    model.open();
    let mut replies: Vec<Value> = Vec::new();
    while let Some(reply) = callers.join_next().await {
        replies.push(reply.unwrap());
    }
    assert_eq!(replies.len(), 5);
    assert!(
        replies.iter().all(|reply| reply["turn"] == turn && reply["text"] == replies[0]["text"]),
        "{replies:?}"
    );
    assert_eq!(turns_of(&server, &kim).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repetition_after_the_end_gets_the_stored_reply() {
    let server = start().await;
    let kim = server.key("acme", "kim").await;
    let first = json_of(keyed(&server, &kim, "hello").send().await.unwrap(), StatusCode::OK).await;
    assert_eq!(first["replayed"], false);
    let response = keyed(&server, &kim, "hello").send().await.unwrap();
    assert_eq!(response.headers()["idempotency-replayed"], "true");
    let mut again = json_of(response, StatusCode::OK).await;
    assert_eq!(again["replayed"], true);
    again["replayed"] = false.into();
    assert_eq!(again, first);
    assert_eq!(turns_of(&server, &kim).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_with_another_message_is_refused_before_and_after_the_end() {
    let model = Gated::closed();
    let server = start_with(|_| {}, Some(model.clone())).await;
    let kim = server.key("acme", "kim").await;
    let later = keyed(&server, &kim, "hello").header("Prefer", "respond-async").send().await.unwrap();
    let turn = json_of(later, StatusCode::ACCEPTED).await["turn"].as_str().unwrap().to_owned();
    model.called(1).await;
    problem(keyed(&server, &kim, "another").send().await.unwrap(), "HV0213").await;
    model.open();
    // The event stream ends when the turn does.
    server.get(&kim, &format!("/v1/turns/{turn}/events")).await.text().await.unwrap();
    problem(keyed(&server, &kim, "another").send().await.unwrap(), "HV0213").await;
    assert_eq!(turns_of(&server, &kim).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_key_in_two_sessions_is_two_turns() {
    let server = start().await;
    let kim = server.key("acme", "kim").await;
    let say = async |session| {
        let request = server.turn(&kim, session, "hello").header("Idempotency-Key", "k-1");
        json_of(request.send().await.unwrap(), StatusCode::OK).await
    };
    let (one, two) = (say("a").await, say("b").await);
    assert_ne!(one["turn"], two["turn"]);
    assert_eq!(two["replayed"], false);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_turn_gives_its_key_up() {
    let server = start().await;
    let kim = server.key("acme", "kim").await;
    let sam = server.key("acme", "sam").await;
    server.say(&sam, "s", "hello").await;
    problem(keyed(&server, &kim, "hello").send().await.unwrap(), "HV0204").await;
    server.request(reqwest::Method::DELETE, "/v1/sessions/s", &sam).send().await.unwrap();
    let reply = json_of(keyed(&server, &kim, "hello").send().await.unwrap(), StatusCode::OK).await;
    assert_eq!(reply["replayed"], false);
}
