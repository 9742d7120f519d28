//! `mcp stdio --server`: clients that speak over standard input and output share a running server.

use serde_json::json;

use super::{FACT, knows_the_fact, matrix, memory};
use crate::clients::{Client, LEGACY, MODERN, over_http, over_stdio, said};
use crate::installation::Installation;

#[test]
fn a_bridge_lets_stdio_clients_share_a_running_server() {
    let installation = Installation::new("");
    let key = installation.key("acme", "kim");
    let file = installation.write("kim.key", &format!("{key}\n"));
    let server = installation.serve();
    let arguments = ["--server", &server.url, "--key-file", file.to_str().unwrap()];
    for (client, revision) in matrix() {
        let told = client.run(&over_stdio(&installation, &arguments, revision, memory()));
        knows_the_fact(&told, &format!("{client:?} {revision}"));
    }
    let mut plan = over_stdio(&installation, &["--server", &server.url], LEGACY, memory());
    plan["env"] = json!({ "HAVERSACK_KEY": key });
    // Two at once, beside a client over HTTP.
    let (first, second) = (Client::V1.command(&plan), Client::Sdk.command(&plan));
    let run = |mut command: std::process::Command| std::thread::spawn(move || command.output().unwrap());
    let (one, two) = (run(first.0), run(second.0));
    knows_the_fact(&Client::Fast.run(&over_http(&server.url, &key, MODERN, memory())), "over HTTP");
    knows_the_fact(&said(&one.join().unwrap(), "v1"), "first bridge");
    knows_the_fact(&said(&two.join().unwrap(), "sdk"), "second bridge");
}

#[test]
fn a_bridge_outlives_the_session_of_its_server() {
    let installation = Installation::new("[mcp]\nsession_idle_s = 1\n");
    let key = installation.key("acme", "kim");
    let server = installation.serve();
    let steps = json!([
        { "call": "remember", "arguments": { "text": FACT } },
        { "pause": 3 },
        { "call": "recall", "arguments": { "query": "account manager" } },
    ]);
    let mut plan = over_stdio(&installation, &["--server", &server.url], LEGACY, steps);
    plan["env"] = json!({ "HAVERSACK_KEY": key });
    let told = Client::V1.run(&plan);
    knows_the_fact(&told, "v1");
    assert!(told["results"][1]["text"].as_str().unwrap().contains("\"this_session\":true"), "{told}");
}
