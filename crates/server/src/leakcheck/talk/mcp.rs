//! Tools over MCP: a client of each conversation begins a connection and calls tools in it, all tenants at once, under the
//! same names and the same numbers. Each call is made by a request of its own, and runs as that one: another tenant's key on
//! the same connection gets nothing, and what a call does is written down under its own request and not the connection's.

use reqwest::StatusCode;
use serde_json::{Value, json};

use super::{at_once, others};
use crate::leakcheck::canary::{Cell, Kind};
use crate::leakcheck::report::{Place, Report};
use crate::leakcheck::search::{mcp, replies};
use crate::leakcheck::stage::{Answer, Caller, Stage};
use crate::leakcheck::world::World;

pub(super) const PLANTS: &[Kind] = &[Kind::Fact, Kind::Attempt];

pub(super) const PLACES: &[Place] = &[
    Place::Answers,
    Place::Replies,
    Place::Recall,
    Place::Errors,
    Place::Logs,
    Place::Metrics,
    Place::Files,
    Place::Control,
];

/// The revision of the protocol that has connections.
const REVISION: &str = "2025-11-25";

pub(super) fn requests(world: &World) -> usize {
    world.cells().count() * 5
}

pub(super) async fn drive(world: &World, stage: &mut Stage, report: &mut Report) -> anyhow::Result<()> {
    let stage = &*stage;
    let mut connections = Vec::new();
    for (cell, answer) in at_once(stage, world.cells(), async |cell: Cell| {
        Ok((cell, begin(stage.kim(cell.tenant), cell).await?))
    })
    .await?
    {
        let id = answer.headers.get(SESSION).and_then(|id| id.to_str().ok());
        match id {
            Some(id) => connections.push((cell, id.to_owned())),
            None => {
                replies::answered(world, cell, "initialize", &answer, report);
            }
        }
    }
    let remember = |cell: Cell| {
        let fact = world.word(cell, Kind::Fact);
        json!({ "text": format!("The access word of ward {} is {fact}.", cell.session) })
    };
    let tried = |cell: Cell| json!({ "action": world.word(cell, Kind::Attempt), "outcome": "failed" });
    let recall = |cell: Cell| json!({ "query": format!("access word of ward {}", cell.session) });
    everyone(world, stage, report, &connections, "remember", remember).await?;
    everyone(world, stage, report, &connections, "note_attempt", tried).await?;
    for (cell, answer) in everyone(world, stage, report, &connections, "recall", recall).await? {
        mcp::recalled(world, cell, &answer, report);
    }
    let tries = connections.iter().flat_map(|one| others(world, one.0).map(|other| (one, other)));
    let foreign =
        at_once(stage, tries, async |((cell, id), (who, tenant, same_name)): (&(Cell, String), _)| {
            let caller = if same_name { stage.kim(tenant) } else { stage.lee(tenant) };
            Ok((*cell, who, call(caller, *cell, id, "recall", &recall(*cell)).await?))
        });
    let nobodys = Cell { tenant: 0, session: 0 };
    let unknown = call(stage.kim(0), nobodys, NEVER_WAS, "recall", &recall(nobodys)).await?;
    for (cell, who, answer) in foreign.await? {
        mcp::foreign(world, cell, who, &answer, &unknown, report);
    }
    Ok(())
}

const SESSION: &str = "mcp-session-id";

/// A connection that nobody began.
const NEVER_WAS: &str = "00000000-0000-0000-0000-000000000000";

/// Begins a connection.
async fn begin(caller: &Caller, cell: Cell) -> anyhow::Result<Answer> {
    let info = json!({ "name": "leakcheck", "version": "1" });
    let parameters = json!({ "protocolVersion": REVISION, "capabilities": {}, "clientInfo": info });
    let message = json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": parameters });
    let request = |what: &str| format!("{what}-{}-{}", cell.tenant, cell.session);
    let answer = post(caller, &request(mcp::BEGUN), &[], &message).await?;
    if let Some(id) = answer.headers.get(SESSION).and_then(|id| id.to_str().ok()) {
        let ready = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
        let headers = [(SESSION, id), ("mcp-protocol-version", REVISION)];
        post(caller, &request("mcp-ready"), &headers, &ready).await?;
    }
    Ok(answer)
}

async fn everyone(
    world: &World,
    stage: &Stage,
    report: &mut Report,
    connections: &[(Cell, String)],
    tool: &'static str,
    arguments: impl Fn(Cell) -> Value,
) -> anyhow::Result<Vec<(Cell, Answer)>> {
    let answers = at_once(stage, connections, async |(cell, id): &(Cell, String)| {
        Ok((*cell, call(stage.kim(cell.tenant), *cell, id, tool, &arguments(*cell)).await?))
    })
    .await?;
    for (cell, answer) in &answers {
        let error = answer.text.contains("\"isError\":true") || answer.text.contains("\"error\":");
        let status = if error { StatusCode::UNPROCESSABLE_ENTITY } else { answer.status };
        let (headers, text) = (answer.headers.clone(), answer.text.clone());
        replies::answered(world, *cell, tool, &Answer { status, headers, text }, report);
    }
    Ok(answers)
}

async fn call(
    caller: &Caller,
    cell: Cell,
    id: &str,
    tool: &str,
    arguments: &Value,
) -> anyhow::Result<Answer> {
    let parameters = json!({ "name": tool, "arguments": arguments });
    let message = json!({ "jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": parameters });
    let named = cell.session_name();
    let headers =
        [(SESSION, id), ("mcp-protocol-version", REVISION), (haversack_mcp::SESSION_HEADER, named.as_str())];
    post(caller, &format!("mcp-{tool}-{}-{}", cell.tenant, cell.session), &headers, &message).await
}

async fn post(
    caller: &Caller,
    request: &str,
    headers: &[(&str, &str)],
    message: &Value,
) -> anyhow::Result<Answer> {
    let own = [("accept", "application/json, text/event-stream"), ("x-request-id", request)];
    let headers: Vec<_> = own.iter().chain(headers).copied().collect();
    caller.post("/mcp", &headers, message).await
}
