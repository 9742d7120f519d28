//! What was accepted is answered, also when its gateway stopped before its turn came.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use haversack_gateway::{Arrival, Hooks, Reply, Responder};
use serde_json::json;
use tempfile::TempDir;
use tokio::sync::{Semaphore, mpsc};

use crate::callbacks::Callbacks;
use crate::house::{Answers, House, Post, account, echo, options};

/// Says which message it was given, and never answers it.
fn deaf() -> (Arc<dyn Responder>, mpsc::UnboundedReceiver<String>) {
    let (begins, began) = mpsc::unbounded_channel();
    let responder = Answers(move |arrival: Arrival| {
        let _ = begins.send(arrival.message().unwrap().text.clone());
        std::future::pending::<Result<Reply, _>>()
    });
    (Arc::new(responder), began)
}

/// A folder in which a gateway has accepted `m1`, whose turn ran when it stopped, and `m2`, which waited behind it.
async fn left_over(callbacks: &Callbacks) -> Arc<TempDir> {
    let (responder, mut began) = deaf();
    let house = House::open(vec![account("shop", "acme", &callbacks.origin)], responder).await;
    for id in ["m1", "m2"] {
        let post = Post::new("shop", id, id).in_thread("t1").calling(callbacks.url("/in"));
        assert_eq!(post.send(&house).await.0, 202);
    }
    assert_eq!(began.recv().await.unwrap(), "m1");
    house.gateway.drain(Duration::ZERO).await;
    let folder = house.close().await;
    assert!(began.try_recv().is_err(), "the second never began");
    folder
}

async fn open(folder: Arc<TempDir>, callbacks: &Callbacks, hooks: Hooks) -> House {
    let mut options = options();
    options.hooks = hooks;
    House::in_folder(folder, vec![account("shop", "acme", &callbacks.origin)], options, |_| echo()).await
}

/// Changes the rows of messages.
async fn change(house: &House, sql: &'static str) -> usize {
    let engine = house.store.control().engine();
    engine.write("change", move |tx| Ok(tx.execute(sql, [])?)).await.unwrap()
}

#[tokio::test]
async fn what_an_orderly_stop_did_not_come_to_is_answered_after_the_next_start_once_and_in_its_thread() {
    let mut callbacks = Callbacks::start().await;
    let folder = left_over(&callbacks).await;
    let house = open(folder, &callbacks, Hooks::default()).await;
    for id in ["m1", "m2"] {
        let heard = callbacks.next().await;
        assert_eq!(heard.text, format!("echo {id}"), "in the order in which they came");
        assert_eq!((&heard.body["thread"], &heard.body["in_reply_to"]), (&json!("t1"), &json!(id)));
    }
    for id in ["m1", "m2"] {
        let again = Post::new("shop", id, id).in_thread("t1").calling(callbacks.url("/in"));
        assert_eq!(again.send(&house).await.1["status"], "duplicate");
    }
    let house = open(house.close().await, &callbacks, Hooks::default()).await;
    Post::new("shop", "m3", "m3").calling(callbacks.url("/in")).send(&house).await;
    assert_eq!(callbacks.next().await.text, "echo m3");
    assert!(callbacks.rest().is_empty(), "once, also over a further restart");
    let kept = change(&house, "UPDATE gateway_arrivals SET sealed = NULL WHERE sealed IS NOT NULL").await;
    assert_eq!(kept, 0, "and nothing is kept of what was answered");
}

#[tokio::test]
async fn a_message_that_another_living_process_works_on_is_left_to_it() {
    let mut callbacks = Callbacks::start().await;
    let folder = left_over(&callbacks).await;
    {
        let store = crate::house::store_in(folder.path());
        let engine = store.control().engine();
        let given =
            engine.write("give", |tx| Ok(tx.execute("UPDATE gateway_arrivals SET instance = 'other'", [])?));
        assert_eq!(given.await.unwrap(), 2);
        store.close().await.unwrap();
    }
    let alive = Arc::new(AtomicBool::new(true));
    let other = alive.clone();
    let hooks = Hooks::default().process("one", move |name| name == "other" && other.load(Ordering::SeqCst));
    let house = open(folder, &callbacks, hooks).await;
    assert_eq!(house.gateway.resume().await.unwrap(), 0);
    let again = Post::new("shop", "m1", "m1").in_thread("t1").calling(callbacks.url("/in"));
    assert_eq!(again.send(&house).await.1["status"], "duplicate");
    alive.store(false, Ordering::SeqCst);
    for id in ["m1", "m2"] {
        assert_eq!(callbacks.next().await.text, format!("echo {id}"));
    }
}

