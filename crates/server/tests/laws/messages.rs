//! What messages of other platforms may take, and what becomes of those that were accepted: the gateway of a server, with real
//! sockets, real keys and a server that is killed for real.

use futures_util::{SinkExt, StreamExt};
use haversack_store::now_millis;
use http::StatusCode;
use serde_json::{Value, json};
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use super::gateway::{Inbox, Post, configured, desk, with_export};
use super::harness::{client, json_of, problem, start_with};
use super::program::{Program, settled};

/// A message over the tenant's rate, which is that of its requests too, is refused as a request would be.
#[tokio::test(flavor = "multi_thread")]
async fn messages_count_against_the_rate_of_their_tenant() {
    let server = start_with(
        |config| {
            configured(config, &["acme".to_owned(), "zeta".to_owned()]);
            (config.limits.requests_per_second, config.limits.burst) = (1, 2);
        },
        None,
    )
    .await;
    let url = server.server.url();
    let over = async |desk: &str| {
        for number in 0..50 {
            let answer = Post::new(desk, &format!("m-{number}"), "t", "hello", None).send(&url).await;
            if answer.status() == StatusCode::TOO_MANY_REQUESTS {
                return answer;
            }
        }
        panic!("no message was too many");
    };
    let refused = over("acme-desk").await;
    assert!(refused.headers().contains_key("retry-after"));
    problem(refused, "HV0221").await;
    let control = server.server.engine().store().control().engine();
    let count = "SELECT count(*) FROM gateway_arrivals WHERE finished_at IS NULL";
    let waits = control.read("count", move |conn| Ok(conn.query_row(count, [], |row| row.get::<_, i64>(0))?));
    assert_eq!(waits.await.unwrap(), 0, "what was refused left nothing behind");
    json_of(Post::new("zeta-desk", "m-0", "t", "hello", None).send(&url).await, StatusCode::OK).await;

    // A frame on an open socket is such a message.
    let key = server.key("solo", "kim").await;
    let (mut socket, _) = connect_async(knock(&url, &key.text)).await.unwrap();
    let told = async {
        for number in 0..50 {
            let say = json!({ "type": "say", "id": number.to_string(), "chat": "desk", "text": "hello" });
            socket.send(Message::text(say.to_string())).await.unwrap();
            let told =
                told(&mut socket, |told| ["taken", "refused"].contains(&told["type"].as_str().unwrap()))
                    .await;
            if told["type"] == "refused" {
                return told;
            }
        }
        panic!("no frame was too many");
    }
    .await;
    assert!(told["retry_after_s"].as_u64().unwrap() > 0, "{told}");
}

type Socket = tokio_tungstenite::WebSocketStream<tokio_tungstenite::MaybeTlsStream<tokio::net::TcpStream>>;

fn knock(url: &str, key: &str) -> http::Request<()> {
    let url = format!("{}/gateway/ws", url.replace("http://", "ws://"));
    let mut request = url.into_client_request().unwrap();
    request.headers_mut().insert("authorization", format!("Bearer {key}").parse().unwrap());
    request
}

