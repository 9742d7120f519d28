//! The description of a tool, and the progress and result of its call, as clients see them.

use serde_json::json;

use super::{every_call_worked, matrix, memory, with_pipelines};
use crate::clients::{Client, MODERN, over_http};
use crate::installation::Installation;

#[test]
fn a_failed_pipeline_is_an_error_to_every_stock_client() {
    let installation = with_pipelines("", &[("broken", &["exit 3"])]);
    let key = installation.key("acme", "kim");
    let server = installation.serve();
    let call = json!([{ "call": "broken", "arguments": { "request": "now" } }]);
    for (client, revision) in matrix() {
        let told = client.run(&over_http(&server.url, &key, revision, call.clone()));
        let result = &told["results"][0];
        assert_eq!(result["error"], true, "{client:?} {revision}: {told}");
        assert!(result["text"].as_str().unwrap().contains("exit code 3"), "{client:?} {revision}: {told}");
    }
}

#[test]
fn the_steps_of_a_pipeline_are_progress_to_every_stock_client() {
    let installation = with_pipelines("", &[("report", &["sleep 0.3", "sleep 0.3"])]);
    let key = installation.key("acme", "kim");
    let server = installation.serve();
    let call = json!([{ "call": "report", "arguments": { "request": "now" } }]);
    for (client, revision) in matrix() {
        // It answers through a task there, whose progress is its status.
        if client == Client::Tasks && revision == MODERN {
            continue;
        }
        let told = client.run(&over_http(&server.url, &key, revision, call.clone()));
        every_call_worked(&told, &format!("{client:?} {revision}"));
        let progress = told["results"][0]["progress"].to_string();
        assert!(
            progress.contains("step step1") && progress.contains("step step2"),
            "{client:?} {revision}: {told}"
        );
    }
}

#[test]
fn tools_have_titles_and_hints_and_the_server_its_instructions() {
    let installation = Installation::new("[mcp]\ninstructions = \"Ask before you remember.\"\n");
    let key = installation.key("acme", "kim");
    let server = installation.serve();
    for (client, revision) in matrix() {
        let mut plan = over_http(&server.url, &key, revision, memory());
        // With a fixed revision some clients ask nothing about the server.
        plan["auto"] = json!(revision == MODERN && client != Client::V1);
        let told = client.run(&plan);
        let tools = told["tools"].as_array().unwrap();
        let recall = tools.iter().find(|tool| tool["name"] == "recall").unwrap();
        assert_eq!(recall["annotations"]["readOnlyHint"], true, "{client:?} {revision}: {recall}");
        assert_eq!(recall["title"], "Recall from memory", "{client:?} {revision}: {recall}");
        assert_eq!(told["instructions"], "Ask before you remember.", "{client:?} {revision}");
    }
}
