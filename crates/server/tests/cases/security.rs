//! One tenant, or a stranger, against everybody else: no input stalls the process, and nothing tells one what another does.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use super::installation::{Installation, Server, client};

/// What an idle machine answers in milliseconds, with all the time that a busy one may need.
const PATIENCE: Duration = Duration::from_secs(20);

/// Ten kilobytes over which the first offline model computed for minutes.
fn ten_kilobytes() -> String {
    format!("a b{}", ", we use b".repeat(1000))
}

/// Whether the server answers its health and a turn of this key.
async fn answers(server: &Server, key: &str, session: &str) {
    let asked = async {
        let health = client().get(format!("{}/healthz", server.url)).send().await.unwrap();
        assert_eq!(health.status(), 200);
        let reply = server.say(key, session, "hello").await;
        assert_eq!(reply.status(), 200, "{}", reply.text().await.unwrap());
    };
    tokio::time::timeout(PATIENCE, asked).await.expect("the server answers another tenant");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_ten_kilobyte_messages_do_not_stall_other_tenants() {
    let installation = Installation::new("[server]\ngrace_s = 1\ndemo_keys = false\n");
    let (alpha, beta) = (installation.key("alpha", "ann"), installation.key("beta", "ben"));
    let mut server = installation.serve();
    let mut heavy = tokio::task::JoinSet::new();
    for session in ["one", "two"] {
        let url = format!("{}/v1/sessions/{session}/turns", server.url);
        let request = client().post(url).bearer_auth(&alpha).json(&json!({ "message": ten_kilobytes() }));
        heavy.spawn(request.send());
    }
    for round in 0..5 {
        answers(&server, &beta, &format!("b{round}")).await;
    }
    server.process.signal("TERM");
    let ended = tokio::task::spawn_blocking(move || server.process.wait());
    let ended = tokio::time::timeout(Duration::from_secs(60), ended).await.expect("SIGTERM is obeyed");
    assert_eq!(ended.unwrap(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_word_repeated_for_62_kilobytes_ends_no_process() {
    let installation = Installation::new("");
    let (alpha, beta) = (installation.key("alpha", "ann"), installation.key("beta", "ben"));
    let mut server = installation.serve();
    for (session, word) in [("in", "in "), ("at", "at "), ("the", "in the ")] {
        let message = format!("the printer is {}", word.repeat(62_600 / word.len()));
        let answer = server.say(&alpha, session, &message).await;
        assert!([200, 413, 422].contains(&answer.status().as_u16()), "{word}: {}", answer.status());
        answers(&server, &beta, session).await;
    }
    assert!(server.process.lives(), "{}", server.process.said());
}

#[tokio::test]
async fn what_was_done_and_then_done_again_is_answered() {
    let installation = Installation::new("");
    let alpha = installation.key("alpha", "ann");
    let server = installation.serve();
    for (number, told) in [
        "I restarted it and then cleaned the lens.",
        "I reset the lens and then checked it",
        "We replaced it then and replaced the cable.",
    ]
    .iter()
    .enumerate()
    {
        let answer = server.say(&alpha, &format!("s{number}"), told).await;
        assert_eq!(answer.status(), 200, "{told}: {}", answer.text().await.unwrap());
    }
    assert!(!server.process.said().contains("panicked"), "{}", server.process.said());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_answers_before_it_resumes_what_a_killed_one_had_accepted() {
    let installation = Installation::new("");
    let (alpha, beta) = (installation.key("alpha", "ann"), installation.key("beta", "ben"));
    let mut server = installation.serve();
    let mut socket = socket(&server, &alpha).await;
    for id in ["m1", "m2"] {
        let say = json!({ "type": "say", "id": id, "chat": id, "text": ten_kilobytes() });
        socket.send(Message::text(say.to_string())).await.unwrap();
    }
    for _ in 0..2 {
        assert_eq!(frame(&mut socket, "taken").await["type"], "taken");
    }
    server.process.kill();
    drop(socket);
    let server = installation.serve();
    for round in 0..5 {
        answers(&server, &beta, &format!("b{round}")).await;
    }
}

/// One request as it goes over the wire; the answer up to its end.
async fn raw(server: &Server, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    stream.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut answer));
    read.await.expect("an answer before any time limit").unwrap();
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn a_request_over_http_one_has_exactly_one_host() {
    let server = Installation::new("").serve();
    for hosts in ["", "host: a\r\nhost: b\r\n"] {
        let request = format!("GET /healthz HTTP/1.1\r\n{hosts}connection: close\r\n\r\n");
        let answer = raw(&server, request.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("HV0219"), "{answer}");
    }
}

#[tokio::test]
async fn a_path_that_is_no_text_is_refused_with_a_problem() {
    let server = Installation::new("").serve();
    for line in ["GET /errors/%ff%fe", "POST /gateway/webhook/%ff"] {
        let request = format!("{line} HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        let answer = raw(&server, request.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
        assert!(answer.contains("application/problem+json") && answer.contains("HV0219"), "{answer}");
    }
}

#[tokio::test]
async fn a_head_over_64_kib_is_refused() {
    let server = Installation::new("").serve();
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    let head = format!(
        "GET /healthz HTTP/1.1\r\nhost: a\r\nx: {}\r\nconnection: close\r\n\r\n",
        "a".repeat(300_000)
    );
    // The server stops reading in the middle.
    let _ = stream.write_all(head.as_bytes()).await;
    let mut answer = vec![0; 12];
    let read = tokio::time::timeout(PATIENCE, stream.read_exact(&mut answer)).await.expect("an answer");
    read.unwrap();
    assert_eq!(String::from_utf8_lossy(&answer), "HTTP/1.1 431");
}

/// An account of alpha, whose signatures nobody here can make.
const SHOP: &str = "[[gateway.accounts]]\nname = \"shop\"\nplatform = \"webhook\"\ntenant = \"alpha\"\n\
    secrets = [\"file:secret\"]\n";

fn shop(more: &str) -> Installation {
    let installation = Installation::new(&format!("{SHOP}{more}"));
    installation.write("secret", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n");
    installation
}

/// The head of a message that could be signed.
fn signed_head(time: u64, length: usize) -> String {
    format!(
        "POST /gateway/webhook/shop HTTP/1.1\r\nhost: a\r\nwebhook-id: m\r\nwebhook-timestamp: {time}\r\n\
         webhook-signature: v1,{}=\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n",
        "A".repeat(43)
    )
}

#[tokio::test]
async fn a_message_signed_too_long_ago_is_refused_before_its_body_is_read() {
    let server = shop("").serve();
    let answer = raw(&server, signed_head(1, 1_000_000).as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 401 ") && answer.contains("HV0802"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn three_hundred_strangers_with_two_megabytes_each_do_not_fill_the_memory() {
    const LENGTH: usize = 2 << 20;
    let installation = shop("[limits]\nbody_timeout_s = 8\n");
    let beta = installation.key("beta", "ben");
    let server = installation.serve();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let mut strangers = tokio::task::JoinSet::new();
    let (begun, mut begins) = tokio::sync::mpsc::unbounded_channel();
    for _ in 0..300 {
        let (address, begun) = (server.address(), begun.clone());
        strangers.spawn(async move {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(signed_head(now, LENGTH).as_bytes()).await.unwrap();
            // Less ten bytes, so that it is waited for. A refusal comes before its end.
            let _ = stream.write_all(&vec![b'a'; LENGTH - 10]).await;
            begun.send(()).unwrap();
            let mut answer = Vec::new();
            let _ = stream.read_to_end(&mut answer).await;
        });
    }
    for _ in 0..300 {
        tokio::time::timeout(PATIENCE, begins.recv()).await.expect("every stranger gets on").unwrap();
    }
    answers(&server, &beta, "beside").await;
    let all = tokio::time::timeout(Duration::from_secs(60), strangers.join_all());
    all.await.expect("every stranger is answered");
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.process.id())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(peak < 450_000, "{peak} kB");
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_strangers_beyond_the_file_descriptors_do_not_lock_out_a_key() {
    let installation = Installation::new("");
    let beta = installation.key("beta", "ben");
    let server = installation.serve_with_files(256);
    let mut idle = Vec::new();
    for _ in 0..300 {
        idle.push(
            tokio::time::timeout(PATIENCE, TcpStream::connect(server.address())).await.unwrap().unwrap(),
        );
    }
    for round in 0..10 {
        answers(&server, &beta, &format!("b{round}")).await;
    }
    let said = server.process.said();
    assert!(!said.contains("Too many open files"), "{said}");
    drop(idle);
}

#[tokio::test]
async fn metrics_have_a_listener_and_a_token_of_their_own() {
    let server =
        "[server]\ndemo_keys = false\nmetrics_bind = \"127.0.0.1:0\"\nmetrics_token = \"file:token\"\n";
    let installation = Installation::new(server);
    installation.write("token", "nightly-scrape\n");
    let server = installation.serve();
    let metrics = server.metrics.clone().expect("it says where they are");
    let ask = |url: &str, token: Option<&str>| {
        let request = client().get(url);
        token.map(|token| request.try_clone().unwrap().bearer_auth(token)).unwrap_or(request).send()
    };
    let status = async |url: &str, token| ask(url, token).await.unwrap().status().as_u16();
    assert_eq!(status(&metrics, None).await, 401);
    assert_eq!(status(&metrics, Some("another")).await, 401);
    assert_eq!(status(&metrics, Some("nightly-scrape")).await, 200);
    assert_eq!(status(&format!("{}/metrics", server.url), Some("nightly-scrape")).await, 404);
    assert_eq!(status(&metrics.replace("/metrics", "/healthz"), None).await, 404);
}

#[tokio::test]
async fn a_slash_in_an_id_or_a_chat_does_not_make_two_messages_one() {
    let installation = Installation::new("");
    let alpha = installation.key("alpha", "ann");
    let server = installation.serve();
    let mut socket = socket(&server, &alpha).await;
    for (chat, id) in [("a", "b/c"), ("a/b", "c")] {
        let say = json!({ "type": "say", "id": id, "chat": chat, "text": "hello" });
        socket.send(Message::text(say.to_string())).await.unwrap();
        let answer = frame(&mut socket, "message").await;
        assert_eq!((&answer["chat"], &answer["in_reply_to"]), (&json!(chat), &json!(id)), "{answer}");
    }
}

/// The tool of a job that any tenant may post.
const POSTED: &str = "[jobs]\ntools = [\"search_knowledge\"]\nembedded_worker = false\n";

#[tokio::test]
async fn a_cursor_does_not_count_the_jobs_of_others() {
    let installation = Installation::new(POSTED);
    let (alpha, beta) = (installation.key("alpha", "ann"), installation.key("beta", "ben"));
    let server = installation.serve();
    let post = async |key: &str| {
        let job = json!({ "tool": "search_knowledge", "arguments": { "query": "parking" } });
        let posted = server.post(key, "/v1/jobs", &job).await;
        assert_eq!(posted.status(), 202);
        posted.json::<Value>().await.unwrap()["job"].as_str().unwrap().to_owned()
    };
    let mut moved = Vec::new();
    for others in [0, 7] {
        for _ in 0..others {
            post(&alpha).await;
        }
        let (older, newer) = (post(&beta).await, post(&beta).await);
        let page: Value = server.get(&beta, "/v1/jobs?limit=1").await.json().await.unwrap();
        assert_eq!(page["jobs"][0]["id"], newer.as_str());
        let next = page["next"].as_str().unwrap_or_else(|| panic!("a row number: {page}")).to_owned();
        // What it holds is beta's: the time of its own job, and the job.
        assert_eq!(next, format!("{}.{newer}", page["jobs"][0]["created_at"]));
        let page: Value =
            server.get(&beta, &format!("/v1/jobs?limit=1&cursor={next}")).await.json().await.unwrap();
        assert_eq!(page["jobs"][0]["id"], older.as_str());
        moved.push(next);
    }
    // Somebody else's cursor opens nothing.
    let foreign = server.get(&alpha, &format!("/v1/jobs?cursor={}", moved[0])).await;
    let foreign: Value = foreign.json().await.unwrap();
    assert!(
        foreign["jobs"].as_array().unwrap().iter().all(|job| !moved[0].contains(job["id"].as_str().unwrap()))
    );
}

#[tokio::test]
async fn a_tree_counts_neither_the_entries_of_others_nor_processes() {
    let installation = Installation::new("");
    let (alpha, beta) = (installation.key("alpha", "ann"), installation.key("beta", "ben"));
    let server = installation.serve();
    let mut seen = Vec::new();
    for (session, others) in [("quiet", 0), ("busy", 20)] {
        for _ in 0..others {
            assert_eq!(server.get(&alpha, "/v1/sessions").await.status(), 200);
        }
        let reply: Value = server.say(&beta, session, "hello").await.json().await.unwrap();
        let turn = reply["turn"].as_str().unwrap();
        let tree: Value = server.get(&beta, &format!("/v1/turns/{turn}/context")).await.json().await.unwrap();
        let trace: Value = server.get(&beta, &format!("/v1/context/{turn}")).await.json().await.unwrap();
        for work in trace["work"].as_array().unwrap() {
            assert_eq!(work["process"], "server 1", "numbered within the answer");
        }
        let of_trace =
            trace["work"].as_array().unwrap().iter().flat_map(|work| work["units"].as_array().unwrap());
        let units = tree["units"].as_array().unwrap().iter().chain(of_trace);
        seen.push(units.map(|unit| unit["context"]["entry"].clone()).collect::<Vec<_>>());
        assert!(seen.iter().flatten().any(|entry| *entry == 1));
    }
    assert_eq!(seen[0], seen[1]);
}

#[tokio::test]
async fn a_number_that_no_store_can_hold_is_refused() {
    let installation = Installation::new("[pipelines]\nfolder = \"pipelines\"\n");
    installation.write("pipelines/one.yaml", ONE_STEP);
    let alpha = installation.key("alpha", "ann");
    let server = installation.serve();
    let run: Value = server.post(&alpha, "/v1/pipelines/one/runs", &json!({})).await.json().await.unwrap();
    let run = run["run"].as_str().unwrap_or_else(|| panic!("no run: {run}"));
    let log = server.get(&alpha, &format!("/v1/runs/{run}/log?after=9223372036854775808")).await;
    assert_eq!(log.status(), 422);
    assert_eq!(log.json::<Value>().await.unwrap()["code"], "HV0212");
}

#[tokio::test]
async fn no_file_of_an_installation_can_be_read_by_others() {
    let installation = Installation::new("");
    let alpha = installation.key("alpha", "ann");
    let server = installation.serve();
    assert_eq!(server.say(&alpha, "s", "hello").await.status(), 200);
    let backup = installation.run(&["backup", "copy"]);
    assert!(backup.status.success(), "{}", String::from_utf8_lossy(&backup.stderr));
    for folder in ["data", "copy"] {
        for entry in std::fs::read_dir(installation.path().join(folder)).unwrap() {
            let entry = entry.unwrap();
            let mode = std::os::unix::fs::PermissionsExt::mode(&entry.metadata().unwrap().permissions());
            assert_eq!(mode & 0o077, 0, "{} has {:o}", entry.path().display(), mode & 0o777);
        }
    }
}

const ONE_STEP: &str = "dag:\n  start_at: one\n  steps:\n    one:\n      type: task\n      command_type: shell\n      \
    command: echo done\n      next: success\n    success: {type: success}\n    fail: {type: fail}\n";

type Socket = tokio_tungstenite::WebSocketStream<tokio_tungstenite::MaybeTlsStream<tokio::net::TcpStream>>;

async fn socket(server: &Server, key: &str) -> Socket {
    let url = format!("{}/gateway/ws", server.url.replacen("http", "ws", 1));
    let mut request = url.into_client_request().unwrap();
    request.headers_mut().insert("authorization", format!("Bearer {key}").parse().unwrap());
    tokio_tungstenite::connect_async(request).await.unwrap().0
}

/// The next frame of this type.
async fn frame(socket: &mut Socket, kind: &str) -> Value {
    loop {
        let next = tokio::time::timeout(PATIENCE, socket.next()).await.expect("a frame");
        let Message::Text(text) = next.unwrap().unwrap() else { continue };
        let frame: Value = serde_json::from_str(&text).unwrap();
        if frame["type"] == kind {
            return frame;
        }
    }
}
