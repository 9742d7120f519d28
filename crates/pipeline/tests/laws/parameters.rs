//! Scopes and merges: a branch changes nothing outside until its step says how.

use haversack::testing::tenant;
use haversack_pipeline::builder::{StepBuilder, conditional, function, map, parallel, repeat};
use haversack_pipeline::node::{Merge, Reducer};
use haversack_pipeline::run::RunStatus::{Failed, Succeeded};
use haversack_pipeline::{Functions, PipelineOptions, StepCall, StepOutput};
use serde_json::{Value, json};

use crate::{House, branch, chain, none, outputs, reason};

fn functions(options: PipelineOptions) -> PipelineOptions {
    options.functions(
        Functions::new()
            .on("give", |call: StepCall| async move {
                Ok(StepOutput::value(call.setting("value").cloned().unwrap()))
            })
            .on("see", |call: StepCall| async move {
                Ok(StepOutput::value(call.parameter("x").cloned().unwrap_or(Value::Null)))
            })
            .on("fail", |_| async { Err(haversack_pipeline::StepFailure::new("as asked")) })
            .on("longest", |call: StepCall| async move {
                let lists = call.parameter("values").unwrap().as_object().unwrap().clone();
                let longest = |list: &Value| {
                    let words = list.as_array().unwrap().iter();
                    words.max_by_key(|word| word.as_str().unwrap().len()).unwrap().clone()
                };
                Ok(StepOutput::named(lists.iter().map(|(name, list)| (name.clone(), longest(list)))))
            }),
    )
}

fn give(name: &str, value: impl Into<Value>) -> StepBuilder {
    function("give").set("value", value).returns([name])
}

#[tokio::test]
async fn two_branches_of_one_name_need_a_rule() {
    let house = House::with(functions);
    tenant("a")
        .wrap(async {
            let both =
                || parallel([("a", branch([("s", give("x", 1))])), ("b", branch([("s", give("x", 2))]))]);
            let run = house.run(&chain([("both", both())]), none(), "error").await;
            assert_eq!(run.entry.status, Failed);
            let why = reason(&house.log("error").await);
            assert!(why.contains("2 branches give `x` a value") && why.contains("merge: last"), "{why}");

            house.run(&chain([("both", both().merge(Merge::Last))]), none(), "last").await;
            assert_eq!(outputs(&house.log("last").await), json!({"x": 2}));
            house.run(&chain([("both", both().merge(Merge::List))]), none(), "list").await;
            assert_eq!(outputs(&house.log("list").await), json!({"x": [1, 2]}));
        })
        .await;
}

#[tokio::test]
async fn a_branch_sees_its_surroundings_and_not_its_sibling() {
    let house = House::with(functions);
    tenant("a")
        .wrap(async {
            let changes =
                branch([("change", give("x", "changed")), ("see", function("see").returns(["own"]))]);
            let looks = branch([("see", function("see").returns(["other"]))]);
            let pipeline = chain([("both", parallel([("changes", changes), ("looks", looks)]))]);
            house.run(&pipeline, none().with("x", "outer"), "r").await;
            assert_eq!(
                outputs(&house.log("r").await),
                json!({"x": "changed", "own": "changed", "other": "outer"})
            );
        })
        .await;
}

#[tokio::test]
async fn nothing_of_a_failed_composite_is_merged() {
    let house = House::with(functions);
    tenant("a")
        .wrap(async {
            let gives = || branch([("s", give("x", "inner"))]);
            let fails = || branch([("s", give("x", "inner")), ("t", function("fail"))]);
            let composites = [
                ("parallel", parallel([("a", gives()), ("b", fails())])),
                ("map", map("list", "item", fails())),
                ("conditional", conditional("x", [("outer", fails())])),
                ("loop", repeat(2, fails())),
            ];
            for (name, composite) in composites {
                let pipeline = chain([
                    ("c", composite.next("never").on_failure("look")),
                    ("never", haversack_pipeline::builder::stub().next("success")),
                    ("look", function("see").returns(["seen"])),
                ]);
                let given = none().with("x", "outer").with("list", json!([1, 2]));
                let run = house.run(&pipeline, given, name).await;
                assert_eq!(run.entry.status, Succeeded, "{name}");
                assert_eq!(outputs(&house.log(name).await), json!({"seen": "outer"}), "{name}");
            }
        })
        .await;
}

#[tokio::test]
async fn a_map_gives_lists_in_order_and_its_element_stays_inside() {
    let house = House::with(functions);
    tenant("a")
        .wrap(async {
            let see = || map("list", "x", branch([("s", function("see").returns(["seen"]))]));
            let given = || none().with("list", json!(["a", "ccc", "bb"]));
            house.run(&chain([("each", see())]), given(), "list").await;
            assert_eq!(outputs(&house.log("list").await), json!({"seen": ["a", "ccc", "bb"]}));

            let own = see().reducer(Reducer::Function("longest".into()));
            house.run(&chain([("each", own)]), given(), "own").await;
            assert_eq!(outputs(&house.log("own").await), json!({"seen": "ccc"}));

            house.run(&chain([("each", see())]), none().with("list", json!([])), "empty").await;
            assert_eq!(outputs(&house.log("empty").await), json!({}));

            let run = house.run(&chain([("each", see())]), none().with("list", "no list"), "bad").await;
            assert_eq!(run.entry.status, Failed);
            assert!(reason(&house.log("bad").await).contains("`list` is no list"));
        })
        .await;
}

#[tokio::test]
async fn a_value_without_a_branch_takes_the_default_or_fails() {
    let house = House::with(functions);
    tenant("a")
        .wrap(async {
            let choose = || conditional("x", [("7", branch([("s", give("y", "seven"))]))]);
            house.run(&chain([("c", choose())]), none().with("x", 7), "number").await;
            assert_eq!(outputs(&house.log("number").await), json!({"y": "seven"}));

            let run = house.run(&chain([("c", choose())]), none().with("x", "private"), "none").await;
            assert_eq!(run.entry.status, Failed);
            let why = reason(&house.log("none").await);
            assert!(why.contains("no branch is for the value of `x`") && !why.contains("private"), "{why}");

            let default = choose().otherwise(branch([("s", give("y", "other"))]));
            house.run(&chain([("c", default)]), none().with("x", "private"), "default").await;
            assert_eq!(outputs(&house.log("default").await), json!({"y": "other"}));
        })
        .await;
}

#[tokio::test]
async fn an_iteration_sees_the_last_one_and_its_number() {
    let house = House::with(functions);
    tenant("a")
        .wrap(async {
            let inside = branch([("s", function("see").returns(["seen"]))]);
            let run = house.run(&chain([("l", repeat(3, inside).index_as("x"))]), none(), "r").await;
            assert_eq!(run.entry.status, Succeeded);
            assert_eq!(outputs(&house.log("r").await), json!({"seen": 2}), "the number itself stays inside");
        })
        .await;
}
