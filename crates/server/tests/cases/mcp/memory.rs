//! Tools that need a session work with every stock client, over both transports and both revisions.

use serde_json::{Value, json};

use super::{FACT, every_call_worked, knows_the_fact, matrix, memory};
use crate::clients::{Client, LEGACY, MODERN, inspector, inspector_calls, over_http, over_stdio};
use crate::installation::Installation;

#[test]
fn memory_tools_work_with_every_stock_client_over_http() {
    let installation = Installation::new("");
    let key = installation.key("acme", "kim");
    let server = installation.serve();
    for (client, revision) in matrix() {
        let told = client.run(&over_http(&server.url, &key, revision, memory()));
        knows_the_fact(&told, &format!("{client:?} {revision}"));
    }
    // A client that finds the revision out by itself.
    for client in [Client::Sdk, Client::Fast, Client::Tasks, Client::V2] {
        let mut plan = over_http(&server.url, &key, MODERN, memory());
        plan["auto"] = json!(true);
        knows_the_fact(&client.run(&plan), &format!("{client:?} auto"));
    }
    let (code, text) = inspector_calls(&server.url, &key, "recall", "query=account manager");
    assert!(code == Some(0) && text.contains("Robin Vega"), "{code:?} {text}");
}

#[test]
fn memory_tools_work_with_every_stock_client_over_stdio() {
    for (client, revision) in matrix() {
        let installation = Installation::new("");
        let told = client.run(&over_stdio(&installation, &[], revision, memory()));
        knows_the_fact(&told, &format!("{client:?} {revision}"));
    }
    let installation = Installation::new("");
    let command = installation.command(&["mcp", "stdio"]);
    let (code, text) = inspector(&[
        command.get_program().to_str().unwrap(),
        "mcp",
        "stdio",
        "--cwd",
        installation.path().to_str().unwrap(),
        "--method",
        "tools/call",
        "--tool-name",
        "remember",
        "--tool-arg",
        &format!("text={FACT}"),
    ]);
    assert!(code == Some(0) && text.contains("new"), "{code:?} {text}");
}

#[test]
fn a_connection_over_stdio_is_a_session_and_a_name_joins_two() {
    let installation = Installation::new("");
    let recall = json!([{ "call": "recall", "arguments": { "query": "account manager" } }]);
    let remember = json!([{ "call": "remember", "arguments": { "text": FACT } }]);
    let this_session = |arguments: &[&str], steps: &Value| {
        let told = Client::Sdk.run(&over_stdio(&installation, arguments, MODERN, steps.clone()));
        every_call_worked(&told, "python");
        told["results"][0]["text"].as_str().unwrap().contains("\"this_session\":true")
    };
    this_session(&["--session", "monday"], &remember);
    assert!(!this_session(&[], &recall));
    assert!(!this_session(&["--session", "tuesday"], &recall));
    assert!(this_session(&["--session", "monday"], &recall));
}

/// The figures are in the report of whoever runs it: two tenants, 200 calls each at once, in both revisions.
#[test]
fn two_tenants_with_200_calls_at_once_each_recall_their_own() {
    let installation = Installation::new(
        "[limits]\nrequests_per_second = 100000\nburst = 100000\nconcurrent_turns = 1000\n",
    );
    let names = ["Robin Vega", "Toni Lund"];
    let keys = [installation.key("acme", "kim"), installation.key("contoso", "sam")];
    let server = installation.serve();
    for revision in [LEGACY, MODERN] {
        let running: Vec<_> = (0..2)
            .map(|number| {
                let steps = json!([
                    { "call": "remember", "arguments": { "text": format!("Our account manager is {}.", names[number]) } },
                    { "call": "recall", "arguments": { "query": "account manager" }, "times": 200 },
                ]);
                let plan = over_http(&server.url, &keys[number], revision, steps);
                std::thread::spawn(move || Client::Sdk.run(&plan))
            })
            .collect();
        for (number, running) in running.into_iter().enumerate() {
            let told = running.join().unwrap();
            every_call_worked(&told, revision);
            let recalls = &told["results"].as_array().unwrap()[1..];
            assert_eq!(recalls.len(), 200);
            for recall in recalls {
                let text = recall["text"].as_str().unwrap();
                assert!(
                    text.contains(names[number]) && !text.contains(names[1 - number]),
                    "{revision}: {text}"
                );
            }
        }
    }
}
