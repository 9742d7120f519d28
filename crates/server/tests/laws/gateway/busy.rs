//! Messages that arrive while a turn runs: they steer it or stop it, as the account is configured, and never somebody else's.

use std::path::Path;
use std::sync::Arc;

use futures_util::FutureExt;
use haversack::well_known::SessionId;
use haversack_agent::history::{TurnStatus, TurnView};
use haversack_agent::model::scripted::Answer;
use haversack_agent::model::{ChatModel, ChatRequest, Message, ModelStream, ScriptedModel};
use haversack_server::Server;
use haversack_server::config::Config;
use haversack_server::server::Options;
use haversack_store::sqlite::{Connection, params};
use http::StatusCode;
use serde_json::json;
use tokio::sync::{mpsc, oneshot};

use super::{Inbox, Post, accounts};
use crate::harness::{Gated, TestServer, json_of, kims, start_with_options};
use crate::program::settled;

/// A model that tells what it is asked and answers when it is told what.
struct Asked(mpsc::UnboundedSender<Call>);

struct Call {
    request: ChatRequest,
    answer: oneshot::Sender<Answer>,
}

impl Asked {
    fn new() -> (Arc<Self>, mpsc::UnboundedReceiver<Call>) {
        let (asked, calls) = mpsc::unbounded_channel();
        (Arc::new(Self(asked)), calls)
    }
}

impl ChatModel for Asked {
    fn name(&self) -> &str {
        "asked"
    }

    fn chat(&self, request: ChatRequest) -> ModelStream {
        let (answer, told) = oneshot::channel();
        let _ = self.0.send(Call { request: request.clone(), answer });
        let answered = async move {
            let answer = told.await.unwrap_or_else(|_| Answer::default().and_hang());
            ScriptedModel::new([answer]).chat(request)
        };
        Box::pin(answered.flatten_stream())
    }
}

impl Call {
    /// The last words of a caller that it was asked with.
    fn newest(&self) -> &str {
        self.request.last_user_text()
    }

    fn say(self, text: &str) {
        assert!(self.answer.send(Answer::text(text)).is_ok(), "the turn waits for it");
    }

    fn use_a_tool(self) {
        let recall = Answer::call("recall", json!({ "query": "paint" }));
        assert!(self.answer.send(recall).is_ok(), "the turn waits for it");
    }
}

/// The configuration of an account as an operator writes it, with one specialist, so that each call is its own.
fn busy(here: &Path, busy: &str) -> Config {
    let text = format!(
        "{}busy = \"{busy}\"\nsessions = {{ group = \"shared\" }}\n\
         [[agent.specialists]]\nname = \"helper\"\ndescription = \"Helps.\"\nprompt = \"Help.\"\ntools = [\"recall\"]\n",
        accounts(here, &["acme".to_owned()]).replace("{ u-1 = \"kim\" }", "{ u-1 = \"kim\", u-2 = \"lee\" }"),
    );
    Config::parse(&here.join("haversack.toml"), &text, []).unwrap()
}

fn at(config: &mut Config, how: &str) {
    let (bind, path) = (config.server.bind, config.store.path.clone());
    *config = busy(path.parent().unwrap(), how);
    (config.server.bind, config.store.path) = (bind, path);
}

async fn start(how: &str, model: Arc<dyn ChatModel>) -> TestServer {
    start_with_options(|config| {
        at(config, how);
        Options { model: Some(model), ..Options::default() }
    })
    .await
}

fn post(id: &str, text: &str, inbox: &Inbox) -> Post {
    Post::new("acme-desk", id, "t-1", text, Some(&inbox.url))
}

/// In the group, where nobody has a conversation of their own.
fn in_group(mut post: Post, user: &str) -> Post {
    post.body["chat"] = json!({ "id": "g-1", "type": "group" });
    post.body["thread"] = json!(null);
    post.body["sender"]["id"] = user.into();
    post
}

async fn accepted(post: &Post, server: &TestServer) {
    json_of(post.send(&server.server.url()).await, StatusCode::ACCEPTED).await;
}

/// The turns of kim's one session, oldest first.
async fn kims_turns(server: &Server) -> Vec<TurnView> {
    let visit = kims();
    let history = visit.run(|| server.engine().agents().history()).unwrap();
    let sessions = visit.run(|| history.sessions(10, None)).await.unwrap();
    assert_eq!(sessions.len(), 1, "{sessions:?}");
    let session = SessionId::new(sessions[0].session.as_str()).unwrap();
    visit.run(|| history.session(&session)).await.unwrap().unwrap().history
}

