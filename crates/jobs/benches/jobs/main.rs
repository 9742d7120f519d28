//! Jobs on SQLite: how many a second, how soon one starts.
//!
//! `cargo xtask bench jobs [-- SECONDS]` prints the rate of jobs that do nothing at concurrency 10, the rate of
//! submitting, and how long an idle worker takes to begin a job, in this process and in another, against the targets.
//! Submitter and worker share the machine.
#![allow(missing_docs, clippy::print_stdout)] // a program that prints
#![allow(clippy::unwrap_used, clippy::expect_used)] // and stops where something fails

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use haversack::well_known::{PRINCIPAL, TENANT_ID};
use haversack::{Manifest, manifest};
use haversack_jobs::{Handlers, JobOptions, Jobs, NewJob, Worker, WorkerOptions};
use haversack_store::{KeyFile, Store, StoreOptions};
use hdrhistogram::Histogram;

static OUT: Manifest = manifest![TENANT_ID, PRINCIPAL];

const TENANTS: usize = 8;
const STARTS: usize = 200;
/// Set for the second process: the folder it works on.
const BESIDE: &str = "HAVERSACK_BENCH_BESIDE";

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    if let Some(dir) = std::env::var_os(BESIDE) {
        haversack::block_on(&runtime, work_beside(dir.as_ref()));
        return;
    }
    let seconds = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(3);
    println!("| what | measured | target | |");
    println!("|---|---|---|---|");
    haversack::block_on(&runtime, throughput(Duration::from_secs(seconds)));
    haversack::block_on(&runtime, starts("in this process", 5.0, false));
    haversack::block_on(&runtime, starts("in another process", 50.0, true));
}

fn place(dir: &Path, open: fn(&Path, StoreOptions) -> Result<Store, haversack_store::StoreError>) -> Jobs {
    let data = dir.join("data");
    let store = open(&data, StoreOptions::default()).unwrap();
    Jobs::new(store, KeyFile::open(&dir.join("keys"), &data).unwrap(), &OUT, JobOptions::default())
}

fn work(jobs: &Jobs, handlers: Handlers) -> impl Drop + use<> {
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let worker = Worker::new(jobs.clone(), handlers, WorkerOptions::default());
    haversack::spawn_detached(worker.run(async move {
        let _ = stopped.await;
    }));
    StopOnDrop(Some(stop))
}

struct StopOnDrop(Option<tokio::sync::oneshot::Sender<()>>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        drop(self.0.take());
    }
}

async fn submit(jobs: &Jobs, tenant: usize, count: usize) {
    let jobs = jobs.clone();
    haversack::testing::tenant(&format!("tenant-{tenant}"))
        .wrap(async move {
            for _ in 0..count {
                jobs.submit(NewJob::new("nothing", &1).unwrap()).await.unwrap();
            }
        })
        .await;
}

/// First the submitting alone, then the working alone, on the backlog.
async fn throughput(span: Duration) {
    let dir = tempfile::tempdir().unwrap();
    let jobs = place(dir.path(), Store::open);
    let begun = Instant::now();
    let submitted = Arc::new(AtomicU64::new(0));
    let mut submitters = haversack::JoinSet::new();
    for tenant in 0..TENANTS {
        let (jobs, submitted) = (jobs.clone(), submitted.clone());
        submitters.spawn(async move {
            while begun.elapsed() < span {
                submit(&jobs, tenant, 50).await;
                submitted.fetch_add(50, Ordering::Relaxed);
            }
        });
    }
    while submitters.join_next().await.is_some() {}
    let submitted = submitted.load(Ordering::Relaxed);
    println!("| submitted, 8 at a time | {:.0}/s | | |", submitted as f64 / begun.elapsed().as_secs_f64());

    let (done, all) = (Arc::new(AtomicU64::new(0)), Arc::new(tokio::sync::Notify::new()));
    let (counted, notify) = (done.clone(), all.clone());
    let finished = move |_| {
        if counted.fetch_add(1, Ordering::Relaxed) + 1 == submitted {
            notify.notify_one();
        }
        std::future::ready(Ok(()))
    };
    let begun = Instant::now();
    let worker = work(&jobs, Handlers::new().on("nothing", || async { Ok(()) }).on_finished(finished));
    all.notified().await;
    let rate = submitted as f64 / begun.elapsed().as_secs_f64();
    drop(worker);
    println!(
        "| done, concurrency 10, {TENANTS} tenants | {rate:.0}/s | >= 3000/s | {} |",
        verdict(rate >= 3_000.0)
    );
}

async fn starts(what: &str, target: f64, beside: bool) {
    let dir = tempfile::tempdir().unwrap();
    let jobs = place(dir.path(), Store::open);
    let second = beside.then(|| Beside::start(dir.path()));
    let worker = (!beside).then(|| work(&jobs, Handlers::new().on("now", now)));
    let mut times = Histogram::<u64>::new(3).unwrap();
    haversack::testing::tenant("tenant")
        .wrap(async {
            for start in 0..STARTS + 20 {
                let before = micros();
                let id = jobs.submit(NewJob::new("now", &()).unwrap()).await.unwrap().id().unwrap().clone();
                let outcome = jobs.wait(&id).await.unwrap();
                let began = outcome.into_result::<u64>().unwrap().unwrap();
                // The first ones find files and code cold.
                if start >= 20 {
                    times.record(began.saturating_sub(before).max(1)).unwrap();
                }
                // So that it is idle again.
                tokio::time::sleep(Duration::from_millis(7)).await;
            }
        })
        .await;
    drop((worker, second));
    let ms = |quantile| times.value_at_quantile(quantile) as f64 / 1e3;
    let met = verdict(ms(0.99) <= target);
    println!(
        "| idle start {what} | p50 {:.2} ms, p99 {:.2} ms | p99 <= {target} ms | {met} |",
        ms(0.5),
        ms(0.99)
    );
}

async fn now() -> Result<u64, haversack_jobs::Failure> {
    Ok(micros())
}

/// By the clock that both processes see.
fn micros() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    u64::try_from(since.as_micros()).unwrap()
}

async fn work_beside(dir: &Path) {
    let jobs = place(dir, Store::join);
    let _worker = work(&jobs, Handlers::new().on("now", now));
    std::future::pending::<()>().await;
}

/// A second process that works.
struct Beside(Child);

impl Beside {
    fn start(dir: &Path) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        Self(command.env(BESIDE, dir).stdout(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

const fn verdict(met: bool) -> &'static str {
    if met { "met" } else { "not met" }
}
