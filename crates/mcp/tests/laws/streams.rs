//! Each call over a stream runs in the context of its own caller: in one process, and in a child over standard input and
//! output, in both revisions of the protocol.

use std::collections::HashSet;
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use futures_util::future::join_all;
use haversack::testing::Isolated;
use haversack::well_known::{Cancel, PRINCIPAL, REQUEST_ID, RequestId, TENANT_ID};
use haversack::{Refused, Visit};
use haversack_agent::tool::{Tool, ToolOutput};
use haversack_mcp::{McpOptions, McpServer, Progress, mcp_tool};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::{Barrier, Mutex, Notify, mpsc};

use super::house::{CALLS, House, NEW, OLD, offer, whoami};

/// Who calls the child, as `tenant principal`.
const CHILD: &str = "HAVERSACK_MCP_LAW_CHILD";
/// Calls of each transport that meet.
const MEET: usize = 20;

/// Enters anew for each message, as this caller, with a request of its own.
fn door(tenant: String, principal: String) -> impl Fn() -> Result<Visit, Refused> + Send + Sync + 'static {
    let asked = AtomicUsize::new(0);
    move || {
        let request = format!("{tenant}-{}", asked.fetch_add(1, Ordering::SeqCst));
        let caller = Isolated::new().tenant(&tenant).principal(&principal);
        Ok(caller.bind(&REQUEST_ID, RequestId::new(request).unwrap()).visit())
    }
}

fn server(tools: impl IntoIterator<Item = Arc<dyn Tool>>) -> McpServer {
    McpServer::new(offer(tools), McpOptions { calls: 1_000, ..McpOptions::default() }).unwrap()
}

/// The client's end of a stream.
struct Line<R, W> {
    read: BufReader<R>,
    write: W,
    revision: &'static str,
}

impl<R: AsyncRead + Unpin, W: AsyncWrite + Unpin> Line<R, W> {
    fn new(read: R, write: W, revision: &'static str) -> Self {
        Self { read: BufReader::new(read), write, revision }
    }

    /// The first words: the newer revision has none, and may ask what there is.
    async fn begin(&mut self) {
        if self.revision == NEW {
            self.say(&[self.request(0, "server/discover", json!({}))]).await;
            let versions = self.message().await["result"]["supportedVersions"].clone();
            assert!(versions.as_array().unwrap().contains(&json!(NEW)), "{versions}");
            return;
        }
        let params = json!({
            "protocolVersion": OLD, "capabilities": {}, "clientInfo": { "name": "law", "version": "1" },
        });
        self.say(&[json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params })]).await;
        let info = self.message().await["result"].clone();
        assert_eq!(
            (&info["serverInfo"]["name"], &info["protocolVersion"]),
            (&json!("haversack"), &json!(OLD))
        );
        self.say(&[json!({ "jsonrpc": "2.0", "method": "notifications/initialized" })]).await;
    }

    /// The next message; a test binary also writes lines of its own.
    async fn message(&mut self) -> Value {
        loop {
            let mut line = String::new();
            assert_ne!(self.read.read_line(&mut line).await.unwrap(), 0, "the stream ended");
            if let Some(at) = line.find('{') {
                return serde_json::from_str(&line[at..]).unwrap();
            }
        }
    }

    async fn say(&mut self, messages: &[Value]) {
        let lines: String = messages.iter().map(|message| format!("{message}\n")).collect();
        self.write.write_all(lines.as_bytes()).await.unwrap();
    }

    fn request(&self, id: usize, method: &str, mut params: Value) -> Value {
        if self.revision == NEW {
            params["_meta"]["io.modelcontextprotocol/protocolVersion"] = NEW.into();
            params["_meta"]["io.modelcontextprotocol/clientCapabilities"] = json!({});
        }
        json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params })
    }

    fn call(&self, id: usize, tool: &str) -> Value {
        self.request(id, "tools/call", json!({ "name": tool, "arguments": {} }))
    }

    /// A call whose progress is told under its id.
    fn watched(&self, id: usize, tool: &str) -> Value {
        self.request(id, "tools/call", json!({ "name": tool, "_meta": { "progressToken": id } }))
    }

    /// What a tool says that is called alone.
    async fn text(&mut self, id: usize, tool: &str) -> String {
        self.say(&[self.call(id, tool)]).await;
        let answer = self.message().await;
        assert_eq!(answer["id"], id, "{answer}");
        answer["result"]["content"][0]["text"].as_str().unwrap().to_owned()
    }

    /// How far the calls of these ids say they are, whichever comes first.
    async fn progress(&mut self, ids: &[usize]) -> Vec<Value> {
        let mut told = Vec::new();
        for _ in ids {
            let message = self.message().await;
            assert_eq!(message["method"], "notifications/progress", "{message}");
            assert!(ids.iter().any(|id| message["params"]["progressToken"] == *id), "{message}");
            told.push(message["params"]["progress"].clone());
        }
        told
    }

    /// 200 calls, all written before the first answer is read.
    async fn all_see(&mut self, tenant: &str, principal: &str) {
        let calls: Vec<_> = (1..=CALLS).map(|id| self.call(id, "whoami")).collect();
        self.say(&calls).await;
        let mut requests = HashSet::new();
        for _ in 0..CALLS {
            let seen = self.message().await["result"]["structuredContent"].clone();
            assert_eq!((&seen["tenant"], &seen["principal"]), (&json!(tenant), &json!(principal)));
            requests.insert(seen["request"].as_str().unwrap().to_owned());
        }
        assert_eq!(requests.len(), CALLS, "each message has a context of its own");
    }
}

