//! What one caller can make others wait for: lists, pages of a log, and what a step gives back have a size.

use haversack::testing::tenant;
use haversack_pipeline::builder::{DagBuilder, PipelineBuilder, function, map, shell};
use haversack_pipeline::run::RunStatus::{Failed, Succeeded};
use haversack_pipeline::{Functions, Parameters, StepCall, StepOutput};
use serde_json::json;

use crate::{House, branch, chain, id, none, reason};

const MIB: usize = 1024 * 1024;

/// A function that gives as many bytes as its parameter `size` says.
fn giving() -> House {
    let functions = Functions::new().on("give", |call: StepCall| async move {
        let size = call.parameter("size").unwrap().as_u64().unwrap();
        Ok(StepOutput::value("x".repeat(usize::try_from(size).unwrap())))
    });
    House::with(|options| options.functions(functions))
}

fn size(size: usize) -> Parameters {
    none().with("size", size)
}

#[tokio::test]
async fn a_list_of_runs_is_as_large_as_it_has_rows() {
    let house = giving();
    let pipeline = chain([("s", function("give").returns(["y"]))]);
    tenant("a")
        .wrap(async {
            for key in ["one", "two"] {
                let given = size(MIB / 8).with("canary", "c".repeat(MIB / 8));
                let view = house.run(&pipeline, given, key).await;
                assert!(
                    view.entry.status == Succeeded && view.outputs["y"].as_str().unwrap().len() == MIB / 8
                );
            }
            let list = house.pipelines.list(None, 10).await.unwrap();
            let text = serde_json::to_string(&list).unwrap();
            assert!(list.len() == 2 && text.len() < 2_000, "{} bytes", text.len());
            // The run has what the list leaves out.
            let whole = house.pipelines.get(&id("one")).await.unwrap();
            assert_eq!(whole.parameters.get("canary").unwrap().as_str().unwrap().len(), MIB / 8);
            let entry = house.pipelines.entry(&id("one")).await.unwrap();
            assert_eq!(Some(&entry), list.iter().find(|entry| entry.run == id("one")));
            assert_eq!((entry.status, entry.last_event), (whole.entry.status, whole.entry.last_event));
        })
        .await;
}

#[tokio::test]
async fn a_page_of_a_log_is_bounded_in_bytes_and_never_empty_before_the_end() {
    let house = giving();
    let step = |at: usize| function("give").returns([format!("y{at}")]);
    let dag = (0..5).fold(DagBuilder::new(), |dag, at| dag.then(format!("s{at}"), step(at)));
    let pipeline = PipelineBuilder::new("large", dag).build().unwrap();
    tenant("a")
        .wrap(async {
            let view = house.run(&pipeline, size(MIB / 5 * 2), "r").await;
            assert_eq!(view.entry.status, Succeeded);
            let (mut after, mut seen) = (0, Vec::new());
            loop {
                let page = house.pipelines.log(&id("r"), after, usize::MAX).await.unwrap();
                let Some(last) = page.last() else { break };
                let bytes = serde_json::to_string(&page).unwrap().len();
                assert!(bytes <= MIB + 10_000 || page.len() == 1, "{} events of {bytes} bytes", page.len());
                after = last.number;
                seen.extend(page.into_iter().map(|event| event.number));
            }
            assert_eq!(seen, (1..=view.entry.last_event).collect::<Vec<_>>(), "every event, once, in order");
            let mut follow = house.pipelines.follow(&id("r"), 7).unwrap();
            let mut followed = Vec::new();
            while let Some(event) = follow.next().await.unwrap() {
                followed.push(event.number);
            }
            assert_eq!(followed, seen[7..], "a follower reads page after page too");
        })
        .await;
}

#[tokio::test]
async fn a_step_returns_at_most_a_mebibyte() {
    let house = giving();
    tenant("a")
        .wrap(async {
            let pipeline = chain([("s", function("give").returns(["y"]))]);
            assert_eq!(house.run(&pipeline, size(MIB), "fits").await.entry.status, Succeeded);
            assert_eq!(house.run(&pipeline, size(MIB + 100_000), "large").await.entry.status, Failed);
            let why = reason(&house.log("large").await);
            assert!(why.starts_with("s: ") && why.contains("more than 1 MiB"), "{why}");
            let write = "head -c $size /dev/zero | tr '\\0' x | { printf '{\"y\": \"'; cat; printf '\"}'; } > \"$HAVERSACK_RETURNS\"";
            let pipeline = chain([("s", shell(write).parameters(["size"]).returns(["y"]))]);
            assert_eq!(house.run(&pipeline, size(MIB), "file").await.entry.status, Succeeded);
            assert_eq!(house.run(&pipeline, size(MIB + 100_000), "large-file").await.entry.status, Failed);
            let why = reason(&house.log("large-file").await);
            assert!(why.starts_with("s: ") && why.contains("at most 1 MiB"), "{why}");
        })
        .await;
}

#[tokio::test]
async fn what_is_no_plain_file_gives_nothing_back() {
    let house = giving();
    let outside = house.dir.path().join("outside.json");
    std::fs::write(&outside, "{\"y\": 1}").unwrap();
    let link = format!("ln -s '{}' \"$HAVERSACK_RETURNS\"", outside.display());
    let cases = ["mkfifo \"$HAVERSACK_RETURNS\"", "mkdir \"$HAVERSACK_RETURNS\"", &link];
    tenant("a")
        .wrap(async {
            for (at, leaves) in cases.into_iter().enumerate() {
                let key = format!("r{at}");
                let run = house.run(&chain([("s", shell(leaves).returns(["y"]))]), none(), &key).await;
                let why = run.reason.unwrap();
                assert!(
                    run.entry.status == Failed && why.contains("no plain file of at most 1 MiB"),
                    "{leaves}: {why}"
                );
            }
        })
        .await;
}

#[tokio::test]
async fn what_branches_give_has_a_limit_together() {
    let house = giving();
    let pipeline = chain([("each", map("xs", "x", branch([("s", function("give").returns(["y"]))])))]);
    tenant("a")
        .wrap(async {
            let view = house.run(&pipeline, size(MIB).with("xs", vec![json!(0); 5]), "large").await;
            let why = view.reason.unwrap();
            assert!(view.entry.status == Failed && why.contains("more than 4 MiB together"), "{why}");
            assert_eq!(view.entry.last_event, 2 + 1 + 2 * 5 + 2, "a branch that is too much stops no other");
        })
        .await;
}
