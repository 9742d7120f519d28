//! What a child process finds in its environment, and how values reach it whole.

use std::collections::BTreeSet;

use haversack::testing::tenant;
use haversack::well_known::{TRACE_CONTEXT, TraceContext};
use haversack_pipeline::builder::{PipelineBuilder, python, shell};
use haversack_pipeline::run::RunStatus::{Failed, Succeeded};
use serde_json::{Value, json};

use crate::{House, branch, chain, none, outputs, reason};

#[tokio::test]
async fn a_child_inherits_nothing() {
    assert!(std::env::var_os("CARGO_MANIFEST_DIR").is_some(), "there is something to inherit");
    let house = House::with(|options| options.path("/usr/bin:/bin").language("C"));
    tenant("a")
        .wrap(async {
            let pipeline = chain([("show", shell("env"))]);
            let run = house.run(&pipeline, none().with("word", "hello"), "r").await;
            assert_eq!(run.entry.status, Succeeded);
            let printed = house.printed("r", "show").await;
            let names: BTreeSet<&str> =
                printed.lines().filter_map(|line| line.split_once('=')).map(|(n, _)| n).collect();
            // The shell itself adds the last three.
            let allowed = [
                "PATH",
                "LANG",
                "HOME",
                "TMPDIR",
                "word",
                "HAVERSACK_RUN_ID",
                "HAVERSACK_STEP",
                "HAVERSACK_ATTEMPT",
                "HAVERSACK_PARAMETERS",
                "HAVERSACK_RETURNS",
                "TRACEPARENT",
                "PWD",
                "OLDPWD",
                "SHLVL",
                "_",
            ];
            assert!(names.is_subset(&allowed.into_iter().collect()), "{names:?}");
            assert!(printed.contains("HAVERSACK_RUN_ID=r\n") && printed.contains("HAVERSACK_STEP=show\n"));
            assert!(printed.contains("PATH=/usr/bin:/bin\n") && printed.contains("LANG=C\n"));
            assert!(printed.contains(&format!("TRACEPARENT=00-{}-", run.entry.trace)), "{printed}");
            let home = printed.lines().find_map(|line| line.strip_prefix("HOME=")).unwrap();
            assert!(home.starts_with(house.catalog().canonicalize().unwrap().to_str().unwrap()), "{home}");
        })
        .await;
}

#[tokio::test]
async fn a_python_child_inherits_nothing_either() {
    let house = House::new();
    tenant("a")
        .wrap(async {
            let script = "import os\nreturns['names'] = sorted(os.environ)";
            let run = house
                .run(&chain([("show", python(script).returns(["names"]))]), none().with("x", 1), "r")
                .await;
            let log = house.log("r").await;
            assert_eq!(run.entry.status, Succeeded, "{log:#?}");
            let names = outputs(&log)["names"].clone();
            let allowed = json!([
                "HAVERSACK_ATTEMPT",
                "HAVERSACK_PARAMETERS",
                "HAVERSACK_RETURNS",
                "HAVERSACK_RUN_ID",
                "HAVERSACK_STEP",
                "HOME",
                "LANG",
                "LC_CTYPE",
                "PATH",
                "TMPDIR",
                "TRACEPARENT"
            ]);
            let allowed = allowed.as_array().unwrap();
            assert!(names.as_array().unwrap().iter().all(|name| allowed.contains(name)), "{names}");
        })
        .await;
}

#[tokio::test]
async fn a_bound_value_wins_also_when_it_is_empty() {
    let house = House::new();
    tenant("a")
        .wrap(async {
            let pipeline = chain([("show", shell("printf '<%s>' \"$LANG\"").parameters(["LANG"]))]);
            house.run(&pipeline, none().with("LANG", ""), "r").await;
            assert_eq!(house.printed("r", "show").await, "<>");
        })
        .await;
}

#[tokio::test]
async fn what_a_caller_adds_reaches_no_environment() {
    let house = House::new();
    tenant("a")
        .wrap(async {
            let steer = "GIT_SSH_COMMAND";
            let look = format!(
                "printf '<%s>' \"${{{steer}-none}}\"; grep -q {steer} \"$HAVERSACK_PARAMETERS\" && printf ' by file'"
            );
            let dag = branch([("show", shell(&look))]);
            // A name that no list of ours holds, beside one that the author wrote.
            let pipeline = PipelineBuilder::new("p", dag).parameters(none().with("mine", "x")).build().unwrap();
            let given = none().with(steer, "env").with("mine", "y");
            house.run(&pipeline, given, "added").await;
            assert_eq!(house.printed("added", "show").await, "<none> by file");

            // What the author writes is exported, whoever gives its value.
            let dag = branch([("show", shell("printf '<%s>' \"$mine\""))]);
            let pipeline = PipelineBuilder::new("p", dag).parameters(none().with("mine", "x")).build().unwrap();
            house.run(&pipeline, none().with("mine", "y"), "written").await;
            assert_eq!(house.printed("written", "show").await, "<y>");
        })
        .await;
}

