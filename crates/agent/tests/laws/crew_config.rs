//! Crews out of the configuration: what is refused at start, and a crew at work in a turn.

use std::sync::Arc;

use haversack_agent::agent::{CrewConfig, TaskConfig};
use haversack_agent::crew::{OrderError, Rules};
use haversack_agent::model::scripted::Answer;
use haversack_agent::model::{Message, Offline, ScriptedModel};
use haversack_agent::tool::{ToolOutput, tool};
use haversack_agent::{AgentConfig, ConfigError, TurnError};
use serde_json::json;

use super::house::{House, solo};

fn task(name: &str) -> TaskConfig {
    serde_json::from_value(json!({ "name": name })).unwrap()
}

fn crew(name: &str, tasks: Vec<TaskConfig>) -> CrewConfig {
    let mut crew: CrewConfig =
        serde_json::from_value(json!({ "name": name, "description": "Works.", "tasks": [] })).unwrap();
    crew.tasks = tasks;
    crew
}

fn with(crews: Vec<CrewConfig>, tools: &[&str]) -> AgentConfig {
    AgentConfig { crews, ..solo(tools) }
}

#[test]
fn a_wrong_crew_is_refused_at_start_with_what_to_do() {
    let check = |crews: Vec<CrewConfig>| with(crews, &[]).check(&haversack_agent::tool::NAMES).unwrap_err();
    let wrong = |change: fn(&mut TaskConfig)| {
        let mut one = task("a");
        change(&mut one);
        check(vec![crew("c", vec![one])])
    };
    assert!(matches!(check(vec![crew("C c", vec![task("a")])]), ConfigError::CrewName(_)));
    let twice = vec![crew("c", vec![task("a")]), crew("c", vec![task("a")])];
    assert!(matches!(check(twice), ConfigError::DuplicateCrew(_)));
    assert!(matches!(check(vec![crew("recall", vec![task("a")])]), ConfigError::DuplicateCrew(_)));
    let empty = check(vec![crew("c", vec![])]);
    assert!(matches!(&empty, ConfigError::CrewOrder { why: OrderError::Empty, .. }), "{empty}");
    let later = wrong(|task| task.context = Some(vec!["a".to_owned()]));
    assert!(matches!(&later, ConfigError::CrewOrder { why: OrderError::Cycle(_), .. }), "{later}");
    let texts = [
        (wrong(|task| task.tool = Some("nothing".to_owned())), "unknown tool `nothing`; known are: forget"),
        (
            wrong(|task| task.specialist = Some("nobody".to_owned())),
            "unknown specialist `nobody`; known are: solo",
        ),
        (
            wrong(|task| {
                task.tool = Some("recall".to_owned());
                task.specialist = Some("solo".to_owned());
            }),
            "name one of them",
        ),
        (wrong(|task| task.retries = 11), "`agent.crews.tasks.retries` must be 0 to 10"),
        (wrong(|task| task.name = "A".to_owned()), "its name is invalid"),
    ];
    for (error, text) in texts {
        assert!(error.to_string().contains(text), "{error}");
    }
}

#[test]
fn a_tool_that_cannot_be_called_with_one_text_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let store = haversack_store::Store::open(folder.path(), Default::default()).unwrap();
    let memory = haversack_memory::Memory::new(store.clone(), Default::default());
    let mut one = task("a");
    one.tool = Some("note_attempt".to_owned());
    let config = with(vec![crew("c", vec![one])], &[]);
    let error = haversack_agent::Agents::new(config, store, memory, Arc::new(Offline)).unwrap_err();
    assert!(error.to_string().contains("give the task to a specialist"), "{error}");
}

#[tokio::test]
async fn the_example_crew_sums_up_the_handbook_and_what_was_told() {
    let house = House::offline();
    house.knows("acme", "returns.md", "# Returns\n\nReturns are collected within 14 days.\n");
    house.knows("zenith", "returns.md", "# Returns\n\nReturns are never accepted.\n");
    house.say("acme", "earlier", "Our contact for returns is Ilse Quandt.").await.unwrap();
    for ask in ["Please research our returns.", "Can you research returns?", "Research: returns"] {
        let reply = house.say("acme", "s", ask).await.unwrap();
        let used: Vec<_> = reply.tools.iter().map(|tool| (tool.name.as_str(), tool.ok)).collect();
        assert_eq!(used, [("research", true)], "{ask}: {}", reply.text);
        for part in [
            "Returns are collected within 14 days. (From the handbook: Returns.)",
            "You told me: \"Our contact for returns is Ilse Quandt.\"",
            "(From the crew research: handbook, told_before, summary.)",
        ] {
            assert!(reply.text.contains(part), "{ask}: {}", reply.text);
        }
        assert!(!reply.text.contains("never"), "{}", reply.text);
    }
    let nothing = house.say("acme", "s", "Please research quantum gravity.").await.unwrap();
    assert!(nothing.text.contains("I found nothing about that"), "{}", nothing.text);
    let told = house.say("acme", "s", "Our research number is 4711.").await.unwrap();
    assert_eq!(told.tools[0].name, "remember", "who tells about research asks for none");
}

