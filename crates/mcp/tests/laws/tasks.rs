//! Tasks: durable from the first moment, their owner's alone, and run in the context of their call.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use haversack::testing;
use haversack::well_known::{
    PRINCIPAL, Principal, REQUEST_ID, RequestId, SESSION_ID, SessionId, TENANT_ID, TenantId,
};
use haversack_agent::tool::{Tool, ToolError, ToolOutput};
use haversack_mcp::task::{TaskFuture, perform};
use haversack_mcp::{
    Finished, McpOptions, McpServer, OWNER, Offer, Progress, Task, TaskCall, TaskError, TaskMode, TaskState,
    Tasks, mcp_tool,
};
use haversack_store::now_millis;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::house::{Client, House, next, whoami};

/// A store of tasks in plain files: a folder a caller, a file a task.
#[derive(Clone)]
struct Files(PathBuf);

#[derive(Serialize, Deserialize)]
struct Kept {
    call: TaskCall,
    created_at: i64,
    finished: Option<Finished>,
    failed: bool,
    cancelled: bool,
    tenant: TenantId,
    principal: Principal,
    session: Option<SessionId>,
    request: Option<RequestId>,
}

impl Files {
    fn file(&self, id: &str) -> Result<PathBuf, TaskError> {
        let mine = self.0.join(TENANT_ID.get()?.as_str()).join(PRINCIPAL.get()?.as_str());
        Ok(mine.join(format!("{}.json", id.replace(['/', '.'], "_"))))
    }

    fn read(path: &Path) -> Result<Kept, TaskError> {
        let text = std::fs::read_to_string(path).map_err(|_| TaskError::Unknown)?;
        Ok(serde_json::from_str(&text).unwrap())
    }

    fn write(path: &Path, kept: &Kept) {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, serde_json::to_string(kept).unwrap()).unwrap();
    }

    fn task(id: &str, kept: Kept) -> Task {
        let state = match kept.finished {
            Some(finished) => TaskState::Completed(finished),
            None if kept.cancelled => TaskState::Cancelled,
            None if kept.failed => TaskState::Failed,
            None => TaskState::Working,
        };
        let (created_at, updated_at) = (kept.created_at, kept.created_at);
        Task { id: id.to_owned(), state, message: None, created_at, updated_at }
    }

    /// What a worker does, once: every open task, each in a context made of what its file says.
    async fn work(&self, offer: &Offer) {
        let mut open = Vec::new();
        for tenant in std::fs::read_dir(&self.0).unwrap() {
            for principal in std::fs::read_dir(tenant.unwrap().path()).unwrap() {
                for file in std::fs::read_dir(principal.unwrap().path()).unwrap() {
                    open.push(file.unwrap().path());
                }
            }
        }
        for path in open {
            let mut kept = Self::read(&path).unwrap();
            if kept.finished.is_some() || kept.cancelled {
                continue;
            }
            let visit = testing::enter(|bindings| {
                bindings
                    .bind(&TENANT_ID, kept.tenant.clone())
                    .bind(&PRINCIPAL, kept.principal.clone())
                    .bind_some(&SESSION_ID, kept.session.clone())
                    .bind_some(&REQUEST_ID, kept.request.clone())
            });
            match visit.wrap(perform(offer, kept.call.clone())).await {
                Ok(finished) => kept.finished = Some(finished),
                Err(_) => kept.failed = true,
            }
            Self::write(&path, &kept);
        }
    }
}

impl Tasks for Files {
    fn create(&self, call: TaskCall) -> TaskFuture<Task> {
        let id = format!("task-{}", next());
        let made = (|| {
            let kept = Kept {
                call,
                created_at: now_millis(),
                finished: None,
                failed: false,
                cancelled: false,
                tenant: TENANT_ID.get()?,
                principal: PRINCIPAL.get()?,
                session: SESSION_ID.get().ok(),
                request: REQUEST_ID.get().ok(),
            };
            Self::write(&self.file(&id)?, &kept);
            Ok(Self::task(&id, kept))
        })();
        Box::pin(std::future::ready(made))
    }

    fn get(&self, id: &str) -> TaskFuture<Task> {
        let found = self.file(id).and_then(|path| Self::read(&path)).map(|kept| Self::task(id, kept));
        Box::pin(std::future::ready(found))
    }

