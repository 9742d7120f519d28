//! MCP, as official clients meet it, over both transports and both revisions; and by hand what no official client sends.

use serde_json::{Value, json};

use crate::clients::{Client, LEGACY, MODERN};
use crate::installation::{Installation, client};

mod bridge;
mod memory;
mod messages;
mod sessions;
mod stdio;
mod tasks;
mod tools;
mod web;

const FACT: &str = "Our account manager is Robin Vega.";

const PIPELINES: &str = "[pipelines]\nfolder = \"pipelines\"\n";

/// Remembers, notes and recalls: what needs a session.
fn memory() -> Value {
    json!([
        { "call": "remember", "arguments": { "text": FACT } },
        { "call": "note_attempt", "arguments": { "action": "Reset the pump", "outcome": "failed" } },
        { "call": "recall", "arguments": { "query": "account manager" } },
    ])
}

fn every_call_worked(told: &Value, who: &str) {
    let results = told["results"].as_array().unwrap();
    assert!(!results.is_empty(), "{who}");
    for result in results {
        assert_eq!(result["error"], json!(false), "{who}: {told}");
    }
}

fn knows_the_fact(told: &Value, who: &str) {
    every_call_worked(told, who);
    let last = told["results"].as_array().unwrap().last().unwrap();
    assert!(last["text"].as_str().unwrap().contains("Robin Vega"), "{who}: {told}");
}

/// Every client with every revision that it knows.
fn matrix() -> Vec<(Client, &'static str)> {
    let pairs = Client::ALL.into_iter().flat_map(|client| [(client, LEGACY), (client, MODERN)]);
    pairs.filter(|(client, revision)| client.speaks(revision)).collect()
}

fn tool(name: &str) -> String {
    format!("[[pipelines.tools]]\nname = \"{name}\"\npipeline = \"{name}\"\ndescription = \"Runs {name}.\"\n")
}

/// An installation whose pipelines are tools of their own: each step a shell command.
fn with_pipelines(config: &str, pipelines: &[(&str, &[&str])]) -> Installation {
    let tools: String = pipelines.iter().map(|(name, _)| tool(name)).collect();
    let installation = Installation::new(&format!("{PIPELINES}{tools}{config}"));
    for (name, commands) in pipelines {
        let mut yaml = "dag:\n  start_at: step1\n  steps:\n".to_owned();
        for (number, command) in commands.iter().enumerate() {
            let next =
                if number + 1 == commands.len() { "done".to_owned() } else { format!("step{}", number + 2) };
            yaml.push_str(&format!(
                "    step{}:\n      type: task\n      command_type: shell\n      command: {command:?}\n      next: {next}\n",
                number + 1
            ));
        }
        yaml.push_str("    done: {type: success}\n");
        installation.write(&format!("pipelines/{name}.yaml"), &yaml);
    }
    installation
}

/// Begins a session of the transport by hand; its status and id.
async fn begin(url: &str, key: &str) -> (u16, Option<String>) {
    let params = json!({ "protocolVersion": LEGACY, "capabilities": {}, "clientInfo": { "name": "c", "version": "1" } });
    let message = json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params });
    let answer = post(url, key, &message.to_string(), &[]).await;
    let session = answer.headers().get("mcp-session-id").map(|id| id.to_str().unwrap().to_owned());
    let status = answer.status().as_u16();
    let _ = answer.text().await;
    (status, session)
}

async fn post(url: &str, key: &str, body: &str, headers: &[(&str, &str)]) -> reqwest::Response {
    let mut request = client().post(format!("{url}/mcp")).bearer_auth(key).body(body.to_owned());
    for (name, value) in
        [("accept", "application/json, text/event-stream"), ("content-type", "application/json")]
    {
        if !headers.iter().any(|(given, _)| *given == name) {
            request = request.header(name, value);
        }
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.send().await.unwrap()
}
