//! Commands: what a child sees, and how its end finds those who asked.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use haversack_agent::tool::{Tool, Toolbox};
use haversack_gateway::process::{Environment, ProcessOptions};
use haversack_gateway::session::{
    CAN_DELIVER_LATER, CHAT_ID, MESSAGE_ID, PLATFORM, SESSION_KEY, THREAD_ID, USER_ID,
};
use haversack_gateway::{Account, Arrival, Desk, GatewayError, GatewayOptions, Hooks, Reply, Responder};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::callbacks::{Callbacks, Say};
use crate::house::{Answers, House, Post, account, options};
use crate::lost::{ask, until};

/// What the gateway of these tests says that its own environment holds.
fn inherited() -> Vec<(String, String)> {
    let ours = [
        ("PATH", "/usr/local/bin:/usr/bin:/bin"),
        ("LANG", "C"),
        ("HAVERSACK_SESSION_THREAD_ID", "of the process"),
        ("HAVERSACK_SESSION_CHAT_ID", "of the process"),
        ("HAVERSACK_SESSION_ID", "of the process"),
        ("PROVIDER_API_KEY", "canary-4711"),
        ("UNLISTED", "not on the list"),
    ];
    ours.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec()
}

pub(crate) fn with_commands(mut options: GatewayOptions, folder: &Path) -> GatewayOptions {
    let allowed: Vec<String> =
        ["PATH", "LANG", "HAVERSACK_SESSION_THREAD_ID", "HAVERSACK_SESSION_CHAT_ID", "HAVERSACK_SESSION_ID"]
            .map(str::to_owned)
            .to_vec();
    let environment = Environment::new(inherited(), &allowed).unwrap();
    let mut processes = ProcessOptions::new(folder.join("work"), environment);
    processes.ask = false;
    processes.watch_most = 3;
    options.processes = Some(processes);
    options
}

/// Calls one tool with JSON, in the current context, as a specialist would. What it says, or why it refuses.
pub(crate) async fn call(desk: &Desk, name: &str, arguments: Value) -> String {
    let tools = Toolbox::new(haversack_gateway::tool::tools(desk));
    let tool: Arc<dyn Tool> = tools.get(name).unwrap_or_else(|| panic!("no tool {name}")).clone();
    match tool.call(arguments).await {
        Ok(output) => output.into_text(),
        Err(error) => format!("refused: {error}"),
    }
}

/// A responder that does what the message says: `say WORDS`, or `TOOL {JSON}`.
pub(crate) fn runs_what_is_said(desk: &Desk) -> Arc<dyn Responder> {
    let desk = desk.clone();
    Arc::new(Answers(move |arrival: Arrival| {
        let desk = desk.clone();
        async move {
            let text = arrival.message().unwrap().text.clone();
            let (word, rest) = text.split_once(' ').unwrap();
            Ok(Reply::new(match word {
                "say" => rest.to_owned(),
                tool => call(&desk, tool, serde_json::from_str(rest).unwrap()).await,
            }))
        }
    }))
}

pub(crate) async fn open(accounts: Vec<Account>) -> House {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    open_in(folder, accounts).await
}

async fn open_in(folder: Arc<TempDir>, accounts: Vec<Account>) -> House {
    let options = with_commands(options(), folder.path());
    House::in_folder(folder, accounts, options, runs_what_is_said).await
}

fn run(command: &str) -> String {
    format!("terminal {}", json!({ "command": command }))
}

pub(crate) fn start(command: &str, more: Value) -> String {
    let mut arguments = json!({ "command": command, "background": true });
    arguments.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    format!("terminal {arguments}")
}

fn environment_of(told: &Value) -> BTreeMap<String, String> {
    let output: Value = serde_json::from_str(told["text"].as_str().unwrap()).unwrap();
    let lines = output["output"].as_str().unwrap().lines().map(str::to_owned).collect::<Vec<_>>();
    lines.iter().filter_map(|line| line.split_once('=')).map(|(k, v)| (k.to_owned(), v.to_owned())).collect()
}

