//! The session variables: bound at once, from empty, to strings; read before anything else; gone afterwards.

use std::sync::{Arc, Mutex};

use haversack::well_known::{PRINCIPAL, SESSION_ID, TENANT_ID};
use haversack::{AtDoor, ContextVar};
use haversack_gateway::session::{
    CAN_DELIVER_LATER, CHAT_ID, CHAT_NAME, CHAT_TYPE, MESSAGE_ID, PLATFORM, PROFILE, REPLY_ROUTE, SCOPE_ID,
    SESSION_KEY, SOURCE, THREAD_ID, USER_ID, USER_NAME,
};
use haversack_gateway::{Arrival, GatewayError, Reply};
use tokio::sync::oneshot;

use crate::callbacks::Callbacks;
use crate::house::{Answers, House, Post, account};

const ALL: [&ContextVar<String, AtDoor>; 12] = [
    &PLATFORM,
    &SOURCE,
    &CHAT_ID,
    &CHAT_NAME,
    &CHAT_TYPE,
    &THREAD_ID,
    &SCOPE_ID,
    &USER_ID,
    &USER_NAME,
    &MESSAGE_ID,
    &SESSION_KEY,
    &PROFILE,
];

/// Everything that is bound, as one text.
fn everything() -> String {
    let texts: Vec<String> = ALL.iter().map(|variable| variable.get().unwrap()).collect();
    texts.join("|")
}

#[tokio::test]
async fn a_message_binds_every_variable_and_what_is_absent_is_the_empty_string() {
    let house = House::open(
        vec![account("shop", "acme", "https://hooks.example.com")],
        Arc::new(Answers(|_| async {
            assert_eq!(TENANT_ID.get().unwrap().as_str(), "acme");
            assert_eq!(PRINCIPAL.get().unwrap().as_str(), "kim");
            assert_eq!(SESSION_ID.get().unwrap().as_str(), SESSION_KEY.get().unwrap());
            assert!(!CAN_DELIVER_LATER.get().unwrap());
            assert_eq!(REPLY_ROUTE.get().unwrap().chat(), "c1");
            assert!(THREAD_ID.is_bound() && SCOPE_ID.is_bound() && PROFILE.is_bound());
            Ok(Reply::new(everything()))
        })),
    )
    .await;
    let (status, told) = Post::new("shop", "m1", "hello").send(&house).await;
    assert_eq!(status, 200, "{told}");
    assert_eq!(
        told["text"],
        "webhook|shop|c1|the chat c1|direct|||u-kim|the user u-kim|m1|\
         gateway/platform=7:webhook/account=4:shop/chat=2:c1|"
    );
}

#[tokio::test]
async fn an_arrival_starts_from_an_empty_context() {
    static LEFT_OVER: ContextVar<String> = ContextVar::new("left over");
    let house = House::open(
        vec![account("shop", "acme", "https://hooks.example.com")],
        Arc::new(Answers(|_| async { Ok(Reply::new(LEFT_OVER.is_bound().to_string())) })),
    )
    .await;
    // Whoever hands the message in may hold another message's values.
    let told = LEFT_OVER.scope("of another".to_owned(), Post::new("shop", "m1", "hello").send(&house)).await;
    assert_eq!(told.1["text"], "false");
    let gateway = house.gateway.clone();
    let incoming = crate::senders::incoming("m2", "shop", "u-kim");
    let inside = LEFT_OVER.scope("of another".to_owned(), async move {
        let haversack_gateway::Receipt::Taken(taken) = gateway.receive(incoming).await.unwrap() else {
            panic!()
        };
        taken.answer().await.unwrap().text
    });
    assert_eq!(house.inside("other", "somebody", inside).await, "false");
}

#[tokio::test]
async fn two_messages_at_once_never_see_each_others_values_also_in_blocking_work() {
    let house = House::open(
        vec![account("shop", "acme", "https://hooks.example.com")],
        Arc::new(Answers(|arrival: Arrival| async move {
            let mine = arrival.message().unwrap().id.clone();
            for _ in 0..20 {
                tokio::task::yield_now().await;
                assert_eq!(MESSAGE_ID.get().unwrap(), mine);
                let seen = haversack::spawn_blocking(|| MESSAGE_ID.get().unwrap()).await.unwrap();
                assert_eq!(seen, mine);
                let seen = haversack::spawn(async { MESSAGE_ID.get().unwrap() }).await.unwrap();
                assert_eq!(seen, mine);
                let seen = haversack::thread::spawn(|| MESSAGE_ID.get().unwrap()).join().unwrap();
                assert_eq!(seen, mine);
            }
            // The process environment is nobody's: no name of ours is there.
            assert!(std::env::vars().all(|(name, _)| !name.starts_with("HAVERSACK_SESSION_")));
            Ok(Reply::new(mine))
        })),
    )
    .await;
    let posts: Vec<_> =
        (0..12).map(|n| Post::new("shop", &format!("m{n}"), "x").in_chat(&format!("c{n}"))).collect();
    let told = futures_util::future::join_all(posts.iter().map(|post| post.send(&house))).await;
    for (n, (status, told)) in told.into_iter().enumerate() {
        assert_eq!((status, told["text"].as_str().unwrap()), (200, format!("m{n}").as_str()));
    }
}

