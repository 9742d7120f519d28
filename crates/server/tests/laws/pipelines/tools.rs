//! Pipelines as tools: a turn or a step asks for a run, it goes with the session that asked, and its end comes back there.

use std::path::{Path, PathBuf};

use haversack_server::config::{Config, PipelineTool};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::{begin, ended, one};
use crate::harness::{TestServer, json_of, start_with};
use crate::program::settled;

/// A server whose agent has the pipeline `name` as a tool.
async fn offering(folder: &Path, name: &str) -> TestServer {
    let change = |config: &mut Config| {
        config.pipelines.folder = Some(folder.to_owned());
        config.pipelines.tools = vec![PipelineTool {
            name: name.to_owned(),
            pipeline: name.to_owned(),
            description: "Exports the orders of the day.".to_owned(),
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