    fn cancel(&self, id: &str) -> TaskFuture<()> {
        let done = self.file(id).and_then(|path| {
            let mut kept = Self::read(&path)?;
            kept.cancelled = true;
            Self::write(&path, &kept);
            Ok(())
        });
        Box::pin(std::future::ready(done))
    }
}

fn slow() -> Arc<dyn Tool> {
    Arc::new(mcp_tool("slow", "Takes its time.", |session: SessionId, _: Progress| async move {
        ToolOutput::json(&json!({
            "tenant": TENANT_ID.get()?, "principal": PRINCIPAL.get()?, "request": REQUEST_ID.get()?,
            "session": session, "owner": OWNER.get()?.to_string(),
        }))
    }))
}

fn refuses() -> Arc<dyn Tool> {
    Arc::new(mcp_tool("refuses", "Says no.", |_: Progress| async { Err(ToolError::Refused("not today")) }))
}

fn breaks() -> Arc<dyn Tool> {
    let broken = || std::io::Error::other("a secret of the disk");
    Arc::new(mcp_tool("breaks", "Fails.", move |_: Progress| async move { Err(ToolError::Io(broken())) }))
}

fn offer() -> Offer {
    let offer = [slow(), refuses(), breaks(), whoami()].into_iter().fold(Offer::new(), Offer::with);
    let offer = offer.in_background("slow", TaskMode::Required).unwrap();
    let offer = offer.in_background("refuses", TaskMode::Optional).unwrap();
    offer.in_background("breaks", TaskMode::Required).unwrap()
}

async fn house(folder: &TempDir, options: McpOptions) -> House {
    let files = Files(folder.path().to_owned());
    House::of(McpServer::with_tasks(offer(), options, Arc::new(files))).await
}

fn speaks_tasks(mut client: Client) -> Client {
    client.tasks = true;
    client.named = Some("monday".to_owned());
    client
}

async fn begin(client: &Client, tool: &str) -> String {
    let answer = client.call_as(tool, json!({}), "r1").await;
    let result = answer.result();
    assert_eq!((&result["resultType"], &result["status"]), (&json!("task"), &json!("working")));
    result["taskId"].as_str().unwrap().to_owned()
}

async fn get(client: &Client, id: &str) -> Value {
    client.ask("tasks/get", json!({ "taskId": id })).await.last().clone()
}

#[tokio::test]
async fn a_task_is_there_at_once_and_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let first = house(&folder, McpOptions::default()).await;
    let client = speaks_tasks(first.client("acme", "kim"));
    let id = begin(&client, "slow").await;
    let seen = get(&client, &id).await;
    assert_eq!(seen["result"]["status"], "working");
    assert_eq!(seen["result"]["ttlMs"], 24 * 3600 * 1000);
    assert_eq!(seen["result"]["pollIntervalMs"], 1000);
    drop(first);
    // A worker of another process, and a server that was not there when the task was made.
    Files(folder.path().to_owned()).work(&offer()).await;
    let second = house(&folder, McpOptions::default()).await;
    let client = speaks_tasks(second.client("acme", "kim"));
    let done = get(&client, &id).await;
    assert_eq!(done["result"]["status"], "completed");
    assert_eq!(done["result"]["result"]["isError"], false);
}

#[tokio::test]
async fn the_tool_of_a_task_runs_in_the_context_of_its_call() {
    let folder = tempfile::tempdir().unwrap();
    let house = house(&folder, McpOptions::default()).await;
    let (kim, lou) = (speaks_tasks(house.client("acme", "kim")), speaks_tasks(house.client("globex", "lou")));
    let ids = [begin(&kim, "slow").await, begin(&lou, "slow").await];
    Files(folder.path().to_owned()).work(&offer()).await;
    let owner = format!("slow ({})", McpOptions::default().version);
    let mut sessions = Vec::new();
    for (client, id, tenant, principal) in [(&kim, &ids[0], "acme", "kim"), (&lou, &ids[1], "globex", "lou")]
    {
        let seen = get(client, id).await["result"]["result"]["structuredContent"].clone();
        assert_eq!((&seen["tenant"], &seen["principal"]), (&json!(tenant), &json!(principal)));
        assert_eq!((&seen["request"], &seen["owner"]), (&json!("r1"), &json!(owner)));
        sessions.push(seen["session"].clone());
    }
    assert_ne!(sessions[0], sessions[1]);
}

