//! What a server said or promised and had not delivered when it was stopped or killed.

use http::StatusCode;
use serde_json::{Value, json};

use super::{Inbox, Post, desk, with_export};
use crate::harness::{client, json_of};
use crate::program::{Program, Worker, settled};

/// A background tool that a turn began tells its end in the thread that asked, although the server was killed meanwhile, another
/// process did the work, and somebody else wrote in between.
#[tokio::test(flavor = "multi_thread")]
async fn a_background_tool_answers_in_its_thread_after_kill_nine() {
    let here = tempfile::tempdir().unwrap();
    let data = here.path().join("data");
    std::fs::write(here.path().join("haversack.toml"), with_export(here.path(), false)).unwrap();
    let environment =
        [("HAVERSACK_STORE__PATH", data.to_str().unwrap()), ("HAVERSACK_SERVER__DEMO_KEYS", "true")];
    let arguments = ["--bind", "127.0.0.1:0"];
    let inbox = Inbox::open().await;

    let mut first = Program::serve(here.path(), &arguments, &environment);
    let asks = Post::new("northwind-desk", "m-1", "t-asks", "Please run the export.", Some(&inbox.url));
    json_of(asks.send(first.url()).await, StatusCode::ACCEPTED).await;
    let promised = inbox.has(1).await;
    assert!(promised[0]["text"].as_str().unwrap().contains("job_"), "{promised:?}");
    // Heard is not settled: killed in between, it would be said once more, with the mark.
    settled(async || {
        let list = client().get(format!("{}/v1/deliveries", first.url())).bearer_auth(first.key("northwind"));
        let list: Value = list.send().await.unwrap().json().await.unwrap();
        (list["deliveries"][0]["state"] == "delivered").then_some(())
    })
    .await;
    first.kill_nine();

    let second = Program::serve(here.path(), &arguments, &environment);
    let other = Post::new(
        "northwind-desk",
        "m-2",
        "t-other",
        "Remember that our account manager is Robin Vega.",
        Some(&inbox.url),
    );
    json_of(other.send(second.url()).await, StatusCode::ACCEPTED).await;
    assert_eq!(inbox.has(2).await[1]["thread"], "t-other");
    let _worker = Worker::start(here.path(), &data);
    std::fs::write(here.path().join("go"), "").unwrap();
    let answers = inbox.has(3).await;
    assert_eq!(
        (&answers[2]["thread"], &answers[2]["in_reply_to"]),
        (&json!("t-asks"), &json!("m-1")),
        "{answers:?}"
    );
    assert!(answers[2]["text"].as_str().unwrap().contains("succeeded"), "{answers:?}");
    // The same message, sent again to the server of today, is known.
    let again = json_of(asks.send(second.url()).await, StatusCode::OK).await;
    assert_eq!(again["status"], "duplicate");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_delivers_what_was_said() {
    let (server, inbox) = (desk().await, Inbox::open().await);
    let url = server.server.url();
    for number in 0..8 {
        let (id, thread) = (format!("m-{number}"), format!("t-{number}"));
        let post = Post::new(
            "acme-desk",
            &id,
            &thread,
            "Remember that our account manager is Robin Vega.",
            Some(&inbox.url),
        );
        json_of(post.send(&url).await, StatusCode::ACCEPTED).await;
    }
    server.server.shutdown().await.unwrap();
    assert_eq!(inbox.now().len(), 8, "nothing that was taken is left unsaid");
}

/// What could not be delivered when the server was killed goes out from the next one, once.
#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_that_waits_survives_kill_nine() {
    let here = tempfile::tempdir().unwrap();
    std::fs::write(here.path().join("haversack.toml"), with_export(here.path(), false)).unwrap();
    let arguments = ["--bind", "127.0.0.1:0"];
    let data = here.path().join("data");
    let environment =
        [("HAVERSACK_STORE__PATH", data.to_str().unwrap()), ("HAVERSACK_SERVER__DEMO_KEYS", "true")];
    // Nobody listens there yet.
    let reserved = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = reserved.local_addr().unwrap();
    drop(reserved);
    let mut first = Program::serve(here.path(), &arguments, &environment);
    let said = "Remember that our account manager is Robin Vega.";
    let callback = format!("http://{address}/answers");
    let post = Post::new("northwind-desk", "m-1", "t-1", said, Some(&callback));
    json_of(post.send(first.url()).await, StatusCode::ACCEPTED).await;
    settled(async || {
        let list = client().get(format!("{}/v1/deliveries", first.url())).bearer_auth(first.key("northwind"));
        let list: Value = list.send().await.unwrap().json().await.unwrap();
        let first = &list["deliveries"][0];
        (first["state"] == "pending" && first["attempts"] == 1).then_some(())
    })
    .await;
    first.kill_nine();
    let inbox = Inbox::at(&address.to_string()).await;
    let second = Program::serve(here.path(), &arguments, &environment);
    let answers = inbox.has(1).await;
    assert_eq!(
        (&answers[0]["thread"], &answers[0]["redelivery"]),
        (&json!("t-1"), &json!(false)),
        "{answers:?}"
    );
    let again = json_of(post.send(second.url()).await, StatusCode::OK).await;
    assert_eq!(again["status"], "duplicate");
}
