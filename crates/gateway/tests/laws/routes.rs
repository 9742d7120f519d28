//! Where answers go: to the place that was captured at arrival, whatever arrives meanwhile.

use std::sync::{Arc, Mutex};

use haversack::well_known::PRINCIPAL;
use haversack_gateway::ledger::Say;
use haversack_gateway::message::ChatKind;
use haversack_gateway::policy::{Participants, Place, Threads};
use haversack_gateway::session::{REPLY_ROUTE, SESSION_KEY};
use haversack_gateway::{Arrival, GatewayError, KeyPolicy, Reply, ReplyRoute};
use tokio::sync::Notify;

use crate::callbacks::Callbacks;
use crate::house::{Answers, House, Post, account, options};

#[tokio::test]
async fn an_answer_goes_where_its_message_came_from_and_not_where_the_last_one_did() {
    let mut callbacks = Callbacks::start().await;
    let go = Arc::new(Notify::new());
    let wait = go.clone();
    let house = House::open(
        vec![account("shop", "acme", &callbacks.origin)],
        Arc::new(Answers(move |arrival: Arrival| {
            let wait = wait.clone();
            async move {
                let text = arrival.message().unwrap().text.clone();
                if text == "slow" {
                    wait.notified().await;
                }
                Ok(Reply::new(text))
            }
        })),
    )
    .await;
    Post::new("shop", "m1", "slow").in_group("family").calling(callbacks.url("/family")).send(&house).await;
    Post::new("shop", "m2", "quick")
        .in_chat("dm")
        .from("u-lee")
        .calling(callbacks.url("/dm"))
        .send(&house)
        .await;
    assert_eq!(callbacks.next().await.path, "/dm");
    go.notify_one();
    let heard = callbacks.next().await;
    assert_eq!((heard.path.as_str(), heard.text.as_str()), ("/family", "slow"));
    assert_eq!(heard.body["in_reply_to"], "m1");
}

#[tokio::test]
async fn a_delegated_result_goes_to_the_session_that_asked() {
    let mut callbacks = Callbacks::start().await;
    let go = Arc::new(Notify::new());
    let wait = go.clone();
    let house = House::in_folder(
        Arc::new(tempfile::tempdir().unwrap()),
        vec![account("shop", "acme", &callbacks.origin)],
        options(),
        |desk| {
            let ledger = desk.ledger().clone();
            Arc::new(Answers(move |arrival: Arrival| {
                let (wait, ledger) = (wait.clone(), ledger.clone());
                async move {
                    if arrival.message().unwrap().text != "delegate" {
                        return Ok(Reply::new("other"));
                    }
                    // A helper that works on a task of its own, on a pool thread, while others write.
                    let helper = haversack::spawn(async move {
                        wait.notified().await;
                        let found = haversack::spawn_blocking(|| SESSION_KEY.get().unwrap()).await.unwrap();
                        ledger
                            .submit(Say { id: None, text: format!("found in {found}"), to: None })
                            .await
                            .unwrap();
                    });
                    helper.await.unwrap();
                    Ok(Reply::default())
                }
            }))
        },
    )
    .await;
    Post::new("shop", "m1", "delegate").in_chat("asker").calling(callbacks.url("/asker")).send(&house).await;
    Post::new("shop", "m2", "x").in_chat("later").calling(callbacks.url("/later")).send(&house).await;
    assert_eq!(callbacks.next().await.path, "/later");
    go.notify_one();
    let heard = callbacks.next().await;
    assert_eq!(heard.path, "/asker");
    assert!(heard.text.ends_with("/chat=5:asker"), "{}", heard.text);
}

#[tokio::test]
async fn deferred_work_without_a_reply_route_is_refused() {
    let house =
        House::open(vec![account("shop", "acme", "https://hooks.example.com")], crate::house::echo()).await;
    let ledger = house.desk.ledger().clone();
    let nowhere = house.inside("acme", "kim", async move {
        ledger.submit(Say { id: None, text: "hello?".to_owned(), to: None }).await
    });
    let error = nowhere.await.unwrap_err();
    assert!(matches!(error, GatewayError::Unbound(_)), "{error}");
    assert!(error.to_string().contains("reply_route"), "{error}");
}

