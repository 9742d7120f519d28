//! Calls that are answered later, and to whom they are not.

use std::time::{Duration, Instant};

use serde_json::json;

use super::{every_call_worked, with_pipelines};
use crate::clients::{Client, LEGACY, MODERN, inspector_calls, over_http};

#[test]
fn a_client_of_an_older_revision_that_lists_tasks_is_answered_at_once() {
    let installation = with_pipelines("", &[("report", &["echo done"])]);
    let key = installation.key("acme", "kim");
    let server = installation.serve();
    let call = json!([{ "call": "report", "arguments": { "request": "now" } }]);
    let mut plan = over_http(&server.url, &key, LEGACY, call);
    plan["tasks"] = json!(true);
    let told = Client::V2.run(&plan);
    every_call_worked(&told, "v2");
    assert!(told["results"][0]["text"].as_str().unwrap().contains("succeeded"), "{told}");
    // The Inspector lists the extension by itself.
    let (code, text) = inspector_calls(&server.url, &key, "report", "request=now");
    assert!(code == Some(0) && text.contains("succeeded"), "{code:?} {text}");
}

#[test]
fn the_tasks_client_of_fastmcp_creates_watches_fetches_and_cancels() {
    let slow = "echo one; sleep 1";
    let installation =
        with_pipelines("", &[("report", &[slow, slow]), ("broken", &["exit 3"]), ("long", &["sleep 60"])]);
    let key = installation.key("acme", "kim");
    let server = installation.serve();
    let ask = |what: &str, tool: &str| {
        let call = json!([{ "call": tool, "arguments": { "request": "now" } }]);
        let mut plan = over_http(&server.url, &key, MODERN, call);
        plan["tasks"] = json!(what);
        // With a fixed revision it does not ask whether the server has tasks.
        plan["auto"] = json!(true);
        Client::Tasks.run(&plan)["results"][0].clone()
    };
    let report = ask("fetch", "report");
    let text = report["text"].as_str().unwrap_or_else(|| panic!("{report}"));
    assert!(report["error"] == false && text.starts_with("completed"), "{report}");
    assert!(text.contains("succeeded") && text.contains("step step2 is running"), "{report}");
    let broken = ask("fetch", "broken");
    assert!(broken["error"] == true && broken["text"].as_str().unwrap().contains("exit code 3"), "{broken}");
    let began = Instant::now();
    let cancelled = ask("cancel", "long");
    assert_eq!(cancelled["text"], "cancelled", "{cancelled}");
    assert!(began.elapsed() < Duration::from_secs(50));
    // Without the explicit handle the client polls by itself.
    let call = json!([{ "call": "report", "arguments": { "request": "now" } }]);
    let mut plan = over_http(&server.url, &key, MODERN, call);
    plan["auto"] = json!(true);
    every_call_worked(&Client::Tasks.run(&plan), "tasks");
}

#[test]
fn a_task_is_found_while_it_works_however_long_that_is() {
    let installation = with_pipelines("[jobs]\nresult_ttl_s = 2\n", &[("slow", &["sleep 5"])]);
    let key = installation.key("acme", "kim");
    let server = installation.serve();
    let call = json!([{ "call": "slow", "arguments": { "request": "now" } }]);
    let mut plan = over_http(&server.url, &key, MODERN, call);
    (plan["tasks"], plan["auto"]) = (json!("fetch"), json!(true));
    let told = Client::Tasks.run(&plan);
    every_call_worked(&told, "tasks");
    assert!(told["results"][0]["text"].as_str().unwrap().starts_with("completed"), "{told}");
}
