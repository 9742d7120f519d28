//! Steps of the program: registered runners see the call and the context of their step.

use std::sync::Arc;

use haversack::testing::tenant;
use haversack::well_known::{TENANT_ID, TRACE_CONTEXT};
use haversack_pipeline::builder::{python, runner, shell};
use haversack_pipeline::run::RunStatus::{Running, Succeeded};
use haversack_pipeline::run::STEP;
use haversack_pipeline::run_log::AttemptStatus as Ended;
use haversack_pipeline::{
    PipelineError, PipelineOptions, Pipelines, StepCall, StepFailure, StepFuture, StepOutput, StepRunner,
};
use serde_json::json;

use crate::{House, chain, ended, id, none, outputs};

struct Agents;

impl StepRunner for Agents {
    fn check(&self, command: &str) -> Result<(), String> {
        if command == "support" {
            Ok(())
        } else {
            Err(format!("there is no agent `{command}`; there is support"))
        }
    }

    fn run(&self, call: StepCall) -> StepFuture {
        Box::pin(async move {
            call.log().line("asked");
            Ok(StepOutput::value(json!({
                "agent": call.command(),
                "tenant": TENANT_ID.get().unwrap().as_str(),
                "step": STEP.get().unwrap().as_str(),
                "question": call.parameter("question"),
                "tone": call.setting("tone"),
                "trace": TRACE_CONTEXT.get().unwrap().trace_id(),
            })))
        })
    }
}

#[tokio::test]
async fn an_agent_step_runs_in_the_context_of_its_run() {
    let house = House::with(|options| options.runner("agent", Arc::new(Agents)));
    tenant("a")
        .wrap(async {
            let step = runner("agent", "support").set("tone", "kind").returns(["answer"]);
            let run = house.run(&chain([("ask", step)]), none().with("question", "why"), "r").await;
            assert_eq!(run.entry.status, Succeeded);
            let answer = outputs(&house.log("r").await)["answer"].clone();
            let expected = json!({
                "agent": "support", "tenant": "a", "step": "ask", "question": "why", "tone": "kind", "trace": run.entry.trace
            });
            assert_eq!(answer, expected);
            assert_eq!(house.printed("r", "ask").await, "asked\n");

            let unknown = chain([("ask", runner("agent", "sales"))]);
            let refused = house.pipelines.start(&unknown, none(), id("s")).await;
            assert!(matches!(refused, Err(PipelineError::Invalid(_))), "{refused:?}");
        })
        .await;
}

/// An old program beside a new one: the runner is missing, or it lacks what the step names.
#[tokio::test]
async fn a_run_that_this_program_cannot_execute_is_left_to_one_that_can() {
    struct Lacks;
    impl StepRunner for Lacks {
        fn run(&self, _: StepCall) -> StepFuture {
            Box::pin(async { Err(StepFailure::not_here("there is no agent `support` here")) })
        }
    }
    let new = House::with(|options| options.runner("agent", Arc::new(Agents)));
    let options = || PipelineOptions::new(new.catalog()).code("laws");
    let old = [options(), options().runner("agent", Arc::new(Lacks))]
        .map(|options| Pipelines::new(new.store.clone(), new.keys.clone(), options));
    tenant("a")
        .wrap(async {
            let steps = [("first", shell("true")), ("ask", runner("agent", "support").returns(["answer"]))];
            new.pipelines.start(&chain(steps), none(), id("r")).await.unwrap();
            for old in &old {
                let refused = old.execute(&id("r")).await;
                assert!(matches!(refused, Err(PipelineError::NotHere(_))), "{refused:?}");
                assert_eq!(new.pipelines.get(&id("r")).await.unwrap().entry.status, Running);
            }
            assert_eq!(new.pipelines.execute(&id("r")).await.unwrap().entry.status, Succeeded);
            let log = new.log("r").await;
            let ends = [("first", Ended::Succeeded), ("ask", Ended::Cancelled), ("ask", Ended::Cancelled)];
            assert_eq!(ended(&log), [&ends[..], &[("ask", Ended::Succeeded)]].concat());
        })
        .await;
}

#[tokio::test]
async fn a_python_function_is_called_by_the_names_it_has() {
    let house = House::new();
    let modules = house.dir.path().join("modules");
    std::fs::create_dir(&modules).unwrap();
    std::fs::write(
        modules.join("lib.py"),
        "def add(a, b=10):\n    print('adding')\n    return a + b\n\
         def pair(a):\n    return a, [a]\n\
         async def later(**everything):\n    return sorted(everything)\n",
    )
    .unwrap();
    let (store, keys, pipelines) = {
        let dir = tempfile::tempdir().unwrap().keep();
        crate::open(&dir, |options| options.python_path(modules))
    };
    let house = House { store, keys, pipelines, ..house };
    tenant("a")
        .wrap(async {
            let pipeline = chain([
                ("add", python("lib.add").returns(["sum"])),
                ("pair", python("lib.pair").returns(["x", "y"])),
                ("later", python("lib.later").returns(["names"])),
                ("shell", shell("echo done")),
            ]);
            let run = house.run(&pipeline, none().with("a", 1), "r").await;
            let log = house.log("r").await;
            assert_eq!(run.entry.status, Succeeded, "{log:#?}");
            let expected = json!({"sum": 11, "x": 1, "y": [1], "names": ["a", "sum", "x", "y"]});
            assert_eq!(outputs(&log), expected);
            assert_eq!(house.printed("r", "add").await, "adding\n");
        })
        .await;
}
