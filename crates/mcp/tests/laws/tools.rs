//! Tools: what is shown, how they answer, how they fail.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use haversack::well_known::{CANCEL, Cancel, Principal, RequestId, TENANT_ID, TenantId};
use haversack_agent::tool::{Tool, ToolError, ToolOutput, tool};
use haversack_mcp::{Args, Call, FromCall, McpOptions, McpServer, Offer, Progress, mcp_tool};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::Notify;

use super::house::{House, offer, whoami};

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Sum {
    a: i64,
    b: i64,
}

fn plain(name: &'static str, run: fn() -> Result<ToolOutput, ToolError>) -> Arc<dyn Tool> {
    Arc::new(mcp_tool(name, "A tool.", move |_: Progress| async move { run() }))
}

fn text(result: &Value) -> &str {
    result["content"][0]["text"].as_str().unwrap()
}

#[tokio::test]
async fn only_what_is_offered_is_there() {
    let toolbox = haversack_agent::tool::Toolbox::new([whoami(), plain("hidden", || ToolOutput::json(&1))]);
    let offer = Offer::new().of(&toolbox, ["whoami"]).unwrap();
    assert!(Offer::new().of(&toolbox, ["nothing"]).is_err());
    let house = House::of(McpServer::new(offer, McpOptions::default()).unwrap()).await;
    let client = house.client("acme", "kim");
    let list = client.ask("tools/list", json!({})).await;
    let names: Vec<_> = list.result()["tools"].as_array().unwrap().iter().map(|tool| &tool["name"]).collect();
    assert_eq!(names, ["whoami"]);
    assert_eq!(client.call("hidden", json!({})).await.error()["code"], -32602);
}

#[tokio::test]
async fn a_tool_that_the_gate_hides_looks_like_none() {
    let gate =
        |name: &str| name != "hidden" || TENANT_ID.with(|tenant| tenant.as_str() == "acme").unwrap_or(false);
    let tools = offer([whoami(), plain("hidden", || ToolOutput::json(&1))]);
    let house = House::of(McpServer::new(tools, McpOptions::default()).unwrap().gated(gate)).await;
    let (may, may_not) = (house.client("acme", "kim"), house.client("globex", "kim"));
    let count = |list: &Value| list["tools"].as_array().unwrap().len();
    assert_eq!(count(may.ask("tools/list", json!({})).await.result()), 2);
    assert_eq!(count(may_not.ask("tools/list", json!({})).await.result()), 1);
    assert_eq!(may.call("hidden", json!({})).await.result()["isError"], false);
    let hidden = may_not.call("hidden", json!({})).await;
    let absent = may_not.call("absent", json!({})).await;
    assert_eq!(hidden.error(), absent.error());
}

#[tokio::test]
async fn the_context_is_hidden_from_the_schema_and_made_for_each_call() {
    static MADE: AtomicUsize = AtomicUsize::new(0);
    struct Doubled(i64, usize);
    impl FromCall for Doubled {
        fn from_call(call: &Call) -> Result<Self, ToolError> {
            let doubled = call.arguments()["a"].as_i64().unwrap_or_default() * 2;
            Ok(Self(doubled, MADE.fetch_add(1, Ordering::SeqCst)))
        }
    }
    let sum = mcp_tool(
        "sum",
        "Adds.",
        |tenant: TenantId,
         own: Doubled,
         Args(sum): Args<Sum>,
         who: Principal,
         id: RequestId,
         cancel: Cancel| async move {
            assert!(!cancel.is_cancelled());
            ToolOutput::json(&json!({
                "sum": sum.a + sum.b, "own": own.0, "nth": own.1, "for": format!("{tenant}/{who}/{id}"),
            }))
        },
    );
    let house = House::offering([Arc::new(sum) as _]).await;
    // The last two are the same but for their request.
    let calls = [("acme", "kim", "r1", 1), ("globex", "lou", "r2", 20), ("globex", "lou", "r3", 20)];
    let mut made = HashSet::new();
    for (tenant, principal, request, a) in calls {
        let client = house.client(tenant, principal);
        let list = client.ask("tools/list", json!({})).await;
        let schema = &list.result()["tools"][0]["inputSchema"];
        let written: Vec<_> = schema["properties"].as_object().unwrap().keys().collect();
        assert_eq!(written, ["a", "b"]);
        let answer = client.call_as("sum", json!({ "a": a, "b": 2 }), request).await;
        let seen = &answer.result()["structuredContent"];
        assert_eq!((&seen["sum"], &seen["own"]), (&json!(a + 2), &json!(a * 2)));
        assert_eq!(seen["for"], format!("{tenant}/{principal}/{request}"));
        assert!(made.insert(seen["nth"].as_u64().unwrap()), "made for another call: {seen}");
        // A model cannot write what is hidden.
        let forged = client.call("sum", json!({ "a": 1, "b": 2, "tenant": "other" })).await;
        assert_eq!(forged.result()["isError"], true);
    }
}

