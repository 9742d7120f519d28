//! Conversations through the gateway, and the same agents over other doors: what a channel lacks, who may approve, and how long
//! things last.

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use super::installation::{Installation, Server, settled};
use super::stub::{Act, Stub};

/// An installation whose one specialist has these tools, and whose configuration holds `more`.
fn installation(tools: &[&str], more: &str) -> Installation {
    let specialist = "[[agent.specialists]]\nname = \"helper\"\ndescription = \"Helps.\"\nprompt = \"Help.\"";
    Installation::new(&format!("{specialist}\ntools = {}\n{more}", json!(tools)))
}

/// Returns the tools that the last request offered to the model.
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

/// Commands that ada of northwind approves, with `more` in their section.
fn commands(stub: &Stub, more: &str) -> Installation {
    let approvers = "approvers = [{ tenant = \"northwind\", principal = \"ada\" }]";
    let section = format!("[gateway.commands]\nfolder = \"commands\"\n{approvers}\n{more}\n");
    installation(&["terminal", "process"], &format!("{section}{}", stub.model()))
}

fn serve(installation: &Installation) -> Server {
    installation.serve_with(|command| {
        command.env("OPENAI_API_KEY", "none");
    })
}

/// The id in `/approve ID`.
fn id(text: &str) -> String {
    let (_, rest) = text.split_once("/approve ").unwrap();
    rest.split('`').next().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_does_not_approve_and_an_approver_does_later_than_any_tool_may_take() {
    let stub = Stub::start([Act::Call("terminal", json!({ "command": "echo ran > ran" }))]).await;
    let limits = "[limits]\nturn_timeout_s = 1\n[agent.tools]\ntimeout_s = 1\n";
    let installation = commands(&stub, limits);
    let (kim, ada) = (installation.key("northwind", "kim"), installation.key("northwind", "ada"));
    let server = serve(&installation);
    let (mut asker, mut approver) = (Line::open(&server, &kim).await, Line::open(&server, &ada).await);
    approver.send(&json!({ "type": "join", "chat": "approvals" })).await;
    asker.say("m1", "c", "go").await;
    let waits = asker.message().await;
    assert!(waits.contains("waits for ada") && waits.contains("echo ran"), "{waits}");
    let asked = approver.message().await;
    assert!(asked.contains("kim asks") && asked.contains("echo ran"), "{asked}");
    let approve = format!("/approve {}", id(&asked));
    let own = asker.say("m2", "c", &approve).await;
    assert!(own["text"].as_str().unwrap().contains("somebody else approves it"), "{own}");
    // Twice as long as the turn and its tools may take together: what is tested is that this time does not count.
    tokio::time::sleep(std::time::Duration::from_secs(4)).await;
    assert_eq!(approver.say("m1", "approvals", &approve).await["text"], "Approved.");
    assert_eq!(asker.message().await, "Done.");
    assert!(stub.results()[0].contains("\\\"code\\\":0"), "{:?}", stub.results());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_that_lapses_is_told_in_its_thread_and_to_who_answers_late() {
    let stub = Stub::start([Act::Call("terminal", json!({ "command": "touch ran" }))]).await;
    let installation = commands(&stub, "approval_s = 1");
    let (kim, ada) = (installation.key("northwind", "kim"), installation.key("northwind", "ada"));
    let server = serve(&installation);
    let mut asker = Line::open(&server, &kim).await;
    asker.say("m1", "c", "go").await;
    let id = id(&asker.message().await);
    assert!(asker.message().await.starts_with("Nobody approved this in 1 s, so it was not done"));
    assert_eq!(asker.message().await, "Done.");
    assert!(stub.results()[0].contains("not approved"), "{:?}", stub.results());
    let late = Line::open(&server, &ada).await.say("m1", "c", &format!("/approve {id}")).await;
    assert!(late["text"].as_str().unwrap().starts_with("This question lapsed"), "{late}");
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_are_off_until_an_approver_is_named() {
    let stub = Stub::start([]).await;
    let section = format!("[gateway.commands]\nfolder = \"commands\"\n{}", stub.model());
    let installation = installation(&["recall", "terminal"], &section);
    let checked = installation.run(&["config", "check"]);
    let said = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert!(said.contains("terminal: nowhere") && said.contains("approvers"), "{said}");
    let key = installation.key("northwind", "kim");
    let server = serve(&installation);
    let mut line = Line::open(&server, &key).await;
    line.say("m1", "c", "go").await;
    assert_eq!(line.message().await, "Done.");
    assert_eq!(offered(&stub), ["recall"]);
    assert!(server.process.said().contains("terminal: nowhere"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_interrupts_kills_the_command_of_the_turn_before_it() {
    let command = "trap '' TERM; echo $$ > started; sleep 3600 & wait";
    let stub = Stub::start([Act::Call("terminal", json!({ "command": command }))]).await;
    let account = "[[gateway.accounts]]\nname = \"socket\"\nplatform = \"websocket\"\ntenant = \"northwind\"\nbusy = \"interrupt\"\n";
    let section = "[gateway.commands]\nfolder = \"commands\"\nask = false\n";
    let limits = "[agent.tools]\ntimeout_s = 600\n[limits]\nturn_timeout_s = 600\n";
    let installation = installation(&["terminal"], &format!("{account}{section}{limits}{}", stub.model()));
    let key = installation.key("northwind", "kim");
    let server = serve(&installation);
    let mut line = Line::open(&server, &key).await;
    line.say("m1", "c", "go").await;
    let started = settled(async || started(&installation)).await;
    let begun = std::time::Instant::now();
    line.say("m2", "c", "stop that").await;
    assert_eq!(line.message().await, "Done.");
    let took = begun.elapsed();
    assert!(took < std::time::Duration::from_secs(30), "the command was waited for: {took:?}");
    settled(async || (!std::path::Path::new(&format!("/proc/{started}")).exists()).then_some(())).await;
}

/// The number that the command wrote down.
fn started(installation: &Installation) -> Option<String> {
    let folders = std::fs::read_dir(installation.path().join("commands")).ok()?;
    let written =
        folders.flatten().find_map(|folder| std::fs::read_to_string(folder.path().join("started")).ok())?;
    written.ends_with('\n').then(|| written.trim().to_owned())
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
