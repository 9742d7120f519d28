//! The offline model: rules and recall, no network, and honest about it.
//!
//! It reads the request like any model, plans what to keep, to note and to look up, asks for its tools, and
//! composes its answer from what they return. It is stateless and deterministic: the same request gives the
//! same answer. It is the default of an installation without a provider, so that everything around a model
//! can be used and measured.
//!
//! What it can do: keep facts and corrections, note attempts, answer questions from facts and from the
//! handbook in other words of the support vocabulary, leave out steps that failed. What it cannot do: reason,
//! count, translate, or understand what its rules do not know; then it says that it found nothing.

mod answer;
mod attempt;
mod compose;
mod correction;
mod extract;
mod handed;
mod intent;
mod lead;
mod past;
mod plan;
mod question;
mod sentence;
mod subject;
mod terms;
#[cfg(test)]
mod tests;
mod using;
mod value;
mod verbs;
mod vocabulary;

use std::borrow::Cow;

use futures_util::stream;
use serde_json::{Value, json};

use self::compose::{Results, call_id, compose};
use self::plan::{Item, Plan};
use self::terms::{Bag, coverage};
use super::{ChatModel, ChatRequest, Message, ModelEvent, ModelStream, ToolCall, ToolCallDelta};
use crate::supervisor::TRANSFER_TO;
use crate::tool::{NOTE_ATTEMPT, RECALL, REMEMBER, SEARCH_KNOWLEDGE};

/// The offline model.
#[derive(Debug, Clone, Copy, Default)]
pub struct Offline(());

impl Offline {
    /// The model; there is nothing to configure.
    #[must_use]
    pub fn new() -> Self {
        Self(())
    }
}

impl ChatModel for Offline {
    fn name(&self) -> &str {
        "offline"
    }

    fn chat(&self, request: ChatRequest) -> ModelStream {
        let events = match step(&request) {
            Step::Call(calls) => calls.into_iter().enumerate().map(piece).collect(),
            Step::Say(text) => words(&text),
        };
        Box::pin(stream::iter(events.into_iter().chain([ModelEvent::End]).map(Ok)))
    }
}

/// What to do next.
enum Step {
    Call(Vec<ToolCall>),
    Say(String),
}

fn step(request: &ChatRequest) -> Step {
    if let Some(name) = chosen_specialist(request) {
        return Step::Call(vec![ToolCall { id: "transfer_1".to_owned(), name, arguments: json!({}) }]);
    }
    let handed = handed::summed_up(request);
    if let Some(text) = handed.as_ref().filter(|_| request.tools.is_empty()) {
        return Step::Say(text.clone());
    }
    let mut answers: Vec<String> = Vec::new();
    // Each message has a plan of its own, and what was added to the turn is answered behind what began it.
    for (number, at) in heard(request).into_iter().enumerate() {
        let told = up_to(request, at);
        let plan = Plan::of(&told);
        let results = results(request, at, number);
        // First what is to be kept, then what is to be found, so that a question finds what its own message told.
        for round in [writes(&plan), reads(&plan)] {
            let open = round.into_iter().filter(|call| is_open(call, request, &results));
            let named = open.map(|call| ToolCall { id: format!("{}{}", added(number), call.id), ..call });
            let calls: Vec<ToolCall> = named.collect();
            if !calls.is_empty() {
                return Step::Call(calls);
            }
        }
        let answer = compose(&plan, &results);
        if !answers.contains(&answer) {
            answers.push(answer);
        }
    }
    Step::Say(answers.into_iter().chain(handed).collect::<Vec<_>>().join("\n\n"))
}

/// Where the messages of this turn's caller stand: the one that began it, and those that were added. An answer without calls
/// ended the turn before.
fn heard(request: &ChatRequest) -> Vec<usize> {
    let ended = |message: &Message| matches!(message, Message::Assistant { calls, .. } if calls.is_empty());
    let begins = request.messages.iter().rposition(ended).map_or(0, |at| at + 1);
    let said = |at: &usize| matches!(request.messages[*at], Message::User { .. });
    let heard: Vec<usize> = (begins..request.messages.len()).filter(said).collect();
    if heard.is_empty() { vec![request.messages.len().saturating_sub(1)] } else { heard }
}

