//! The tools read where they are from the context, and speak elsewhere only with a grant.

use std::sync::Arc;

use haversack_agent::tool::Toolbox;
use serde_json::json;

use crate::callbacks::Callbacks;
use crate::house::{House, Post, account, echo, options};
use crate::processes::{open, with_commands};

fn send(arguments: serde_json::Value) -> String {
    format!("send_message {arguments}")
}

#[tokio::test]
async fn a_message_of_a_tool_goes_to_the_conversation_that_it_works_for() {
    let mut callbacks = Callbacks::start().await;
    let house = open(vec![account("shop", "acme", &callbacks.origin)]).await;
    let text = send(json!({ "text": "working on it" }));
    Post::new("shop", "m1", &text)
        .in_group("g")
        .in_thread("t")
        .calling(callbacks.url("/in"))
        .send(&house)
        .await;
    let (first, answer) = (callbacks.next().await, callbacks.next().await);
    assert_eq!(first.text, "working on it");
    assert!(answer.text.contains("delivery"), "the answer comes after it: {}", answer.text);
    for heard in [first, answer] {
        assert_eq!((&heard.body["chat"], &heard.body["thread"]), (&json!("g"), &json!("t")));
    }
}

#[tokio::test]
async fn a_message_to_another_chat_needs_a_grant_and_never_leaves_the_tenant() {
    let mut callbacks = Callbacks::start().await;
    let mut shop = account("shop", "acme", &callbacks.origin);
    shop.cross_post = serde_json::from_value(json!([{ "chat": "announcements" }])).unwrap();
    let mut bank = account("bank", "bank", &callbacks.origin);
    bank.cross_post = serde_json::from_value(json!([{ "chat": "*" }])).unwrap();
    let house = open(vec![shop, bank]).await;
    let url = callbacks.url("/in");
    let refused = [
        (json!({ "text": "psst", "to": { "chat": "boss" } }), "need a grant"),
        (json!({ "text": "psst", "to": { "chat": "any", "account": "bank" } }), "no such account"),
        (json!({ "text": "psst", "to": { "chat": "any", "account": "nowhere" } }), "no such account"),
    ];
    for (n, (arguments, why)) in refused.into_iter().enumerate() {
        Post::new("shop", &format!("m{n}"), &send(arguments)).calling(url.clone()).send(&house).await;
        let answer = callbacks.next().await;
        assert!(answer.text.contains(why), "{}", answer.text);
    }
    let text = send(json!({ "text": "news!", "to": { "chat": "announcements" } }));
    Post::new("shop", "m9", &text).calling(url).send(&house).await;
    let mut heard = [callbacks.next().await, callbacks.next().await];
    heard.sort_by_key(|heard| heard.body["chat"].to_string());
    assert_eq!((&heard[0].body["chat"], heard[0].text.as_str()), (&json!("announcements"), "news!"));
}

#[tokio::test]
async fn a_channel_that_cannot_be_reached_later_has_no_second_message() {
    let house = open(vec![account("shop", "acme", "https://hooks.example.com")]).await;
    let (_, told) = Post::new("shop", "m1", &send(json!({ "text": "working on it" }))).send(&house).await;
    assert!(told["text"].as_str().unwrap().contains("cannot be reached"), "{told}");
}

#[tokio::test]
async fn commands_are_there_only_where_they_are_configured() {
    let names = |house: &House| {
        let tools = Toolbox::new(haversack_gateway::tool::tools(&house.desk));
        tools.names().map(str::to_owned).collect::<Vec<_>>()
    };
    let shop = || vec![account("shop", "acme", "https://hooks.example.com")];
    assert_eq!(names(&House::open(shop(), echo()).await), ["schedule", "send_message"]);
    assert_eq!(names(&open(shop()).await), ["process", "schedule", "send_message", "terminal"]);
}

