//! Tools that take longer than a turn should wait, and running one tool alone.

use std::sync::{Arc, Mutex};

use haversack::ContextVar;
use haversack::testing::Isolated;
use haversack::well_known::TENANT_ID;
use haversack_agent::EventSink;
use haversack_agent::model::scripted::Answer;
use haversack_agent::model::{ChatModel, Message, Offline, ScriptedModel, ToolCall};
use haversack_agent::tool::{
    BackgroundRunner, CAN_DELIVER_LATER, Started, Starting, Tool, ToolError, ToolOutput, tool,
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::house::{House, door, request, solo};

#[derive(Deserialize, schemars::JsonSchema)]
struct Which {
    what: String,
}

/// A background tool that says for whom it ran.
fn audit() -> Arc<dyn Tool> {
    let run =
        |args: Which| async move { ToolOutput::json(&format!("{} of {}", args.what, TENANT_ID.get()?)) };
    Arc::new(tool("audit", "Audits.", run).in_background())
}

/// Writes down what it is asked to start, and for whom.
#[derive(Clone, Default)]
struct Runner(Arc<Mutex<Vec<(String, Value)>>>);

impl BackgroundRunner for Runner {
    fn start(&self, tool: &str, call: &ToolCall) -> Starting {
        let (runner, tool, arguments) = (self.clone(), tool.to_owned(), call.arguments.clone());
        let tenant = TENANT_ID.get();
        Box::pin(async move {
            runner.0.lock().unwrap().push((format!("{tool} for {}", tenant?), arguments));
            Ok(Started { id: "job_7".to_owned() })
        })
    }
}

fn house(model: impl ChatModel, runner: Option<Runner>) -> House {
    House::built(solo(&["audit"]), Arc::new(model), |builder| {
        let builder = builder.tools([audit()]);
        match runner {
            Some(runner) => builder.background(Arc::new(runner)),
            None => builder,
        }
    })
}

/// Calls the tool and repeats what it reads.
fn asks() -> ScriptedModel {
    ScriptedModel::by(|request| match request.messages.last() {
        Some(Message::Tool { content, .. }) => Answer::text(content),
        _ => Answer::call("audit", json!({ "what": "books" })),
    })
}

#[tokio::test]
async fn a_background_tool_is_handed_to_the_runner_in_the_context_of_its_turn() {
    let runner = Runner::default();
    let house = house(asks(), Some(runner.clone()));
    let reply = house.say("acme", "s", "Audit the books").await.unwrap();
    assert_eq!(reply.text, "started as job_7; the result comes later");
    assert!(reply.tools[0].ok);
    assert_eq!(*runner.0.lock().unwrap(), [("audit for acme".to_owned(), json!({ "what": "books" }))]);
}

#[tokio::test]
async fn without_a_runner_it_runs_as_any_other() {
    let reply = house(asks(), None).say("acme", "s", "Audit the books").await.unwrap();
    assert_eq!(reply.text, "books of acme");
}

#[tokio::test]
async fn where_nothing_can_be_delivered_later_it_runs_to_its_end() {
    let runner = Runner::default();
    let house = house(asks(), Some(runner.clone()));
    let agents = house.agents.clone();
    let turn = async move { agents.turn(request("Go"))?.run(EventSink::none()).await };
    let kim = Isolated::new().tenant("acme").principal("kim").session("s");
    let hangs_up = kim.bind(&CAN_DELIVER_LATER, false);
    let reply = hangs_up.wrap(turn).await.unwrap();
    assert_eq!(reply.text, "books of acme");
    assert!(runner.0.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_runner_that_cannot_start_is_an_error_that_the_model_reads() {
    struct Full;
    impl BackgroundRunner for Full {
        fn start(&self, _: &str, _: &ToolCall) -> Starting {
            Box::pin(std::future::ready(Err(ToolError::NotStarted(None))))
        }
    }
    let house = House::built(solo(&["audit"]), Arc::new(asks()), |builder| {
        builder.tools([audit()]).background(Arc::new(Full))
    });
    let reply = house.say("acme", "s", "Go").await.unwrap();
    assert_eq!(reply.text, "the tool could not be started; try again");
    assert!(!reply.tools[0].ok);
}

#[tokio::test]
async fn a_start_is_not_cut_short_by_the_time_of_the_tool() {
    struct Slow;
    impl BackgroundRunner for Slow {
        fn start(&self, _: &str, _: &ToolCall) -> Starting {
            Box::pin(async {
                // Longer than the tool has.
                tokio::time::sleep(std::time::Duration::from_millis(1_500)).await;
                Ok(Started { id: "job_7".to_owned() })
            })
        }
    }
    let run = |_: Which| async { ToolOutput::json(&"done") };
    let audit = tool("audit", "Audits.", run).in_background();
    let mut config = solo(&["audit"]);
    config.tools.timeout_s = 1;
    let house = House::built(config, Arc::new(asks()), |builder| {
        builder.tools([Arc::new(audit) as Arc<dyn Tool>]).background(Arc::new(Slow))
    });
    let reply = house.say("acme", "s", "Go").await.unwrap();
    assert_eq!(
        reply.text, "started as job_7; the result comes later",
        "what is started is not said to have failed"
    );
}

#[tokio::test]
async fn the_offline_model_calls_a_tool_by_its_name() {
    let runner = Runner::default();
    let house = house(Offline, Some(runner.clone()));
    let reply = house.say("acme", "s", "Could you audit our books?").await.unwrap();
    assert_eq!(reply.text, "started as job_7; the result comes later (From the tool audit.)");
    let asked = runner.0.lock().unwrap().pop().unwrap();
    assert_eq!(asked.1, json!({ "what": "our books?" }), "what follows the name is its one text");
    // Who tells about an audit asks for none.
    house.say("acme", "s", "Our audit number is 4711.").await.unwrap();
    assert!(runner.0.lock().unwrap().is_empty());
}

static LOCALE: ContextVar<String> = ContextVar::new("locale");

#[tokio::test]
async fn one_tool_runs_alone_in_the_context_of_the_call() {
    let bad = tool("bad", "Panics.", |_: Which| async { panic!("secret") });
    let local =
        tool("local", "Needs.", |_: Which| async { ToolOutput::json(&LOCALE.get()?) }).needing(&[&LOCALE]);
    let house = House::built(solo(&[]), Arc::new(Offline), |builder| {
        builder.tools([audit(), Arc::new(bad) as Arc<dyn Tool>, Arc::new(local)])
    });
    let (agents, visit) = (&house.agents, door("acme", "kim", "s"));
    let arguments = || json!({ "what": "books" });
    let given = visit.run(|| agents.run_tool("audit", arguments())).await.unwrap();
    assert_eq!(given.into_text(), "books of acme", "whoever polls, and without a runner");
    let failed = |name: &'static str| visit.run(|| agents.run_tool(name, arguments()));
    assert!(matches!(failed("bad").await, Err(ToolError::Panicked)));
    assert!(matches!(failed("none").await, Err(ToolError::Unknown)));
    assert!(matches!(failed("local").await, Err(ToolError::Needs { variable: "locale" })));
    assert!(matches!(agents.run_tool("audit", arguments()).await, Err(ToolError::Unbound(_))), "no door");
}