#[test]
fn a_route_reads_back_as_it_was_written_and_says_no_address_in_a_log() {
    let route = ReplyRoute::new("webhook", "shop", "+41 79 000")
        .in_thread(Some("t"))
        .answering("m")
        .by_callback(Some("https://a/b"));
    let text = serde_json::to_string(&route).unwrap();
    assert_eq!(serde_json::from_str::<ReplyRoute>(&text).unwrap(), route);
    let shown = format!("{route:?}");
    assert!(!shown.contains("+41") && !shown.contains("https://"), "{shown}");
}

#[tokio::test]
async fn the_route_is_the_same_however_far_the_work_goes() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let see = seen.clone();
    let house = House::open(
        vec![account("shop", "acme", "https://hooks.example.com")],
        Arc::new(Answers(move |_| {
            let see = see.clone();
            async move {
                let here = REPLY_ROUTE.get().unwrap();
                let there = haversack::spawn(async {
                    haversack::spawn_blocking(|| REPLY_ROUTE.get().unwrap()).await.unwrap()
                });
                let there = there.await.unwrap();
                see.lock().unwrap().push((here, there));
                Ok(Reply::default())
            }
        })),
    )
    .await;
    for n in 0..8 {
        Post::new("shop", &format!("m{n}"), "x").in_chat(&format!("c{n}")).send(&house).await;
    }
    let seen = seen.lock().unwrap();
    assert_eq!(seen.len(), 8);
    assert!(seen.iter().all(|(here, there)| here == there));
}

fn place<'a>(kind: ChatKind, chat: &'a str, thread: Option<&'a str>, user: &'a str) -> Place<'a> {
    Place { platform: "webhook", account: "shop", scope: "", kind, chat, thread, user }
}

fn policy(group: Participants, threads: Threads) -> KeyPolicy {
    KeyPolicy { group, threads }
}

#[test]
fn a_direct_chat_is_platform_chat_and_thread() {
    let policy = policy(Participants::Each, Threads::Shared);
    let key = |chat, thread, user| policy.key(&place(ChatKind::Direct, chat, thread, user));
    assert_eq!(key("c1", None, "kim"), key("c1", None, "lee"), "the chat says who it is");
    assert_ne!(key("c1", None, "kim"), key("c2", None, "kim"));
    assert_ne!(key("c1", Some("t1"), "kim"), key("c1", Some("t2"), "kim"));
    assert_ne!(key("c1", Some("t1"), "kim"), key("c1", None, "kim"));
}

#[test]
fn a_group_is_apart_from_a_direct_chat_and_its_people_as_the_policy_says() {
    let apart = policy(Participants::Each, Threads::Shared);
    let together = policy(Participants::Shared, Threads::Shared);
    let group = |policy: KeyPolicy, thread, user| policy.key(&place(ChatKind::Group, "c1", thread, user));
    assert_ne!(group(apart, None, "kim"), apart.key(&place(ChatKind::Direct, "c1", None, "kim")));
    assert_ne!(group(apart, None, "kim"), group(apart, None, "lee"));
    assert_eq!(group(together, None, "kim"), group(together, None, "lee"));
    // A thread is shared by those who write in it, unless the policy says otherwise.
    assert_eq!(group(apart, Some("t"), "kim"), group(apart, Some("t"), "lee"));
    let per_user = policy(Participants::Shared, Threads::PerUser);
    assert_ne!(group(per_user, Some("t"), "kim"), group(per_user, Some("t"), "lee"));
    let ignored = policy(Participants::Each, Threads::Ignored);
    assert_eq!(group(ignored, Some("t1"), "kim"), group(ignored, Some("t2"), "kim"));
    assert_ne!(group(ignored, Some("t1"), "kim"), group(ignored, Some("t1"), "lee"));
}

#[test]
fn no_choice_of_ids_makes_two_places_one_key() {
    let policy = policy(Participants::Each, Threads::PerUser);
    let tricky = ["a", "a/user=1:b", "b", "1:b", "/thread=1:t", "a/thread=1:t", "t", ""];
    let mut keys = std::collections::HashSet::new();
    let mut places = 0;
    for chat in tricky {
        for thread in tricky.iter().copied().map(Some).chain([None]) {
            for user in tricky {
                places += 1;
                keys.insert(policy.key(&place(ChatKind::Group, chat, thread, user)));
            }
        }
    }
    assert_eq!(keys.len(), places);
}

