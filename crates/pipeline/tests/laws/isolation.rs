//! A hundred runs at once, and every effect stays with its run: environment, secrets, files, logs, parameters, catalog.
//!
//! All runs are of one pipeline, use the same names everywhere, and differ in what they are given. They are started as
//! tasks, on threads, inside each other, and all in one context. That they are under way at once is no chance: none comes
//! to its end before all have met.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::future::join_all;
use haversack::testing::tenant;
use haversack::well_known::TENANT_ID;
use haversack_pipeline::builder::{function, shell};
use haversack_pipeline::run::{RUN, RunId, RunStatus, STEP};
use haversack_pipeline::secrets::{self, Secret, SecretsError};
use haversack_pipeline::{
    Functions, Parameters, Pipeline, PipelineOptions, Pipelines, StepCall, StepFailure, StepOutput,
};
use tokio::sync::Barrier;

use crate::{House, chain, id, outputs, started};

const RUNS: usize = 100;
const TENANTS: usize = 7;
/// Who has not come by then never comes.
const PATIENCE: Duration = Duration::from_secs(120);

/// A secret of the tenant and of the run: the same name, and another value in each.
fn options(options: PipelineOptions, meeting: usize) -> PipelineOptions {
    let of_each_run = secrets::from_fn(|_| async {
        let failed = |missing: haversack::MissingContext| SecretsError(missing.to_string());
        let (whose, run) = (TENANT_ID.get().map_err(failed)?, RUN.get().map_err(failed)?);
        Ok(Some(Secret::new(format!("secret-of-{whose}-{run}"))))
    });
    options.secrets(of_each_run).functions(functions(meeting)).children(16)
}

/// A function that goes on when so many runs have come to it.
fn functions(meeting: usize) -> Functions {
    let meeting = Arc::new(Barrier::new(meeting));
    Functions::new().on("look", move |call: StepCall| {
        let meeting = Arc::clone(&meeting);
        async move {
            let met = tokio::time::timeout(PATIENCE, meeting.wait()).await;
            met.map_err(|_| StepFailure::new("the others are not under way"))?;
            let own = RUN.get().map_err(|missing| StepFailure::new(missing.to_string()))?;
            let mine = call.parameter("mine").and_then(|mine| mine.as_str()).unwrap();
            Ok(StepOutput::value(format!("{own} {mine}")))
        }
    })
}

const LEAVE: &str = "echo \"$mine\" > file; echo \"left by $HAVERSACK_RUN_ID\"";
const LOOK: &str = "test \"$(cat file)\" = \"$mine\" || exit 11
    test \"$(ls)\" = file || exit 12
    test \"$KEY\" = \"secret-of-$whose-$HAVERSACK_RUN_ID\" || exit 13
    echo \"$HAVERSACK_RUN_ID $mine\"
    printf '{\"env\": \"%s\"}' \"$HAVERSACK_RUN_ID\" > \"$HAVERSACK_RETURNS\"";

/// Two children and something between them: the first leaves a file in the catalog, the second looks at everything it can
/// see.
fn around(name: &str, between: haversack_pipeline::builder::StepBuilder) -> Pipeline {
    chain([
        ("leave", shell(LEAVE).parameters(["mine"]).put(["file"])),
        (name, between),
        ("look", shell(LOOK).parameters(["mine", "whose"]).get(["file"]).secrets(["KEY"]).returns(["env"])),
    ])
}

fn pipeline() -> Pipeline {
    around("inside", function("look").returns(["seen"]))
}

fn key(number: usize) -> RunId {
    id(&format!("run-{number}"))
}

fn given(mine: &str) -> Parameters {
    Parameters::new().with("mine", mine).with("whose", TENANT_ID.get().unwrap().as_str())
}

/// What both children of the run printed.
async fn printed_its_own(pipelines: &Pipelines, key: &RunId, mine: &str) {
    let log = pipelines.log(key, 0, usize::MAX).await.unwrap();
    for (step, expected) in [("leave", format!("left by {key}\n")), ("look", format!("{key} {mine}\n"))] {
        let printed = pipelines.output(key, started(&log, step)[0], u64::MAX).await.unwrap();
        assert_eq!(String::from_utf8(printed).unwrap(), expected);
    }
}

