//! The delivery ledger: every state, sealed words, order, places that die and heal.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use haversack_gateway::ledger::{AGAIN, Delivery, DeliveryState};

use crate::callbacks::{Callbacks, Say};
use crate::house::{House, Post, account, echo, options};

/// The deliveries of kim at acme, once `enough` of them is so.
pub(crate) async fn deliveries(house: &House, enough: impl Fn(&[Delivery]) -> bool) -> Vec<Delivery> {
    let ledger = house.desk.ledger().clone();
    let settled = house.inside("acme", "kim", async move {
        loop {
            let all = ledger.list(100).await.unwrap();
            if enough(&all) {
                return all;
            }
            // A state is a row; nothing tells of its change.
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    tokio::time::timeout(Duration::from_secs(30), settled).await.expect("the ledger settles")
}

pub(crate) fn all(state: DeliveryState) -> impl Fn(&[Delivery]) -> bool {
    move |deliveries| !deliveries.is_empty() && deliveries.iter().all(|delivery| delivery.state == state)
}

/// Every file below `folder` that holds these bytes.
fn on_disk(folder: &Path, needle: &str) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if std::fs::read(&path).unwrap().windows(needle.len()).any(|w| w == needle.as_bytes()) {
                found.push(path);
            }
        }
    }
    found
}

#[tokio::test]
async fn what_is_said_and_where_to_is_not_in_the_control_file_in_the_clear() {
    let mut callbacks = Callbacks::start().await;
    callbacks.script("/secret-path", (0..20).map(|_| Say::Status(503)));
    let house = House::open(vec![account("shop", "acme", &callbacks.origin)], echo()).await;
    Post::new("shop", "m1", "xyzzy-plugh")
        .in_chat("chat-of-kim")
        .calling(callbacks.url("/secret-path"))
        .send(&house)
        .await;
    // It waits in the file, attempted and not delivered.
    callbacks.next().await;
    for word in ["xyzzy-plugh", "secret-path", "chat-of-kim"] {
        assert_eq!(on_disk(house.folder.path(), word), Vec::<std::path::PathBuf>::new(), "{word}");
    }
}

#[tokio::test]
async fn a_delivery_that_fails_is_tried_again_and_is_the_same_delivery() {
    let mut callbacks = Callbacks::start().await;
    callbacks.script("/in", [Say::Status(500), Say::Status(429), Say::Status(204)]);
    let house = House::open(vec![account("shop", "acme", &callbacks.origin)], echo()).await;
    Post::new("shop", "m1", "hello").calling(callbacks.url("/in")).send(&house).await;
    let heard = [callbacks.next().await, callbacks.next().await, callbacks.next().await];
    assert!(heard.iter().all(|heard| heard.id == heard.id && heard.text == "echo hello"));
    assert_eq!(heard[0].id, heard[2].id, "a receiver can tell a repetition by its id");
    let settled = deliveries(&house, all(DeliveryState::Delivered)).await;
    assert_eq!((settled.len(), settled[0].attempts), (1, 3));
}

#[tokio::test]
async fn a_refused_delivery_fails_at_once_and_a_hopeless_one_after_its_attempts() {
    let mut callbacks = Callbacks::start().await;
    callbacks.script("/no", [Say::Status(400)]);
    callbacks.script("/down", (0..50).map(|_| Say::Status(503)));
    let mut options = options();
    options.ledger.attempts = 3;
    let house = House::with(vec![account("shop", "acme", &callbacks.origin)], options, echo()).await;
    Post::new("shop", "m1", "a").calling(callbacks.url("/no")).send(&house).await;
    Post::new("shop", "m2", "b").in_chat("c2").calling(callbacks.url("/down")).send(&house).await;
    let settled =
        deliveries(&house, |all| all.len() == 2 && all.iter().all(|d| d.state == DeliveryState::Failed))
            .await;
    let mut reasons: Vec<_> = settled.iter().map(|d| (d.reason.clone().unwrap(), d.attempts)).collect();
    reasons.sort();
    assert_eq!(reasons, [("refused".to_owned(), 1), ("unreachable".to_owned(), 3)]);
    assert_eq!(callbacks.rest().len(), 4);
}

#[tokio::test]
async fn a_place_hears_things_in_order_also_when_the_first_has_to_wait() {
    let mut callbacks = Callbacks::start().await;
    callbacks.script("/in", [Say::Status(503), Say::Status(503)]);
    let house = House::open(vec![account("shop", "acme", &callbacks.origin)], echo()).await;
    for id in ["m1", "m2", "m3"] {
        Post::new("shop", id, id).calling(callbacks.url("/in")).send(&house).await;
    }
    let mut heard = Vec::new();
    for _ in 0..5 {
        heard.push(callbacks.next().await.text);
    }
    assert_eq!(heard, ["echo m1", "echo m1", "echo m1", "echo m2", "echo m3"]);
}

