//! The offline model: a demonstration, without a network and honest about it.
//!
//! It reads the newest message sentence by sentence, asks for the tools that a plain request names, and quotes what they
//! return. It remembers, recalls, lists, forgets, notes attempts, looks things up in the handbook, and calls a tool by its
//! name. Everything else gets one sentence that says so and how to connect a language model. It keeps no state, and its
//! time is linear in the request. It is the default of an installation without a provider.

mod answer;
mod intent;
mod overlap;
#[cfg(test)]
mod tests;

use futures_util::stream;
use serde_json::{Value, json};

use self::answer::Results;
use self::intent::Intent;
use super::{ChatModel, ChatRequest, Message, ModelEvent, ModelStream, ToolCall, ToolCallDelta, ToolChoice};
use crate::supervisor::TRANSFER_TO;
use crate::tool::{FORGET, NOTE_ATTEMPT, RECALL, REMEMBER, SEARCH_KNOWLEDGE, ToolSpec, arguments_for};
use crate::words::first_chars;

/// Characters of a message that may go into one search or one attempt.
const LONGEST_QUERY: usize = 300;

/// The offline model; there is nothing to configure.
#[derive(Debug, Clone, Copy, Default)]
pub struct Offline;

impl ChatModel for Offline {
    fn name(&self) -> &str {
        "offline"
    }

    fn chat(&self, request: ChatRequest) -> ModelStream {
        let piece = |(index, call): (usize, ToolCall)| {
            let (id, name) = (Some(call.id), Some(call.name));
            ModelEvent::ToolCall(ToolCallDelta { index, id, name, arguments: call.arguments.to_string() })
        };
        let mut events: Vec<ModelEvent> = match step(&request) {
            Step::Call(calls) => calls.into_iter().enumerate().map(piece).collect(),
            // In pieces, as a provider would send it.
            Step::Say(text) => {
                text.split_inclusive(['.', '\n']).map(|text| ModelEvent::Text(text.into())).collect()
            }
        };
        events.push(ModelEvent::End);
        Box::pin(stream::iter(events.into_iter().map(Ok)))
    }
}

enum Step {
    Call(Vec<ToolCall>),
    Say(String),
}

fn step(request: &ChatRequest) -> Step {
    if let Some(name) = chosen_specialist(request) {
        return Step::Call(vec![ToolCall { id: "transfer_1".to_owned(), name, arguments: json!({}) }]);
    }
    if let Some(text) = answer::of_tasks(request) {
        return Step::Say(text);
    }
    let results = request.messages.iter().filter_map(|message| match message {
        Message::Tool { call, ok, content, .. } => Some((call.clone(), (*ok, content.as_str()))),
        _ => None,
    });
    let results: Results<'_> = results.collect();
    let mut answers: Vec<String> = Vec::new();
    for (number, text) in request.user_texts().into_iter().enumerate() {
        let intents = intent::read(text, &request.tools);
        let wanted = intents.iter().enumerate().flat_map(|(at, intent)| {
            let call = |tool: &str, arguments| ToolCall {
                id: answer::call_id(number, at, tool),
                name: tool.to_owned(),
                arguments,
            };
            calls(intent, &call, &results, &request.tools)
        });
        let offered = |call: &ToolCall| request.tools.iter().any(|tool| tool.name == call.name);
        let mut open: Vec<(Round, ToolCall)> =
            wanted.filter(|(_, call)| !results.contains_key(&call.id) && offered(call)).collect();
        if let Some(now) = open.iter().map(|(round, _)| *round).min()
            && request.choice != ToolChoice::Never
        {
            open.retain(|(round, _)| *round == now);
            return Step::Call(open.into_iter().map(|(_, call)| call).collect());
        }
        answers.push(answer::compose(&intents, number, &results, request));
    }
    Step::Say(answer::joined(answers, "\n\n").unwrap_or_default())
}

/// When a call is made: what is to be forgotten is found before anything is kept, and a question is asked last, so that it
/// finds what its own message told.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Round {
    Find,
    Forget,
    Write,
    Read,
}

/// The calls that an intent needs.
fn calls(
    intent: &Intent<'_>,
    call: &dyn Fn(&str, Value) -> ToolCall,
    results: &Results<'_>,
    tools: &[ToolSpec],
) -> Vec<(Round, ToolCall)> {
    let query = |text| first_chars(text, LONGEST_QUERY);
    let memories = |text| call(RECALL, json!({ "query": query(text), "limit": 20 }));
    let handbook = |text| (Round::Read, call(SEARCH_KNOWLEDGE, json!({ "query": query(text) })));
    match intent {
        Intent::Remember(text) => vec![(Round::Write, call(REMEMBER, json!({ "text": text })))],
        Intent::Tried(text) => {
            let attempt = json!({ "action": query(text), "outcome": intent::outcome(text) });
            vec![(Round::Write, call(NOTE_ATTEMPT, attempt))]
        }
        Intent::Use(name, text) => {
            let arguments =
                tools.iter().find(|tool| tool.name == *name).and_then(|tool| arguments_for(tool, text));
            arguments.map(|arguments| (Round::Write, call(name, arguments))).into_iter().collect()
        }
        Intent::Ask(text) => vec![(Round::Read, memories(text)), handbook(text)],
        Intent::Other(text) => vec![handbook(text)],
        Intent::List => vec![(Round::Read, call(RECALL, json!({ "limit": 20 })))],
        Intent::Forget(text) => {
            let recall = memories(text);
            let own = answer::facts(text, results.get(&recall.id)).into_iter().filter(|fact| fact.yours);
            let forget = own.map(|fact| {
                let call = call(FORGET, json!({ "id": fact.id }));
                (Round::Forget, ToolCall { id: format!("{}_{}", call.id, fact.id), ..call })
            });
            std::iter::once((Round::Find, recall.clone())).chain(forget).collect()
        }
        _ => Vec::new(),
    }
}

/// The hand-over tool whose description shares the most words with the message; none when this is not a hand-over.
fn chosen_specialist(request: &ChatRequest) -> Option<String> {
    let offered: Vec<&ToolSpec> =
        request.tools.iter().filter(|tool| tool.name.starts_with(TRANSFER_TO)).collect();
    let asked = overlap::stems(first_chars(request.last_user_text(), 4 * LONGEST_QUERY));
    let shared = |tool: &ToolSpec| overlap::covered(&asked, &overlap::stems(&tool.description));
    let best = offered.iter().rev().max_by_key(|tool| shared(tool)).filter(|tool| shared(tool) > 0);
    best.or(offered.first()).map(|tool| tool.name.clone())
}
