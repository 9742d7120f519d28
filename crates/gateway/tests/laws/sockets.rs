//! WebSockets: known by their request, and told what waited when they come back.

use std::sync::Arc;

use futures_util::{SinkExt, StreamExt};
use haversack::well_known::{PRINCIPAL, TENANT_ID};
use haversack_gateway::session::{CHAT_ID, PLATFORM};
use haversack_gateway::{Arrival, Reply, Responder};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::house::{Answers, House};

pub(crate) struct Client(WebSocketStream<MaybeTlsStream<TcpStream>>);

pub(crate) async fn try_connect(house: &House, who: &str) -> Result<Client, tungstenite::Error> {
    let url = format!("{}/gateway/ws", house.origin.replace("http://", "ws://"));
    let mut request = url.into_client_request()?;
    request.headers_mut().insert("authorization", who.parse().unwrap());
    Ok(Client(connect_async(request).await?.0))
}

impl Client {
    pub(crate) async fn connect(house: &House, who: &str) -> Self {
        try_connect(house, who).await.unwrap()
    }

    /// How the other side closes, with its code and reason.
    pub(crate) async fn closed(&mut self) -> (u16, String) {
        loop {
            let next = tokio::time::timeout(std::time::Duration::from_secs(30), self.0.next());
            if let Message::Close(why) = next.await.expect("an end within half a minute").unwrap().unwrap() {
                let why = why.unwrap();
                return (why.code.into(), why.reason.to_string());
            }
        }
    }

    pub(crate) async fn say(&mut self, frame: Value) {
        self.0.send(Message::text(frame.to_string())).await.unwrap();
    }

    /// The next frame of words. Pings are answered by the client itself.
    pub(crate) async fn hear(&mut self) -> Value {
        loop {
            let next = tokio::time::timeout(std::time::Duration::from_secs(30), self.0.next());
            let frame = next.await.expect("a frame within half a minute").unwrap().unwrap();
            if frame.is_text() {
                return serde_json::from_str(frame.to_text().unwrap()).unwrap();
            }
        }
    }

    /// The next message, past what is said about our own.
    pub(crate) async fn message(&mut self) -> Value {
        loop {
            let frame = self.hear().await;
            if frame["type"] == "message" {
                return frame;
            }
        }
    }
}

fn who() -> Arc<dyn Responder> {
    Arc::new(Answers(|arrival: Arrival| async move {
        let text = arrival.message().unwrap().text.clone();
        let (tenant, who) = (TENANT_ID.get().unwrap(), PRINCIPAL.get().unwrap());
        Ok(Reply::new(format!(
            "{tenant}/{who} {} {} {text}",
            PLATFORM.get().unwrap(),
            CHAT_ID.get().unwrap()
        )))
    }))
}

#[tokio::test]
async fn a_socket_speaks_as_whoever_its_request_was_and_as_nobody_without() {
    let house = House::open(Vec::new(), who()).await;
    let url = format!("{}/gateway/ws", house.origin.replace("http://", "ws://"));
    assert!(connect_async(url).await.is_err(), "nobody is let in without a name");

    let mut kim = Client::connect(&house, "acme/kim").await;
    kim.say(json!({ "type": "say", "id": "1", "chat": "main", "text": "hello" })).await;
    assert_eq!(kim.message().await["text"], "acme/kim websocket 3:kim/main hello");
    // The same message again is the same message.
    kim.say(json!({ "type": "say", "id": "1", "chat": "main", "text": "hello" })).await;
    assert_eq!(kim.hear().await, json!({ "type": "duplicate", "id": "1" }));
    kim.say(json!({ "type": "what" })).await;
    assert_eq!(kim.hear().await["type"], "refused");
}

#[tokio::test]
async fn two_people_may_use_one_word_for_two_chats() {
    let house = House::open(Vec::new(), who()).await;
    let mut kim = Client::connect(&house, "acme/kim").await;
    let mut lee = Client::connect(&house, "acme/lee").await;
    let mut far = Client::connect(&house, "bank/kim").await;
    for client in [&mut kim, &mut lee, &mut far] {
        client.say(json!({ "type": "join", "chat": "main" })).await;
        assert_eq!(client.hear().await["type"], "joined");
    }
    lee.say(json!({ "type": "say", "id": "1", "chat": "main", "text": "x" })).await;
    let heard = lee.message().await;
    assert_eq!((&heard["chat"], &heard["text"]), (&json!("main"), &json!("acme/lee websocket 3:lee/main x")));
    // The others hear their own answers and nothing else.
    for (client, name) in [(&mut kim, "acme/kim"), (&mut far, "bank/kim")] {
        client.say(json!({ "type": "say", "id": "1", "chat": "main", "text": "y" })).await;
        assert_eq!(client.message().await["text"], format!("{name} websocket 3:kim/main y"));
    }
}

#[tokio::test]
async fn an_answer_waits_for_a_client_that_went_away() {
    let go = Arc::new(Notify::new());
    let wait = go.clone();
    let house = House::open(
        Vec::new(),
        Arc::new(Answers(move |_| {
            let wait = wait.clone();
            async move {
                wait.notified().await;
                Ok(Reply::new("at last"))
            }
        })),
    )
    .await;
    let mut kim = Client::connect(&house, "acme/kim").await;
    kim.say(json!({ "type": "say", "id": "1", "chat": "main", "text": "slow" })).await;
    assert_eq!(kim.hear().await["type"], "taken");
    kim.0.close(None).await.unwrap();
    while kim.0.next().await.is_some_and(|frame| frame.is_ok()) {}
    go.notify_one();
    // It was tried, nobody was there, and it waits.
    crate::ledger::deliveries(&house, |all| all.iter().any(|delivery| delivery.attempts > 0)).await;
    let mut kim = Client::connect(&house, "acme/kim").await;
    kim.say(json!({ "type": "join", "chat": "main" })).await;
    let heard = kim.message().await;
    assert_eq!((&heard["text"], &heard["redelivery"]), (&json!("at last"), &json!(false)));
}

#[tokio::test]
async fn an_answer_that_a_client_did_not_take_before_it_vanished_is_said_again() {
    let house = House::open(Vec::new(), who()).await;
    let mut kim = Client::connect(&house, "acme/kim").await;
    kim.say(json!({ "type": "say", "id": "1", "chat": "main", "text": "hello" })).await;
    // The client reads nothing, so nothing was taken, although all of it was written.
    crate::ledger::deliveries(&house, |all| all.iter().any(|delivery| delivery.attempts > 0)).await;
    drop(kim);
    let mut kim = Client::connect(&house, "acme/kim").await;
    kim.say(json!({ "type": "join", "chat": "main" })).await;
    let heard = kim.message().await;
    assert!(heard["text"].as_str().unwrap().ends_with("acme/kim websocket 3:kim/main hello"), "{heard}");
}
