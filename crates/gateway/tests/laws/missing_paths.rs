//! With one of its required variables not bound at the door, a message is not answered and nobody is asked to.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use haversack::testing::missing_paths;
use haversack_gateway::door::GATEWAY;
use haversack_gateway::{Arrival, Reply};

use super::house::{Answers, House, Post, account};

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
