//! From what is known to what a model reads, under a token budget.
//!
//! A [`Prompt`] collects instructions, attempts, facts, earlier turns, the message and the steps so far; the
//! working-context buffer decides what fits, and its manifest says so. A tool result enters with its call or
//! not at all. The supervisor and the specialists assemble one for each model call.

use std::collections::HashSet;

use haversack::Entry;
use haversack_memory::buffer::{Budget, Layer, Manifest, Part, WorkingContext};
use haversack_memory::{Attempt, Hit};
use serde_json::json;

use crate::crew::TaskOutput;
use crate::error::TurnError;
use crate::history::{Aside, Past};
use crate::model::{ChatRequest, Message, ToolChoice};
use crate::tool::ToolSpec;

/// How an attempt stands in the system text. The offline model reads these lines back.
pub(crate) const ATTEMPT_LINE: &str = "attempt: ";
/// Between the action of an attempt and its outcome.
pub(crate) const ATTEMPT_ARROW: &str = " -> ";
/// How a recalled fact stands in the system text.
pub(crate) const MEMORY_LINE: &str = "memory: ";

/// How a summary stands in the system text.
const SUMMARY_LINE: &str = "summary: ";
/// How a notice stands in the system text.
const NOTICE_LINE: &str = "notice: ";
/// How the output of an earlier task stands in the system text: this, and JSON.
pub(crate) const RESULT_LINE: &str = "result: ";

const MUST: i32 = 1_000;
const STEPS: i32 = 900;
const RESULTS: i32 = 850;
const ATTEMPTS: i32 = 800;
const FACTS: i32 = 500;
const ASIDES: i32 = 100;
const HISTORY: i32 = 0;

/// What a turn knows before it asks a model.
#[derive(Debug, Clone, Default)]
pub(crate) struct Material {
    /// What was tried in this session, oldest first.
    pub(crate) attempts: Vec<Attempt>,
    /// What recall found for the message, best first.
    pub(crate) facts: Vec<Hit>,
    /// Earlier turns of the session, and what was said beside them.
    pub(crate) past: Past,
    /// What earlier tasks of a crew gave, in the order in which they are read.
    pub(crate) results: Vec<TaskOutput>,
    /// What the caller said.
    pub(crate) message: String,
}

/// One question to a model, before it is fitted to the budget.
pub(crate) struct Prompt<'a> {
    pub(crate) instructions: &'a str,
    pub(crate) material: &'a Material,
    /// What happened in this turn: each step an assistant message and its tool results, or words that were added.
    pub(crate) steps: &'a [Vec<Message>],
    pub(crate) tools: Vec<ToolSpec>,
    pub(crate) choice: ToolChoice,
}

