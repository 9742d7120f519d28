//! Event streams: numbered without a gap, one end, and each event once however often the connection breaks.

use futures_util::StreamExt;
use reqwest::{Response, StatusCode};
use serde_json::Value;

use super::harness::{Gated, Key, TestServer, json_of, problem, start, start_with};

/// One event as it came over the wire.
#[derive(Debug, Clone, PartialEq)]
struct Event {
    id: String,
    name: String,
    data: Value,
}

fn parse(text: &str) -> Vec<Event> {
    let field = |block: &str, name: &str| {
        block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ").map(str::to_owned))
    };
    let event = |block: &str| {
        let data = field(block, "data")?;
        let data = serde_json::from_str(&data).unwrap();
        Some(Event { id: field(block, "id").unwrap(), name: field(block, "event").unwrap(), data })
    };
    text.split("\n\n").filter_map(event).collect()
}

async fn events(response: Response) -> Vec<Event> {
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    parse(&response.text().await.unwrap())
}

/// Reads until `count` events have come, then breaks the connection.
async fn first(response: Response, count: usize) -> Vec<Event> {
    let mut stream = response.bytes_stream();
    let mut text = String::new();
    while parse(whole(&text)).len() < count {
        text.push_str(std::str::from_utf8(&stream.next().await.unwrap().unwrap()).unwrap());
    }
    let mut events = parse(whole(&text));
    events.truncate(count);
    events
}

fn whole(text: &str) -> &str {
    text.rfind("\n\n").map_or("", |end| &text[..end + 2])
}

fn stream(server: &TestServer, key: &Key) -> reqwest::RequestBuilder {
    let message = "Remember that our account manager is Robin Vega. Who is our account manager?";
    server.turn(key, "s", message).header("Accept", "text/event-stream")
}

fn turn_of(event: &Event) -> String {
    event.id.rsplit_once('.').unwrap().0.to_owned()
}

fn assert_complete(events: &[Event]) {
    let turn = turn_of(&events[0]);
    for (event, number) in events.iter().zip(1..) {
        assert_eq!(event.id, format!("{turn}.{number}"));
        assert_eq!(event.name, event.data["event"]);
    }
    let ends = events.iter().filter(|event| ["finished", "failed"].contains(&event.name.as_str())).count();
    assert_eq!(ends, 1, "{events:?}");
    assert_eq!(events.last().unwrap().name, "finished");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_has_numbered_events_and_one_end() {
    let server = start().await;
    let kim = server.key("acme", "kim").await;
    let response = stream(&server, &kim).send().await.unwrap();
    let location = response.headers()["content-location"].to_str().unwrap().to_owned();
    let events = events(response).await;
    assert_complete(&events);
    assert_eq!(events[0].name, "started");
    assert_eq!(location, format!("/v1/turns/{}", turn_of(&events[0])));
    let said: String = events.iter().filter_map(|event| event.data["text"].as_str()).collect();
    let reply = &events.last().unwrap().data["reply"];
    assert!(said.ends_with(reply["text"].as_str().unwrap()), "{said}");
    let view = json_of(server.get(&kim, "/v1/sessions/s").await, StatusCode::OK).await;
    assert_eq!(view["history"][0]["turn"], reply["turn"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_stream_continues_with_each_event_once() {
    let model = Gated::closed();
    let server = start_with(|_| {}, Some(model.clone())).await;
    let kim = server.key("acme", "kim").await;
    let mut seen = first(stream(&server, &kim).send().await.unwrap(), 1).await;
    let turn = turn_of(&seen[0]);
    model.open();
    // Break off after every single event, here and there by turns.
    loop {
        let last = seen.last().unwrap().id.clone();
        let request = if seen.len() % 2 == 0 {
            server.request(reqwest::Method::GET, &format!("/v1/turns/{turn}/events"), &kim)
        } else {
            stream(&server, &kim)
        };
        let response = request.header("Last-Event-ID", last).send().await.unwrap();
        if response.status() == StatusCode::NO_CONTENT {
            break;
        }
        seen.extend(first(response, 1).await);
    }
    assert_complete(&seen);
    assert_eq!(events(server.get(&kim, &format!("/v1/turns/{turn}/events")).await).await, seen);
    let view = json_of(server.get(&kim, "/v1/sessions/s").await, StatusCode::OK).await;
    assert_eq!(view["history"].as_array().unwrap().len(), 1, "continuing starts no turn");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_turn_that_the_server_no_longer_holds_still_has_its_end() {
    let server = start_with(|config| config.limits.kept_turns = 0, None).await;
    let kim = server.key("acme", "kim").await;
    let seen = events(stream(&server, &kim).send().await.unwrap()).await;
    let turn = turn_of(&seen[0]);
    let path = format!("/v1/turns/{turn}/events");
    let left = events(server.get(&kim, &path).await).await;
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].data["reply"]["text"], seen.last().unwrap().data["reply"]["text"]);
    let request = server.request(reqwest::Method::GET, &path, &kim).header("Last-Event-ID", &left[0].id);
    assert_eq!(request.send().await.unwrap().status(), StatusCode::NO_CONTENT);
    let state = json_of(server.get(&kim, &format!("/v1/turns/{turn}")).await, StatusCode::OK).await;
    assert_eq!(state["status"], "finished");
    assert_eq!(state["reply"]["text"], seen.last().unwrap().data["reply"]["text"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_id_that_is_none_is_refused() {
    let server = start().await;
    let kim = server.key("acme", "kim").await;
    let seen = events(stream(&server, &kim).send().await.unwrap()).await;
    let turn = turn_of(&seen[0]);
    let ask = async |id: &str| {
        let request = server.request(reqwest::Method::GET, &format!("/v1/turns/{turn}/events"), &kim);
        request.header("Last-Event-ID", id).send().await.unwrap()
    };
    for bad in ["x", "1", &format!("{turn}."), &format!("{turn}.x"), "turn_00.1"] {
        problem(ask(bad).await, "HV0212").await;
    }
    // Of another session it is not found, and starts nothing.
    let other = server.turn(&kim, "t", "hello").header("Last-Event-ID", &seen[0].id).send().await.unwrap();
    problem(other, "HV0206").await;
    assert_eq!(server.get(&kim, "/v1/sessions/t").await.status(), StatusCode::NOT_FOUND);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_turn_ends_its_stream_with_its_code() {
    let server = start().await;
    let kim = server.key("acme", "kim").await;
    let sam = server.key("acme", "sam").await;
    server.say(&sam, "s", "hello").await;
    let events = events(stream(&server, &kim).send().await.unwrap()).await;
    assert_eq!(events.len(), 1, "{events:?}");
    assert_eq!((events[0].name.as_str(), &events[0].data["code"]), ("failed", &Value::from("HV0204")));
}