#[tokio::test]
async fn a_dead_place_is_remembered_probed_and_healed() {
    let mut callbacks = Callbacks::start().await;
    callbacks.script("/in", [Say::Status(410)]);
    let mut options = options();
    options.ledger.dead_after = 2;
    let house = House::with(vec![account("shop", "acme", &callbacks.origin)], options, echo()).await;
    let url = callbacks.url("/in");
    Post::new("shop", "m1", "gone").calling(url.clone()).send(&house).await;
    let failed = deliveries(&house, all(DeliveryState::Failed)).await;
    assert_eq!(failed[0].reason.as_deref(), Some("gone"));
    assert_eq!(dead(&house).await, 1, "the place is remembered");
    callbacks.rest();
    // A probe goes out in time; when it is answered the place is as any other.
    Post::new("shop", "m2", "there?").calling(url).send(&house).await;
    assert_eq!(callbacks.next().await.text, "echo there?");
    deliveries(&house, |all| all[0].state == DeliveryState::Delivered).await;
    assert_eq!(dead(&house).await, 0, "the place is healed");
}

/// Makes everything due that waits, places that are held back excepted, and has the ledger look.
async fn look(house: &House, callbacks: &mut Callbacks, id: &str) {
    crate::lost::execute(house, "UPDATE gateway_deliveries SET due_at = 0 WHERE state = 'pending'").await;
    Post::new("shop", id, "look").in_chat("other").calling(callbacks.url("/other")).send(house).await;
}

/// What is heard in a place until the ledger has looked once: what comes elsewhere then says that it has.
async fn heard_in(callbacks: &mut Callbacks, house: &House, place: &str) -> Vec<String> {
    let mut heard = Vec::new();
    loop {
        let next = callbacks.next().await;
        if next.path != place {
            // What began in the same look is settled with it.
            crate::lost::until(
                house,
                "SELECT count(*) FROM gateway_deliveries WHERE state = 'attempting'",
                0,
            )
            .await;
            heard.extend(callbacks.rest().into_iter().map(|more| more.text));
            return heard;
        }
        heard.push(next.text);
    }
}

#[tokio::test]
async fn a_place_that_fails_again_and_again_is_dead_held_back_but_for_one_probe_and_remembered() {
    let mut callbacks = Callbacks::start().await;
    callbacks.script("/in", (0..100).map(|_| Say::Status(503)));
    let mut options = options();
    (options.ledger.dead_after, options.ledger.attempts) = (3, 100);
    // Nothing is due again by itself.
    (options.ledger.first_wait, options.ledger.longest_wait) =
        (Duration::from_secs(3600), Duration::from_secs(3600));
    let (folder, accounts) =
        (Arc::new(tempfile::tempdir().unwrap()), vec![account("shop", "acme", &callbacks.origin)]);
    let house = House::in_folder(folder, accounts.clone(), options.clone(), |_| echo()).await;
    let say = |id: &str| Post::new("shop", id, id).calling(callbacks.url("/in"));
    let (m1, m2, m3) = (say("m1"), say("m2"), say("m3"));
    m1.send(&house).await;
    assert_eq!(callbacks.next().await.text, "echo m1");
    let failed = |times: u32| {
        move |all: &[Delivery]| all.iter().any(|d| d.attempts == times && d.state == DeliveryState::Pending)
    };
    deliveries(&house, failed(1)).await;
    for times in [2, 3] {
        assert_eq!(dead(&house).await, 0, "{} failures", times - 1);
        look(&house, &mut callbacks, &format!("look{times}")).await;
        assert_eq!(heard_in(&mut callbacks, &house, "/in").await, ["echo m1"]);
        deliveries(&house, failed(times)).await;
    }
    assert_eq!(dead(&house).await, 1, "after three failures in a row");

    // What is said there now waits, also when it is due.
    m2.send(&house).await;
    m3.send(&house).await;
    look(&house, &mut callbacks, "look4").await;
    assert_eq!(heard_in(&mut callbacks, &house, "/in").await, [""; 0], "it is held back");
    // In time it is probed, by the oldest alone.
    crate::lost::execute(&house, "UPDATE gateway_targets SET probe_at = 0").await;
    look(&house, &mut callbacks, "look5").await;
    assert_eq!(heard_in(&mut callbacks, &house, "/in").await, ["echo m1"], "one probe");
    deliveries(&house, failed(4)).await;

    // A restart forgets nothing of it.
    let house = House::in_folder(house.close().await, accounts, options, |_| echo()).await;
    callbacks.rest();
    assert_eq!(dead(&house).await, 1);
    look(&house, &mut callbacks, "look6").await;
    assert_eq!(heard_in(&mut callbacks, &house, "/in").await, [""; 0], "it is still held back");
    // When a probe is answered everything goes out, in order.
    callbacks.script("/in", []);
    crate::lost::execute(&house, "UPDATE gateway_targets SET probe_at = 0").await;
    look(&house, &mut callbacks, "look7").await;
    let mut heard = Vec::new();
    while heard.len() < 3 {
        let next = callbacks.next().await;
        heard.extend((next.path == "/in").then_some(next.text));
    }
    assert_eq!(heard, ["echo m1", "echo m2", "echo m3"]);
    assert_eq!(dead(&house).await, 0);
}