#[tokio::test]
async fn specialists_work_in_a_crew_with_their_tools_and_read_what_was_before() {
    let who = |place: &str, blocking: bool| TaskConfig {
        specialist: Some("solo".to_owned()),
        background: place != "last",
        blocking,
        description: format!("do the {place}"),
        ..task(place)
    };
    let team = crew("team", vec![who("one", false), who("two", true), who("last", true)]);
    let seen = tool("seen", "Says where it is.", |_: serde_json::Value| async {
        let task = haversack_agent::crew::TASK_ID.get()?;
        ToolOutput::json(&format!("{} of {}", task.name(), haversack::well_known::TENANT_ID.get()?))
    });
    // Each member calls the tool and repeats what it says; the crew itself is offered to none of them.
    let model = ScriptedModel::by(|request| match request.messages.last() {
        Some(Message::Tool { name, content, .. }) if name == "seen" => {
            let results: Vec<_> =
                request.system.lines().filter(|line| line.starts_with("result: ")).collect();
            Answer::text(&format!("{content} with {}", results.len()))
        }
        Some(Message::Tool { content, .. }) => Answer::text(content),
        _ if request.system.contains("Your task: do the ") => {
            assert!(request.tools.iter().all(|tool| tool.name != "team"), "a crew starts no crew");
            Answer::call("seen", json!({}))
        }
        _ => Answer::call("team", json!({ "question": "Where are you?" })),
    });
    let config = with(vec![team], &["seen", "team"]);
    let house = House::with(config, Arc::new(model.clone()), vec![Arc::new(seen)]);
    let reply = house.say("acme", "s", "Go").await.unwrap();
    assert!(reply.text.contains("last of acme with 2"), "{}", reply.text);
    assert_eq!(model.seen().len(), 8);
}

#[tokio::test]
async fn a_guardrail_of_the_configuration_sends_an_output_back() {
    let writer = TaskConfig {
        guardrail: Some(Rules { must_contain: vec!["price".to_owned()], ..Rules::default() }),
        retries: 1,
        ..task("writer")
    };
    let script = |good: &'static str| {
        ScriptedModel::by(move |request| match request.messages.last() {
            Some(Message::Tool { content, .. }) => Answer::text(content),
            _ if request.system.contains("It must contain \"price\".") => Answer::text(good),
            _ if request.tools.is_empty() => Answer::text("No idea."),
            _ => Answer::call("team", json!({ "question": "How much?" })),
        })
    };
    let house = |good| {
        House::with(
            with(vec![crew("team", vec![writer.clone()])], &["team"]),
            Arc::new(script(good)),
            Vec::new(),
        )
    };
    let reply = house("The price is 9.").say("acme", "s", "Go").await.unwrap();
    assert!(reply.text.contains("The price is 9."), "{}", reply.text);
    let refused = house("Still no idea.").say("acme", "s", "Go").await.unwrap();
    assert!(
        refused.text.contains("no output was accepted by the guardrails in 2 attempts"),
        "{}",
        refused.text
    );
    assert!(!refused.tools[0].ok);
}

static LOCALE: haversack::ContextVar<String> = haversack::ContextVar::new("locale");

#[tokio::test]
async fn a_crew_whose_task_lacks_a_declared_variable_is_not_offered() {
    let local = |declared: bool| {
        let made = tool("local", "Needs a locale.", |_: serde_json::Value| async {
            ToolOutput::json(&LOCALE.get()?)
        });
        if declared { made.needing(&[&LOCALE]) } else { made }
    };
    let model = || ScriptedModel::by(|_| Answer::call("team", json!({ "question": "?" })));
    let member = TaskConfig { tool: Some("local".to_owned()), ..task("a") };
    let config = || with(vec![crew("team", vec![member.clone()])], &["team"]);
    // Undeclared it fails when it is read, which is a defect of the tool; declared, the crew is not offered.
    let undeclared = House::with(config(), Arc::new(model()), vec![Arc::new(local(false))]);
    let error = undeclared.say("acme", "s", "Go").await.unwrap_err();
    assert!(matches!(&error, TurnError::Crew(_)), "{error}");
    assert_eq!(error.code(), "HV0001");
    let script =
        ScriptedModel::new([Answer::call("team", json!({ "question": "?" })), Answer::text("Without.")]);
    let declared = House::with(config(), Arc::new(script.clone()), vec![Arc::new(local(true))]);
    assert_eq!(declared.say("acme", "s", "Go").await.unwrap().text, "Without.");
    assert!(script.seen()[0].tools.iter().all(|tool| tool.name != "team"));
}

#[tokio::test]
async fn a_crew_ends_at_its_limit_by_itself() {
    let hang = tool("hang", "Never ends.", |_: serde_json::Value| std::future::pending());
    let member = TaskConfig { tool: Some("hang".to_owned()), ..task("a") };
    let limited = CrewConfig { timeout_s: 1, ..crew("team", vec![member]) };
    let model = ScriptedModel::by(|request| match request.messages.last() {
        Some(Message::Tool { content, .. }) => Answer::text(content),
        _ => Answer::call("team", json!({ "question": "?" })),
    });
    let house = House::with(with(vec![limited], &["team"]), Arc::new(model), vec![Arc::new(hang)]);
    let reply = house.say("acme", "s", "Go").await.unwrap();
    assert!(reply.text.starts_with("the task `a` failed: the task did not end in time"), "{}", reply.text);
}
