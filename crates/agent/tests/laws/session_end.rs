//! The end of a session: closing, what it learnt, and its summary.

use haversack::Visit;
use haversack::well_known::SessionId;
use haversack_agent::history::{Learnt, TurnStatus};
use haversack_agent::model::scripted::Answer;
use haversack_agent::model::{Message, ScriptedModel};
use haversack_agent::{Promoted, TurnError};
use haversack_memory::recall::{NewMemory, Source};
use haversack_memory::session::{NewAttempt, Outcome};
use haversack_memory::{MemoryError, Query};
use serde_json::json;

use super::house::{House, door, request};

fn session(name: &str) -> SessionId {
    SessionId::new(name).unwrap()
}

fn at(principal: &str, name: &str) -> Visit {
    door("acme", principal, name)
}

#[tokio::test]
async fn a_closed_session_keeps_its_history_and_a_message_opens_it_again() {
    let house = House::offline();
    house.say("acme", "s", "I tried restarting the scanner and it did not help.").await.unwrap();
    let visit = at("kim", "s");
    let kim = visit.run(|| house.agents.history()).unwrap();
    let close = || visit.run(|| kim.close(&session("s")));
    let closed = close().await.unwrap().unwrap();
    assert_eq!(close().await.unwrap(), Some(closed), "closing again changes nothing");
    let attempts = || visit.run(|| house.memory.session().unwrap().attempts());
    assert!(attempts().await.unwrap().is_empty(), "what was tried is over");
    assert_eq!(visit.run(|| kim.session(&session("s"))).await.unwrap().unwrap().history.len(), 1);
    house.say("acme", "s", "Hello again").await.unwrap();
    assert_eq!(attempts().await.unwrap().len(), 1);

    let other = at("lee", "s");
    let lee = other.run(|| house.agents.history()).unwrap();
    assert_eq!(other.run(|| lee.close(&session("s"))).await.unwrap(), None, "a foreign one is not there");
    assert_eq!(attempts().await.unwrap().len(), 1);
}

#[tokio::test]
async fn what_helped_in_a_session_is_remembered_in_every_other() {
    let house = House::offline();
    house
        .say("acme", "s", "The scanner does not read. I tried cleaning the lens and it worked.")
        .await
        .unwrap();
    house.say("acme", "s", "I tried restarting the scanner and it did not help.").await.unwrap();
    let visit = at("kim", "s");
    let kim = visit.run(|| house.agents.history()).unwrap();
    visit.run(|| kim.close(&session("s"))).await.unwrap();

    let learnt = visit.run(|| house.agents.learnt(&session("s"))).await.unwrap();
    assert_eq!(learnt.len(), 1, "{learnt:?}");
    let Learnt { action, .. } = &learnt[0];
    assert!(action.to_lowercase().contains("cleaning the lens"), "{action}");
    let other = at("lee", "s");
    assert_eq!(other.run(|| house.agents.learnt(&session("s"))).await.unwrap(), [], "not another's");

    let promote = || visit.run(|| house.agents.promote());
    assert_eq!(promote().await.unwrap(), Promoted { kept: 1, known: 0 });
    assert_eq!(promote().await.unwrap(), Promoted { kept: 0, known: 1 });
    let later = at("lee", "later");
    let query = Query { text: "lens".to_owned(), limit: 5 };
    let found = later.run(|| house.memory.recall().unwrap().search(query)).await.unwrap();
    assert_eq!(found.hits[0].source, Source::Learnt);
    assert!(found.hits[0].text.starts_with("This helped before: "), "{}", found.hits[0].text);

    // It goes with the session it comes from.
    visit.run(|| kim.delete(&session("s"))).await.unwrap().unwrap();
    let query = Query { text: "lens".to_owned(), limit: 5 };
    assert!(later.run(|| house.memory.recall().unwrap().search(query)).await.unwrap().hits.is_empty());
}

#[tokio::test]
async fn learning_needs_a_door() {
    let house = House::offline();
    assert!(matches!(house.agents.promote().await, Err(TurnError::Unbound(_))));
    assert!(matches!(house.agents.learnt(&session("s")).await, Err(TurnError::Unbound(_))));
    assert!(matches!(house.agents.summarise(&session("s")).await, Err(TurnError::Unbound(_))));
}

