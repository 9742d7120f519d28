//! The run log: append-only, numbered, followed from any number on, and a constant effort a step.

use haversack::testing::tenant;
use haversack_pipeline::builder::{DagBuilder, PipelineBuilder, function, stub};
use haversack_pipeline::run_log::{Event, What};
use haversack_pipeline::{Functions, StepOutput};

use crate::{House, chain, id, none};

#[tokio::test]
async fn rows_are_added_and_never_changed() {
    let house = House::new();
    tenant("a")
        .wrap(async {
            house.run(&chain([("s", stub())]), none(), "r").await;
            let rows = house.store.rows().unwrap();
            for statement in ["UPDATE pipeline_events SET body = x'7b7d'", "DELETE FROM pipeline_events"] {
                let refused = rows.write("tamper", move |tx, _| Ok(tx.execute(statement, [])?)).await;
                assert!(refused.unwrap_err().to_string().contains("append-only"), "{statement}");
            }
            // A run goes whole: its row first, then its log.
            let gone = rows.write("forget", |tx, _| {
                tx.execute("DELETE FROM pipeline_runs", [])?;
                Ok(tx.execute("DELETE FROM pipeline_events", [])?)
            });
            assert_eq!(gone.await.unwrap(), 5);
        })
        .await;
}

#[tokio::test]
async fn a_follower_goes_on_after_the_last_number_it_saw() {
    let gate = std::sync::Arc::new(tokio::sync::Semaphore::new(0));
    let waits = std::sync::Arc::clone(&gate);
    let functions = Functions::new().on("wait", move |_| {
        let waits = std::sync::Arc::clone(&waits);
        async move {
            waits.acquire().await.unwrap().forget();
            Ok(StepOutput::nothing())
        }
    });
    let house = House::with(|options| options.functions(functions));
    tenant("a")
        .wrap(async {
            let pipeline = chain([("one", function("wait")), ("two", function("wait"))]);
            house.pipelines.start(&pipeline, none(), id("r")).await.unwrap();
            let running = haversack::spawn(house.pipelines.execute(&id("r")));

            let mut first = house.pipelines.follow(&id("r"), 0).unwrap();
            let mut seen: Vec<Event> = Vec::new();
            while !seen.last().is_some_and(|event| matches!(event.what, What::AttemptStarted { .. })) {
                seen.push(first.next().await.unwrap().unwrap());
            }
            drop(first);
            gate.add_permits(2);
            let mut second = house.pipelines.follow(&id("r"), seen.last().unwrap().number).unwrap();
            while let Some(event) = second.next().await.unwrap() {
                seen.push(event);
            }
            running.await.unwrap().unwrap();
            assert_eq!(seen, house.log("r").await);
            assert!(matches!(seen.last().unwrap().what, What::Ended { .. }));
        })
        .await;
}

#[tokio::test]
async fn inputs_are_named_by_their_hash() {
    let functions = Functions::new().on("one", |_| async { Ok(StepOutput::value(1)) });
    let house = House::with(|options| options.functions(functions));
    tenant("a")
        .wrap(async {
            house.run(&chain([("s", function("one").returns(["y"]))]), none().with("x", "canary"), "r").await;
            let log = house.log("r").await;
            let text = serde_json::to_string(&log).unwrap();
            assert!(!text.contains("canary"));
            let inputs = log.iter().find_map(|event| match &event.what {
                What::AttemptStarted { inputs, .. } => Some(inputs.clone()),
                _ => None,
            });
            let inputs = inputs.unwrap();
            assert_eq!((inputs.count, inputs.parameters.len(), inputs.parameters["x"].len()), (1, 1, 64));
        })
        .await;
}

/// The size of what a step writes does not grow with the steps before it.
#[tokio::test]
async fn a_step_late_in_a_run_writes_as_much_as_an_early_one() {
    let functions = Functions::new().on("one", |_| async { Ok(StepOutput::value(1)) });
    let house = House::with(|options| options.functions(functions));
    tenant("a")
        .wrap(async {
            let step = |at: usize| function("one").returns([format!("v{at:03}")]);
            let dag = (0..200).fold(DagBuilder::new(), |dag, at| dag.then(format!("s{at:03}"), step(at)));
            house.run(&PipelineBuilder::new("long", dag).build().unwrap(), none(), "r").await;
            let log = house.log("r").await;
            assert_eq!(log.len(), 2 + 400 + 1);
            let size = |event: &Event| serde_json::to_string(event).unwrap().len();
            let of = |events: &[Event]| events.iter().map(size).sum::<usize>();
            let (middle, late) = (of(&log[102..142]), of(&log[362..402]));
            assert!(
                late <= middle + middle / 10,
                "{middle} bytes for twenty steps, {late} for twenty later ones"
            );
        })
        .await;
}

#[tokio::test]
async fn views_and_events_are_json_that_reads_back() {
    let house = House::new();
    tenant("a")
        .wrap(async {
            let view = house.run(&chain([("s", stub())]), none().with("x", 1), "r").await;
            let text = serde_json::to_string(&view).unwrap();
            assert_eq!(serde_json::from_str::<haversack_pipeline::run::RunView>(&text).unwrap(), view);
            let log = house.log("r").await;
            let text = serde_json::to_string(&log).unwrap();
            assert_eq!(serde_json::from_str::<Vec<Event>>(&text).unwrap(), log);
        })
        .await;
}
