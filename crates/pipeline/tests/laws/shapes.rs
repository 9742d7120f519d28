//! Every shape of pipeline, as a file of `examples/pipelines`, with its outcome.

use haversack::testing::tenant;
use haversack_pipeline::Pipeline;
use haversack_pipeline::run::RunStatus::{self, Failed, Succeeded};
use serde_json::json;

use crate::{House, ended, id, none, outputs};

/// File, outcome, how many attempts it takes, and what it gives at the root.
fn table() -> Vec<(&'static str, RunStatus, usize, serde_json::Value)> {
    vec![
        ("linear", Succeeded, 3, json!({})),
        ("step_fails", Failed, 1, json!({})),
        ("on_failure_succeeds", Succeeded, 2, json!({})),
        ("on_failure_fails", Failed, 2, json!({})),
        ("on_failure_handler_fails", Failed, 2, json!({})),
        ("on_failure_in_branch", Succeeded, 5, json!({"mended": true, "squared": [1, 0]})),
        ("on_failure_in_branch_fails", Succeeded, 5, json!({"mended": true})),
        (
            "parameters",
            Succeeded,
            2,
            json!({"from_shell": "hello 3 {list:[1,2]}", "from_python": ["hello", 4, [1, 2]]}),
        ),
        (
            "values_passed",
            Succeeded,
            3,
            json!({"word": "two\nlines = [/x]", "wrapped": "<two\nlines = [/x]>", "length": 18}),
        ),
        ("catalog", Succeeded, 4, json!({"content": "content"})),
        ("failing_step_puts", Succeeded, 2, json!({"content": "half done"})),
        ("parallel", Succeeded, 10, json!({})),
        ("one_branch_fails", Failed, 7, json!({})),
        ("nested_parallel", Succeeded, 3, json!({"one": 1, "two": 2, "three": 3})),
        ("map", Succeeded, 4, json!({"squared": [1, 4, 9], "collected": [1, 4, 9]})),
        ("map_reducer", Succeeded, 5, json!({"squared": 9, "collected": 9})),
        ("map_branch_fails", Failed, 3, json!({})),
        ("conditional", Succeeded, 3, json!({"side": "heads", "prize": "a cup"})),
        ("loop", Succeeded, 4, json!({"sum": 6, "enough": true})),
        ("loop_maximum", Succeeded, 3, json!({"count": 3})),
        (
            "map_conditional_loop",
            Succeeded,
            8,
            json!({"parity": ["odd", "even", "odd"], "sum": [1, 100, 9], "enough": [true, null, true]}),
        ),
        (
            "loop_conditional_map",
            Succeeded,
            11,
            json!({"side": "even", "parts": [2, 3], "squared": [4, 9], "total": 14, "enough": true}),
        ),
    ]
}

/// Files that fail first, and what a retry does: attempts before, and after.
const RETRIED: &[(&str, usize, usize)] =
    &[("retry_linear", 2, 4), ("retry_parallel", 2, 3), ("retry_map", 3, 5)];

fn read(name: &str) -> Pipeline {
    let path = format!("{}/../../examples/pipelines/{name}.yaml", env!("CARGO_MANIFEST_DIR"));
    Pipeline::from_yaml(name, &std::fs::read_to_string(path).unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_shape_has_its_outcome() {
    let house = House::new();
    tenant("a")
        .wrap(async {
            for (name, status, attempts, given) in table() {
                let run = house.run(&read(name), none(), name).await;
                let log = house.log(name).await;
                assert_eq!(run.entry.status, status, "{name}: {log:#?}");
                assert_eq!(run.entry.status.exit_code(), u8::from(status == Failed), "{name}");
                assert_eq!(ended(&log).len(), attempts, "{name}: {log:#?}");
                assert_eq!(outputs(&log), given, "{name}");
            }
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_runs_only_what_failed() {
    let house = House::new();
    tenant("a")
        .wrap(async {
            for (name, before, after) in RETRIED {
                let run = house.run(&read(name), none(), name).await;
                assert_eq!(run.entry.status, Failed, "{name}");
                assert_eq!(run.entry.status.exit_code(), 1);
                assert_eq!(ended(&house.log(name).await).len(), *before, "{name}");

                house.pipelines.retry(&id(name)).await.unwrap();
                let run = house.pipelines.execute(&id(name)).await.unwrap();
                assert_eq!(run.entry.status, Succeeded, "{name}: {:#?}", house.log(name).await);
                assert_eq!(run.entry.status.exit_code(), 0);
                assert_eq!(ended(&house.log(name).await).len(), *after, "{name}");
            }
        })
        .await;
}

#[test]
fn every_file_is_in_the_table() {
    let folder = format!("{}/../../examples/pipelines", env!("CARGO_MANIFEST_DIR"));
    let mut files: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .filter_map(|entry| Some(entry.unwrap().path().file_stem()?.to_str()?.to_owned()))
        .collect();
    files.sort();
    let mut known: Vec<String> = table().iter().map(|row| row.0.to_owned()).collect();
    known.extend(RETRIED.iter().map(|row| row.0.to_owned()));
    known.sort();
    assert_eq!(files, known);
}