/// Starts and executes one run, and looks at all of its effects.
async fn one(pipelines: Pipelines, pipeline: Pipeline, number: usize) {
    let (key, mine) = (key(number), format!("value-{number}"));
    let start = pipelines.start(&pipeline, given(&mine), key.clone()).await.unwrap();
    assert!(!start.existing, "{key} is a run of its own");
    let ended = pipelines.execute(&key).await.unwrap();
    let log = pipelines.log(&key, 0, usize::MAX).await.unwrap();
    assert_eq!(ended.entry.status, RunStatus::Succeeded, "{key}: {log:#?}");
    assert_eq!(outputs(&log), serde_json::json!({"env": key.as_str(), "seen": format!("{key} {mine}")}));
    printed_its_own(&pipelines, &key, &mine).await;
}

fn of(number: usize) -> String {
    format!("tenant-{}", number % TENANTS)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_runs_as_tasks() {
    let house = House::with(|base| options(base, RUNS));
    let pipeline = pipeline();
    let mut running = haversack::JoinSet::new();
    for number in 0..RUNS {
        let (pipelines, pipeline) = (house.pipelines.clone(), pipeline.clone());
        running.spawn(tenant(&of(number)).wrap(async move { one(pipelines, pipeline, number).await }));
    }
    while let Some(done) = running.join_next().await {
        done.unwrap();
    }
}

#[test]
fn a_hundred_runs_on_threads() {
    let house = House::with(|base| options(base, RUNS));
    let pipeline = pipeline();
    let threads: Vec<_> = (0..RUNS)
        .map(|number| {
            let (pipelines, pipeline) = (house.pipelines.clone(), pipeline.clone());
            haversack::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                let work = async move { one(pipelines, pipeline, number).await };
                haversack::block_on(&runtime, tenant(&of(number)).wrap(work));
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
}

/// Children of a hundred runs that are all there at once, each with its file, its environment and its secret.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_children_at_once() {
    let house = House::with(|base| options(base, 1).children(RUNS).children_per_tenant(RUNS));
    let (there, gate) = (house.dir.path().join("there"), house.dir.path().join("gate"));
    std::fs::create_dir(&there).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(&gate).status().unwrap().success());
    let hold = format!(
        "echo \"$mine\" > file; echo \"before $mine\"; : > {}/$HAVERSACK_RUN_ID; : < {}\n{LOOK}",
        there.display(),
        gate.display()
    );
    let hold = shell(hold).parameters(["mine", "whose"]).secrets(["KEY"]).returns(["env"]);
    let pipeline = chain([("hold", hold)]);
    let mut running = haversack::JoinSet::new();
    for number in 0..RUNS {
        let (pipelines, pipeline) = (house.pipelines.clone(), pipeline.clone());
        running.spawn(tenant(&of(number)).wrap(async move {
            let (key, mine) = (key(number), format!("value-{number}"));
            pipelines.start(&pipeline, given(&mine), key.clone()).await.unwrap();
            pipelines.execute(&key).await.unwrap();
            let log = pipelines.log(&key, 0, usize::MAX).await.unwrap();
            assert_eq!(outputs(&log), serde_json::json!({"env": key.as_str()}), "{key}: {log:#?}");
            let printed = pipelines.output(&key, started(&log, "hold")[0], u64::MAX).await.unwrap();
            let expected = format!("before {mine}\n{key} {mine}\n");
            assert_eq!(String::from_utf8(printed).unwrap(), expected);
        }));
    }
    let met = async {
        while std::fs::read_dir(&there).unwrap().count() < RUNS {
            // Files of children tell nobody.
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, met).await.expect("all of them are there at once");
    // Whoever waits at it or comes to it goes on, for as long as it is held.
    let opened = haversack::spawn_blocking(move || std::fs::OpenOptions::new().write(true).open(gate));
    let open = opened.await.unwrap().unwrap();
    while let Some(done) = running.join_next().await {
        done.unwrap();
    }
    drop(open);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_runs_inside_a_hundred_runs() {
    let known = Arc::new(OnceLock::<Pipelines>::new());
    let inner = Arc::clone(&known);
    let house = House::with(|base| {
        let nest = move |call: StepCall| {
            let pipelines = inner.get().unwrap().clone();
            async move {
                let number = call.parameter("number").and_then(serde_json::Value::as_u64).unwrap();
                let work = call.work().unwrap().to_owned();
                // All that the outer step has, and that a run inside it could disturb.
                let seen = || {
                    let files: Vec<_> =
                        std::fs::read_dir(&work).unwrap().map(|entry| entry.unwrap().file_name()).collect();
                    let secret = call.secrets().get("KEY").unwrap().expose().to_owned();
                    let file = std::fs::read_to_string(work.join("file")).unwrap();
                    let mine = call.parameter("mine").cloned();
                    (
                        RUN.get().unwrap(),
                        STEP.get().unwrap(),
                        TENANT_ID.get().unwrap(),
                        secret,
                        mine,
                        file,
                        files,
                    )
                };
                let before = seen();
                let (outer, whose) = (before.0.clone(), before.2.clone());
                assert_eq!(before.3, format!("secret-of-{whose}-{outer}"));
                assert_eq!(before.5, format!("outer-value-{number}\n"));
                call.log().line(&format!("before, in {outer}"));
                one(pipelines, pipeline(), usize::try_from(number).unwrap()).await;
                assert_eq!(seen(), before, "the outer run is back, and as it was");
                call.log().line(&format!("after, in {outer}"));
                Ok(StepOutput::value(outer.as_str()))
            }
        };
        let base = options(base, 1).functions(functions(RUNS).on("nest", nest));
        // A folder takes a seat as well, and all of the outer steps are to be there at once.
        base.children(RUNS).children_per_tenant(RUNS)
    });
    known.set(house.pipelines.clone()).unwrap();
    let nest = function("nest").returns(["outer"]).get(["file"]).secrets(["KEY"]);
    let outer = around("nest", nest);
    let mut running = haversack::JoinSet::new();
    for number in 0..RUNS {
        let (pipelines, outer) = (house.pipelines.clone(), outer.clone());
        running.spawn(tenant(&of(number)).wrap(async move {
            let (key, mine) = (id(&format!("outer-{number}")), format!("outer-value-{number}"));
            pipelines.start(&outer, given(&mine).with("number", number), key.clone()).await.unwrap();
            let ended = pipelines.execute(&key).await.unwrap();
            let log = pipelines.log(&key, 0, usize::MAX).await.unwrap();
            assert_eq!(ended.entry.status, RunStatus::Succeeded, "{key}: {log:#?}");
            assert_eq!(outputs(&log), serde_json::json!({"env": key.as_str(), "outer": key.as_str()}));
            printed_its_own(&pipelines, &key, &mine).await;
            let printed = pipelines.output(&key, started(&log, "nest")[0], u64::MAX).await.unwrap();
            let expected = format!("before, in {key}\nafter, in {key}\n");
            assert_eq!(String::from_utf8(printed).unwrap(), expected);
        }));
    }
    while let Some(done) = running.join_next().await {
        done.unwrap();
    }
}

#[tokio::test]
async fn a_second_run_in_the_same_context() {
    let house = House::with(|base| options(base, 1));
    let run = |number| one(house.pipelines.clone(), pipeline(), number);
    tenant("tenant-0")
        .wrap(async {
            run(0).await;
            run(1).await;
        })
        .await;
}

#[tokio::test]
async fn a_hundred_runs_at_once_in_the_same_context() {
    let house = House::with(|base| options(base, RUNS));
    let run = |number| one(house.pipelines.clone(), pipeline(), number);
    tenant("tenant-0").wrap(async { join_all((0..RUNS).map(run)).await }).await;
}
