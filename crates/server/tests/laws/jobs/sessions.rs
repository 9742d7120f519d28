//! Jobs and the sessions that they belong to: what is told there, what goes with one, and what jobs make of it.

use haversack::well_known::SessionId;
use haversack_store::sqlite::Connection;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::{ended, idle, idle_with, posted, remember, search, show, worker_beside};
use crate::harness::{Key, TestServer, json_of, kims, problem, start_with};
use crate::program::settled;

#[tokio::test(flavor = "multi_thread")]
async fn a_background_tool_brings_its_result_into_the_session_once() {
    let server = idle().await;
    let kim = server.key("acme", "kim").await;
    let turn = server.turn(&kim, "s", "Please run the export.").send().await.unwrap();
    let turn = json_of(turn, StatusCode::OK).await["turn"].as_str().unwrap().to_owned();
    let list = json_of(server.get(&kim, "/v1/jobs").await, StatusCode::OK).await;
    let job = list["jobs"][0]["id"].as_str().unwrap().to_owned();

    // The first worker is killed in the middle of it; the second one finishes it when the lease has run out.
    let mut first = worker_beside(&server);
    settled(async || (show(&server, &kim, &job).await["state"] == "running").then_some(())).await;
    first.kill_nine();
    std::fs::write(server.folder.path().join("go"), "").unwrap();
    let _second = worker_beside(&server);
    let done = ended(&server, &kim, &job).await;
    assert_eq!(done["state"], "succeeded", "{done}");

    let view = json_of(server.get(&kim, "/v1/sessions/s").await, StatusCode::OK).await;
    let notices = view["history"].as_array().unwrap().iter().filter(|turn| turn["status"] == "notice");
    let notices: Vec<&Value> = notices.collect();
    assert_eq!(notices.len(), 1, "{view}");
    assert!(notices[0].to_string().contains("The pipeline export succeeded"), "{view}");

    let tree = settled(async || {
        let tree = json_of(server.get(&kim, &format!("/v1/context/{turn}")).await, StatusCode::OK).await;
        let done =
            tree["work"].as_array()?.iter().any(|unit| unit["kind"] == "job" && unit["state"] == "complete");
        done.then_some(tree)
    })
    .await;
    let units = tree["work"].as_array().unwrap();
    let the =
        |kind: &str, id: &str| units.iter().find(|unit| unit["kind"] == kind && unit["id"] == id).unwrap();
    let (turn, job) = (the("turn", &turn), the("job", &job));
    let under = |unit: &Value| {
        unit["parent"] == turn["span"] || {
            let spans = turn["units"].as_array().into_iter().flatten();
            spans.into_iter().any(|span| span["span"] == unit["parent"])
        }
    };
    assert!(under(job), "{tree:#}");
}

/// What notices say in a session, in their order.
async fn notices(server: &TestServer, key: &Key, session: &str) -> Vec<String> {
    let view = json_of(server.get(key, &format!("/v1/sessions/{session}")).await, StatusCode::OK).await;
    let notices = view["history"].as_array().unwrap().iter().filter(|turn| turn["status"] == "notice");
    notices.map(|turn| turn["messages"][0]["content"]["text"].as_str().unwrap().to_owned()).collect()
}

