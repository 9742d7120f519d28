//! Pipelines: what the command line and a server make of them. Real files, real children, real workers.

mod given_up;
mod progress;
mod spans;

use std::path::{Path, PathBuf};

use haversack_pipeline::run::RunId;
use haversack_server::config::{Config, PipelineTool};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{Key, TestServer, json_of, kims, problem, start_with};
use crate::program::{lines, run, settled, stderr, stdout};

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/pipelines").canonicalize().unwrap()
}

/// A step that runs a shell command, and the end.
fn one(command: &str, returns: &str) -> String {
    format!(
        "dag:\n  start_at: only\n  steps:\n    only:\n      type: task\n      command_type: shell\n      \
         command: |\n        {command}\n      returns: [{returns}]\n      next: done\n    done: {{type: success}}\n"
    )
}

/// A folder with a pipeline `slow`, which waits for long unless the mark is there, and makes it.
fn slow_at_first() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let mark = folder.path().join("began");
    let wait = format!("test -e {0} || {{ touch {0}; exec sleep 600; }}", mark.display());
    std::fs::write(folder.path().join("slow.yaml"), one(&wait, "")).unwrap();
    (folder, mark)
}

/// A server with the pipelines of this folder.
async fn serving(folder: &Path) -> TestServer {
    start_with(|config| config.pipelines.folder = Some(folder.to_owned()), None).await
}

async fn begin(server: &TestServer, key: &Key, name: &str, body: Value) -> reqwest::Response {
    server.request(Method::POST, &format!("/v1/pipelines/{name}/runs"), key).json(&body).send().await.unwrap()
}

/// The run once it has ended.
async fn ended(server: &TestServer, key: &Key, run: &str) -> Value {
    settled(async || {
        let view = json_of(server.get(key, &format!("/v1/runs/{run}")).await, StatusCode::OK).await;
        (!view["ended_at"].is_null()).then_some(view)
    })
    .await
}