#[tokio::test]
async fn a_tool_outside_a_conversation_fails_its_turn() {
    let house = open(vec![account("shop", "acme", "https://hooks.example.com")]).await;
    let tools = Toolbox::new(haversack_gateway::tool::tools(&house.desk));
    for (name, arguments) in [
        ("send_message", json!({ "text": "x" })),
        ("schedule", json!({ "action": "create", "expression": "* * * * *", "prompt": "x" })),
        ("terminal", json!({ "command": "true" })),
        ("process", json!({ "action": "list" })),
    ] {
        let tool = tools.get(name).unwrap().clone();
        assert!(!tool.needs().is_empty(), "{name} says what it needs, so that it is offered nowhere else");
        let error = house.inside("acme", "kim", tool.call(arguments)).await.unwrap_err();
        assert!(matches!(error, haversack_agent::tool::ToolError::Unbound(_)), "{name}: {error}");
    }
}

#[tokio::test]
async fn commands_are_offered_to_their_tenants_and_where_somebody_may_approve() {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let origin = "https://hooks.example.com";
    let mut options = with_commands(options(), folder.path());
    let processes = options.processes.as_mut().unwrap();
    processes.ask = true;
    let tenants = ["acme", "bank"].map(|name| haversack::well_known::TenantId::new(name).unwrap());
    processes.tenants = Some(tenants.into_iter().collect());
    options.approvers =
        vec![crate::approvals::lee("acme", "shop", origin), crate::approvals::lee("other", "other", origin)];
    let accounts = vec![account("shop", "acme", origin), account("other", "other", origin)];
    let house = House::in_folder(folder, accounts, options, crate::processes::runs_what_is_said).await;
    let tools = Toolbox::new(haversack_gateway::tool::tools(&house.desk));
    for (tenant, offered) in [("acme", true), ("bank", false), ("other", false)] {
        for name in ["terminal", "process"] {
            let tool = tools.get(name).unwrap().clone();
            let here = house.inside(tenant, "kim", async move { tool.is_offered() }).await;
            assert_eq!(here, offered, "{name} for {tenant}");
        }
    }
}

#[tokio::test]
async fn a_command_that_is_not_approved_does_not_run() {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let mut options = with_commands(options(), folder.path());
    options.processes.as_mut().unwrap().ask = true;
    let accounts = vec![account("shop", "acme", "https://hooks.example.com")];
    let house = House::in_folder(folder, accounts, options, crate::processes::runs_what_is_said).await;
    let (_, told) = Post::new("shop", "m1", r#"terminal {"command":"touch ran"}"#).send(&house).await;
    assert!(told["text"].as_str().unwrap().contains("not approved"), "{told}");
    let work = house.folder.path().join("work");
    let made = std::fs::read_dir(&work).map(|tenants| tenants.flatten().count()).unwrap_or_default();
    assert_eq!(made, 0, "not even a folder was made");
}

/// Every file of this name below `folder`.
fn made(folder: &std::path::Path, name: &str) -> usize {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    let of = |entry: std::fs::DirEntry| match entry.path() {
        path if path.is_dir() => made(&path, name),
        path => usize::from(path.ends_with(name)),
    };
    entries.flatten().map(of).sum()
}

#[tokio::test]
async fn a_command_that_is_approved_runs_and_not_before() {
    let mut callbacks = Callbacks::start().await;
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let mut options = with_commands(options(), folder.path());
    options.processes.as_mut().unwrap().ask = true;
    options.patience = std::time::Duration::from_secs(600);
    options.approvers = vec![crate::approvals::lee("acme", "shop", &callbacks.origin)];
    let accounts = vec![account("shop", "acme", &callbacks.origin)];
    let house = House::in_folder(folder, accounts, options, crate::processes::runs_what_is_said).await;
    let work = house.folder.path().join("work");
    for (n, arguments) in
        [json!({ "command": "touch ran-0" }), json!({ "command": "touch ran-1", "background": true })]
            .into_iter()
            .enumerate()
    {
        let post = |id: String, text: String| Post::new("shop", &id, &text).calling(callbacks.url("/in"));
        post(format!("m{n}"), format!("terminal {arguments}")).send(&house).await;
        let question = callbacks.next().await.text;
        callbacks.next().await;
        assert!(question.contains(&format!("touch ran-{n}")), "the person sees what it is: {question}");
        assert_eq!(made(&work, &format!("ran-{n}")), 0, "not before");
        let (_, rest) = question.split_once("/approve ").unwrap();
        let id = rest.split('`').next().unwrap();
        let post = Post::new("shop", &format!("a{n}"), &format!("/approve {id}")).from("u-lee");
        let post = post.calling(callbacks.url("/in"));
        assert_eq!(post.send(&house).await.1["text"], "Approved.");
        let told = callbacks.next().await.text;
        assert!(!told.contains("refused"), "{told}");
        if n == 1 {
            assert!(callbacks.next().await.text.contains("ended with exit code 0"));
        }
        assert_eq!(made(&work, &format!("ran-{n}")), 1);
    }
}

const DECOY: &str = "HAVERSACK_LAWS_DECOY";

/// This law runs once more as a process of its own, whose environment names another conversation and which may read it.
#[test]
fn tools_read_the_conversation_and_not_the_environment() {
    let mut law = std::process::Command::new(std::env::current_exe().unwrap());
    law.args(["--exact", "tools::where_tools_are_is_said_by_the_context", "--nocapture"]).env(DECOY, "1");
    for name in
        ["PLATFORM", "SOURCE", "CHAT_ID", "CHAT_TYPE", "THREAD_ID", "USER_ID", "KEY", "MESSAGE_ID", "ID"]
    {
        law.env(format!("HAVERSACK_SESSION_{name}"), "decoy");
    }
    law.env("HAVERSACK_SESSION_CAN_DELIVER_LATER", "false");
    let ended = law.output().unwrap();
    let said = String::from_utf8_lossy(&ended.stdout).into_owned() + &String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success(), "{said}");
    assert!(said.contains("1 passed") && said.contains("the decoy was there"), "{said}");
}

