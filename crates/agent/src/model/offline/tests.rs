//! How messages are understood, and that no message costs more than its length.

use serde_json::json;

use super::intent::{Intent, read};
use super::{Offline, overlap};
use crate::model::{ChatModel, ChatRequest, Message};
use crate::tool::ToolSpec;

fn tool(name: &str) -> ToolSpec {
    ToolSpec { name: name.to_owned(), description: String::new(), parameters: json!({ "type": "object" }) }
}

fn understood(message: &str) -> Vec<Intent<'_>> {
    read(message, &[tool("shift_report"), tool("research")])
}

#[test]
fn plain_requests_are_understood() {
    let kept = |text| vec![Intent::Remember(text)];
    for (message, intents) in [
        ("Hi", vec![Intent::Greet]),
        ("Good morning!", vec![Intent::Greet]),
        ("Thanks a lot.", vec![Intent::Thank]),
        ("help", vec![Intent::Help]),
        ("/help", vec![Intent::Help]),
        ("What can you do?", vec![Intent::Help]),
        ("Who are you? Are you a human?", vec![Intent::Who]),
        ("Can I talk to a human?", vec![Intent::Human]),
        ("I want to speak to someone please", vec![Intent::Human]),
        ("What do you know about me?", vec![Intent::List]),
        ("What have I tried so far?", vec![Intent::Attempts]),
        ("Forget our plumber.", vec![Intent::Forget("our plumber.")]),
        ("Hi! Please remember that we open at 8.", kept("we open at 8.")),
        (
            "Remember that Yusuf cannot eat nuts, he gets ill from them.",
            kept("Yusuf cannot eat nuts, he gets ill from them."),
        ),
        (
            "Our doctor is Dr. Okafor. She is in on Mondays.",
            kept("Our doctor is Dr. Okafor. She is in on Mondays."),
        ),
        ("Who is our landlord?", vec![Intent::Ask("Who is our landlord?")]),
        (
            "Remember that the code is 7. What is the code?",
            vec![Intent::Remember("the code is 7."), Intent::Ask("What is the code?")],
        ),
        ("I tried cleaning the lens and it worked.", vec![Intent::Tried("cleaning the lens and it worked.")]),
        (
            "We tried a restart. That helped for an hour, but then it came back.",
            vec![Intent::Tried("a restart. That helped for an hour, but then it came back.")],
        ),
        ("Please prepare the shift report.", vec![Intent::Use("shift_report".to_owned(), "")]),
        ("Can you research our returns?", vec![Intent::Use("research".to_owned(), "our returns?")]),
        ("Our research number is 4711.", kept("Our research number is 4711.")),
    ] {
        assert_eq!(understood(message), intents, "{message}");
    }
}

#[test]
fn what_is_no_assertion_is_not_kept() {
    for message in [
        "If our manager were Olga, we would be faster.",
        "Our address could change to Leeds.",
        "PR 67157 merged, PR 44063 watch list, Desktop delivered",
        "I restarted it and then cleaned the lens.",
    ] {
        assert!(!matches!(understood(message)[..], [Intent::Remember(_), ..]), "{message}");
    }
}

#[test]
fn an_attempt_worked_or_failed_only_by_plain_words() {
    for (text, outcome) in [
        ("cleaning the lens and it worked.", "worked"),
        ("a restart, it did not help.", "failed"),
        ("a restart. That helped for an hour, but then it came back.", "unknown"),
        ("a restart", "unknown"),
    ] {
        assert_eq!(super::intent::outcome(text), outcome, "{text}");
    }
}

#[test]
fn a_fact_answers_only_a_question_with_all_of_its_words() {
    let answers = |question: &str, fact: &str| {
        let asked = overlap::stems(question);
        overlap::answers(overlap::covered(&asked, &overlap::stems(fact)), asked.len())
    };
    assert!(answers("Who is our account manager?", "our account manager is Robin Vega"));
    assert!(!answers("What is Kim's phone number?", "Kim's office number is 12"));
    assert!(!answers("Who?", "our account manager is Robin Vega"));
}

/// No stack grows with the text and no word is read again for each other word: 64 KiB of the worst texts known, of each
/// word that the model looks for, and of every mark, end within the test's time in a debug build.
#[test]
fn sixty_four_kibibytes_of_anything_are_answered() {
    let repeated = |text: &str| text.repeat(65_536 / text.len().max(1));
    let known = [
        "in ",
        ", we use b",
        "the X is Y, ",
        "a b\n",
        "fyi ",
        "I restarted it. ",
        "? ",
        ". ",
        "\n",
        "remember ",
        "my is ",
    ];
    let words = include_str!("intent.rs").split(['"', ' ', '|', '\n', '\\']).map(|word| format!("{word} "));
    for text in known.iter().map(|text| (*text).to_owned()).chain(words) {
        let message = if text.trim().is_empty() { text } else { repeated(&text) };
        let request = ChatRequest {
            messages: vec![Message::User { text: message }],
            tools: vec![tool("recall"), tool("remember"), tool("search_knowledge")],
            ..ChatRequest::default()
        };
        drop(Offline.chat(request));
    }
}
