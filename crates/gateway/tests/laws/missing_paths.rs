//! With one of its required variables not bound at its door, a message is not answered, a schedule does not run, a delivery
//! goes nowhere, and nobody is asked to. What another tenant said last is never taken in its place.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use haversack::testing::missing_paths;
use haversack_gateway::cron::SCHEDULE_ID;
use haversack_gateway::door::{CRON, DEFERRED, GATEWAY};
use haversack_gateway::{Arrival, Reply};
use serde_json::json;

use super::callbacks::Callbacks;
use super::house::{Answers, House, Post, account, echo, options};
use super::lost::{ask, execute, until};
use super::processes::call;

#[tokio::test]
async fn a_message_without_a_required_variable_is_refused_at_its_door() {
    let asked = Arc::new(AtomicU32::new(0));
    let counted = asked.clone();
    let responder = Answers(move |_: Arrival| {
        counted.fetch_add(1, Ordering::SeqCst);
        async { Ok(Reply::new("answered")) }
    });
    let house = House::open(vec![account("shop", "acme", "http://127.0.0.1:9")], Arc::new(responder)).await;
    let sent = AtomicU32::new(0);
    let message = || async {
        let id = format!("m{}", sent.fetch_add(1, Ordering::SeqCst));
        match Post::new("shop", &id, "hello").send(&house).await {
            (200, answer) if answer["text"] == "answered" => Ok(()),
            other => Err(other),
        }
    };
    let report = missing_paths(&GATEWAY).run(message).await;
    report.assert_loud();
    assert_eq!(report.variables().len(), GATEWAY.required().len());
    assert_eq!(asked.load(Ordering::SeqCst), 1, "once, with everything bound");
}

#[tokio::test]
async fn a_schedule_without_a_required_variable_is_refused_at_its_door() {
    let mut callbacks = Callbacks::start().await;
    let runs = Arc::new(AtomicU32::new(0));
    let accounts =
        vec![account("shop", "acme", &callbacks.origin), account("mill", "birch", &callbacks.origin)];
    let house = House::in_folder(Arc::new(tempfile::tempdir().unwrap()), accounts, options(), |desk| {
        let (desk, runs) = (desk.clone(), runs.clone());
        Arc::new(Answers(move |arrival: Arrival| {
            let (desk, runs) = (desk.clone(), runs.clone());
            async move {
                if SCHEDULE_ID.is_bound() {
                    runs.fetch_add(1, Ordering::SeqCst);
                    return Ok(Reply::default());
                }
                let arguments = serde_json::from_str(&arrival.message().unwrap().text).unwrap();
                Ok(Reply::new(call(&desk, "schedule", arguments).await))
            }
        }))
    })
    .await;
    let daily = json!({ "action": "create", "expression": "0 6 * * *", "prompt": "water" }).to_string();
    let list = json!({ "action": "list" }).to_string();
    for (account, id, text) in [("shop", "m1", &daily), ("mill", "m2", &list)] {
        Post::new(account, id, text).calling(callbacks.url("/told")).send(&house).await;
        callbacks.next().await;
    }
    let due = || async {
        let before = runs.load(Ordering::SeqCst);
        assert_eq!(execute(&house, "UPDATE gateway_schedules SET next_at = 1").await, 1);
        // It has run, or was refused, when it has a time again.
        until(&house, "SELECT count(*) FROM gateway_schedules WHERE next_at = 1", 0).await;
        if runs.load(Ordering::SeqCst) > before { Ok(()) } else { Err("it did not run") }
    };
    let report = missing_paths(&CRON).run(due).await;
    report.assert_loud();
    assert_eq!(report.variables().len(), CRON.required().len());
    assert_eq!(runs.load(Ordering::SeqCst), 1, "once, with everything bound");
}

#[tokio::test]
async fn a_delivery_without_a_required_variable_is_refused_at_its_door() {
    let mut callbacks = Callbacks::start().await;
    let accounts =
        vec![account("shop", "acme", &callbacks.origin), account("mill", "birch", &callbacks.origin)];
    let house = House::open(accounts, echo()).await;
    Post::new("mill", "m0", "of another tenant").calling(callbacks.url("/mill")).send(&house).await;
    callbacks.next().await;
    let (sent, url) = (AtomicU32::new(0), callbacks.url("/shop"));
    let message = || async {
        let ended = i64::from(sent.fetch_add(1, Ordering::SeqCst)) + 1;
        let post = Post::new("shop", &format!("m{ended}"), &format!("hello {ended}"));
        assert_eq!(post.calling(url.clone()).send(&house).await.0, 202);
        until(
            &house,
            "SELECT count(*) FROM gateway_deliveries WHERE tenant = 'acme' AND ended_at > 0",
            ended,
        )
        .await;
        let last = "SELECT state || coalesce(' ' || reason, '') FROM gateway_deliveries
                    WHERE tenant = 'acme' ORDER BY number DESC LIMIT 1";
        match ask::<String>(&house, last).await.as_str() {
            "delivered" => Ok(()),
            "failed context" => Err("refused at the door"),
            other => panic!("{other}"),
        }
    };
    let report = missing_paths(&DEFERRED).run(message).await;
    report.assert_loud();
    assert_eq!(report.variables().len(), DEFERRED.required().len());
    let heard = callbacks.next().await;
    assert_eq!((heard.path.as_str(), heard.text.as_str()), ("/shop", "echo hello 1"));
    assert!(callbacks.rest().is_empty(), "once, with everything bound");
}
