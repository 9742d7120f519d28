//! The MCP endpoint behind the keys of a real server, spoken to by hand, and over standard input and output.

use std::path::Path;

use haversack_server::config::{Config, PipelineTool};
use reqwest::{RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};
use sha2::Digest;

use super::harness::{Key, TestServer, json_of, problem, start, start_with};
use super::program::{Worker, lines, run_with, settled, stderr};

/// A revision with sessions of the transport, and one without.
pub(crate) const OLD: &str = "2025-11-25";
const NEW: &str = "2026-07-28";

fn tasks() -> Value {
    json!({ "extensions": { "io.modelcontextprotocol/tasks": {} } })
}

/// A message to the endpoint, with whatever key the caller adds.
fn post(server: &TestServer, message: &Value) -> RequestBuilder {
    let request = server.http.post(format!("{}/mcp", server.server.url())).json(message);
    request.header("accept", "application/json, text/event-stream")
}

/// A message of the revision without sessions, of a client that speaks tasks, in the session `monday`.
fn ask(server: &TestServer, key: &Key, method: &str, mut params: Value) -> RequestBuilder {
    let names: Vec<String> =
        ["name", "taskId"].iter().filter_map(|name| params[name].as_str().map(str::to_owned)).collect();
    let meta = &mut params["_meta"];
    meta["io.modelcontextprotocol/protocolVersion"] = NEW.into();
    meta["io.modelcontextprotocol/clientInfo"] = json!({ "name": "law", "version": "1" });
    meta["io.modelcontextprotocol/clientCapabilities"] = tasks();
    let message = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
    let mut request = post(server, &message).bearer_auth(&key.text);
    request = request.header("mcp-protocol-version", NEW).header("mcp-method", method);
    for name in names {
        request = request.header("mcp-name", name);
    }
    request.header("haversack-session", "monday")
}

async fn answer(response: Response) -> Value {
    let text = response.text().await.unwrap();
    let data = text.lines().rev().find_map(|line| line.strip_prefix("data:")).unwrap_or(&text);
    serde_json::from_str(data).unwrap_or_else(|_| panic!("{text}"))
}

/// What a tool answered.
pub(super) async fn call(server: &TestServer, key: &Key, tool: &str, arguments: Value) -> Value {
    let params = json!({ "name": tool, "arguments": arguments });
    answer(ask(server, key, "tools/call", params).send().await.unwrap()).await
}

/// Begins a session of the transport; its id.
pub(crate) async fn begin(server: &TestServer, key: &Key) -> String {
    let params = json!({
        "protocolVersion": OLD, "capabilities": {}, "clientInfo": { "name": "law", "version": "1" },
    });
    let message = json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params });
    let response = post(server, &message).bearer_auth(&key.text).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    response.headers()["mcp-session-id"].to_str().unwrap().to_owned()
}

fn exporting(config: &mut Config, folder: &Path) {
    config.pipelines.folder = Some(folder.to_owned());
    config.pipelines.tools = vec![PipelineTool {
        name: "export".to_owned(),
        pipeline: "export".to_owned(),
        description: "Exports the orders of the day.".to_owned(),
    }];
}

