//! Jobs: a job whose work failed is a failed job, wherever one looks; a worker that lacks what a job needs leaves it to
//! another one; a revoked key stops what it started.

use serde_json::{Value, json};

use crate::installation::{Installation, Server, settled};

/// A pipeline of one shell step, as a file's text.
fn pipeline(command: &str) -> String {
    format!(
        "dag:\n  start_at: one\n  steps:\n    one:\n      type: task\n      command_type: shell\n      command: |\n        \
         {}\n      next: success\n    success: {{type: success}}\n    fail: {{type: fail}}\n",
        command.replace('\n', "\n        ")
    )
}

/// An installation whose tools are pipelines of one step each, by name.
fn with_tools(jobs: &str, tools: &[(&str, &str)]) -> Installation {
    let mut toml = format!("{jobs}\n[pipelines]\nfolder = \"./pipelines\"\n");
    for (name, _) in tools {
        toml.push_str(&tool(name));
    }
    let installation = Installation::new(&toml);
    for (name, command) in tools {
        installation.write(&format!("pipelines/{name}.yaml"), &pipeline(command));
    }
    installation
}

fn tool(name: &str) -> String {
    format!("[[pipelines.tools]]\nname = \"{name}\"\npipeline = \"{name}\"\ndescription = \"Does {name}.\"\n")
}

/// Posts a job of a tool; its id.
async fn posted(server: &Server, key: &str, tool: &str) -> String {
    let body = json!({ "tool": tool, "arguments": { "request": "now" } });
    let answer = server.post(key, "/v1/jobs", &body).await;
    assert_eq!(answer.status(), 202);
    answer.json::<Value>().await.unwrap()["job"].as_str().unwrap().to_owned()
}

async fn show(server: &Server, key: &str, job: &str) -> Value {
    server.get(key, &format!("/v1/jobs/{job}")).await.json().await.unwrap()
}

/// The job once it is in one of these states.
async fn once(server: &Server, key: &str, job: &str, states: &[&str]) -> Value {
    settled(async || {
        let job = show(server, key, job).await;
        states.contains(&job["state"].as_str().unwrap_or_default()).then_some(job)
    })
    .await
}

const ENDS: [&str; 4] = ["succeeded", "failed", "cancelled", "quarantined"];