#[tokio::test]
async fn a_message_that_does_not_open_is_given_up_once_and_holds_up_nobody() {
    let mut callbacks = Callbacks::start().await;
    let folder = left_over(&callbacks).await;
    {
        let store = crate::house::store_in(folder.path());
        let engine = store.control().engine();
        let moved = engine.write("tamper", |tx| {
            let first = "(SELECT sealed FROM gateway_arrivals ORDER BY number LIMIT 1)";
            let sql = format!("UPDATE gateway_arrivals SET sealed = {first} WHERE sealed <> {first}");
            Ok(tx.execute(&sql, [])?)
        });
        assert_eq!(moved.await.unwrap(), 1, "the second row holds what was sealed for the first");
        store.close().await.unwrap();
    }
    let house = open(folder, &callbacks, Hooks::default()).await;
    assert_eq!(callbacks.next().await.text, "echo m1");
    let settled = async {
        while change(&house, "UPDATE gateway_arrivals SET starts = 0 WHERE finished_at IS NULL").await > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), settled).await.expect("both are over");
    Post::new("shop", "m3", "m3").calling(callbacks.url("/in")).send(&house).await;
    assert_eq!(callbacks.next().await.text, "echo m3");
    assert!(callbacks.rest().is_empty());
}

#[tokio::test]
async fn a_message_that_ends_every_process_that_works_on_it_is_given_up_and_its_sender_is_told() {
    let mut callbacks = Callbacks::start().await;
    let folder = left_over(&callbacks).await;
    {
        let store = crate::house::store_in(folder.path());
        let engine = store.control().engine();
        let sql = "UPDATE gateway_arrivals SET starts = 3 WHERE number = (SELECT min(number) FROM gateway_arrivals)";
        assert_eq!(engine.write("age", move |tx| Ok(tx.execute(sql, [])?)).await.unwrap(), 1);
        store.close().await.unwrap();
    }
    let _house = open(folder, &callbacks, Hooks::default()).await;
    let heard = [callbacks.next().await, callbacks.next().await];
    assert!(heard.iter().any(|heard| heard.text.contains("given up") && heard.body["in_reply_to"] == "m1"));
    assert!(heard.iter().any(|heard| heard.text == "echo m2"));
}

#[tokio::test]
async fn a_backlog_is_taken_up_a_bounded_number_at_a_time() {
    let mut callbacks = Callbacks::start().await;
    let (responder, mut began) = deaf();
    let house = House::open(vec![account("shop", "acme", &callbacks.origin)], responder).await;
    for number in 0..20 {
        let id = format!("m{number}");
        let post = Post::new("shop", &id, &id).in_thread(&id).calling(callbacks.url("/in"));
        assert_eq!(post.send(&house).await.0, 202);
        began.recv().await.unwrap();
    }
    house.gateway.drain(Duration::ZERO).await;
    let folder = house.close().await;

    let gate = Arc::new(Semaphore::new(0));
    let (begins, mut began) = mpsc::unbounded_channel();
    let held = gate.clone();
    let responder: Arc<dyn Responder> = Arc::new(Answers(move |arrival: Arrival| {
        let _ = begins.send(());
        let held = held.clone();
        async move {
            held.acquire().await.unwrap().forget();
            Ok(Reply::new(arrival.message().unwrap().text.clone()))
        }
    }));
    let accounts = vec![account("shop", "acme", &callbacks.origin)];
    let house = House::in_folder(folder, accounts, options(), |_| responder).await;
    for _ in 0..16 {
        began.recv().await.unwrap();
    }
    assert_eq!(house.gateway.resume().await.unwrap(), 0, "a tenant has this many places");
    assert!(began.try_recv().is_err());
    gate.add_permits(20);
    for _ in 0..20 {
        callbacks.next().await;
    }
}
