//! Who drives a run: one executor at a time, another when that one is gone, and none when it was called off.

use std::path::Path;

use haversack_pipeline::run::RunId;
use reqwest::{Method, StatusCode};
use serde_json::json;

use super::{begin, ended, one, serving, slow_at_first};
use crate::harness::{TestServer, json_of, kims, problem};
use crate::program::settled;

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
