//! What one tenant may take: messages by its rate, sockets by their number, bodies by their heads.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use haversack_gateway::Rate;
use haversack_gateway::platform::webhook::sign;
use haversack_gateway::platform::websocket::KEY_ENDED;
use haversack_store::now_millis;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_tungstenite::tungstenite;

use crate::callbacks::{Callbacks, Say};
use crate::house::{House, Post, account, echo, options};
use crate::sockets::{Client, try_connect};

/// So many messages of each tenant, and then no more.
fn at_most(most: usize) -> Rate {
    let taken: Mutex<HashMap<String, usize>> = Mutex::default();
    Arc::new(move |tenant| {
        let mut taken = taken.lock().unwrap();
        let taken = taken.entry(tenant.as_str().to_owned()).or_default();
        *taken += 1;
        if *taken > most { Err(7) } else { Ok(()) }
    })
}

/// How many rows there are of messages and of what is to be said.
async fn rows(house: &House) -> (i64, i64) {
    let engine = house.store.control().engine();
    let count = engine.read("count", |conn| {
        let of = |table| conn.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0));
        Ok((of("gateway_arrivals")?, of("gateway_deliveries")?))
    });
    count.await.unwrap()
}

#[tokio::test]
async fn a_message_over_the_rate_of_its_tenant_is_refused_and_leaves_no_row() {
    let mut callbacks = Callbacks::start().await;
    let shops = ["shop", "bank"].map(|name| account(name, name, &callbacks.origin));
    let house = House::rated(shops.to_vec(), at_most(1)).await;
    let post = |shop: &str, id: &str| Post::new(shop, id, "hello").calling(callbacks.url("/in"));
    let (first, other) = (post("shop", "m1"), post("bank", "m1"));
    let over = post("shop", "m2");
    assert_eq!(first.send(&house).await.0, 202);
    callbacks.next().await;
    let before = rows(&house).await;
    let (status, told) = over.send(&house).await;
    assert_eq!((status, &told["status"]), (429, &json!("refused")), "{told}");
    assert_eq!(rows(&house).await, before, "nothing was written");
    assert_eq!(other.send(&house).await.0, 202, "another tenant has a rate of its own");
    callbacks.next().await;
    assert!(callbacks.rest().is_empty(), "and nothing was said");
}

#[tokio::test]
async fn a_frame_over_the_rate_of_its_tenant_is_refused_on_the_line_and_leaves_no_row() {
    let house = House::rated(Vec::new(), at_most(1)).await;
    let mut kim = Client::connect(&house, "acme/kim").await;
    let say = |id: &str| json!({ "type": "say", "id": id, "chat": "main", "text": "hello" });
    kim.say(say("1")).await;
    assert_eq!(kim.message().await["text"], "echo hello");
    let before = rows(&house).await;
    kim.say(say("2")).await;
    let told = kim.hear().await;
    assert_eq!(
        (&told["type"], &told["id"], &told["retry_after_s"]),
        (&json!("refused"), &json!("2"), &json!(7))
    );
    kim.say(json!({ "type": "join", "chat": "other" })).await;
    assert_eq!(kim.hear().await["type"], "refused", "to listen is to ask for something too");
    assert_eq!(rows(&house).await, before, "nothing was written");
    let mut far = Client::connect(&house, "bank/kim").await;
    far.say(say("1")).await;
    assert_eq!(far.message().await["text"], "echo hello", "another tenant has a rate of its own");
}

#[tokio::test]
async fn a_tenant_has_a_number_of_sockets_and_one_that_ends_makes_room() {
    let mut options = options();
    options.sockets = 1;
    let house = House::with(Vec::new(), options, echo()).await;
    let kim = Client::connect(&house, "acme/kim").await;
    match try_connect(&house, "acme/lee").await {
        Err(tungstenite::Error::Http(answer)) => assert_eq!(answer.status().as_u16(), 429),
        other => panic!("{:?}", other.map(|_| ())),
    }
    let _other = Client::connect(&house, "bank/kim").await;
    drop(kim);
    let again = async {
        while try_connect(&house, "acme/lee").await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(30), again).await.expect("there is room again");
}

