//! Each call over a stream runs in the context of its own caller: in one process, and in a child over standard input and
//! output.

use std::collections::HashSet;
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};

use haversack::testing::Isolated;
use haversack::well_known::{REQUEST_ID, RequestId, TENANT_ID};
use haversack::{Refused, Visit};
use haversack_mcp::{McpOptions, McpServer};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};

use super::house::{CALLS, OLD, offer, whoami};

/// Who calls the child, as `tenant principal`.
const CHILD: &str = "HAVERSACK_MCP_LAW_CHILD";

/// Enters anew for each message, as this caller, with a request of its own.
fn door(tenant: String, principal: String) -> impl Fn() -> Result<Visit, Refused> + Send + Sync + 'static {
    let asked = AtomicUsize::new(0);
    move || {
        let request = format!("{tenant}-{}", asked.fetch_add(1, Ordering::SeqCst));
        let caller = Isolated::new().tenant(&tenant).principal(&principal);
        Ok(caller.bind(&REQUEST_ID, RequestId::new(request).unwrap()).visit())
    }
}

fn server() -> McpServer {
    McpServer::new(offer([whoami()]), McpOptions { calls: 1_000, ..McpOptions::default() }).unwrap()
}

/// The next message; a test binary also writes lines of its own.
async fn message(read: &mut (impl AsyncBufReadExt + Unpin)) -> Value {
    loop {
        let mut line = String::new();
        assert_ne!(read.read_line(&mut line).await.unwrap(), 0, "the stream ended");
        if let Some(at) = line.find('{') {
            return serde_json::from_str(&line[at..]).unwrap();
        }
    }
}

async fn say(write: &mut (impl AsyncWrite + Unpin), messages: &[Value]) {
    let lines: String = messages.iter().map(|message| format!("{message}\n")).collect();
    write.write_all(lines.as_bytes()).await.unwrap();
}

async fn begin(read: &mut (impl AsyncBufReadExt + Unpin), write: &mut (impl AsyncWrite + Unpin)) {
    let params = json!({
        "protocolVersion": OLD, "capabilities": {}, "clientInfo": { "name": "law", "version": "1" },
    });
    say(write, &[json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params })]).await;
    assert_eq!(message(read).await["result"]["serverInfo"]["name"], "haversack");
    say(write, &[json!({ "jsonrpc": "2.0", "method": "notifications/initialized" })]).await;
}

fn call(id: usize, tool: &str) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": { "name": tool, "arguments": {} } })
}

/// 200 calls, all written before the first answer is read.
async fn all_see(
    read: impl AsyncRead + Unpin,
    mut write: impl AsyncWrite + Unpin,
    tenant: &str,
    principal: &str,
) {
    let mut read = BufReader::new(read);
    begin(&mut read, &mut write).await;
    say(&mut write, &(1..=CALLS).map(|id| call(id, "whoami")).collect::<Vec<_>>()).await;
    let mut requests = HashSet::new();
    for _ in 0..CALLS {
        let seen = message(&mut read).await["result"]["structuredContent"].clone();
        assert_eq!((&seen["tenant"], &seen["principal"]), (&json!(tenant), &json!(principal)));
        requests.insert(seen["request"].as_str().unwrap().to_owned());
    }
    assert_eq!(requests.len(), CALLS, "each message has a context of its own");
}

async fn in_process(server: McpServer, tenant: &str, principal: &str) {
    let (ours, theirs) = tokio::io::duplex(1 << 20);
    let (read, write) = tokio::io::split(theirs);
    let enter = door(tenant.to_owned(), principal.to_owned());
    let serving = haversack::spawn(async move { server.serve(read, write, enter).await });
    let (read, write) = tokio::io::split(ours);
    all_see(read, write, tenant, principal).await;
    serving.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_tenants_with_200_calls_at_once_each_see_their_own_over_streams() {
    let server = server();
    tokio::join!(in_process(server.clone(), "acme", "kim"), in_process(server, "globex", "lou"));
}

/// The child of the law below, and nothing where it is run as a test.
#[tokio::test]
async fn child() {
    let Ok(caller) = std::env::var(CHILD) else { return };
    let (tenant, principal) = caller.split_once(' ').unwrap();
    server().serve_stdio(door(tenant.to_owned(), principal.to_owned())).await.unwrap();
    // The test harness would otherwise wait for the thread that reads standard input.
    std::process::exit(0);
}

async fn in_a_child(tenant: &str, principal: &str) {
    let mut child = tokio::process::Command::new(std::env::current_exe().unwrap())
        .args(["streams::child", "--exact", "--nocapture", "--quiet"])
        .env(CHILD, format!("{tenant} {principal}"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    all_see(child.stdout.take().unwrap(), child.stdin.take().unwrap(), tenant, principal).await;
    assert!(child.wait().await.unwrap().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_tenants_with_200_calls_at_once_each_see_their_own_over_standard_input_and_output() {
    tokio::join!(in_a_child("acme", "kim"), in_a_child("globex", "lou"));
}

#[tokio::test]
async fn a_door_that_refuses_is_an_answer_and_not_the_end_of_the_connection() {
    static STRICT: haversack::Boundary = haversack::Boundary::new("strict").requires(&[&TENANT_ID]);
    let (ours, theirs) = tokio::io::duplex(1 << 16);
    let (read, write) = tokio::io::split(theirs);
    let server = server();
    let serving =
        haversack::spawn(
            async move { server.serve(read, write, || STRICT.enter(|bindings| bindings)).await },
        );
    let (read, mut write) = tokio::io::split(ours);
    let mut read = BufReader::new(read);
    begin(&mut read, &mut write).await;
    for id in 1..3 {
        say(&mut write, &[call(id, "whoami")]).await;
        let refused = message(&mut read).await;
        assert_eq!(refused["error"]["message"], "the message carries no context, so nothing was done");
    }
    drop((read, write));
    serving.await.unwrap().unwrap();
}