impl Prompt<'_> {
    /// Assembles the request. The entry is compared with the current one first: a prompt is where one
    /// tenant's data would reach another's model call.
    pub(crate) fn assemble(self, entry: Entry, tokens: usize) -> Result<(ChatRequest, Manifest), TurnError> {
        entry.check("prompt assembly")?;
        let mut buffer = WorkingContext::new(Budget { tokens });
        self.offer(&mut buffer);
        let assembled = buffer.assemble();
        let fits: HashSet<&str> = assembled.parts.iter().map(|part| part.id.as_str()).collect();
        // What was added to the turn is needed as its message is.
        let newest = self.steps.iter().rposition(|step| !is_users(step));
        let added = (0..self.steps.len()).filter(|at| is_users(&self.steps[*at]));
        let steps = newest.into_iter().chain(added).map(step_id);
        let needed = ["instructions".to_owned(), "message".to_owned()].into_iter().chain(steps);
        for id in needed {
            if !fits.contains(id.as_str()) {
                return Err(TurnError::TooLong { budget: tokens });
            }
        }
        let (system, messages) = (self.system(&fits), self.messages(&fits));
        let request = ChatRequest { system, messages, tools: self.tools, choice: self.choice };
        Ok((request, assembled.manifest))
    }

    fn offer(&self, buffer: &mut WorkingContext) {
        let part = |layer, id: String, text: String, priority| Part { layer, id, text, priority };
        let instructions = self.instructions.to_owned();
        buffer.push(part(Layer::Instructions, "instructions".to_owned(), instructions, MUST));
        // The newest attempt first: if they do not all fit, the newest matter most.
        for attempt in self.material.attempts.iter().rev() {
            buffer.push(part(Layer::Session, attempt.id.clone(), attempt_line(attempt), ATTEMPTS));
        }
        for fact in &self.material.facts {
            buffer.push(part(Layer::Recall, fact.id.clone(), memory_line(fact), FACTS));
        }
        if let Some(summary) = &self.material.past.summary {
            buffer.push(part(Layer::History, summary.id.clone(), summary_line(summary), ASIDES));
        }
        for notice in self.material.past.notices.iter().rev() {
            buffer.push(part(Layer::History, notice.id.clone(), notice_line(notice), ASIDES));
        }
        for past in self.material.past.exchanges.iter().rev() {
            let said = part(Layer::History, past.turn.clone(), past.user.clone(), HISTORY);
            let answered = part(Layer::History, answer_id(&past.turn), past.assistant.clone(), HISTORY);
            buffer.push_together(vec![said, answered]);
        }
        for result in &self.material.results {
            buffer.push(part(Layer::Message, result_id(result), result_line(result), RESULTS));
        }
        buffer.push(part(Layer::Message, "message".to_owned(), self.material.message.clone(), MUST));
        for (at, step) in self.steps.iter().enumerate() {
            let parts = step.iter().enumerate().map(|(inner, message)| {
                let id = if inner == 0 { step_id(at) } else { format!("{}: result {inner}", step_id(at)) };
                let priority = if is_users(step) { MUST } else { STEPS.saturating_add_unsigned(at as u32) };
                part(Layer::Message, id, cost_text(message), priority)
            });
            buffer.push_together(parts.collect());
        }
    }

    fn system(&self, fits: &HashSet<&str>) -> String {
        let mut system = self.instructions.trim().to_owned();
        let attempts = self.material.attempts.iter().filter(|attempt| fits.contains(attempt.id.as_str()));
        section(&mut system, "Tried in this conversation:", attempts.map(attempt_line));
        let facts = self.material.facts.iter().filter(|fact| fits.contains(fact.id.as_str()));
        section(&mut system, "Known about this customer, best match first:", facts.map(memory_line));
        let past = &self.material.past;
        let summary = past.summary.iter().filter(|aside| fits.contains(aside.id.as_str()));
        section(&mut system, "Earlier in this conversation:", summary.map(summary_line));
        let notices = past.notices.iter().filter(|aside| fits.contains(aside.id.as_str()));
        section(&mut system, "Came in meanwhile:", notices.map(notice_line));
        let results = self.material.results.iter().filter(|result| fits.contains(result_id(result).as_str()));
        section(&mut system, "What earlier tasks gave:", results.map(result_line));
        system
    }

    fn messages(&self, fits: &HashSet<&str>) -> Vec<Message> {
        let mut messages = Vec::new();
        for past in self.material.past.exchanges.iter().filter(|past| fits.contains(past.turn.as_str())) {
            messages.push(Message::User { text: past.user.clone() });
            messages.push(Message::Assistant {
                text: past.assistant.clone(),
                calls: Vec::new(),
                thoughts: None,
            });
        }
        messages.push(Message::User { text: self.material.message.clone() });
        let steps = self.steps.iter().enumerate().filter(|(at, _)| fits.contains(step_id(*at).as_str()));
        messages.extend(steps.flat_map(|(_, step)| step.iter().cloned()));
        messages
    }
}

fn section(system: &mut String, title: &str, lines: impl Iterator<Item = String>) {
    for (at, line) in lines.enumerate() {
        if at == 0 {
            system.push_str("\n\n");
            system.push_str(title);
        }
        system.push('\n');
        system.push_str(&line);
    }
}

fn attempt_line(attempt: &Attempt) -> String {
    format!("{ATTEMPT_LINE}{}{ATTEMPT_ARROW}{}", one_line(&attempt.action), attempt.outcome.as_str())
}

fn memory_line(fact: &Hit) -> String {
    format!("{MEMORY_LINE}{}", one_line(&fact.text))
}

fn summary_line(summary: &Aside) -> String {
    format!("{SUMMARY_LINE}{}", one_line(&summary.text))
}

fn notice_line(notice: &Aside) -> String {
    format!("{NOTICE_LINE}{} says: {}", one_line(&notice.source), one_line(&notice.text))
}

/// JSON escapes what could break the line.
fn result_line(result: &TaskOutput) -> String {
    format!("{RESULT_LINE}{}", json!({ "task": result.task, "text": result.text }))
}

/// Stored text stays on its line: otherwise a remembered sentence could pose as an attempt or an instruction.
fn one_line(text: &str) -> String {
    text.split(|c: char| c.is_control() || c == '\u{2028}' || c == '\u{2029}')
        .map(str::trim)
        .filter(|piece| !piece.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

/// Whether a step is words that were added.
fn is_users(step: &[Message]) -> bool {
    matches!(step, [Message::User { .. }])
}

fn step_id(at: usize) -> String {
    format!("step {}", at + 1)
}

fn result_id(result: &TaskOutput) -> String {
    format!("task {}", result.task)
}

fn answer_id(turn: &str) -> String {
    format!("{turn}: reply")
}

/// What a message costs: its words, and for calls their arguments too.
fn cost_text(message: &Message) -> String {
    match message {
        Message::User { text } => text.clone(),
        Message::Tool { content, .. } => content.clone(),
        Message::Assistant { text, calls, .. } => {
            let calls = calls.iter().map(|call| format!("{} {}", call.name, call.arguments));
            [text.clone()].into_iter().chain(calls).collect::<Vec<_>>().join("\n")
        }
    }
}