async fn in_process(server: McpServer, tenant: &str, principal: &str, revision: &'static str) {
    let (ours, theirs) = tokio::io::duplex(1 << 20);
    let (read, write) = tokio::io::split(theirs);
    let enter = door(tenant.to_owned(), principal.to_owned());
    let serving = haversack::spawn(async move { server.serve(read, write, None, enter).await });
    let (read, write) = tokio::io::split(ours);
    let mut line = Line::new(read, write, revision);
    // The newer revision may do without first words.
    if revision == OLD {
        line.begin().await;
    }
    line.all_see(tenant, principal).await;
    drop(line);
    serving.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_tenants_with_200_calls_at_once_each_see_their_own_over_streams() {
    let server = server([whoami()]);
    tokio::join!(
        in_process(server.clone(), "acme", "kim", OLD),
        in_process(server.clone(), "globex", "lou", OLD),
        in_process(server.clone(), "acme", "kim", NEW),
        in_process(server, "globex", "lou", NEW),
    );
}

/// What a child offers besides [`whoami`].
fn of_the_child(address: Arc<OnceLock<String>>) -> [Arc<dyn Tool>; 6] {
    let together = Arc::new(Barrier::new(2 * MEET));
    let (go, (told, heard)) = (Arc::new(Notify::new()), mpsc::unbounded_channel());
    let (went, heard) = ([go.clone(), go.clone()], Arc::new(Mutex::new(heard)));
    let [at_steps, at_wait] = went;
    let address = mcp_tool("address", "Where it listens.", move |_: Progress| {
        let address = address.get().unwrap().clone();
        async move { ToolOutput::json(&address) }
    });
    let meet = mcp_tool("meet", "Waits for the others.", move |_: Progress| {
        let together = together.clone();
        async move {
            let before = (TENANT_ID.get()?, PRINCIPAL.get()?);
            together.wait().await;
            assert_eq!(before, (TENANT_ID.get()?, PRINCIPAL.get()?));
            ToolOutput::json(&format!("{} {}", before.0, before.1))
        }
    });
    let steps = mcp_tool("steps", "Works in steps.", move |progress: Progress| {
        let go = at_steps.clone();
        async move {
            progress.report(1, Some(2), Some("working")).await;
            go.notified().await;
            progress.report(2, Some(2), None).await;
            ToolOutput::json(&"done")
        }
    });
    let wait = mcp_tool("wait", "Waits.", move |progress: Progress, cancel: Cancel| {
        let (go, told) = (at_wait.clone(), told.clone());
        async move {
            progress.report(1, None, None).await;
            tokio::select! {
                () = go.notified() => ToolOutput::json(&"went on"),
                () = cancel.cancelled() => {
                    told.send(format!("{} {}", TENANT_ID.get()?, PRINCIPAL.get()?)).unwrap();
                    ToolOutput::json(&"cancelled")
                }
            }
        }
    });
    let go = mcp_tool("go", "Lets one go on.", move |_: Progress| {
        go.notify_one();
        async { ToolOutput::json(&"gone") }
    });
    let heard = mcp_tool("heard", "Who was cancelled.", move |_: Progress| {
        let heard = heard.clone();
        async move { ToolOutput::json(&heard.lock().await.recv().await) }
    });
    [Arc::new(address), Arc::new(meet), Arc::new(steps), Arc::new(wait), Arc::new(go), Arc::new(heard)]
}

/// The child of the laws below, and nothing where it is run as a test. One server, over both transports.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child() {
    let Ok(caller) = std::env::var(CHILD) else { return };
    let (tenant, principal) = caller.split_once(' ').unwrap();
    let address = Arc::new(OnceLock::new());
    let server = server(of_the_child(address.clone()).into_iter().chain([whoami()]));
    address.set(House::of(server.clone()).await.address).unwrap();
    server.serve_stdio(None, door(tenant.to_owned(), principal.to_owned())).await.unwrap();
    // The test harness would otherwise wait for the thread that reads standard input.
    std::process::exit(0);
}

async fn in_a_child(caller: &str, revision: &'static str) -> (Child, Line<ChildStdout, ChildStdin>) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["streams::child", "--exact", "--nocapture", "--quiet"])
        .env(CHILD, caller)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut line = Line::new(child.stdout.take().unwrap(), child.stdin.take().unwrap(), revision);
    line.begin().await;
    (child, line)
}

