//! What a tool takes as its arguments: in no schema, made for each call, and the same in a task.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use haversack::well_known::{Cancel, Deadline, Principal, RequestId, SessionId, TenantId};
use haversack_agent::tool::{Tool, ToolError, ToolOutput};
use haversack_jobs::{AccessToken, Headers};
use haversack_mcp::{Args, Call, FromCall, McpOptions, Offer, Progress, TaskMode, mcp_tool};
use haversack_store::now_millis;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::house::{Client, House, TOKEN};
use super::tasks::Office;

#[derive(Deserialize, JsonSchema)]
struct Pages {
    pages: u64,
}

/// A type of one's own: how many were made before it.
struct Nth(usize);

impl FromCall for Nth {
    fn from_call(_: &Call) -> Result<Self, ToolError> {
        static MADE: AtomicUsize = AtomicUsize::new(0);
        Ok(Self(MADE.fetch_add(1, Ordering::SeqCst)))
    }
}

/// Takes this, alone and beside what the model writes.
fn taking<T: FromCall>(name: &str) -> [Arc<dyn Tool>; 2] {
    let beside =
        mcp_tool(&format!("{name}-beside"), "A tool.", |_: T, Args(written): Args<Pages>| async move {
            ToolOutput::json(&written.pages)
        });
    let alone = mcp_tool(&format!("{name}-alone"), "A tool.", |_: T| async { ToolOutput::json(&1) });
    [Arc::new(beside), Arc::new(alone)]
}

#[tokio::test]
async fn what_comes_from_the_context_is_in_no_schema() {
    let hidden = [
        taking::<Headers>("headers"),
        taking::<AccessToken>("token"),
        taking::<Progress>("progress"),
        taking::<Cancel>("cancel"),
        taking::<Option<Deadline>>("deadline"),
        taking::<TenantId>("tenant"),
        taking::<Principal>("principal"),
        taking::<SessionId>("session"),
        taking::<RequestId>("request"),
        taking::<Nth>("own"),
    ];
    let written = mcp_tool("written", "A tool.", |Args(written): Args<Pages>| async move {
        ToolOutput::json(&written.pages)
    });
    let house = House::offering(hidden.into_iter().flatten().chain([Arc::new(written) as _])).await;
    let mut client = house.client("acme", "kim");
    // Without a token its tools would not be listed.
    client.headers = vec![(TOKEN, "secret".to_owned() + " 9999999999999")];
    let list = client.ask("tools/list", json!({})).await;
    let tools = list.result()["tools"].as_array().unwrap();
    let schemas: BTreeMap<_, _> =
        tools.iter().map(|tool| (tool["name"].as_str().unwrap(), &tool["inputSchema"])).collect();
    let written = schemas["written"];
    assert_eq!(written["properties"].as_object().unwrap().keys().collect::<Vec<_>>(), ["pages"]);
    let nothing = json!({ "type": "object", "properties": {}, "additionalProperties": false });
    assert_eq!(schemas.len(), 21);
    for (name, schema) in &schemas {
        let expected = if name.ends_with("-alone") { &nothing } else { written };
        assert_eq!(schema, &expected, "{name}");
    }
}

/// What a call in the background, or at once, gave back.
async fn answer(office: &Office, client: &Client, tool: &str, arguments: Value) -> Value {
    let answer = client.call(tool, arguments).await;
    let answer = answer.result();
    if !client.tasks {
        return answer["structuredContent"].clone();
    }
    let id = answer["taskId"].as_str().unwrap();
    office.done(client, id).await["result"]["structuredContent"].clone()
}

#[tokio::test]
async fn headers_and_token_are_those_of_the_call_at_once_and_in_a_task() {
    let sees = mcp_tool("sees", "Tells its headers.", |headers: Headers, nth: Nth| async move {
        ToolOutput::json(&json!({ "headers": headers.iter().collect::<BTreeMap<_, _>>(), "nth": nth.0 }))
    });
    let acts = mcp_tool("acts", "Acts.", |headers: Headers, token: AccessToken| async move {
        let tracking = headers.get("X-Tracking").map(str::to_owned);
        ToolOutput::json(&json!({ "token": token.reveal().unwrap(), "tracking": tracking }))
    });
    let offer = Offer::new().with(Arc::new(sees)).with(Arc::new(acts));
    let offer = offer.in_background("sees", TaskMode::Optional).unwrap();
    let offer = offer.in_background("acts", TaskMode::Optional).unwrap();
    let options = McpOptions {
        headers: ["X-Tracking", "x-trial", "authorization", "cookie"].map(str::to_owned).to_vec(),
        ..McpOptions::default()
    };
    let folder = tempfile::tempdir().unwrap();
    let mut office = Office::at(&folder, options, offer).await;
    office.work();
    let mut in_session = office.house.client("acme", "kim");
    in_session.headers = vec![("x-tracking", "of-initialize".to_owned())];
    in_session.initialize().await;
    let mut made = HashSet::new();
    for mut kim in [office.house.client("acme", "kim"), in_session, office.client("acme", "kim")] {
        for n in ["7", "8"] {
            kim.headers = vec![
                (TOKEN, format!("token-{n} {}", now_millis() + 3_600_000)),
                ("x-tracking", n.to_owned()),
                ("x-other", "nobody asked for it".to_owned()),
                ("authorization", "Bearer key".to_owned()),
                ("cookie", "a=b".to_owned()),
            ];
            // What a model writes is no header.
            let forged = json!({ "headers": { "x-tracking": "forged" }, "x-trial": "forged" });
            let seen = answer(&office, &kim, "sees", forged).await;
            assert_eq!(seen["headers"], json!({ "x-tracking": n }), "in a task: {}", kim.tasks);
            assert!(made.insert(seen["nth"].as_u64().unwrap()), "made for another call: {seen}");
            let seen = answer(&office, &kim, "acts", json!({})).await;
            assert_eq!(seen, json!({ "token": format!("token-{n}"), "tracking": n }));
        }
        // What the call before had is gone, also for the same caller.
        kim.headers.clear();
        assert_eq!(answer(&office, &kim, "sees", json!({})).await["headers"], json!({}));
    }
}
