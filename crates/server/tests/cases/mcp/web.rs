//! The endpoint as HTTP clients and browsers meet it.

use serde_json::{Value, json};

use super::{knows_the_fact, memory, post};
use crate::clients::{Client, LEGACY, MODERN, over_http};
use crate::installation::{Installation, client};

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_that_is_no_message_has_a_code() {
    let installation = Installation::new("");
    let key = installation.key("acme", "kim");
    let server = installation.serve();
    let ping = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
    let get = |name: &'static str, value: &'static str| {
        client().get(format!("{}/mcp", server.url)).bearer_auth(&key).header(name, value).send()
    };
    for (answer, status, code) in [
        (
            post(&server.url, &key, ping, &[("mcp-session-id", "00000000-0000-0000-0000-000000000000")])
                .await,
            404,
            "HV0902",
        ),
        (post(&server.url, &key, ping, &[("accept", "text/html")]).await, 406, "HV0903"),
        (post(&server.url, &key, ping, &[("content-type", "text/plain")]).await, 415, "HV0214"),
        (post(&server.url, &key, ping, &[]).await, 400, "HV0904"),
        (post(&server.url, &key, ping, &[("origin", "https://evil.example.com")]).await, 403, "HV0901"),
        (get("accept", "application/json").await.unwrap(), 406, "HV0903"),
        (get("x-nothing", "1").await.unwrap(), 400, "HV0904"),
    ] {
        assert_eq!(answer.status(), status);
        assert_eq!(answer.headers()["content-type"], "application/problem+json", "{status}");
        let problem: Value = answer.json().await.unwrap();
        assert_eq!(problem["code"], code, "{problem}");
        let page = client()
            .get(format!("{}{}", server.url, problem["type"].as_str().unwrap()))
            .send()
            .await
            .unwrap();
        assert_eq!(page.status(), 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn wildcards_one_form_alone_and_a_slash_at_the_end_are_accepted() {
    let installation = Installation::new("");
    let key = installation.key("acme", "kim");
    let server = installation.serve();
    let params = json!({ "protocolVersion": LEGACY, "capabilities": {}, "clientInfo": { "name": "c", "version": "1" } });
    let message = json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params });
    for (accept, kind) in [
        ("*/*", "text/event-stream"),
        ("application/*, text/*", "text/event-stream"),
        ("application/json", "application/json"),
        ("text/event-stream", "text/event-stream"),
    ] {
        for path in ["/mcp", "/mcp/"] {
            let request = client().post(format!("{}{path}", server.url)).bearer_auth(&key).json(&message);
            let answer = request.header("accept", accept).send().await.unwrap();
            assert_eq!(answer.status(), 200, "{accept} {path}");
            assert_eq!(answer.headers()["content-type"], kind, "{accept} {path}");
            let text = answer.text().await.unwrap();
            assert!(text.contains("\"protocolVersion\""), "{accept} {path}: {text}");
            if kind == "application/json" {
                serde_json::from_str::<Value>(&text).unwrap();
            }
        }
    }
    let plan = over_http(&format!("{}/", server.url), &key, MODERN, memory());
    let plan = {
        let mut plan = plan;
        plan["url"] = json!(format!("{}/mcp/", server.url));
        plan
    };
    knows_the_fact(&Client::Sdk.run(&plan), "with a slash");
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_a_configured_origin_may_call_and_read() {
    let installation = Installation::new("[mcp]\norigins = [\"https://app.example.com\"]\n");
    let key = installation.key("acme", "kim");
    let server = installation.serve();
    let asks = async |origin: &str| {
        let request = client()
            .request(reqwest::Method::OPTIONS, format!("{}/mcp", server.url))
            .header("origin", origin);
        let request = request.header("access-control-request-method", "POST");
        request
            .header("access-control-request-headers", "authorization, mcp-protocol-version")
            .send()
            .await
            .unwrap()
    };
    let allowed = asks("https://app.example.com").await;
    assert_eq!(allowed.status(), 204);
    let header = |answer: &reqwest::Response, name: &str| {
        answer.headers().get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
    };
    assert_eq!(header(&allowed, "access-control-allow-origin"), "https://app.example.com");
    assert!(header(&allowed, "access-control-allow-methods").contains("DELETE"));
    assert_eq!(header(&allowed, "access-control-allow-headers"), "authorization, mcp-protocol-version");
    let foreign = asks("https://evil.example.com").await;
    assert_eq!(foreign.status(), 401);
    assert!(!foreign.headers().contains_key("access-control-allow-origin"));
    let ping = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
    for key in [key.as_str(), "hv_none"] {
        let answer = post(&server.url, key, ping, &[("origin", "https://app.example.com")]).await;
        assert_eq!(
            header(&answer, "access-control-allow-origin"),
            "https://app.example.com",
            "{}",
            answer.status()
        );
        assert!(header(&answer, "access-control-expose-headers").contains("mcp-session-id"));
    }
}