const BACK: &str = r#"python3 -c '
import json, os
value = os.environ.get("value")
if value is None:
    value = json.load(open(os.environ["HAVERSACK_PARAMETERS"]))["value"]
json.dump({"shell": value}, open(os.environ["HAVERSACK_RETURNS"], "w"))'"#;

#[tokio::test]
async fn every_value_goes_through_whole() {
    let house = House::new();
    let long = "x".repeat(1024 * 1024);
    let cases =
        ["", "two\nlines\n", "a=b=c", "[/x] [bold]", "$HOME `id` \"q\" 'p'", "ünï → ☃", long.as_str()];
    tenant("a")
        .wrap(async {
            for (at, value) in cases.into_iter().enumerate() {
                let script = "returns['python'] = parameters['shell']";
                let pipeline = chain([
                    ("shell", shell(BACK).parameters(["value"]).returns(["shell"])),
                    ("python", python(script).returns(["python"])),
                ]);
                let run = house.run(&pipeline, none().with("value", value), &format!("r{at}")).await;
                let log = house.log(&format!("r{at}")).await;
                assert_eq!(run.entry.status, Succeeded, "{}", reason(&log));
                assert_eq!(outputs(&log)["python"], Value::from(value));
            }
        })
        .await;
}

#[tokio::test]
async fn a_nul_goes_by_file_and_never_by_environment() {
    let house = House::new();
    tenant("a")
        .wrap(async {
            let given = || none().with("value", "a\0b");
            let script = "returns['back'] = parameters['value'] + '\\0'";
            house.run(&chain([("python", python(script).returns(["back"]))]), given(), "python").await;
            assert_eq!(outputs(&house.log("python").await)["back"], "a\0b\0");

            let run =
                house.run(&chain([("shell", shell("true").parameters(["value"]))]), given(), "shell").await;
            assert_eq!(run.entry.status, Failed);
            let why = reason(&house.log("shell").await);
            assert!(why.contains("`value` holds a NUL") && why.contains("HAVERSACK_PARAMETERS"), "{why}");

            let by_file = shell(BACK).returns(["shell"]).parameters(Vec::<String>::new());
            let run = house.run(&chain([("shell", by_file)]), given(), "by-file").await;
            assert_eq!(run.entry.status, Succeeded);
            assert_eq!(outputs(&house.log("by-file").await)["shell"], "a\0b");
        })
        .await;
}

#[tokio::test]
async fn what_a_command_prints_or_exports_is_no_return() {
    let house = House::new();
    tenant("a")
        .wrap(async {
            let run =
                house.run(&chain([("a", shell("export x=1; echo x=1").returns(["x"]))]), none(), "r").await;
            assert_eq!(run.entry.status, Failed);
            assert!(reason(&house.log("r").await).contains("declares the return `x`"));
            let bad = shell("echo 'no json' > $HAVERSACK_RETURNS").returns(["x"]);
            house.run(&chain([("a", bad)]), none(), "s").await;
            let why = reason(&house.log("s").await);
            assert!(why.contains("no JSON object") && !why.contains("no json"), "{why}");
        })
        .await;
}

#[tokio::test]
async fn a_run_goes_on_in_the_trace_of_its_start() {
    let ours = TraceContext::parse("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01").unwrap();
    let house = House::new();
    let print = || chain([("s", shell("printf %s $TRACEPARENT"))]);
    tenant("a")
        .wrap(TRACE_CONTEXT.scope(ours.clone(), async {
            let run = house.run(&print(), none(), "r").await;
            assert_eq!(run.entry.trace, ours.trace_id());
            assert_eq!(house.printed("r", "s").await, ours.as_str());
            house.pipelines.start(&print(), none(), crate::id("later")).await.unwrap();
        }))
        .await;
    // Executed from elsewhere, it is in its own trace all the same.
    tenant("a")
        .wrap(async {
            house.pipelines.execute(&crate::id("later")).await.unwrap();
            let printed = house.printed("later", "s").await;
            assert_eq!(TraceContext::parse(&printed).unwrap().trace_id(), ours.trace_id());
        })
        .await;
}
