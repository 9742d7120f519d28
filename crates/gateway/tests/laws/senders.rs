//! Who may speak: nobody becomes anybody by default.

use haversack::well_known::PRINCIPAL;
use haversack_gateway::Reply;
use haversack_gateway::message::{Chat, ChatKind, Message, Sender};
use haversack_gateway::{Accounts, GatewayError, Incoming, Receipt, Unknown};
use std::sync::Arc;

use crate::house::{Answers, House, Post, account, echo, plain, principal};

/// A message that a platform has checked.
pub(crate) fn incoming(id: &str, account: &str, user: &str) -> Incoming {
    let message = Message {
        account: account.to_owned(),
        id: id.to_owned(),
        chat: Chat { id: "c1".to_owned(), name: String::new(), kind: ChatKind::Direct },
        thread: None,
        scope: String::new(),
        sender: Sender { id: user.to_owned(), name: "operator".to_owned() },
        text: "hello".to_owned(),
        attachments: Vec::new(),
        callback: None,
    };
    Incoming { platform: "webhook", message, deliver_later: false }
}

#[tokio::test]
async fn an_unknown_user_is_refused() {
    let house = House::open(vec![account("shop", "acme", "https://hooks.example.com")], echo()).await;
    let (status, told) = Post::new("shop", "m1", "let me in").from("u-stranger").send(&house).await;
    assert_eq!(status, 403, "{told}");
    assert!(!told.to_string().contains("u-stranger"), "{told}");
    // A refused message is not a taken one: when the user is known later, the same message is new.
    let error = house.gateway.receive(incoming("m1", "shop", "u-stranger")).await.unwrap_err();
    assert!(matches!(error, GatewayError::UnknownUser), "{error}");
}

#[tokio::test]
async fn an_unknown_user_is_paired_by_an_operator_and_then_is_who_the_operator_said() {
    let mut shop = account("shop", "acme", "https://hooks.example.com");
    shop.unknown = Unknown::Pair;
    let who = Arc::new(Answers(|_| async { Ok(Reply::new(PRINCIPAL.get().unwrap().as_str())) }));
    let house = House::open(vec![shop], who).await;

    let (status, told) = Post::new("shop", "m1", "hello").from("u-new").send(&house).await;
    assert_eq!((status, told["status"].as_str().unwrap()), (403, "pairing"));
    let code = told["code"].as_str().unwrap().to_owned();
    let (_, again) = Post::new("shop", "m2", "hello?").from("u-new").send(&house).await;
    assert_eq!(again["code"], code.as_str(), "asking again gives the same code");

    let pairings = house.desk.pairings();
    for nobody in ["operator:root", "cron:1", "group:x"] {
        let refused = pairings.confirm(&code, &principal(nobody)).await.unwrap_err();
        assert!(matches!(refused, GatewayError::Config(_)), "{refused}");
    }
    assert!(pairings.confirm("NOSUCHCO", &principal("new")).await.is_err());
    pairings.confirm(&code.to_lowercase(), &principal("new")).await.unwrap();
    assert!(pairings.confirm(&code, &principal("kim")).await.is_err(), "a code is good once");

    let (status, told) = Post::new("shop", "m3", "hello").from("u-new").send(&house).await;
    assert_eq!((status, told["text"].as_str().unwrap()), (200, "new"));
    pairings.revoke("shop", "u-new").await.unwrap();
    assert_eq!(Post::new("shop", "m4", "hello").from("u-new").send(&house).await.0, 403);
}

#[tokio::test]
async fn strangers_cannot_fill_the_file_with_pairings() {
    let mut shop = account("shop", "acme", "https://hooks.example.com");
    shop.unknown = Unknown::Pair;
    let house = House::open(vec![shop], echo()).await;
    for n in 0..64 {
        let receipt = house.gateway.receive(incoming("m", "shop", &format!("u-{n}"))).await.unwrap();
        assert!(matches!(receipt, Receipt::Pairing { .. }));
    }
    let full = house.gateway.receive(incoming("m", "shop", "u-64")).await.unwrap_err();
    assert!(matches!(full, GatewayError::PairingFull), "{full}");
}

#[test]
fn no_account_maps_anybody_onto_an_operator() {
    for nobody in ["operator:root", "cron:daily", "group:chat"] {
        let account = plain("t", "terminal", "acme").with_user("u", principal(nobody));
        assert!(matches!(Accounts::new([account]), Err(GatewayError::Config(_))), "{nobody}");
    }
    let twice = [plain("t", "terminal", "a"), plain("t", "terminal", "b")];
    assert!(Accounts::new(twice).is_err(), "a name is one account");
    let unsigned = plain("t", "webhook", "a");
    assert!(Accounts::new([unsigned]).is_err(), "a webhook without a secret believes anybody");
}
