//! The run log: append-only, numbered, followed from any number on, and a constant effort a step.

use haversack::testing::tenant;
use haversack_pipeline::builder::{DagBuilder, PipelineBuilder, function, parallel, stub};
use haversack_pipeline::run_log::{Event, What};
use haversack_pipeline::{Functions, StepOutput};
use haversack_store::now_millis;
use serde_json::json;

use crate::{House, branch, chain, id, none};

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

#[tokio::test]
async fn metrics_are_told_from_other_outputs() {
    let functions = Functions::new().on("train", |_| async {
        let given = [("model", json!("m")), ("loss", json!(0.25)), ("rounds", json!(3))];
        Ok(StepOutput::named(given.map(|(name, value)| (name.to_owned(), value))))
    });
    let house = House::with(|options| options.functions(functions));
    tenant("a")
        .wrap(async {
            let train = function("train").returns(["model"]).metric("loss").metric("rounds");
            let run = house.run(&chain([("train", train), ("s", stub())]), none(), "r").await;
            let log = house.log("r").await;
            let told: Vec<_> = log
                .iter()
                .filter_map(|event| match &event.what {
                    What::AttemptEnded { step, metrics, outputs, .. } => {
                        Some((step.as_str(), metrics, outputs.len()))
                    }
                    _ => None,
                })
                .collect();
            let metrics = vec!["loss".to_owned(), "rounds".to_owned()];
            assert_eq!(told, [("train", &metrics, 3), ("s", &Vec::new(), 0)]);
            assert_eq!(run.outputs["loss"], 0.25, "and they are values like the others");
            let failing = function("train").returns(["absent"]).metric("loss");
            house.run(&chain([("train", failing)]), none(), "failed").await;
            let log = house.log("failed").await;
            assert!(log.iter().any(|event| matches!(
                &event.what, What::AttemptEnded { outputs, .. } if outputs.is_empty()
            )));
        })
        .await;
}

/// Times of the system's clock: none before the run was started, none after it ended, and none before the one that it follows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_have_the_time_at_which_they_happened() {
    let functions = Functions::new().on("work", |_| async {
        // So that a later time is another one.
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        Ok(StepOutput::nothing())
    });
    let house = House::with(|options| options.functions(functions));
    tenant("a")
        .wrap(async {
            let work = |name: &str| branch([(name, function("work")), ("more", function("work"))]);
            let both = parallel([("left", work("one")), ("right", work("two"))]);
            let pipeline = chain([("first", function("work")), ("both", both), ("last", function("work"))]);
            let before = now_millis();
            house.run(&pipeline, none(), "r").await;
            let after = now_millis();
            let log = house.log("r").await;
            assert!(
                log.iter().all(|event| (before..=after).contains(&event.at)),
                "{before} {after} {log:#?}"
            );
            let numbers: Vec<u64> = log.iter().map(|event| event.number).collect();
            assert_eq!(numbers, (1..=log.len() as u64).collect::<Vec<_>>());
            // Branches write beside each other, each in its own order.
            for aside in ["both/right", "both/left"] {
                let one: Vec<i64> = log
                    .iter()
                    .filter(|event| !event.what.step().is_some_and(|step| step.starts_with(aside)))
                    .map(|event| event.at)
                    .collect();
                assert!(one.is_sorted(), "{aside} left out: {one:?}");
                assert!(one.last().unwrap() - one[0] >= 4 * 5, "four steps in a row: {one:?}");
            }
            // What an attempt says that it took lies between its two events.
            for event in &log {
                let What::AttemptEnded { started, ms, .. } = &event.what else { continue };
                let started = &log[usize::try_from(*started).unwrap() - 1];
                let between = event.at - started.at;
                assert!((5..=between).contains(&(*ms as i64)), "{ms} of {between}");
            }
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