#[tokio::test]
async fn a_child_gets_the_allow_list_and_the_session_and_nothing_else() {
    let house = open(vec![account("shop", "acme", "https://hooks.example.com")]).await;
    let (_, told) = Post::new("shop", "m1", &run("env")).in_chat("c7").send(&house).await;
    let seen = environment_of(&told);
    assert_eq!(seen["HAVERSACK_SESSION_CHAT_ID"], "c7", "a bound value wins over an inherited one");
    assert_eq!(seen["HAVERSACK_SESSION_THREAD_ID"], "", "also when it is empty");
    assert_eq!(seen["HAVERSACK_SESSION_USER_ID"], "u-kim");
    assert_eq!(seen["HAVERSACK_SESSION_ID"], seen["HAVERSACK_SESSION_KEY"]);
    assert_eq!(seen["LANG"], "C");
    let session = |name: &str| name.starts_with("HAVERSACK_SESSION_");
    assert!(seen["TMPDIR"].starts_with(&seen["HOME"]), "both are the tenant's: {seen:?}");
    // The shell adds a few of its own; of ours there is nothing that was not listed.
    let others: Vec<_> = seen.keys().filter(|name| !session(name)).map(String::as_str).collect();
    assert!(
        others
            .iter()
            .all(|name| ["PATH", "LANG", "HOME", "TMPDIR", "PWD", "SHLVL", "_", "OLDPWD"].contains(name)),
        "{others:?}"
    );
    assert!(!told.to_string().contains("canary-4711"));
}

#[tokio::test]
async fn a_child_in_the_background_gets_the_same() {
    let mut callbacks = Callbacks::start().await;
    let house = open(vec![account("shop", "acme", &callbacks.origin)]).await;
    let post = |id: &str, text: &str| {
        Post::new("shop", id, text).in_group("g7").in_thread("t9").calling(callbacks.url("/in"))
    };
    post("m1", &start("env", json!({}))).send(&house).await;
    assert!(callbacks.next().await.text.contains("process"));
    let ended = callbacks.next().await.text;
    let lines = ended.lines().filter_map(|line| line.split_once('='));
    let seen: BTreeMap<_, _> = lines.collect();
    let session = |name: &str| seen[format!("HAVERSACK_SESSION_{name}").as_str()];
    assert_eq!(["PLATFORM", "SOURCE", "CHAT_TYPE"].map(session), ["webhook", "shop", "group"]);
    assert_eq!(["CHAT_ID", "THREAD_ID", "USER_ID", "MESSAGE_ID"].map(session), ["g7", "t9", "u-kim", "m1"]);
    assert_eq!(session("SCOPE_ID"), "", "what is bound to nothing is there, and empty");
    assert_eq!(session("CAN_DELIVER_LATER"), "true");
    assert!(session("KEY").ends_with("/chat=2:g7/thread=2:t9") && session("ID") == session("KEY"));
    assert_eq!(seen["LANG"], "C");
    let others: Vec<_> = seen.keys().filter(|name| !name.starts_with("HAVERSACK_SESSION_")).collect();
    assert!(
        others
            .iter()
            .all(|name| ["PATH", "LANG", "HOME", "TMPDIR", "PWD", "SHLVL", "_", "OLDPWD"].contains(*name)),
        "{others:?}"
    );
    assert!(!ended.contains("canary-4711") && !ended.contains("of the process"), "{ended}");
}

/// What is bound where a delivery is made, by the name of the delivery.
type Bound = Arc<std::sync::Mutex<Vec<(String, [String; 6])>>>;

fn notes_what_is_bound(bound: &Bound) -> Hooks {
    let bound = bound.clone();
    Hooks::default().around(move |id, work| {
        let here = [&PLATFORM, &CHAT_ID, &THREAD_ID, &USER_ID, &MESSAGE_ID, &SESSION_KEY];
        let here = here.map(|variable| variable.bound().unwrap_or_else(|| "unbound".to_owned()));
        bound.lock().unwrap().push((id.to_owned(), here));
        work
    })
}

#[tokio::test]
async fn an_end_is_told_as_the_conversation_that_started_it() {
    let (mut callbacks, bound) = (Callbacks::start().await, Bound::default());
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let mut options = with_commands(options(), folder.path());
    options.hooks = notes_what_is_bound(&bound);
    let accounts = vec![account("shop", "acme", &callbacks.origin)];
    let house = House::in_folder(folder, accounts, options, runs_what_is_said).await;
    let go = house.folder.path().join("go");
    let command = format!("until [ -e {} ]; do sleep 0.02; done", go.display());
    let post = Post::new("shop", "m1", &start(&command, json!({}))).in_group("family").in_thread("t9");
    post.calling(callbacks.url("/family")).send(&house).await;
    callbacks.next().await;
    Post::new("shop", "m2", "say hi").from("u-lee").calling(callbacks.url("/dm")).send(&house).await;
    assert_eq!(callbacks.next().await.path, "/dm");
    std::fs::write(&go, "").unwrap();
    assert_eq!(callbacks.next().await.path, "/family");
    let bound = bound.lock().unwrap();
    let (_, ended) = bound.iter().find(|(id, _)| id.starts_with("process-")).unwrap();
    let key = "gateway/platform=7:webhook/account=4:shop/type=5:group/chat=6:family/thread=2:t9";
    assert_eq!(*ended, ["webhook", "family", "t9", "u-kim", "m1", key]);
}

