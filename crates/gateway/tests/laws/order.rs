//! One conversation, one turn at a time; conversations beside each other; each under its own identity.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use haversack::well_known::{CANCEL, PRINCIPAL};
use haversack_gateway::session::{MESSAGE_ID, SESSION_KEY, USER_ID};
use haversack_gateway::{Arrival, Busy, GatewayError, KeyPolicy, Reply, Unanswered};
use tokio::sync::{Notify, mpsc};

use crate::callbacks::Callbacks;
use crate::house::{Answers, House, Post, account, options};

/// Turns that say when they begin, and go on when they are let.
#[derive(Clone, Default)]
struct Stage {
    gates: Arc<Mutex<HashMap<String, Arc<Notify>>>>,
}

impl Stage {
    fn gate(&self, id: &str) -> Arc<Notify> {
        self.gates.lock().unwrap().entry(id.to_owned()).or_default().clone()
    }

    fn open(&self, id: &str) {
        self.gate(id).notify_one();
    }

    /// The responder, and what it tells: the id of each message whose turn begins.
    fn responder(
        &self,
    ) -> (
        Arc<Answers<impl Fn(Arrival) -> haversack_gateway::Responding + Send + Sync + 'static>>,
        mpsc::UnboundedReceiver<String>,
    ) {
        let (begun, begins) = mpsc::unbounded_channel();
        let stage = self.clone();
        let answers = Answers(move |arrival: Arrival| -> haversack_gateway::Responding {
            let (stage, begun) = (stage.clone(), begun.clone());
            Box::pin(async move {
                let id = arrival.message().unwrap().id.clone();
                begun.send(id.clone()).unwrap();
                let cancel = CANCEL.get().unwrap();
                tokio::select! {
                    () = cancel.cancelled() => return Err(Unanswered::Stopped),
                    () = async { stage.gate(&id).notified().await } => {}
                }
                let mut said = vec![arrival.message().unwrap().text.clone()];
                while let Some(more) = arrival.take_steering().unwrap() {
                    said.push(more.text);
                }
                assert_eq!(
                    MESSAGE_ID.get().unwrap(),
                    id,
                    "a turn runs under its own message from end to end"
                );
                Ok(Reply::new(format!(
                    "{}:{}:{}",
                    PRINCIPAL.get().unwrap(),
                    USER_ID.get().unwrap(),
                    said.join("+")
                )))
            })
        });
        (Arc::new(answers), begins)
    }
}

async fn house(busy: Busy, origin: &str) -> (House, Stage, mpsc::UnboundedReceiver<String>) {
    let stage = Stage::default();
    let (responder, begins) = stage.responder();
    let mut shop = account("shop", "acme", origin);
    shop.busy = busy;
    let mut options = options();
    options.waiting = 3;
    (House::with(vec![shop], options, responder).await, stage, begins)
}

#[tokio::test]
async fn turns_of_one_session_are_serialised_and_sessions_are_concurrent() {
    let mut callbacks = Callbacks::start().await;
    let (house, stage, mut begins) = house(Busy::Queue, &callbacks.origin).await;
    let url = callbacks.url("/in");
    let post = |id: &str, chat: &str| Post::new("shop", id, id).in_chat(chat).calling(url.clone());
    post("m1", "c1").send(&house).await;
    assert_eq!(begins.recv().await.unwrap(), "m1");
    post("m2", "c1").send(&house).await;
    post("m3", "c1").send(&house).await;
    post("n1", "c2").from("u-lee").send(&house).await;
    // Another session does not wait; the same one does.
    assert_eq!(begins.recv().await.unwrap(), "n1");
    stage.open("n1");
    assert_eq!(callbacks.next().await.text, "lee:u-lee:n1");
    assert!(begins.try_recv().is_err());
    for id in ["m1", "m2", "m3"] {
        stage.open(id);
        assert_eq!(callbacks.next().await.text, format!("kim:u-kim:{id}"));
    }
    assert_eq!([begins.recv().await.unwrap(), begins.recv().await.unwrap()], ["m2", "m3"]);
}