#[tokio::test]
async fn json_is_structured_and_words_are_text() {
    let tools = [
        plain("object", || ToolOutput::json(&json!({ "n": 1 }))),
        plain("words", || ToolOutput::json(&"in words")),
        plain("list", || ToolOutput::json(&[1, 2])),
    ];
    let house = House::offering(tools).await;
    let mut client = house.client("acme", "kim");
    let object = client.call("object", json!({})).await;
    assert_eq!(object.result()["structuredContent"], json!({ "n": 1 }));
    assert_eq!(text(object.result()), r#"{"n":1}"#);
    let words = client.call("words", json!({})).await;
    assert_eq!((text(words.result()), words.result().get("structuredContent")), ("in words", None));
    assert_eq!(client.call("list", json!({})).await.result()["structuredContent"], json!([1, 2]));
    // The older revision knows objects only.
    client.initialize().await;
    let list = client.call("list", json!({})).await;
    assert_eq!((text(list.result()), list.result().get("structuredContent")), ("[1,2]", None));
}

#[tokio::test]
async fn a_failure_of_the_house_is_masked_and_others_are_told() {
    let tools = [
        plain("io", || Err(std::io::Error::other("/srv/acme/secret-file").into())),
        plain("internal", || Err(ToolError::Internal("a secret of the house"))),
        plain("refused", || Err(ToolError::Refused("the text is too long"))),
        plain("panics", || panic!("a secret in a panic")),
    ];
    let house = House::offering(tools).await;
    let client = house.client("acme", "kim");
    for (name, expected) in [
        ("io", "the tool failed; the server's log has more under request r7"),
        ("internal", "the tool failed; the server's log has more under request r7"),
        ("refused", "the text is too long"),
        ("panics", "the tool panicked"),
    ] {
        let answer = client.call_as(name, json!({}), "r7").await;
        assert_eq!((text(answer.result()), &answer.result()["isError"]), (expected, &json!(true)));
        assert!(!answer.text.contains("secret"), "{}", answer.text);
    }
}

static TICKET: haversack::ContextVar<u64> = haversack::ContextVar::new("ticket");

#[tokio::test]
async fn a_tool_whose_variable_is_unbound_is_neither_listed_nor_called() {
    let called = Arc::new(AtomicBool::new(false));
    let seen = called.clone();
    let needs = tool("needs", "Needs a ticket.", move |_: Value| {
        seen.store(true, Ordering::SeqCst);
        async { ToolOutput::json(&TICKET.get()?) }
    });
    let house = House::offering([Arc::new(needs.needing(&[&TICKET])) as _, whoami()]).await;
    let client = house.client("acme", "kim");
    let listed = client.ask("tools/list", json!({})).await;
    assert_eq!(listed.result()["tools"].as_array().unwrap().len(), 1, "{}", listed.text);
    let answer = client.call("needs", json!({})).await;
    assert_eq!(answer.result()["isError"], true);
    assert!(text(answer.result()).contains("`ticket`"), "{}", answer.text);
    assert!(!called.load(Ordering::SeqCst));
}

#[tokio::test]
async fn a_client_without_sessions_has_one_that_is_its_principals_alone() {
    let house = House::offering([whoami()]).await;
    let seen = async |tenant: &str, principal: &str, named: Option<&str>| {
        let mut client = house.client(tenant, principal);
        client.named = named.map(str::to_owned);
        let answer = client.call("whoami", json!({})).await;
        answer.result()["structuredContent"]["session"].as_str().unwrap().to_owned()
    };
    let mine = seen("acme", "kim", None).await;
    assert_eq!(seen("acme", "kim", None).await, mine);
    assert_ne!(seen("acme", "lou", None).await, mine);
    assert_ne!(seen("acme", "kim", Some("default")).await, mine, "a name that is chosen is none of ours");
}

#[tokio::test]
async fn a_call_ends_when_its_time_is_up() {
    let stuck = mcp_tool("stuck", "Never ends.", |_: Progress| std::future::pending());
    let options = McpOptions { call_timeout: Duration::from_millis(20), ..McpOptions::default() };
    let house = House::of(McpServer::new(offer([Arc::new(stuck) as _]), options).unwrap()).await;
    let answer = house.client("acme", "kim").call("stuck", json!({})).await;
    assert_eq!(answer.result()["isError"], true);
    assert!(text(answer.result()).contains("did not end within"));
}

#[tokio::test]
async fn progress_reaches_the_client_that_asked_for_it() {
    let steps = mcp_tool("steps", "Works in steps.", |progress: Progress| async move {
        for step in [1, 2, 2, 3] {
            progress.report(step, Some(3), Some("working")).await;
        }
        ToolOutput::json(&"done")
    });
    let house = House::offering([Arc::new(steps) as _]).await;
    let mut client = house.client("acme", "kim");
    for in_session in [false, true] {
        if in_session {
            client.initialize().await;
        }
        let asked = json!({ "name": "steps", "_meta": { "progressToken": "p1" } });
        let answer = client.ask("tools/call", asked).await;
        let told = answer.messages.iter().filter(|one| one["method"] == "notifications/progress");
        let told: Vec<_> =
            told.map(|one| (one["params"]["progress"].as_f64(), &one["params"]["progressToken"])).collect();
        let token = json!("p1");
        assert_eq!(told, [(Some(1.0), &token), (Some(2.0), &token), (Some(3.0), &token)]);
        assert_eq!(text(answer.result()), "done");
        let silent = client.call("steps", json!({})).await;
        assert!(silent.messages.iter().all(|one| one.get("method").is_none()));
    }
}

/// A tool that says when it began, waits until it is cancelled, and says that it was.
fn waiting() -> (Arc<dyn Tool>, Arc<Notify>, Arc<Notify>) {
    let (began, cancelled) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (inner_began, inner_cancelled) = (began.clone(), cancelled.clone());
    let wait = mcp_tool("wait", "Waits.", move |cancel: Cancel| {
        let (began, cancelled) = (inner_began.clone(), inner_cancelled.clone());
        async move {
            began.notify_one();
            cancel.cancelled().await;
            assert!(CANCEL.get()?.is_cancelled());
            cancelled.notify_one();
            ToolOutput::json(&"cancelled")
        }
    });
    (Arc::new(wait), began, cancelled)
}

#[tokio::test]
async fn a_client_that_goes_away_cancels_its_call() {
    let (wait, began, cancelled) = waiting();
    let house = House::offering([wait]).await;
    let client = house.client("acme", "kim");
    let call = haversack::spawn(async move { client.call("wait", json!({})).await });
    began.notified().await;
    call.abort();
    within_a_minute(cancelled.notified()).await;
}

#[tokio::test]
async fn a_cancelled_message_of_a_session_cancels_its_call_and_no_other() {
    let (wait, began, cancelled) = waiting();
    let house = House::offering([wait]).await;
    let mut client = house.client("acme", "kim");
    client.initialize().await;
    let (message, headers) = client.message("tools/call", json!({ "name": "wait" }), "r");
    let id = message["id"].clone();
    let calling = client.clone();
    let call = haversack::spawn(async move {
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        calling.post(&message, &headers).await.status
    });
    began.notified().await;
    // Another session of the same caller has nothing under that id.
    let mut other = house.client("acme", "kim");
    other.initialize().await;
    let cancel =
        json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": { "requestId": id } });
    assert_eq!(other.post(&cancel, &[]).await.status, 202);
    assert_eq!(other.ask("tools/list", json!({})).await.status, 200);
    assert!(!call.is_finished());
    assert_eq!(client.post(&cancel, &[]).await.status, 202);
    within_a_minute(cancelled.notified()).await;
    call.abort();
}

#[tokio::test]
async fn a_call_that_does_not_mind_being_cancelled_is_dropped() {
    struct Dropped(Arc<Mutex<Option<String>>>, Arc<Notify>);
    impl Drop for Dropped {
        fn drop(&mut self) {
            *self.0.lock().unwrap() = TENANT_ID.get().ok().map(String::from);
            self.1.notify_one();
        }
    }
    let (seen, dropped, began) =
        (Arc::new(Mutex::new(None)), Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (inner, ended, started) = (seen.clone(), dropped.clone(), began.clone());
    let stuck = mcp_tool("stuck", "Never ends.", move |_: Progress| {
        let guard = Dropped(inner.clone(), ended.clone());
        let started = started.clone();
        async move {
            let _guard = guard;
            started.notify_one();
            std::future::pending().await
        }
    });
    let options = McpOptions { cancel_grace: Duration::from_millis(1), ..McpOptions::default() };
    let house = House::of(McpServer::new(offer([Arc::new(stuck) as _]), options).unwrap()).await;
    let client = house.client("acme", "kim");
    let call = haversack::spawn(async move { client.call("stuck", json!({})).await });
    began.notified().await;
    call.abort();
    within_a_minute(dropped.notified()).await;
    assert_eq!(seen.lock().unwrap().as_deref(), Some("acme"), "it is dropped inside its own context");
}

/// What never comes is a red test and not one that hangs.
async fn within_a_minute(event: impl Future<Output = ()>) {
    tokio::time::timeout(Duration::from_secs(60), event).await.unwrap();
}
