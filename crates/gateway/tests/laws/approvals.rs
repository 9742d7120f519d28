//! Approvals are bound to session, person and place. Denied is the default.

use std::sync::Arc;
use std::time::Duration;

use haversack_gateway::approval::Decision;
use haversack_gateway::{Arrival, Desk, Reply, Responder};

use crate::callbacks::Callbacks;
use crate::house::{Answers, House, Post, account, options};

/// Asks before it does anything.
fn asks(desk: &Desk) -> Arc<dyn Responder> {
    let desk = desk.clone();
    Arc::new(Answers(move |arrival: Arrival| {
        let desk = desk.clone();
        async move {
            let what = arrival.message().unwrap().text.clone();
            let decision = desk.approvals().ask(&what).await.unwrap();
            Ok(Reply::new(format!("{what}: {}", if decision == Decision::Approve { "done" } else { "not done" })))
        }
    }))
}

async fn open(origin: &str, patience: Duration) -> House {
    let mut options = options();
    options.patience = patience;
    let accounts = vec![account("shop", "acme", origin), account("bank", "bank", origin)];
    House::in_folder(Arc::new(tempfile::tempdir().unwrap()), accounts, options, asks).await
}

/// The id in `/approve ID`.
fn id(text: &str) -> String {
    let (_, rest) = text.split_once("/approve ").unwrap();
    rest.split('`').next().unwrap().to_owned()
}

#[tokio::test]
async fn the_one_who_is_asked_approves_where_it_was_asked() {
    let mut callbacks = Callbacks::start().await;
    let house = open(&callbacks.origin, Duration::from_secs(60)).await;
    let post = |message: &str, text: &str| {
        Post::new("shop", message, text).in_group("ops").in_thread("t1").calling(callbacks.url("/in"))
    };
    post("m1", "delete everything").send(&house).await;
    let question = callbacks.next().await;
    assert_eq!((question.body["chat"].as_str(), question.body["thread"].as_str()), (Some("ops"), Some("t1")));
    assert!(question.text.contains("delete everything"));
    let post = Post::new("shop", "m2", &format!("/approve {}", id(&question.text))).in_group("ops").in_thread("t1");
    let (status, told) = post.calling(callbacks.url("/in")).send(&house).await;
    assert_eq!((status, told["text"].as_str()), (200, Some("Approved.")));
    assert_eq!(callbacks.next().await.text, "delete everything: done");
}

#[tokio::test]
async fn nobody_else_and_from_nowhere_else() {
    let mut callbacks = Callbacks::start().await;
    let house = open(&callbacks.origin, Duration::from_secs(60)).await;
    let url = callbacks.url("/in");
    Post::new("shop", "m1", "delete everything").in_group("ops").in_thread("t1").calling(url.clone()).send(&house).await;
    let id = id(&callbacks.next().await.text);
    let approve = format!("/approve {id}");
    let elsewhere = [
        // Another person in the same thread.
        Post::new("shop", "m2", &approve).from("u-lee").in_group("ops").in_thread("t1").calling(url.clone()),
        // The same person in another thread, in another chat, and over another way.
        Post::new("shop", "m3", &approve).in_group("ops").in_thread("t2").calling(url.clone()),
        Post::new("shop", "m4", &approve).calling(url.clone()),
        Post::new("shop", "m5", &approve).in_group("ops").in_thread("t1").calling(callbacks.url("/other")),
        // Somebody of that name at another tenant.
        Post::new("bank", "m6", &approve).in_group("ops").in_thread("t1").calling(url.clone()),
    ];
    for post in elsewhere {
        let (_, told) = post.send(&house).await;
        assert_eq!(told["text"], "there is no such question here", "{post:?}");
    }
    // The question is still open, and its person says no.
    let post = Post::new("shop", "m7", &format!("/deny {id}")).in_group("ops").in_thread("t1").calling(url.clone());
    assert_eq!(post.send(&house).await.1["text"], "Denied.");
    assert_eq!(callbacks.next().await.text, "delete everything: not done");
    let post = Post::new("shop", "m8", &approve).in_group("ops").in_thread("t1").calling(url);
    assert_eq!(post.send(&house).await.1["text"], "there is no such question here", "an answer is good once");
}

#[tokio::test]
async fn no_answer_is_a_no() {
    let mut callbacks = Callbacks::start().await;
    let house = open(&callbacks.origin, Duration::from_millis(50)).await;
    Post::new("shop", "m1", "delete everything").calling(callbacks.url("/in")).send(&house).await;
    assert!(callbacks.next().await.text.contains("/approve"));
    assert_eq!(callbacks.next().await.text, "delete everything: not done");
}

#[tokio::test]
async fn where_nobody_can_be_asked_the_answer_is_no_at_once() {
    let house = open("https://hooks.example.com", Duration::from_secs(3600)).await;
    let (_, told) = Post::new("shop", "m1", "delete everything").send(&house).await;
    assert_eq!(told["text"], "delete everything: not done");
}