#[tokio::test]
async fn an_error_of_the_responder_is_told_and_a_panic_is_not_the_end_of_the_gateway() {
    let house = House::open(
        vec![account("shop", "acme", "https://hooks.example.com")],
        Arc::new(Answers(|arrival: Arrival| async move {
            match arrival.message().unwrap().text.as_str() {
                "fail" => Err(haversack_gateway::Unanswered::Failed { told: "no luck".to_owned() }),
                "panic" => panic!("in the handler"),
                other => Ok(Reply::new(other)),
            }
        })),
    )
    .await;
    assert_eq!(Post::new("shop", "m1", "fail").send(&house).await.1["text"], "no luck");
    let (status, told) = Post::new("shop", "m2", "panic").send(&house).await;
    assert_eq!(status, 500, "{told}");
    assert!(!told.to_string().contains("in the handler"), "{told}");
    assert_eq!(Post::new("shop", "m3", "fine").send(&house).await.1["text"], "fine", "the same lane goes on");
}

#[tokio::test]
async fn after_the_handler_everything_is_unbound_and_a_late_reader_is_told() {
    type Late = Arc<Mutex<Option<oneshot::Sender<Result<String, GatewayError>>>>>;
    let (told, late) = oneshot::channel();
    let told: Late = Arc::new(Mutex::new(Some(told)));
    let (over, is_over) = oneshot::channel::<()>();
    let is_over = Arc::new(Mutex::new(Some(is_over)));
    let house = House::open(
        vec![account("shop", "acme", "https://hooks.example.com")],
        Arc::new(Answers(move |arrival: Arrival| {
            let (told, is_over) =
                (told.lock().unwrap().take().unwrap(), is_over.lock().unwrap().take().unwrap());
            async move {
                // Work that outlives its handler and still holds the message.
                haversack::spawn(async move {
                    let _ = is_over.await;
                    let _ = told.send(arrival.message().map(|message| message.text.clone()));
                });
                Ok(Reply::new("done"))
            }
        })),
    )
    .await;
    Post::new("shop", "m1", "hello").send(&house).await;
    let missing = PLATFORM.get().unwrap_err();
    assert_eq!(missing.variable(), "gateway.platform");
    assert!(REPLY_ROUTE.get().is_err() && !CAN_DELIVER_LATER.is_bound());
    over.send(()).unwrap();
    let late = late.await.unwrap().unwrap_err();
    assert!(matches!(late, GatewayError::HandlerEnded), "{late}");
    assert!(late.to_string().contains("has ended"), "{late}");
}

#[tokio::test]
async fn a_turn_of_the_program_takes_the_variables_along() {
    let house = House::open(
        vec![account("shop", "acme", "https://hooks.example.com")],
        Arc::new(Answers(|_| async {
            let before = everything();
            let (tenant, key) = (TENANT_ID.get().unwrap(), SESSION_KEY.get().unwrap());
            let visit = haversack::testing::enter(|bind| {
                haversack_gateway::session::along(bind.bind(&TENANT_ID, tenant))
            });
            let inside = visit.run(|| {
                assert!(!SESSION_ID.is_bound(), "what is the door's own is the door's to bind");
                assert_eq!(SESSION_KEY.get().unwrap(), key);
                assert_eq!(REPLY_ROUTE.get().unwrap().account(), "shop");
                everything()
            });
            assert_eq!(before, inside);
            Ok(Reply::new("same"))
        })),
    )
    .await;
    assert_eq!(Post::new("shop", "m1", "hello").send(&house).await.1["text"], "same");
}

#[tokio::test]
async fn a_callback_makes_a_channel_that_can_be_reached_later() {
    let mut callbacks = Callbacks::start().await;
    let house = House::open(
        vec![account("shop", "acme", &callbacks.origin)],
        Arc::new(Answers(|_| async { Ok(Reply::new(CAN_DELIVER_LATER.get().unwrap().to_string())) })),
    )
    .await;
    let (status, told) = Post::new("shop", "m1", "x").calling(callbacks.url("/in")).send(&house).await;
    assert_eq!((status, told["status"].as_str().unwrap()), (202, "accepted"));
    assert_eq!(callbacks.next().await.text, "true");
}
