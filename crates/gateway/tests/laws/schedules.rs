//! Schedules run as themselves: no live sender, a principal of their own, answers where they were meant to go.

use std::sync::{Arc, Mutex};

use haversack::well_known::{PRINCIPAL, SESSION_ID, TENANT_ID};
use haversack_gateway::approval::Decision;
use haversack_gateway::cron::{ORIGIN, SCHEDULE_ID};
use haversack_gateway::session::{CHAT_ID, MESSAGE_ID, PLATFORM, REPLY_ROUTE, USER_ID};
use haversack_gateway::{Account, Arrival, Desk, Reply, Responder};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::callbacks::Callbacks;
use crate::house::{Answers, House, Post, account, options};
use crate::processes::call;

/// Schedules what it is told, and when it is a schedule, tells what it is.
fn responder(desk: &Desk) -> Arc<dyn Responder> {
    let desk = desk.clone();
    Arc::new(Answers(move |arrival: Arrival| {
        let desk = desk.clone();
        async move {
            let text = arrival.message().unwrap().text.clone();
            if !SCHEDULE_ID.is_bound() {
                return Ok(Reply::new(call(&desk, "schedule", serde_json::from_str(&text).unwrap()).await));
            }
            let allowed = desk.approvals().ask("something dangerous").await.unwrap();
            let told = json!({
                "prompt": text,
                "tenant": TENANT_ID.get().unwrap(),
                "principal": PRINCIPAL.get().unwrap(),
                "session": SESSION_ID.get().unwrap(),
                "platform": PLATFORM.get().unwrap(),
                "user": USER_ID.get().unwrap(),
                "chat": CHAT_ID.get().unwrap(),
                "message": MESSAGE_ID.get().unwrap(),
                "schedule": SCHEDULE_ID.get().unwrap(),
                "origin": ORIGIN.get().unwrap(),
                "to": REPLY_ROUTE.get().unwrap(),
                "allowed": allowed == Decision::Approve,
            });
            Ok(Reply::new(told.to_string()))
        }
    }))
}

async fn open(folder: Arc<TempDir>, accounts: Vec<Account>) -> House {
    House::in_folder(folder, accounts, options(), responder).await
}

fn create(more: Value) -> String {
    let mut arguments =
        json!({ "action": "create", "expression": "0 6 * * *", "prompt": "water the plants" });
    arguments.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    arguments.to_string()
}

/// Moves the time of every schedule to now.
async fn due(house: &House) {
    let engine = house.store.control().engine();
    let moved = engine
        .write("make schedules due", |tx| Ok(tx.execute("UPDATE gateway_schedules SET next_at = 1", [])?));
    assert!(moved.await.unwrap() > 0);
}

