//! Tasks: durable from the first moment, their owner's alone, and run in the context of their call.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use haversack::testing::Isolated;
use haversack::well_known::{PRINCIPAL, REQUEST_ID, SESSION_ID, SessionId, TENANT_ID};
use haversack::{FutureExt, Manifest, manifest};
use haversack_agent::tool::{Tool, ToolError, ToolOutput};
use haversack_jobs::carried::{ACCESS_TOKEN, HEADERS};
use haversack_jobs::{
    AccessToken, Handlers, Headers, JobId, JobOptions, Jobs, NewJob, State, Worker, WorkerOptions,
};
use haversack_mcp::{JobTasks, McpOptions, McpServer, OWNER, Offer, Progress, TaskMode, mcp_tool};
use haversack_store::{KeyFile, Store, StoreOptions, now_millis};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::{Notify, mpsc};

use super::house::{Client, House, TOKEN, whoami};

/// What travels with a task.
static OUT: Manifest = manifest![TENANT_ID, PRINCIPAL; SESSION_ID, REQUEST_ID, HEADERS, ACCESS_TOKEN];

/// A server with a store of tasks, and a worker when it is told to.
pub(crate) struct Office {
    pub(crate) house: House,
    jobs: Jobs,
    offer: Offer,
    worker: Option<Arc<Notify>>,
    /// What a cancelled task has left to end by itself.
    grace: Duration,
    _folder: Option<TempDir>,
}

impl Office {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let office = Self::at(&folder, McpOptions::default(), offer()).await;
        Self { _folder: Some(folder), ..office }
    }

    pub(crate) async fn at(folder: &TempDir, options: McpOptions, offer: Offer) -> Self {
        let data = folder.path().join("data");
        let store = Store::open(&data, StoreOptions::default()).unwrap();
        let keys = KeyFile::open(&folder.path().join("keys"), &data).unwrap();
        let jobs = Jobs::new(store, keys, &OUT, JobOptions::default());
        let tasks = Arc::new(JobTasks::new(jobs.clone()).timeout(Duration::from_secs(60)));
        let house = House::of(McpServer::with_tasks(offer.clone(), options, tasks)).await;
        Self { house, jobs, offer, worker: None, grace: Duration::from_secs(60), _folder: None }
    }

    /// Starts a worker that does one job at a time, so that it is used again and again.
    pub(crate) fn work(&mut self) {
        let stop = Arc::new(Notify::new());
        self.worker = Some(stop.clone());
        let options = WorkerOptions { concurrency: 1, cancel_grace: self.grace, ..WorkerOptions::default() };
        let worker = Worker::new(self.jobs.clone(), JobTasks::on(Handlers::new(), &self.offer), options);
        haversack::spawn_detached(worker.run(async move { stop.notified().await }));
    }

    pub(crate) fn client(&self, tenant: &str, principal: &str) -> Client {
        speaks_tasks(self.house.client(tenant, principal))
    }

    /// Waits until the task of this caller is over, and gets it as a client does.
    pub(crate) async fn done(&self, client: &Client, id: &str) -> Value {
        let (tenant, principal) = client.who.split_once(' ').unwrap();
        let visitor = Isolated::new().tenant(tenant).principal(principal);
        let (jobs, id) = (self.jobs.clone(), id.parse::<JobId>().unwrap());
        visitor.wrap(async { jobs.wait(&id).await.unwrap() }).await;
        get(client, id.as_str()).await["result"].clone()
    }
}

fn slow() -> Arc<dyn Tool> {
    Arc::new(mcp_tool("slow", "Takes its time.", |session: SessionId, _: Progress| async move {
        ToolOutput::json(&json!({
            "tenant": TENANT_ID.get()?, "principal": PRINCIPAL.get()?, "request": REQUEST_ID.get()?,
            "session": session, "owner": OWNER.get()?.to_string(),
            "token": ACCESS_TOKEN.get().ok().map(|token| token.reveal().map(str::to_owned).ok()),
            "tracking": HEADERS.get().ok().and_then(|headers| headers.get("x-tracking").map(str::to_owned)),
            "headers": HEADERS.get().map(|headers| headers.iter().count()).ok(),
        }))
    }))
}

