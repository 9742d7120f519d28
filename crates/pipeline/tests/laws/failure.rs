//! What fails, how often it is tried, and what goes on.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use haversack::testing::tenant;
use haversack_pipeline::builder::{DagBuilder, PipelineBuilder, function, parallel, shell, stub};
use haversack_pipeline::run::RunStatus::{Failed, Succeeded};
use haversack_pipeline::run_log::AttemptStatus;
use haversack_pipeline::{Functions, PipelineError, StepCall, StepFailure, StepOutput};
use serde_json::json;

use crate::{House, branch, chain, ended, id, none, outputs, reason};

#[tokio::test]
async fn a_step_is_tried_as_often_as_it_says() {
    let house = House::new();
    tenant("a")
        .wrap(async {
            let third = shell("test $HAVERSACK_ATTEMPT = 3").retry(3, Duration::from_millis(1));
            let run = house.run(&chain([("s", third)]), none(), "third").await;
            assert_eq!(run.entry.status, Succeeded);
            let log = house.log("third").await;
            use AttemptStatus::{Failed as F, Succeeded as S};
            assert_eq!(ended(&log), [("s", F), ("s", F), ("s", S)]);

            let never = shell("exit 7").retry(2, Duration::ZERO);
            let run = house.run(&chain([("s", never)]), none(), "never").await;
            assert_eq!(run.entry.status, Failed);
            assert_eq!(ended(&house.log("never").await).len(), 2);
            assert_eq!(reason(&house.log("never").await), "s: exit code 7");
        })
        .await;
}

#[tokio::test]
async fn a_handler_that_fails_is_the_runs_failure() {
    let house = House::new();
    tenant("a")
        .wrap(async {
            let handled = |handler: &str, end: &str| {
                let dag = DagBuilder::new()
                    .then("breaks", shell("exit 3").on_failure("mend"))
                    .aside("mend", shell(handler).next(end))
                    .then("after", stub());
                PipelineBuilder::new("handled", dag).build().unwrap()
            };
            let run = house.run(&handled("exit 4", "after"), none(), "fails").await;
            assert_eq!((run.entry.status, run.entry.status.exit_code()), (Failed, 1));
            let log = house.log("fails").await;
            use AttemptStatus::{Failed as F, Succeeded as S};
            assert_eq!(ended(&log), [("breaks", F), ("mend", F)], "nothing comes after it");
            assert_eq!(reason(&log), "mend: exit code 4", "and it is the one to know");

            let run = house.run(&handled("true", "after"), none(), "mends").await;
            assert_eq!((run.entry.status, run.entry.status.exit_code()), (Succeeded, 0));
            assert_eq!(ended(&house.log("mends").await), [("breaks", F), ("mend", S), ("after", S)]);
            assert_eq!(run.reason, None, "what was mended is no reason");
        })
        .await;
}

#[tokio::test]
async fn a_step_has_the_time_it_is_given() {
    let functions = Functions::new().on("wait", |_| std::future::pending());
    let house = House::with(|options| options.functions(functions));
    tenant("a")
        .wrap(async {
            for (key, step) in [("shell", shell("sleep 1000")), ("function", function("wait"))] {
                let step = step.timeout(Duration::from_millis(50));
                let run = house.run(&chain([("s", step)]), none(), key).await;
                assert_eq!(run.entry.status, Failed, "{key}");
                let log = house.log(key).await;
                assert_eq!(ended(&log), [("s", AttemptStatus::TimedOut)], "{key}");
                assert_eq!(reason(&log), "s: it took longer than its 50 ms");
            }
        })
        .await;
}

#[tokio::test]
async fn a_panic_is_a_failure_that_quotes_nothing() {
    let functions = Functions::new()
        .on("at-once", |_| -> std::future::Ready<_> { panic!("private words") })
        .on("later", |_| async { panic!("private words") })
        .on_blocking("sync", |_| panic!("private words"));
    let house = House::with(|options| options.functions(functions));
    tenant("a")
        .wrap(async {
            for name in ["at-once", "later", "sync"] {
                let run = house.run(&chain([("s", function(name))]), none(), name).await;
                assert_eq!(run.entry.status, Failed, "{name}");
                let why = reason(&house.log(name).await);
                assert!(why.contains("panicked") && !why.contains("private"), "{why}");
            }
        })
        .await;
}

#[tokio::test]
async fn a_failed_branch_does_not_stop_its_siblings() {
    let failed = Arc::new(tokio::sync::Notify::new());
    let (tells, waits) = (Arc::clone(&failed), failed);
    let functions = Functions::new()
        .on("fails", move |_| {
            tells.notify_one();
            async { Err(StepFailure::new("as asked")) }
        })
        .on("waits", move |_| {
            let waits = Arc::clone(&waits);
            async move {
                waits.notified().await;
                Ok(StepOutput::nothing())
            }
        });
    let house = House::with(|options| options.functions(functions));
    tenant("a")
        .wrap(async {
            let left = branch([("wait", function("waits")), ("more", stub())]);
            let both = parallel([("left", left), ("right", branch([("fail", function("fails"))]))]);
            let run = house.run(&chain([("both", both), ("never", stub())]), none(), "r").await;
            assert_eq!(run.entry.status, Failed);
            let log = house.log("r").await;
            let mut steps = ended(&log);
            steps.sort_by_key(|(step, _)| step.to_owned());
            use AttemptStatus::{Failed as F, Succeeded as S};
            assert_eq!(steps, [("both/left/more", S), ("both/left/wait", S), ("both/right/fail", F)]);
            assert_eq!(reason(&log), "both/right/fail: as asked");
        })
        .await;
}

#[tokio::test]
async fn a_retry_runs_again_what_depends_on_what_changed() {
    let calls = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&calls);
    let functions = Functions::new()
        .on("number", move |_| {
            let number = count.fetch_add(1, Ordering::SeqCst);
            async move { Ok(StepOutput::value(number)) }
        })
        .on("once", |call: StepCall| async move {
            if call.attempt() > 1 { Ok(StepOutput::nothing()) } else { Err(StepFailure::new("at first")) }
        });
    let house = House::with(|options| options.functions(functions));
    tenant("a")
        .wrap(async {
            let pipeline = chain([
                ("first", function("number").returns(["x"])),
                ("shaky", function("once")),
                ("last", function("number").returns(["y"])),
            ]);
            house.run(&pipeline, none(), "r").await;
            assert!(
                matches!(house.pipelines.execute(&id("r")).await.unwrap().entry.status, Failed),
                "an end stays"
            );
            house.pipelines.retry(&id("r")).await.unwrap();
            house.pipelines.execute(&id("r")).await.unwrap();
            assert_eq!(outputs(&house.log("r").await), json!({"x": 0, "y": 1}), "the first step ran once");

            let refused = house.pipelines.retry(&id("r")).await;
            assert!(matches!(refused, Err(PipelineError::NotFailed)), "{refused:?}");
            assert!(matches!(house.pipelines.retry(&id("none")).await, Err(PipelineError::UnknownRun)));
        })
        .await;
}