/// The request as it was when its newest message was this one.
fn up_to(request: &ChatRequest, at: usize) -> Cow<'_, ChatRequest> {
    if request.messages[at..].iter().skip(1).all(|message| !matches!(message, Message::User { .. })) {
        return Cow::Borrowed(request);
    }
    let messages = request.messages[..=at].to_vec();
    let ChatRequest { system, tools, choice, .. } = request;
    Cow::Owned(ChatRequest { system: system.clone(), messages, tools: tools.clone(), choice: *choice })
}

fn is_open(call: &ToolCall, request: &ChatRequest, results: &Results<'_>) -> bool {
    request.tools.iter().any(|tool| tool.name == call.name) && !results.contains_key(call.id.as_str())
}

/// The results for one message of the caller, behind it, by the names that its plan gives.
fn results(request: &ChatRequest, at: usize, number: usize) -> Results<'_> {
    let prefix = added(number);
    let behind = request.messages.get(at..).unwrap_or_default();
    let tools = behind.iter().filter_map(|message| match message {
        Message::Tool { call, ok, content, .. } => {
            Some((call.strip_prefix(prefix.as_str())?, (*ok, content.as_str())))
        }
        _ => None,
    });
    tools.collect()
}

/// What the names of calls begin with that are made for the message of this number.
fn added(number: usize) -> String {
    if number == 0 { String::new() } else { format!("added{number}_") }
}

fn writes(plan: &Plan) -> Vec<ToolCall> {
    let calls = plan.items.iter().enumerate().filter_map(|(at, item)| match item {
        Item::Remember { fact, .. } => {
            Some(call(REMEMBER, at, json!({ "text": fact.text, "subject": fact.subject })))
        }
        Item::Note(attempt) => {
            let arguments = json!({ "action": attempt.action, "outcome": attempt.went.as_str() });
            Some(call(NOTE_ATTEMPT, at, arguments))
        }
        _ => None,
    });
    calls.collect()
}

fn reads(plan: &Plan) -> Vec<ToolCall> {
    let calls = plan.items.iter().enumerate().flat_map(|(at, item)| match item {
        Item::Answer(question) if !question.terms.is_empty() => {
            let query = question.query();
            vec![
                call(RECALL, at, json!({ "query": query, "limit": 20 })),
                call(SEARCH_KNOWLEDGE, at, json!({ "query": query, "limit": 8 })),
            ]
        }
        Item::Use { tool, arguments } => vec![call(tool, at, arguments.clone())],
        _ => Vec::new(),
    });
    calls.collect()
}

fn call(tool: &str, item: usize, arguments: Value) -> ToolCall {
    ToolCall { id: call_id(tool, item), name: tool.to_owned(), arguments }
}

/// The hand-over tool whose description is nearest to the message; `None` when this is not a hand-over.
fn chosen_specialist(request: &ChatRequest) -> Option<String> {
    let offered = || request.tools.iter().filter(|tool| tool.name.starts_with(TRANSFER_TO));
    let first = offered().next()?;
    let texts = request.messages.iter().rev().filter_map(|message| match message {
        Message::User { text } => Some(text.as_str()),
        _ => None,
    });
    // What this message does not tell an earlier one may.
    for text in texts.take(3) {
        let terms = terms::terms(text);
        let near = |tool: &crate::tool::ToolSpec| {
            let name = tool.name.trim_start_matches(TRANSFER_TO).replace('_', " ");
            coverage(&terms, &Bag::of(&format!("{name} {}", tool.description)), None)
        };
        let mut best: Option<(f32, &str)> = None;
        for tool in offered() {
            let score = near(tool);
            if score > best.map_or(0.0, |(score, _)| score) {
                best = Some((score, &tool.name));
            }
        }
        if let Some((_, name)) = best {
            return Some(name.to_owned());
        }
    }
    Some(first.name.clone())
}

fn piece((index, call): (usize, ToolCall)) -> ModelEvent {
    let (id, name) = (Some(call.id), Some(call.name));
    ModelEvent::ToolCall(ToolCallDelta { index, id, name, arguments: call.arguments.to_string() })
}

/// The text in pieces of some words, as a provider would send it.
fn words(text: &str) -> Vec<ModelEvent> {
    let mut pieces: Vec<String> = Vec::new();
    for word in text.split_inclusive([' ', '\n']) {
        match pieces.last_mut() {
            Some(last) if last.len() + word.len() <= 48 => last.push_str(word),
            _ => pieces.push(word.to_owned()),
        }
    }
    pieces.into_iter().map(ModelEvent::Text).collect()
}
