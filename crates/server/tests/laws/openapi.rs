//! The OpenAPI document says what the server does: every route, every answer, every code.

use std::collections::BTreeSet;

use haversack_server::code::Code;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::harness::{json_of, start, start_with};
use super::program::settled;

/// A validator of one schema of the document.
fn validator(document: &Value, name: &str) -> jsonschema::Validator {
    let schema =
        json!({ "$ref": format!("#/components/schemas/{name}"), "components": document["components"] });
    jsonschema::validator_for(&schema).unwrap()
}

fn check(document: &Value, name: &str, value: &Value) {
    let validator = validator(document, name);
    let errors: Vec<_> =
        validator.iter_errors(value).map(|error| format!("{} at {}", error, error.instance_path())).collect();
    assert!(errors.is_empty(), "{name}: {errors:?}\n{value:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_is_as_documented() {
    let server = start().await;
    let kim = server.key("acme", "kim").await;
    let document = server.http.get(format!("{}/openapi.json", server.server.url())).send().await.unwrap();
    let document = json_of(document, StatusCode::OK).await;
    server.say(&kim, "s", "Remember that our account manager is Robin Vega.").await;
    let reply =
        server.turn(&kim, "s", "I tried restarting. Who is our account manager?").send().await.unwrap();
    let reply = json_of(reply, StatusCode::OK).await;
    check(&document, "Reply", &reply);
    let turn = reply["turn"].as_str().unwrap();
    let state = json_of(server.get(&kim, &format!("/v1/turns/{turn}")).await, StatusCode::OK).await;
    check(&document, "TurnState", &state);
    let trace = json_of(server.get(&kim, &format!("/v1/context/{turn}")).await, StatusCode::OK).await;
    check(&document, "TraceTree", &trace);
    let later = server.turn(&kim, "s", "hello").header("Prefer", "respond-async").send().await.unwrap();
    check(&document, "TurnState", &json_of(later, StatusCode::ACCEPTED).await);
    let list = json_of(server.get(&kim, "/v1/sessions?limit=1").await, StatusCode::OK).await;
    check(&document, "SessionList", &list);
    let view = json_of(server.get(&kim, "/v1/sessions/s").await, StatusCode::OK).await;
    check(&document, "SessionView", &view);
    let receipt = server.request(Method::DELETE, "/v1/sessions/s", &kim).send().await.unwrap();
    check(&document, "Receipt", &json_of(receipt, StatusCode::OK).await);
    let problem = json_of(server.get(&kim, "/v1/sessions/s").await, StatusCode::NOT_FOUND).await;
    check(&document, "Problem", &problem);
    let health = json_of(server.get(&kim, "/readyz").await, StatusCode::OK).await;
    check(&document, "Health", &health);
    // The check itself can fail.
    assert!(!validator(&document, "Reply").is_valid(&json!({ "turn": 1 })));
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_and_what_happened_in_them_are_as_documented() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/pipelines");
    let folder = folder.canonicalize().unwrap();
    let server = start_with(|config| config.pipelines.folder = Some(folder), None).await;
    let kim = server.key("acme", "kim").await;
    let document = serde_json::to_value(haversack_server::http::openapi_document()).unwrap();
    let list = json_of(server.get(&kim, "/v1/pipelines").await, StatusCode::OK).await;
    check(&document, "PipelineList", &list);
    assert!(list["pipelines"].as_array().unwrap().len() >= 20, "{list}");
    // One that succeeds with outputs, one that fails with a reason, one that is called off.
    for name in ["map", "step_fails", "parallel"] {
        let start = server.request(Method::POST, &format!("/v1/pipelines/{name}/runs"), &kim);
        let started = start.json(&json!({ "key": name })).send().await.unwrap();
        check(&document, "Run", &json_of(started, StatusCode::ACCEPTED).await);
    }
    server.request(Method::DELETE, "/v1/runs/parallel", &kim).send().await.unwrap();
    for name in ["map", "step_fails", "parallel"] {
        let run = settled(async || {
            let run = json_of(server.get(&kim, &format!("/v1/runs/{name}")).await, StatusCode::OK).await;
            (!run["ended_at"].is_null()).then_some(run)
        })
        .await;
        check(&document, "Run", &run);
        for part in ["?limit=2", "?limit=1000"] {
            let log =
                json_of(server.get(&kim, &format!("/v1/runs/{name}/log{part}")).await, StatusCode::OK).await;
            check(&document, "RunLog", &log);
            log["events"].as_array().unwrap().iter().for_each(|event| check(&document, "RunEvent", event));
        }
    }
    let retried = server.request(Method::POST, "/v1/runs/step_fails/retry", &kim).send().await.unwrap();
    check(&document, "Run", &json_of(retried, StatusCode::ACCEPTED).await);
    check(&document, "RunList", &json_of(server.get(&kim, "/v1/runs").await, StatusCode::OK).await);
    // The check itself can fail: a field that nobody documented, and one that is missing.
    let mut run = json_of(server.get(&kim, "/v1/runs/map").await, StatusCode::OK).await;
    run["undocumented"] = true.into();
    assert!(!validator(&document, "Run").is_valid(&run));
    assert!(!validator(&document, "RunLog").is_valid(&json!({ "events": [{ "number": 1 }] })));
    server.server.shutdown().await.unwrap();
}

#[test]
fn every_reference_leads_somewhere_and_every_v1_path_needs_a_key() {
    let document = serde_json::to_value(haversack_server::http::openapi_document()).unwrap();
    let text = document.to_string();
    for reference in text.split("\"$ref\":\"#").skip(1) {
        let pointer = reference.split('"').next().unwrap();
        assert!(document.pointer(pointer).is_some(), "{pointer}");
    }
    let paths = document["paths"].as_object().unwrap();
    for (path, operations) in paths {
        for (method, operation) in operations.as_object().unwrap() {
            let open = operation["security"].as_array().is_none_or(Vec::is_empty);
            assert_eq!(open, !path.starts_with("/v1/"), "{method} {path}");
            assert!(!operation["summary"].as_str().unwrap_or_default().is_empty(), "{method} {path}");
        }
    }
    let expected: BTreeSet<_> = [
        "/errors/{code}",
        "/gateway/webhook/{account}",
        "/healthz",
        "/metrics",
        "/openapi.json",
        "/readyz",
        "/v1/admin/audit",
        "/v1/admin/deliveries",
        "/v1/admin/sessions",
        "/v1/admin/sessions/{session}",
        "/v1/context/{id}",
        "/v1/deliveries",
        "/v1/jobs",
        "/v1/jobs/{job}",
        "/v1/jobs/{job}/events",
        "/v1/jobs/{job}/redrive",
        "/v1/operator/metrics",
        "/v1/operator/status",
        "/v1/operator/tenants/{tenant}/deliveries",
        "/v1/operator/tenants/{tenant}/sessions",
        "/v1/operator/tenants/{tenant}/sessions/{session}",
        "/v1/pipelines",
        "/v1/pipelines/{name}/runs",
        "/v1/runs",
        "/v1/runs/{run}",
        "/v1/runs/{run}/log",
        "/v1/runs/{run}/retry",
        "/v1/runs/{run}/steps/{step}/output",
        "/v1/sessions",
        "/v1/sessions/{session}",
        "/v1/sessions/{session}/close",
        "/v1/sessions/{session}/turns",
        "/v1/turns/{turn}",
        "/v1/turns/{turn}/context",
        "/v1/turns/{turn}/events",
    ]
    .into();
    assert_eq!(paths.keys().map(String::as_str).collect::<BTreeSet<_>>(), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_documented_path_has_a_route() {
    let server = start().await;
    let kim = server.key("acme", "kim").await;
    let document = serde_json::to_value(haversack_server::http::openapi_document()).unwrap();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for method in operations.as_object().unwrap().keys() {
            let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
            let path = path.replace("{code}", "HV0001").replace("{session}", "s").replace("{turn}", "t");
            let path = path.replace("{id}", "i").replace("{job}", "j");
            let path = path.replace("{name}", "n").replace("{run}", "r");
            let response = server.request(method.clone(), &path, &kim).send().await.unwrap();
            let text = response.text().await.unwrap();
            assert!(!text.contains("HV0215") && !text.contains("HV0216"), "{method} {path}: {text}");
        }
    }
}

#[test]
fn every_code_in_the_document_has_the_status_it_stands_under() {
    let document = serde_json::to_value(haversack_server::http::openapi_document()).unwrap();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for operation in operations.as_object().unwrap().values() {
            for (status, response) in operation["responses"].as_object().unwrap() {
                let words =
                    response["description"].as_str().unwrap().split(|c: char| !c.is_ascii_alphanumeric());
                for code in
                    words.filter_map(|word| word.starts_with("HV").then(|| Code::find(word)).flatten())
                {
                    assert_eq!(code.status().as_str(), status, "{path}: {code}");
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_count_and_name_nobody() {
    let server = start().await;
    let kim = server.key("tenant-canary", "principal-canary").await;
    server.say(&kim, "session-canary", "message-canary").await;
    server.get(&kim, "/v1/sessions/absent-canary").await;
    let response = server.http.get(format!("{}/metrics", server.server.url())).send().await.unwrap();
    assert!(response.headers()["content-type"].to_str().unwrap().starts_with("application/openmetrics-text"));
    let text = response.text().await.unwrap();
    assert!(text.contains("/v1/sessions/{session}/turns") && text.contains("HV0205"), "{text}");
    assert!(text.trim_end().ends_with("# EOF"), "{text}");
    assert!(!text.contains("canary"), "{text}");
}
