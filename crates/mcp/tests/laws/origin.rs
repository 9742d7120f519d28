//! Requests that name a strange host or origin are refused before anything runs.

use haversack_mcp::{Allowed, McpOptions, McpServer};
use serde_json::json;

use super::house::{House, offer, whoami};

async fn status(house: &House, header: (&str, &str)) -> u16 {
    let client = house.client("acme", "kim");
    let (message, mut headers) = client.message("tools/call", json!({ "name": "whoami" }), "r");
    headers.push(("accept-language", "en".to_owned()));
    let mut headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    headers.push(header);
    client.post(&message, &headers).await.status
}

#[tokio::test]
async fn only_loopback_names_come_in_by_default() {
    let house = House::offering([whoami()]).await;
    for header in [
        ("host", "localhost:9"),
        ("host", "[::1]:9"),
        ("origin", "http://localhost:5173"),
        ("origin", "http://127.0.0.1"),
    ] {
        assert_eq!(status(&house, header).await, 200, "{header:?}");
    }
    for header in [
        ("host", "evil.example"),
        ("host", "localhost.evil.example"),
        ("host", "127.0.0.1.evil.example:80"),
        ("origin", "http://evil.example"),
        ("origin", "https://localhost.evil.example"),
        ("origin", "null"),
    ] {
        assert_eq!(status(&house, header).await, 403, "{header:?}");
    }
}

#[tokio::test]
async fn the_lists_are_configuration() {
    let allowed = Allowed::besides_loopback(["mcp.example.com"], ["https://app.example.com"]).unwrap();
    let options = McpOptions { allowed, ..McpOptions::default() };
    let house = House::of(McpServer::new(offer([whoami()]), options).unwrap()).await;
    for header in [("host", "mcp.example.com"), ("host", "localhost"), ("origin", "https://app.example.com")]
    {
        assert_eq!(status(&house, header).await, 200, "{header:?}");
    }
    for header in [("host", "example.com"), ("origin", "https://app.example.com:8443")] {
        assert_eq!(status(&house, header).await, 403, "{header:?}");
    }
}
