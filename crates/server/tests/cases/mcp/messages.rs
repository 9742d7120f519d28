//! Messages over HTTP that cannot be read, or whose parameters do not fit.

use serde_json::{Value, json};

use super::{begin, post};
use crate::clients::{LEGACY, MODERN};
use crate::installation::Installation;

#[tokio::test(flavor = "multi_thread")]
async fn parameters_that_do_not_fit_are_named_and_are_no_unknown_method() {
    let installation = Installation::new("");
    let key = installation.key("acme", "kim");
    let server = installation.serve();
    let session = begin(&server.url, &key).await.1.unwrap();
    for (method, params) in [
        ("tools/call", json!({})),
        ("tools/call", json!({ "name": 5 })),
        ("tools/call", json!({ "name": "recall", "arguments": "account manager" })),
        ("tools/call", json!({ "name": "recall", "arguments": ["account manager"] })),
        ("initialize", json!({ "protocolVersion": 5 })),
        ("tasks/get", json!({})),
    ] {
        for revision in [LEGACY, MODERN] {
            let mut params = params.clone();
            let mut headers = vec![("mcp-protocol-version", revision), ("mcp-method", method)];
            if revision == LEGACY {
                headers.push(("mcp-session-id", session.as_str()));
            } else {
                params["_meta"] = json!({
                    "io.modelcontextprotocol/protocolVersion": MODERN,
                    "io.modelcontextprotocol/clientInfo": { "name": "case", "version": "1" },
                    "io.modelcontextprotocol/clientCapabilities": { "extensions": { "io.modelcontextprotocol/tasks": {} } },
                });
            }
            let message = json!({ "jsonrpc": "2.0", "id": "a", "method": method, "params": params });
            let answer: Value =
                post(&server.url, &key, &message.to_string(), &headers).await.json().await.unwrap();
            assert_eq!(
                (&answer["error"]["code"], &answer["id"]),
                (&json!(-32602), &json!("a")),
                "{message} {answer}"
            );
            assert!(answer["error"]["message"].as_str().unwrap().contains(method), "{answer}");
        }
    }
    let message = json!({ "jsonrpc": "2.0", "id": 1, "method": "resources/list", "params": {} });
    let headers = [("mcp-session-id", session.as_str()), ("mcp-protocol-version", LEGACY)];
    let answer: Value = post(&server.url, &key, &message.to_string(), &headers).await.json().await.unwrap();
    assert_eq!(answer["error"]["code"], -32601, "{answer}");
    assert!(answer["error"]["message"].as_str().unwrap().contains("tools/call"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_no_message_is_a_json_rpc_error_with_its_id_where_it_can_be_read() {
    let installation = Installation::new("");
    let key = installation.key("acme", "kim");
    let server = installation.serve();
    let deep = format!(
        r#"{{"jsonrpc":"2.0","id":7,"method":"ping","params":{}{}}}"#,
        "[".repeat(300),
        "]".repeat(300)
    );
    for (body, code, id) in [
        ("{", -32700, Value::Null),
        ("\u{feff}{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}", -32700, json!(1)),
        (deep.as_str(), -32700, json!(7)),
        (r#"[{"jsonrpc":"2.0","id":1,"method":"ping"}]"#, -32600, Value::Null),
        (r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#, -32600, Value::Null),
        (r#"{"jsonrpc":"2.0","id":1.5,"method":"ping"}"#, -32600, Value::Null),
        (r#"{"jsonrpc":"2.0","id":9223372036854775808,"method":"ping"}"#, -32600, Value::Null),
        (r#"{"jsonrpc":"2.0","id":"x","method":"tools/list","params":[]}"#, -32600, json!("x")),
    ] {
        let answer = post(&server.url, &key, body, &[]).await;
        assert_eq!(answer.status(), 400, "{body}");
        assert_eq!(answer.headers()["content-type"], "application/json", "{body}");
        let answer: Value = answer.json().await.unwrap();
        assert_eq!((&answer["error"]["code"], &answer["id"]), (&json!(code), &id), "{body} {answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_is_too_long_is_answered_and_not_cut_off() {
    let installation = Installation::new("");
    let key = installation.key("acme", "kim");
    let server = installation.serve();
    let body =
        format!(r#"{{"jsonrpc":"2.0","id":1,"method":"ping","params":{{"x":"{}"}}}}"#, "x".repeat(10 << 20));
    let answer = post(&server.url, &key, &body, &[]).await;
    assert_eq!(answer.status(), 413);
    let problem: Value = answer.json().await.unwrap();
    assert_eq!(problem["code"], "HV0210");
}