#[tokio::test]
async fn where_tools_are_is_said_by_the_context() {
    if std::env::var_os(DECOY).is_some() {
        haversack::env::allow(|name| std::env::var(name).ok()).unwrap();
        assert_eq!(haversack_gateway::session::CHAT_ID.get().unwrap(), "decoy");
        println!("the decoy was there");
    }
    let mut callbacks = Callbacks::start().await;
    let house = open(vec![account("shop", "acme", &callbacks.origin)]).await;
    let url = callbacks.url("/in");
    let post =
        |id: &str, text: &str| Post::new("shop", id, text).in_group("g").in_thread("t").calling(url.clone());
    post("m1", &send(json!({ "text": "working on it" }))).send(&house).await;
    let create = json!({ "action": "create", "expression": "0 6 * * *", "prompt": "say hello" });
    let heard = [callbacks.next().await, callbacks.next().await];
    post("m2", &format!("schedule {create}")).send(&house).await;
    let made = callbacks.next().await;
    assert!(!made.text.contains("refused"), "{}", made.text);
    crate::lost::execute(&house, "UPDATE gateway_schedules SET next_at = 1").await;
    let run = callbacks.next().await;
    assert_eq!(run.text, "hello");
    for heard in heard.iter().chain([&made, &run]) {
        assert_eq!(
            (&heard.body["chat"], &heard.body["thread"]),
            (&json!("g"), &json!("t")),
            "{}",
            heard.text
        );
        assert!(!heard.body.to_string().contains("decoy"), "{}", heard.body);
    }
    // An empty thread is an answer, and nothing falls through to the environment.
    Post::new("shop", "m3", &send(json!({ "text": "here" })))
        .calling(callbacks.url("/in"))
        .send(&house)
        .await;
    let plain = callbacks.next().await;
    assert_eq!(plain.text, "here");
    assert_eq!((&plain.body["chat"], plain.body["thread"].as_str()), (&json!("c1"), None));
    // Nor does an environment make a conversation where there is none.
    let tools = Toolbox::new(haversack_gateway::tool::tools(&house.desk));
    for (name, arguments) in [("send_message", json!({ "text": "x" })), ("schedule", create)] {
        let tool = tools.get(name).unwrap().clone();
        let error = house.inside("acme", "kim", tool.call(arguments)).await.unwrap_err();
        assert!(matches!(error, haversack_agent::tool::ToolError::Unbound(_)), "{name}: {error}");
    }
}
