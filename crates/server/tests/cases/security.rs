//! One tenant, or a stranger, against everybody else: no input stalls the process, and nothing tells one what another does.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
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