#[test]
fn every_example_passes_the_check_and_mistakes_come_all_at_once() {
    let here = tempfile::tempdir().unwrap();
    let mut files: Vec<String> = std::fs::read_dir(examples())
        .unwrap()
        .map(|entry| entry.unwrap().path().to_str().unwrap().to_owned())
        .filter(|path| path.ends_with(".yaml"))
        .collect();
    files.sort();
    assert!(files.len() >= 20, "{files:?}");
    let arguments: Vec<&str> =
        ["--json", "pipeline", "check"].into_iter().chain(files.iter().map(String::as_str)).collect();
    let checked = run(here.path(), &arguments);
    assert!(checked.status.success(), "{}", stdout(&checked));
    assert!(lines(&checked).iter().all(|line| line["mistakes"] == json!([])));
    assert_eq!(lines(&checked).len(), files.len());

    // The configured folder, and it opens no data folder.
    let folder = examples();
    let config = format!("[pipelines]\nfolder = {:?}\n", folder.to_str().unwrap());
    std::fs::write(here.path().join("haversack.toml"), config).unwrap();
    let checked = run(here.path(), &["--json", "pipeline", "check"]);
    assert_eq!(lines(&checked).len(), files.len(), "{}", stderr(&checked));
    assert!(!here.path().join("data").exists());

    let bad = "dag:\n  start_at: a\n  steps:\n    a: {type: stub, next: nowhere}\n    b: {type: stub, next: done}\n    \
               c: {type: task, command_type: rocket, command: x, next: done}\n    done: {type: success}\n";
    std::fs::write(here.path().join("bad.yaml"), bad).unwrap();
    std::fs::write(here.path().join("worse.yaml"), "dag: [").unwrap();
    let checked =
        run(here.path(), &["pipeline", "check", "bad.yaml", "worse.yaml", &files[0], "absent.yaml"]);
    let text = stdout(&checked);
    assert_eq!(checked.status.code(), Some(2), "{text}");
    for part in ["nowhere", "bad.yaml", "worse.yaml", "absent.yaml"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(text.matches("\n  ").count() >= 4, "every mistake of every file: {text}");
    let rocket = "dag:\n  start_at: c\n  steps:\n    c: {type: task, command_type: rocket, command: x, next: done}\n    \
                  done: {type: success}\n";
    std::fs::write(here.path().join("rocket.yaml"), rocket).unwrap();
    let checked = run(here.path(), &["pipeline", "check", "rocket.yaml"]);
    assert!(stdout(&checked).contains("`rocket`"), "what the program cannot run: {}", stdout(&checked));
}

/// A command that asked for a run that is not there: nothing is answered, the code is said, and the exit code is that of what
/// was asked for and not found.
fn unknown_run(asked: &std::process::Output) {
    let said = stderr(asked);
    assert_eq!((asked.status.code(), stdout(asked)), (Some(1), String::new()), "{said}");
    assert!(said.starts_with("error[HV0703]: ") && said.contains("haversack explain HV0703"), "{said}");
}

#[test]
fn a_pipeline_runs_in_process_with_an_exit_code_and_is_tried_again() {
    let here = tempfile::tempdir().unwrap();
    let file = here.path().join("sum.yaml");
    std::fs::write(&file, one("test -e /PLACE && echo '{\"rows\": 12}' > \"$HAVERSACK_RETURNS\"", "rows"))
        .unwrap();
    let flag = here.path().join("flag");
    let text = std::fs::read_to_string(&file).unwrap().replace("/PLACE", flag.to_str().unwrap());
    std::fs::write(&file, text).unwrap();

    let failed = run(here.path(), &["--json", "pipeline", "run", "sum.yaml", "--key", "k", "-p", "day=1"]);
    assert_eq!(failed.status.code(), Some(1), "{}", stderr(&failed));
    let view = &lines(&failed)[0];
    assert_eq!((&view["status"], &view["parameters"]), (&"failed".into(), &json!({ "day": 1 })));
    assert_eq!(view["principal"], "me");
    let read = run(here.path(), &["pipeline", "log", "k"]);
    assert!(stdout(&read).contains("only: attempt 1"), "{}", stdout(&read));

    std::fs::write(&flag, "").unwrap();
    let retried = run(here.path(), &["pipeline", "retry", "k"]);
    assert!(retried.status.success(), "{}", stderr(&retried));
    assert!(stdout(&retried).contains("rows") && stdout(&retried).contains("12"), "{}", stdout(&retried));
    // It has ended: the key gives what there is, and there is nothing to try again.
    let again = run(here.path(), &["--json", "pipeline", "run", "sum.yaml", "--key", "k"]);
    assert_eq!(lines(&again)[0]["outputs"], json!({ "rows": 12 }));
    let nothing = run(here.path(), &["pipeline", "retry", "k"]);
    assert_eq!(nothing.status.code(), Some(1));
    assert!(stderr(&nothing).contains("HV0705"), "{}", stderr(&nothing));
    // Another tenant of the same folder has no such run, and nobody has one that never was.
    for (action, key, more) in [
        ("log", "k", &["--tenant", "other"][..]),
        ("retry", "k", &["--tenant", "other"]),
        ("log", "k", &["--principal", "you"]),
        ("retry", "k", &["--principal", "you"]),
        ("log", "never", &[]),
        ("retry", "never", &[]),
    ] {
        let asked: Vec<&str> = ["pipeline", action, key].iter().chain(more).copied().collect();
        unknown_run(&run(here.path(), &asked));
    }
    let machine = run(here.path(), &["--json", "pipeline", "retry", "never"]);
    assert_eq!((machine.status.code(), stdout(&machine)), (Some(1), String::new()));
    let error: Value = serde_json::from_str(&stderr(&machine)).unwrap();
    assert_eq!(error["error"]["code"], "HV0703");
    let unknown = run(here.path(), &["pipeline", "run", "nothing"]);
    assert_eq!(unknown.status.code(), Some(2), "{}", stderr(&unknown));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_started_by_a_request_and_executed_by_a_worker() {
    let server = serving(&examples()).await;
    let kim = server.key("acme", "kim").await;
    let list = json_of(server.get(&kim, "/v1/pipelines").await, StatusCode::OK).await;
    let linear = &list["pipelines"].as_array().unwrap().iter().find(|one| one["name"] == "linear").unwrap();
    assert_eq!(linear["runnable"], true);
    assert!(linear["description"].as_str().unwrap().contains("stub"));

    for (name, outputs) in [
        ("map", json!({ "collected": [1, 4, 9], "squared": [1, 4, 9] })),
        ("conditional", json!({ "prize": "a cup", "side": "heads" })),
        ("loop", json!({ "sum": 6, "enough": true })),
    ] {
        let started = begin(&server, &kim, name, json!({ "key": format!("{name}-1") })).await;
        assert_eq!(started.headers()["location"], format!("/v1/runs/{name}-1"));
        json_of(started, StatusCode::ACCEPTED).await;
        let view = ended(&server, &kim, &format!("{name}-1")).await;
        assert_eq!((&view["status"], &view["principal"]), (&"succeeded".into(), &"kim".into()), "{view}");
        for (output, value) in outputs.as_object().unwrap() {
            assert_eq!(&view["outputs"][output], value, "{name}: {view}");
        }
        let again = begin(&server, &kim, name, json!({ "key": format!("{name}-1") })).await;
        assert_eq!(json_of(again, StatusCode::OK).await["ended_at"], view["ended_at"], "the first run");
    }
    // A parameter goes before the pipeline's own; without a key the run gets a name.
    let started = begin(&server, &kim, "map", json!({ "parameters": { "chunks": [5] } })).await;
    let run = json_of(started, StatusCode::ACCEPTED).await["run"].as_str().unwrap().to_owned();
    assert_eq!(ended(&server, &kim, &run).await["outputs"]["squared"], json!([25]));

    let runs = json_of(server.get(&kim, "/v1/runs?status=succeeded").await, StatusCode::OK).await;
    assert_eq!(runs["runs"].as_array().unwrap().len(), 4);
    let runs = json_of(server.get(&kim, "/v1/runs?status=failed").await, StatusCode::OK).await;
    assert_eq!(runs["runs"], json!([]));

    for (name, body, code) in [
        ("absent", json!({}), "HV0702"),
        ("..%2Flinear", json!({}), "HV0702"),
        ("linear", json!({ "key": "a b" }), "HV0212"),
        ("linear", json!({ "keys": "a" }), "HV0212"),
        ("linear", json!({ "parameters": { "PATH": "/tmp" } }), "HV0705"),
        ("linear", json!({ "key": "map-1" }), "HV0705"),
    ] {
        problem(begin(&server, &kim, name, body).await, code).await;
    }
    problem(server.get(&kim, "/v1/runs?status=lost").await, "HV0212").await;
    server.server.shutdown().await.unwrap();
}

/// To this key the run `mine` looks like one that never was, on every route, and in no list.
async fn mine_is_unknown_to(server: &TestServer, key: &Key) {
    let detail = async |method: Method, path: String| {
        let answer = server.request(method, &path, key).send().await.unwrap();
        serde_json::from_str::<Value>(&problem(answer, "HV0703").await).unwrap()["detail"].clone()
    };
    for (method, rest) in
        [(Method::GET, ""), (Method::DELETE, ""), (Method::GET, "/log"), (Method::POST, "/retry")]
    {
        let foreign = detail(method.clone(), format!("/v1/runs/mine{rest}")).await;
        assert_eq!(foreign, detail(method, format!("/v1/runs/never{rest}")).await);
    }
    let runs = json_of(server.get(key, "/v1/runs").await, StatusCode::OK).await;
    assert_eq!(runs["runs"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_of_another_tenant_is_as_unknown_as_one_that_never_was() {
    let server = serving(&examples()).await;
    let (kim, sam) = (server.key("acme", "kim").await, server.key("contoso", "sam").await);
    json_of(begin(&server, &kim, "linear", json!({ "key": "mine" })).await, StatusCode::ACCEPTED).await;
    ended(&server, &kim, "mine").await;
    mine_is_unknown_to(&server, &sam).await;
    // The name is theirs to use as well.
    json_of(begin(&server, &sam, "linear", json!({ "key": "mine" })).await, StatusCode::ACCEPTED).await;
    assert_eq!(ended(&server, &sam, "mine").await["principal"], "sam");
    server.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_of_a_colleague_is_as_unknown_as_one_that_never_was() {
    let server = serving(&examples()).await;
    let (kim, sam) = (server.key("acme", "kim").await, server.key("acme", "sam").await);
    let canary = json!({ "key": "mine", "parameters": { "word": "canary" } });
    json_of(begin(&server, &kim, "step_fails", canary).await, StatusCode::ACCEPTED).await;
    let before = ended(&server, &kim, "mine").await;
    assert_eq!((&before["status"], &before["parameters"]["word"]), (&"failed".into(), &"canary".into()));
    mine_is_unknown_to(&server, &sam).await;
    // Both at once under one name, each with a job of its own.
    json_of(begin(&server, &sam, "linear", json!({ "key": "mine" })).await, StatusCode::ACCEPTED).await;
    assert_eq!(ended(&server, &sam, "mine").await["principal"], "sam");
    let retried = server.request(Method::POST, "/v1/runs/mine/retry", &kim).send().await.unwrap();
    json_of(retried, StatusCode::ACCEPTED).await;
    let after = ended(&server, &kim, "mine").await;
    assert_eq!((&after["principal"], &after["pipeline"]), (&"kim".into(), &"step_fails".into()));
    server.server.shutdown().await.unwrap();
}

/// A run of `slow` that is under way and that nobody executes any more: its executor was dropped as by a crash, and there
/// is no job that would follow it.
async fn abandoned(server: &TestServer, folder: &Path, key: &str) {
    let work = server.server.engine().work().clone();
    let pipeline = work.catalogue().get("slow").unwrap();
    let (run, mark) = (RunId::new(key).unwrap(), folder.join("began"));
    kims()
        .wrap(async {
            work.pipelines()
                .start(&pipeline, haversack_pipeline::Parameters::new(), run.clone())
                .await
                .unwrap();
            let executing = haversack::spawn(work.pipelines().execute(&run));
            settled(async || mark.exists().then_some(())).await;
            executing.abort();
            assert!(executing.await.is_err());
            let left = work.pipelines().get(&run).await.unwrap();
            assert_eq!((left.entry.status.name(), left.entry.generation), ("running", 1));
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_nobody_executes_any_more_is_taken_up_by_a_second_start_and_by_a_cancel() {
    let (folder, mark) = slow_at_first();
    let server = serving(folder.path()).await;
    let kim = server.key("acme", "kim").await;
    abandoned(&server, folder.path(), "again").await;
    json_of(begin(&server, &kim, "slow", json!({ "key": "again" })).await, StatusCode::ACCEPTED).await;
    let view = ended(&server, &kim, "again").await;
    assert_eq!((&view["status"], &view["generation"]), (&"succeeded".into(), &2.into()));

    std::fs::remove_file(&mark).unwrap();
    abandoned(&server, folder.path(), "off").await;
    let delete = server.request(Method::DELETE, "/v1/runs/off", &kim).send().await.unwrap();
    json_of(delete, StatusCode::ACCEPTED).await;
    assert_eq!(ended(&server, &kim, "off").await["status"], "cancelled");
    server.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_start_leaves_a_run_that_has_its_job_to_it() {
    let folder = tempfile::tempdir().unwrap();
    let (mark, gate) = (folder.path().join("began"), folder.path().join("gate"));
    let wait = format!("touch {}; while ! test -e {}; do sleep 0.05; done", mark.display(), gate.display());
    std::fs::write(folder.path().join("slow.yaml"), one(&wait, "")).unwrap();
    let server = serving(folder.path()).await;
    let kim = server.key("acme", "kim").await;
    let start = async || begin(&server, &kim, "slow", json!({ "key": "r" })).await;
    json_of(start().await, StatusCode::ACCEPTED).await;
    settled(async || mark.exists().then_some(())).await;
    for _ in 0..3 {
        json_of(start().await, StatusCode::ACCEPTED).await;
    }
    std::fs::write(gate, "").unwrap();
    let view = ended(&server, &kim, "r").await;
    assert_eq!((&view["status"], &view["generation"]), (&"succeeded".into(), &1.into()));
    server.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn one_key_of_two_people_is_two_runs_that_both_are_executed() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().display();
    let wait = format!("touch {place}/began-$who; while ! test -e {place}/gate; do sleep 0.05; done");
    let text = one(&wait, "").replace("      next:", "      parameters: [who]\n      next:");
    std::fs::write(folder.path().join("slow.yaml"), text).unwrap();
    let server = serving(folder.path()).await;
    for who in ["kim", "sam"] {
        let (key, body) =
            (server.key("acme", who).await, json!({ "key": "r", "parameters": { "who": who } }));
        json_of(begin(&server, &key, "slow", body).await, StatusCode::ACCEPTED).await;
    }
    let mark = |who: &str| folder.path().join(format!("began-{who}"));
    settled(async || (mark("kim").exists() && mark("sam").exists()).then_some(())).await;
    std::fs::write(folder.path().join("gate"), "").unwrap();
    for who in ["kim", "sam"] {
        let view = ended(&server, &server.key("acme", who).await, "r").await;
        assert_eq!((&view["status"], &view["principal"]), (&"succeeded".into(), &who.into()));
    }
    server.server.shutdown().await.unwrap();
}

/// A server whose agent has the pipeline `name` as a tool.
async fn offering(folder: &Path, name: &str) -> TestServer {
    let change = |config: &mut Config| {
        config.pipelines.folder = Some(folder.to_owned());
        config.pipelines.tools = vec![PipelineTool {
            name: name.to_owned(),
            pipeline: name.to_owned(),
            description: "Exports the orders of the day.".to_owned(),
            when: vec!["run the export".to_owned()],
        }];
        config.agent.specialists[0].tools.push(name.to_owned());
    };
    start_with(change, None).await
}

/// Files of the data folder in which a word stands.
fn holding(folder: &Path, word: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(holding(&path, word));
        } else if std::fs::read(&path)
            .is_ok_and(|bytes| bytes.windows(word.len()).any(|part| part == word.as_bytes()))
        {
            found.push(path);
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_session_takes_its_runs_along_and_they_do_not_begin_anew() {
    let folder = tempfile::tempdir().unwrap();
    let mark = folder.path().join("began");
    let step = format!("echo \"$request\" | tee note; touch {}; exec sleep 600", mark.display());
    let text = one(&step, "")
        .replace("      next:", "      parameters: [request]\n      catalog: {put: [note]}\n      next:");
    std::fs::write(folder.path().join("export.yaml"), text).unwrap();
    let server = offering(folder.path(), "export").await;
    let kim = server.key("acme", "kim").await;
    let say = server.turn(&kim, "s", "Please run the export for Wintergreen Canary.").send().await.unwrap();
    json_of(say, StatusCode::OK).await;
    settled(async || mark.exists().then_some(())).await;
    let runs = json_of(server.get(&kim, "/v1/runs").await, StatusCode::OK).await;
    assert_eq!((&runs["runs"][0]["session"], &runs["runs"][0]["status"]), (&"s".into(), &"running".into()));
    let data = server.folder.path().join("data");
    let runs = data.join("runs");
    assert!(!holding(&runs, "Wintergreen").is_empty(), "its words lie in the run's folder");

    let delete = server.request(Method::DELETE, "/v1/sessions/s", &kim).send().await.unwrap();
    json_of(delete, StatusCode::OK).await;
    let runs = json_of(server.get(&kim, "/v1/runs").await, StatusCode::OK).await;
    assert_eq!(runs["runs"], json!([]));
    // The job that drove it is called off, or finds that the session is gone; no attempt starts anything.
    settled(async || {
        let jobs = json_of(server.get(&kim, "/v1/jobs").await, StatusCode::OK).await;
        let over = |job: &Value| ["failed", "cancelled"].contains(&job["state"].as_str().unwrap());
        jobs["jobs"].as_array().unwrap().iter().all(over).then_some(())
    })
    .await;
    let runs = json_of(server.get(&kim, "/v1/runs").await, StatusCode::OK).await;
    assert_eq!(runs["runs"], json!([]));
    assert_eq!(holding(&data, "Wintergreen"), Vec::<PathBuf>::new());
    server.server.shutdown().await.unwrap();
    assert_eq!(holding(&data, "Wintergreen"), Vec::<PathBuf>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn each_step_that_runs_a_pipeline_has_a_run_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    for word in ["north", "south"] {
        let says = format!("echo '{{\"said\": \"{word}\"}}' > \"$HAVERSACK_RETURNS\"");
        std::fs::write(folder.path().join(format!("{word}.yaml")), one(&says, "said")).unwrap();
    }
    let step = |name: &str, next: &str| {
        format!(
            "    {name}: {{type: task, command_type: tool, command: {name}, returns: [{name}], next: {next}}}\n"
        )
    };
    let outer = format!(
        "dag:\n  start_at: north\n  steps:\n{}{}    done: {{type: success}}\n",
        step("north", "south"),
        step("south", "done")
    );
    std::fs::write(folder.path().join("outer.yaml"), outer).unwrap();
    let change = |config: &mut Config| {
        config.pipelines.folder = Some(folder.path().to_owned());
        config.pipelines.tools = ["north", "south"]
            .map(|name| PipelineTool {
                name: name.to_owned(),
                pipeline: name.to_owned(),
                description: "Says where it is.".to_owned(),
                when: vec![format!("go {name}")],
            })
            .into();
    };
    let server = start_with(change, None).await;
    let kim = server.key("acme", "kim").await;
    let body = json!({ "key": "r", "parameters": { "request": "where are you" } });
    json_of(begin(&server, &kim, "outer", body).await, StatusCode::ACCEPTED).await;
    let view = ended(&server, &kim, "r").await;
    assert_eq!(view["status"], "succeeded", "{view}");
    for word in ["north", "south"] {
        assert!(view["outputs"][word].to_string().contains(word), "{view}");
    }
    server.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_run_is_swept_by_the_worker() {
    let server = serving(&examples()).await;
    let kim = server.key("acme", "kim").await;
    for key in ["old", "young"] {
        json_of(begin(&server, &kim, "linear", json!({ "key": key })).await, StatusCode::ACCEPTED).await;
        ended(&server, &kim, key).await;
    }
    let store = server.server.engine().store().clone();
    let aged = kims().wrap(async {
        let rows = store.rows().unwrap();
        let past = "UPDATE pipeline_runs SET ended_at = ended_at - 1000 * 86400 * 15 WHERE run = 'old'";
        rows.write("age a run", move |tx, _| Ok(tx.execute(past, [])?)).await.unwrap()
    });
    assert_eq!(aged.await, 1);
    let TestServer { server, folder, .. } = server;
    server.shutdown().await.unwrap();
    let data = folder.path().join("data");
    let server = start_with(
        |config| {
            config.store.path = data;
            config.pipelines.folder = Some(examples());
        },
        None,
    )
    .await;
    let kim = server.key("acme", "kim").await;
    let runs = settled(async || {
        let runs = json_of(server.get(&kim, "/v1/runs").await, StatusCode::OK).await;
        (runs["runs"].as_array().unwrap().len() == 1).then_some(runs)
    })
    .await;
    assert_eq!(runs["runs"][0]["run"], "young");
    server.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_is_read_in_pages_and_as_a_stream_that_goes_on_after_a_break() {
    let server = serving(&examples()).await;
    let kim = server.key("acme", "kim").await;
    begin(&server, &kim, "linear", json!({ "key": "r.1" })).await;
    // The stream ends with the run, whoever reads it first.
    let stream = async |last: Option<&str>| {
        let mut request =
            server.request(Method::GET, "/v1/runs/r.1/log", &kim).header("accept", "text/event-stream");
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        request.send().await.unwrap()
    };
    let text = stream(None).await.text().await.unwrap();
    let ids: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("id: ")).collect();
    let view = ended(&server, &kim, "r.1").await;
    let count = view["last_event"].as_u64().unwrap();
    let all: Vec<String> = (1..=count).map(|number| format!("r.1.{number}")).collect();
    assert_eq!(ids, all, "every event, once, in order");
    assert!(text.contains("event: ended"), "{text}");
    let rest = stream(Some("r.1.3")).await.text().await.unwrap();
    assert!(
        rest.starts_with("id: r.1.4\n") || rest.contains("id: r.1.4\n") && !rest.contains("id: r.1.3\n"),
        "{rest}"
    );
    assert_eq!(stream(Some(all.last().unwrap())).await.status(), StatusCode::NO_CONTENT);
    problem(stream(Some("other.1")).await, "HV0212").await;

    let (mut after, mut numbers) = (Some(0), Vec::new());
    while let Some(from) = after {
        let path = format!("/v1/runs/r.1/log?limit=2&after={from}");
        let page = json_of(server.get(&kim, &path).await, StatusCode::OK).await;
        numbers
            .extend(page["events"].as_array().unwrap().iter().map(|event| event["number"].as_u64().unwrap()));
        after = page["after"].as_u64();
    }
    assert_eq!(numbers, (1..=count).collect::<Vec<_>>());
    server.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_cancelled_with_its_children_and_tried_again() {
    let (folder, mark) = slow_at_first();
    let server = serving(folder.path()).await;
    let kim = server.key("acme", "kim").await;
    begin(&server, &kim, "slow", json!({ "key": "r" })).await;
    settled(async || mark.exists().then_some(())).await;
    let delete = async || server.request(Method::DELETE, "/v1/runs/r", &kim).send().await.unwrap();
    let asked = json_of(delete().await, StatusCode::ACCEPTED).await;
    assert_eq!(asked["cancel_requested"], true);
    assert_eq!(ended(&server, &kim, "r").await["status"], "cancelled");
    json_of(delete().await, StatusCode::OK).await;
    let retry = async || server.request(Method::POST, "/v1/runs/r/retry", &kim).send().await.unwrap();
    // At once: the job of the first try may not have been written down as ended yet.
    json_of(retry().await, StatusCode::ACCEPTED).await;
    assert_eq!(ended(&server, &kim, "r").await["status"], "succeeded");
    problem(retry().await, "HV0705").await;
    problem(delete().await, "HV0705").await;
    server.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_a_turn_asked_for_hangs_under_its_job_and_its_children_are_in_the_same_trace() {
    let folder = tempfile::tempdir().unwrap();
    let tell = "printf '{\"rows\": 12, \"trace\": \"%s\"}' \"$TRACEPARENT\" > \"$HAVERSACK_RETURNS\"";
    std::fs::write(folder.path().join("export.yaml"), one(tell, "rows, trace")).unwrap();
    let server = offering(folder.path(), "export").await;
    let kim = server.key("acme", "kim").await;
    let reply = server.turn(&kim, "s", "Please run the export.").send().await.unwrap();
    let turn = json_of(reply, StatusCode::OK).await["turn"].as_str().unwrap().to_owned();
    // The end of the run comes back into the session, with what it gave.
    settled(async || {
        let session = server.get(&kim, "/v1/sessions/s").await.text().await.unwrap();
        session.contains("The pipeline export succeeded. rows: 12").then_some(())
    })
    .await;
    let runs = json_of(server.get(&kim, "/v1/runs").await, StatusCode::OK).await;
    let listed = runs["runs"][0].as_object().unwrap();
    assert!(
        !listed.contains_key("outputs") && !listed.contains_key("parameters"),
        "the run has them: {runs}"
    );
    let path = format!("/v1/runs/{}", listed["run"].as_str().unwrap());
    let run = &json_of(server.get(&kim, &path).await, StatusCode::OK).await;
    let parent = run["outputs"]["trace"].as_str().unwrap().to_owned();
    let trace = settled(async || {
        let trace = json_of(server.get(&kim, &format!("/v1/context/{turn}")).await, StatusCode::OK).await;
        let done = |work: &Value| work["kind"] != "job" || !work["ended_at"].is_null();
        let work = trace["work"].as_array().unwrap();
        (work.iter().any(|work| work["kind"] == "run") && work.iter().all(done)).then_some(trace)
    })
    .await;
    let of = |kind: &str| trace["work"].as_array().unwrap().iter().find(|work| work["kind"] == kind).unwrap();
    let (turned, job, ran) = (of("turn"), of("job"), of("run"));
    assert_eq!((&ran["id"], &ran["parent"]), (&run["run"], &job["span"]), "{trace}");
    assert!(!job["parent"].is_null() && turned["id"] == turn.as_str(), "{trace}");
    assert_eq!((&run["trace"], parent.split('-').nth(1)), (&trace["trace"], trace["trace"].as_str()));
    server.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_runs_on_a_server_what_the_server_has() {
    let server = serving(&examples()).await;
    let kim = server.key("acme", "kim").await;
    let (folder, url, key) = (server.folder.path().to_owned(), server.server.url(), kim.text.clone());
    let on_server = move |arguments: &[&str]| {
        let all: Vec<&str> = arguments.iter().copied().chain(["--server", &url, "--api-key", &key]).collect();
        run(&folder, &all)
    };
    let ran = haversack::spawn_blocking(move || {
        let ran = on_server(&["--json", "pipeline", "run", "map", "-p", "chunks=[2]", "--key", "k"]);
        let failed = on_server(&["pipeline", "run", "step_fails"]);
        let log = on_server(&["--json", "pipeline", "log", "k"]);
        let file = on_server(&["pipeline", "run", "./map.yaml"]);
        unknown_run(&on_server(&["pipeline", "log", "never"]));
        unknown_run(&on_server(&["pipeline", "retry", "never"]));
        (ran, failed, log, file)
    });
    let (ran, failed, log, file) = ran.await.unwrap();
    assert!(ran.status.success(), "{}", stderr(&ran));
    assert_eq!(lines(&ran)[0]["outputs"]["squared"], json!([4]));
    assert_eq!(failed.status.code(), Some(1), "{}", stderr(&failed));
    assert_eq!(lines(&log).last().unwrap()["event"], "ended");
    assert_eq!(file.status.code(), Some(2), "{}", stderr(&file));
    server.server.shutdown().await.unwrap();
}
