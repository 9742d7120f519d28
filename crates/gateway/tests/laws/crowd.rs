//! Two hundred messages at once, over twenty tenants, and not one that crosses.

use std::sync::Arc;

use haversack::well_known::{PRINCIPAL, TENANT_ID};
use haversack_gateway::session::{CHAT_ID, MESSAGE_ID, USER_ID};
use haversack_gateway::{Arrival, Reply};

use crate::callbacks::Callbacks;
use crate::house::{Answers, House, Post, account};

const TENANTS: usize = 20;
const MESSAGES: usize = 10;

fn seen() -> String {
    format!(
        "{} {} {} {} {}",
        TENANT_ID.get().unwrap(),
        PRINCIPAL.get().unwrap(),
        CHAT_ID.get().unwrap(),
        USER_ID.get().unwrap(),
        MESSAGE_ID.get().unwrap()
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_messages_at_once_cross_nowhere() {
    let mut callbacks = Callbacks::start().await;
    let accounts = (0..TENANTS).map(|n| account(&format!("shop{n}"), &format!("tenant{n}"), &callbacks.origin));
    let house = House::open(
        accounts.collect(),
        Arc::new(Answers(|arrival: Arrival| async move {
            let here = seen();
            for _ in 0..5 {
                tokio::task::yield_now().await;
                let there = haversack::spawn(async { haversack::spawn_blocking(seen).await.unwrap() });
                assert_eq!(there.await.unwrap(), here);
            }
            arrival.check().unwrap();
            Ok(Reply::new(here))
        })),
    )
    .await;
    // Every tenant has the same people in the same chats with the same message ids.
    let posts: Vec<(String, Post)> = (0..TENANTS * MESSAGES)
        .map(|n| {
            let (tenant, message) = (n % TENANTS, n / TENANTS);
            let (user, who) = if message % 2 == 0 { ("u-kim", "kim") } else { ("u-lee", "lee") };
            let chat = format!("c{}", message % 4 + usize::from(message % 2 == 1) * 10);
            let expected = format!("tenant{tenant} {who} {chat} {user} m{message}");
            let path = format!("/tenant{tenant}/{message}");
            let post = Post::new(&format!("shop{tenant}"), &format!("m{message}"), "hello");
            (expected, post.from(user).in_chat(&chat).calling(callbacks.url(&path)))
        })
        .collect();
    let sent = futures_util::future::join_all(posts.iter().map(|(_, post)| post.send(&house))).await;
    assert!(sent.iter().all(|(status, _)| *status == 202), "{sent:?}");
    let mut crossings = Vec::new();
    let mut heard = std::collections::BTreeMap::new();
    for _ in 0..TENANTS * MESSAGES {
        let one = callbacks.next().await;
        *heard.entry(one.path.clone()).or_insert(0) += 1;
        let expected = posts.iter().find(|(_, post)| post.callback.as_ref().unwrap().ends_with(&one.path));
        if expected.unwrap().0 != one.text {
            crossings.push((one.path, one.text));
        }
    }
    assert_eq!(crossings, []);
    assert!(heard.len() == TENANTS * MESSAGES && heard.values().all(|times| *times == 1));
}
