//! Sessions of the transport belong to whoever began them.

use haversack_mcp::{McpOptions, McpServer};
use serde_json::json;

use super::house::{House, WHO, offer, whoami};

#[tokio::test]
async fn a_session_of_another_looks_like_one_that_never_was() {
    let house = House::offering([whoami()]).await;
    let mut mine = house.client("acme", "kim");
    mine.initialize().await;
    let mut lost = house.client("acme", "kim");
    lost.session = Some("00000000-0000-0000-0000-000000000000".to_owned());
    let unknown = lost.call("whoami", json!({})).await;
    assert_eq!(unknown.status, 404);
    for (tenant, principal) in [("globex", "kim"), ("acme", "lou")] {
        let mut thief = house.client(tenant, principal);
        thief.session = mine.session.clone();
        let call = thief.call("whoami", json!({})).await;
        assert_eq!((call.status, &call.text), (unknown.status, &unknown.text));
        let note = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
        assert_eq!(thief.post(&note, &[]).await.status, 404);
        // The stream of the session, and its end.
        let get = thief.http.get(&thief.url).header(WHO, &thief.who).header("accept", "text/event-stream");
        let get = get.header("mcp-session-id", thief.session.as_ref().unwrap()).send().await.unwrap();
        assert_eq!(get.status(), 404);
        delete(&thief).await;
    }
    assert_eq!(mine.call("whoami", json!({})).await.status, 200, "nobody closed it");
    delete(&mine).await;
    assert_eq!(mine.call("whoami", json!({})).await.status, 404);
}

async fn delete(client: &super::house::Client) {
    let delete = client.http.delete(&client.url).header(WHO, &client.who);
    let session = client.session.as_ref().unwrap();
    assert_eq!(delete.header("mcp-session-id", session).send().await.unwrap().status(), 204);
}

#[tokio::test]
async fn one_session_too_many_ends_the_longest_idle_of_its_owner() {
    let options = McpOptions { sessions: 2, ..McpOptions::default() };
    let house = House::of(McpServer::new(offer([whoami()]), options).unwrap()).await;
    let mut clients = Vec::new();
    for (tenant, principal) in [("acme", "lou"), ("acme", "kim"), ("acme", "kim"), ("acme", "kim")] {
        let mut client = house.client(tenant, principal);
        client.initialize().await;
        clients.push(client);
    }
    let mut statuses = Vec::new();
    for client in &clients {
        statuses.push(client.call("whoami", json!({})).await.status);
    }
    assert_eq!(statuses, [200, 404, 200, 200]);
}

#[tokio::test]
async fn the_session_of_the_transport_is_a_session_for_the_tools() {
    let house = House::offering([whoami()]).await;
    let (mut one, mut two) = (house.client("acme", "kim"), house.client("acme", "kim"));
    one.initialize().await;
    two.initialize().await;
    let seen = async |client: &super::house::Client| {
        client.call("whoami", json!({})).await.result()["structuredContent"]["session"].clone()
    };
    let first = seen(&one).await;
    assert!(first.as_str().unwrap().starts_with("mcp/"));
    assert_eq!(seen(&one).await, first);
    assert_ne!(seen(&two).await, first);
}

#[tokio::test]
async fn closing_the_server_ends_its_sessions() {
    let house = House::offering([whoami()]).await;
    let mut client = house.client("acme", "kim");
    client.initialize().await;
    let get = client.http.get(&client.url).header(WHO, &client.who).header("accept", "text/event-stream");
    let stream = get.header("mcp-session-id", client.session.as_ref().unwrap()).send().await.unwrap();
    assert_eq!(stream.status(), 200);
    house.server.close();
    // The body ends, so a listener that drains is not kept waiting.
    stream.text().await.unwrap();
}
