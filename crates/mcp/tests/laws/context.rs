//! Each call over HTTP runs in the context of its own caller.

use std::sync::Arc;

use axum::Router;
use futures_util::future::join_all;
use haversack::ContextVar;
use haversack_agent::tool::ToolOutput;
use haversack_mcp::{McpOptions, McpServer, mcp_tool};
use serde_json::{Value, json};

use super::house::{CALLS, House, listen, offer, whoami};

fn assert_seen(seen: &Value, tenant: &str, principal: &str, request: &str) {
    let seen = &seen["structuredContent"];
    assert_eq!((seen["tenant"].as_str(), seen["principal"].as_str()), (Some(tenant), Some(principal)));
    assert_eq!(seen["request"].as_str(), Some(request));
}

/// 200 calls of each tenant at once, each with a request of its own.
async fn two_tenants(house: &House, in_sessions: bool) {
    let mut calls = Vec::new();
    for (tenant, principal) in [("acme", "kim"), ("globex", "lou")] {
        let mut client = house.client(tenant, principal);
        if in_sessions {
            client.initialize().await;
        }
        for n in 0..CALLS {
            let client = client.clone();
            calls.push(async move {
                let request = format!("{tenant}-{n}");
                let answer = client.call_as("whoami", json!({}), &request).await;
                assert_seen(answer.result(), tenant, principal, &request);
            });
        }
    }
    assert_eq!(join_all(calls).await.len(), 2 * CALLS);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_tenants_with_200_calls_at_once_each_see_their_own_over_http() {
    let house = House::offering([whoami()]).await;
    two_tenants(&house, false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_tenants_with_200_calls_at_once_each_see_their_own_in_sessions() {
    let house = House::offering([whoami()]).await;
    two_tenants(&house, true).await;
}

#[tokio::test]
async fn the_context_is_that_of_the_call_and_not_that_of_initialize() {
    let house = House::offering([whoami()]).await;
    let mut client = house.client("acme", "kim");
    client.initialize().await;
    for request in ["first", "second"] {
        let answer = client.call_as("whoami", json!({}), request).await;
        assert_seen(answer.result(), "acme", "kim", request);
    }
}

#[tokio::test]
async fn a_call_sees_nothing_that_its_door_did_not_bind() {
    static LEFT: ContextVar<&str> = ContextVar::new("left");
    let peek = mcp_tool("peek", "Looks.", |_: haversack_mcp::Progress| async {
        let before = LEFT.get().ok();
        let _kept = LEFT.set("mine").unwrap();
        ToolOutput::json(&json!({ "before": before, "entry": haversack::Entry::current()?.boundary() }))
    });
    let house = House::offering([Arc::new(peek) as _]).await;
    let mut client = house.client("acme", "kim");
    client.initialize().await;
    for _ in 0..3 {
        let answer = client.call("peek", json!({})).await;
        assert_eq!(answer.result()["structuredContent"], json!({ "before": null, "entry": "mcp" }));
    }
}

#[tokio::test]
async fn a_request_that_passed_no_door_is_refused() {
    let server =
        McpServer::new(offer([whoami()]), McpOptions { calls: 1_000, ..McpOptions::default() }).unwrap();
    let address = listen(Router::new().nest("/mcp", server.router())).await;
    let house = House { server, address };
    let answer = house.client("acme", "kim").call("whoami", json!({})).await;
    assert_eq!(answer.status, 500);
    assert_eq!(answer.error()["message"], "the message carries no context, so nothing was done");
}

#[tokio::test]
async fn a_session_header_names_a_session_of_the_principal() {
    let house = House::offering([whoami()]).await;
    let session = async |principal: &str, named: Option<&str>| {
        let mut client = house.client("acme", principal);
        client.named = named.map(str::to_owned);
        let answer = client.call("whoami", json!({})).await;
        answer.result()["structuredContent"]["session"].clone()
    };
    let kims = session("kim", Some("monday")).await;
    assert!(kims.as_str().unwrap().starts_with("mcp/"));
    assert_eq!(session("kim", Some("monday")).await, kims);
    assert_ne!(session("kim", Some("tuesday")).await, kims);
    assert_ne!(session("lou", Some("monday")).await, kims, "the same words are another's session");
    let unnamed = session("kim", None).await;
    assert!(unnamed.as_str().unwrap().starts_with("mcp/") && unnamed != kims, "one of the principal");
}
