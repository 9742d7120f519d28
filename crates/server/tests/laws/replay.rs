//! Replays: what is met, what is reported, and what a replay file may hold. Some play against a whole server, some against
//! one that answers wrongly on purpose, because a check that has never been red proves nothing.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use axum::extract::{Path as UrlPath, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use haversack_server::cli::replay::file::load;
use haversack_server::cli::replay::report::Wrong;
use haversack_server::cli::replay::{Keys, Options, Report, Target, run_replay};
use serde_json::{Value, json};

use super::program::{lines, run, stderr, stdout};

const EAST: &str = r#"
tenant = "east"
[slots]
manager = "person"
old_manager = "person"
contract = "code"
price = "money"

[[conversation]]
session = "facts"
principal = "kim"
[[conversation.turn]]
say = "Our account manager is {old_manager}."
[[conversation.turn]]
say = "Forget our account manager."
[[conversation.turn]]
say = "Our account manager is {manager}. Our contract number is {contract}."

[[conversation]]
session = "questions"
principal = "sam"
after = ["facts"]
[[conversation.turn]]
say = "Who is our account manager?"
expect = { contains = ["{manager}"], excludes = ["{old_manager}"] }
[[conversation.turn]]
say = "What is our contract number?"
expect = { contains = ["{contract}"] }
[[conversation.turn]]
say = "What does a pallet cost?"
expect = { contains = ["{price}"] }
"#;

const WEST: &str = r#"
tenant = "west"
[slots]
manager = "person"
[[conversation]]
session = "facts"
principal = "kim"
[[conversation.turn]]
say = "Our account manager is {manager}."
[[conversation.turn]]
say = "Who is our account manager?"
expect = { contains = ["{manager}"] }
"#;

