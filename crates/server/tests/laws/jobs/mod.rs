//! Jobs of a server: done by whichever process, under the context of whoever asked or not at all, seen by their owner
//! alone, and their results come home once.

mod key_file;
mod sessions;

use std::path::Path;
use std::sync::Arc;

use haversack::testing;
use haversack::well_known::{CANCEL, PRINCIPAL, Principal, SESSION_ID, SessionId, TENANT_ID, TenantId};
use haversack_jobs::carried::CREDENTIAL;
use haversack_jobs::{AccessToken, Args, Attempt, Failure, Headers, NewJob, Progress};
use haversack_server::auth::KeyRole;
use haversack_server::auth::admin::{self, Grant};
use haversack_server::config::Config;
use haversack_server::work::Working;
use haversack_server::work::background::{TOOL, ToolJob};
use haversack_server::work::sessions::PROMOTE;
use haversack_store::sqlite::Connection;
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::harness::{Key, TestServer, json_of, problem, start, start_with};
use crate::program::{Worker, command, lines, run, settled, stderr, stdout};

/// A pipeline that agents run in the background and that waits for the file `go`, and one tool that may be posted.
fn text(here: &Path) -> String {
    let folder = here.join("pipelines");
    std::fs::create_dir_all(&folder).unwrap();
    let go = here.join("go");
    let yaml = format!(
        "dag:\n  start_at: wait\n  steps:\n    wait:\n      type: task\n      command_type: shell\n      \
         command: while [ ! -e '{}' ]; do sleep 0.02; done\n      next: success\n    success: {{type: success}}\n    \
         fail: {{type: fail}}\n",
        go.display()
    );
    std::fs::write(folder.join("export.yaml"), yaml).unwrap();
    format!(
        "[jobs]\nembedded_worker = false\nlease_s = 1\ntools = [\"remember\", \"search_knowledge\"]\n\
         [pipelines]\nfolder = \"{}\"\n\
         [[pipelines.tools]]\nname = \"export\"\npipeline = \"export\"\ndescription = \"Exports the orders.\"\n\
         [[agent.specialists]]\nname = \"helper\"\ndescription = \"Helps.\"\nprompt = \"Help.\"\n\
         tools = [\"export\", \"remember\", \"recall\", \"note_attempt\"]\n",
        folder.display()
    )
}

/// A server that leaves the work to others, which find its configuration beside its data.
async fn idle() -> TestServer {
    idle_with(|_| {}).await
}

async fn idle_with(change: impl FnOnce(&mut Config)) -> TestServer {
    let prepare = |config: &mut Config| {
        let here = config.store.path.parent().unwrap().to_owned();
        let (bind, path, text) = (config.server.bind, config.store.path.clone(), text(&here));
        std::fs::write(here.join("haversack.toml"), &text).unwrap();
        *config = Config::parse(&here.join("haversack.toml"), &text, []).unwrap();
        (config.server.bind, config.store.path) = (bind, path);
        (config.limits.requests_per_second, config.limits.burst) = (100_000, 100_000);
        change(config);
    };
    start_with(prepare, None).await
}

/// A worker process over the data of this server.
fn worker_beside(server: &TestServer) -> Worker {
    let here = server.folder.path();
    Worker::start(here, &here.join("data"))
}

async fn post(server: &TestServer, key: &Key, body: Value) -> Response {
    server.request(Method::POST, "/v1/jobs", key).json(&body).send().await.unwrap()
}

/// Posts a job that must be taken; its id.
async fn posted(server: &TestServer, key: &Key, body: Value) -> String {
    let response = post(server, key, body).await;
    let location = response.headers().get("location").map(|value| value.to_str().unwrap().to_owned());
    let submitted = json_of(response, StatusCode::ACCEPTED).await;
    let job = submitted["job"].as_str().unwrap().to_owned();
    assert_eq!(location, Some(format!("/v1/jobs/{job}")));
    job
}

