//! Tools: parallel up to a cap, bounded in time, and no panic goes further than its call.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use haversack::ContextVar;
use haversack::well_known::TENANT_ID;
use haversack_agent::model::scripted::Answer;
use haversack_agent::model::{Message, ScriptedModel};
use haversack_agent::tool::{Tool, ToolOutput, tool};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::Barrier;

use super::house::{House, door, request, solo};

#[derive(Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct Which {
    n: usize,
}

fn results(model: &ScriptedModel) -> Vec<(bool, String)> {
    let last = model.seen().pop().unwrap();
    let tools = last.messages.into_iter().filter_map(|message| match message {
        Message::Tool { ok, content, .. } => Some((ok, content)),
        _ => None,
    });
    tools.collect()
}

#[tokio::test]
async fn calls_run_in_parallel_up_to_the_cap_and_answer_in_order() {
    // The barrier opens only when three calls wait at it together; a fourth must never be there.
    let (together, now, most) =
        (Arc::new(Barrier::new(3)), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (inner, running, peak) = (together.clone(), now.clone(), most.clone());
    let meet = tool("meet", "Waits for two others.", move |args: Which| {
        let (together, running, peak) = (inner.clone(), running.clone(), peak.clone());
        async move {
            peak.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            together.wait().await;
            running.fetch_sub(1, Ordering::SeqCst);
            ToolOutput::json(&args.n)
        }
    });
    let calls = (0..9).fold(Answer::default(), |answer, n| answer.and_call("meet", json!({ "n": n })));
    let model = ScriptedModel::new([calls, Answer::text("Done.")]);
    let mut config = solo(&["meet"]);
    config.tools.parallel = 3;
    let house = House::with(config, Arc::new(model.clone()), vec![Arc::new(meet)]);
    let reply = house.say("acme", "s", "Go").await.unwrap();
    assert_eq!(most.load(Ordering::SeqCst), 3);
    let expected: Vec<_> = (0..9).map(|n| (true, n.to_string())).collect();
    assert_eq!(results(&model), expected);
    assert_eq!(reply.tools.len(), 9);
}

#[tokio::test]
async fn a_panicking_tool_is_an_error_that_the_model_reads() {
    let bad = tool("bad", "Panics in its future.", |args: Which| async move {
        if args.n < 10 {
            panic!("secret text of {}", args.n);
        }
        ToolOutput::json(&json!({}))
    });
    let answer = Answer::call("bad", json!({ "n": 1 }))
        .and_call("worse", json!({}))
        .and_call("bad", json!({ "n": 11 }));
    let model = ScriptedModel::new([answer, Answer::text("Sorry.")]);
    let house = House::solo(model.clone(), &["bad", "worse"], vec![Arc::new(bad), Arc::new(Worse::new())]);
    let reply = house.say("acme", "s", "Go").await.unwrap();
    assert_eq!(reply.text, "Sorry.");
    let panicked = (false, "the tool panicked".to_owned());
    assert_eq!(results(&model), [panicked.clone(), panicked, (true, "{}".to_owned())]);
    assert_eq!(reply.tools.iter().map(|tool| tool.ok).collect::<Vec<_>>(), [false, false, true]);
}

/// Panics before it has a future.
struct Worse(haversack_agent::tool::ToolSpec);

impl Worse {
    fn new() -> Self {
        let parameters = json!({ "type": "object" });
        Self(haversack_agent::tool::ToolSpec {
            name: "worse".to_owned(),
            description: String::new(),
            parameters,
        })
    }
}

impl Tool for Worse {
    fn spec(&self) -> &haversack_agent::tool::ToolSpec {
        &self.0
    }

    fn call(&self, _: serde_json::Value) -> haversack_agent::tool::ToolFuture {
        panic!("at the call")
    }
}

#[tokio::test]
async fn a_tool_that_hangs_is_given_up_after_its_time() {
    let dropped = Arc::new(AtomicBool::new(false));
    struct Flag(Arc<AtomicBool>);
    impl Drop for Flag {
        fn drop(&mut self) {
            self.0.store(true, Ordering::SeqCst);
        }
    }
    let inner = dropped.clone();
    let hang = tool("hang", "Never ends.", move |_: Which| {
        let flag = Flag(inner.clone());
        async move {
            let _flag = flag;
            std::future::pending::<()>().await;
            ToolOutput::json(&())
        }
    });
    let model = ScriptedModel::new([Answer::call("hang", json!({ "n": 1 })), Answer::text("It hangs.")]);
    let mut config = solo(&["hang"]);
    config.tools.timeout_s = 1;
    let house = House::with(config, Arc::new(model.clone()), vec![Arc::new(hang)]);
    assert_eq!(house.say("acme", "s", "Go").await.unwrap().text, "It hangs.");
    assert_eq!(results(&model), [(false, "the tool did not end within 1s".to_owned())]);
    assert!(dropped.load(Ordering::SeqCst), "its future was dropped");
}

#[tokio::test]
async fn what_the_model_wrote_wrong_it_can_read_and_better() {
    let answer = Answer::call("recall", json!({ "quarry": "x" }))
        .and_call("nonsense", json!({}))
        .and_piece(2, Some("c"), Some("recall"), "{\"query\": ")
        .and_call("remember", json!({ "text": "  " }));
    let model = ScriptedModel::new([answer, Answer::text("I see.")]);
    let house = House::solo(model.clone(), &["recall", "remember"], Vec::new());
    house.say("acme", "s", "Go").await.unwrap();
    let read = results(&model);
    assert!(read.iter().all(|(ok, _)| !ok), "{read:?}");
    assert!(read[0].1.contains("quarry"), "the detail goes to the model: {}", read[0].1);
    assert_eq!(read[1].1, "there is no such tool here");
    assert!(read[2].1.contains("do not match"), "{}", read[2].1);
    assert_eq!(read[3].1, "there is no text to remember");
}

#[tokio::test]
async fn a_tool_of_another_specialist_is_not_there() {
    let model =
        ScriptedModel::new([Answer::call("remember", json!({ "text": "X is Y" })), Answer::text("Hm.")]);
    let house = House::solo(model.clone(), &["recall"], Vec::new());
    house.say("acme", "s", "Go").await.unwrap();
    assert_eq!(results(&model), [(false, "there is no such tool here".to_owned())]);
}

static LOCALE: ContextVar<String> = ContextVar::new("locale");

#[tokio::test]
async fn a_tool_whose_variables_are_not_bound_is_not_offered_and_does_not_end_the_turn() {
    let local = || {
        tool("local", "Needs a locale.", |_: Which| async { ToolOutput::json(&LOCALE.get()?) })
            .needing(&[&LOCALE])
    };
    let script = || ScriptedModel::new([Answer::call("local", json!({ "n": 1 })), Answer::text("Done.")]);
    let offered = |model: &ScriptedModel| -> Vec<String> {
        model.seen()[0].tools.iter().map(|tool| tool.name.clone()).collect()
    };
    let model = script();
    let house = House::solo(model.clone(), &["local", "recall"], vec![Arc::new(local())]);
    let reply = house.say("acme", "s", "Go").await.unwrap();
    assert_eq!((reply.text.as_str(), offered(&model)), ("Done.", vec!["recall".to_owned()]));
    let told = "this tool cannot be used in this conversation; answer without it";
    assert_eq!(results(&model), [(false, told.to_owned())], "who calls it all the same is told");

    let model = script();
    let house = House::solo(model.clone(), &["local"], vec![Arc::new(local())]);
    let agents = house.agents.clone();
    let work = async move {
        let turn = async move { agents.turn(request("Go"))?.run(haversack_agent::EventSink::none()).await };
        LOCALE.scope("de_CH".to_owned(), turn).await
    };
    door("acme", "kim", "s").wrap(work).await.unwrap();
    assert_eq!(offered(&model), ["local"]);
    assert_eq!(results(&model), [(true, "de_CH".to_owned())], "and it is carried into the tool's task");
}

#[tokio::test]
async fn a_tool_says_itself_where_it_is_offered() {
    let ran = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let seen = Arc::clone(&ran);
    let run = move |_: Which| {
        seen.store(true, std::sync::atomic::Ordering::Relaxed);
        async { ToolOutput::json(&"ran") }
    };
    let acme = tool("acme_only", "For one tenant.", run).offered_where(|| {
        haversack::well_known::TENANT_ID.with(|tenant| tenant.as_str() == "acme").is_ok_and(|is| is)
    });
    let model = ScriptedModel::by(|request| match request.messages.last() {
        Some(Message::Tool { content, .. }) => Answer::text(content),
        _ => Answer::call("acme_only", json!({ "n": 1 })),
    });
    let house = House::solo(model.clone(), &["acme_only"], vec![Arc::new(acme)]);
    let refused = house.say("other", "s", "Go").await.unwrap();
    assert!(refused.text.contains("cannot be used in this conversation"), "{}", refused.text);
    assert!(model.seen()[0].tools.is_empty() && !ran.load(std::sync::atomic::Ordering::Relaxed));
    assert!(house.say("acme", "s", "Go").await.unwrap().text.contains("ran"));
}

#[tokio::test]
async fn tool_results_are_stored_with_their_calls_under_unique_ids() {
    // Both answers number their calls from zero, as some providers do.
    let again = || Answer::default().and_piece(0, Some("call_0"), Some("recall"), r#"{"query":"x"}"#);
    let model = ScriptedModel::new([again(), again(), Answer::text("Done.")]);
    let house = House::solo(model.clone(), &["recall"], Vec::new());
    house.say("acme", "s", "Go").await.unwrap();
    let last = model.seen().pop().unwrap();
    let ids: Vec<_> = last
        .messages
        .iter()
        .filter_map(|m| if let Message::Tool { call, .. } = m { Some(call.as_str()) } else { None })
        .collect();
    assert_eq!(ids, ["call_0", "call_0_2"]);
    let called: Vec<_> = last
        .messages
        .iter()
        .flat_map(|m| if let Message::Assistant { calls, .. } = m { calls.as_slice() } else { &[] })
        .map(|call| call.id.as_str())
        .collect();
    assert_eq!(called, ids);
}

#[tokio::test]
async fn a_tool_sees_the_tenant_of_its_turn() {
    let who = tool("who", "Says who.", |_: Which| async { ToolOutput::json(&TENANT_ID.get()?.as_str()) });
    let model = ScriptedModel::by(|request| match request.messages.last() {
        Some(Message::Tool { content, .. }) => Answer::text(content),
        _ => Answer::call("who", json!({ "n": 1 })),
    });
    let house = House::solo(model, &["who"], vec![Arc::new(who)]);
    for tenant in ["a", "b", "a"] {
        assert_eq!(house.say(tenant, "s", "Who?").await.unwrap().text, tenant);
    }
}