#[tokio::test]
async fn a_schedule_runs_as_itself_and_its_origin_is_data() {
    let mut callbacks = Callbacks::start().await;
    let mut shop = account("shop", "acme", &callbacks.origin);
    shop.cross_post = serde_json::from_value(json!([{ "chat": "announcements" }])).unwrap();
    let house = open(Arc::default_folder(), vec![shop]).await;
    let target = json!({ "deliver_to": { "chat": "announcements", "thread": "daily" } });
    let post = Post::new("shop", "m1", &create(target)).in_group("family");
    post.calling(callbacks.url("/family")).send(&house).await;
    let made: Value = serde_json::from_str(&callbacks.next().await.text).unwrap();
    // The last message of all comes from elsewhere.
    Post::new("shop", "m2", r#"{"action":"list"}"#)
        .in_chat("dm")
        .calling(callbacks.url("/dm"))
        .send(&house)
        .await;
    assert!(
        callbacks.next().await.text.contains(made["id"].as_str().unwrap()),
        "its owner sees it from everywhere"
    );
    due(&house).await;
    let run = callbacks.next().await;
    assert_eq!((&run.body["chat"], &run.body["thread"]), (&json!("announcements"), &json!("daily")));
    let run: Value = serde_json::from_str(&run.text).unwrap();
    let id = made["id"].as_str().unwrap();
    assert_eq!(run["principal"], format!("cron:{id}"));
    assert_eq!(run["session"], format!("cron/{id}"));
    assert_eq!((&run["tenant"], &run["schedule"]), (&json!("acme"), &json!(id)));
    assert_eq!((&run["platform"], &run["user"], &run["chat"]), (&json!("cron"), &json!(""), &json!("")));
    let url = callbacks.url("/family");
    let origin = json!({ "platform": "webhook", "account": "shop", "chat": "family", "message": "m1",
                         "callback": url });
    let to = json!({ "platform": "webhook", "account": "shop", "chat": "announcements", "thread": "daily",
                     "callback": url });
    assert_eq!(run["origin"], origin, "where it was asked for");
    assert_eq!(run["to"], to, "where its answers go");
    assert_eq!(run["message"], format!("{id}@1"));
    assert_eq!(run["prompt"], "water the plants");
    assert_eq!(run["allowed"], false, "there is nobody to ask");
}

#[tokio::test]
async fn a_run_is_one_however_many_times_were_missed_and_the_next_is_in_time() {
    let mut callbacks = Callbacks::start().await;
    let house = open(Arc::default_folder(), vec![account("shop", "acme", &callbacks.origin)]).await;
    Post::new("shop", "m1", &create(json!({}))).calling(callbacks.url("/in")).send(&house).await;
    callbacks.next().await;
    // Due since 1970.
    due(&house).await;
    callbacks.next().await;
    let now = haversack_store::now_millis();
    let engine = house.store.control().engine();
    let next = loop {
        let next: i64 = engine
            .read("look", |conn| {
                Ok(conn.query_row("SELECT next_at FROM gateway_schedules", [], |row| row.get(0))?)
            })
            .await
            .unwrap();
        if next != 1 {
            break next;
        }
        tokio::task::yield_now().await;
    };
    assert!(next > now && next % (24 * 3_600_000) == 6 * 3_600_000, "six in the morning, UTC: {next}");
    assert!(callbacks.rest().is_empty());
}

#[tokio::test]
async fn a_schedule_survives_a_restart_and_ends_when_its_owner_says_so() {
    let mut callbacks = Callbacks::start().await;
    let accounts =
        vec![account("shop", "acme", &callbacks.origin), account("bank", "bank", &callbacks.origin)];
    let house = open(Arc::default_folder(), accounts.clone()).await;
    Post::new("shop", "m1", &create(json!({}))).calling(callbacks.url("/in")).send(&house).await;
    let made: Value = serde_json::from_str(&callbacks.next().await.text).unwrap();
    let folder = house.close().await;
    let house = open(folder, accounts).await;
    due(&house).await;
    assert_eq!(callbacks.next().await.path, "/in");
    let cancel = json!({ "action": "cancel", "id": made["id"] }).to_string();
    // Somebody else, of this tenant or another, has no such schedule.
    for post in
        [Post::new("shop", "m2", &cancel).from("u-lee").in_chat("lee"), Post::new("bank", "m2", &cancel)]
    {
        let (_, told) = post.send(&house).await;
        assert!(told["text"].as_str().unwrap().contains("no such schedule"), "{told}");
    }
    let (_, told) = Post::new("shop", "m3", &cancel).send(&house).await;
    assert_eq!(told["text"], "cancelled");
    let (_, told) = Post::new("shop", "m4", r#"{"action":"list"}"#).send(&house).await;
    assert_eq!(told["text"], "[]");
}

#[tokio::test]
async fn a_schedule_needs_a_channel_or_a_granted_target_and_a_time() {
    let mut callbacks = Callbacks::start().await;
    let mut shop = account("shop", "acme", &callbacks.origin);
    shop.cross_post = serde_json::from_value(json!([{ "chat": "news" }])).unwrap();
    let house = open(Arc::default_folder(), vec![shop]).await;
    let refused = async |id: &str, more: Value| {
        Post::new("shop", id, &create(more)).send(&house).await.1["text"].as_str().unwrap().to_owned()
    };
    assert!(refused("m1", json!({})).await.contains("cannot be reached"));
    assert!(refused("m2", json!({ "deliver_to": { "chat": "boss" } })).await.contains("need a grant"));
    assert!(
        refused("m3", json!({ "deliver_to": { "chat": "news" }, "expression": "now and then" }))
            .await
            .contains("cron")
    );
    // Granted, and over a callback: it goes there and not back.
    let post = Post::new("shop", "m4", &create(json!({ "deliver_to": { "chat": "news" } })));
    post.calling(callbacks.url("/in")).send(&house).await;
    callbacks.next().await;
    due(&house).await;
    let run = callbacks.next().await;
    assert_eq!(run.body["chat"], "news");
}

/// A folder for one test.
trait DefaultFolder {
    fn default_folder() -> Self;
}

impl DefaultFolder for Arc<TempDir> {
    fn default_folder() -> Self {
        Arc::new(tempfile::tempdir().unwrap())
    }
}

#[tokio::test]
async fn a_run_whose_gateway_died_is_done_again_under_the_same_name() {
    let mut callbacks = Callbacks::start().await;
    let accounts = vec![account("shop", "acme", &callbacks.origin)];
    let seen: Arc<Mutex<Vec<String>>> = Arc::default();
    let house = open(Arc::default_folder(), accounts.clone()).await;
    Post::new("shop", "m1", &create(json!({}))).calling(callbacks.url("/in")).send(&house).await;
    callbacks.next().await;
    let folder = house.close().await;
    // A gateway that claims the run and never finishes it.
    let stuck = House::in_folder(folder, accounts.clone(), options(), |_| {
        let seen = seen.clone();
        Arc::new(Answers(move |arrival: Arrival| {
            seen.lock().unwrap().push(arrival.idempotency_key());
            std::future::pending()
        }))
    })
    .await;
    due(&stuck).await;
    while seen.lock().unwrap().is_empty() {
        // What is seen comes from a synchronous closure.
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    let engine = stuck.store.control().engine();
    engine
        .write("lapse", |tx| Ok(tx.execute("UPDATE gateway_schedules SET lease_until = 0", [])?))
        .await
        .unwrap();
    // The same process claims it again: its lane holds the second run behind the first, under the same name.
    stuck.gateway.drain(std::time::Duration::ZERO).await;
    let folder = stuck.close().await;
    let house = open(folder, accounts).await;
    let engine = house.store.control().engine();
    engine
        .write("lapse", |tx| Ok(tx.execute("UPDATE gateway_schedules SET lease_until = 0", [])?))
        .await
        .unwrap();
    let run: Value = serde_json::from_str(&callbacks.next().await.text).unwrap();
    assert!(run["message"].as_str().unwrap().ends_with("@1"), "{run}");
}