#[tokio::test]
async fn an_end_that_nobody_asked_for_is_not_told() {
    let mut callbacks = Callbacks::start().await;
    let house = open(vec![account("shop", "acme", &callbacks.origin)]).await;
    let process = started(&house, &mut callbacks, "m1", "echo over", json!({ "notify": false })).await;
    until(&house, "SELECT count(*) FROM gateway_processes WHERE state = 'ended'", 1).await;
    let polled = tell(&house, &mut callbacks, "m2", "poll", &process).await;
    assert!(polled.contains("\"ended\"") && polled.contains("over"), "who asks is told: {polled}");
    let told = "SELECT count(*) FROM gateway_deliveries WHERE id LIKE 'process-%'";
    assert_eq!(ask::<i64>(&house, told).await, 0);
    assert!(callbacks.rest().is_empty());
}

#[tokio::test]
async fn who_waits_takes_back_an_end_that_is_queued_already() {
    let mut callbacks = Callbacks::start().await;
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let mut options = with_commands(options(), folder.path());
    (options.ledger.attempts, options.ledger.dead_after) = (100_000, 100_000);
    let accounts = vec![account("shop", "acme", &callbacks.origin)];
    let house = House::in_folder(folder, accounts, options, runs_what_is_said).await;
    let go = house.folder.path().join("go");
    let command = format!("until [ -e {} ]; do sleep 0.02; done; echo over", go.display());
    let process = started(&house, &mut callbacks, "m1", &command, json!({})).await;
    // What is said first does not arrive, so what is said next waits behind it.
    callbacks.script("/in", (0..100_000).map(|_| Say::Status(503)));
    Post::new("shop", "m2", "say first").calling(callbacks.url("/in")).send(&house).await;
    callbacks.next().await;
    std::fs::write(&go, "").unwrap();
    let queued = "SELECT count(*) FROM gateway_deliveries WHERE id LIKE 'process-%' AND state = 'pending'";
    until(&house, queued, 1).await;
    let text = format!("process {}", json!({ "action": "wait", "id": process }));
    Post::new("shop", "m3", &text).calling(callbacks.url("/in")).send(&house).await;
    let withdrawn = "SELECT count(*) FROM gateway_deliveries WHERE id LIKE 'process-%'
                     AND state = 'abandoned' AND reason = 'withdrawn' AND sealed IS NULL";
    until(&house, withdrawn, 1).await;
    callbacks.script("/in", []);
    let told = loop {
        let heard = callbacks.next().await.text;
        assert!(!heard.contains("ended with exit code"), "it is told by the one who waited: {heard}");
        if heard != "first" {
            break heard;
        }
    };
    assert!(told.contains("\"ended\"") && told.contains("over"), "{told}");
    Post::new("shop", "m4", "say last").calling(callbacks.url("/in")).send(&house).await;
    assert_eq!(callbacks.next().await.text, "last");
}

/// An orderly stop ends no command: the next gateway tells that it was lost, when it is over, and once.
#[tokio::test]
async fn a_process_that_outlives_an_orderly_stop_is_told_by_the_next_gateway_once() {
    let mut callbacks = Callbacks::start().await;
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let house = open_in(folder, vec![account("shop", "acme", &callbacks.origin)]).await;
    let process = started(&house, &mut callbacks, "m1", "echo $$ > pid; exec sleep 600", json!({})).await;
    let pid = loop {
        let number: i64 = ask(&house, "SELECT pid FROM gateway_processes").await;
        if number > 0 {
            break number.to_string();
        }
    };
    let house = open_in(house.close().await, vec![account("shop", "acme", &callbacks.origin)]).await;
    // It runs, and nothing is said of it: it may yet do what it was started for.
    Post::new("shop", "m2", "say meanwhile").in_chat("c2").calling(callbacks.url("/dm")).send(&house).await;
    assert_eq!(callbacks.next().await.text, "meanwhile");
    assert!(tell(&house, &mut callbacks, "m3", "poll", &process).await.contains("running"));
    assert!(callbacks.rest().is_empty());
    assert!(std::process::Command::new("kill").args(["-9", &pid]).status().unwrap().success());
    let lost = callbacks.next().await;
    assert_eq!((lost.path.as_str(), &lost.body["in_reply_to"]), ("/in", &json!("m1")));
    assert!(lost.text.contains("was lost"), "{}", lost.text);
    let house = open_in(house.close().await, vec![account("shop", "acme", &callbacks.origin)]).await;
    Post::new("shop", "m4", "say last").in_chat("c2").calling(callbacks.url("/dm")).send(&house).await;
    assert_eq!(callbacks.next().await.text, "last");
    assert!(callbacks.rest().is_empty());
}