fn refuses() -> Arc<dyn Tool> {
    Arc::new(mcp_tool("refuses", "Says no.", |_: Progress| async { Err(ToolError::Refused("not today")) }))
}

fn breaks() -> Arc<dyn Tool> {
    // Reads what no task carries: a failure of the house that no repetition mends.
    static NOWHERE: haversack::ContextVar<u8> = haversack::ContextVar::new("nowhere");
    Arc::new(mcp_tool("breaks", "Fails.", |_: Progress| async { ToolOutput::json(&NOWHERE.get()?) }))
}

fn offer() -> Offer {
    let offer = [slow(), refuses(), breaks(), whoami()].into_iter().fold(Offer::new(), Offer::with);
    let offer = offer.in_background("slow", TaskMode::Required).unwrap();
    let offer = offer.in_background("refuses", TaskMode::Optional).unwrap();
    offer.in_background("breaks", TaskMode::Required).unwrap()
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

/// Two processes in turn: a runtime goes with everything that ran in it.
#[test]
fn a_task_is_there_at_once_and_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = || tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let id = runtime().block_on(async {
        let office = Office::at(&folder, McpOptions::default(), offer()).await;
        let client = office.client("acme", "kim");
        let id = begin(&client, "slow").await;
        let seen = get(&client, &id).await;
        assert_eq!(seen["result"]["status"], "working");
        // From its creation, though its time counts from its end.
        assert!(seen["result"]["ttlMs"].as_u64().unwrap() >= 24 * 3600 * 1000, "{seen}");
        assert_eq!(seen["result"]["pollIntervalMs"], 1000);
        id
    });
    runtime().block_on(async {
        let mut office = Office::at(&folder, McpOptions::default(), offer()).await;
        let client = office.client("acme", "kim");
        assert_eq!(get(&client, &id).await["result"]["status"], "working");
        office.work();
        let done = office.done(&client, &id).await;
        assert_eq!(done["status"], "completed");
        assert_eq!(done["result"]["structuredContent"]["tenant"], "acme");
    });
}

#[tokio::test]
async fn the_tool_of_a_task_runs_in_the_context_of_its_call() {
    let folder = tempfile::tempdir().unwrap();
    let options = McpOptions {
        headers: ["x-tracking", "authorization", "cookie"].map(str::to_owned).to_vec(),
        ..McpOptions::default()
    };
    let owner = format!("slow ({})", options.version);
    let mut office = Office::at(&folder, options, offer()).await;
    let (mut kim, lou) = (office.client("acme", "kim"), office.client("globex", "lou"));
    // Another session of the same principal.
    let mut other = lou.clone();
    other.named = Some("another".to_owned());
    kim.headers = vec![
        (TOKEN, format!("kims-token {}", now_millis() + 3_600_000)),
        ("x-tracking", "7".to_owned()),
        ("authorization", "Bearer key".to_owned()),
        ("cookie", "a=b".to_owned()),
    ];
    // One worker, one job at a time: what the first one had must be gone for the second.
    let mut begun = Vec::new();
    for _ in 0..3 {
        begun.push((&kim, begin(&kim, "slow").await, "acme", "kim"));
        begun.push((&lou, begin(&lou, "slow").await, "globex", "lou"));
        begun.push((&other, begin(&other, "slow").await, "globex", "lou"));
    }
    office.work();
    let mut sessions = HashSet::new();
    for (client, id, tenant, principal) in begun {
        let seen = office.done(client, &id).await["result"]["structuredContent"].clone();
        assert_eq!((&seen["tenant"], &seen["principal"]), (&json!(tenant), &json!(principal)));
        assert_eq!((&seen["request"], &seen["owner"]), (&json!("r1"), &json!(owner)));
        let (token, tracking, headers) = if principal == "kim" {
            (json!("kims-token"), json!("7"), 1)
        } else {
            (Value::Null, Value::Null, 0)
        };
        assert_eq!((&seen["token"], &seen["tracking"]), (&token, &tracking));
        assert_eq!(seen["headers"], headers, "a credential is no header");
        let at_once = client.call("whoami", json!({})).await.result()["structuredContent"].clone();
        assert_eq!(seen["session"], at_once["session"], "the session of the call");
        sessions.insert(seen["session"].as_str().unwrap().to_owned());
    }
    assert_eq!(sessions.len(), 3, "each client has its own");
}

