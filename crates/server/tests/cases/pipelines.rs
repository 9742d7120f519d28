//! Pipelines: what a step prints can be read, wherever its run is.

use serde_json::{Value, json};

use crate::installation::{Installation, Server, client, settled};

const STEPS: &str = "\n  steps:\n    success: {type: success}\n    fail: {type: fail}\n";

/// An installation with one pipeline, whose step `one` is this.
fn with_step(settings: &str, step: &str) -> Installation {
    let installation = Installation::new(&format!("{settings}\n[pipelines]\nfolder = \"./pipelines\"\n"));
    let step = format!("    one:\n{step}      next: success\n");
    installation.write("pipelines/night.yaml", &format!("dag:\n  start_at: one{STEPS}{step}"));
    installation
}

/// A task, as the lines of a step.
fn task(kind: &str, command: &str) -> String {
    let command: String = command.lines().map(|line| format!("        {line}\n")).collect();
    format!("      type: task\n      command_type: {kind}\n      command: |\n{command}")
}

/// Starts a run, and waits for its end.
async fn ran(server: &Server, key: &str) -> Value {
    let started = server.post(key, "/v1/pipelines/night/runs", &json!({ "key": "r" })).await;
    assert_eq!(started.status(), 202, "{}", started.text().await.unwrap());
    settled(async || {
        let run: Value = server.get(key, "/v1/runs/r").await.json().await.unwrap();
        (!run["ended_at"].is_null()).then_some(run)
    })
    .await
}

async fn output(server: &Server, key: &str, step: &str, query: &str) -> Value {
    let answer = server.get(key, &format!("/v1/runs/r/steps/{step}/output{query}")).await;
    let (status, text) = (answer.status(), answer.text().await.unwrap());
    assert_eq!(status, 200, "{text}");
    serde_json::from_str(&text).unwrap()
}

const RAISES: &str = "import sys\ndef open_the_till():\n    raise ValueError('the real reason')\n\
                      print('before', file=sys.stderr)\nopen_the_till()";

#[tokio::test(flavor = "multi_thread")]
async fn the_traceback_of_a_python_step_is_in_every_view_of_its_run() {
    let installation = with_step("", &task("python", RAISES));
    let kim = installation.key("acme", "kim");
    let server = installation.serve();

    let run = ran(&server, &kim).await;
    assert_eq!(run["status"], "failed");
    let last = run["last_lines"].as_str().unwrap_or_else(|| panic!("{run}"));
    assert!(last.contains("Traceback") && last.contains("ValueError: the real reason"), "{run}");

    let printed = output(&server, &kim, "one", "").await;
    let text = printed["output"].as_str().unwrap();
    assert!(text.contains("before\n") && text.contains("in open_the_till"), "{printed}");
    assert_eq!(printed["size"], text.len(), "{printed}");
    let end = output(&server, &kim, "one", "?tail=16").await;
    assert_eq!(end["output"], "the real reason\n");
    let plain = client().get(format!("{}/v1/runs/r/steps/one/output", server.url)).bearer_auth(&kim);
    let plain = plain.header("accept", "text/plain").send().await.unwrap();
    assert!(plain.headers()["content-type"].to_str().unwrap().starts_with("text/plain"));
    assert_eq!(plain.text().await.unwrap(), text);

    // It is the caller's as the run is.
    for stranger in [installation.key("acme", "lee"), installation.key("other", "kim")] {
        let refused = server.get(&stranger, "/v1/runs/r/steps/one/output").await;
        assert_eq!(refused.status(), 404);
    }
    assert_eq!(server.get(&kim, "/v1/runs/r/steps/two/output").await.status(), 404);
    assert_eq!(server.get(&kim, "/v1/runs/r/steps/one/output?tail=1&offset=1").await.status(), 422);

    for arguments in [
        &["pipeline", "run", "night", "--key", "other"][..],
        &["pipeline", "log", "r"],
        &["pipeline", "log", "r", "--output"],
        &["pipeline", "log", "r", "--output", "one"],
    ] {
        let mut command = installation.command(arguments);
        let said = command.args(["--server", &server.url]).env("HAVERSACK_KEY", &kim).output().unwrap();
        let text = String::from_utf8(said.stdout.clone()).unwrap();
        assert!(text.contains("ValueError: the real reason"), "{arguments:?}: {said:?}");
        let all = arguments.contains(&"--output");
        assert_eq!((all, text.contains("before")), (all, true), "{arguments:?}: {text}");
    }
}

