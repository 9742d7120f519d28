//! Terminals: lines in, answers out, nothing later.

use haversack_gateway::platform::terminal::{TerminalUser, serve};
use haversack_gateway::session::CAN_DELIVER_LATER;
use haversack_gateway::{Arrival, Reply};
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::house::{Answers, House, plain, principal};

async fn type_in(house: &House, user: &str, lines: &str) -> String {
    let (ours, theirs) = tokio::io::duplex(4096);
    let (reader, writer) = tokio::io::split(theirs);
    let (mut out, mut keys) = tokio::io::split(ours);
    let user = TerminalUser { account: "desk".to_owned(), user: user.to_owned(), chat: "main".to_owned() };
    keys.write_all(lines.as_bytes()).await.unwrap();
    keys.shutdown().await.unwrap();
    let mut printed = String::new();
    let (served, read) =
        tokio::join!(serve(&house.gateway, &user, reader, writer), out.read_to_string(&mut printed));
    served.unwrap();
    read.unwrap();
    printed
}

#[tokio::test]
async fn each_line_is_answered_and_nothing_is_promised_for_later() {
    let desk = plain("desk", "terminal", "acme").with_user("me", principal("kim"));
    let house = House::open(
        vec![desk],
        Arc::new(Answers(|arrival: Arrival| async move {
            let later = CAN_DELIVER_LATER.get().unwrap();
            Ok(Reply::new(format!("{} {later}\u{1b}]0;title\u{7}", arrival.message().unwrap().text)))
        })),
    )
    .await;
    assert_eq!(type_in(&house, "me", "one\n\ntwo\n").await, "one false]0;title\ntwo false]0;title\n");
    let refused = type_in(&house, "stranger", "hello\n").await;
    assert!(refused.contains("not known"), "{refused}");
}
