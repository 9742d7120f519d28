//! The identity of a run, its doors, and that of two executors one writes.

use std::sync::Arc;

use haversack::testing::tenant;
use haversack::well_known::{PRINCIPAL, TENANT_ID};
use haversack_pipeline::builder::{function, shell, stub};
use haversack_pipeline::run::RunStatus::{Failed, Succeeded};
use haversack_pipeline::run::{RUN, RunId, STEP};
use haversack_pipeline::run_log::{AttemptStatus, What};
use haversack_pipeline::{Functions, PipelineError, PipelineOptions, Pipelines, StepCall, StepOutput};
use serde_json::json;
use tokio::sync::Semaphore;

use crate::{House, chain, ended, id, none, on_disk, outputs};

#[tokio::test]
async fn a_second_start_returns_the_first_run() {
    let house = House::new();
    tenant("a")
        .wrap(async {
            let first =
                house.pipelines.start(&chain([("s", stub())]), none().with("x", 1), id("r")).await.unwrap();
            assert!(!first.existing);
            let other = chain([("t", stub())]);
            let second = house.pipelines.start(&other, none().with("x", 2), id("r")).await.unwrap();
            assert!(second.existing);
            assert_eq!(second.run, first.run);
            house.pipelines.execute(&id("r")).await.unwrap();
            assert_eq!(ended(&house.log("r").await), [("s", AttemptStatus::Succeeded)]);
            assert_eq!(house.pipelines.list(None, 10).await.unwrap().len(), 1);
            assert_eq!(house.pipelines.list(Some(Failed), 10).await.unwrap(), []);
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_starts_of_one_key_at_once_one_is_the_run() {
    const STARTS: usize = 32;
    let functions = Functions::new().on("which", |call: StepCall| async move {
        Ok(StepOutput::value(call.parameter("x").cloned().unwrap_or_default()))
    });
    let house = House::with(|options| options.functions(functions.clone()));
    // Others over the same file, as of another process.
    let options = PipelineOptions::new(house.catalog()).functions(functions);
    let elsewhere = Pipelines::new(house.store.clone(), house.keys.clone(), options);
    tenant("a")
        .wrap(async {
            let pipeline = chain([("s", function("which").returns(["y"]))]);
            let ready = Arc::new(tokio::sync::Barrier::new(STARTS));
            let mut starts = haversack::JoinSet::new();
            for number in 0..STARTS {
                let pipelines = if number % 2 == 0 { house.pipelines.clone() } else { elsewhere.clone() };
                let (pipeline, ready) = (pipeline.clone(), Arc::clone(&ready));
                starts.spawn(async move {
                    ready.wait().await;
                    (number, pipelines.start(&pipeline, none().with("x", number), id("r")).await.unwrap())
                });
            }
            let mut all = Vec::new();
            while let Some(start) = starts.join_next().await {
                all.push(start.unwrap());
            }
            let firsts: Vec<_> = all.iter().filter(|(_, start)| !start.existing).collect();
            assert_eq!(firsts.len(), 1, "one of them began it");
            let (winner, first) = firsts[0];
            assert!(all.iter().all(|(_, start)| start.run == first.run), "and all are told of that one");
            assert_eq!(house.pipelines.list(None, 100).await.unwrap().len(), 1);
            let ran = house.pipelines.execute(&id("r")).await.unwrap();
            assert_eq!(ran.outputs["y"], *winner, "what the others brought changes nothing");
            let log = house.log("r").await;
            assert_eq!(log.iter().filter(|event| matches!(event.what, What::Created { .. })).count(), 1);
            assert_eq!(ended(&log), [("s", AttemptStatus::Succeeded)]);
        })
        .await;
}

#[tokio::test]
async fn a_run_is_its_tenants_alone() {
    let house = House::new();
    tenant("a").wrap(async { house.run(&chain([("s", shell("echo canary"))]), none(), "r").await }).await;
    tenant("b")
        .wrap(async {
            let pipelines = &house.pipelines;
            let unknown = |outcome: Result<(), PipelineError>| {
                assert!(matches!(outcome, Err(PipelineError::UnknownRun)), "{outcome:?}");
            };
            unknown(pipelines.get(&id("r")).await.map(drop));
            unknown(pipelines.entry(&id("r")).await.map(drop));
            unknown(pipelines.execute(&id("r")).await.map(drop));
            unknown(pipelines.cancel(&id("r")).await.map(drop));
            unknown(pipelines.retry(&id("r")).await.map(drop));
            unknown(pipelines.log(&id("r"), 0, 10).await.map(drop));
            unknown(pipelines.output(&id("r"), 3, 100).await.map(drop));
            unknown(pipelines.follow(&id("r"), 0).unwrap().next().await.map(drop));
            assert_eq!(pipelines.list(None, 10).await.unwrap(), []);
            let own = pipelines.start(&chain([("s", stub())]), none(), id("r")).await.unwrap();
            assert!(!own.existing, "the name is free here");
        })
        .await;
}

#[tokio::test]
async fn outside_of_a_door_nothing_runs() {
    let house = House::new();
    let pipeline = chain([("s", stub())]);
    assert!(matches!(
        house.pipelines.start(&pipeline, none(), id("r")).await,
        Err(PipelineError::Unbound(_))
    ));
    assert!(matches!(house.pipelines.execute(&id("r")).await, Err(PipelineError::Unbound(_))));
    let mut follow = tenant("a").run(|| house.pipelines.follow(&id("r"), 0)).unwrap();
    let foreign = tenant("a").wrap(async { follow.next().await }).await;
    assert!(matches!(foreign, Err(PipelineError::Foreign(_))), "{foreign:?}");
}

#[test]
fn a_key_is_a_plain_name() {
    for key in ["", ".", "..", "a/b", "-a", "ä", "a b", "a\n", &"x".repeat(129)] {
        assert!(matches!(RunId::new(key), Err(PipelineError::BadKey)), "{key:?}");
    }
    for key in ["a", "2026-11-25", "A.b_c-d", &"x".repeat(128)] {
        RunId::new(key).unwrap();
    }
}

#[tokio::test]
async fn a_step_reads_who_it_works_for_and_leaves_no_trace_in_the_next() {
    static NOTE: haversack::ContextVar<u32> = haversack::ContextVar::new("note");
    let look = |_: StepCall| async {
        let seen = json!([
            TENANT_ID.get().unwrap().as_str(),
            PRINCIPAL.get().unwrap().as_str(),
            RUN.get().unwrap().as_str(),
            STEP.get().unwrap().as_str(),
            NOTE.get().is_ok(),
        ]);
        let _kept = NOTE.set(1).unwrap();
        assert!(NOTE.get().is_ok());
        Ok(StepOutput::value(seen))
    };
    let functions = Functions::new().on("look", look).on_blocking("look on the pool", |_| {
        Ok(StepOutput::value(json!([
            RUN.get().unwrap().as_str(),
            STEP.get().unwrap().as_str(),
            NOTE.get().is_ok()
        ])))
    });
    let house = House::with(|options| options.functions(functions));
    tenant("a")
        .wrap(async {
            let pipeline = chain([
                ("one", function("look").returns(["x"])),
                ("two", function("look").returns(["y"])),
                ("pool", function("look on the pool").returns(["z"])),
            ]);
            house.run(&pipeline, none(), "r").await;
            assert_eq!(
                outputs(&house.log("r").await),
                json!({"x": ["a", "tester", "r", "one", false], "y": ["a", "tester", "r", "two", false], "z": ["r", "pool", false]})
            );
            assert!(RUN.get().is_err() && NOTE.get().is_err(), "and none in the caller");
        })
        .await;
}

#[tokio::test]
async fn an_executor_that_was_overtaken_writes_nothing_more() {
    let reached = Arc::new(tokio::sync::Notify::new());
    let tells = Arc::clone(&reached);
    let functions = Functions::new().on("stuck", move |call: StepCall| {
        tells.notify_one();
        async move {
            if call.attempt() == 1 {
                std::future::pending::<()>().await;
            }
            Ok(StepOutput::value("second"))
        }
    });
    let house = House::with(|options| options.functions(functions));
    tenant("a")
        .wrap(async {
            let pipeline = chain([("s", function("stuck").returns(["x"])), ("t", stub())]);
            house.pipelines.start(&pipeline, none(), id("r")).await.unwrap();
            let first = haversack::spawn(house.pipelines.execute(&id("r")));
            reached.notified().await;
            let second = house.pipelines.execute(&id("r")).await.unwrap();
            assert_eq!(second.entry.status, Succeeded);
            assert!(matches!(first.await.unwrap(), Err(PipelineError::TakenOver)));

            let log = house.log("r").await;
            use AttemptStatus::{Lost, Succeeded as S};
            assert_eq!(ended(&log), [("s", Lost), ("s", S), ("t", S)]);
            let taken = log.iter().position(|event| event.generation == 2).unwrap();
            assert!(log[taken..].iter().all(|event| event.generation == 2), "{log:#?}");
            assert_eq!(log.iter().filter(|event| matches!(event.what, What::Ended { .. })).count(), 1);
        })
        .await;
}

/// Two executors that know nothing of each other, as in two processes: only the row's generation stands between them.
#[tokio::test]
async fn the_generation_alone_keeps_an_old_executor_out() {
    let (reached, gates) =
        (Arc::new(Semaphore::new(0)), [Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0))]);
    let functions = {
        let (reached, gates) = (Arc::clone(&reached), gates.clone());
        Functions::new().on("wait", move |call: StepCall| {
            let gate = Arc::clone(&gates[call.attempt() as usize - 1]);
            reached.add_permits(1);
            async move {
                gate.acquire().await.unwrap().forget();
                Ok(StepOutput::value(call.attempt()))
            }
        })
    };
    let house = House::with(|options| options.functions(functions.clone()));
    let options = PipelineOptions::new(house.catalog()).functions(functions);
    let elsewhere = Pipelines::new(house.store.clone(), house.keys.clone(), options);
    tenant("a")
        .wrap(async {
            let pipeline = chain([("s", function("wait").returns(["x"])), ("t", stub())]);
            house.pipelines.start(&pipeline, none(), id("r")).await.unwrap();
            let old = haversack::spawn(house.pipelines.execute(&id("r")));
            reached.acquire().await.unwrap().forget();
            let new = haversack::spawn(elsewhere.execute(&id("r")));
            reached.acquire().await.unwrap().forget();

            gates[0].add_permits(1);
            assert!(matches!(old.await.unwrap(), Err(PipelineError::TakenOver)));
            gates[1].add_permits(1);
            assert_eq!(new.await.unwrap().unwrap().entry.status, Succeeded);
            let log = house.log("r").await;
            assert_eq!(outputs(&log), json!({"x": 2}));
            let taken = log.iter().position(|event| event.generation == 2).unwrap();
            assert!(log[taken..].iter().all(|event| event.generation == 2), "{log:#?}");
        })
        .await;
}

#[tokio::test]
async fn a_deleted_run_is_gone_from_rows_and_folders() {
    let house = House::new();
    tenant("a")
        .wrap(async {
            let pipeline = chain([("s", shell("echo canary-text > x; cat x").put(["x"]))]);
            house.pipelines.start(&pipeline, none(), id("r")).await.unwrap();
            assert!(matches!(house.pipelines.delete(&id("r")).await, Err(PipelineError::NotEnded)));
            house.pipelines.execute(&id("r")).await.unwrap();
            assert_eq!(on_disk(&house.catalog(), "canary-text").len(), 2, "the file, and what was printed");

            house.pipelines.delete(&id("r")).await.unwrap();
            assert!(matches!(house.pipelines.get(&id("r")).await, Err(PipelineError::UnknownRun)));
            assert!(matches!(house.pipelines.delete(&id("r")).await, Err(PipelineError::UnknownRun)));
            assert_eq!(on_disk(&house.catalog(), "canary-text").len(), 0);
            assert!(
                !house.pipelines.start(&pipeline, none(), id("r")).await.unwrap().existing,
                "the key is free"
            );
        })
        .await;
}
