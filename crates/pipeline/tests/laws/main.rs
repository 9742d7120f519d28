//! The laws of this crate, each named as it is written down.
//!
//! Real SQLite, real child processes, real files: a test looks at what a child printed, what lies in a folder and what the
//! run log says.

#![forbid(unsafe_code)]
// `unwrap` ends a test wherever it stands, and `#[tokio::test]` blocks on its runtime where no frame is.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods)]

mod bounds;
mod catalog;
mod check;
mod environment;
mod failure;
mod isolation;
mod kill;
mod owner;
mod parameters;
mod processes;
mod run;
mod run_log;
mod runners;
mod seats;
mod secrets;
mod shapes;
mod yaml;

use std::path::{Path, PathBuf};
use std::time::Duration;

use haversack_pipeline::builder::{DagBuilder, PipelineBuilder, StepBuilder};
use haversack_pipeline::run::{RunId, RunView};
use haversack_pipeline::run_log::{AttemptStatus, Event, What};
use haversack_pipeline::{Parameters, Pipeline, PipelineOptions, Pipelines};
use haversack_store::{KeyFile, Store, StoreOptions};
use serde_json::Value;
use tempfile::TempDir;

/// A fresh store and its pipelines, in a fresh folder.
struct House {
    dir: TempDir,
    store: Store,
    keys: KeyFile,
    pipelines: Pipelines,
}

impl House {
    fn new() -> Self {
        Self::with(|options| options)
    }

    fn with(change: impl FnOnce(PipelineOptions) -> PipelineOptions) -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self::at(dir, change)
    }

    /// In a folder that another process may have used before.
    fn at(dir: TempDir, change: impl FnOnce(PipelineOptions) -> PipelineOptions) -> Self {
        let (store, keys, pipelines) = open(dir.path(), change);
        Self { dir, store, keys, pipelines }
    }

    fn catalog(&self) -> PathBuf {
        self.dir.path().join("pipelines")
    }

    /// Starts and executes, in the context of the call.
    async fn run(&self, pipeline: &Pipeline, parameters: Parameters, key: &str) -> RunView {
        let started = self.pipelines.start(pipeline, parameters, id(key)).await.unwrap();
        self.pipelines.execute(&started.run.entry.run).await.unwrap()
    }

    async fn log(&self, key: &str) -> Vec<Event> {
        let mut log: Vec<Event> = Vec::new();
        loop {
            let after = log.last().map_or(0, |event| event.number);
            let page = self.pipelines.log(&id(key), after, usize::MAX).await.unwrap();
            if page.is_empty() {
                return log;
            }
            log.extend(page);
        }
    }

    /// What the only attempt of the step printed, or the last one of several.
    async fn printed(&self, key: &str, step: &str) -> String {
        let started = started(&self.log(key).await, step);
        let bytes = self.pipelines.output(&id(key), *started.last().unwrap(), u64::MAX).await.unwrap();
        String::from_utf8(bytes).unwrap()
    }
}

fn open(dir: &Path, change: impl FnOnce(PipelineOptions) -> PipelineOptions) -> (Store, KeyFile, Pipelines) {
    let store = Store::open(&dir.join("data"), StoreOptions::default()).unwrap();
    let keys = KeyFile::open(&dir.join("keys"), &dir.join("data")).unwrap();
    let options = change(PipelineOptions::new(dir.join("pipelines")).code("laws"));
    (store.clone(), keys.clone(), Pipelines::new(store, keys, options))
}

/// A pipeline of these steps in a row.
fn chain<const N: usize>(steps: [(&str, StepBuilder); N]) -> Pipeline {
    let dag = steps.into_iter().fold(DagBuilder::new(), |dag, (name, step)| dag.then(name, step));
    PipelineBuilder::new("chain", dag).build().unwrap()
}

/// A branch of these steps in a row.
fn branch<const N: usize>(steps: [(&str, StepBuilder); N]) -> DagBuilder {
    steps.into_iter().fold(DagBuilder::new(), |dag, (name, step)| dag.then(name, step))
}

fn id(key: &str) -> RunId {
    RunId::new(key).unwrap()
}

fn none() -> Parameters {
    Parameters::new()
}

/// The numbers of the events that say that an attempt of the step started.
fn started(log: &[Event], step: &str) -> Vec<u64> {
    let of = |event: &Event| matches!(&event.what, What::AttemptStarted { step: name, .. } if name == step);
    log.iter().filter(|event| of(event)).map(|event| event.number).collect()
}

/// Every attempt that ended, in order: its step and how it ended.
fn ended(log: &[Event]) -> Vec<(&str, AttemptStatus)> {
    log.iter()
        .filter_map(|event| match &event.what {
            What::AttemptEnded { step, status, .. } => Some((step.as_str(), *status)),
            _ => None,
        })
        .collect()
}

/// What the run gave at its root.
fn outputs(log: &[Event]) -> Value {
    let last = log.iter().rev().find_map(|event| match &event.what {
        What::Ended { outputs, .. } => Some(outputs),
        _ => None,
    });
    serde_json::to_value(last.unwrap()).unwrap()
}

/// Why the run failed.
fn reason(log: &[Event]) -> String {
    let last = log.iter().rev().find_map(|event| match &event.what {
        What::Ended { reason, .. } => reason.clone(),
        _ => None,
    });
    last.unwrap_or_default()
}

/// Waits for something that another task or process brings about.
async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    for _ in 0..1_000 {
        if is_so() {
            return;
        }
        // Files and processes of others tell nobody.
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("waited in vain: {what}");
}

/// Files below `folder` that hold these bytes.
fn on_disk(folder: &Path, needle: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if contains(&std::fs::read(&path).unwrap(), needle.as_bytes()) {
                found.push(path);
            }
        }
    }
    found
}

fn contains(bytes: &[u8], needle: &[u8]) -> bool {
    bytes.windows(needle.len()).any(|window| window == needle)
}