#[tokio::test]
async fn a_name_that_is_not_bound_is_stripped_from_what_a_child_inherits() {
    let house = open(vec![account("shop", "acme", "https://hooks.example.com")]).await;
    let processes = house.desk.processes().unwrap().clone();
    let output = house.inside("acme", "kim", async move {
        assert!(!THREAD_ID.is_bound());
        processes.run("env").await.unwrap().output
    });
    let output = output.await;
    assert!(output.contains("LANG=C"), "{output}");
    assert!(!output.contains("HAVERSACK_SESSION_"), "{output}");
}

#[test]
fn a_secret_cannot_be_put_on_the_list() {
    for secret in ["OPENAI_API_KEY", "github_token", "DB_PASSWORD", "AWS_SECRET_ACCESS", "BASIC_AUTH"] {
        let refused = Environment::new(inherited(), &[secret.to_owned()]).unwrap_err();
        assert!(matches!(refused, GatewayError::Config(_)), "{secret}");
    }
}

#[tokio::test]
async fn a_command_works_in_its_tenants_own_folder() {
    let shops = ["shop", "bank"].map(|name| account(name, name, "https://hooks.example.com"));
    let house = open(shops.to_vec()).await;
    Post::new("shop", "m1", &run("echo of the shop > note")).send(&house).await;
    let (_, bank) = Post::new("bank", "m1", &run("ls; cat note")).send(&house).await;
    assert!(!bank.to_string().contains("of the shop"), "{bank}");
    let (_, shop) = Post::new("shop", "m2", &run("cat note")).in_chat("c2").send(&house).await;
    assert!(shop.to_string().contains("of the shop"), "{shop}");
}

#[tokio::test]
async fn a_command_in_the_foreground_ends_with_everything_it_started_when_its_time_is_up() {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let mut options = with_commands(options(), folder.path());
    options.processes.as_mut().unwrap().foreground = Duration::from_millis(300);
    let house = House::in_folder(
        folder,
        vec![account("shop", "acme", "https://hooks.example.com")],
        options,
        runs_what_is_said,
    )
    .await;
    let command = run("echo $$ > pid; (sleep 60 & echo $! > grandchild; wait)");
    let (_, told) = Post::new("shop", "m1", &command).send(&house).await;
    assert!(told["text"].as_str().unwrap().contains("did not end in time"), "{told}");
    let (_, pids) = Post::new("shop", "m2", &run("cat pid grandchild")).send(&house).await;
    let output: Value = serde_json::from_str(pids["text"].as_str().unwrap()).unwrap();
    for pid in output["output"].as_str().unwrap().split_whitespace() {
        let gone = async {
            // A killed grandchild is a zombie until somebody reaps it.
            while std::fs::read_to_string(format!("/proc/{pid}/stat"))
                .is_ok_and(|stat| !stat.contains(") Z "))
            {
                // It is nobody's child here, so nobody is told of its end.
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), gone).await.expect("the process is gone");
    }
}