#[tokio::test]
async fn a_key_that_ended_neither_says_nor_hears_anything_on_an_open_socket() {
    let ended = Arc::new(AtomicBool::new(false));
    let (known, gate) = (ended.clone(), Arc::new(tokio::sync::Notify::new()));
    let wait = gate.clone();
    let waits = Arc::new(crate::house::Answers(move |_| {
        let wait = wait.clone();
        async move {
            wait.notified().await;
            Ok(haversack_gateway::Reply::new("at last"))
        }
    }));
    let house = House::knowing(waits, move |_| !known.load(Ordering::SeqCst)).await;
    let (mut says, mut hears) =
        (Client::connect(&house, "acme/lee").await, Client::connect(&house, "acme/kim").await);
    hears.say(json!({ "type": "say", "id": "1", "chat": "main", "text": "slow" })).await;
    assert_eq!(hears.hear().await["type"], "taken");
    let before = rows(&house).await;
    ended.store(true, Ordering::SeqCst);
    says.say(json!({ "type": "say", "id": "1", "chat": "main", "text": "hello" })).await;
    assert_eq!(says.closed().await, (1008, KEY_ENDED.to_owned()));
    assert_eq!(rows(&house).await, before, "what it said was not taken");
    // What is to be told is kept for whoever comes with a good key, and it is not said that it may have arrived.
    gate.notify_one();
    assert_eq!(hears.closed().await, (1008, KEY_ENDED.to_owned()));
    ended.store(false, Ordering::SeqCst);
    let mut kim = Client::connect(&house, "acme/kim").await;
    kim.say(json!({ "type": "join", "chat": "main" })).await;
    let heard = kim.message().await;
    assert_eq!((&heard["text"], &heard["redelivery"]), (&json!("at last"), &json!(false)));
}

/// The status that a head is answered with whose body never comes.
async fn head_alone(house: &House, account: &str, signed: bool) -> String {
    let address = house.origin.strip_prefix("http://").unwrap();
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let signature = match signed {
        true => format!(
            "{}: m1\r\n{}: {}\r\n{}: v1,AAAA\r\n",
            sign::ID,
            sign::TIME,
            now_millis() / 1000,
            sign::SIGNATURE
        ),
        false => String::new(),
    };
    let head = format!(
        "POST /gateway/webhook/{account} HTTP/1.1\r\nhost: {address}\r\n{signature}content-length: 4000000\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut line = vec![0; 12];
    let answered = tokio::time::timeout(std::time::Duration::from_secs(30), stream.read_exact(&mut line));
    answered.await.expect("it is answered without its body").unwrap();
    String::from_utf8(line).unwrap()
}

#[tokio::test]
async fn a_message_that_nobody_can_have_signed_is_refused_before_its_body_is_read() {
    let house = House::open(vec![account("shop", "acme", "https://hooks.example.com")], echo()).await;
    assert_eq!(head_alone(&house, "shop", false).await, "HTTP/1.1 401");
    assert_eq!(head_alone(&house, "nobody", true).await, "HTTP/1.1 401");
}

/// Two of four places hang for one tenant; the other two are for everybody else.
#[tokio::test]
async fn a_tenant_whose_callbacks_hang_does_not_delay_another() {
    let (mut slow, mut quick) = (Callbacks::start().await, Callbacks::start().await);
    let mut options = options();
    options.ledger.parallel = 4;
    options.ledger.part_timeout = std::time::Duration::from_secs(600);
    let shops = vec![account("shop", "shop", &slow.origin), account("bank", "bank", &quick.origin)];
    let house = House::with(shops, options, echo()).await;
    slow.script("/in", (0..12).map(|_| Say::Hang));
    for number in 0..12 {
        let (id, chat) = (format!("m{number}"), format!("c{number}"));
        let post = Post::new("shop", &id, "hello").in_chat(&chat).calling(slow.url("/in"));
        assert_eq!(post.send(&house).await.0, 202);
    }
    slow.next().await;
    slow.next().await;
    for number in 0..6 {
        let (id, chat) = (format!("m{number}"), format!("c{number}"));
        Post::new("bank", &id, &id).in_chat(&chat).calling(quick.url("/in")).send(&house).await;
        assert_eq!(quick.next().await.text, format!("echo {id}"));
    }
    assert!(slow.rest().is_empty(), "and it has no more than its share");
}