/// The next frame that is meant.
async fn told(socket: &mut Socket, is_meant: impl Fn(&Value) -> bool) -> Value {
    loop {
        let frame = socket.next().await.unwrap().unwrap();
        let Ok(Ok(told)) = frame.to_text().map(serde_json::from_str::<Value>) else { continue };
        if is_meant(&told) {
            return told;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_key_ends_at_the_next_frame_of_an_open_socket() {
    let server = desk().await;
    let key = server.key("acme", "kim").await;
    let (mut socket, _) = connect_async(knock(&server.server.url(), &key.text)).await.unwrap();
    let say = |id: &str| {
        let said = "Remember that our account manager is Robin Vega.";
        Message::text(json!({ "type": "say", "id": id, "chat": "desk", "text": said }).to_string())
    };
    socket.send(say("1")).await.unwrap();
    told(&mut socket, |told| told["type"] == "message").await;
    let control = server.server.engine().store().control();
    assert!(haversack_server::auth::admin::revoke(control, &key.id, "test").await.is_ok());
    socket.send(say("2")).await.unwrap();
    let why = loop {
        match socket.next().await.unwrap().unwrap() {
            Message::Close(why) => break why.unwrap(),
            frame => assert!(!frame.is_text(), "nothing more is told: {frame}"),
        }
    };
    assert_eq!(u16::from(why.code), 1008);
    assert!(why.reason.contains("key"), "{}", why.reason);
    let sam = server.key("acme", "sam").await;
    let list = json_of(server.get(&sam, "/v1/sessions").await, StatusCode::OK).await;
    assert_eq!(list["sessions"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_socket_of_a_revoked_key_ends_at_its_next_heartbeat() {
    let server = start_with(|config| config.limits.heartbeat_s = 1, None).await;
    let (key, other) = (server.key("acme", "kim").await, server.key("acme", "kim").await);
    let (mut silent, _) = connect_async(knock(&server.server.url(), &key.text)).await.unwrap();
    let (mut lives, _) = connect_async(knock(&server.server.url(), &other.text)).await.unwrap();
    assert!(silent.next().await.unwrap().unwrap().is_ping(), "nothing is said, and it lives");
    let control = server.server.engine().store().control();
    assert!(haversack_server::auth::admin::revoke(control, &key.id, "test").await.is_ok());
    let closed = async {
        loop {
            match silent.next().await.unwrap().unwrap() {
                Message::Close(why) => break why.unwrap(),
                frame => assert!(frame.is_ping(), "nothing is told: {frame}"),
            }
        }
    };
    let why = tokio::time::timeout(std::time::Duration::from_secs(60), closed).await.expect("it stays open");
    assert_eq!(u16::from(why.code), 1008);
    // The other one's clock ticked meanwhile.
    assert!(lives.next().await.unwrap().unwrap().is_ping());
    lives.send(Message::text(json!({ "type": "join", "chat": "desk" }).to_string())).await.unwrap();
    told(&mut lives, |told| told["type"] == "joined").await;
}

/// An open socket keeps its place among the connections, and gives it back.
#[tokio::test(flavor = "multi_thread")]
async fn an_open_socket_is_a_connection() {
    let server = start_with(|config| config.limits.connections = 2, None).await;
    let url = server.server.url();
    let mut sockets = Vec::new();
    for tenant in ["acme", "zeta"] {
        let key = server.key(tenant, "kim").await;
        sockets.push(connect_async(knock(&url, &key.text)).await.unwrap().0);
    }
    // Nobody is let in while both are open; the answer comes when one has ended, and not before.
    let asks = client().get(format!("{url}/healthz")).send();
    let mut asks = std::pin::pin!(asks);
    let mut first = sockets.remove(0);
    first.send(Message::text(json!({ "type": "join", "chat": "desk" }).to_string())).await.unwrap();
    tokio::select! {
        biased;
        answer = &mut asks => panic!("a third connection was let in: {answer:?}"),
        told = told(&mut first, |told| told["type"] == "joined") => drop(told),
    }
    for chat in ["a", "b", "c", "d", "e", "f", "g", "h"] {
        first.send(Message::text(json!({ "type": "join", "chat": chat }).to_string())).await.unwrap();
        tokio::select! {
            biased;
            answer = &mut asks => panic!("a third connection was let in: {answer:?}"),
            told = told(&mut first, |told| told["type"] == "joined") => drop(told),
        }
    }
    drop(first);
    assert_eq!(asks.await.unwrap().status(), StatusCode::OK);
}

/// A head without its body: an account that does not exist, or no signature.
#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_can_have_signed_is_refused_before_its_body_is_read() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let server = desk().await;
    let address = server.server.addr();
    let signed = format!(
        "webhook-id: m\r\nwebhook-timestamp: {}\r\nwebhook-signature: v1,AAAA\r\n",
        now_millis() / 1000
    );
    for (account, headers) in [("nobody", signed.as_str()), ("acme-desk", "")] {
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let head = format!(
            "POST /gateway/webhook/{account} HTTP/1.1\r\nhost: x\r\n{headers}content-length: 1000000\r\nconnection: close\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 401") && answer.contains("HV0802"), "{answer}");
    }
}

/// Conversations of other platforms are sessions of whom they belong to: listed, read, closed and deleted like any other.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_of_the_gateway_is_read_and_deleted_by_its_owner() {
    let server = desk().await;
    let url = server.server.url();
    let said = "Remember that our account manager is Robin Vega.";
    for (id, thread) in [("m-7", "t 7/ü?#%2F"), ("m-8", "t-8")] {
        json_of(Post::new("acme-desk", id, thread, said, None).send(&url).await, StatusCode::OK).await;
    }
    let (kim, sam) = (server.key("acme", "kim").await, server.key("acme", "sam").await);
    let page = json_of(server.get(&kim, "/v1/sessions?limit=1").await, StatusCode::OK).await;
    let encoded = |name: &str| name.bytes().map(|byte| format!("%{byte:02X}")).collect::<String>();
    let before = encoded(page["before"].as_str().unwrap());
    let rest =
        json_of(server.get(&kim, &format!("/v1/sessions?before={before}")).await, StatusCode::OK).await;
    let name = rest["sessions"][0]["session"].as_str().unwrap();
    assert!(name.starts_with("gateway/") && name.contains("t 7/ü?#%2F"), "{rest}");
    let path = format!("/v1/sessions/{}", encoded(name));
    let view = json_of(server.get(&kim, &path).await, StatusCode::OK).await;
    assert!(view.to_string().contains(said), "{view}");
    problem(server.get(&sam, &path).await, "HV0205").await;
    problem(server.request(http::Method::DELETE, &path, &sam).send().await.unwrap(), "HV0205").await;
    // It is a place on a platform, and no name that a request may begin a session with.
    problem(server.turn(&kim, &encoded(name), "hello").send().await.unwrap(), "HV0207").await;
    let closed = server.request(http::Method::POST, &format!("{path}/close"), &kim).send().await.unwrap();
    json_of(closed, StatusCode::OK).await;
    json_of(server.request(http::Method::DELETE, &path, &kim).send().await.unwrap(), StatusCode::OK).await;
    problem(server.get(&kim, &path).await, "HV0205").await;
    let list = json_of(server.get(&kim, "/v1/sessions").await, StatusCode::OK).await;
    assert_eq!(list["sessions"].as_array().unwrap().len(), 1, "{list}");
}

/// What was accepted is answered, although the server was killed while one message had its turn and another waited behind it.
#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_was_accepted_is_answered_after_kill_nine() {
    let here = tempfile::tempdir().unwrap();
    let data = here.path().join("data");
    std::fs::write(here.path().join("haversack.toml"), with_export(here.path(), false)).unwrap();
    // Long enough that only the kill ends the wait for the file that is held below.
    let environment = [
        ("HAVERSACK_STORE__PATH", data.to_str().unwrap()),
        ("HAVERSACK_SERVER__DEMO_KEYS", "true"),
        ("HAVERSACK_STORE__BUSY_TIMEOUT_MS", "600000"),
        ("HAVERSACK_LIMITS__TURN_TIMEOUT_S", "3600"),
    ];
    let (arguments, inbox) = (["--bind", "127.0.0.1:0"], Inbox::open().await);
    let mut first = Program::serve(here.path(), &arguments, &environment);
    let post = |id: &str, thread: &str, name: &str| {
        let said = format!("Remember that our account manager is Robin {name}.");
        Post::new("northwind-desk", id, thread, &said, Some(&inbox.url))
    };
    post("m-1", "t-1", "Vega").send(first.url()).await;
    inbox.has(1).await;
    settled(async || {
        let list = client().get(format!("{}/v1/deliveries", first.url())).bearer_auth(first.key("northwind"));
        let list: Value = list.send().await.unwrap().json().await.unwrap();
        (list["deliveries"][0]["state"] == "delivered").then_some(())
    })
    .await;
    // Nobody can write in the tenants' files, so no turn comes to its end.
    let files = std::fs::read_dir(data.join("tenants")).unwrap().map(|file| file.unwrap().path());
    let files = files.filter(|path| path.extension().is_some_and(|end| end == "sqlite"));
    let held: Vec<_> = files
        .map(|path| {
            let file = haversack_store::sqlite::Connection::open(path).unwrap();
            file.busy_timeout(std::time::Duration::from_secs(60)).unwrap();
            file.execute_batch("BEGIN IMMEDIATE").unwrap();
            file
        })
        .collect();
    assert!(!held.is_empty());
    let accepted = [post("m-2", "t-2", "Lund"), post("m-3", "t-2", "Haas"), post("m-4", "t-4", "Moss")];
    for message in &accepted {
        json_of(message.send(first.url()).await, StatusCode::ACCEPTED).await;
    }
    first.kill_nine();
    drop(held);
    assert_eq!(inbox.now().len(), 1, "none of them was answered");

    let second = Program::serve(here.path(), &arguments, &environment);
    inbox.has(4).await;
    for message in &accepted {
        let again = json_of(message.send(second.url()).await, StatusCode::OK).await;
        assert_eq!(again["status"], "duplicate");
    }
    post("m-9", "t-9", "Holt").send(second.url()).await;
    let answers = inbox.has(5).await;
    let place =
        |answer: &Value| ["in_reply_to", "thread"].map(|part| answer[part].as_str().unwrap().to_owned());
    let mut places: Vec<_> = answers.iter().map(place).collect();
    let of_the_lane = ["m-2", "m-3"].map(|id| places.iter().position(|place| place[0] == id).unwrap());
    assert!(of_the_lane[0] < of_the_lane[1], "in their order: {places:?}");
    places.sort();
    let expected = [("m-1", "t-1"), ("m-2", "t-2"), ("m-3", "t-2"), ("m-4", "t-4"), ("m-9", "t-9")];
    assert_eq!(
        places,
        expected.map(|(id, thread)| [id.to_owned(), thread.to_owned()]),
        "each once, in its thread"
    );
    for (id, name) in [("m-2", "Lund"), ("m-3", "Haas"), ("m-4", "Moss")] {
        let answer = answers.iter().find(|answer| answer["in_reply_to"] == id).unwrap();
        assert!(answer["text"].as_str().unwrap().contains(name), "{answer}");
        assert_eq!(answer["redelivery"], false, "{answer}");
    }
}
