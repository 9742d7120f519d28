//! Whose a run is: to everybody else it is one that never was, and its key is theirs to use as well.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::{begin, ended, examples, one, serving};
use crate::harness::{Key, TestServer, json_of, problem};
use crate::program::settled;

/// To this key the run `mine` looks like one that never was, on every route, and in no list.
async fn mine_is_unknown_to(server: &TestServer, key: &Key) {
    let detail = async |method: Method, path: String| {
        let answer = server.request(method, &path, key).send().await.unwrap();
        serde_json::from_str::<Value>(&problem(answer, "HV0703").await).unwrap()["detail"].clone()
    };
    for (method, rest) in
        [(Method::GET, ""), (Method::DELETE, ""), (Method::GET, "/log"), (Method::POST, "/retry")]
    {
        let foreign = detail(method.clone(), format!("/v1/runs/mine{rest}")).await;
        assert_eq!(foreign, detail(method, format!("/v1/runs/never{rest}")).await);
    }
    let runs = json_of(server.get(key, "/v1/runs").await, StatusCode::OK).await;
    assert_eq!(runs["runs"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_of_another_tenant_is_as_unknown_as_one_that_never_was() {
    let server = serving(&examples()).await;
    let (kim, sam) = (server.key("acme", "kim").await, server.key("contoso", "sam").await);
    json_of(begin(&server, &kim, "linear", json!({ "key": "mine" })).await, StatusCode::ACCEPTED).await;
    ended(&server, &kim, "mine").await;
    mine_is_unknown_to(&server, &sam).await;
    // The name is theirs to use as well.
    json_of(begin(&server, &sam, "linear", json!({ "key": "mine" })).await, StatusCode::ACCEPTED).await;
    assert_eq!(ended(&server, &sam, "mine").await["principal"], "sam");
    server.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_of_a_colleague_is_as_unknown_as_one_that_never_was() {
    let server = serving(&examples()).await;
    let (kim, sam) = (server.key("acme", "kim").await, server.key("acme", "sam").await);
    let canary = json!({ "key": "mine", "parameters": { "word": "canary" } });
    json_of(begin(&server, &kim, "step_fails", canary).await, StatusCode::ACCEPTED).await;
    let before = ended(&server, &kim, "mine").await;
    assert_eq!((&before["status"], &before["parameters"]["word"]), (&"failed".into(), &"canary".into()));
    mine_is_unknown_to(&server, &sam).await;
    // Both at once under one name, each with a job of its own.
    json_of(begin(&server, &sam, "linear", json!({ "key": "mine" })).await, StatusCode::ACCEPTED).await;
    assert_eq!(ended(&server, &sam, "mine").await["principal"], "sam");
    let retried = server.request(Method::POST, "/v1/runs/mine/retry", &kim).send().await.unwrap();
    json_of(retried, StatusCode::ACCEPTED).await;
    let after = ended(&server, &kim, "mine").await;
    assert_eq!((&after["principal"], &after["pipeline"]), (&"kim".into(), &"step_fails".into()));
    server.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn one_key_of_two_people_is_two_runs_that_both_are_executed() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().display();
    let wait = format!("touch {place}/began-$who; while ! test -e {place}/gate; do sleep 0.05; done");
    let text = one(&wait, "").replace("      next:", "      parameters: [who]\n      next:");
    std::fs::write(folder.path().join("slow.yaml"), text).unwrap();
    let server = serving(folder.path()).await;
    for who in ["kim", "sam"] {
        let (key, body) =
            (server.key("acme", who).await, json!({ "key": "r", "parameters": { "who": who } }));
        json_of(begin(&server, &key, "slow", body).await, StatusCode::ACCEPTED).await;
    }
    let mark = |who: &str| folder.path().join(format!("began-{who}"));
    settled(async || (mark("kim").exists() && mark("sam").exists()).then_some(())).await;
    std::fs::write(folder.path().join("gate"), "").unwrap();
    for who in ["kim", "sam"] {
        let view = ended(&server, &server.key("acme", who).await, "r").await;
        assert_eq!((&view["status"], &view["principal"]), (&"succeeded".into(), &who.into()));
    }
    server.server.shutdown().await.unwrap();
}
