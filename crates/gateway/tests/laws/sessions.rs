//! The session variables: bound at once, from empty, to strings; read before anything else; gone afterwards.

use std::sync::{Arc, Mutex};

use haversack::well_known::{PRINCIPAL, SESSION_ID, TENANT_ID};
use haversack::{AtDoor, ContextVar, MissingContext};
use haversack_gateway::platform::webhook::{SigningSecret, sign};
use haversack_gateway::session::{
    CAN_DELIVER_LATER, CHAT_ID, CHAT_NAME, CHAT_TYPE, MESSAGE_ID, PLATFORM, PROFILE, REPLY_ROUTE, SCOPE_ID,
    SESSION_KEY, SOURCE, THREAD_ID, USER_ID, USER_NAME,
};
use haversack_gateway::{Arrival, GatewayError, Reply};
use serde_json::json;
use tokio::sync::oneshot;

use crate::callbacks::Callbacks;
use crate::house::{Answers, House, Post, account, principal};

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

/// Says back everything that is bound.
fn tells_everything() -> Arc<dyn haversack_gateway::Responder> {
    Arc::new(Answers(|_| async { Ok(Reply::new(everything())) }))
}

#[tokio::test]
async fn a_message_of_a_group_binds_its_kind_thread_scope_and_the_profile_of_its_account() {
    let mut shop = account("shop", "acme", "https://hooks.example.com");
    shop.profile = "night".to_owned();
    let house = House::open(vec![shop], tells_everything()).await;
    let mut post = Post::new("shop", "m1", "hello").in_group("g").in_thread("t7");
    post.extra = json!({ "scope": "guild-9" });
    let (status, told) = post.send(&house).await;
    assert_eq!(status, 200, "{told}");
    assert_eq!(
        told["text"],
        "webhook|shop|g|the chat g|group|t7|guild-9|u-kim|the user u-kim|m1|\
         gateway/platform=7:webhook/account=4:shop/scope=7:guild-9/type=5:group/chat=1:g/thread=2:t7|night"
    );
}

#[tokio::test]
async fn ids_that_are_numbers_become_strings() {
    let user = "9007199254740993";
    let shop = account("shop", "acme", "https://hooks.example.com").with_user(user, principal("kim"));
    let house = House::open(vec![shop], tells_everything()).await;
    let body = |chat: &str, user: &str, thread: &str, scope: &str| {
        let text = format!(
            r#"{{"chat":{{"id":{chat},"type":"group"}},"sender":{{"id":{user}}},"thread":{thread},"scope":{scope},"text":"x"}}"#
        );
        text.into_bytes()
    };
    let send = async |id: &str, body: Vec<u8>| {
        let (post, time) = (Post::new("shop", id, ""), haversack_store::now_millis() / 1000);
        let secret = SigningSecret::parse(crate::house::SECRET).unwrap();
        let signature = sign::sign(&secret, &post.id, time, &body);
        post.send_raw(&house, time, &signature, body).await
    };
    let (status, told) = send("m1", body("-1001234567890", user, "18446744073709551615", "0")).await;
    assert_eq!(status, 200, "{told}");
    assert_eq!(
        told["text"],
        "webhook|shop|-1001234567890||group|18446744073709551615|0|9007199254740993||m1|\
         gateway/platform=7:webhook/account=4:shop/scope=1:0/type=5:group/chat=14:-1001234567890/thread=20:18446744073709551615|"
    );
    // The number and its digits are one sender; the same chat as text is the same chat.
    let (_, as_text) = send(
        "m1t",
        body(r#""-1001234567890""#, &format!("\"{user}\""), r#""18446744073709551615""#, r#""0""#),
    )
    .await;
    assert_eq!(as_text["text"], told["text"].as_str().unwrap().replace("|m1|", "|m1t|"));
    // What has no one spelling, or none that is exact, is nobody's id.
    for (n, odd) in ["1.5", "1e3", "18446744073709551616", "true", "null", "[1]", "{}"].iter().enumerate() {
        for body in [body(odd, user, "null", "0"), body("1", odd, "null", "0")] {
            let (status, told) = send(&format!("o{n}"), body).await;
            assert_eq!(status, 422, "{odd}: {told}");
        }
    }
    let (status, told) = send("m3", body("1", user, "1.5", "0")).await;
    assert_eq!(status, 422, "{told}");
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

/// What somebody finds who still reads when the handler is over.
struct Late {
    message: Result<String, GatewayError>,
    added: Result<bool, GatewayError>,
    platform: Result<String, MissingContext>,
    chat: Result<String, MissingContext>,
}

#[tokio::test]
async fn after_the_handler_a_late_reader_is_told_and_nothing_is_bound_where_it_ran() {
    let (told, late) = oneshot::channel();
    let (alone, detached) = oneshot::channel();
    let (over, is_over) = tokio::sync::watch::channel(false);
    let held = Arc::new(Mutex::new(Some((told, alone))));
    let house = House::open(
        vec![account("shop", "acme", "https://hooks.example.com")],
        Arc::new(Answers(move |arrival: Arrival| {
            let (first, mut end) = (held.lock().unwrap().take(), is_over.clone());
            async move {
                let Some((told, alone)) = first else { return Ok(Reply::new("another")) };
                // Work that outlives its handler, still holds the message, and goes where its context goes.
                let mut ends = end.clone();
                haversack::spawn(async move {
                    ends.wait_for(|over| *over).await.unwrap();
                    let _ = told.send(Late {
                        message: arrival.message().map(|message| message.text.clone()),
                        added: arrival.take_steering().map(|more| more.is_some()),
                        platform: PLATFORM.get(),
                        chat: CHAT_ID.get(),
                    });
                });
                // Work that was begun for nobody has nothing of it, and is told what is missing.
                haversack::spawn_detached(async move {
                    end.wait_for(|over| *over).await.unwrap();
                    let _ = alone.send((PLATFORM.get(), REPLY_ROUTE.get().map(|_| ())));
                });
                Ok(Reply::new(format!("{:?}", std::thread::current().id())))
            }
        })),
    )
    .await;
    let (_, ran) = Post::new("shop", "m1", "hello").send(&house).await;
    // The handler ran on this very thread, and left nothing on it.
    assert_eq!(ran["text"], format!("{:?}", std::thread::current().id()));
    assert!(ALL.iter().all(|variable| !variable.is_bound()));
    assert!(!REPLY_ROUTE.is_bound() && !CAN_DELIVER_LATER.is_bound() && !SESSION_ID.is_bound());
    // Meanwhile the next message is worked on.
    Post::new("shop", "m2", "hello").in_chat("c2").send(&house).await;
    over.send(true).unwrap();
    let late = late.await.unwrap();
    for error in [late.message.unwrap_err(), late.added.unwrap_err()] {
        assert!(matches!(error, GatewayError::HandlerEnded), "{error}");
        assert!(error.to_string().contains("has ended"), "{error}");
    }
    // Its facts are those of its own message, as long as it holds them, and never those of the next.
    assert_eq!((late.platform.unwrap().as_str(), late.chat.unwrap().as_str()), ("webhook", "c1"));
    let (platform, route) = detached.await.unwrap();
    let missing = platform.unwrap_err();
    assert_eq!(missing.variable(), "gateway.platform");
    assert!(missing.to_string().contains("gateway.platform") && route.is_err(), "{missing}");
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
