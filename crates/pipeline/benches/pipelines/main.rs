//! What a durable step and a run cost, against the targets.
//!
//! Steps are functions that return at once, so what is measured is ours: the log, the frames, the merge. Each step is on
//! disk before the next one starts. The peak of memory is that of this process, read from `/proc`.

#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a bench says what it measured, and stops where it cannot"
)]

use std::time::{Duration, Instant};

use haversack::JoinSet;
use haversack::testing::tenant;
use haversack_pipeline::builder::{DagBuilder, PipelineBuilder, function};
use haversack_pipeline::run::{RunId, RunStatus};
use haversack_pipeline::{Functions, Parameters, Pipeline, PipelineOptions, Pipelines, StepOutput};
use haversack_store::{KeyFile, Store, StoreOptions};

const ROUNDS: usize = 5;
const RUNS: usize = 1_000;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    haversack::block_on(&runtime, async {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("data"), StoreOptions::default()).unwrap();
        let keys = KeyFile::open(&dir.path().join("keys"), &dir.path().join("data")).unwrap();
        let functions = Functions::new()
            .on("nothing", |_| async { Ok(StepOutput::nothing()) })
            .on("number", |_| async { Ok(StepOutput::value(1)) });
        let options = PipelineOptions::new(dir.path().join("pipelines")).functions(functions);
        let pipelines = Pipelines::new(store, keys, options);

        println!("one run, steps in a row (target: 1 ms a durable step, linear)");
        for returns in [false, true] {
            for steps in [50, 200, 2_000] {
                let pipeline = chain(steps, returns);
                let mut taken = Vec::new();
                for round in 0..ROUNDS {
                    let key = RunId::new(format!("chain-{steps}-{returns}-{round}")).unwrap();
                    taken.push(one(&pipelines, &pipeline, key).await);
                }
                let each = median(taken).as_secs_f64() * 1_000.0 / steps as f64;
                let what = if returns { "each gives a value" } else { "no values" };
                println!("  {steps:>5} steps, {what:<20} {each:>7.3} ms a step{}", verdict(each <= 1.0));
            }
        }

        println!("{RUNS} runs of two steps at once (target: 1.5 s, 150 MB)");
        let pipeline = chain(2, true);
        let mut taken = Vec::new();
        for round in 0..ROUNDS {
            let begun = Instant::now();
            let mut running = JoinSet::new();
            for number in 0..RUNS {
                let (pipelines, pipeline) = (pipelines.clone(), pipeline.clone());
                let key = RunId::new(format!("many-{round}-{number}")).unwrap();
                running.spawn(async move { one(&pipelines, &pipeline, key).await });
            }
            while let Some(done) = running.join_next().await {
                done.unwrap();
            }
            taken.push(begun.elapsed());
        }
        let seconds = median(taken).as_secs_f64();
        println!("  time {seconds:>9.3} s{}", verdict(seconds < 1.5));
        match peak() {
            Some(mb) => println!("  peak {mb:>9.1} MB{}", verdict(mb < 150.0)),
            None => println!("  peak: this system does not tell"),
        }
    });
}

async fn one(pipelines: &Pipelines, pipeline: &Pipeline, key: RunId) -> Duration {
    let (pipelines, pipeline) = (pipelines.clone(), pipeline.clone());
    tenant("bench")
        .wrap(async move {
            let begun = Instant::now();
            let started = pipelines.start(&pipeline, Parameters::new(), key).await.unwrap();
            let ended = pipelines.execute(&started.run.entry.run).await.unwrap();
            assert_eq!(ended.entry.status, RunStatus::Succeeded);
            begun.elapsed()
        })
        .await
}

fn chain(steps: usize, returns: bool) -> Pipeline {
    let step = |at: usize| match returns {
        true => function("number").returns([format!("value_{at}")]),
        false => function("nothing"),
    };
    let dag = (0..steps).fold(DagBuilder::new(), |dag, at| dag.then(format!("step {at:04}"), step(at)));
    PipelineBuilder::new("bench", dag).build().unwrap()
}

fn median(mut taken: Vec<Duration>) -> Duration {
    taken.sort_unstable();
    taken[taken.len() / 2]
}

fn verdict(met: bool) -> &'static str {
    if met { "" } else { "  MISSED" }
}

fn peak() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix(" kB")?.trim().parse::<f64>().ok()? / 1024.0)
}