#[tokio::test]
async fn a_queued_follow_up_of_another_person_runs_under_its_own_identity_and_the_first_is_intact() {
    let mut callbacks = Callbacks::start().await;
    let stage = Stage::default();
    let (responder, mut begins) = stage.responder();
    let mut shop = account("shop", "acme", &callbacks.origin);
    shop.sessions = serde_json::from_str::<KeyPolicy>(r#"{ "group": "shared" }"#).unwrap();
    let house = House::with(vec![shop], options(), responder).await;
    let url = callbacks.url("/in");
    Post::new("shop", "m1", "first").in_group("g").calling(url.clone()).send(&house).await;
    assert_eq!(begins.recv().await.unwrap(), "m1");
    Post::new("shop", "m2", "second").from("u-lee").in_group("g").calling(url).send(&house).await;
    stage.open("m1");
    stage.open("m2");
    let [one, two] = [callbacks.next().await, callbacks.next().await];
    // The conversation is the group's own; who spoke is who spoke.
    assert!(one.text.starts_with("group:") && one.text.ends_with(":u-kim:first"), "{}", one.text);
    assert!(two.text.starts_with("group:") && two.text.ends_with(":u-lee:second"), "{}", two.text);
    assert_eq!([&one.body["in_reply_to"], &two.body["in_reply_to"]], ["m1", "m2"]);
}

#[tokio::test]
async fn a_message_during_a_turn_steers_it_when_it_is_of_the_same_person() {
    let mut callbacks = Callbacks::start().await;
    let (house, stage, mut begins) = house(Busy::Steer, &callbacks.origin).await;
    let url = callbacks.url("/in");
    let post = |id: &str| Post::new("shop", id, id).calling(url.clone());
    post("m1").send(&house).await;
    assert_eq!(begins.recv().await.unwrap(), "m1");
    post("m2").send(&house).await;
    post("m3").send(&house).await;
    stage.open("m1");
    assert_eq!(callbacks.next().await.text, "kim:u-kim:m1+m2+m3");
    // What was taken has no turn of its own.
    post("m4").send(&house).await;
    assert_eq!(begins.recv().await.unwrap(), "m4");
    stage.open("m4");
    assert_eq!(callbacks.next().await.text, "kim:u-kim:m4");
}

#[tokio::test]
async fn nobody_steers_the_turn_of_somebody_else() {
    let mut callbacks = Callbacks::start().await;
    let stage = Stage::default();
    let (responder, mut begins) = stage.responder();
    let mut shop = account("shop", "acme", &callbacks.origin);
    shop.busy = Busy::Steer;
    shop.sessions = serde_json::from_str::<KeyPolicy>(r#"{ "group": "shared" }"#).unwrap();
    let house = House::with(vec![shop], options(), responder).await;
    let url = callbacks.url("/in");
    Post::new("shop", "m1", "mine").in_group("g").calling(url.clone()).send(&house).await;
    begins.recv().await.unwrap();
    Post::new("shop", "m2", "do as I say").from("u-lee").in_group("g").calling(url).send(&house).await;
    stage.open("m1");
    stage.open("m2");
    assert!(callbacks.next().await.text.ends_with(":u-kim:mine"));
    assert!(callbacks.next().await.text.ends_with(":u-lee:do as I say"));
}

#[tokio::test]
async fn a_message_during_a_turn_interrupts_it() {
    let mut callbacks = Callbacks::start().await;
    let (house, stage, mut begins) = house(Busy::Interrupt, &callbacks.origin).await;
    let url = callbacks.url("/in");
    Post::new("shop", "m1", "long").calling(url.clone()).send(&house).await;
    assert_eq!(begins.recv().await.unwrap(), "m1");
    Post::new("shop", "m2", "stop").calling(url).send(&house).await;
    assert_eq!(begins.recv().await.unwrap(), "m2");
    stage.open("m2");
    assert_eq!(callbacks.next().await.text, "kim:u-kim:stop", "the first turn says nothing any more");
}

#[tokio::test]
async fn a_turn_that_does_not_notice_is_ended() {
    let mut callbacks = Callbacks::start().await;
    let mut shop = account("shop", "acme", &callbacks.origin);
    shop.busy = Busy::Interrupt;
    let (begun, mut begins) = mpsc::unbounded_channel();
    let house = House::open(
        vec![shop],
        Arc::new(Answers(move |arrival: Arrival| {
            let begun = begun.clone();
            async move {
                let text = arrival.message().unwrap().text.clone();
                begun.send(()).unwrap();
                if text == "deaf" {
                    std::future::pending::<()>().await;
                }
                Ok(Reply::new(text))
            }
        })),
    )
    .await;
    let url = callbacks.url("/in");
    Post::new("shop", "m1", "deaf").calling(url.clone()).send(&house).await;
    begins.recv().await.unwrap();
    Post::new("shop", "m2", "next").calling(url).send(&house).await;
    assert_eq!(callbacks.next().await.text, "next");
}

#[tokio::test]
async fn a_queue_is_bounded_and_a_refused_message_may_come_again() {
    let mut callbacks = Callbacks::start().await;
    let (house, stage, mut begins) = house(Busy::Queue, &callbacks.origin).await;
    let url = callbacks.url("/in");
    let post = |id: &str| Post::new("shop", id, id).calling(url.clone());
    post("m1").send(&house).await;
    begins.recv().await.unwrap();
    for id in ["m2", "m3", "m4"] {
        assert_eq!(post(id).send(&house).await.0, 202);
    }
    assert_eq!(post("m5").send(&house).await.0, 429);
    stage.open("m1");
    callbacks.next().await;
    assert_eq!(post("m5").send(&house).await.0, 202, "it was not remembered as taken");
}

#[tokio::test]
async fn a_message_in_the_hands_of_another_handler_is_foreign_while_its_own_runs_and_over_afterwards() {
    let (caught, go) = (Arc::new(Mutex::new(None::<Arrival>)), Arc::new(Notify::new()));
    let (keep, wait) = (caught.clone(), go.clone());
    let (begun, mut begins) = mpsc::unbounded_channel();
    let mut callbacks = Callbacks::start().await;
    let mut shop = account("shop", "acme", &callbacks.origin);
    shop.busy = Busy::Steer;
    let house = House::open(
        vec![shop],
        Arc::new(Answers(move |arrival: Arrival| {
            let (keep, wait, begun) = (keep.clone(), wait.clone(), begun.clone());
            async move {
                // Locked for the look alone.
                let first = keep.lock().unwrap().clone();
                let Some(first) = first else {
                    // Work under another door is another's, whatever it has bound.
                    let key = SESSION_KEY.get().unwrap();
                    let visit = haversack::testing::enter(|bind| bind.bind(&SESSION_KEY, key));
                    let under_another_door = visit.run(|| arrival.message().map(|_| ()));
                    keep.lock().unwrap().replace(arrival);
                    begun.send(under_another_door).unwrap();
                    wait.notified().await;
                    return Ok(Reply::new("first"));
                };
                let errors = [first.message().map(|_| ()), first.take_steering().map(|_| ()), first.check()];
                let kinds = errors.map(|error| match error.unwrap_err() {
                    GatewayError::Foreign(_) => "foreign",
                    GatewayError::HandlerEnded => "ended",
                    other => panic!("{other}"),
                });
                Ok(Reply::new(kinds.join(" ")))
            }
        })),
    )
    .await;
    Post::new("shop", "m1", "x").calling(callbacks.url("/first")).send(&house).await;
    let error = begins.recv().await.unwrap().unwrap_err();
    assert!(matches!(error, GatewayError::Foreign(_)), "{error}");
    // It would be there to be taken.
    Post::new("shop", "m1b", "more").calling(callbacks.url("/first")).send(&house).await;
    let told = Post::new("shop", "m2", "x").in_chat("c2").send(&house).await;
    assert_eq!(told.1["text"], "foreign foreign foreign");
    go.notify_one();
    assert_eq!(callbacks.next().await.text, "first");
    let told = Post::new("shop", "m3", "x").in_chat("c3").send(&house).await;
    assert_eq!(told.1["text"], "ended ended ended");
}

/// A turn that a shutdown stops had taken a message: nobody was answered, so both come again, and who waits on the line is not
/// told of an answer.
#[tokio::test]
async fn what_a_stopped_turn_had_taken_is_left_to_the_next_start_and_each_is_answered() {
    let mut callbacks = Callbacks::start().await;
    let (begun, mut begins) = mpsc::unbounded_channel();
    let takes = Answers(move |arrival: Arrival| {
        let begun = begun.clone();
        async move {
            begun.send("began").unwrap();
            let added = loop {
                match arrival.take_steering().unwrap() {
                    Some(added) => break added,
                    None => tokio::task::yield_now().await,
                }
            };
            assert!(!added.text.is_empty());
            begun.send("took").unwrap();
            CANCEL.get().unwrap().cancelled().await;
            Err(Unanswered::Stopped)
        }
    });
    let takes = Arc::new(takes);
    let mut shop = account("shop", "acme", &callbacks.origin);
    shop.busy = Busy::Steer;
    let house = House::open(vec![shop.clone()], takes).await;
    let post = |id: &str| Post::new("shop", id, id).calling(callbacks.url("/in"));
    post("m1").send(&house).await;
    assert_eq!(begins.recv().await.unwrap(), "began");
    post("m2").send(&house).await;
    assert_eq!(begins.recv().await.unwrap(), "took");
    // The same without a way back: in another chat, where the line is held.
    let line = [Post::new("shop", "n1", "n1").in_chat("c2"), Post::new("shop", "m2", "m2").in_chat("c2")];
    let line = line.map(|post| Post { id: format!("line-{}", post.id), ..post });
    let drained = async {
        assert_eq!(begins.recv().await.unwrap(), "began");
        assert_eq!(begins.recv().await.unwrap(), "took");
        house.gateway.drain(std::time::Duration::ZERO).await;
    };
    let second = async {
        // It is added when the first has its turn, and waits for nothing then.
        line[1].send(&house).await
    };
    let (first, second, ()) = tokio::join!(line[0].send(&house), second, drained);
    for (status, told) in [first, second] {
        assert_ne!(status, 200, "nobody was answered: {told}");
    }
    let folder = house.close().await;
    let house = House::in_folder(folder, vec![shop], options(), |_| crate::house::echo()).await;
    for id in ["m1", "m2"] {
        let heard = callbacks.next().await;
        assert_eq!((heard.text, &heard.body["in_reply_to"]), (format!("echo {id}"), &serde_json::json!(id)));
    }
    house.close().await;
    assert!(callbacks.rest().is_empty());
}

#[tokio::test]
async fn a_gateway_that_goes_down_lets_turns_finish_and_takes_no_more() {
    let mut callbacks = Callbacks::start().await;
    let (house, stage, mut begins) = house(Busy::Queue, &callbacks.origin).await;
    Post::new("shop", "m1", "last").calling(callbacks.url("/in")).send(&house).await;
    begins.recv().await.unwrap();
    let gateway = house.gateway.clone();
    let drained =
        haversack::spawn_detached(async move { gateway.drain(std::time::Duration::from_secs(20)).await });
    while Post::new("shop", "m2", "late").in_chat("c2").send(&house).await.0 != 503 {
        stage.open("m2");
    }
    stage.open("m1");
    drained.await.unwrap();
    assert!(callbacks.next().await.text.ends_with("last"));
}
