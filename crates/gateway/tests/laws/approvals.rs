//! Approvals are given by a named approver of the tenant, who is not the one who asked. Denied is the default.

use std::sync::Arc;
use std::time::Duration;

use haversack::well_known::{Principal, TenantId};
use haversack_gateway::approval::{Approver, Decision};
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
            Ok(Reply::new(format!(
                "{what}: {}",
                if decision == Decision::Approve { "done" } else { "not done" }
            )))
        }
    }))
}

/// `lee` of a tenant, who is asked by a webhook.
pub(crate) fn lee(tenant: &str, account: &str, origin: &str) -> Approver {
    let mut approver = Approver::new(TenantId::new(tenant).unwrap(), Principal::new("lee").unwrap());
    approver.account = Some(account.to_owned());
    approver.callback = Some(format!("{origin}/in"));
    approver
}

async fn open(origin: &str, patience: Duration) -> House {
    let mut options = options();
    options.patience = patience;
    options.approvers =
        [("acme", "shop"), ("bank", "bank")].map(|(tenant, account)| lee(tenant, account, origin)).to_vec();
    let accounts = vec![account("shop", "acme", origin), account("bank", "bank", origin)];
    House::in_folder(Arc::new(tempfile::tempdir().unwrap()), accounts, options, asks).await
}

/// The id in `/approve ID`.
fn id(text: &str) -> String {
    let (_, rest) = text.split_once("/approve ").unwrap();
    rest.split('`').next().unwrap().to_owned()
}

#[tokio::test]
async fn an_approver_approves_and_both_are_told() {
    let mut callbacks = Callbacks::start().await;
    let house = open(&callbacks.origin, Duration::from_secs(60)).await;
    let post = |message: &str, text: &str| {
        Post::new("shop", message, text).in_group("ops").in_thread("t1").calling(callbacks.url("/in"))
    };
    post("m1", "delete everything").send(&house).await;
    let (mut asked, mut told) = (callbacks.next().await, callbacks.next().await);
    if asked.body["chat"] == "ops" {
        std::mem::swap(&mut asked, &mut told);
    }
    assert_eq!((told.body["chat"].as_str(), told.body["thread"].as_str()), (Some("ops"), Some("t1")));
    assert_eq!(asked.body["chat"].as_str(), Some("approvals"));
    assert!(asked.text.contains("delete everything") && told.text.contains("delete everything"));
    assert!(asked.text.contains("kim asks") && told.text.contains("waits for lee"), "{}", told.text);
    let post = Post::new("shop", "m2", &format!("/approve {}", id(&asked.text))).from("u-lee");
    let (status, told) = post.calling(callbacks.url("/in")).send(&house).await;
    assert_eq!((status, told["text"].as_str()), (200, Some("Approved.")));
    assert_eq!(callbacks.next().await.text, "delete everything: done");
}

#[tokio::test]
async fn neither_who_asked_nor_anybody_else_approves() {
    let mut callbacks = Callbacks::start().await;
    let house = open(&callbacks.origin, Duration::from_secs(60)).await;
    let url = callbacks.url("/in");
    Post::new("shop", "m1", "delete everything")
        .in_group("ops")
        .in_thread("t1")
        .calling(url.clone())
        .send(&house)
        .await;
    let id = id(&callbacks.next().await.text);
    callbacks.next().await;
    let approve = format!("/approve {id}");
    let answer = async |post: Post| post.calling(url.clone()).send(&house).await.1["text"].clone();
    let own = "You asked for this yourself, so somebody else approves it.";
    assert_eq!(answer(Post::new("shop", "m2", &approve).in_group("ops").in_thread("t1")).await, own);
    assert_eq!(answer(Post::new("shop", "m3", &approve)).await, own, "wherever they write it");
    // A tenant of its own has an approver of that name.
    let elsewhere = Post::new("bank", "m4", &approve).from("u-lee");
    assert_eq!(answer(elsewhere).await, "there is no such question here");
    // The question is still open, and the approver says no, in the thread.
    let deny = Post::new("shop", "m5", &format!("/deny {id}")).from("u-lee");
    assert_eq!(answer(deny.in_group("ops").in_thread("t1")).await, "Denied.");
    assert_eq!(callbacks.next().await.text, "delete everything: not done");
    let again = Post::new("shop", "m6", &approve).from("u-lee");
    assert_eq!(answer(again).await, "there is no such question here", "an answer is good once");
}

#[tokio::test]
async fn no_answer_is_a_no_and_both_hear_that_it_lapsed() {
    let mut callbacks = Callbacks::start().await;
    let house = open(&callbacks.origin, Duration::from_millis(50)).await;
    Post::new("shop", "m1", "delete everything").calling(callbacks.url("/in")).send(&house).await;
    let mut texts = Vec::new();
    while texts.len() < 4 {
        texts.push(callbacks.next().await.text);
    }
    let id = id(&texts[0]);
    let lapsed =
        format!("Nobody approved this in 50 ms, so it was not done (question {id}):\n\ndelete everything");
    assert!(texts.contains(&lapsed), "{texts:?}");
    assert!(texts.contains(&"delete everything: not done".to_owned()), "{texts:?}");
    let late = Post::new("shop", "m2", &format!("/approve {id}")).from("u-lee").calling(callbacks.url("/in"));
    let told = late.send(&house).await.1;
    assert!(told["text"].as_str().unwrap().starts_with("This question lapsed"), "{told}");
}

#[tokio::test]
async fn an_approver_cannot_approve_what_they_asked_for_themselves() {
    let mut callbacks = Callbacks::start().await;
    let house = open(&callbacks.origin, Duration::from_secs(3600)).await;
    let post = Post::new("shop", "m1", "delete everything").from("u-lee").calling(callbacks.url("/in"));
    post.send(&house).await;
    assert_eq!(
        callbacks.next().await.text,
        "delete everything: not done",
        "nobody else may, so nobody is asked"
    );
}

#[tokio::test]
async fn where_nobody_can_be_asked_the_answer_is_no_at_once() {
    let house = open("https://hooks.example.com", Duration::from_secs(3600)).await;
    let (_, told) = Post::new("shop", "m1", "delete everything").send(&house).await;
    assert_eq!(told["text"], "delete everything: not done");
}