fn export() -> &'static str {
    "dag:\n  start_at: only\n  steps:\n    only:\n      type: task\n      command_type: shell\n      command: |\n        \
     echo '{\"rows\": 12}' > \"$HAVERSACK_RETURNS\"\n      returns: [rows]\n      next: done\n    done: {type: success}\n"
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_key_nobody_is_heard_and_with_one_the_tools_are_listed() {
    let server = start().await;
    let kim = server.key("acme", "kim").await;
    let list = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {} });
    let refused = post(&server, &list).send().await.unwrap();
    assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
    problem(refused, "HV0201").await;
    problem(post(&server, &list).bearer_auth("hv_no_such").send().await.unwrap(), "HV0201").await;

    let listed = answer(ask(&server, &kim, "tools/list", json!({})).send().await.unwrap()).await;
    let tools = listed["result"]["tools"].as_array().unwrap_or_else(|| panic!("{listed}"));
    let names: Vec<&str> = tools.iter().map(|tool| tool["name"].as_str().unwrap()).collect();
    for name in ["note_attempt", "recall", "remember", "search_knowledge"] {
        assert!(names.contains(&name), "{names:?}");
    }
    // What belongs to a conversation of the gateway stays with the agents.
    assert!(!names.contains(&"send_message") && !names.contains(&"schedule"), "{names:?}");
    server.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_is_turned_off_is_not_there() {
    let server = start_with(|config| config.mcp.enabled = false, None).await;
    let kim = server.key("acme", "kim").await;
    problem(ask(&server, &kim, "tools/list", json!({})).send().await.unwrap(), "HV0215").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_or_an_origin_that_is_not_listed_is_refused() {
    let server = start_with(
        |config| {
            config.mcp.hosts = vec!["mcp.example.com".to_owned()];
            config.mcp.origins = vec!["https://app.example.com".to_owned()];
        },
        None,
    )
    .await;
    let kim = server.key("acme", "kim").await;
    let list = || ask(&server, &kim, "tools/list", json!({}));
    for (name, value) in
        [("host", "rebound.example.com"), ("origin", "https://evil.example.com"), ("origin", "null")]
    {
        problem(list().header(name, value).send().await.unwrap(), "HV0901").await;
    }
    for (name, value) in [("host", "mcp.example.com"), ("origin", "https://app.example.com")] {
        assert_eq!(list().header(name, value).send().await.unwrap().status(), StatusCode::OK, "{value}");
    }
    let mut config = Config::default();
    config.mcp.origins = vec!["example.com".to_owned()];
    assert!(config.check().unwrap_err().to_string().contains("[mcp]"), "a typing error is no silent refusal");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_tenants_with_fifty_calls_at_once_see_their_own() {
    let server = start().await;
    let keys = [server.key("acme", "kim").await, server.key("contoso", "sam").await];
    let manager = ["Robin Vega", "Toni Lund"];
    for (key, manager) in keys.iter().zip(manager) {
        let told =
            call(&server, key, "remember", json!({ "text": format!("Our account manager is {manager}.") }))
                .await;
        assert!(told["result"]["isError"] != true, "{told}");
    }
    let calls = (0..100).map(|number| {
        let (server, keys) = (&server, &keys);
        async move {
            let mine = number % 2;
            let found = call(server, &keys[mine], "recall", json!({ "query": "account manager" })).await;
            let text = found.to_string();
            assert!(text.contains(manager[mine]) && !text.contains(manager[1 - mine]), "{text}");
        }
    });
    futures_util::future::join_all(calls).await;
    server.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_of_somebody_else_is_as_unknown_as_one_that_never_was() {
    let server = start().await;
    let (kim, lee) = (server.key("acme", "kim").await, server.key("acme", "lee").await);
    let sam = server.key("contoso", "sam").await;
    let session = begin(&server, &kim).await;
    let list = json!({ "jsonrpc": "2.0", "id": 2, "method": "tools/list", "params": {} });
    let tried = async |key: &Key, session: &str| {
        let request = post(&server, &list).bearer_auth(&key.text).header("mcp-protocol-version", OLD);
        let response = request.header("mcp-session-id", session).send().await.unwrap();
        let (status, text) = (response.status(), response.text().await.unwrap());
        // Each request has an id of its own.
        (status, text.split("\"instance\"").next().unwrap_or_default().to_owned())
    };
    assert_eq!(tried(&kim, &session).await.0, StatusCode::OK);
    let never = tried(&kim, "0f0f0f0f-0000-4000-8000-000000000000").await;
    assert_eq!(never.0, StatusCode::NOT_FOUND);
    for stranger in [&lee, &sam] {
        assert_eq!(tried(stranger, &session).await, never);
    }
    server.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_background_tool_is_a_task_that_a_worker_process_completes_for_its_owner_alone() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("export.yaml"), export()).unwrap();
    let server = start_with(
        |config| {
            exporting(config, folder.path());
            config.jobs.embedded_worker = false;
        },
        None,
    )
    .await;
    let (kim, sam) = (server.key("acme", "kim").await, server.key("contoso", "sam").await);
    let begun = call(&server, &kim, "export", json!({ "request": "the export of today" })).await;
    assert_eq!(
        (&begun["result"]["resultType"], &begun["result"]["status"]),
        (&json!("task"), &json!("working")),
        "{begun}"
    );
    let task = begun["result"]["taskId"].as_str().unwrap().to_owned();
    let get = async |key: &Key, id: &str| {
        answer(ask(&server, key, "tasks/get", json!({ "taskId": id })).send().await.unwrap()).await
    };
    assert_eq!(get(&kim, &task).await["result"]["status"], "working", "nobody has done it yet");
    let never = get(&sam, "job_00000000000000000000000000000000").await;
    assert_eq!(get(&sam, &task).await, never);
    assert!(never["error"].is_object(), "{never}");
    let cancelled = ask(&server, &sam, "tasks/cancel", json!({ "taskId": task })).send().await.unwrap();
    assert_eq!(answer(cancelled).await["error"], never["error"]);

    let file = format!(
        "[pipelines]\nfolder = {:?}\n[[pipelines.tools]]\nname = \"export\"\npipeline = \"export\"\n\
         description = \"Exports the orders of the day.\"\n",
        folder.path().to_str().unwrap()
    );
    let here = tempfile::tempdir().unwrap();
    std::fs::write(here.path().join("haversack.toml"), file).unwrap();
    let _worker = Worker::start(here.path(), &server.folder.path().join("data"));
    let done = settled(async || {
        let state = get(&kim, &task).await["result"].clone();
        (state["status"] != "working").then_some(state)
    })
    .await;
    assert_eq!(done["status"], "completed", "{done}");
    assert!(done["result"].to_string().contains("rows: 12"), "{done}");
    // The run is the tenant's, made in the worker.
    let runs = json_of(server.get(&kim, "/v1/runs").await, StatusCode::OK).await;
    assert_eq!(
        (&runs["runs"][0]["pipeline"], &runs["runs"][0]["principal"]),
        (&json!("export"), &json!("kim"))
    );
    assert_eq!(json_of(server.get(&sam, "/v1/runs").await, StatusCode::OK).await["runs"], json!([]));
}

#[test]
fn over_standard_output_goes_the_protocol_and_nothing_else() {
    let here = tempfile::tempdir().unwrap();
    let params = json!({
        "protocolVersion": OLD, "capabilities": {}, "clientInfo": { "name": "law", "version": "1" },
    });
    let call = |id: u32, name: &str, arguments: Value| {
        let params =
            json!({ "name": name, "arguments": arguments, "_meta": { "haversack/session": "monday" } });
        json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params })
    };
    let say = |who: &[&str], messages: &[Value]| {
        let begin = [
            json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params }),
            json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }),
        ];
        let input: String = begin.iter().chain(messages).map(|message| format!("{message}\n")).collect();
        let arguments: Vec<&str> = ["mcp", "stdio"].iter().chain(who).copied().collect();
        run_with(here.path(), &arguments, &input)
    };
    let told = say(
        &["--tenant", "acme", "--principal", "kim"],
        &[call(1, "remember", json!({ "text": "Our account manager is Robin Vega." }))],
    );
    assert!(told.status.success(), "{}", stderr(&told));
    // Every line is a message of the protocol, or this panics.
    assert_eq!(lines(&told).len(), 2, "{}", stderr(&told));
    assert!(!stderr(&told).contains("Robin Vega"), "{}", stderr(&told));
    let ask = [call(1, "recall", json!({ "query": "account manager" }))];
    let mine = say(&["--tenant", "acme", "--principal", "kim"], &ask);
    assert!(lines(&mine)[1].to_string().contains("Robin Vega"), "{:?}", lines(&mine));
    let other = say(&["--tenant", "contoso", "--principal", "kim"], &ask);
    assert!(!lines(&other)[1].to_string().contains("Robin Vega"), "{:?}", lines(&other));
}