async fn noticed(server: &TestServer, key: &Key, session: &str, many: usize) -> Vec<String> {
    settled(async || Some(notices(server, key, session).await).filter(|all| all.len() >= many)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_told_of_what_was_called_off_while_it_waited() {
    let server = idle().await;
    let kim = server.key("acme", "kim").await;
    server.say(&kim, "desk", "hello").await;
    let job = posted(&server, &kim, remember("Our account manager is Robin Vega.")).await;
    let cancel = server.request(Method::DELETE, &format!("/v1/jobs/{job}"), &kim).send().await.unwrap();
    assert_eq!(json_of(cancel, StatusCode::OK).await["state"], "cancelled");
    let _worker = worker_beside(&server);
    let told = noticed(&server, &kim, "desk", 1).await;
    assert_eq!(
        told,
        [format!("What was started in the background as {job} was cancelled; there is no result.")]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_told_of_the_failure_and_then_of_what_driving_it_again_gave() {
    let server = idle_with(|config| config.jobs.max_attempts = 1).await;
    let kim = server.key("acme", "kim").await;
    let (pipeline, aside) =
        (server.folder.path().join("pipelines/export.yaml"), server.folder.path().join("aside"));
    server.say(&kim, "s", "Please run the export.").await;
    let list = json_of(server.get(&kim, "/v1/jobs").await, StatusCode::OK).await;
    let job = list["jobs"][0]["id"].as_str().unwrap().to_owned();
    std::fs::rename(&pipeline, &aside).unwrap();
    std::fs::write(&pipeline, "dag: {}").unwrap();
    std::fs::write(server.folder.path().join("go"), "").unwrap();
    let _worker = worker_beside(&server);
    assert_eq!(ended(&server, &kim, &job).await["state"], "failed");
    let told = noticed(&server, &kim, "s", 1).await;
    assert!(told[0].contains(" failed: export.yaml: "), "{told:?}");

    std::fs::rename(&aside, &pipeline).unwrap();
    let redrive =
        server.request(Method::POST, &format!("/v1/jobs/{job}/redrive"), &kim).send().await.unwrap();
    json_of(redrive, StatusCode::ACCEPTED).await;
    let done = ended(&server, &kim, &job).await;
    assert_eq!(
        (&done["state"], &done["drive"], &done["untold"]),
        (&json!("succeeded"), &json!(2), &json!(false))
    );
    let told = noticed(&server, &kim, "s", 2).await;
    assert!(told.len() == 2 && told[1].contains("The pipeline export succeeded"), "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_session_takes_its_jobs_along() {
    let server = idle().await;
    let (kim, sam) = (server.key("acme", "kim").await, server.key("acme", "sam").await);
    server.say(&kim, "desk", "hello").await;
    let job = posted(&server, &kim, remember("Our account manager is Robin Vega.")).await;
    let elsewhere = posted(&server, &kim, search()).await;
    let delete =
        async |who: &Key| server.request(Method::DELETE, "/v1/sessions/desk", who).send().await.unwrap();
    problem(delete(&sam).await, "HV0205").await;
    assert_eq!(show(&server, &kim, &job).await["state"], "queued");
    json_of(delete(&kim).await, StatusCode::OK).await;
    problem(server.get(&kim, &format!("/v1/jobs/{job}")).await, "HV0601").await;
    assert_eq!(show(&server, &kim, &elsewhere).await["state"], "queued");
    let control = Connection::open(server.folder.path().join("data/control.sqlite")).unwrap();
    let sealed: i64 = control.query_row("SELECT count(*) FROM job_requests", [], |row| row.get(0)).unwrap();
    assert_eq!(sealed, 1);
}

/// The route takes the jobs along. One that was claimed a moment before asks for itself.
#[tokio::test(flavor = "multi_thread")]
async fn a_job_of_a_deleted_session_does_not_run_in_the_colleagues_who_took_its_name() {
    let server = idle().await;
    let (kim, sam) = (server.key("acme", "kim").await, server.key("acme", "sam").await);
    server.say(&kim, "desk", "hello").await;
    let mut search = search();
    search["session"] = json!("desk");
    let job = posted(&server, &kim, search).await;
    let agents = server.server.engine().agents().clone();
    let deleted = async { agents.history().unwrap().delete(&SessionId::new("desk").unwrap()).await.unwrap() };
    assert!(kims().wrap(deleted).await.is_some());
    server.say(&sam, "desk", "hello").await;
    let _worker = worker_beside(&server);
    let done = ended(&server, &kim, &job).await;
    assert_eq!(done["state"], "failed", "{done}");
    assert!(done.to_string().contains("was deleted"), "{done}");
    assert_eq!(notices(&server, &sam, "desk").await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_session_becomes_memory() {
    let server = start_with(|config| config.jobs.tools = vec!["recall".to_owned()], None).await;
    let (kim, sam) = (server.key("acme", "kim").await, server.key("acme", "sam").await);
    server.say(&kim, "s", "The scanner does not read. I tried cleaning the lens and it worked.").await;
    let close =
        async |who: &Key| server.request(Method::POST, "/v1/sessions/s/close", who).send().await.unwrap();
    problem(close(&sam).await, "HV0205").await;
    let closed = json_of(close(&kim).await, StatusCode::OK).await;
    assert!(closed["closed_at"].is_i64(), "{closed}");
    let done = ended(&server, &kim, closed["job"].as_str().unwrap()).await;
    assert_eq!(done["result"], json!({ "kept": 1, "known": 0 }), "{done}");
    let again = json_of(close(&kim).await, StatusCode::OK).await;
    assert_eq!(again["closed_at"], closed["closed_at"]);
    let done = ended(&server, &kim, again["job"].as_str().unwrap()).await;
    assert_eq!(done["result"], json!({ "kept": 0, "known": 1 }), "nothing is kept twice: {done}");
    server.say(&sam, "later", "hello").await;
    let body = json!({ "tool": "recall", "arguments": { "query": "lens" }, "session": "later" });
    let job = posted(&server, &sam, body).await;
    let told = ended(&server, &sam, &job).await["result"].to_string();
    assert!(told.contains("This helped before: "), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_session_is_summed_up_again_and_again() {
    let server = start_with(|config| config.memory.summarise_after_turns = 9, None).await;
    let kim = server.key("acme", "kim").await;
    let summaries = async || {
        let view = json_of(server.get(&kim, "/v1/sessions/s").await, StatusCode::OK).await;
        view["history"].as_array().unwrap().iter().filter(|turn| turn["status"] == "summary").count()
    };
    for turn in 0..9 {
        assert_eq!(summaries_of(&server, &kim, turn).await, 0);
        server.say(&kim, "s", &format!("Remember that shelf {turn} holds cables.")).await;
    }
    settled(async || (summaries().await == 1).then_some(())).await;
    for turn in 9..18 {
        server.say(&kim, "s", &format!("Remember that shelf {turn} holds cables.")).await;
    }
    settled(async || (summaries().await == 2).then_some(())).await;
}

/// Summaries before turn `turn`; before the first there is no session.
async fn summaries_of(server: &TestServer, key: &Key, turn: usize) -> usize {
    if turn == 0 {
        return 0;
    }
    let view = json_of(server.get(key, "/v1/sessions/s").await, StatusCode::OK).await;
    view["history"].as_array().unwrap().iter().filter(|turn| turn["status"] == "summary").count()
}
