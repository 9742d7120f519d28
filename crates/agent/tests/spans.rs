//! One span tree a turn, and no words in it. A process of its own, because a subscriber sees the whole
//! process.

#![forbid(unsafe_code)]
// `#[tokio::test]` writes a bare `block_on`.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

#[allow(dead_code)]
#[path = "laws/house.rs"]
mod house;

use std::collections::{HashMap, HashSet};
use std::fmt::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, Mutex};

use haversack_agent::crew::{Crew, Failure, TASK_ID, Task, TaskInput};
use haversack_agent::model::scripted::Answer;
use haversack_agent::model::{Message, ScriptedModel};
use haversack_agent::tool::{Tool, ToolOutput, tool};
use serde_json::{Value, json};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;

use house::{House, solo};

#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Collected>>);

#[derive(Default)]
struct Collected {
    /// Every span there ever was; a parent is a place in this list.
    spans: Vec<Seen>,
    /// The place of a living span. Its id is used again when it is closed.
    living: HashMap<u64, usize>,
    events: Vec<Told>,
    /// Every field value of every span and event, as text.
    words: String,
}

struct Seen {
    name: &'static str,
    target: String,
    parent: Option<usize>,
    fields: String,
}

struct Told {
    /// The place of the span that it hangs under.
    span: Option<usize>,
    fields: String,
}

/// The value of a field that has no spaces in it.
fn field<'f>(fields: &'f str, name: &str) -> Option<&'f str> {
    fields.split(' ').find_map(|field| field.strip_prefix(name)?.strip_prefix('='))
}

struct Words<'w>(&'w mut String);

impl Visit for Words<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        let _ = write!(self.0, " {}={value:?}", field.name());
    }
}

impl<S: tracing::Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Collector {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = String::new();
        attributes.record(&mut Words(&mut fields));
        let parent = context.span(id).and_then(|span| span.parent()).map(|parent| parent.id().into_u64());
        let (name, target) = (attributes.metadata().name(), attributes.metadata().target().to_owned());
        let mut seen = self.0.lock().unwrap();
        seen.words.push_str(&fields);
        let parent = parent.and_then(|id| seen.living.get(&id).copied());
        let place = seen.spans.len();
        seen.living.insert(id.into_u64(), place);
        seen.spans.push(Seen { name, target, parent, fields });
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, _: Context<'_, S>) {
        let mut fields = String::new();
        values.record(&mut Words(&mut fields));
        let mut seen = self.0.lock().unwrap();
        seen.words.push_str(&fields);
        let place = seen.living[&id.into_u64()];
        seen.spans[place].fields.push_str(&fields);
    }

    fn on_close(&self, id: Id, _: Context<'_, S>) {
        self.0.lock().unwrap().living.remove(&id.into_u64());
    }

    fn on_event(&self, event: &tracing::Event<'_>, context: Context<'_, S>) {
        let mut fields = String::new();
        event.record(&mut Words(&mut fields));
        let span = context.event_span(event).map(|span| span.id().into_u64());
        let mut seen = self.0.lock().unwrap();
        seen.words.push_str(&fields);
        let span = span.and_then(|id| seen.living.get(&id).copied());
        seen.events.push(Told { span, fields });
    }
}

/// The collector of this process. Spans of all tests meet here, each below the turn it belongs to.
static COLLECTOR: LazyLock<Collector> = LazyLock::new(|| {
    let collector = Collector::default();
    let subscriber = tracing_subscriber::registry().with(collector.clone());
    tracing::subscriber::set_global_default(subscriber).unwrap();
    collector
});

impl Collected {
    /// The names from a span up to its root.
    fn way_up(&self, place: usize) -> Vec<(usize, &'static str)> {
        let up = std::iter::successors(Some(place), |at| self.spans[*at].parent);
        up.map(|at| (at, self.spans[at].name)).collect()
    }

    fn below(&self, turn: usize, name: &str) -> Vec<&Seen> {
        let spans = self.spans.iter().enumerate().filter(|(at, span)| span.name == name && *at != turn);
        spans
            .filter(|(at, _)| self.way_up(*at).iter().any(|(up, _)| *up == turn))
            .map(|(_, span)| span)
            .collect()
    }