#[test]
fn a_policy_says_why() {
    let policy = policy(Participants::Each, Threads::Shared);
    let explained = policy.explain(&place(ChatKind::Group, "c1", Some("t1"), "kim"));
    assert_eq!(
        explained.to_string(),
        "gateway/platform=7:webhook/account=4:shop/type=5:group/chat=2:c1/thread=2:t1
  platform  webhook  (a chat is known by its platform)
  account   shop  (two accounts may use one chat id)
  type      group  (a group and a direct chat may have one id)
  chat      c1  (each chat is a conversation)
  thread    t1  (each thread is a conversation)
  user      left out  (threads are shared by policy)
"
    );
    assert!(explained.shared);
    assert_eq!(explained.key, policy.key(&place(ChatKind::Group, "c1", Some("t1"), "kim")).as_str());
}

#[test]
fn a_chat_of_another_workspace_is_another_conversation() {
    let policy = policy(Participants::Each, Threads::Shared);
    for kind in [ChatKind::Direct, ChatKind::Group] {
        let place = |scope| Place { scope, ..place(kind, "c1", Some("t1"), "kim") };
        assert_ne!(policy.key(&place("one")), policy.key(&place("two")));
        assert_ne!(policy.key(&place("one")), policy.key(&place("")));
        assert_eq!(policy.key(&place("one")), policy.key(&place("one")));
        let said = policy.explain(&place("one")).to_string();
        assert!(said.contains("/scope=3:one/") && said.contains("unique within a workspace"), "{said}");
        assert!(!policy.explain(&place("")).to_string().contains("scope"));
    }
}

/// The keys of the messages of one account, by who wrote them and in which thread.
async fn keys(sessions: serde_json::Value) -> impl AsyncFn(&str, Option<&str>) -> (String, String) {
    let mut shop = account("shop", "acme", "https://hooks.example.com");
    // As a configuration has it.
    shop.sessions = serde_json::from_value(sessions).unwrap();
    let tells = Answers(|_| async {
        let told = [SESSION_KEY.get().unwrap(), PRINCIPAL.get().unwrap().as_str().to_owned()];
        Ok(Reply::new(told.join(" ")))
    });
    let house = House::open(vec![shop], Arc::new(tells)).await;
    let sent = std::sync::atomic::AtomicUsize::new(0);
    async move |user: &str, thread: Option<&str>| {
        let number = sent.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let mut post = Post::new("shop", &format!("m{number}"), "x").in_group("g").from(user);
        post.thread = thread.map(str::to_owned);
        let (status, told) = post.send(&house).await;
        assert_eq!(status, 200, "{told}");
        let (key, principal) = told["text"].as_str().unwrap().rsplit_once(' ').unwrap();
        (key.to_owned(), principal.to_owned())
    }
}

#[tokio::test]
async fn threads_are_what_the_account_says_that_they_are() {
    let base = "gateway/platform=7:webhook/account=4:shop/type=5:group/chat=1:g";
    // By default a thread is shared, and belongs to nobody who writes in it.
    let shared = keys(serde_json::json!({})).await;
    let key = format!("{base}/thread=1:t");
    assert_eq!(shared("u-kim", Some("t")).await, (key.clone(), format!("group:{key}")));
    assert_eq!(shared("u-lee", Some("t")).await, (key.clone(), format!("group:{key}")));
    let per_user = keys(serde_json::json!({ "threads": "per_user" })).await;
    for (user, who) in [("u-kim", "kim"), ("u-lee", "lee")] {
        let key = format!("{base}/thread=1:t/user=5:{user}");
        assert_eq!(per_user(user, Some("t")).await, (key, who.to_owned()));
    }
    let ignored = keys(serde_json::json!({ "threads": "ignored" })).await;
    for (user, who) in [("u-kim", "kim"), ("u-lee", "lee")] {
        let key = format!("{base}/user=5:{user}");
        for thread in [Some("t"), Some("t2"), None] {
            assert_eq!(ignored(user, thread).await, (key.clone(), who.to_owned()));
        }
    }
}
