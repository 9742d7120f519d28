//! Runs whose job came to no end of its own: none of them is `running` for ever, and a retry goes on where it stopped.

use std::path::Path;

use haversack_server::work::Working;
use haversack_store::sqlite::Connection;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::{begin, ended};
use crate::harness::{Key, TestServer, json_of, start_with};
use crate::program::settled;

/// A step that is done at once and says so in a file, and one that ends when the gate is there.
fn two_steps(folder: &Path) {
    let place = folder.display();
    let text = format!(
        "dag:\n  start_at: first\n  steps:\n    first:\n      type: task\n      command_type: shell\n      command: |\n        \
         echo done >> {place}/first\n      next: second\n    second:\n      type: task\n      command_type: shell\n      \
         command: |\n        touch {place}/began; while ! test -e {place}/gate; do sleep 0.02; done\n      next: done\n    \
         done: {{type: success}}\n"
    );
    std::fs::write(folder.join("slow.yaml"), text).unwrap();
}

/// A server, a worker, and a run under way whose job was submitted by an older program: it has a second for each of so many
/// attempts.
async fn hurried(folder: &Path, attempts: u32) -> (TestServer, Key, Working) {
    two_steps(folder);
    let server = start_with(
        |config| {
            config.pipelines.folder = Some(folder.to_owned());
            (config.jobs.embedded_worker, config.jobs.max_attempts) = (false, attempts);
        },
        None,
    )
    .await;
    let kim = server.key("acme", "kim").await;
    json_of(begin(&server, &kim, "slow", json!({ "key": "r" })).await, StatusCode::ACCEPTED).await;
    let control = Connection::open(server.folder.path().join("data/control.sqlite")).unwrap();
    assert_eq!(control.execute("UPDATE jobs SET timeout_ms = 1000", []).unwrap(), 1);
    let worker = Working::start(server.server.engine().work());
    (server, kim, worker)
}

/// How often the first step was done.
fn done(folder: &Path) -> usize {
    std::fs::read_to_string(folder.join("first")).unwrap().lines().count()
}

async fn retry(server: &TestServer, key: &Key) {
    let retried = server.request(Method::POST, "/v1/runs/r/retry", key).send().await.unwrap();
    json_of(retried, StatusCode::ACCEPTED).await;
}

async fn events(server: &TestServer, key: &Key) -> Vec<Value> {
    let page = json_of(server.get(key, "/v1/runs/r/log").await, StatusCode::OK).await;
    page["events"].as_array().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_whose_job_has_no_time_left_fails_with_the_reason_and_a_retry_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let (server, kim, worker) = hurried(folder.path(), 1).await;
    let view = ended(&server, &kim, "r").await;
    assert_eq!(view["status"], "failed", "{view}");
    assert!(view["reason"].as_str().unwrap().contains("the time of its job was up"), "{view}");
    std::fs::write(folder.path().join("gate"), "").unwrap();
    retry(&server, &kim).await;
    assert_eq!(ended(&server, &kim, "r").await["status"], "succeeded");
    assert_eq!(done(folder.path()), 1, "what was done is not done again");
    worker.stop().await;
    server.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_whose_end_could_not_be_written_by_its_last_attempt_fails_and_a_retry_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    two_steps(folder.path());
    let server = start_with(
        |config| {
            config.pipelines.folder = Some(folder.path().to_owned());
            config.jobs.max_attempts = 1;
        },
        None,
    )
    .await;
    let kim = server.key("acme", "kim").await;
    json_of(begin(&server, &kim, "slow", json!({ "key": "r" })).await, StatusCode::ACCEPTED).await;
    settled(async || folder.path().join("began").exists().then_some(())).await;

    // As of a disk that is full for a while: what an executor tells is refused. Who gives a run up is of no generation.
    let control = Connection::open(server.folder.path().join("data/control.sqlite")).unwrap();
    let full = "CREATE TRIGGER full BEFORE INSERT ON pipeline_events WHEN NEW.generation > 0 BEGIN
                    SELECT RAISE(ABORT, 'full');
                END";
    control.execute_batch(full).unwrap();
    std::fs::write(folder.path().join("gate"), "").unwrap();
    let view = ended(&server, &kim, "r").await;
    assert_eq!(view["status"], "failed", "{view}");
    assert!(view["reason"].as_str().unwrap().contains("before it had ended"), "{view}");

    control.execute_batch("DROP TRIGGER full").unwrap();
    retry(&server, &kim).await;
    assert_eq!(ended(&server, &kim, "r").await["status"], "succeeded");
    assert_eq!(done(folder.path()), 1);
    server.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_takes_longer_than_one_attempt_of_its_job_goes_on_in_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let (server, kim, worker) = hurried(folder.path(), 100).await;
    settled(async || {
        let stopped = |event: &Value| event["event"] == "attempt_ended" && event["status"] == "cancelled";
        events(&server, &kim).await.iter().any(stopped).then_some(())
    })
    .await;
    std::fs::write(folder.path().join("gate"), "").unwrap();
    assert_eq!(ended(&server, &kim, "r").await["status"], "succeeded");
    assert_eq!(done(folder.path()), 1);
    worker.stop().await;
    server.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_whose_job_is_called_off_ends_as_cancelled_and_a_retry_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    two_steps(folder.path());
    let server = start_with(|config| config.pipelines.folder = Some(folder.path().to_owned()), None).await;
    let kim = server.key("acme", "kim").await;
    json_of(begin(&server, &kim, "slow", json!({ "key": "r" })).await, StatusCode::ACCEPTED).await;
    settled(async || folder.path().join("began").exists().then_some(())).await;
    let jobs = json_of(server.get(&kim, "/v1/jobs").await, StatusCode::OK).await;
    let job = jobs["jobs"][0]["id"].as_str().unwrap_or_else(|| panic!("{jobs}")).to_owned();
    let off = server.request(Method::DELETE, &format!("/v1/jobs/{job}"), &kim).send().await.unwrap();
    assert!(off.status().is_success(), "{}", off.status());
    let view = ended(&server, &kim, "r").await;
    assert_eq!(view["status"], "cancelled", "{view}");
    assert!(view["reason"].as_str().unwrap().contains("called off"), "{view}");
    std::fs::write(folder.path().join("gate"), "").unwrap();
    retry(&server, &kim).await;
    assert_eq!(ended(&server, &kim, "r").await["status"], "succeeded");
    assert_eq!(done(folder.path()), 1);
    server.server.shutdown().await.unwrap();
}