#[tokio::test]
async fn the_end_of_a_background_process_is_told_where_it_was_started_whatever_came_meanwhile() {
    let mut callbacks = Callbacks::start().await;
    let house = open(vec![account("shop", "acme", &callbacks.origin)]).await;
    let go = house.folder.path().join("go");
    let command = format!("until [ -e {} ]; do sleep 0.02; done; echo built; exit 3", go.display());
    let post = Post::new("shop", "m1", &start(&command, json!({}))).in_group("family").in_thread("t9");
    post.calling(callbacks.url("/family")).send(&house).await;
    assert!(callbacks.next().await.text.contains("process"));
    // Meanwhile somebody else writes, from elsewhere, and is answered there.
    Post::new("shop", "m2", "say hi")
        .in_chat("dm")
        .from("u-lee")
        .calling(callbacks.url("/dm"))
        .send(&house)
        .await;
    assert_eq!(callbacks.next().await.path, "/dm");
    std::fs::write(&go, "").unwrap();
    let told = callbacks.next().await;
    assert_eq!(told.path, "/family");
    assert_eq!(
        (&told.body["chat"], &told.body["thread"], &told.body["in_reply_to"]),
        (&json!("family"), &json!("t9"), &json!("m1"))
    );
    assert!(told.text.contains("ended with exit code 3") && told.text.contains("built"), "{}", told.text);
    // Once.
    Post::new("shop", "m3", "say hi").in_chat("dm").calling(callbacks.url("/dm")).send(&house).await;
    assert_eq!(callbacks.next().await.path, "/dm");
    assert!(callbacks.rest().is_empty());
}

/// Starts a process over the callback and gives its name.
pub(crate) async fn started(
    house: &House,
    callbacks: &mut Callbacks,
    id: &str,
    command: &str,
    more: Value,
) -> String {
    Post::new("shop", id, &start(command, more)).calling(callbacks.url("/in")).send(house).await;
    let told: Value = serde_json::from_str(&callbacks.next().await.text).unwrap();
    told["process"].as_str().unwrap().to_owned()
}

pub(crate) async fn tell(
    house: &House,
    callbacks: &mut Callbacks,
    id: &str,
    action: &str,
    process: &str,
) -> String {
    let text = format!("process {}", json!({ "action": action, "id": process }));
    Post::new("shop", id, &text).calling(callbacks.url("/in")).send(house).await;
    callbacks.next().await.text
}

#[tokio::test]
async fn poll_does_not_consume_the_end_and_wait_does() {
    let mut callbacks = Callbacks::start().await;
    let house = open(vec![account("shop", "acme", &callbacks.origin)]).await;
    let go = house.folder.path().join("go");
    let command = format!("until [ -e {} ]; do sleep 0.02; done; echo over", go.display());
    let polled = started(&house, &mut callbacks, "m1", &command, json!({})).await;
    assert!(tell(&house, &mut callbacks, "m2", "poll", &polled).await.contains("running"));
    std::fs::write(&go, "").unwrap();
    assert!(callbacks.next().await.text.contains("ended with exit code 0"), "a poll took nothing");
    assert!(tell(&house, &mut callbacks, "m3", "poll", &polled).await.contains("ended"));

    std::fs::remove_file(&go).unwrap();
    let waited = started(&house, &mut callbacks, "m4", &command, json!({})).await;
    let text = format!("process {}", json!({ "action": "wait", "id": waited }));
    Post::new("shop", "m5", &text).calling(callbacks.url("/in")).send(&house).await;
    // The turn waits. Only then does the process end.
    // Nothing tells that it does; when it did not yet, it would find the end, and say the same.
    tokio::time::sleep(Duration::from_millis(100)).await;
    std::fs::write(&go, "").unwrap();
    let told = callbacks.next().await.text;
    assert!(told.contains("\"ended\"") && told.contains("over"), "{told}");
    Post::new("shop", "m6", "say next").calling(callbacks.url("/in")).send(&house).await;
    assert_eq!(callbacks.next().await.text, "next", "the end was taken by the one who waited");
}

#[tokio::test]
async fn a_process_is_seen_by_its_session_alone() {
    let mut callbacks = Callbacks::start().await;
    let shops = ["shop", "bank"].map(|name| account(name, name, &callbacks.origin));
    let house = open(shops.to_vec()).await;
    let process = started(&house, &mut callbacks, "m1", "sleep 60", json!({})).await;
    for action in ["poll", "wait", "kill"] {
        let text = format!("process {}", json!({ "action": action, "id": process }));
        for post in [
            Post::new("shop", &format!("a{action}"), &text).in_chat("c2"),
            Post::new("bank", &format!("b{action}"), &text),
        ] {
            let (_, told) = post.send(&house).await;
            assert!(told["text"].as_str().unwrap().contains("no such process"), "{told}");
        }
    }
    let told = tell(&house, &mut callbacks, "m2", "kill", &process).await;
    assert!(told.contains("ended"), "{told}");
    Post::new("shop", "m3", "say next").calling(callbacks.url("/in")).send(&house).await;
    assert_eq!(callbacks.next().await.text, "next", "who ends a process need not be told");
}