    fn parents(&self, turn: usize, name: &str) -> Vec<&'static str> {
        self.below(turn, name).iter().map(|span| self.spans[span.parent.unwrap()].name).collect()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn every_span_of_a_turn_hangs_below_the_turn() {
    let collector = COLLECTOR.clone();
    let search = || json!({ "query": "opening hours" });
    let model = ScriptedModel::new([
        Answer::call("search_knowledge", search())
            .and_call("search_knowledge", search())
            .and_call("recall", search()),
        Answer::text("Done."),
    ]);
    let house = House::with(solo(&["search_knowledge", "recall"]), Arc::new(model), Vec::new());
    house.knows("acme", "a.md", "# Opening hours\n\nEight to five.\n");
    let reply = house.say("acme", "s", "When are you open?").await.unwrap();
    drop(house);

    let seen = collector.0.lock().unwrap();
    let own = format!("turn={}", reply.turn);
    let turn = seen.spans.iter().position(|span| span.name == "turn" && span.fields.contains(&own)).unwrap();
    let root = &seen.spans[turn].fields;
    assert!(root.contains("outcome=\"ok\"") && root.contains("agent=\"solo\""), "{root}");
    let names = ["begin", "supervisor", "specialist", "model", "tool", "blocking", "commit"];
    // With one specialist there is nothing to choose, so the supervisor asks no model.
    assert_eq!(names.map(|name| seen.below(turn, name).len()), [1, 1, 1, 2, 3, 2, 1]);
    assert_eq!(seen.parents(turn, "blocking"), ["tool"; 2]);
    assert_eq!(seen.parents(turn, "tool"), ["specialist"; 3]);
    assert_eq!(seen.parents(turn, "model"), ["specialist"; 2]);
    assert_eq!(seen.parents(turn, "specialist"), ["turn"]);

    // Of all tests of this process: every span that this crate opened is a turn or below one.
    for (at, span) in
        seen.spans.iter().enumerate().filter(|(_, span)| span.target.starts_with("haversack_agent"))
    {
        let up = seen.way_up(at);
        assert!(up.iter().any(|(_, name)| *name == "turn"), "{} hangs nowhere: {up:?}", span.name);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn the_spans_of_a_crew_hang_below_the_tool_that_runs_it() {
    let collector = COLLECTOR.clone();
    let model = ScriptedModel::by(|request| match request.messages.last() {
        Some(Message::Tool { .. }) => Answer::text("Done."),
        _ if request.tools.is_empty() => Answer::text("Summed up."),
        _ => Answer::call("research", json!({ "question": "opening hours" })),
    });
    let house = House::with(solo(&["research"]), Arc::new(model), Vec::new());
    house.knows("acme", "a.md", "# Opening hours\n\nEight to five.\n");
    let reply = house.say("acme", "s", "When are you open?").await.unwrap();
    drop(house);

    let seen = collector.0.lock().unwrap();
    let own = format!("turn={}", reply.turn);
    let turn = seen.spans.iter().position(|span| span.name == "turn" && span.fields.contains(&own)).unwrap();
    assert_eq!(seen.parents(turn, "crew"), ["tool"]);
    assert_eq!(seen.parents(turn, "task"), ["crew"; 3]);
    let tasks = seen.below(turn, "task");
    assert!(tasks.iter().all(|task| task.fields.contains("outcome=\"ok\"")), "{:?}", tasks[0].fields);
    // Two researchers with a tool each, and a writer who asks the model.
    let mut tools = seen.parents(turn, "tool");
    tools.sort_unstable();
    assert_eq!(tools, ["specialist", "task", "task"]);
    let mut specialists = seen.parents(turn, "specialist");
    specialists.sort_unstable();
    assert_eq!(specialists, ["task", "turn"]);
    assert_eq!(seen.parents(turn, "blocking"), ["tool"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn spans_and_events_of_a_task_hang_below_its_caller_on_tasks_pool_and_threads() {
    let collector = COLLECTOR.clone();
    let speaks = |_: TaskInput| -> Result<String, Failure> {
        let id = TASK_ID.get()?.to_string();
        tracing::info!(speaker = %id, "the work speaks");
        let _inner = tracing::info_span!("inner", speaker = %id).entered();
        tracing::info!(speaker = %id, "and again");
        Ok(id)
    };
    // A guardrail speaks too: it sends each first output back.
    let tasks = move || {
        let task = Task::new("task", move |input| async move {
            tokio::task::yield_now().await;
            speaks(input)
        });
        [task, Task::blocking("pool", speaks), Task::threaded("thread", speaks)].map(|task| {
            let first = AtomicBool::new(true);
            let again = move || first.swap(false, Ordering::SeqCst);
            task.guardrail(move |_| if again() { Err("again".to_owned()) } else { Ok(()) })
        })
    };
    let crew = tasks().into_iter().fold(Crew::builder("probe"), |crew, task| crew.task(task.in_background()));
    let probe = haversack_agent::crew::tool(crew.build().unwrap(), "Works together.");
    let alone = tool("alone", "Works alone.", move |_: Value| async move {
        let handles = tasks().map(|task| task.execute_async(TaskInput::default()));
        for handle in handles {
            assert_eq!(handle.output().await.unwrap().text, handle.id().to_string());
        }
        ToolOutput::json(&"done")
    });
    let calls = Answer::call("probe", json!({ "question": "go" })).and_call("alone", json!({}));
    let model = ScriptedModel::new([calls, Answer::text("Done.")]);
    let tools: Vec<Arc<dyn Tool>> = vec![Arc::new(probe), Arc::new(alone)];
    let house = House::with(solo(&["probe", "alone"]), Arc::new(model), tools);
    let reply = house.say("acme", "s", "Go.").await.unwrap();
    drop(house);

    let seen = collector.0.lock().unwrap();
    let own = format!("turn={}", reply.turn);
    let turn = seen.spans.iter().position(|span| span.name == "turn" && span.fields.contains(&own)).unwrap();
    let mut parents = seen.parents(turn, "task");
    parents.sort_unstable();
    assert_eq!(parents, ["crew", "crew", "crew", "tool", "tool", "tool"]);
    // Two attempts of each of the six.
    let inner = seen.below(turn, "inner");
    assert_eq!(inner.len(), 12);
    for span in inner {
        let parent = &seen.spans[span.parent.unwrap()];
        assert_eq!((parent.name, field(&parent.fields, "id")), ("task", field(&span.fields, "speaker")));
    }
    let below = |event: &&Told| {
        event.span.is_some_and(|span| seen.way_up(span).iter().any(|(place, _)| *place == turn))
    };
    let events: Vec<_> = seen.events.iter().filter(below).collect();
    let mut directly = HashMap::new();
    for event in events.iter().filter(|event| event.fields.contains("speaker=")) {
        let way = seen.way_up(event.span.unwrap());
        let (task, _) = way.iter().find(|(_, name)| *name == "task").unwrap();
        assert_eq!(field(&seen.spans[*task].fields, "id"), field(&event.fields, "speaker"), "its own task");
        *directly.entry(way[0].1).or_insert(0) += 1;
    }
    assert_eq!(directly, HashMap::from([("task", 12), ("inner", 12)]));
    let returned = events.iter().filter(|event| event.fields.contains("a guardrail sent an output back"));
    let at: HashSet<_> = returned.map(|event| event.span.unwrap()).collect();
    assert_eq!(at.len(), 6, "each under its own task");
    assert!(at.iter().all(|place| seen.spans[*place].name == "task"));
}

#[tokio::test]
async fn no_words_of_a_message_are_in_spans_or_events() {
    let collector = COLLECTOR.clone();
    let house = House::offline();
    house.knows("acme", "a.md", "# Vault\n\nThe vault opens with Brambleshade.\n");
    house.say("acme", "s", "Our account manager is Quillfeather.").await.unwrap();
    house
        .say("acme", "s", "I tried asking Quillfeather, it did not help. Who is our account manager?")
        .await
        .unwrap();
    house.say("acme", "s", "How does the vault open?").await.unwrap();
    let model = ScriptedModel::new([
        Answer::call("recall", json!({ "Quillfeather": 1 })),
        Answer::text("x").and_cut(),
    ]);
    house.say("acme", "s", "Please research Quillfeather.").await.unwrap();
    let failing = House::solo(model, &["recall"], Vec::new());
    failing.say("acme", "s", "About Quillfeather").await.unwrap_err();
    let seen = collector.0.lock().unwrap();
    assert!(seen.words.contains("a tool call failed"), "the collector hears events");
    for word in ["Quillfeather", "Brambleshade"] {
        assert!(!seen.words.contains(word));
    }
}

#[cfg(feature = "genai")]
#[tokio::test]
async fn what_a_provider_says_is_in_no_event() {
    use axum::http::StatusCode;
    use haversack_agent::agent::{ModelConfig, Provider, Secret};
    use haversack_agent::model::genai::Genai;

    let collector = COLLECTOR.clone();
    let routes = axum::Router::new()
        .route(
            "/broken/chat/completions",
            axum::routing::post(|| async { "data: {no json Pennywhistle\n\n" }),
        )
        .route(
            "/busy/chat/completions",
            axum::routing::post(|| async { (StatusCode::BAD_GATEWAY, "Pennywhistle") }),
        );
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    haversack::spawn_detached(async move { axum::serve(listener, routes).await.unwrap() });
    for path in ["broken", "busy"] {
        let config = ModelConfig {
            provider: Provider::Genai,
            name: Some("openai::test".to_owned()),
            base_url: Some(format!("http://{address}/{path}")),
            retries: 1,
            ..ModelConfig::default()
        };
        let model = Genai::new(&config, Some(Secret::new("sk-Pennywhistle"))).unwrap();
        let model = model.with_first_wait(std::time::Duration::from_millis(1));
        let house = House::solo(model, &[], Vec::new());
        house.say("acme", "s", "Do you know Pennywhistle?").await.unwrap_err();
    }
    let seen = collector.0.lock().unwrap();
    assert!(seen.words.contains("a model call is retried"), "the collector hears this crate");
    assert!(!seen.words.contains("Pennywhistle"));
}
