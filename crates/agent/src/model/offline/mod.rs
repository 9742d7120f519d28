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
    let plan = Plan::of(request);
    let results = results(request);
    // First what is to be kept, then what is to be found, so that a question finds what its own message told.
    for round in [writes(&plan), reads(&plan)] {
        let open: Vec<ToolCall> = round.into_iter().filter(|call| is_open(call, request, &results)).collect();
        if !open.is_empty() {
            return Step::Call(open);
        }
    }
    let answer = compose(&plan, &results);
    Step::Say([answer].into_iter().chain(handed).collect::<Vec<_>>().join("\n\n"))
}

fn is_open(call: &ToolCall, request: &ChatRequest, results: &Results<'_>) -> bool {
    request.tools.iter().any(|tool| tool.name == call.name) && !results.contains_key(call.id.as_str())
}

/// The results of this turn: those behind the newest message of the caller.
fn results(request: &ChatRequest) -> Results<'_> {
    let last =
        request.messages.iter().rposition(|message| matches!(message, Message::User { .. })).unwrap_or(0);
    let tools = request.messages[last..].iter().filter_map(|message| match message {
        Message::Tool { call, ok, content, .. } => Some((call.as_str(), (*ok, content.as_str()))),
        _ => None,
    });
    tools.collect()
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