async fn show(server: &TestServer, key: &Key, job: &str) -> Value {
    json_of(server.get(key, &format!("/v1/jobs/{job}")).await, StatusCode::OK).await
}

/// Listens to a job until its end: id, name and data of each event.
async fn listen(
    server: &TestServer,
    key: &Key,
    job: &str,
    last: Option<&str>,
) -> Vec<(String, String, Value)> {
    let mut request = server.request(Method::GET, &format!("/v1/jobs/{job}/events"), key);
    if let Some(last) = last {
        request = request.header("Last-Event-ID", last);
    }
    let text = request.send().await.unwrap().text().await.unwrap();
    let field = |block: &str, name: &str| {
        block.lines().find_map(|line| line.strip_prefix(name).map(|value| value.trim().to_owned()))
    };
    let event = |block: &str| {
        let data = serde_json::from_str(&field(block, "data:")?).unwrap();
        Some((field(block, "id:").unwrap(), field(block, "event:").unwrap(), data))
    };
    text.split("\n\n").filter_map(event).collect()
}

/// The job when it is over.
async fn ended(server: &TestServer, key: &Key, job: &str) -> Value {
    listen(server, key, job, None).await.pop().unwrap().2
}

fn remember(text: &str) -> Value {
    json!({ "tool": "remember", "arguments": { "text": text }, "session": "desk" })
}