#[tokio::test]
async fn unknown_and_foreign_tasks_look_alike() {
    let folder = tempfile::tempdir().unwrap();
    let house = house(&folder, McpOptions::default()).await;
    let mine = speaks_tasks(house.client("acme", "kim"));
    let id = begin(&mine, "slow").await;
    for (tenant, principal) in [("acme", "lou"), ("globex", "kim")] {
        let other = speaks_tasks(house.client(tenant, principal));
        for method in ["tasks/get", "tasks/cancel", "tasks/update"] {
            let params = |id: &str| json!({ "taskId": id, "inputResponses": {} });
            let foreign = other.ask(method, params(&id)).await;
            let unknown = other.ask(method, params("task-0")).await;
            assert_eq!((foreign.status, foreign.error()), (unknown.status, unknown.error()), "{method}");
            assert_eq!(foreign.error()["code"], -32602);
        }
    }
    assert_eq!(get(&mine, &id).await["result"]["status"], "working", "nobody cancelled it");
    assert_eq!(mine.ask("tasks/update", json!({ "taskId": id, "inputResponses": {} })).await.status, 200);
    assert_eq!(mine.ask("tasks/cancel", json!({ "taskId": id })).await.status, 200);
    assert_eq!(get(&mine, &id).await["result"]["status"], "cancelled");
}

#[tokio::test]
async fn the_mode_of_a_tool_decides_with_what_its_client_speaks() {
    let folder = tempfile::tempdir().unwrap();
    let house = house(&folder, McpOptions::default()).await;
    let plain = house.client("acme", "kim");
    let speaks = speaks_tasks(plain.clone());
    // Forbidden: at once for everybody.
    assert_eq!(speaks.call("whoami", json!({})).await.result()["isError"], false);
    // Optional: by what the client speaks.
    assert_eq!(plain.call("refuses", json!({})).await.result()["content"][0]["text"], "not today");
    begin(&speaks, "refuses").await;
    // Required: not without.
    assert_eq!(plain.call("slow", json!({})).await.error()["code"], -32021);
    assert_eq!(plain.ask("tasks/get", json!({ "taskId": "task-0" })).await.error()["code"], -32021);
    let list = plain.ask("tools/list", json!({})).await;
    let mode = |name: &str| {
        let tools = list.result()["tools"].as_array().unwrap().iter();
        tools.clone().find(|tool| tool["name"] == name).unwrap()["_meta"]["haversack/taskSupport"].clone()
    };
    assert_eq!(
        (mode("slow"), mode("refuses"), mode("whoami")),
        ("required".into(), "optional".into(), Value::Null)
    );
    // In a session the client says once what it speaks.
    let mut old = house.client("acme", "kim");
    (old.tasks, old.named) = (true, Some("monday".to_owned()));
    old.initialize().await;
    let task = old.call("slow", json!({})).await;
    assert_eq!(task.result()["status"], "working");
    let got = get(&old, task.result()["taskId"].as_str().unwrap()).await;
    assert_eq!(got["result"]["status"], "working");
}

#[tokio::test]
async fn a_tool_that_demands_tasks_is_not_served_without_a_store() {
    assert!(McpServer::new(offer(), McpOptions::default()).is_err());
}

#[tokio::test]
async fn a_refusal_completes_a_task_and_a_failure_of_the_house_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let house = house(&folder, McpOptions::default()).await;
    let client = speaks_tasks(house.client("acme", "kim"));
    let (refused, broken) = (begin(&client, "refuses").await, begin(&client, "breaks").await);
    Files(folder.path().to_owned()).work(&offer()).await;
    let refused = get(&client, &refused).await;
    assert_eq!(refused["result"]["status"], "completed");
    assert_eq!(refused["result"]["result"]["isError"], true);
    assert_eq!(refused["result"]["result"]["content"][0]["text"], "not today");
    let broken = get(&client, &broken).await;
    assert_eq!(broken["result"]["status"], "failed");
    assert_eq!(broken["result"]["error"]["code"], -32603);
    assert!(!broken.to_string().contains("secret"));
}

#[tokio::test]
async fn a_task_past_its_time_is_unknown() {
    let folder = tempfile::tempdir().unwrap();
    let before = house(&folder, McpOptions::default()).await;
    let client = speaks_tasks(before.client("acme", "kim"));
    let id = begin(&client, "slow").await;
    let options = McpOptions { task_ttl: Some(Duration::ZERO), ..McpOptions::default() };
    let after = house(&folder, options).await;
    let client = speaks_tasks(after.client("acme", "kim"));
    assert_eq!(get(&client, &id).await["error"]["message"], "there is no such task; it may have expired");
}
