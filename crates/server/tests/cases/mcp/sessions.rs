//! The sessions of the transport: how long they live, and how many.

use serde_json::json;

use super::{FACT, begin, knows_the_fact, memory, post, with_pipelines};
use crate::clients::{Client, LEGACY, over_http, said};
use crate::installation::{Installation, client};

#[test]
fn a_session_is_idle_only_while_nothing_is_served_in_it() {
    let installation = with_pipelines("[mcp]\nsession_idle_s = 2\n", &[("slow", &["sleep 4"])]);
    let key = installation.key("acme", "kim");
    let server = installation.serve();
    // Both clients hold a stream open, so that a pause longer than the idle time does not end the session.
    let steps = json!([
        { "call": "remember", "arguments": { "text": FACT } },
        { "pause": 5 },
        { "call": "recall", "arguments": { "query": "account manager" } },
        { "call": "slow", "arguments": { "request": "now" } },
        { "call": "recall", "arguments": { "query": "account manager" } },
    ]);
    for client in [Client::Sdk, Client::V1] {
        knows_the_fact(
            &client.run(&over_http(&server.url, &key, LEGACY, steps.clone())),
            &format!("{client:?}"),
        );
    }
}

async fn list(url: &str, key: &str, session: &str) -> u16 {
    let message = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {} }).to_string();
    let headers = [("mcp-session-id", session), ("mcp-protocol-version", LEGACY)];
    post(url, key, &message, &headers).await.status().as_u16()
}

#[tokio::test(flavor = "multi_thread")]
async fn forty_sessions_of_one_key_live_side_by_side() {
    let installation = Installation::new("");
    let key = installation.key("acme", "kim");
    let server = installation.serve();
    let mut sessions = Vec::new();
    for _ in 0..40 {
        sessions.push(begin(&server.url, &key).await.1.unwrap());
    }
    for session in &sessions {
        assert_eq!(list(&server.url, &key, session).await, 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_session_too_many_ends_the_longest_idle_and_never_one_with_a_stream() {
    let installation = Installation::new("[mcp]\nsessions = 2\n");
    let key = installation.key("acme", "kim");
    let server = installation.serve();
    let open = async |session: &str| {
        let request = client().get(format!("{}/mcp", server.url)).bearer_auth(&key);
        let request = request.header("accept", "text/event-stream").header("mcp-session-id", session);
        let answer = request.header("mcp-protocol-version", LEGACY).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        answer
    };
    let first = begin(&server.url, &key).await.1.unwrap();
    let _stream = open(&first).await;
    let second = begin(&server.url, &key).await.1.unwrap();
    let third = begin(&server.url, &key).await.1.unwrap();
    assert_eq!(list(&server.url, &key, &second).await, 404);
    assert_eq!(list(&server.url, &key, &first).await, 200);
    let _another = open(&third).await;
    let (status, session) = begin(&server.url, &key).await;
    assert_eq!((status, session), (503, None), "none is idle");
    assert_eq!(list(&server.url, &key, &third).await, 200);
}

#[test]
fn closing_a_session_is_no_failure_to_its_client_and_no_error_to_the_log() {
    let installation = Installation::new("");
    let key = installation.key("acme", "kim");
    let server = installation.serve();
    for client in [Client::Sdk, Client::Fast, Client::V1] {
        let (mut command, _scripts) = client.command(&over_http(&server.url, &key, LEGACY, memory()));
        let output = command.output().unwrap();
        knows_the_fact(&said(&output, client), &format!("{client:?}"));
        let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        assert!(!text.contains("termination failed"), "{client:?}: {text}");
    }
    let log = server.process.said();
    assert!(!log.contains("ERROR"), "{log}");
}
