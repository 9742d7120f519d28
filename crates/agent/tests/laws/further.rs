//! Words that are added to a turn while it runs: read by its next call, kept where they were heard, answered once.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use haversack::well_known::SessionId;
use haversack_agent::history::{TurnStatus, TurnView};
use haversack_agent::model::scripted::Answer;
use haversack_agent::model::{Message, ModelError, Offline, ScriptedModel};
use haversack_agent::tool::{Tool, ToolOutput, tool};
use haversack_agent::{EventSink, FurtherWords, MOST_FURTHER, Reply, TurnError, TurnRequest};
use serde_json::{Value, json};

use super::house::{House, door, keyed, request};

/// What a sender has added and no turn has taken.
#[derive(Clone, Default)]
struct Added(Arc<Mutex<VecDeque<TurnRequest>>>);

impl Added {
    fn say(&self, words: TurnRequest) {
        self.0.lock().unwrap().push_back(words);
    }

    fn left(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    fn source(&self) -> FurtherWords {
        let added = self.clone();
        FurtherWords::new(move || added.0.lock().unwrap().pop_front())
    }

    /// A tool during which somebody says `words`.
    fn while_it_runs(&self, words: TurnRequest) -> Arc<dyn Tool> {
        let added = self.clone();
        Arc::new(tool("work", "Takes a while.", move |_: Value| {
            let (added, words) = (added.clone(), words.clone());
            async move {
                added.say(words);
                ToolOutput::json(&json!("worked"))
            }
        }))
    }
}

async fn ask(house: &House, words: TurnRequest, added: &Added) -> Result<Reply, TurnError> {
    let (agents, source) = (house.agents.clone(), added.source());
    let work = async move { agents.turn(words)?.with_further(source).run(EventSink::none()).await };
    door("acme", "kim", "s").wrap(work).await
}

/// The turns of the session, oldest first.
async fn turns(house: &House) -> Vec<TurnView> {
    let visit = door("acme", "kim", "s");
    let history = visit.run(|| house.agents.history()).unwrap();
    visit.run(|| history.session(&SessionId::new("s").unwrap())).await.unwrap().unwrap().history
}

/// What was said in a turn, each as its role and its words.
fn said(turn: &TurnView) -> Vec<String> {
    let said = turn.messages.iter().map(|message| {
        let words = message.content["text"].as_str().or(message.content["content"].as_str());
        format!("{}: {}", message.role, words.unwrap())
    });
    said.collect()
}

fn user(text: &str) -> Message {
    Message::User { text: text.to_owned() }
}

#[tokio::test]
async fn words_added_during_a_turn_are_read_by_its_next_call_and_answered_by_its_reply() {
    let model = ScriptedModel::new([
        Answer::call("work", json!({})),
        Answer::text("Both done."),
        Answer::text("And the next."),
    ]);
    let added = Added::default();
    let tools = vec![added.while_it_runs(keyed("And in blue.", "k2"))];
    let house = House::solo(model.clone(), &["work"], tools);
    let reply = ask(&house, keyed("Paint it.", "k1"), &added).await.unwrap();
    assert_eq!((reply.text.as_str(), reply.added), ("Both done.", false));
    let seen = model.seen();
    assert_eq!(seen[0].messages, [user("Paint it.")]);
    assert_eq!(seen[1].messages.first(), Some(&user("Paint it.")));
    assert_eq!(seen[1].messages.last(), Some(&user("And in blue.")), "behind what its tools gave");
    assert!(matches!(seen[1].messages[2], Message::Tool { .. }));

    let history = turns(&house).await;
    assert_eq!(
        said(&history[0]),
        ["user: Paint it.", "assistant: ", "tool: worked", "user: And in blue.", "assistant: Both done."]
    );
    // The next turn reads both, with the reply to both.
    ask(&house, request("Next."), &added).await.unwrap();
    let next = model.seen().pop().unwrap().messages;
    assert_eq!(next[0], user("Paint it.\nAnd in blue."));
    assert_eq!((next.len(), &next[2]), (3, &user("Next.")));
}

#[tokio::test]
async fn added_words_of_a_key_are_answered_once() {
    let model = ScriptedModel::new([
        Answer::call("work", json!({})),
        Answer::text("Both done."),
        Answer::text("Never said."),
    ]);
    let added = Added::default();
    let tools = vec![added.while_it_runs(keyed("And in blue.", "k2"))];
    let house = House::solo(model.clone(), &["work"], tools);
    let first = ask(&house, keyed("Paint it.", "k1"), &added).await.unwrap();
    // As after a crash in which nobody heard that both were answered.
    let [one, two] = [keyed("Paint it.", "k1"), keyed("And in blue.", "k2")];
    let one = ask(&house, one, &added).await.unwrap();
    assert_eq!((one.turn, one.replayed, one.added), (first.turn, true, false));
    let again = ask(&house, two, &added).await.unwrap();
    assert_eq!((again.turn, again.replayed, again.added), (first.turn, true, true));
    assert_eq!(again.text, "Both done.");
    let other = ask(&house, keyed("And in red.", "k2"), &added).await.unwrap_err();
    assert!(matches!(other, TurnError::IdempotencyConflict), "{other}");
    assert_eq!((model.seen().len(), turns(&house).await.len()), (2, 1), "the model was asked for one turn");
    // Nor are they heard again by a turn that they are added to.
    added.say(keyed("And in blue.", "k2"));
    ask(&house, request("Next."), &added).await.unwrap();
    let next = model.seen().pop().unwrap().messages;
    assert_eq!(next.last(), Some(&user("Next.")), "{next:?}");
}

#[tokio::test]
async fn words_that_a_failed_turn_took_stay_in_its_history_and_their_key_is_free() {
    let broken = ModelError::Malformed("for the test");
    let model = ScriptedModel::new([
        Answer::call("work", json!({})),
        Answer::default().and_fail(broken),
        Answer::text("Blue it is."),
    ]);
    let added = Added::default();
    let tools = vec![added.while_it_runs(keyed("And in blue.", "k2"))];
    let house = House::solo(model.clone(), &["work"], tools);
    ask(&house, keyed("Paint it.", "k1"), &added).await.unwrap_err();
    let history = turns(&house).await;
    assert_eq!(history[0].status, TurnStatus::Failed);
    assert_eq!(said(&history[0]), ["user: Paint it.", "user: And in blue."]);
    let own = ask(&house, keyed("And in blue.", "k2"), &added).await.unwrap();
    assert_eq!((own.text.as_str(), own.replayed), ("Blue it is.", false));
    let again = ask(&house, keyed("And in blue.", "k2"), &added).await.unwrap();
    assert_eq!((again.turn, again.replayed, again.added), (own.turn, true, false));
}

#[tokio::test]
async fn a_turn_takes_a_bounded_number_of_words() {
    let model = ScriptedModel::new([Answer::text("Enough.")]);
    let house = House::solo(model.clone(), &[], Vec::new());
    let added = Added::default();
    (0..40).for_each(|n| added.say(request(&format!("word {n}"))));
    ask(&house, request("Go"), &added).await.unwrap();
    assert_eq!(model.seen()[0].messages.len(), 1 + MOST_FURTHER);
    assert_eq!(added.left(), 40 - MOST_FURTHER, "the others wait for a turn of their own");
    // And a bounded amount: the next ones would leave no room for an answer.
    let long = "word ".repeat(4_000);
    let added = Added::default();
    (0..4).for_each(|_| added.say(request(&long)));
    let _ = ask(&house, request("Go"), &added).await;
    assert_eq!(added.left(), 3);
}

#[tokio::test]
async fn the_offline_model_answers_what_was_added_behind_what_began_the_turn() {
    let house = House::with(haversack_agent::AgentConfig::default(), Arc::new(Offline), Vec::new());
    for fact in ["account manager is Ilse Quandt", "delivery address is Tarnweg 8"] {
        house.say("acme", "before", &format!("Remember that our {fact}.")).await.unwrap();
    }
    let added = Added::default();
    added.say(request("Remember that our warehouse code is R7-Nord."));
    // It asks its tools as the first question does, and reads its own results.
    added.say(request("What is our delivery address?"));
    let reply = ask(&house, request("Who is our account manager?"), &added).await.unwrap();
    let at = |words: &str| reply.text.find(words).unwrap_or_else(|| panic!("no {words} in {}", reply.text));
    assert!(at("Ilse Quandt") < at("Tarnweg 8"), "{}", reply.text);
    let kept = house.say("acme", "after", "What is our warehouse code?").await.unwrap();
    assert!(kept.text.contains("R7-Nord"), "{}", kept.text);
}