fn files(texts: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in texts {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    folder
}

fn two_tenants() -> tempfile::TempDir {
    let pallets =
        "# Pallets\n\n## What does a pallet cost?\n\nA pallet costs {price}. `fn f() {}` is no slot.\n";
    files(&[("east.toml", EAST), ("west.toml", WEST), ("knowledge/east/pallets.md", pallets)])
}

fn options(path: &Path) -> Options {
    Options { path: path.to_owned(), concurrency: 8, ..Options::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_against_its_own_server_meets_fair_expectations() {
    let folder = two_tenants();
    for seed in [Some(1), Some(2), None] {
        let report = run_replay(Options { seed, ..options(folder.path()) }).await.unwrap();
        assert!(report.is_met(), "{:#?}", report.failures);
        assert_eq!((report.met, report.expectations), (5, 5));
        assert_eq!((report.answered, report.turns, report.conversations), (8, 8, 3));
        assert_eq!(report.crossings, 0);
        assert!(report.latency_ms.p50 > 0.0 && report.latency_ms.p50 <= report.latency_ms.max);
        assert!(seed.is_none_or(|seed| seed == report.seed));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_met_is_named_with_its_place_and_the_reply() {
    let wrong =
        WEST.replace("contains = [\"{manager}\"]", "contains = [\"{manager}\", \"a purple giraffe\"]");
    let folder = files(&[("west.toml", &wrong)]);
    let report = run_replay(options(folder.path())).await.unwrap();
    assert!(!report.is_met());
    assert_eq!((report.met, report.expectations), (1, 2));
    let failure = &report.failures[0];
    assert_eq!(failure.file, folder.path().join("west.toml"));
    assert_eq!((failure.tenant.as_str(), failure.conversation.as_str(), failure.turn), ("west", "facts", 2));
    assert_eq!(wrong.lines().nth(failure.line - 1).unwrap(), "say = \"Who is our account manager?\"");
    assert_eq!(failure.wrong, Wrong::Missing { expected: "a purple giraffe".into() });
    assert!(!failure.reply.is_empty());
}

/// Makes an answer of the accepted type and everything that was heard so far.
type Answering = dyn Fn(&str, &[Heard]) -> Response + Send + Sync;

/// A server that answers as it is told, and remembers what it was asked.
#[derive(Clone)]
struct Fake {
    answer: Arc<Answering>,
    heard: Arc<Mutex<Vec<Heard>>>,
}

#[derive(Debug, Clone, PartialEq)]
struct Heard {
    key: String,
    session: String,
    message: String,
    idempotency_key: String,
}

fn reply(accept_stream: bool, text: &str) -> Response {
    let reply = json!({ "turn": "turn_1", "session": "s", "text": text, "agent": "fake", "tools": [] });
    if !accept_stream {
        return Json(reply).into_response();
    }
    let events = format!(
        "id: 1\nevent: started\ndata: {}\n\nid: 2\nevent: finished\ndata: {}\n\n",
        json!({ "event": "started", "turn": "turn_1" }),
        json!({ "event": "finished", "reply": reply }),
    );
    ([("content-type", "text/event-stream")], events).into_response()
}

async fn hear(
    State(fake): State<Fake>,
    UrlPath(session): UrlPath<String>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> Response {
    let header =
        |name: &str| headers.get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default();
    let heard = Heard {
        key: header("authorization"),
        session,
        message: body["message"].as_str().unwrap().to_owned(),
        idempotency_key: header("idempotency-key"),
    };
    let before = {
        let mut all = fake.heard.lock().unwrap();
        all.push(heard);
        all.clone()
    };
    (fake.answer)(&header("accept"), &before)
}

/// Plays the two tenants against a server that answers with `answer`, given the accepted type and all that it heard so far.
async fn play_against(
    answer: impl Fn(&str, &[Heard]) -> Response + Send + Sync + 'static,
    seed: u64,
) -> (Report, Vec<Heard>) {
    let fake = Fake { answer: Arc::new(answer), heard: Arc::default() };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let routes = Router::new()
        .route("/healthz", get(|| async { "ok" }))
        .route("/v1/sessions/{session}/turns", post(hear))
        .with_state(fake.clone());
    let serving = haversack::spawn_detached(async move { axum::serve(listener, routes).await.unwrap() });
    let folder = two_tenants();
    let keys: Keys = [("east", "kim"), ("east", "sam"), ("west", "kim")]
        .into_iter()
        .map(|(tenant, principal)| ((tenant.into(), principal.into()), format!("hv_{tenant}_{principal}")))
        .collect();
    let target = Some(Target { url, keys, knowledge: None });
    let report = run_replay(Options { seed: Some(seed), target, ..options(folder.path()) }).await.unwrap();
    serving.abort();
    let heard = fake.heard.lock().unwrap().clone();
    (report, heard)
}

fn streams(accept: &str) -> bool {
    accept == "text/event-stream"
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crossing_is_found_whether_the_answer_is_json_or_a_stream() {
    // Says everything that anybody said, to everybody.
    let leak = |accept: &str, heard: &[Heard]| {
        let all: Vec<&str> = heard.iter().map(|one| one.message.as_str()).collect();
        reply(streams(accept), &all.join(" / "))
    };
    let (report, _) = play_against(leak, 5).await;
    assert!(report.crossings > 0, "{report:#?}");
    let found: Vec<&Wrong> = report.failures.iter().map(|failure| &failure.wrong).collect();
    assert!(
        found.contains(&&Wrong::Crossing { value_of: "east.manager".into() })
            || found.contains(&&Wrong::Crossing { value_of: "west.manager".into() }),
        "{found:?}"
    );
    assert!(!report.is_met());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_excluded_value_is_found() {
    let echo_old = |accept: &str, heard: &[Heard]| {
        let own = heard.last().unwrap().key.clone();
        let east = own.contains("east");
        let said: Vec<&str> = heard
            .iter()
            .filter(|one| one.key.contains("east") == east)
            .map(|one| one.message.as_str())
            .collect();
        reply(streams(accept), &said.join(" / "))
    };
    let (report, _) = play_against(echo_old, 6).await;
    let unwanted = report.failures.iter().any(|failure| matches!(failure.wrong, Wrong::Unwanted { .. }));
    assert!(unwanted, "{:#?}", report.failures);
    assert_eq!(report.crossings, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conversation_starts_when_those_it_needs_are_complete() {
    let (_, heard) = play_against(|accept, _| reply(streams(accept), "ok"), 7).await;
    let last = |session: &str| {
        heard.iter().rposition(|one| one.key.contains("east") && one.session.starts_with(session)).unwrap()
    };
    let first = |session: &str| {
        heard.iter().position(|one| one.key.contains("east") && one.session.starts_with(session)).unwrap()
    };
    assert!(last("facts.") < first("questions."));
    let keys: std::collections::HashSet<&str> =
        heard.iter().map(|one| one.idempotency_key.as_str()).collect();
    assert!(keys.iter().all(|key| !key.is_empty()));
    assert!(
        heard.iter().all(|one| one.key == format!("Bearer hv_{}", one.key.trim_start_matches("Bearer hv_")))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_seed_gives_the_same_values_again_and_another_seed_others() {
    let say = async |seed| {
        let (_, heard) = play_against(|accept, _| reply(streams(accept), "ok"), seed).await;
        let mut messages: Vec<(String, String)> =
            heard.into_iter().map(|one| (one.key, one.message)).collect();
        messages.sort();
        messages
    };
    let first = say(11).await;
    assert_eq!(first, say(11).await);
    assert_ne!(first, say(12).await);
    assert!(first.iter().all(|(_, message)| !message.contains('{')), "{first:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_server_is_asked_again_with_the_same_idempotency_key() {
    let refused: Arc<Mutex<BTreeMap<String, usize>>> = Arc::default();
    let busy_once = move |accept: &str, heard: &[Heard]| {
        let key = format!("{}{}", heard.last().unwrap().key, heard.last().unwrap().idempotency_key);
        let times =
            refused.lock().unwrap().entry(key).and_modify(|times| *times += 1).or_insert(0).to_owned();
        if times > 0 {
            return reply(streams(accept), "ok");
        }
        let problem = json!({ "type": "/errors/HV0221", "title": "t", "status": 429, "detail": "d", "code": "HV0221", "instance": "i" });
        (axum::http::StatusCode::TOO_MANY_REQUESTS, [("retry-after", "0")], Json(problem)).into_response()
    };
    let (report, heard) = play_against(busy_once, 8).await;
    assert_eq!(report.retries, 8);
    assert_eq!(report.answered, report.turns);
    assert_eq!(heard.len(), 16);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_turn_without_an_answer_ends_its_conversation_and_is_reported() {
    let broken = |accept: &str, heard: &[Heard]| {
        if heard.last().unwrap().key.contains("west") {
            let problem = json!({ "type": "/errors/HV0500", "title": "t", "status": 500, "detail": "boom", "code": "HV0500", "instance": "i" });
            return (axum::http::StatusCode::INTERNAL_SERVER_ERROR, Json(problem)).into_response();
        }
        reply(streams(accept), "ok")
    };
    let (report, _) = play_against(broken, 9).await;
    let west: Vec<&Wrong> = report
        .failures
        .iter()
        .filter(|failure| failure.tenant == "west")
        .map(|failure| &failure.wrong)
        .collect();
    assert!(
        matches!(west[0], Wrong::Unanswered { error } if error.contains("HV0500") && error.contains("boom")),
        "{west:?}"
    );
    assert_eq!(west[1], &Wrong::NotSent);
    assert_eq!(report.answered, 6);
}

#[test]
fn a_mistake_in_a_file_is_named_with_line_and_column() {
    let good = "tenant = \"a\"\n[slots]\nx = \"word\"\n[[conversation]]\nsession = \"s\"\nprincipal = \"p\"\n[[conversation.turn]]\nsay = \"hi {x}\"\n";
    let folder = files(&[("good.toml", good)]);
    assert!(load(folder.path()).is_ok());
    let cases = [
        (good.replace("tenant = \"a\"", "tenant = "), (1, 10), "string values must be quoted"),
        (good.replace("tenant = \"a\"", "tenant = \"../x\""), (1, 10), "a tenant is 1 to 64"),
        (good.replace("tenant = \"a\"", "tenant = \"a\"\ncolour = 1"), (2, 1), "unknown field"),
        (good.replace("\"word\"", "\"colour\""), (3, 5), "unknown kind of slot"),
        (good.replace("x = \"word\"", "X = \"word\""), (3, 5), "a slot is named"),
        (good.replace("session = \"s\"", "session = \".s\""), (5, 11), "a session is"),
        (good.replace("principal = \"p\"", "principal = \"P\""), (6, 13), "a principal is"),
        (good.replace("{x}", "{y}"), (8, 7), "`{y}` is not in [slots]"),
        (good.replace("hi {x}", "  "), (8, 7), "a turn says something"),
        (
            good.replace("say = \"hi {x}\"", "say = \"a\"\nexpect = { contains = [\"{z}\"] }"),
            (9, 24),
            "`{z}`",
        ),
        (good.replace("say = \"hi {x}\"", "say = \"a\"\nexpect = { holds = [] }"), (9, 12), "unknown field"),
        (
            good.replace("principal = \"p\"", "principal = \"p\"\nafter = [\"nobody\"]"),
            (7, 10),
            "no session of this name",
        ),
        (good.replace("principal = \"p\"", "principal = \"p\"\nafter = [\"s\"]"), (4, 1), "in a circle"),
        (format!("{good}[[conversation]]\nsession = \"s\"\nprincipal = \"p\"\n"), (10, 11), "stands above"),
        (
            format!("{good}[[conversation]]\nsession = \"t\"\nprincipal = \"p\"\n"),
            (9, 1),
            "no [[conversation.turn]]",
        ),
        ("tenant = \"a\"\n".to_owned(), (1, 1), "no [[conversation]]"),
    ];
    for (text, place, part) in cases {
        let folder = files(&[("a.toml", &text)]);
        let invalid = load(folder.path()).unwrap_err();
        assert!(invalid.message.contains(part), "{} for\n{text}", invalid);
        assert_eq!((invalid.line, invalid.column), place, "{} for\n{text}", invalid);
    }
}

#[test]
fn a_mistake_outside_a_file_is_named_too() {
    let empty = files(&[("readme.md", "")]);
    assert!(load(empty.path()).unwrap_err().message.contains("no `*.toml` file"));
    assert!(load(&empty.path().join("absent.toml")).unwrap_err().message.contains("cannot be read"));
    let twice = files(&[("a.toml", WEST), ("b.toml", WEST)]);
    assert!(load(twice.path()).unwrap_err().message.contains("has a file already"));
    let page = files(&[("west.toml", WEST), ("knowledge/west/a/b.md", "# Title\n\nä {price}\n")]);
    let invalid = load(page.path()).unwrap_err();
    assert_eq!((invalid.line, invalid.column), (3, 3), "{invalid}");
    assert!(invalid.path.ends_with("knowledge/west/a/b.md"));
}

#[test]
fn the_exit_code_tells_what_kind_of_end_it_was() {
    let here = two_tenants();
    let unmet = files(&[(
        "west.toml",
        &WEST.replace("contains = [\"{manager}\"]", "contains = [\"a purple giraffe\"]"),
    )]);
    let invalid = files(&[("a.toml", "tenant = 7")]);
    let keys =
        files(&[("keys.toml", "[east]\nkim = \"hv_1_2\"\nsam = \"hv_1_2\"\n[west]\nkim = \"hv_1_2\"\n")]);
    let code = |arguments: &[&str]| run(here.path(), arguments);
    let path = |folder: &tempfile::TempDir| folder.path().to_str().unwrap().to_owned();

    let met = code(&["--json", "replay", &path(&here), "--seed", "3", "--concurrency", "4"]);
    assert_eq!(met.status.code(), Some(0), "{}", stderr(&met));
    assert_eq!(lines(&met)[0]["seed"], 3);
    assert_eq!(lines(&met)[0]["met"], 5);

    let human = code(&["replay", &path(&here), "--seed", "3"]);
    let text = stdout(&human);
    assert!(text.contains("expectations  5/5 met") && text.contains("seed          3"), "{text}");

    let not_met = code(&["replay", &path(&unmet)]);
    assert_eq!(not_met.status.code(), Some(1), "{}", stderr(&not_met));
    assert!(stdout(&not_met).contains("west.toml:11"), "{}", stdout(&not_met));
    assert!(stderr(&not_met).contains("HV0401"), "{}", stderr(&not_met));

    let refused = code(&["replay", &path(&invalid)]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(
        stderr(&refused).contains("HV0402") && stderr(&refused).contains("a.toml:1:10"),
        "{}",
        stderr(&refused)
    );

    let keys = keys.path().join("keys.toml");
    let alone =
        code(&["replay", &path(&here), "--server", "http://127.0.0.1:1", "--keys", keys.to_str().unwrap()]);
    assert_eq!(alone.status.code(), Some(3));
    assert!(stderr(&alone).contains("HV0403"), "{}", stderr(&alone));
}

#[test]
fn a_file_of_keys_that_is_wrong_is_not_repeated() {
    let here = files(&[("west.toml", WEST), ("keys.toml", "[west\nkim = \"hv_secretpart\"\n")]);
    let refused =
        run(here.path(), &["replay", "west.toml", "--server", "http://127.0.0.1:1", "--keys", "keys.toml"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(!stderr(&refused).contains("secretpart"), "{}", stderr(&refused));
}
