//! A hundred runs at once, and every effect stays with its run: environment, secrets, files, logs, parameters, catalog.
//!
//! All runs are of one pipeline, use the same names everywhere, and differ in what they are given. They are started as
//! tasks, on threads, inside each other, and two in one context.

use std::sync::Arc;

use haversack::testing::tenant;
use haversack::well_known::TENANT_ID;
use haversack_pipeline::builder::{function, shell};
use haversack_pipeline::run::{RUN, RunId, RunStatus};
use haversack_pipeline::secrets::{self, Secret, SecretsError};
use haversack_pipeline::{
    Functions, Parameters, Pipeline, PipelineOptions, Pipelines, StepCall, StepFailure, StepOutput,
};

use crate::{House, chain, id, outputs, started};

const RUNS: usize = 100;
const TENANTS: usize = 7;

fn options(options: PipelineOptions) -> PipelineOptions {
    let per_tenant = secrets::from_fn(|_| async {
        let whose = TENANT_ID.get().map_err(|missing| SecretsError(missing.to_string()))?;
        Ok(Some(Secret::new(format!("secret-of-{whose}"))))
    });
    let functions = Functions::new().on("look", |call: StepCall| async move {
        tokio::task::yield_now().await;
        let own = RUN.get().map_err(|missing| StepFailure::new(missing.to_string()))?;
        Ok(StepOutput::value(format!(
            "{own} {}",
            call.parameter("mine").and_then(|mine| mine.as_str()).unwrap()
        )))
    });
    options.secrets(per_tenant).functions(functions).children(16)
}

/// Two children and a function: the first leaves a file in the catalog, the second looks at everything it can see.
fn pipeline() -> Pipeline {
    let leave =
        shell("echo \"$mine\" > file; echo \"left by $HAVERSACK_RUN_ID\"").parameters(["mine"]).put(["file"]);
    let look = "test \"$(cat file)\" = \"$mine\" || exit 11
        test \"$(ls)\" = file || exit 12
        test \"$KEY\" = \"secret-of-$whose\" || exit 13
        echo \"$HAVERSACK_RUN_ID $mine\"
        printf '{\"env\": \"%s\"}' \"$HAVERSACK_RUN_ID\" > \"$HAVERSACK_RETURNS\"";
    chain([
        ("leave", leave),
        ("look", shell(look).parameters(["mine", "whose"]).get(["*"]).secrets(["KEY"]).returns(["env"])),
        ("inside", function("look").returns(["seen"])),
    ])
}

fn key(number: usize) -> RunId {
    id(&format!("run-{number}"))
}

/// Starts and executes one run, and looks at all of its effects.
async fn one(pipelines: Pipelines, pipeline: Pipeline, number: usize) {
    let (key, mine, whose) = (key(number), format!("value-{number}"), TENANT_ID.get().unwrap());
    let given = Parameters::new().with("mine", mine.as_str()).with("whose", whose.as_str());
    pipelines.start(&pipeline, given, key.clone()).await.unwrap();
    let ended = pipelines.execute(&key).await.unwrap();
    let log = pipelines.log(&key, 0, usize::MAX).await.unwrap();
    assert_eq!(ended.entry.status, RunStatus::Succeeded, "{key}: {log:#?}");
    assert_eq!(outputs(&log), serde_json::json!({"env": key.as_str(), "seen": format!("{key} {mine}")}));
    for (step, expected) in [("leave", format!("left by {key}\n")), ("look", format!("{key} {mine}\n"))] {
        let printed = pipelines.output(&key, started(&log, step)[0], u64::MAX).await.unwrap();
        assert_eq!(String::from_utf8(printed).unwrap(), expected);
    }
}

fn of(number: usize) -> String {
    format!("tenant-{}", number % TENANTS)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_runs_as_tasks() {
    let house = House::with(options);
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
fn runs_on_threads() {
    let house = House::with(options);
    let pipeline = pipeline();
    let threads: Vec<_> = (0..16)
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_inside_a_run() {
    let dir = Arc::new(std::sync::OnceLock::<Pipelines>::new());
    let inner = Arc::clone(&dir);
    let house = House::with(|base| {
        let base = options(base);
        let functions = Functions::new()
            .on("nest", move |call: StepCall| {
                let pipelines = inner.get().unwrap().clone();
                async move {
                    let number = call.parameter("number").and_then(serde_json::Value::as_u64).unwrap();
                    let outer = RUN.get().unwrap();
                    one(pipelines, pipeline(), usize::try_from(number).unwrap()).await;
                    assert_eq!(RUN.get().unwrap(), outer, "the outer run is back");
                    Ok(StepOutput::value(outer.as_str()))
                }
            })
            .on("look", |call: StepCall| async move {
                let own = RUN.get().unwrap();
                Ok(StepOutput::value(format!(
                    "{own} {}",
                    call.parameter("mine").and_then(|m| m.as_str()).unwrap()
                )))
            });
        base.functions(functions)
    });
    dir.set(house.pipelines.clone()).unwrap();
    let outer = chain([("nest", function("nest").returns(["outer"]))]);
    let mut running = haversack::JoinSet::new();
    for number in 0..20_usize {
        let (pipelines, outer) = (house.pipelines.clone(), outer.clone());
        running.spawn(tenant(&of(number)).wrap(async move {
            let key = id(&format!("outer-{number}"));
            let given = Parameters::new().with("number", number);
            pipelines.start(&outer, given, key.clone()).await.unwrap();
            assert_eq!(pipelines.execute(&key).await.unwrap().entry.status, RunStatus::Succeeded);
            let log = pipelines.log(&key, 0, usize::MAX).await.unwrap();
            assert_eq!(outputs(&log)["outer"], key.as_str());
        }));
    }
    while let Some(done) = running.join_next().await {
        done.unwrap();
    }
}

#[tokio::test]
async fn a_second_run_in_the_same_context() {
    let house = House::with(options);
    tenant("tenant-0")
        .wrap(async {
            let run = |number| one(house.pipelines.clone(), pipeline(), number);
            run(0).await;
            run(TENANTS).await;
            tokio::join!(run(2 * TENANTS), run(3 * TENANTS), run(4 * TENANTS));
        })
        .await;
}