fn said(turn: &TurnView) -> Vec<(&str, &str)> {
    let words =
        |content: &'_ serde_json::Value| content["text"].as_str().is_some_and(|text| !text.is_empty());
    let said = turn.messages.iter().filter(|message| words(&message.content));
    said.map(|message| (message.role.as_str(), message.content["text"].as_str().unwrap())).collect()
}

fn user(text: &str) -> Message {
    Message::User { text: text.to_owned() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_steers_the_turn_of_its_sender_and_one_reply_answers_both() {
    let ((model, mut calls), inbox) = (Asked::new(), Inbox::open().await);
    let server = start("steer", model).await;
    accepted(&post("m-1", "Paint it.", &inbox), &server).await;
    let first = calls.recv().await.unwrap();
    accepted(&post("m-2", "And in blue.", &inbox), &server).await;
    first.use_a_tool();
    let second = calls.recv().await.unwrap();
    let [words, .., tool, added] = second.request.messages.as_slice() else { panic!() };
    assert_eq!((words, added), (&user("Paint it."), &user("And in blue.")));
    assert!(matches!(tool, Message::Tool { .. }), "it stands where it was heard: {tool:?}");
    second.say("Both done.");
    let answer = inbox.has(1).await.remove(0);
    assert_eq!((&answer["text"], &answer["in_reply_to"]), (&json!("Both done."), &json!("m-1")));
    let turns = kims_turns(&server.server).await;
    assert_eq!(turns.len(), 1, "what was taken has no turn of its own");
    assert_eq!(
        said(&turns[0]),
        [("user", "Paint it."), ("user", "And in blue."), ("assistant", "Both done.")]
    );

    // The next message finds both in the saved history, and the same one again is known.
    accepted(&post("m-3", "Thanks.", &inbox), &server).await;
    let third = calls.recv().await.unwrap();
    assert_eq!(third.request.messages[0], user("Paint it.\nAnd in blue."));
    third.say("You are welcome.");
    inbox.has(2).await;
    let again = json_of(post("m-2", "And in blue.", &inbox).send(&server.server.url()).await, StatusCode::OK);
    assert_eq!(again.await["status"], "duplicate");
    server.server.shutdown().await.unwrap();
    assert_eq!(inbox.now().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_steers_the_turn_of_somebody_else_or_of_another_conversation() {
    let ((model, mut calls), inbox) = (Asked::new(), Inbox::open().await);
    let server = start("steer", model).await;
    accepted(&in_group(post("m-1", "Paint it.", &inbox), "u-1"), &server).await;
    let first = calls.recv().await.unwrap();
    accepted(&in_group(post("m-2", "In red!", &inbox), "u-2"), &server).await;
    // The same person elsewhere has a turn beside it.
    accepted(&post("m-3", "Elsewhere.", &inbox), &server).await;
    let elsewhere = calls.recv().await.unwrap();
    assert_eq!(elsewhere.request.messages, [user("Elsewhere.")]);
    elsewhere.say("There.");
    assert_eq!(inbox.has(1).await[0]["in_reply_to"], "m-3");
    first.use_a_tool();
    let second = calls.recv().await.unwrap();
    assert_eq!(second.newest(), "Paint it.", "{:?}", second.request.messages);
    second.say("Painted.");
    // It has a turn of its own, in the conversation of the group.
    let third = calls.recv().await.unwrap();
    assert_eq!(third.newest(), "In red!");
    third.say("Painted red.");
    let answers = inbox.has(3).await;
    let told: Vec<_> = answers[1..].iter().map(|answer| (&answer["in_reply_to"], &answer["text"])).collect();
    assert_eq!(told, [(&json!("m-1"), &json!("Painted.")), (&json!("m-2"), &json!("Painted red."))]);
    server.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_stops_the_turn_before_it_and_is_answered() {
    let ((model, mut calls), inbox) = (Asked::new(), Inbox::open().await);
    let server = start("interrupt", model).await;
    accepted(&post("m-1", "Paint it.", &inbox), &server).await;
    let mut first = calls.recv().await.unwrap();
    accepted(&post("m-2", "Stop. Who are you?", &inbox), &server).await;
    // Its call is dropped, and not only its reply.
    first.answer.closed().await;
    let second = calls.recv().await.unwrap();
    assert_eq!(second.newest(), "Stop. Who are you?");
    second.say("The painter.");
    let answer = inbox.has(1).await.remove(0);
    assert_eq!((&answer["text"], &answer["in_reply_to"]), (&json!("The painter."), &json!("m-2")));
    let turns = kims_turns(&server.server).await;
    let ended: Vec<_> = turns.iter().map(|turn| turn.status).collect();
    assert_eq!(ended, [TurnStatus::Cancelled, TurnStatus::Completed]);
    server.server.shutdown().await.unwrap();
    assert_eq!(inbox.now().len(), 1, "the first turn says nothing any more");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_second_message_of_a_conversation_sees_what_was_said_to_the_first() {
    let ((model, mut calls), inbox) = (Asked::new(), Inbox::open().await);
    let server = start("queue", model).await;
    accepted(&post("m-1", "Paint it.", &inbox), &server).await;
    let first = calls.recv().await.unwrap();
    // It waits, and its turn begins when what was said to the first is saved.
    accepted(&post("m-2", "And in blue.", &inbox), &server).await;
    first.say("Painted.");
    let second = calls.recv().await.unwrap();
    let painted = Message::Assistant { text: "Painted.".to_owned(), calls: Vec::new(), thoughts: None };
    assert_eq!(second.request.messages, [user("Paint it."), painted, user("And in blue.")]);
    second.say("Blue now.");
    inbox.has(2).await;
    server.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_offline_model_answers_what_steered_it() {
    let (model, inbox) = (Gated::closed(), Inbox::open().await);
    let prepare = |config: &mut Config| {
        super::configured(config, &["acme".to_owned()]);
        config.gateway.accounts[0].busy = haversack_gateway::Busy::Steer;
    };
    let server = crate::harness::start_with(prepare, Some(model.clone())).await;
    accepted(&post("m-1", "Remember that our account manager is Robin Vega.", &inbox), &server).await;
    model.called(1).await;
    accepted(&post("m-2", "Remember that our delivery address is Tarnweg 8.", &inbox), &server).await;
    model.open();
    let answer = inbox.has(1).await.remove(0);
    let text = answer["text"].as_str().unwrap();
    assert!(text.contains("Robin Vega") && text.contains("Tarnweg 8"), "{text}");
    server.server.shutdown().await.unwrap();
    assert_eq!(inbox.now().len(), 1);
}

/// The process died when the reply was in the history and before the messages were marked as answered: both come again.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_turn_took_before_a_crash_is_answered_once() {
    let ((model, mut calls), inbox) = (Asked::new(), Inbox::open().await);
    let TestServer { server, folder, http } = start("steer", model.clone()).await;
    let first_server = TestServer { server, folder, http };
    accepted(&post("m-1", "Paint it.", &inbox), &first_server).await;
    let first = calls.recv().await.unwrap();
    accepted(&post("m-2", "And in blue.", &inbox), &first_server).await;
    first.use_a_tool();
    let second = calls.recv().await.unwrap();
    assert_eq!(second.newest(), "And in blue.");
    let control = first_server.folder.path().join("data/control.sqlite");
    let rows = arrivals(&Connection::open(&control).unwrap());
    assert!(rows.len() == 2 && rows.iter().all(|(_, sealed)| sealed.is_some()));
    second.say("Both done.");
    inbox.has(1).await;
    let TestServer { server, folder, .. } = first_server;
    server.shutdown().await.unwrap();

    let database = Connection::open(&control).unwrap();
    for (number, sealed) in rows {
        let sql =
            "UPDATE gateway_arrivals SET finished_at = NULL, instance = '', sealed = ?2 WHERE number = ?1";
        assert_eq!(database.execute(sql, params![number, sealed]).unwrap(), 1);
    }
    drop(database);
    let mut config = Config::default();
    config.server.bind = "127.0.0.1:0".parse().unwrap();
    config.store.path = folder.path().join("data");
    at(&mut config, "steer");
    let options = Options { model: Some(model), ..Options::default() };
    let server = Server::start_with(config, options).await.unwrap();
    let database = Connection::open(&control).unwrap();
    settled(async || arrivals(&database).iter().all(|(_, sealed)| sealed.is_none()).then_some(())).await;
    assert_eq!(kims_turns(&server).await.len(), 1);
    server.shutdown().await.unwrap();
    assert!(calls.try_recv().is_err(), "no model was asked again");
    assert_eq!(inbox.now().len(), 1, "{:?}", inbox.now());
}

/// What is kept of the messages that were taken, until they are answered.
fn arrivals(control: &Connection) -> Vec<(i64, Option<Vec<u8>>)> {
    let mut rows = control.prepare("SELECT number, sealed FROM gateway_arrivals ORDER BY number").unwrap();
    let rows = rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    rows.map(Result::unwrap).collect()
}