#[tokio::test]
async fn a_summary_stands_for_the_old_part_of_a_session() {
    let model = ScriptedModel::by(|request| match (request.last_user_text(), request.messages.last()) {
        ("Our code is K7.", Some(Message::User { .. })) => {
            Answer::call("remember", json!({ "text": "The code is K7." }))
        }
        (text, _) => Answer::text(&format!("I found nothing about {text}")),
    });
    let house = House::solo(model.clone(), &["remember"], Vec::new());
    let summarise = async |who: &str| {
        let visit = at(who, "s");
        visit.run(|| house.agents.summarise(&session("s"))).await.unwrap()
    };
    let says = ["Hello. Why does it leak? Help.", "Our code is K7.", "Nice weather.", "Where is the tap?"];
    for words in says {
        house.say("acme", "s", words).await.unwrap();
    }
    assert_eq!(summarise("kim").await, None, "too short to be worth one");
    for n in 5..=8 {
        house.say("acme", "s", &format!("Message {n}.")).await.unwrap();
    }
    assert_eq!(summarise("lee").await, None, "not another's");
    let summary = summarise("kim").await.unwrap();
    assert_eq!((summary.through, summary.turns), (4, 4));
    let expected = "It began with: Why does it leak? Facts that were told: The code is K7. \
        Still open: Where is the tap?";
    assert_eq!(summary.text, expected);

    house.say("acme", "s", "Message 10.").await.unwrap();
    let request = model.seen().pop().unwrap();
    assert!(request.system.contains(&format!("\nsummary: {expected}")), "{}", request.system);
    let asked = request.messages.iter().filter_map(|message| match message {
        Message::User { text } => Some(text.as_str()),
        _ => None,
    });
    let asked: Vec<_> = asked.collect();
    assert_eq!(asked, ["Message 5.", "Message 6.", "Message 7.", "Message 8.", "Message 10."]);

    // A newer summary takes its place, and both stay in the history.
    let newer = summarise("kim").await.unwrap();
    assert_eq!(newer.turns, 5);
    house.say("acme", "s", "Message 12.").await.unwrap();
    let system = model.seen().pop().unwrap().system;
    assert_eq!(system.matches("summary: ").count(), 1);
    let visit = at("kim", "s");
    let kim = visit.run(|| house.agents.history()).unwrap();
    let view = visit.run(|| kim.session(&session("s"))).await.unwrap().unwrap();
    let summaries = view.history.iter().filter(|turn| turn.status == TurnStatus::Summary).count();
    assert_eq!((summaries, view.summary.turns), (2, 10));
}

#[tokio::test]
async fn what_began_in_a_deleted_session_writes_its_words_no_more() {
    let house = House::offline();
    house.say("acme", "s", "I tried cleaning the lens and it worked.").await.unwrap();
    let visit = at("kim", "s");
    let kim = visit.run(|| house.agents.history()).unwrap();
    let (recall, cache) = visit.run(|| (house.memory.recall().unwrap(), house.memory.session().unwrap()));
    visit.run(|| kim.delete(&session("s"))).await.unwrap().unwrap();
    let fact = || NewMemory { text: "Robin Vega calls.".to_owned(), subject: None, source: Source::User };
    let tried = || NewAttempt { action: "a lamp".to_owned(), outcome: Outcome::Worked, detail: None };
    // While the name is free, and when it is somebody else's.
    for taken in [false, true] {
        if taken {
            house.ask(door("acme", "lee", "s"), request("Hello"), None).await.unwrap();
        }
        let kept = visit.run(|| recall.remember(fact())).await;
        assert!(matches!(kept, Err(MemoryError::SessionOver)), "{kept:?}");
        let noted = visit.run(|| cache.note(tried())).await;
        assert!(matches!(noted, Err(MemoryError::SessionOver)), "{noted:?}");
        assert!(visit.run(|| kim.is_over(&session("s"))).await.unwrap());
    }
    // A session that no history has, as one of an MCP client, is written in as ever.
    let other = at("kim", "mcp/7");
    let recall = other.run(|| house.memory.recall()).unwrap();
    other.run(|| recall.remember(fact())).await.unwrap();
}