/// Returns true if a call was refused because others of its tenant are under way.
fn busy(told: &Value) -> bool {
    told["result"]["isError"] == true && told.to_string().contains("calls of this tenant are under way")
}

/// A call of a client that does not speak tasks, so that it is answered at once.
fn at_once(server: &TestServer, key: &Key, tool: &str, arguments: Value) -> RequestBuilder {
    let meta = json!({
        "io.modelcontextprotocol/protocolVersion": NEW,
        "io.modelcontextprotocol/clientInfo": { "name": "law", "version": "1" },
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    let params = json!({ "name": tool, "arguments": arguments, "_meta": meta });
    let message = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params });
    let request = post(server, &message).bearer_auth(&key.text).header("mcp-protocol-version", NEW);
    request.header("mcp-method", "tools/call").header("mcp-name", tool).header("haversack-session", "monday")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_at_its_number_of_calls_is_refused_and_others_are_not() {
    let prepare = |config: &mut Config| {
        config.limits.concurrent_turns = 1;
        config.store.busy_timeout_ms = 600_000;
        (config.limits.requests_per_second, config.limits.burst) = (100_000, 100_000);
    };
    let server = start_with(prepare, None).await;
    let (kim, sam) = (server.key("acme", "kim").await, server.key("acme", "sam").await);
    let other = server.key("other", "kim").await;
    let remember = |key: &Key, name: &str| {
        let text = format!("The account manager is Robin {name}.");
        at_once(&server, key, "remember", json!({ "text": text })).send()
    };
    let recall = async || {
        let asked = at_once(&server, &sam, "recall", json!({ "query": "account manager" }));
        answer(asked.send().await.unwrap()).await
    };
    assert_eq!(answer(remember(&kim, "Vega").await.unwrap()).await["result"]["isError"], json!(false));
    // Nobody can write in the tenant's file, so a call that writes goes on until it is let go.
    let mut files = std::fs::read_dir(server.folder.path().join("data/tenants")).unwrap();
    let file = files.find_map(|file| {
        let path = file.unwrap().path();
        path.extension().is_some_and(|end| end == "sqlite").then_some(path)
    });
    let held = haversack_store::sqlite::Connection::open(file.unwrap()).unwrap();
    held.busy_timeout(std::time::Duration::from_secs(60)).unwrap();
    held.execute_batch("BEGIN IMMEDIATE").unwrap();
    // It may come while a look-up below has the place, and tries again.
    let lund = at_once(&server, &kim, "remember", json!({ "text": "The account manager is Robin Lund." }));
    let waits = haversack::spawn(async move {
        loop {
            let told = answer(lund.try_clone().unwrap().send().await.unwrap()).await;
            if !busy(&told) {
                break told;
            }
        }
    });
    let mut refused = Value::Null;
    // The first few may come before the call that waits.
    for _ in 0..1000 {
        refused = recall().await;
        if busy(&refused) {
            break;
        }
    }
    assert!(busy(&refused), "{refused}");
    assert_eq!(answer(remember(&other, "Haas").await.unwrap()).await["result"]["isError"], json!(false));
    drop(held);
    let waited = waits.await.unwrap();
    assert_eq!(waited["result"]["isError"], json!(false), "{waited}");
    assert_eq!(recall().await["result"]["isError"], json!(false), "a call that ended gives its place back");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_told_in_a_session_of_mcp_can_be_deleted_by_who_told_it() {
    let server = start().await;
    let (kim, lee) = (server.key("acme", "kim").await, server.key("acme", "lee").await);
    let remember = json!({ "text": "The account manager is Robin Vega." });
    let tried = json!({ "action": "Reset the pump", "outcome": "failed" });
    for (tool, arguments) in [("remember", remember), ("note_attempt", tried)] {
        let told = answer(at_once(&server, &kim, tool, arguments).send().await.unwrap()).await;
        assert_eq!(told["result"]["isError"], json!(false), "{told}");
    }
    // The name that the endpoint made of what the client calls its session.
    let mut name = sha2::Sha256::new();
    name.update(3_usize.to_be_bytes());
    name.update("kimnamed:monday");
    let name: String = name.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    let path = format!("/v1/sessions/mcp%2F{name}");
    let delete = async |key| server.request(reqwest::Method::DELETE, &path, key).send().await.unwrap();
    problem(delete(&lee).await, "HV0205").await;
    let receipt = json_of(delete(&kim).await, StatusCode::OK).await;
    assert_eq!(receipt, json!({ "turns": 0, "messages": 0, "attempts": 1, "memories": 1 }));
    problem(delete(&kim).await, "HV0205").await;
    let query = json!({ "query": "account manager" });
    let found = answer(at_once(&server, &kim, "recall", query).send().await.unwrap()).await;
    assert!(!found.to_string().contains("Robin Vega"), "{found}");
}
