//! Bad input over HTTP: each line of it has a code, changes nothing, and is not repeated in the answer.

use reqwest::header::{ALLOW, CONTENT_TYPE};
use reqwest::{Method, Response};
use serde_json::json;

use super::harness::{Key, TestServer, problem, start};

const TURNS: &str = "/v1/sessions/s/turns";

async fn post(server: &TestServer, key: &Key, body: impl Into<reqwest::Body>) -> Response {
    let request =
        server.request(Method::POST, TURNS, key).header(CONTENT_TYPE, "application/json").body(body);
    request.send().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_over_the_limit_is_refused() {
    let server = start().await;
    let key = server.key("acme", "kim").await;
    for size in [300 * 1024, 1024 * 1024, 4 * 1024 * 1024] {
        let response = server.turn(&key, "s", &"x".repeat(size)).send().await.unwrap();
        assert_eq!(response.status(), 413);
        problem(response, "HV0210").await;
    }
    // Without a declared length the limit holds as well.
    let chunks = (0..40).map(|_| Ok::<_, std::io::Error>(vec![b' '; 16 * 1024]));
    let endless = reqwest::Body::wrap_stream(futures_util::stream::iter(chunks));
    problem(post(&server, &key, endless).await, "HV0210").await;
    assert_eq!(server.get(&key, "/v1/sessions/s").await.status(), 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_over_its_limit_is_refused_by_name() {
    let server = start().await;
    let key = server.key("acme", "kim").await;
    let text = problem(server.turn(&key, "s", &"x".repeat(65 * 1024)).send().await.unwrap(), "HV0212").await;
    assert!(text.contains("`message`"), "{text}");
    problem(server.turn(&key, "s", " \n\t ").send().await.unwrap(), "HV0212").await;
    problem(server.turn(&key, "s", "").send().await.unwrap(), "HV0212").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_json_is_refused_with_its_place() {
    let server = start().await;
    let key = server.key("acme", "kim").await;
    let text = problem(post(&server, &key, "{\"message\":\n  canary-7}").await, "HV0211").await;
    assert!(text.contains("line 2, column 3"), "{text}");
    assert!(!text.contains("canary-7"), "{text}");
    for body in [
        "",
        "{",
        "{\"message\": \"a\"",
        "nonsense",
        "{\"message\": \"a\"} tail",
        "{\"message\": \"\\ud800\"}",
    ] {
        problem(post(&server, &key, body).await, "HV0211").await;
    }
    problem(post(&server, &key, vec![b'{', 0xff, b'}']).await, "HV0211").await;
    let deep = "[".repeat(100_000);
    problem(post(&server, &key, deep.clone()).await, "HV0211").await;
    problem(post(&server, &key, deep + &"]".repeat(100_000)).await, "HV0212").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_field_of_the_wrong_shape_is_refused_and_not_repeated() {
    let server = start().await;
    let key = server.key("acme", "kim").await;
    for body in [
        json!({}),
        json!([]),
        json!(["canary-7"]),
        json!(null),
        json!("canary-7"),
        json!({ "message": 7 }),
        json!({ "message": null }),
        json!({ "message": ["canary-7"] }),
        json!({ "message": { "canary-7": 1 } }),
        json!({ "message": "a", "tenant": "canary-7" }),
        json!({ "message": "a", "canary-7": true }),
    ] {
        let text = problem(post(&server, &key, body.to_string()).await, "HV0212").await;
        assert!(!text.contains("canary-7"), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_not_declared_as_json_is_refused() {
    let server = start().await;
    let key = server.key("acme", "kim").await;
    for media_type in ["text/plain", "application/x-www-form-urlencoded", "application/jsonp", "json"] {
        let request = server.request(Method::POST, TURNS, &key).header(CONTENT_TYPE, media_type);
        problem(request.body("{\"message\": \"a\"}").send().await.unwrap(), "HV0214").await;
    }
    let request = server.request(Method::POST, TURNS, &key).body("{\"message\": \"a\"}");
    problem(request.send().await.unwrap(), "HV0214").await;
    let request =
        server.request(Method::POST, TURNS, &key).header(CONTENT_TYPE, "Application/JSON; charset=utf-8");
    assert_eq!(request.body("{\"message\": \"hello\"}").send().await.unwrap().status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_name_outside_the_rules_is_refused_on_every_route() {
    let server = start().await;
    let key = server.key("acme", "kim").await;
    let unicode = "%C3%BC".repeat(2048);
    let long = "a".repeat(129);
    for name in [
        "..%2Fx",
        "%2E%2E%2Fx",
        "..%5Cx",
        ".hidden",
        "a%20b",
        "a%00b",
        "a%2Fb",
        "%FF",
        "a%25",
        &unicode,
        &long,
    ] {
        problem(server.turn(&key, name, "hello").send().await.unwrap(), "HV0207").await;
        problem(server.get(&key, &format!("/v1/sessions/{name}")).await, "HV0207").await;
        let delete = server.request(Method::DELETE, &format!("/v1/sessions/{name}"), &key);
        problem(delete.send().await.unwrap(), "HV0207").await;
    }
    let listed = server.get(&key, "/v1/sessions").await.text().await.unwrap();
    assert!(listed.contains("\"sessions\":[]"), "{listed}");
    let data = server.folder.path();
    let mut outside =
        std::fs::read_dir(data).unwrap().map(|entry| entry.unwrap().file_name()).collect::<Vec<_>>();
    outside.sort();
    assert_eq!(outside, ["data", "data.keys", "data.keys.lock"], "the data folder, and its key file");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_turn_id_that_is_none_is_not_found() {
    let server = start().await;
    let key = server.key("acme", "kim").await;
    let unknown = format!("turn_{}", "0".repeat(32));
    for id in ["x", "turn_", "..%2Fx", "%FF", &unknown, &"a".repeat(5000)] {
        for path in ["", "/context", "/events"] {
            problem(server.get(&key, &format!("/v1/turns/{id}{path}")).await, "HV0206").await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idempotency_key_outside_the_rules_is_refused() {
    let server = start().await;
    let key = server.key("acme", "kim").await;
    for bad in ["", "a b", "\u{fc}", &"k".repeat(129)] {
        let request = server.turn(&key, "s", "hello").header("Idempotency-Key", bad);
        problem(request.send().await.unwrap(), "HV0209").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_paths_and_methods_are_problems_too() {
    let server = start().await;
    let key = server.key("acme", "kim").await;
    for path in ["/", "/v1", "/v2/sessions", "/v1/sessions/a/b", "/v1/turns/"] {
        problem(server.get(&key, path).await, "HV0215").await;
    }
    let response = server.request(Method::PUT, "/v1/sessions/s", &key).send().await.unwrap();
    assert_eq!(response.headers()[ALLOW], "GET,HEAD,DELETE");
    problem(response, "HV0216").await;
    let response = server.request(Method::POST, "/healthz", &key).send().await.unwrap();
    problem(response, "HV0216").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_or_cursor_outside_the_rules_is_refused() {
    let server = start().await;
    let key = server.key("acme", "kim").await;
    for query in ["limit=0", "limit=101", "limit=-1", "limit=x", "before=..%2Fx", "limit=1&limit=2"] {
        problem(server.get(&key, &format!("/v1/sessions?{query}")).await, "HV0212").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_id_is_taken_when_it_is_plain_and_made_when_it_is_not() {
    let server = start().await;
    let send = async |id: &str| {
        let request = server.http.get(format!("{}/healthz", server.server.url())).header("X-Request-Id", id);
        request.send().await.unwrap().headers()["x-request-id"].to_str().unwrap().to_owned()
    };
    assert_eq!(send("client-7.a_B").await, "client-7.a_B");
    for bad in ["", "a b", "<script>", &"a".repeat(65)] {
        assert!(send(bad).await.starts_with("req_"), "{bad}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_code_has_a_page_on_the_server() {
    let server = start().await;
    let page = |code: &str| server.http.get(format!("{}/errors/{code}", server.server.url())).send();
    for code in haversack_server::code::Code::ALL {
        let response = page(code.id()).await.unwrap();
        assert_eq!(response.headers()[CONTENT_TYPE], "text/markdown; charset=utf-8");
        assert_eq!(response.text().await.unwrap(), code.page());
    }
    problem(page("HV9999").await.unwrap(), "HV0215").await;
}

/// A model that panics with what it was told.
struct Panicking;

impl haversack_agent::model::ChatModel for Panicking {
    fn name(&self) -> &str {
        "panicking"
    }

    fn chat(&self, request: haversack_agent::model::ChatRequest) -> haversack_agent::model::ModelStream {
        panic!("{request:?}")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_is_an_answer_without_detail_and_frees_the_session() {
    let server = super::harness::start_with(|_| {}, Some(std::sync::Arc::new(Panicking))).await;
    let key = server.key("acme", "kim").await;
    for _ in 0..2 {
        let response = server.turn(&key, "s", "canary-7").send().await.unwrap();
        assert_eq!(response.status(), 500);
        let text = problem(response, "HV0500").await;
        assert!(!text.contains("canary-7") && !text.contains("panic"), "{text}");
    }
}