#[tokio::test]
async fn watched_lines_are_told_and_a_flood_becomes_the_promise_of_the_end() {
    let mut callbacks = Callbacks::start().await;
    let house = open(vec![account("shop", "acme", &callbacks.origin)]).await;
    let command = "for i in $(seq 1 500); do echo error $i; echo fine $i; done";
    started(&house, &mut callbacks, "m1", command, json!({ "notify": false, "watch": ["error"] })).await;
    let mut heard = Vec::new();
    loop {
        let text = callbacks.next().await.text;
        let over = text.contains("ended with exit code");
        heard.push(text);
        if over {
            break;
        }
    }
    assert_eq!(heard.len(), 5, "{heard:?}");
    for (n, text) in heard[..3].iter().enumerate() {
        assert!(text.ends_with(&format!("says: error {}", n + 1)), "{text}");
    }
    assert!(heard[3].contains("says too much"), "{}", heard[3]);
}

#[tokio::test]
async fn a_channel_that_cannot_be_reached_later_gets_no_promise() {
    let house = open(vec![account("shop", "acme", "https://hooks.example.com")]).await;
    let (_, told) = Post::new("shop", "m1", &start("touch began", json!({}))).send(&house).await;
    let text = told["text"].as_str().unwrap();
    assert!(text.contains("cannot be reached after its answer") && text.contains("foreground"), "{text}");
    let (_, files) = Post::new("shop", "m2", &run("ls")).send(&house).await;
    assert!(!files.to_string().contains("began"), "nothing was started: {files}");
    assert!(!CAN_DELIVER_LATER.is_bound());
}

#[tokio::test]
async fn a_channel_that_cannot_be_reached_later_gets_the_foreground_where_that_is_configured() {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let mut options = with_commands(options(), folder.path());
    options.processes.as_mut().unwrap().inline = true;
    let house = House::in_folder(
        folder,
        vec![account("shop", "acme", "https://hooks.example.com")],
        options,
        runs_what_is_said,
    )
    .await;
    let (_, told) = Post::new("shop", "m1", &start("echo at once", json!({}))).send(&house).await;
    assert!(told["text"].as_str().unwrap().contains("at once"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_vanished_with_its_gateway_is_reported_as_lost_where_it_was_started() {
    let mut callbacks = Callbacks::start().await;
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let (path, origin) = (folder.path().to_owned(), callbacks.origin.clone());
    let action = start("echo $$ > pid; exec sleep 600", json!({}));
    let child = tokio::task::spawn_blocking(move || crate::kill::gateway_process(&path, &origin, &action));
    let mut child = child.await.unwrap();
    assert!(callbacks.next().await.text.contains("process"));
    child.kill().unwrap();
    child.wait().unwrap();

    // The answer may have been killed in the middle too; then it comes once more.
    let answers_again = crate::kill::lapse(folder.path()).await;
    // While it still runs nothing is reported: it may yet do what it was started for.
    let house = open_in(folder, vec![account("shop", "acme", &callbacks.origin)]).await;
    Post::new("shop", "m2", "say meanwhile").in_chat("c2").calling(callbacks.url("/dm")).send(&house).await;
    let mut paths = Vec::new();
    for _ in 0..=answers_again {
        paths.push(callbacks.next().await.path);
    }
    assert!(paths.contains(&"/dm".to_owned()), "{paths:?}");
    let (_, told) = Post::new("shop", "m3", &run("cat pid")).in_chat("c3").send(&house).await;
    let output: Value = serde_json::from_str(told["text"].as_str().unwrap()).unwrap();
    let pid = output["output"].as_str().unwrap().trim().to_owned();
    assert!(std::process::Command::new("kill").args(["-9", &pid]).status().unwrap().success());
    let lost = callbacks.next().await;
    assert_eq!((lost.path.as_str(), &lost.body["in_reply_to"]), ("/in", &json!("m1")));
    assert!(lost.text.contains("was lost"), "{}", lost.text);
    // Once, also over a further restart.
    let folder = house.close().await;
    let house = open_in(folder, vec![account("shop", "acme", &callbacks.origin)]).await;
    Post::new("shop", "m4", "say last").in_chat("c2").calling(callbacks.url("/dm")).send(&house).await;
    assert_eq!(callbacks.next().await.text, "last");
    assert!(callbacks.rest().is_empty());
}
