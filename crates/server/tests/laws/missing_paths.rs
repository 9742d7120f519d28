//! Each door of the server with each of its variables not bound: refused there, with the code of a refusal, and nothing
//! of the tenant who was in before is taken in its place.
//!
//! The doors of the worker, of MCP and of the gateway have this law in their own crates; here MCP stands behind the door
//! that feeds it. The door `cli` has it beside the code that enters it, which is no other crate's to call.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use haversack::Boundary;
use haversack::testing::{Copies, MissingPaths, missing_paths, missing_paths_at};
use haversack::well_known::TenantId;
use haversack_server::boundary::{HTTP, OPERATOR, SESSION, TURN};
use haversack_server::operator::Operator;
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::json;

use super::harness::{Key, TestServer, json_of, problem, start};
use super::mcp;

const SAID: &str = "Remember that our account manager is Robin Vega.";

/// A server where somebody of another tenant has just been through every door.
async fn after_birch() -> (TestServer, Key) {
    let server = start().await;
    let (kim, lee) = (server.key("acme", "kim").await, server.key("birch", "lee").await);
    server.say(&lee, "monday", SAID).await;
    json_of(
        server.request(Method::POST, "/v1/sessions/monday/close", &lee).send().await.unwrap(),
        StatusCode::OK,
    )
    .await;
    (server, kim)
}

/// One request per path: with everything bound it is answered, and without something it is a refusal that says nothing of
/// others.
async fn refused_in_full(check: MissingPaths, door: &Boundary, request: impl Fn(usize) -> RequestBuilder) {
    let (sent, texts) = (Cell::new(0), RefCell::new(Vec::new()));
    let arrival = || async {
        sent.set(sent.get() + 1);
        let response = request(sent.get()).send().await.unwrap();
        if response.status() == StatusCode::OK {
            return Ok(());
        }
        let text = problem(response, "HV0003").await;
        texts.borrow_mut().push(text);
        Err(())
    };
    let report = check.run(arrival).await;
    report.assert_loud();
    assert_eq!(report.variables().len(), door.required().len());
    let texts = texts.into_inner();
    assert_eq!(texts.len(), door.required().len());
    for text in texts {
        assert!(["birch", "lee", "Robin", "acme"].iter().all(|word| !text.contains(word)), "{text}");
    }
}

#[tokio::test]
async fn a_request_without_a_required_variable_is_refused_at_its_door() {
    let (server, kim) = after_birch().await;
    refused_in_full(missing_paths(&HTTP), &HTTP, |_| server.request(Method::GET, "/v1/sessions", &kim)).await;
    server.server.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_turn_without_a_required_variable_is_refused_at_its_door() {
    let (server, kim) = after_birch().await;
    let turn = |number| server.turn(&kim, "desk", &format!("message {number}"));
    refused_in_full(missing_paths(&TURN), &TURN, turn).await;
    let list = json_of(server.get(&kim, "/v1/sessions").await, StatusCode::OK).await;
    assert_eq!(list["sessions"].as_array().unwrap().len(), 1, "{list}");
    assert_eq!(list["sessions"][0]["turns"], 1, "once, with everything bound: {list}");
    server.server.shutdown().await.unwrap();
}

#[tokio::test]
async fn work_in_a_session_without_a_required_variable_is_refused_at_its_door() {
    let (server, kim) = after_birch().await;
    for number in 1..=4 {
        server.say(&kim, &format!("desk-{number}"), "hello").await;
    }
    let close = |number| server.request(Method::POST, &format!("/v1/sessions/desk-{number}/close"), &kim);
    refused_in_full(missing_paths(&SESSION), &SESSION, close).await;
    let store = server.server.engine().store().clone();
    let operator = Operator::new(store.clone(), "root").unwrap();
    let visit = operator.enter(&TenantId::new("acme").unwrap(), "look").await.unwrap();
    let closed = visit.run(|| store.tenant()).unwrap();
    let closed = visit.run(|| {
        closed.read("count", |conn| {
            let sql = "SELECT count(*) FROM sessions WHERE closed_at IS NOT NULL";
            Ok(conn.query_row(sql, [], |row| row.get::<_, i64>(0))?)
        })
    });
    assert_eq!(closed.await.unwrap(), 1, "once, with everything bound");
    server.server.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_call_over_mcp_without_a_required_variable_is_refused_at_its_door() {
    let (server, kim) = after_birch().await;
    let call = || async {
        let answer = mcp::call(&server, &kim, "recall", json!({ "query": "account manager" })).await;
        let text = answer.to_string();
        assert!(!text.contains("Robin"), "{text}");
        answer["result"]["content"].is_array().then_some(()).ok_or(text)
    };
    let report = missing_paths_at("mcp").run(call).await;
    report.assert_loud();
    assert_eq!(report.variables(), ["tenant", "principal"]);
    server.server.shutdown().await.unwrap();
}

#[tokio::test]
async fn the_operator_without_a_required_variable_is_refused_after_the_row() {
    let (server, _) = after_birch().await;
    let store = server.server.engine().store().clone();
    let operator = Operator::new(store.clone(), "root").unwrap();
    let tenants = operator.tenants().await.unwrap();
    let enter = || async { operator.enter(&tenants[0], "look").await.map(drop) };
    let report = missing_paths(&OPERATOR).run(enter).await;
    report.assert_loud();
    assert_eq!(report.variables().len(), OPERATOR.required().len());
    let trail = store.control().audit().list(10).await.unwrap();
    assert_eq!(trail.iter().filter(|row| row.action == "look").count(), 3, "also what was refused");
    server.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn tenants_who_talk_at_once_read_only_their_own() {
    const MANY: usize = 6;
    let server = start().await;
    let mut keys = Vec::new();
    for number in 0..MANY {
        keys.push(server.key(&format!("copy-{number}."), "kim").await);
    }
    let server = Arc::new(server);
    Copies::new(MANY).assert_isolated(move |own| {
        let (server, key) = (server.clone(), keys[own.number()].clone());
        async move {
            own.step("before").await;
            let said = format!("Remember that our account manager is Robin {}", own.value());
            own.reads("what is answered", &server.say(&key, "desk", &said).await);
            own.step("between").await;
            let asked = server.say(&key, "desk", "Who is our account manager?").await;
            assert!(asked.contains(&own.value()), "{asked}");
            own.reads("what is recalled", &asked);
            for path in ["/v1/sessions", "/v1/sessions/desk"] {
                own.reads(path, &server.get(&key, path).await.text().await.unwrap());
            }
            let called = mcp::call(&server, &key, "recall", json!({ "query": "account manager" })).await;
            own.reads("mcp", &called.to_string());
            own.step("after").await;
        }
    });
}
