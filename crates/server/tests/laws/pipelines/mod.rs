//! Pipelines: what the command line and a server make of them. Real files, real children, real workers. Here are the
//! pipelines and servers that the rooms below share.

mod command;
mod driven;
mod given_up;
mod owners;
mod progress;
mod requests;
mod spans;
mod tools;

use std::path::{Path, PathBuf};

use reqwest::{Method, StatusCode};
use serde_json::Value;
use tempfile::TempDir;

use crate::harness::{Key, TestServer, json_of, start_with};
use crate::program::settled;

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
