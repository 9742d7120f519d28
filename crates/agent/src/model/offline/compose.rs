//! The words of an answer.
//!
//! Every answer is made of what was found, quoted, with where it comes from; where nothing was found it says
//! so and how it searched. A failed step is not named again beside the next ones. Only the model composes,
//! when all its tools have answered.

use std::collections::HashMap;

use super::answer::{FactAnswer, Passage, facts, passage};
use super::attempt::{Attempt, Went};
use super::plan::{Item, Plan};
use super::question::{How, Question};
use super::using::told;
use crate::tool::RecallAnswer;
use crate::tool::knowledge::Found;

/// The results of a turn's tool calls by the names that the plan gave them.
pub(super) type Results<'r> = HashMap<&'r str, (bool, &'r str)>;

/// What it says when it is asked what it is.
pub(super) const INTRODUCTION: &str = "I am Haversack's offline model: fixed rules and recall, no language \
    model and no network. I keep what you tell me, note what you tried, and quote what you told me before \
    and what the handbook says. Beyond that I cannot reason.";

/// Composes the answer to a plan.
pub(super) fn compose(plan: &Plan, results: &Results<'_>) -> String {
    let mut parts = Vec::new();
    let asked = plan.items.iter().any(|item| matches!(item, Item::Answer(_)));
    parts.extend(kept(plan, results));
    parts.extend(noted(plan, results, asked));
    for (at, item) in plan.items.iter().enumerate() {
        match item {
            Item::Answer(question) => {
                let others = plan.items.iter().filter(|item| matches!(item, Item::Answer(_))).count() > 1;
                let answer = answered(plan, at, question, results);
                // Two questions may have one answer, and a question that said nothing by itself needs none
                // beside others.
                let needless = others && !question.clear && answer.is_err();
                let text = answer.unwrap_or_else(|nothing| nothing);
                if !needless && !parts.contains(&text) {
                    parts.push(text);
                }
            }
            Item::Use { tool, .. } => {
                parts.push(told(tool, results.get(call_id(tool, at).as_str())));
            }
            Item::ListAttempts => parts.push(tried(plan)),
            Item::Introduce => parts.push(INTRODUCTION.to_owned()),
            Item::ExplainForgetting => parts.push(
                "I cannot forget single facts in a conversation. Tell me what is true now and it replaces \
                    the older fact, or have the session deleted: that removes everything you told me in \
                    it."
                .to_owned(),
            ),
            Item::Cheer => parts.push("Good to hear that it works now.".to_owned()),
            Item::Greet => {
                parts.push("You are welcome. Tell me what I should know, or ask me something.".to_owned());
            }
            Item::Remember { .. } | Item::Note(_) => {}
        }
    }
    if parts.is_empty() {
        parts.push(
            "I did not find a question or a fact in that. Tell me what I should know, or ask me something."
                .to_owned(),
        );
    }
    parts.join("\n\n")
}

/// The name of the call for an item.
pub(super) fn call_id(tool: &str, item: usize) -> String {
    format!("{tool}_{}", item + 1)
}

fn kept(plan: &Plan, results: &Results<'_>) -> Option<String> {
    let facts = plan.items.iter().enumerate().filter_map(|(at, item)| match item {
        Item::Remember { fact, .. } => {
            let id = call_id(crate::tool::REMEMBER, at);
            let line = match results.get(id.as_str()) {
                Some((true, content)) if content.contains("\"superseded\"") => {
                    format!("Updated: {} This replaces what I knew before.", fact.text)
                }
                Some((true, content)) if content.contains("\"duplicate\"") => {
                    format!("I have that already: {}", fact.text)
                }
                Some((true, _)) => format!("Noted: {}", fact.text),
                Some((false, why)) => format!("I could not keep this: {} ({why})", fact.text),
                None => format!("I cannot keep facts here, so this is not kept: {}", fact.text),
            };
            Some(line)
        }
        _ => None,
    });
    let lines: Vec<String> = facts.collect();
    (!lines.is_empty()).then(|| lines.join("\n"))
}

/// What was reported. With a question beside it the actions are not named: an answer with next steps should
/// hold nothing that reads like a step that failed.
fn noted(plan: &Plan, results: &Results<'_>, asked: bool) -> Option<String> {
    let notes: Vec<(usize, &Attempt)> = plan
        .items
        .iter()
        .enumerate()
        .filter_map(|(at, item)| if let Item::Note(attempt) = item { Some((at, attempt)) } else { None })
        .collect();
    let (first, _) = notes.first()?;
    let id = call_id(crate::tool::NOTE_ATTEMPT, *first);
    match results.get(id.as_str()) {
        Some((false, why)) => return Some(format!("I could not note what you tried ({why}).")),
        None => return Some("I cannot note attempts here.".to_owned()),
        Some((true, _)) => {}
    }
    let all = |went: Went| notes.iter().all(|(_, attempt)| attempt.went == went);
    if asked {
        let how = match () {
            () if all(Went::Failed) => " and that it did not help",
            () if all(Went::Worked) => " and that it helped",
            () => "",
        };
        return Some(format!("I have noted what you tried{how}."));
    }
    let lines = notes.iter().map(|(_, attempt)| line(attempt));
    Some(format!("Noted for this conversation:\n{}", lines.collect::<Vec<_>>().join("\n")))
}

fn line(attempt: &Attempt) -> String {
    let went = match attempt.went {
        Went::Worked => "helped",
        Went::Failed => "did not help",
        Went::Unknown => "outcome not known yet",
    };
    format!("- {}: {went}", attempt.action)
}

fn tried(plan: &Plan) -> String {
    let lines: Vec<String> = plan.attempts().map(line).collect();
    if lines.is_empty() {
        return "Nothing that you tried is noted in this conversation.".to_owned();
    }
    format!("This was tried in this conversation:\n{}", lines.join("\n"))
}

/// The answer to a question; as an error, the words for not having one.
fn answered(plan: &Plan, at: usize, question: &Question, results: &Results<'_>) -> Result<String, String> {
    let problems = plan.items.iter().filter_map(|item| match item {
        Item::Remember { fact, problem: true } => Some(fact.text.as_str()),
        _ => None,
    });
    let problems: Vec<&str> = problems.collect();
    let recalled = result::<RecallAnswer>(results, &call_id(crate::tool::RECALL, at));
    let found = result::<Found>(results, &call_id(crate::tool::SEARCH_KNOWLEDGE, at));
    if question.terms.is_empty() {
        let unclear =
            "I do not know what this is about. Tell me what does not work, or what you are looking for.";
        return Err(unclear.to_owned());
    }
    let failed = plan.failed();
    let facts =
        recalled.as_ref().ok().map(|recalled| facts(question, recalled, &problems)).unwrap_or_default();
    let passage = found.as_ref().ok().and_then(|found| passage(question, found, &failed));
    let best = facts.iter().map(|fact| fact.score).fold(passage.as_ref().map_or(0.0, |p| p.score), f32::max);
    let helping = question.how != How::Fact;
    let mut parts = Vec::new();
    for fact in facts.iter().filter(|fact| fact.score >= best - 0.2 && (!helping || passage.is_none())) {
        parts.push(quoted_fact(fact));
    }
    if let Some(passage) =
        passage.filter(|passage| helping || passage.score >= best - 0.1 || facts.is_empty())
    {
        parts.push(steps_or_quote(question, &passage));
    }
    if helping && let Some(worked) = plan.attempts().find(|attempt| attempt.went == Went::Worked) {
        parts.push(format!("In this conversation this helped: {}.", worked.action));
    }
    if parts.is_empty() { Err(nothing(&recalled, &found)) } else { Ok(parts.join("\n")) }
}

/// A remembered fact, with when it was told.
pub(super) fn quoted_fact(fact: &FactAnswer) -> String {
    let when = if fact.this_session { "in this conversation" } else { "in an earlier conversation" };
    format!("{} (You told me this {when}.)", fact.text)
}

/// A passage as the question wants it.
pub(super) fn steps_or_quote(question: &Question, passage: &Passage) -> String {
    if question.how == How::Fact { quoted(passage) } else { next_steps(passage) }
}

fn quoted(passage: &Passage) -> String {
    format!("{} (From the handbook: {}.)", passage.lines.join(" "), passage.heading)
}

fn next_steps(passage: &Passage) -> String {
    let mut text = String::new();
    if passage.lines.is_empty() {
        text.push_str(&format!(
            "Everything that the handbook lists under \"{}\" was already tried.",
            passage.heading
        ));
    } else {
        text.push_str(&format!("From the handbook, {}:\n", passage.heading));
        let lines: Vec<String> = passage.lines.iter().map(|line| format!("- {line}")).collect();
        text.push_str(&lines.join("\n"));
    }
    if !passage.after.is_empty() {
        text.push('\n');
        text.push_str(&passage.after.join(" "));
    }
    if passage.left_out > 0 && !passage.lines.is_empty() {
        text.push_str("\nI left out what you already tried.");
    }
    text
}

/// Says plainly that nothing was found, how it was searched, and what could not be searched.
fn nothing(recalled: &Result<RecallAnswer, Missing>, found: &Result<Found, Missing>) -> String {
    let told = match recalled {
        Ok(answer) => {
            let outside =
                if answer.rows_outside > 0 { ", and some facts are out of reach of this search" } else { "" };
            format!("in what you told me (search mode: {}, by words{outside})", answer.mode)
        }
        Err(Missing::NotAsked) => "in what you told me (which I cannot search here)".to_owned(),
        Err(Missing::Failed) => "in what you told me (the search failed; ask again)".to_owned(),
    };
    let handbook = match found {
        Ok(found) if found.searched == 0 => "and there is no handbook".to_owned(),
        Ok(_) => "nor in the handbook".to_owned(),
        Err(Missing::NotAsked) => "and I cannot search the handbook here".to_owned(),
        Err(Missing::Failed) => "and the search of the handbook failed; ask again".to_owned(),
    };
    format!("I found nothing about that {told} {handbook}.")
}

/// Why there is no result.
enum Missing {
    NotAsked,
    Failed,
}

fn result<T: serde::de::DeserializeOwned>(results: &Results<'_>, id: &str) -> Result<T, Missing> {
    match results.get(id) {
        Some((true, content)) => serde_json::from_str(content).map_err(|_| Missing::Failed),
        Some((false, _)) => Err(Missing::Failed),
        None => Err(Missing::NotAsked),
    }
}
