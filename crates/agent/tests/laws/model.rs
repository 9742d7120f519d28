//! The model contract: pieces are assembled, and a stream that just stops was cut off.

use haversack_agent::model::scripted::Answer;
use haversack_agent::model::{ChatModel, ChatRequest, ModelError, Offline, ScriptedModel, complete};
use haversack_agent::{AgentConfig, TurnError};
use serde_json::json;

use super::house::House;

async fn whole(answer: Answer) -> Result<haversack_agent::model::Completion, TurnError> {
    complete(&ScriptedModel::new([answer]), ChatRequest::default(), |_| Ok(())).await
}

#[tokio::test]
async fn pieces_of_tool_calls_are_put_together_by_their_index() {
    let answer = Answer::text("Let me ")
        .and_piece(0, Some("a"), Some("recall"), "{\"que")
        .and_piece(1, Some("b"), Some("remember"), "")
        .and_wait()
        .and_text("see.")
        .and_piece(0, None, None, "ry\": \"\u{e9}")
        .and_piece(1, None, None, "{\"text\":\"x\"}")
        .and_piece(0, None, None, "\u{1F600}\"}");
    let whole = whole(answer).await.unwrap();
    assert_eq!(whole.text, "Let me see.");
    assert_eq!(whole.calls[0].arguments, json!({ "query": "\u{e9}\u{1F600}" }));
    assert_eq!(whole.calls[1].arguments, json!({ "text": "x" }));
    assert_eq!((whole.calls[0].id.as_str(), whole.calls[1].name.as_str()), ("a", "remember"));
}

#[tokio::test]
async fn no_arguments_are_an_empty_object_and_broken_ones_stay_text() {
    let answer =
        Answer::default().and_piece(0, None, Some("one"), "").and_piece(1, None, Some("two"), "{\"a\":");
    let whole = whole(answer).await.unwrap();
    assert_eq!(whole.calls[0].arguments, json!({}));
    assert_eq!(whole.calls[1].arguments, json!("{\"a\":"));
    assert_eq!(whole.calls[0].id, "call_0", "an id is made where the provider gives none");
}

#[tokio::test]
async fn a_stream_that_just_stops_is_an_error() {
    let cut = whole(Answer::text("Half a sen").and_cut()).await;
    assert!(matches!(cut, Err(TurnError::Model(ModelError::Malformed(_)))), "{cut:?}");
    let nameless = whole(Answer::default().and_piece(0, Some("a"), None, "{}")).await;
    assert!(matches!(nameless, Err(TurnError::Model(ModelError::Malformed(_)))));
}

#[tokio::test]
async fn an_empty_answer_is_retried_once() {
    let house = House::solo(ScriptedModel::new([Answer::default(), Answer::text("Hi.")]), &[], Vec::new());
    assert_eq!(house.say("acme", "s", "Hello").await.unwrap().text, "Hi.");
    let house = House::solo(ScriptedModel::new([Answer::default(), Answer::default()]), &[], Vec::new());
    let outcome = house.say("acme", "s", "Hello").await;
    assert!(matches!(outcome, Err(TurnError::Model(ModelError::Malformed(_)))), "{outcome:?}");
}

#[tokio::test]
async fn the_offline_model_is_the_default_and_says_the_same_twice() {
    assert_eq!(Offline.name(), "offline");
    assert_eq!(AgentConfig::default().model.provider, haversack_agent::agent::Provider::Offline);
    let (one, two) = (House::offline(), House::offline());
    for message in
        ["Our PO number is PQ-1 and we close at 17:00.", "What is the PO number?", "I tried it, no luck."]
    {
        let (a, b) =
            (one.say("acme", "s", message).await.unwrap(), two.say("acme", "s", message).await.unwrap());
        assert_eq!((a.text, a.agent), (b.text, b.agent));
    }
}
