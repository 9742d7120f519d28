//! Conversations through the gateway, and the same agents over other doors: what a channel lacks, who may approve, and how long
//! things last.

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use super::installation::{Installation, Server};
use super::stub::{Act, Stub};

/// An installation whose one specialist has these tools, and whose configuration holds `more`.
fn installation(tools: &[&str], more: &str) -> Installation {
    let specialist = "[[agent.specialists]]\nname = \"helper\"\ndescription = \"Helps.\"\nprompt = \"Help.\"";
    Installation::new(&format!("{specialist}\ntools = {}\n{more}", json!(tools)))
}

/// What the last request to the model offered.
fn offered(stub: &Stub) -> Vec<String> {
    let requests = stub.requests();
    let tools = requests.last().and_then(|request| request["tools"].as_array().cloned()).unwrap_or_default();
    tools.iter().filter_map(|tool| tool["function"]["name"].as_str().map(str::to_owned)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tool_that_a_channel_lacks_does_not_end_its_turns() {
    let commands = "[gateway.commands]\nfolder = \"commands\"\n";
    let installation = installation(&["recall", "schedule", "send_message", "terminal", "process"], commands);
    let key = installation.key("northwind", "kim");
    let server = installation.serve();
    let reply = server.say(&key, "s", "hello").await;
    assert_eq!(reply.status(), 200, "{}", reply.text().await.unwrap());
    drop(server);
    let chat = installation.run(&["--json", "chat", "-m", "hello"]);
    assert!(chat.status.success(), "{}", String::from_utf8_lossy(&chat.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_model_is_offered_what_its_channel_has_and_is_told_when_it_calls_the_rest() {
    let schedule = json!({ "action": "list" });
    let stub = Stub::start([Act::Call("schedule", schedule.clone()), Act::Say("I cannot.".to_owned())]).await;
    let installation = installation(&["recall", "schedule"], &stub.model());
    let key = installation.key("northwind", "kim");
    let server = installation.serve_with(|command| {
        command.env("OPENAI_API_KEY", "none");
    });
    let reply = server.say(&key, "s", "hello").await;
    assert_eq!(reply.status(), 200, "{}", reply.text().await.unwrap());
    assert_eq!(offered(&stub), ["recall"]);
    assert!(stub.results()[0].contains("cannot be used in this conversation"), "{:?}", stub.results());
    let mut line = Line::open(&server, &key).await;
    line.say("m1", "c", "hello").await;
    assert!(line.message().await.contains("Done."));
    assert_eq!(offered(&stub), ["recall", "schedule"]);
}

#[test]
fn config_check_says_where_tools_are_offered() {
    let installation = installation(&["recall", "schedule"], "");
    let checked = installation.run(&["config", "check"]);
    let said = String::from_utf8_lossy(&checked.stdout);
    assert!(said.contains("recall: in every turn"), "{said}");
    assert!(said.contains("schedule: only in messages that come through the gateway"), "{said}");
}

/// A client on the server's socket, which keeps the frames that it was not asked for.
struct Line {
    socket: tokio_tungstenite::WebSocketStream<tokio_tungstenite::MaybeTlsStream<tokio::net::TcpStream>>,
    kept: Vec<Value>,
}

impl Line {
    async fn open(server: &Server, key: &str) -> Self {
        let url = format!("{}/gateway/ws", server.url.replacen("http", "ws", 1));
        let mut request = url.into_client_request().unwrap();
        request.headers_mut().insert("authorization", format!("Bearer {key}").parse().unwrap());
        Self { socket: tokio_tungstenite::connect_async(request).await.unwrap().0, kept: Vec::new() }
    }

    async fn send(&mut self, frame: &Value) {
        self.socket.send(Message::text(frame.to_string())).await.unwrap();
    }

    /// Says something, and gives back how the server took it.
    async fn say(&mut self, id: &str, chat: &str, text: &str) -> Value {
        self.send(&json!({ "type": "say", "id": id, "chat": chat, "text": text })).await;
        self.frame(|frame| frame["id"] == id && frame["type"] != "message").await
    }

    /// The next message.
    async fn message(&mut self) -> String {
        let frame = self.frame(|frame| frame["type"] == "message").await;
        frame["text"].as_str().unwrap().to_owned()
    }

    async fn frame(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        if let Some(at) = self.kept.iter().position(&wanted) {
            return self.kept.remove(at);
        }
        loop {
            let Message::Text(text) = self.socket.next().await.expect("the socket stays open").unwrap()
            else {
                continue;
            };
            let frame: Value = serde_json::from_str(&text).unwrap();
            if wanted(&frame) {
                return frame;
            }
            self.kept.push(frame);
        }
    }
}
