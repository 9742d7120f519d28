//! Webhooks: signed, in time, once, and in bounded sizes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use haversack_gateway::platform::webhook::{SigningSecret, sign};
use haversack_gateway::{Arrival, Reply};
use haversack_store::now_millis;
use serde_json::json;

use crate::callbacks::Callbacks;
use crate::house::{Answers, House, Post, SECRET, account, echo};

#[tokio::test]
async fn a_message_without_a_good_signature_is_refused() {
    let house = House::open(vec![account("shop", "acme", "https://hooks.example.com")], echo()).await;
    let now = now_millis() / 1000;
    let post = Post::new("shop", "m1", "hello");
    assert_eq!(post.send_at(&house, now, "another secret of sixteen").await.0, 401);
    assert_eq!(post.send_raw(&house, now, "", post.body()).await.0, 401);
    assert_eq!(post.send_raw(&house, now, "v1,bm9uc2Vuc2U=", post.body()).await.0, 401);
    // A good signature of another body, another id, another time.
    let secret = SigningSecret::parse(SECRET).unwrap();
    let good = sign::sign(&secret, "m1", now, &post.body());
    assert_eq!(post.send_raw(&house, now, &good, Post::new("shop", "m1", "other").body()).await.0, 401);
    assert_eq!(post.send_raw(&house, now + 1, &good, post.body()).await.0, 401);
    assert_eq!(Post { id: "m2".to_owned(), ..post.clone() }.send_raw(&house, now, &good, post.body()).await.0, 401);
    // An account that does not exist says the same as a wrong signature.
    assert_eq!(Post::new("nowhere", "m1", "hello").send(&house).await, post.send_at(&house, now, "x".repeat(16).as_str()).await);
    // None of it was taken.
    assert_eq!(post.send(&house).await.1["text"], "echo hello");
}

#[tokio::test]
async fn a_replaced_secret_is_good_for_as_long_as_it_is_listed() {
    let mut shop = account("shop", "acme", "https://hooks.example.com");
    shop.webhook.secrets.insert(0, SigningSecret::parse("whsec_bmV3IHNlY3JldCBvZiBzaXh0ZWVuIGJ5dGVz").unwrap());
    let house = House::open(vec![shop], echo()).await;
    let now = now_millis() / 1000;
    assert_eq!(Post::new("shop", "m1", "old").send_at(&house, now, SECRET).await.0, 200);
    assert_eq!(Post::new("shop", "m2", "new").send_at(&house, now, "new secret of sixteen bytes").await.0, 200);
}

