//! The laws of this crate, each named as it is written down.

#![forbid(unsafe_code)]
// `unwrap` ends a test wherever it stands, and `#[tokio::test]` blocks on its runtime where no frame is.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods)]

mod cancel;
mod child;
mod context;
mod fencing;
mod kill;
mod limits;
mod missing_paths;
mod outbox;
mod owner;
mod queue;
mod retries;
mod sealed;
mod sessions;
mod shutdown;
mod spans;
mod tell;
mod tokens;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use haversack::testing::Isolated;
use haversack::well_known::{PRINCIPAL, REQUEST_ID, SESSION_ID, TENANT_ID, TRACE_CONTEXT};
use haversack::{Manifest, Visit, manifest};
use haversack_jobs::carried::{ACCESS_TOKEN, HEADERS};
use haversack_jobs::{Handlers, JobError, JobId, JobOptions, Jobs, NewJob, Outcome, Worker, WorkerOptions};
use haversack_store::{KeyFile, Store, StoreOptions};
use tempfile::TempDir;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

static OUT: Manifest =
    manifest![TENANT_ID, PRINCIPAL; SESSION_ID, REQUEST_ID, TRACE_CONTEXT, HEADERS, ACCESS_TOKEN];

/// A fresh installation in a folder that vanishes with it.
struct Place {
    dir: TempDir,
    store: Store,
    keys: KeyFile,
    jobs: Jobs,
}

impl Place {
    fn fresh() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("data"), StoreOptions::default()).unwrap();
        let keys = keys(dir.path());
        let jobs = Jobs::new(store.clone(), keys.clone(), &OUT, JobOptions::default());
        Self { dir, store, keys, jobs }
    }

    /// A worker of this process.
    fn work(&self, handlers: Handlers) -> AtWork {
        self.work_with(handlers, options())
    }

    fn work_with(&self, handlers: Handlers, options: WorkerOptions) -> AtWork {
        AtWork::start(self.jobs.clone(), handlers, options)
    }
}

/// Beside a server, or another worker.
fn join(dir: &Path) -> (Store, Jobs) {
    let store = Store::join(&dir.join("data"), StoreOptions::default()).unwrap();
    (store.clone(), Jobs::new(store, keys(dir), &OUT, JobOptions::default()))
}

fn keys(dir: &Path) -> KeyFile {
    KeyFile::open(&dir.join("keys"), &dir.join("data")).unwrap()
}

/// Quick where a test would wait.
fn options() -> WorkerOptions {
    WorkerOptions {
        lease: Duration::from_millis(600),
        cancel_grace: Duration::from_millis(100),
        parked: Duration::from_millis(50),
        ..WorkerOptions::default()
    }
}

struct AtWork {
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<Result<(), JobError>>,
}

impl AtWork {
    fn start(jobs: Jobs, handlers: Handlers, options: WorkerOptions) -> Self {
        let (stop, stopped) = oneshot::channel();
        let shutdown = async move {
            let _ = stopped.await;
        };
        let task = haversack::spawn_detached(Worker::new(jobs, handlers, options).run(shutdown));
        Self { stop: Some(stop), task }
    }

    async fn stop(mut self) {
        let _ = self.stop.take().unwrap().send(());
        self.task.await.unwrap().unwrap();
    }
}

/// A visit of `principal` of `tenant`.
fn caller(tenant: &str, principal: &str) -> Visit {
    Isolated::new().tenant(tenant).principal(principal).visit()
}

async fn submit(jobs: &Jobs, job: NewJob) -> JobId {
    jobs.submit(job).await.unwrap().id().unwrap().clone()
}

async fn submit_and_wait(jobs: &Jobs, job: NewJob) -> Outcome {
    let id = submit(jobs, job).await;
    jobs.wait(&id).await.unwrap()
}

fn succeeded(result: impl serde::Serialize) -> Outcome {
    Outcome::Succeeded { result: serde_json::to_value(result).unwrap() }
}

/// Notes that handlers make and the test reads.
#[derive(Clone)]
struct Notes(mpsc::UnboundedSender<String>, Arc<Mutex<Vec<String>>>);

impl Notes {
    fn new() -> (Self, mpsc::UnboundedReceiver<String>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Self(sender, Arc::default()), receiver)
    }

    fn add(&self, note: impl Into<String>) {
        let note = note.into();
        self.1.lock().unwrap().push(note.clone());
        let _ = self.0.send(note);
    }

    fn all(&self) -> Vec<String> {
        self.1.lock().unwrap().clone()
    }
}

/// Which files below `folder` hold these bytes, whatever they are written as.
fn on_disk(folder: &Path, needle: &str) -> Vec<PathBuf> {
    all_on_disk(folder, &[needle]).into_iter().map(|(_, path)| path).collect()
}

/// Which of these words stand in which files below `folder`, whatever they are written as. Each file is taken apart once.
fn all_on_disk<'a>(folder: &Path, needles: &[&'a str]) -> BTreeSet<(&'a str, PathBuf)> {
    let mut found = BTreeSet::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            haversack::canary::forms(&std::fs::read(&path).unwrap(), &mut |_, bytes| {
                for needle in needles {
                    if bytes.windows(needle.len()).any(|part| part == needle.as_bytes()) {
                        found.insert((*needle, path.clone()));
                    }
                }
            });
        }
    }
    found
}
