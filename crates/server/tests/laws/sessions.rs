//! Sessions: listed, read and deleted by their owner alone; deletion is whole.

use haversack::well_known::{PRINCIPAL, Principal, SessionId, TENANT_ID, TenantId};
use haversack_server::boundary::HTTP;
use reqwest::{Method, StatusCode};
use serde_json::Value;

use super::harness::{Key, TestServer, json_of, problem, start};

async fn list(server: &TestServer, key: &Key, query: &str) -> Value {
    json_of(server.get(key, &format!("/v1/sessions{query}")).await, StatusCode::OK).await
}

fn names(list: &Value) -> Vec<&str> {
    list["sessions"].as_array().unwrap().iter().map(|session| session["session"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_of_another_principal_is_not_there() {
    let server = start().await;
    let kim = server.key("acme", "kim").await;
    let sam = server.key("acme", "sam").await;
    server.say(&kim, "s", "Remember that our account manager is Robin Canary.").await;

    let taken =
        problem(server.turn(&sam, "s", "Who is our account manager?").send().await.unwrap(), "HV0204").await;
    let unread = problem(server.get(&sam, "/v1/sessions/s").await, "HV0205").await;
    let delete = server.request(Method::DELETE, "/v1/sessions/s", &sam).send().await.unwrap();
    let kept = problem(delete, "HV0205").await;
    for text in [taken, unread, kept] {
        assert!(!text.contains("Canary") && !text.contains("kim"), "{text}");
    }
    assert!(names(&list(&server, &sam, "").await).is_empty());

    let view = json_of(server.get(&kim, "/v1/sessions/s").await, StatusCode::OK).await;
    assert_eq!(view["history"].as_array().unwrap().len(), 1, "a refused turn is not recorded");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_session_and_one_that_never_was_look_alike() {
    let server = start().await;
    let kim = server.key("acme", "kim").await;
    let sam = server.key("acme", "sam").await;
    server.say(&kim, "s", "hello").await;
    let without_id = |text: String| {
        let mut problem: Value = serde_json::from_str(&text).unwrap();
        problem["instance"].take();
        problem
    };
    let foreign = without_id(problem(server.get(&sam, "/v1/sessions/s").await, "HV0205").await);
    let absent = without_id(problem(server.get(&sam, "/v1/sessions/t").await, "HV0205").await);
    assert_eq!(foreign, absent);
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_are_listed_newest_first_in_pages() {
    let server = start().await;
    let kim = server.key("acme", "kim").await;
    for session in ["a", "b", "c", "d", "e"] {
        server.say(&kim, session, "hello").await;
    }
    server.say(&kim, "b", "hello again").await;
    let whole = list(&server, &kim, "").await;
    assert_eq!(names(&whole), ["b", "e", "d", "c", "a"]);
    assert!(whole.get("before").is_none());

    let mut seen = Vec::new();
    let mut query = "?limit=2".to_owned();
    loop {
        let page = list(&server, &kim, &query).await;
        seen.extend(names(&page).into_iter().map(str::to_owned));
        let Some(before) = page["before"].as_str() else { break };
        query = format!("?limit=2&before={before}");
    }
    assert_eq!(seen, ["b", "e", "d", "c", "a"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_deleted_is_gone_from_answers_and_files() {
    let server = start().await;
    let kim = server.key("acme", "kim").await;
    server.say(&kim, "s", "Remember that our account manager is Robin Canary.").await;
    assert!(server.say(&kim, "t", "Who is our account manager?").await.contains("Robin Canary"));

    let delete = server.request(Method::DELETE, "/v1/sessions/s", &kim).send().await.unwrap();
    let receipt = json_of(delete, StatusCode::OK).await;
    assert_eq!(receipt["turns"], 1, "{receipt}");
    assert!(receipt["memories"].as_u64().unwrap() >= 1, "{receipt}");
    problem(server.get(&kim, "/v1/sessions/s").await, "HV0205").await;
    assert!(!server.say(&kim, "u", "Who is our account manager?").await.contains("Robin Canary"));

    let delete = server.request(Method::DELETE, "/v1/sessions/t", &kim).send().await.unwrap();
    assert_eq!(delete.status(), StatusCode::OK);
    for file in walk(server.folder.path()) {
        let bytes = std::fs::read(&file).unwrap();
        let found = bytes.windows(12).any(|window| window == b"Robin Canary");
        assert!(!found, "{}", file.display());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ended_turn_of_a_deleted_session_is_gone_too() {
    let server = start().await;
    let kim = server.key("acme", "kim").await;
    let reply = json_of(server.turn(&kim, "s", "hello").send().await.unwrap(), StatusCode::OK).await;
    let turn = reply["turn"].as_str().unwrap();
    assert_eq!(server.get(&kim, &format!("/v1/turns/{turn}")).await.status(), StatusCode::OK);
    server.request(Method::DELETE, "/v1/sessions/s", &kim).send().await.unwrap();
    problem(server.get(&kim, &format!("/v1/turns/{turn}")).await, "HV0206").await;
    problem(server.get(&kim, &format!("/v1/turns/{turn}/events")).await, "HV0206").await;
}

fn walk(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files.extend(walk(&path)) } else { files.push(path) }
    }
    files
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_takes_no_turn_while_it_is_deleted() {
    let server = start().await;
    let kim = server.key("acme", "kim").await;
    server.say(&kim, "s", "Remember that the gate code is 4711.").await;
    let visit = HTTP.enter(|bind| {
        bind.bind(&TENANT_ID, TenantId::new("acme").unwrap()).bind(&PRINCIPAL, Principal::new("kim").unwrap())
    });
    let turns = server.server.engine().turns().clone();
    let session = SessionId::new("s").unwrap();
    // What DELETE does first, held for as long as the test wants.
    let shut = visit.unwrap().wrap(async move { turns.forget(&session).await }).await.unwrap();
    problem(server.turn(&kim, "s", "hello").send().await.unwrap(), "HV0220").await;
    assert_eq!(server.turn(&kim, "t", "hello").send().await.unwrap().status(), StatusCode::OK);
    drop(shut);
    assert_eq!(server.turn(&kim, "s", "hello").send().await.unwrap().status(), StatusCode::OK);
}