#[tokio::test]
async fn a_replay_is_rejected_outside_the_window_and_without_effect_inside() {
    let answered = Arc::new(AtomicU32::new(0));
    let count = answered.clone();
    let house = House::open(
        vec![account("shop", "acme", "https://hooks.example.com")],
        Arc::new(Answers(move |_| {
            let count = count.clone();
            async move { Ok(Reply::new(count.fetch_add(1, Ordering::SeqCst).to_string())) }
        })),
    )
    .await;
    let now = now_millis() / 1000;
    let post = Post::new("shop", "m1", "once");
    assert_eq!(post.send_at(&house, now - 301, SECRET).await.0, 401);
    assert_eq!(post.send_at(&house, now + 330, SECRET).await.0, 401);
    assert_eq!(post.send_at(&house, now, SECRET).await.1["status"], "answered");
    assert_eq!(post.send_at(&house, now, SECRET).await, (200, json!({ "status": "duplicate" })));
    // A retry of the sender has a new time and a new signature, and is the same message.
    assert_eq!(post.send_at(&house, now + 1, SECRET).await.1["status"], "duplicate");
    assert_eq!(answered.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn two_accounts_may_use_one_message_id() {
    let shops = ["shop", "bank"].map(|name| account(name, name, "https://hooks.example.com"));
    let house = House::open(shops.to_vec(), echo()).await;
    assert_eq!(Post::new("shop", "m1", "a").send(&house).await.1["text"], "echo a");
    assert_eq!(Post::new("bank", "m1", "b").send(&house).await.1["text"], "echo b");
}

#[tokio::test]
async fn attachments_and_text_are_bounded_and_what_fits_arrives_whole() {
    let house = House::open(
        vec![account("shop", "acme", "https://hooks.example.com")],
        Arc::new(Answers(|arrival: Arrival| async move {
            let attachments = &arrival.message().unwrap().attachments;
            let sizes: Vec<_> = attachments.iter().map(|a| format!("{}:{}", a.name, a.bytes.len())).collect();
            Ok(Reply::new(sizes.join(" ")))
        })),
    )
    .await;
    let file = |name: &str, bytes: usize| json!({ "name": name, "content": STANDARD.encode(vec![7; bytes]) });
    let with = |id: &str, files: Vec<serde_json::Value>| {
        let mut post = Post::new("shop", id, "files");
        post.extra = json!({ "attachments": files });
        post
    };
    assert_eq!(with("m1", vec![file("a", 10), file("b", 2 << 20)]).send(&house).await.1["text"], "a:10 b:2097152");
    assert_eq!(with("m2", vec![file("a", (2 << 20) + 1)]).send(&house).await.0, 413);
    assert_eq!(with("m3", (0..9).map(|n| file(&n.to_string(), 1)).collect()).send(&house).await.0, 413);
    assert_eq!(with("m4", (0..3).map(|n| file(&n.to_string(), 2 << 20)).collect()).send(&house).await.0, 413);
    assert_eq!(Post::new("shop", "m5", &"x".repeat(32 * 1024 + 1)).send(&house).await.0, 413);
    let mut broken = Post::new("shop", "m6", "files");
    broken.extra = json!({ "attachments": [{ "name": "a", "content": "not base64" }] });
    assert_eq!(broken.send(&house).await.0, 422);
    assert_eq!(Post::new("shop", &"i".repeat(400), "x").send(&house).await.0, 413);
}

#[tokio::test]
async fn an_answer_goes_to_the_callback_signed_and_in_the_thread_that_asked() {
    let mut callbacks = Callbacks::start().await;
    let house = House::open(vec![account("shop", "acme", &callbacks.origin)], echo()).await;
    let post = Post::new("shop", "m1", "hello").in_group("c9").in_thread("t3").calling(callbacks.url("/in"));
    assert_eq!(post.send(&house).await.0, 202);
    let heard = callbacks.next().await;
    assert_eq!(heard.path, "/in");
    assert!(heard.is_signed_with(SECRET) && !heard.is_signed_with("another secret of sixteen"));
    assert_eq!(
        heard.body,
        json!({ "account": "shop", "chat": "c9", "thread": "t3", "in_reply_to": "m1", "text": "echo hello",
                "part": 1, "parts": 1, "redelivery": false })
    );
}

#[tokio::test]
async fn a_callback_that_the_account_does_not_allow_is_refused_before_anything_runs() {
    let callbacks = Callbacks::start().await;
    let house = House::open(vec![account("shop", "acme", "https://hooks.example.com")], echo()).await;
    for bad in [callbacks.url("/in"), "http://169.254.169.254/".to_owned(), "https://hooks.example.com.evil.net/".to_owned()] {
        let (status, told) = Post::new("shop", "m1", "hello").calling(bad).send(&house).await;
        assert_eq!(status, 422, "{told}");
    }
    // The message was not taken: without the callback it is new.
    assert_eq!(Post::new("shop", "m1", "hello").send(&house).await.0, 200);
}

#[tokio::test]
async fn a_long_answer_comes_in_parts_that_the_platform_takes_in_order_and_whole() {
    let mut callbacks = Callbacks::start().await;
    let mut shop = account("shop", "acme", &callbacks.origin);
    shop.webhook.max_chars = 200;
    let words: Vec<String> = (0..200).map(|n| format!("word{n}")).collect();
    let long = words.join(" ");
    let text = long.clone();
    let says = Arc::new(Answers(move |_| {
        let text = text.clone();
        async move { Ok(Reply::new(text)) }
    }));
    let house = House::open(vec![shop], says).await;
    Post::new("shop", "m1", "much").calling(callbacks.url("/in")).send(&house).await;
    let mut parts = vec![callbacks.next().await];
    let of = usize::try_from(parts[0].body["parts"].as_u64().unwrap()).unwrap();
    assert!(of > 5);
    for _ in 1..of {
        parts.push(callbacks.next().await);
    }
    assert!(parts.iter().all(|part| part.text.chars().count() <= 200));
    let numbers: Vec<u64> = parts.iter().map(|part| part.body["part"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (1..=of as u64).collect::<Vec<_>>());
    let together: Vec<&str> = parts.iter().map(|part| part.text.as_str()).collect();
    assert_eq!(together.join(" "), long);
}