/// How many places are dead, as the file says.
async fn dead(house: &House) -> i64 {
    let engine = house.store.control().engine();
    let count = engine.read("count", |conn| {
        Ok(conn.query_row(
            "SELECT count(*) FROM gateway_targets WHERE dead_since IS NOT NULL",
            [],
            |row| row.get(0),
        )?)
    });
    count.await.unwrap()
}

#[tokio::test]
async fn an_attempt_that_may_have_arrived_is_repeated_with_a_mark() {
    let mut callbacks = Callbacks::start().await;
    callbacks.script("/in", [Say::Hang]);
    let mut options = options();
    options.ledger.part_timeout = Duration::from_millis(200);
    let house = House::with(vec![account("shop", "acme", &callbacks.origin)], options, echo()).await;
    Post::new("shop", "m1", "hello").calling(callbacks.url("/in")).send(&house).await;
    assert_eq!(callbacks.next().await.text, "echo hello");
    let again = callbacks.next().await;
    assert_eq!(again.text, format!("{AGAIN}echo hello"));
    assert_eq!(again.body["redelivery"], true);
    deliveries(&house, all(DeliveryState::Delivered)).await;
}

#[tokio::test]
async fn what_is_too_old_is_abandoned() {
    let callbacks = Callbacks::start().await;
    callbacks.script("/in", (0..50).map(|_| Say::Status(503)));
    let mut options = options();
    options.ledger.longest_wait = Duration::from_secs(3600);
    options.ledger.first_wait = Duration::from_secs(3600);
    options.ledger.oldest = Duration::ZERO;
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let accounts = vec![account("shop", "acme", &callbacks.origin)];
    let house = House::in_folder(folder, accounts.clone(), options.clone(), |_| echo()).await;
    Post::new("shop", "m1", "hello").calling(callbacks.url("/in")).send(&house).await;
    deliveries(&house, |all| all.iter().any(|d| d.state == DeliveryState::Pending && d.attempts == 1)).await;
    // The sweep runs at start.
    let folder = house.close().await;
    let house = House::in_folder(folder, accounts, options, |_| echo()).await;
    let abandoned = deliveries(&house, all(DeliveryState::Abandoned)).await;
    assert_eq!(abandoned[0].reason.as_deref(), Some("too old"));
}

#[tokio::test]
async fn a_delivery_of_a_tenant_is_seen_by_its_principal_alone() {
    let mut callbacks = Callbacks::start().await;
    let house = House::open(vec![account("shop", "acme", &callbacks.origin)], echo()).await;
    Post::new("shop", "m1", "hello").calling(callbacks.url("/in")).send(&house).await;
    callbacks.next().await;
    for (tenant, who) in [("acme", "lee"), ("globex", "kim")] {
        let ledger = house.desk.ledger().clone();
        let seen = house.inside(tenant, who, async move { ledger.list(10).await.unwrap() }).await;
        assert_eq!(seen, [], "{who} of {tenant}");
    }
    let ledger = house.desk.ledger().clone();
    let seen = house.inside("acme", "kim", async move { ledger.list(10).await.unwrap() }).await;
    assert_eq!(seen.len(), 1);
}

#[tokio::test]
async fn a_row_that_was_moved_to_another_tenant_does_not_open() {
    let mut callbacks = Callbacks::start().await;
    callbacks.script("/in", [Say::Status(503)]);
    let mut options = options();
    options.ledger.first_wait = Duration::from_secs(2);
    options.ledger.longest_wait = Duration::from_secs(2);
    let house = House::with(vec![account("shop", "acme", &callbacks.origin)], options, echo()).await;
    Post::new("shop", "m1", "hello").calling(callbacks.url("/in")).send(&house).await;
    callbacks.next().await;
    deliveries(&house, |all| all.iter().any(|d| d.state == DeliveryState::Pending && d.attempts == 1)).await;
    let engine = house.store.control().engine();
    let moved = engine.write("tamper", |tx| {
        Ok(tx.execute("UPDATE gateway_deliveries SET tenant = 'globex', due_at = 0", [])?)
    });
    assert_eq!(moved.await.unwrap(), 1);
    let ledger = house.desk.ledger().clone();
    let failed = house.inside("globex", "kim", async move {
        loop {
            let all = ledger.list(10).await.unwrap();
            if all[0].state == DeliveryState::Failed {
                return all;
            }
            // A state is a row; nothing tells of its change.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    assert_eq!(failed.await[0].reason.as_deref(), Some("sealed"));
    assert!(callbacks.rest().is_empty(), "nothing was sent in another tenant's name");
}