#[test]
fn the_traceback_of_a_python_step_is_shown_without_a_server() {
    let installation = with_step("", &task("python", RAISES));
    for (arguments, code) in [
        (&["pipeline", "run", "pipelines/night.yaml", "--key", "r"][..], 1),
        (&["pipeline", "log", "r"], 0),
        (&["pipeline", "log", "r", "--output", "one"], 0),
    ] {
        let said = installation.run(arguments);
        assert_eq!(said.status.code(), Some(code), "{said:?}");
        let text = String::from_utf8_lossy(&said.stdout);
        assert!(text.contains("ValueError: the real reason"), "{arguments:?}: {said:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_output_keeps_its_end_and_a_part_of_bytes_goes_as_base64() {
    let command =
        "echo the beginning\nhead -c 30000000 /dev/zero | tr '\\0' x\nprintf '\\377\\nthe end\\n'\nexit 3";
    let installation = with_step("", &task("shell", command));
    let kim = installation.key("acme", "kim");
    let server = installation.serve();
    let run = ran(&server, &kim).await;
    assert!(run["last_lines"].as_str().unwrap_or_default().ends_with("the end"), "{run}");
    let first = output(&server, &kim, "one", "?limit=14").await;
    assert_eq!((&first["output"], &first["next"]), (&json!("the beginning\n"), &json!(14)));
    let end = output(&server, &kim, "one", "?tail=9").await;
    assert_eq!((&end["output"], &end["encoding"]), (&json!("\nthe end\n"), &json!("utf-8")));
    let bytes = output(&server, &kim, "one", "?tail=10").await;
    assert_eq!((&bytes["output"], &bytes["encoding"]), (&json!("/wp0aGUgZW5kCg=="), &json!("base64")));
    assert!(first["size"].as_u64().unwrap() < 17 * 1024 * 1024, "{first}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_is_printed_half_to_each_stream_is_redacted() {
    let step =
        task("shell", "printf '%s' \"${TOKEN%-*}\"\nsleep 0.2\nprintf '%s' \"-${TOKEN##*-}\" >&2\nexit 3");
    let step = format!("{step}      secrets: [TOKEN]\n");
    let installation = with_step("", &step);
    let toml = std::fs::read_to_string(installation.path().join("haversack.toml")).unwrap();
    let secret = installation.write("token", "alphasecret-5f2c91d0");
    let reference = format!("[pipelines.secrets.acme]\nTOKEN = \"file:{}\"\n", secret.display());
    installation.write("haversack.toml", &format!("{toml}{reference}"));
    let kim = installation.key("acme", "kim");
    let server = installation.serve();
    let run = ran(&server, &kim).await;
    let printed = output(&server, &kim, "one", "").await;
    assert!(!printed["output"].as_str().unwrap().contains("alphasecret-5f2c91d0"), "{printed}");
    assert!(!run.to_string().contains("alphasecret-5f2c91d0"), "{run}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_output_of_a_step_in_a_branch_is_found_by_its_path() {
    let branch = "      type: map\n      iterate_on: names\n      iterate_as: name\n      branch:\n        start_at: say\n        \
                  steps:\n          say:\n            type: task\n            command_type: shell\n            \
                  command: echo \"hello $name\"\n            parameters: [name]\n            next: success\n          \
                  success: {type: success}\n          fail: {type: fail}\n";
    let installation = with_step("", branch);
    let text = std::fs::read_to_string(installation.path().join("pipelines/night.yaml")).unwrap();
    installation.write("pipelines/night.yaml", &format!("parameters:\n  names: [ada, kim]\n{text}"));
    let kim = installation.key("acme", "kim");
    let server = installation.serve();
    let run = ran(&server, &kim).await;
    assert_eq!(run["status"], "succeeded", "{run}");
    let printed = output(&server, &kim, "one%2F[1]%2Fsay", "").await;
    assert_eq!((&printed["output"], &printed["step"]), (&json!("hello kim\n"), &json!("one/[1]/say")));
    let mut command = installation.command(&["pipeline", "log", "r", "--output", "one/[1]/say"]);
    let said = command.args(["--server", &server.url]).env("HAVERSACK_KEY", &kim).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&said.stdout), "hello kim\n", "{said:?}");
}