#[tokio::test(flavor = "multi_thread")]
async fn a_pipeline_tool_that_exits_with_3_is_a_failed_job() {
    let installation = with_tools("", &[("broken", "echo the real reason >&2\nexit 3")]);
    let kim = installation.key("acme", "kim");
    let server = installation.serve();
    let job = posted(&server, &kim, "broken").await;
    let ended = once(&server, &kim, &job, &ENDS).await;
    assert_eq!((&ended["state"], &ended["problem"]["code"]), (&json!("failed"), &json!("HV0704")), "{ended}");
    assert!(ended["problem"]["detail"].as_str().unwrap().contains("exit code 3"), "{ended}");

    let watch = ["jobs", "submit", "broken", "--arguments", r#"{"request":"now"}"#, "--watch", "--server"];
    let watched = installation.command(&watch).arg(&server.url).env("HAVERSACK_KEY", &kim).output().unwrap();
    assert_eq!(watched.status.code(), Some(1), "{watched:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redriven_job_of_a_pipeline_tool_runs_its_failed_step_again() {
    // The count of attempts goes on over redrives.
    let installation = with_tools("", &[("mends", "test \"$HAVERSACK_ATTEMPT\" -ge 2")]);
    let kim = installation.key("acme", "kim");
    let server = installation.serve();
    let job = posted(&server, &kim, "mends").await;
    assert_eq!(once(&server, &kim, &job, &ENDS).await["state"], "failed");
    let redriven = server.post(&kim, &format!("/v1/jobs/{job}/redrive"), &json!({})).await;
    assert_eq!(redriven.status(), 202, "{}", redriven.text().await.unwrap());
    let ended = once(&server, &kim, &job, &ENDS).await;
    assert_eq!(ended["state"], "succeeded", "{ended}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crew_whose_task_is_a_failing_pipeline_fails() {
    let crew = "[[agent.crews]]\nname = \"night\"\ndescription = \"The night's work.\"\nbackground = true\n\
                [[agent.crews.tasks]]\nname = \"first\"\ntool = \"broken\"\n\
                [[agent.specialists]]\nname = \"helper\"\ndescription = \"Helps.\"\nprompt = \"Help.\"\n";
    let installation = with_tools("", &[("broken", "exit 3")]);
    let toml = std::fs::read_to_string(installation.path().join("haversack.toml")).unwrap();
    installation.write("haversack.toml", &format!("{toml}{crew}"));
    let kim = installation.key("acme", "kim");
    let server = installation.serve();
    let body = json!({ "tool": "night", "arguments": { "question": "now" } });
    let answer = server.post(&kim, "/v1/jobs", &body).await;
    let submitted: Value = answer.json().await.unwrap();
    let job = submitted["job"].as_str().unwrap_or_else(|| panic!("{submitted}"));
    let ended = once(&server, &kim, job, &ENDS).await;
    assert_eq!(ended["state"], "failed", "{ended}");
    assert!(ended["problem"]["detail"].as_str().unwrap().contains("exit code 3"), "{ended}");
}

/// Whoever runs a command in a script looks at its exit code, and at nothing else.
#[tokio::test(flavor = "multi_thread")]
async fn each_command_that_follows_a_failing_pipeline_exits_with_1() {
    let installation = with_tools("", &[("broken", "exit 3")]);
    let kim = installation.key("acme", "kim");
    let server = installation.serve();
    let job = posted(&server, &kim, "broken").await;
    for arguments in [
        &["jobs", "watch", &job][..],
        &["jobs", "submit", "broken", "--arguments", r#"{"request":"now"}"#, "--watch"],
        &["pipeline", "run", "broken", "--key", "r"],
        &["pipeline", "retry", "r"],
    ] {
        let mut command = installation.command(arguments);
        let ended = command.args(["--server", &server.url]).env("HAVERSACK_KEY", &kim).output().unwrap();
        assert_eq!(ended.status.code(), Some(1), "{arguments:?}: {ended:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_is_driven_out_of_quarantine_is_done_again() {
    let installation =
        with_tools("[jobs]\nembedded_worker = false\nlease_s = 1\n", &[("deadly", "sleep 120")]);
    let kim = installation.key("acme", "kim");
    let server = installation.serve();
    let job = posted(&server, &kim, "deadly").await;
    // How often its step was begun, over all workers.
    let begun = async || {
        let list: Value = server.get(&kim, "/v1/runs").await.json().await.unwrap();
        let Some(run) = list["runs"][0]["run"].as_str() else { return 0 };
        let log: Value = server.get(&kim, &format!("/v1/runs/{run}/log")).await.json().await.unwrap();
        let events = log["events"].as_array().unwrap();
        events.iter().filter(|event| event["event"] == "attempt_started").count()
    };
    // Each worker that has it dies over it, until the next one puts it aside.
    for delivery in 1.. {
        let mut worker = installation.start(&["--json", "worker"]);
        worker.line();
        let put_aside = settled(async || {
            let job = show(&server, &kim, &job).await;
            (job["state"] == "quarantined").then_some(true).or((begun().await == delivery).then_some(false))
        });
        if put_aside.await {
            break;
        }
        worker.kill();
    }
    let before = begun().await;
    let mut worker = installation.start(&["--json", "worker"]);
    worker.line();
    let redriven = server.post(&kim, &format!("/v1/jobs/{job}/redrive"), &json!({})).await;
    assert_eq!(redriven.status(), 202);
    let again = settled(async || {
        let job = show(&server, &kim, &job).await;
        (ENDS.contains(&job["state"].as_str()?) || begun().await > before).then_some(job)
    });
    let again = again.await;
    assert!(!ENDS.contains(&again["state"].as_str().unwrap()), "nothing was done: {again}");
}

/// A rolling deploy: the server and a new worker know the tool, an old worker does not.
#[tokio::test(flavor = "multi_thread")]
async fn a_job_of_a_tool_that_one_worker_lacks_is_parked_and_done_by_another() {
    let installation = with_tools("[jobs]\nembedded_worker = false\n", &[("fresh", "echo done")]);
    let toml = std::fs::read_to_string(installation.path().join("haversack.toml")).unwrap();
    installation.write("old.toml", &toml.replace(&tool("fresh"), ""));
    let kim = installation.key("acme", "kim");
    let server = installation.serve();
    let mut old = installation.start(&["--json", "worker", "--config", "old.toml"]);
    old.line();
    let job = posted(&server, &kim, "fresh").await;
    let met = once(&server, &kim, &job, &["parked", "failed"]).await;
    assert_eq!((&met["state"], &met["failure"]), (&json!("parked"), &json!("no_handler")), "{met}");
    old.kill();
    let mut new = installation.start(&["--json", "worker"]);
    new.line();
    // It would be offered again by itself after half a minute.
    let redriven = server.post(&kim, &format!("/v1/jobs/{job}/redrive"), &json!({})).await;
    assert_eq!(redriven.status(), 202);
    assert_eq!(once(&server, &kim, &job, &ENDS).await["state"], "succeeded");
}

/// A client of the MCP endpoint in a session of its own, at the revision of 2025-11-25.
async fn mcp(server: &Server, key: &str, session: Option<&str>, message: Value) -> (Option<String>, Value) {
    let mut request = crate::installation::client()
        .post(format!("{}/mcp", server.url))
        .bearer_auth(key)
        .header("accept", "application/json, text/event-stream")
        .header("mcp-protocol-version", "2025-11-25");
    if let Some(session) = session {
        request = request.header("mcp-session-id", session);
    }
    let answer = request.json(&message).send().await.unwrap();
    let session = answer.headers().get("mcp-session-id").map(|id| id.to_str().unwrap().to_owned());
    let text = answer.text().await.unwrap();
    let mut data = text.lines().rev().filter_map(|line| line.strip_prefix("data:")).map(str::trim);
    let last = data.find(|data| data.starts_with('{')).unwrap_or(&text);
    (session, serde_json::from_str(last).unwrap_or_default())
}

/// A session of the MCP endpoint.
async fn begun(server: &Server, key: &str) -> String {
    let hello = json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
        "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": { "name": "cases", "version": "1" } } });
    let (session, _) = mcp(server, key, None, hello).await;
    let session = session.unwrap();
    let ready = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
    mcp(server, key, Some(&session), ready).await;
    session
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_pipeline_tool_is_an_error_over_mcp() {
    let installation = with_tools("", &[("broken", "exit 3")]);
    let kim = installation.key("acme", "kim");
    let server = installation.serve();
    let session = begun(&server, &kim).await;
    let call = json!({ "jsonrpc": "2.0", "id": 2, "method": "tools/call",
        "params": { "name": "broken", "arguments": { "request": "now" } } });
    let (_, answer) = mcp(&server, &kim, Some(&session), call).await;
    assert_eq!(answer["result"]["isError"], true, "{answer}");
    let said = answer["result"]["content"][0]["text"].as_str().unwrap_or_default();
    assert!(said.contains("exit code 3"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_not_cut_at_the_limit_of_jobs() {
    let installation = with_tools("[jobs]\ntimeout_s = 1\n", &[("slow", "sleep 3")]);
    let kim = installation.key("acme", "kim");
    let server = installation.serve();
    let job = posted(&server, &kim, "slow").await;
    let started = server.post(&kim, "/v1/pipelines/slow/runs", &json!({ "key": "r" })).await;
    assert_eq!(started.status(), 202);
    let ended = settled(async || {
        let run: Value = server.get(&kim, "/v1/runs/r").await.json().await.unwrap();
        (!run["ended_at"].is_null()).then_some(run)
    })
    .await;
    assert_eq!(ended["status"], "succeeded", "{ended}");
    let log: Value = server.get(&kim, "/v1/runs/r/log").await.json().await.unwrap();
    let mut events = log["events"].as_array().unwrap().iter();
    assert!(!events.any(|event| event["status"] == "cancelled"), "{log}");
    let ended = once(&server, &kim, &job, &ENDS).await;
    assert_eq!(ended["state"], "succeeded", "{ended}");
}

#[tokio::test(flavor = "multi_thread")]
async fn watching_a_job_outlives_a_restart_of_the_server() {
    let installation = with_tools("[jobs]\nembedded_worker = false\n", &[("late", "echo done")]);
    let kim = installation.key("acme", "kim");
    let mut server = installation.serve();
    let job = posted(&server, &kim, "late").await;
    let mut watch =
        installation.start_with(&["--json", "jobs", "watch", &job, "--server", &server.url], |command| {
            command.env("HAVERSACK_KEY", &kim);
        });
    assert!(watch.line().contains("queued"));
    let address = server.address().to_string();
    server.process.kill();
    // The watch finds nobody there at least once.
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    let mut again = installation.start(&["--json", "serve", "--bind", &address]);
    again.line();
    let mut worker = installation.start(&["--json", "worker"]);
    worker.line();
    assert_eq!(watch.wait(), Some(0), "{}", watch.said());
}

/// Revokes a key by its id, which stands in it.
fn revoke(installation: &Installation, key: &str) {
    let id = key.split('_').nth(1).unwrap();
    let revoked = installation.run(&["keys", "revoke", id]);
    assert!(revoked.status.success(), "{revoked:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queued_job_of_a_revoked_key_never_runs() {
    let installation = with_tools("[jobs]\nembedded_worker = false\n", &[("late", "echo begun")]);
    let (lost, kim) = (installation.key("acme", "kim"), installation.key("acme", "kim"));
    let server = installation.serve();
    let job = posted(&server, &lost, "late").await;
    revoke(&installation, &lost);
    let mut worker = installation.start(&["--json", "worker"]);
    worker.line();
    let ended = once(&server, &kim, &job, &ENDS).await;
    assert_eq!((&ended["state"], &ended["failure"]), (&json!("cancelled"), &json!("withdrawn")), "{ended}");
    assert_eq!(ended["problem"]["code"], "HV0203", "{ended}");
    let runs: Value = server.get(&kim, "/v1/runs").await.json().await.unwrap();
    assert_eq!(runs["runs"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn running_jobs_and_runs_of_a_revoked_key_are_cancelled() {
    let installation = with_tools("", &[("long", "sleep 30")]);
    let (lost, kim) = (installation.key("acme", "kim"), installation.key("acme", "kim"));
    let server = installation.serve();
    let job = posted(&server, &lost, "long").await;
    let started = server.post(&lost, "/v1/pipelines/long/runs", &json!({ "key": "r" })).await;
    assert_eq!(started.status(), 202);
    let kept = posted(&server, &kim, "long").await;
    once(&server, &kim, &job, &["running"]).await;
    settled(async || {
        let run: Value = server.get(&kim, "/v1/runs/r").await.json().await.unwrap();
        (run["status"] == "running").then_some(())
    })
    .await;
    revoke(&installation, &lost);
    let ended = once(&server, &kim, &job, &ENDS).await;
    assert_eq!((&ended["state"], &ended["failure"]), (&json!("cancelled"), &json!("withdrawn")), "{ended}");
    let run = settled(async || {
        let run: Value = server.get(&kim, "/v1/runs/r").await.json().await.unwrap();
        (!run["ended_at"].is_null()).then_some(run)
    })
    .await;
    assert_eq!(run["status"], "cancelled", "{run}");
    assert_eq!(show(&server, &kim, &kept).await["state"], "running", "the other key's job goes on");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_over_mcp_ends_when_its_key_is_revoked() {
    let installation = with_tools("", &[("long", "sleep 30")]);
    let (lost, kim) = (installation.key("acme", "kim"), installation.key("acme", "kim"));
    let server = installation.serve();
    let session = begun(&server, &lost).await;
    let call = json!({ "jsonrpc": "2.0", "id": 2, "method": "tools/call",
        "params": { "name": "long", "arguments": { "request": "now" } } });
    let calling = mcp(&server, &lost, Some(&session), call);
    let revoking = async {
        let run = settled(async || {
            let list: Value = server.get(&kim, "/v1/runs").await.json().await.unwrap();
            list["runs"].as_array().unwrap().iter().find(|run| run["status"] == "running").cloned()
        })
        .await;
        revoke(&installation, &lost);
        run["run"].as_str().unwrap().to_owned()
    };
    let ((_, answer), run) = tokio::join!(calling, revoking);
    assert!(answer["result"]["isError"] != false, "{answer}");
    let run = settled(async || {
        let run: Value = server.get(&kim, &format!("/v1/runs/{run}")).await.json().await.unwrap();
        (!run["ended_at"].is_null()).then_some(run)
    })
    .await;
    assert_eq!(run["status"], "cancelled", "{run}");
}

/// Nobody knows the name of its run, so nobody goes on with it.
#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_call_over_mcp_leaves_no_run_running() {
    let installation = with_tools("", &[("long", "sleep 30")]);
    let kim = installation.key("acme", "kim");
    let server = installation.serve();
    let session = begun(&server, &kim).await;
    let call = json!({ "jsonrpc": "2.0", "id": 2, "method": "tools/call",
        "params": { "name": "long", "arguments": { "request": "now" } } });
    // A cancelled call gets no answer.
    let calling = async {
        mcp(&server, &kim, Some(&session), call).await;
        std::future::pending::<std::convert::Infallible>().await
    };
    let with = async |wanted: fn(&Value) -> bool| {
        settled(async || {
            let list: Value = server.get(&kim, "/v1/runs").await.json().await.unwrap();
            list["runs"].as_array().unwrap().iter().find(|run| wanted(run)).cloned()
        })
        .await
    };
    let cancelling = async {
        with(|run| run["status"] == "running").await;
        let cancel =
            json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": { "requestId": 2 } });
        mcp(&server, &kim, Some(&session), cancel).await;
        with(|run| !run["ended_at"].is_null()).await
    };
    let run = tokio::select! {
        run = cancelling => run,
        never = calling => match never {},
    };
    assert_eq!(run["status"], "cancelled", "{run}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_stream_closes_when_its_key_is_revoked() {
    let toml = "[jobs]\nembedded_worker = false\n[limits]\nheartbeat_s = 600\nrequests_per_second = 100000\nburst = 100000\n";
    let installation = with_tools(toml, &[("late", "echo begun")]);
    let (lost, kim) = (installation.key("acme", "kim"), installation.key("acme", "kim"));
    let server = installation.serve();
    let job = posted(&server, &kim, "late").await;
    let mut stream = server.get(&lost, &format!("/v1/jobs/{job}/events")).await;
    assert!(stream.chunk().await.unwrap().is_some());
    revoke(&installation, &lost);
    let rest = tokio::time::timeout(std::time::Duration::from_secs(60), stream.chunk()).await;
    assert!(matches!(rest, Ok(Ok(None))), "{rest:?}");
}
