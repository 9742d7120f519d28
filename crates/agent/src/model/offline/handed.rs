//! Summing up what earlier tasks of a crew gave.
//!
//! Their outputs stand as lines in the system text. What a search gave is read as if this model had searched
//! itself and answers the same question; other words are quoted with the task they come from. Only the model
//! itself sums up.

use serde::Deserialize;

use super::answer::{facts, passage};
use super::compose::{quoted_fact, steps_or_quote};
use super::plan::{Item, Plan};
use super::question::{How, Question};
use crate::model::ChatRequest;
use crate::prompt::RESULT_LINE;
use crate::tool::RecallAnswer;
use crate::tool::knowledge::Found;

/// One line.
#[derive(Deserialize)]
struct Handed {
    task: String,
    text: String,
}

/// What the earlier tasks gave for the message; `None` when there were none.
pub(super) fn summed_up(request: &ChatRequest) -> Option<String> {
    let lines = request.system.lines().filter_map(|line| line.strip_prefix(RESULT_LINE));
    let handed: Vec<Handed> = lines.filter_map(|line| serde_json::from_str(line).ok()).collect();
    if handed.is_empty() {
        return None;
    }
    let plan = Plan::of(request);
    let question = plan.items.iter().find_map(|item| match item {
        Item::Answer(question) if !question.terms.is_empty() => Some(question.clone()),
        _ => None,
    });
    let question = question.unwrap_or_else(|| Question::new(request.last_user_text(), How::Fact));
    let mut parts: Vec<String> = Vec::new();
    for part in handed.iter().flat_map(|one| told_by(one, &question, &plan.failed())) {
        if !parts.contains(&part) {
            parts.push(part);
        }
    }
    if parts.is_empty() {
        let tasks: Vec<&str> = handed.iter().map(|one| one.task.as_str()).collect();
        return Some(format!("I found nothing about that. These were asked: {}.", tasks.join(", ")));
    }
    Some(parts.join("\n"))
}

fn told_by(one: &Handed, question: &Question, failed: &[&str]) -> Vec<String> {
    if let Ok(recalled) = serde_json::from_str::<RecallAnswer>(&one.text) {
        return facts(question, &recalled, &[]).iter().map(quoted_fact).collect();
    }
    if let Ok(found) = serde_json::from_str::<Found>(&one.text) {
        let passage = passage(question, &found, failed);
        return passage.iter().map(|passage| steps_or_quote(question, passage)).collect();
    }
    vec![format!("{} (From the task {}.)", one.text.trim(), one.task.replace('_', " "))]
}