/// The child ends by itself when nobody speaks to it any more.
async fn end((mut child, line): (Child, Line<ChildStdout, ChildStdin>)) {
    drop(line);
    assert!(child.wait().await.unwrap().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_tenants_with_200_calls_at_once_each_see_their_own_over_standard_input_and_output() {
    let all_see = async |tenant: &str, principal: &str, revision| {
        let mut child = in_a_child(&format!("{tenant} {principal}"), revision).await;
        child.1.all_see(tenant, principal).await;
        end(child).await;
    };
    for revision in [OLD, NEW] {
        tokio::join!(all_see("acme", "kim", revision), all_see("globex", "lou", revision));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_server_speaks_both_transports_at_once_each_for_its_own_tenant() {
    for revision in [OLD, NEW] {
        let mut child = in_a_child("acme kim", revision).await;
        let line = &mut child.1;
        let address = line.text(1, "address").await;
        // The server is that of the child; this one makes clients alone.
        let house = House { server: server([]), address };
        let mut lou = house.client("globex", "lou");
        if revision == OLD {
            lou.initialize().await;
        }
        // The barrier opens only when all calls of both transports are inside.
        let over_http = join_all((0..MEET).map(|_| lou.call("meet", json!({}))));
        let over_stdio = async {
            let calls: Vec<_> = (2..MEET + 2).map(|id| line.call(id, "meet")).collect();
            line.say(&calls).await;
            let mut answers = Vec::new();
            for _ in 0..MEET {
                answers.push(line.message().await);
            }
            answers
        };
        let (over_http, over_stdio) = tokio::join!(over_http, over_stdio);
        for answer in over_http {
            assert_eq!(answer.result()["content"][0]["text"], "globex lou", "{}", answer.text);
        }
        for answer in over_stdio {
            assert_eq!(answer["result"]["content"][0]["text"], "acme kim", "{answer}");
        }
        let whose = async |n: usize| {
            let answer = lou.call_as("whoami", json!({}), &format!("http-{n}")).await;
            let seen = &answer.result()["structuredContent"];
            assert_eq!((&seen["tenant"], &seen["principal"]), (&json!("globex"), &json!("lou")));
            assert_eq!(seen["request"], format!("http-{n}"));
        };
        tokio::join!(line.all_see("acme", "kim"), join_all((0..CALLS).map(whose)));
        end(child).await;
    }
}

#[tokio::test]
async fn progress_comes_over_standard_input_and_output_while_the_call_runs() {
    for revision in [OLD, NEW] {
        let mut child = in_a_child("acme kim", revision).await;
        let line = &mut child.1;
        line.say(&[line.watched(1, "steps")]).await;
        assert_eq!(line.progress(&[1]).await, [json!(1.0)]);
        line.say(&[line.call(2, "go")]).await;
        // Two calls write on one line: who comes first is nobody's promise, but each keeps its own order.
        let said = [line.message().await, line.message().await, line.message().await];
        let at = |wanted: &str, value: Value| {
            let found =
                said.iter().position(|message| *message.pointer(wanted).unwrap_or(&Value::Null) == value);
            found.unwrap_or_else(|| panic!("no {wanted} is {value}: {said:?}"))
        };
        let text = "/result/content/0/text";
        assert!(at("/params/progress", json!(2.0)) < at(text, json!("done")), "{said:?}");
        assert_eq!(
            (&said[at(text, json!("gone"))]["id"], &said[at(text, json!("done"))]["id"]),
            (&json!(2), &json!(1))
        );
        end(child).await;
    }
}

#[tokio::test]
async fn a_cancelled_message_cancels_its_call_and_no_other_over_standard_input_and_output() {
    for revision in [OLD, NEW] {
        let mut child = in_a_child("acme kim", revision).await;
        let line = &mut child.1;
        line.say(&[line.watched(1, "wait"), line.watched(2, "wait")]).await;
        line.progress(&[1, 2]).await;
        let params = json!({ "requestId": 1 });
        line.say(&[json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": params })]).await;
        assert_eq!(line.text(3, "heard").await, "acme kim", "it ends inside its own context");
        line.say(&[line.call(4, "go")]).await;
        let mut answers = [line.message().await, line.message().await];
        answers.sort_by_key(|answer| answer["id"].as_u64());
        let [other, gone] = answers;
        assert_eq!((&other["id"], &gone["id"]), (&json!(2), &json!(4)), "a cancelled call has no answer");
        assert_eq!(other["result"]["content"][0]["text"], "went on");
        end(child).await;
    }
}

#[tokio::test]
async fn a_door_that_refuses_is_an_answer_and_not_the_end_of_the_connection() {
    static STRICT: haversack::Boundary = haversack::Boundary::new("strict").requires(&[&TENANT_ID]);
    let (ours, theirs) = tokio::io::duplex(1 << 16);
    let (read, write) = tokio::io::split(theirs);
    let server = server([whoami()]);
    let serving = haversack::spawn(async move {
        server.serve(read, write, None, || STRICT.enter(|bindings| bindings)).await
    });
    let (read, write) = tokio::io::split(ours);
    let mut line = Line::new(read, write, OLD);
    line.begin().await;
    for id in 1..3 {
        line.say(&[line.call(id, "whoami")]).await;
        let refused = line.message().await;
        assert_eq!(refused["error"]["message"], "the message carries no context, so nothing was done");
    }
    drop(line);
    serving.await.unwrap().unwrap();
}