/// A job that needs no session.
fn search() -> Value {
    json!({ "tool": "search_knowledge", "arguments": { "query": "account manager" } })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_process_does_a_job_for_its_owner_alone() {
    let server = idle().await;
    let kim = server.key("acme", "kim").await;
    server.say(&kim, "desk", "hello").await;
    let job = posted(&server, &kim, remember("Our account manager is Robin Vega.")).await;
    assert_eq!(show(&server, &kim, &job).await["state"], "queued");

    let unknown = format!("job_{}", "0".repeat(32));
    for stranger in [server.key("acme", "sam").await, server.key("other", "kim").await] {
        for (method, path) in
            [(Method::GET, ""), (Method::GET, "/events"), (Method::DELETE, ""), (Method::POST, "/redrive")]
        {
            let mut said = Vec::new();
            for id in [job.as_str(), &unknown, "x"] {
                let request = server.request(method.clone(), &format!("/v1/jobs/{id}{path}"), &stranger);
                let mut answer: Value =
                    serde_json::from_str(&problem(request.send().await.unwrap(), "HV0601").await).unwrap();
                answer["instance"].take();
                said.push(answer);
            }
            assert!(said.windows(2).all(|pair| pair[0] == pair[1]), "{said:?}");
        }
        let list = json_of(server.get(&stranger, "/v1/jobs").await, StatusCode::OK).await;
        assert_eq!(list["jobs"], json!([]));
    }

    let _worker = worker_beside(&server);
    let done = ended(&server, &kim, &job).await;
    assert_eq!((&done["state"], &done["handler"]), (&json!("succeeded"), &json!("tool")), "{done}");
    assert!(done["result"].is_string(), "{done}");
    assert!(server.say(&kim, "s", "Who is our account manager?").await.contains("Robin Vega"));
    let other = server.key("other", "kim").await;
    assert!(!server.say(&other, "s", "Who is our account manager?").await.contains("Robin Vega"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_a_job_is_refused_and_nothing_is_stored() {
    let server = idle().await;
    let kim = server.key("acme", "kim").await;
    let sam = server.key("acme", "sam").await;
    server.say(&sam, "theirs", "hello").await;
    for (body, code) in [
        (json!({ "tool": "nothing-canary" }), "HV0602"),
        (json!({ "tool": "note_attempt", "arguments": { "action": "a", "outcome": "worked" } }), "HV0602"),
        (json!({ "tool": "remember", "arguments": { "text": "needs a session" } }), "HV0602"),
        (json!({ "tool": "remember" }), "HV0602"),
        (json!({ "tool": "remember", "arguments": { "text": 7 } }), "HV0602"),
        (json!({ "tool": "remember", "arguments": "canary" }), "HV0602"),
        (json!({ "tool": "remember", "arguments": { "text": "a" }, "session": "theirs" }), "HV0205"),
        (json!({ "tool": "remember", "arguments": { "text": "a" }, "session": "absent" }), "HV0205"),
        (json!({ "tool": "remember", "arguments": { "text": "a" }, "session": "../x" }), "HV0207"),
        (json!({ "tool": "remember", "arguments": { "text": "a" }, "tenant": "other" }), "HV0212"),
    ] {
        let said = problem(post(&server, &kim, body).await, code).await;
        assert!(!said.contains("canary"), "{said}");
    }
    let two = server.request(Method::POST, "/v1/jobs", &kim).header("Idempotency-Key", "a");
    let two = two.json(&json!({ "tool": "remember", "arguments": { "text": "a" }, "key": "b" }));
    problem(two.send().await.unwrap(), "HV0212").await;
    let list = json_of(server.get(&kim, "/v1/jobs").await, StatusCode::OK).await;
    assert_eq!(list["jobs"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_key_is_one_job_and_another_persons_key_is_another() {
    let server = idle().await;
    let (kim, sam) = (server.key("acme", "kim").await, server.key("acme", "sam").await);
    let keyed = async |who: &Key| {
        let request = server.request(Method::POST, "/v1/jobs", who).header("Idempotency-Key", "nightly");
        let answer = request.json(&search()).send().await.unwrap();
        json_of(answer, StatusCode::ACCEPTED).await
    };
    let (first, second, other) = (keyed(&kim).await, keyed(&kim).await, keyed(&sam).await);
    assert_eq!((&first["outcome"], &second["outcome"]), (&json!("scheduled"), &json!("already_scheduled")));
    assert_eq!(first["job"], second["job"]);
    assert_eq!(other["outcome"], "scheduled");
    assert_ne!(other["job"], first["job"]);
    // Pages follow one another without a gap.
    posted(&server, &kim, search()).await;
    let page = json_of(server.get(&kim, "/v1/jobs?limit=1").await, StatusCode::OK).await;
    let cursor = page["next"].as_str().unwrap();
    let next = json_of(server.get(&kim, &format!("/v1/jobs?limit=1&cursor={cursor}")).await, StatusCode::OK);
    assert_eq!(next.await["jobs"][0]["id"], first["job"]);
    problem(server.get(&kim, "/v1/jobs?limit=0").await, "HV0212").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_followed_and_called_off() {
    let server = idle().await;
    let kim = server.key("acme", "kim").await;
    let mut work = server.server.engine().work().clone();
    let gate = Arc::new(Semaphore::new(0));
    let held = gate.clone();
    work.handlers(|handlers| {
        handlers.on(TOOL, move |progress: Progress| {
            let gate = held.clone();
            async move {
                progress.say(1, Some(3), "one of three").await?;
                gate.acquire().await?.forget();
                progress.say(2, Some(3), "two of three").await?;
                CANCEL.get()?.cancelled().await;
                Ok::<(), Failure>(())
            }
        })
    });
    let worker = Working::start(&work);
    let job = posted(&server, &kim, search()).await;
    let at = async |done: u64| {
        settled(async || Some(show(&server, &kim, &job).await).filter(|job| job["progress"]["done"] == done))
            .await
    };
    let first = at(1).await;
    assert_eq!(first["progress"], json!({ "done": 1, "total": 3, "note": "one of three" }));
    gate.add_permits(1);
    let second = at(2).await;
    let cancel = server.request(Method::DELETE, &format!("/v1/jobs/{job}"), &kim).send().await.unwrap();
    json_of(cancel, StatusCode::OK).await;
    let seen = format!("{job}.{}", second["change"]);
    let rest = listen(&server, &kim, &job, Some(&seen)).await;
    let (id, name, end) = rest.last().unwrap();
    assert_eq!((name.as_str(), &end["state"]), ("ended", &json!("cancelled")));
    assert!(rest.iter().all(|(id, _, _)| *id != seen), "what was seen is not sent again");
    let again =
        server.request(Method::GET, &format!("/v1/jobs/{job}/events"), &kim).header("Last-Event-ID", id);
    assert_eq!(again.send().await.unwrap().status(), StatusCode::NO_CONTENT);
    let redrive =
        server.request(Method::POST, &format!("/v1/jobs/{job}/redrive"), &kim).send().await.unwrap();
    problem(redrive, "HV0604").await;
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_is_told_to_its_owner_and_the_job_can_be_driven_again() {
    let server = idle().await;
    let kim = server.key("acme", "kim").await;
    let mut work = server.server.engine().work().clone();
    work.handlers(|handlers| {
        handlers.on(TOOL, |attempt: Attempt| async move {
            match attempt.generation() {
                1 => Err(Failure::permanent("the scanner is off")),
                _ => Ok("done"),
            }
        })
    });
    let worker = Working::start(&work);
    let job = posted(&server, &kim, search()).await;
    let failed = ended(&server, &kim, &job).await;
    assert_eq!(
        (&failed["state"], &failed["problem"]["code"]),
        (&json!("failed"), &json!("HV0605")),
        "{failed}"
    );
    assert_eq!(failed["problem"]["detail"], "the scanner is off");
    let redrive =
        server.request(Method::POST, &format!("/v1/jobs/{job}/redrive"), &kim).send().await.unwrap();
    json_of(redrive, StatusCode::ACCEPTED).await;
    assert_eq!(ended(&server, &kim, &job).await["result"], "done");
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_whose_key_has_expired_is_not_run_without_it() {
    let server = idle().await;
    let control = server.server.engine().store().control();
    let soon = jiff::Timestamp::now() + std::time::Duration::from_millis(1_500);
    let grant = Grant {
        tenant: "acme".to_owned(),
        principal: "kim".to_owned(),
        label: String::new(),
        expires_at: Some(soon),
        role: KeyRole::Member,
    };
    let issued = admin::issue(control, grant, "test").await.unwrap();
    let brief = Key { id: issued.row.id.clone(), text: issued.key.reveal() };
    server.say(&brief, "desk", "hello").await;
    let job = posted(&server, &brief, remember("Our account manager is Robin Vega.")).await;
    settled(async || {
        (server.get(&brief, "/v1/jobs").await.status() == StatusCode::UNAUTHORIZED).then_some(())
    })
    .await;
    let _worker = worker_beside(&server);
    let kim = server.key("acme", "kim").await;
    let failed = ended(&server, &kim, &job).await;
    assert_eq!(
        (&failed["state"], &failed["problem"]["code"]),
        (&json!("failed"), &json!("HV0606")),
        "{failed}"
    );
    assert!(!server.say(&kim, "s", "Who is our account manager?").await.contains("Robin Vega"));
}

/// What the door knew is there in a worker, also where a turn stood in between; credentials are no headers.
#[tokio::test(flavor = "multi_thread")]
async fn a_job_has_the_headers_the_key_and_the_session_of_its_request() {
    let named = ["user-agent", "authorization", "x-shelf"].map(str::to_owned).to_vec();
    let server = idle_with(|config| config.jobs.headers = named).await;
    let kim = server.key("acme", "kim").await;
    let mut work = server.server.engine().work().clone();
    work.handlers(|handlers| {
        handlers.on(
            TOOL,
            |Args(job): Args<ToolJob>, headers: Headers, token: Option<AccessToken>| async move {
                let names: Vec<String> =
                    headers.iter().map(|(name, value)| format!("{name}={value}")).collect();
                let session = SESSION_ID.get().map(|session| session.as_str().to_owned()).ok();
                // The key that asked is named. The key itself is not there.
                assert!(token.is_none());
                let key = CREDENTIAL.get()?.id().to_owned();
                Ok(json!({ "tool": job.tool, "headers": names, "key": key, "session": session }))
            },
        )
    });
    let worker = Working::start(&work);
    let shelf =
        |request: reqwest::RequestBuilder| request.header("X-Shelf", "7").header("User-Agent", "laws");
    server.say(&kim, "s", "hello").await;
    let turn = shelf(server.turn(&kim, "s", "Please run the export.")).send().await.unwrap();
    let reply = json_of(turn, StatusCode::OK).await;
    assert_eq!(reply["tools"][0]["name"], "export", "{reply}");
    let mut body = remember("a");
    body["session"] = "s".into();
    shelf(server.request(Method::POST, "/v1/jobs", &kim)).json(&body).send().await.unwrap();
    shelf(server.request(Method::POST, "/v1/jobs", &kim)).json(&search()).send().await.unwrap();
    let list = json_of(server.get(&kim, "/v1/jobs").await, StatusCode::OK).await;
    let jobs = list["jobs"].as_array().unwrap();
    assert_eq!(jobs.len(), 3);
    for (job, (tool, session)) in
        jobs.iter().zip([("search_knowledge", None), ("remember", Some("s")), ("export", Some("s"))])
    {
        let told = ended(&server, &kim, job["id"].as_str().unwrap()).await;
        let expected = json!({
            "tool": tool, "headers": ["user-agent=laws", "x-shelf=7"], "key": kim.id, "session": session
        });
        assert_eq!(told["result"], expected, "{told}");
    }
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_tenants_long_jobs_leave_a_place_for_another_tenants() {
    let server = idle_with(|config| config.jobs.concurrency = 3).await;
    let (kim, other) = (server.key("acme", "kim").await, server.key("other", "kim").await);
    let mut work = server.server.engine().work().clone();
    let gate = Arc::new(Semaphore::new(0));
    let held = gate.clone();
    work.handlers(|handlers| {
        handlers.on(TOOL, move || {
            let gate = held.clone();
            async move {
                if TENANT_ID.with(|tenant| tenant.as_str() == "acme")? {
                    gate.acquire().await?.forget();
                }
                Ok::<_, Failure>("done")
            }
        })
    });
    let worker = Working::start(&work);
    let mut long = Vec::new();
    for _ in 0..6 {
        long.push(posted(&server, &kim, search()).await);
    }
    let running = async || {
        let list = json_of(server.get(&kim, "/v1/jobs").await, StatusCode::OK).await;
        list["jobs"].as_array().unwrap().iter().filter(|job| job["state"] == "running").count()
    };
    settled(async || (running().await == 2).then_some(())).await;
    for _ in 0..3 {
        let job = posted(&server, &other, search()).await;
        assert_eq!(ended(&server, &other, &job).await["result"], "done");
    }
    assert_eq!(running().await, 2);
    gate.add_permits(6);
    for job in &long {
        assert_eq!(ended(&server, &kim, job).await["state"], "succeeded");
    }
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_crash_left_in_an_outbox_is_queued_at_the_next_start() {
    let server = start().await;
    let kim = server.key("acme", "kim").await;
    server.say(&kim, "s", "The scanner does not read. I tried cleaning the lens and it worked.").await;
    let engine = server.server.engine();
    let visit = testing::enter(|bind| {
        bind.bind(&TENANT_ID, TenantId::new("acme").unwrap())
            .bind(&PRINCIPAL, Principal::new("kim").unwrap())
            .bind(&SESSION_ID, SessionId::new("s").unwrap())
    });
    // Committed, and then nobody relayed it.
    let (store, jobs) = (engine.store().clone(), engine.work().jobs().clone());
    let left = visit.wrap(async move {
        let tenant = store.tenant().unwrap();
        let left = tenant.write("leave a job", move |tx| Ok(jobs.enqueue(tx, NewJob::new(PROMOTE, &())?)?));
        left.await.unwrap()
    });
    let job = left.await.to_string();
    problem(server.get(&kim, &format!("/v1/jobs/{job}")).await, "HV0601").await;
    let TestServer { server: stopped, folder, .. } = server;
    stopped.shutdown().await.unwrap();

    let path = folder.path().join("data");
    let server = start_with(|config| config.store.path.clone_from(&path), None).await;
    settled(async || {
        let status = server.get(&kim, &format!("/v1/jobs/{job}")).await.status();
        (status == StatusCode::OK).then_some(())
    })
    .await;
    assert_eq!(ended(&server, &kim, &job).await["result"]["kept"], 1);
    let control = Connection::open(path.join("control.sqlite")).unwrap();
    let actor: String = control
        .query_row("SELECT actor FROM audit WHERE action = 'relay jobs' AND tenant = 'acme'", [], |row| {
            row.get(0)
        })
        .unwrap();
    assert_eq!(actor, "operator:outbox");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_post_follow_and_list_and_keys_are_rotated_beside_the_server() {
    let server = start_with(|config| config.jobs.tools = vec!["remember".to_owned()], None).await;
    let kim = server.key("acme", "kim").await;
    let sam = server.key("acme", "sam").await;
    let folder = server.folder.path().to_owned();
    let (url, data) = (server.server.url(), folder.join("data").to_str().unwrap().to_owned());
    let as_key = async |key: &Key, arguments: &[&str]| {
        let mut command = command(&folder);
        command.args(arguments).args(["--server", &url]).env("HAVERSACK_KEY", &key.text);
        haversack::spawn_blocking(move || command.output().unwrap()).await.unwrap()
    };
    server.say(&kim, "desk", "hello").await;
    let arguments = r#"{"text":"Our account manager is Robin Vega."}"#;
    let done = as_key(
        &kim,
        &["--json", "jobs", "submit", "remember", "--arguments", arguments, "--session", "desk", "--watch"],
    )
    .await;
    assert!(done.status.success(), "{}", stderr(&done));
    let told = lines(&done);
    let (first, last) = (told.first().unwrap(), told.last().unwrap());
    assert_eq!((&first["job"], &last["state"]), (&last["id"], &json!("succeeded")));
    let job = first["job"].as_str().unwrap();
    let table = stdout(&as_key(&kim, &["jobs", "ls"]).await);
    assert!(table.contains("JOB") && table.contains(job) && table.contains("succeeded"), "{table}");
    let shown = stdout(&as_key(&kim, &["jobs", "show", job]).await);
    assert!(shown.contains("result"), "{shown}");
    let foreign = as_key(&sam, &["jobs", "show", job]).await;
    assert!(stderr(&foreign).contains("HV0601"), "{}", stderr(&foreign));
    let refused = as_key(&kim, &["jobs", "redrive", job]).await;
    assert!(stderr(&refused).contains("HV0604"), "{}", stderr(&refused));

    let beside = async |arguments: &[&str]| {
        let all: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        let here = folder.clone();
        let ran = move || run(&here, &all.iter().map(String::as_str).collect::<Vec<_>>());
        haversack::spawn_blocking(ran).await.unwrap()
    };
    let before = lines(&beside(&["--json", "context", "keys", "--data", &data, "ls"]).await);
    assert_eq!(before.len(), 1);
    assert_eq!(before[0]["state"], "seals");
    let after =
        lines(&beside(&["--json", "context", "keys", "--data", &data, "rotate", "--overlap", "1d"]).await);
    let states: Vec<&str> = after.iter().map(|key| key["state"].as_str().unwrap()).collect();
    assert!(states.contains(&"seals") && states.contains(&"opens"), "{after:?}");
    let secrets = std::fs::read_to_string(folder.join("data.keys")).unwrap();
    let printed = format!("{after:?}");
    assert!(secrets.split_whitespace().filter(|word| word.len() > 30).all(|word| !printed.contains(word)));
    // What was sealed before is still opened.
    assert_eq!(show(&server, &kim, job).await["result"], last["result"]);
}