#[tokio::test]
async fn a_task_whose_token_expired_while_it_waited_fails_before_its_tool_runs_and_says_why() {
    static RAN: AtomicUsize = AtomicUsize::new(0);
    let counts = mcp_tool("counts", "Counts.", |_: Progress| async {
        RAN.fetch_add(1, Ordering::SeqCst);
        ToolOutput::json(&1)
    });
    let folder = tempfile::tempdir().unwrap();
    let offer = Offer::new().with(Arc::new(counts)).in_background("counts", TaskMode::Optional).unwrap();
    let mut office = Office::at(&folder, McpOptions::default(), offer).await;
    let mut client = office.client("acme", "kim");
    // A slow machine may need longer until the task is submitted; the token must end after that and before its start.
    let mut lives = 100;
    let (id, end) = loop {
        let end = now_millis() + lives;
        client.headers = vec![(TOKEN, format!("brief {end}"))];
        let id = begin(&client, "counts").await;
        if now_millis() < end {
            break (id, end);
        }
        lives *= 2;
    };
    assert_eq!(get(&client, &id).await["result"]["status"], "working");
    while now_millis() <= end {
        // A token runs out by the wall clock, which tells nobody.
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    office.work();
    let failed = office.done(&client, &id).await;
    assert_eq!(failed["status"], "failed");
    assert_eq!(failed["error"]["data"], json!({ "reason": "token_expired" }));
    let told = failed["error"]["message"].as_str().unwrap();
    assert!(told.contains("the access token expired") && !told.contains("brief"), "{told}");
    assert_eq!(RAN.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_call_with_an_expired_token_is_an_error() {
    let act = mcp_tool("act", "Acts.", |token: AccessToken, headers: Headers| async move {
        assert_eq!(headers.iter().count(), 0);
        ToolOutput::json(&token.reveal().unwrap())
    });
    let house = House::offering([Arc::new(act) as _]).await;
    let mut client = house.client("acme", "kim");
    let without = client.call("act", json!({})).await;
    assert_eq!(without.result()["isError"], true);
    client.headers = vec![(TOKEN, format!("old {}", now_millis() - 1))];
    let expired = client.call("act", json!({})).await;
    assert_eq!(expired.result()["content"][0]["text"], "the access token has expired; get a new one");
    client.headers = vec![(TOKEN, format!("good {}", now_millis() + 3_600_000))];
    assert_eq!(client.call("act", json!({})).await.result()["content"][0]["text"], "good");
}

#[tokio::test]
async fn unknown_and_foreign_tasks_look_alike() {
    let office = Office::new().await;
    let mine = office.client("acme", "kim");
    let id = begin(&mine, "slow").await;
    for (tenant, principal) in [("acme", "lou"), ("globex", "kim")] {
        let other = office.client(tenant, principal);
        for method in ["tasks/get", "tasks/cancel", "tasks/update"] {
            let params = |id: &str| json!({ "taskId": id, "inputResponses": {} });
            let foreign = other.ask(method, params(&id)).await;
            for unknown in ["job_00000000000000000000000000000000", "no id at all"] {
                let unknown = other.ask(method, params(unknown)).await;
                assert_eq!((foreign.status, foreign.error()), (unknown.status, unknown.error()), "{method}");
            }
            assert_eq!(foreign.error()["code"], -32602);
        }
    }
    assert_eq!(get(&mine, &id).await["result"]["status"], "working", "nobody cancelled it");
    assert_eq!(mine.ask("tasks/update", json!({ "taskId": id, "inputResponses": {} })).await.status, 200);
    assert_eq!(mine.ask("tasks/cancel", json!({ "taskId": id })).await.status, 200);
    assert_eq!(get(&mine, &id).await["result"]["status"], "cancelled");
}

#[tokio::test]
async fn another_job_of_the_caller_is_no_task() {
    let office = Office::new().await;
    let client = office.client("acme", "kim");
    let jobs = office.jobs.clone();
    let (id, state) = Isolated::new()
        .tenant("acme")
        .principal("kim")
        .wrap(async move {
            let submitted = jobs.submit(NewJob::new("other", &()).unwrap()).await.unwrap();
            let id = submitted.id().unwrap().clone();
            client.ask("tasks/cancel", json!({ "taskId": id })).in_current_context().await;
            let state = jobs.get(&id).await.unwrap().state;
            (id, state)
        })
        .await;
    assert_eq!(state, State::Queued);
    assert!(get(&office.client("acme", "kim"), id.as_str()).await.get("error").is_some());
}

/// What was said when the tool of a task was dropped, and in whose context.
struct Dropped(mpsc::UnboundedSender<Option<String>>);

impl Drop for Dropped {
    fn drop(&mut self) {
        let _ = self.0.send(TENANT_ID.get().ok().map(String::from));
    }
}

#[tokio::test]
async fn a_cancelled_task_tells_its_tool_and_is_cancelled_whatever_the_tool_answers() {
    let (began, told, dropped) =
        (Arc::new(Notify::new()), Arc::new(Notify::new()), mpsc::unbounded_channel());
    let (started, heard, gone) = (began.clone(), told.clone(), dropped.0);
    // One answers when it is told; one waits for what never comes.
    let wait = |name: &str, answers: bool| -> Arc<dyn Tool> {
        let (began, told, gone) = (started.clone(), heard.clone(), gone.clone());
        Arc::new(mcp_tool(name, "Waits.", move |cancel: haversack::well_known::Cancel| {
            let (began, told, dropped) = (began.clone(), told.clone(), Dropped(gone.clone()));
            async move {
                let _dropped = dropped;
                began.notify_one();
                cancel.cancelled().await;
                told.notify_one();
                if !answers {
                    std::future::pending::<()>().await;
                }
                ToolOutput::json(&"stopped")
            }
        }))
    };
    let mut dropped = dropped.1;
    let offer = Offer::new().with(wait("answers", true)).with(wait("stays", false));
    let offer = offer.in_background("answers", TaskMode::Required).unwrap();
    let offer = offer.in_background("stays", TaskMode::Required).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut office = Office::at(&folder, McpOptions::default(), offer).await;
    office.grace = Duration::from_millis(50);
    office.work();
    let client = office.client("acme", "kim");
    for tool in ["answers", "stays"] {
        let id = begin(&client, tool).await;
        began.notified().await;
        assert_eq!(get(&client, &id).await["result"]["status"], "working", "it waits");
        assert_eq!(client.ask("tasks/cancel", json!({ "taskId": id })).await.status, 200);
        told.notified().await;
        let done = office.done(&client, &id).await;
        assert_eq!(done["status"], "cancelled", "{tool}");
        assert!(done.get("result").is_none(), "{done}");
        assert_eq!(dropped.recv().await, Some(Some("acme".to_owned())), "dropped inside its own context");
    }
}

#[tokio::test]
async fn the_progress_of_a_task_is_its_message() {
    let (said, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (inner_said, inner_go) = (said.clone(), go.clone());
    let steps = mcp_tool("steps", "Works in steps.", move |progress: Progress| {
        let (said, go) = (inner_said.clone(), inner_go.clone());
        async move {
            progress.report(2, Some(3), Some("reading page two")).await;
            said.notify_one();
            go.notified().await;
            ToolOutput::json(&"done")
        }
    });
    let folder = tempfile::tempdir().unwrap();
    let offer = Offer::new().with(Arc::new(steps)).in_background("steps", TaskMode::Required).unwrap();
    let mut office = Office::at(&folder, McpOptions::default(), offer).await;
    office.work();
    let client = office.client("acme", "kim");
    let id = begin(&client, "steps").await;
    said.notified().await;
    assert_eq!(get(&client, &id).await["result"]["statusMessage"], "reading page two");
    go.notify_one();
    assert_eq!(office.done(&client, &id).await["status"], "completed");
}

#[tokio::test]
async fn the_mode_of_a_tool_decides_with_what_its_client_speaks() {
    let office = Office::new().await;
    let plain = office.house.client("acme", "kim");
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
        let mut tools = list.result()["tools"].as_array().unwrap().iter();
        tools.find(|tool| tool["name"] == name).unwrap()["_meta"]["haversack/taskSupport"].clone()
    };
    assert_eq!(
        (mode("slow"), mode("refuses"), mode("whoami")),
        ("required".into(), "optional".into(), Value::Null)
    );
    // A revision with sessions has no tasks, whatever its client lists.
    let mut old = office.house.client("acme", "kim");
    old.tasks = true;
    old.initialize().await;
    assert_eq!(old.call("refuses", json!({})).await.result()["content"][0]["text"], "not today");
    assert_eq!(old.call("slow", json!({})).await.error()["code"], -32021);
    assert_eq!(old.ask("tasks/get", json!({ "taskId": "task-0" })).await.error()["code"], -32601);
}

#[tokio::test]
async fn a_tool_that_demands_tasks_is_not_served_without_a_store() {
    assert!(McpServer::new(offer(), McpOptions::default()).is_err());
}

#[tokio::test]
async fn a_refusal_completes_a_task_and_a_failure_of_the_house_does_not() {
    let mut office = Office::new().await;
    let client = office.client("acme", "kim");
    let (refused, broken) = (begin(&client, "refuses").await, begin(&client, "breaks").await);
    office.work();
    let job = refused.parse::<JobId>().unwrap();
    let refused = office.done(&client, &refused).await;
    // What is an answer to the client is a failure to the owner of the job.
    let kim = Isolated::new().tenant("acme").principal("kim");
    assert_eq!(kim.wrap(async { office.jobs.get(&job).await }).await.unwrap().state, State::Failed);
    assert_eq!(refused["status"], "completed");
    assert_eq!(refused["result"]["isError"], true);
    assert_eq!(refused["result"]["content"][0]["text"], "not today");
    let broken = office.done(&client, &broken).await;
    assert_eq!(broken["status"], "failed");
    assert_eq!(broken["error"]["code"], -32603);
    assert_eq!(broken["error"]["data"], json!({ "reason": "handler", "code": "mcp_tool" }));
    assert!(!broken.to_string().contains("unbound"), "{broken}");
}

#[test]
fn a_task_is_unknown_when_its_time_after_its_end_is_up_and_not_before() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = || tokio::runtime::Runtime::new().unwrap();
    let id = runtime().block_on(async {
        let office = Office::at(&folder, McpOptions::default(), offer()).await;
        begin(&office.client("acme", "kim"), "slow").await
    });
    runtime().block_on(async {
        let options = McpOptions { task_ttl: Some(Duration::ZERO), ..McpOptions::default() };
        let office = Office::at(&folder, options, offer()).await;
        let client = office.client("acme", "kim");
        assert_eq!(get(&client, &id).await["result"]["status"], "working");
        let cancelled = client.ask("tasks/cancel", json!({ "taskId": id })).await;
        assert!(cancelled.last().get("error").is_none(), "{}", cancelled.text);
        for method in ["tasks/get", "tasks/cancel", "tasks/update"] {
            let answer = client.ask(method, json!({ "taskId": id, "inputResponses": {} })).await;
            assert_eq!(answer.error()["message"], "there is no such task; it may have expired");
        }
    });
}
