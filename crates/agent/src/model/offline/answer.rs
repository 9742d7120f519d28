//! The words of an answer: quotes of what tools returned, and fixed sentences.
//!
//! A memory is quoted with its author, a section of the handbook with its heading. Nothing is put into other words.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};

use serde::de::DeserializeOwned;

use super::intent::Intent;
use super::overlap::{answers, covered, stems, touches};
use crate::model::ChatRequest;
use crate::prompt::{ATTEMPT_LINE, RESULT_LINE};
use crate::tool::knowledge::Found;
use crate::tool::{FORGET, NOTE_ATTEMPT, RECALL, REMEMBER, RecallAnswer, RecalledFact, SEARCH_KNOWLEDGE};
use crate::words::first_chars;

/// Results by the ids of their calls: whether the tool succeeded, and its text.
pub(super) type Results<'r> = HashMap<String, (bool, &'r str)>;
type Outcome<'r> = Option<&'r (bool, &'r str)>;

const CONNECT: &str = "To connect a language model, set HAVERSACK_AGENT__MODEL__PROVIDER=genai, \
    HAVERSACK_AGENT__MODEL__NAME=openai::gpt-4o-mini and HAVERSACK_AGENT__MODEL__API_KEY=env:OPENAI_API_KEY.";
const GREETING: &str =
    "Hello. I remember what you tell me and look things up in the handbook. Say \"help\" for examples.";
const HELP: &str = "This is what I can do:\n\
    - remember: \"Remember that our account manager is Robin Vega.\"\n\
    - recall: \"Who is our account manager?\"\n\
    - list: \"What do you know about us?\"\n\
    - forget: \"Forget our account manager.\"\n\
    - note what you tried: \"I tried a restart, it did not help.\", and list it: \"What have I tried?\"\n\
    - look things up in the handbook: ask in its words.\n\
    - call a tool of this installation: say its name.";
const WHO: &str = "I am a program, not a person: Haversack's demonstration, which answers while no language model is \
    connected.";
const HUMAN: &str = "I cannot connect you to a person from here. Please contact your support team directly.";
const OTHER: &str = "I did not understand that and kept nothing of it, because I am a demonstration without a language \
    model: say \"Remember that ..\" to have your words kept, or \"help\" for examples.";
const NOTHING: &str = "I found nothing about that in what you told me, nor in the handbook.";
/// Characters of a section that are quoted.
const LONGEST_QUOTE: usize = 800;
/// Facts that are quoted for one question.
const FACTS: usize = 5;

pub(super) fn call_id(number: usize, at: usize, tool: &str) -> String {
    format!("m{number}_{at}_{tool}")
}

/// The answer to one message.
pub(super) fn compose(
    intents: &[Intent<'_>],
    number: usize,
    results: &Results<'_>,
    request: &ChatRequest,
) -> String {
    let parts = intents.iter().enumerate().filter_map(|(at, intent)| {
        let result = |tool: &str| results.get(&call_id(number, at, tool));
        Some(match intent {
            Intent::Greet => GREETING.to_owned(),
            Intent::Thank => "You are welcome.".to_owned(),
            Intent::Help => format!("{HELP}\n{CONNECT}"),
            Intent::Who => format!("{WHO} {CONNECT}"),
            Intent::Human => HUMAN.to_owned(),
            Intent::Attempts => attempts(&request.system),
            Intent::List => list(result(RECALL)),
            Intent::Remember(text) => match result(REMEMBER) {
                Some((true, answer)) if answer.contains("duplicate") => {
                    format!("I know that already: \"{text}\"")
                }
                other => done("keep that", other, || format!("Noted: \"{text}\"")),
            },
            Intent::Tried(text) => done("note that", result(NOTE_ATTEMPT), || {
                format!("Noted for this conversation: you tried \"{text}\"")
            }),
            Intent::Use(tool, _) => used(tool, result(tool)),
            Intent::Forget(text) => forgotten(text, result(RECALL), |id| {
                results.get(&format!("{}_{id}", call_id(number, at, FORGET)))
            }),
            Intent::Ask(text) => {
                let found = quotes(text, result(RECALL), result(SEARCH_KNOWLEDGE));
                joined(found, "\n\n").unwrap_or_else(|| NOTHING.to_owned())
            }
            // Beside something that was understood, the rest is its story.
            Intent::Other(text) => joined(quotes(text, None, result(SEARCH_KNOWLEDGE)), "\n\n")?,
        })
    });
    joined(parts.collect(), "\n\n").unwrap_or_else(|| format!("{OTHER} {CONNECT}"))
}

/// Quotes the results of a crew's earlier tasks; `None` if there were none.
pub(super) fn of_tasks(request: &ChatRequest) -> Option<String> {
    let lines = request.system.lines().filter_map(|line| line.strip_prefix(RESULT_LINE));
    let tasks = lines.filter_map(|line| serde_json::from_str::<HashMap<String, String>>(line).ok());
    let tasks = tasks.filter_map(|mut task| Some((task.remove("task")?, task.remove("text")?)));
    let tasks: Vec<_> = tasks.collect();
    if tasks.is_empty() || !request.tools.is_empty() {
        return None;
    }
    let parts = tasks.iter().flat_map(|(task, text)| match Some(&(true, text.as_str())) {
        json if text.starts_with('{') => quotes(request.last_user_text(), json, json),
        _ => vec![format!("{} (From the task {}.)", text.trim(), task.replace('_', " "))],
    });
    Some(joined(parts.collect(), "\n").unwrap_or_else(|| "I found nothing about that.".to_owned()))
}

fn parsed<T: DeserializeOwned>(result: Outcome<'_>) -> Option<T> {
    result.filter(|(ok, _)| *ok).and_then(|(_, text)| serde_json::from_str(text).ok())
}

/// The memories about the question that have the most of its words, newest first.
pub(super) fn facts(question: &str, recalled: Outcome<'_>) -> Vec<RecalledFact> {
    let asked = stems(question);
    let hits = parsed::<RecallAnswer>(recalled).map(|answer| answer.hits).unwrap_or_default();
    let scored = hits.into_iter().map(|fact| (covered(&asked, &stems(&fact.text)), fact));
    let mut about: Vec<_> = scored.filter(|(covered, _)| answers(*covered, asked.len())).collect();
    let best = about.iter().map(|(covered, _)| *covered).max();
    about.retain(|(covered, _)| Some(*covered) == best);
    about.sort_by_key(|(_, fact)| Reverse(fact.created_at));
    about.into_iter().map(|(_, fact)| fact).collect()
}

fn quotes(question: &str, recalled: Outcome<'_>, handbook: Outcome<'_>) -> Vec<String> {
    let facts = facts(question, recalled);
    let several = facts.len() > 1;
    let mut parts: Vec<String> = facts.iter().take(FACTS).map(|fact| quoted(fact, several)).collect();
    let asked = stems(question);
    let sections = parsed::<Found>(handbook).map(|found| found.sections).unwrap_or_default();
    // Beside an answer a section has to be one, too.
    let enough = if facts.is_empty() { touches } else { answers };
    let about = sections.iter().find(|section| {
        enough(covered(&asked, &stems(&format!("{} {}", section.heading, section.text))), asked.len())
    });
    parts.extend(about.map(|section| {
        let quote = first_chars(section.text.trim(), LONGEST_QUOTE);
        let more = if quote.len() < section.text.trim().len() { " .." } else { "" };
        let source = if section.heading.is_empty() { &section.file } else { &section.heading };
        format!("{quote}{more} (From the handbook: {source}.)")
    }));
    parts
}

fn quoted(fact: &RecalledFact, dated: bool) -> String {
    let author = match &fact.told_by {
        _ if fact.yours => "You told me".to_owned(),
        Some(name) => {
            let mut letters = name.chars();
            let first = letters.next().map(|c| c.to_uppercase().to_string()).unwrap_or_default();
            format!("{first}{} told me", letters.as_str())
        }
        None => "I was told".to_owned(),
    };
    let day = jiff::Timestamp::from_millisecond(fact.created_at).ok().filter(|_| dated);
    let day = day.map(|day| day.strftime(" (%-d %B %Y)").to_string()).unwrap_or_default();
    format!("{author}: \"{}\"{day}", fact.text)
}

fn list(recalled: Outcome<'_>) -> String {
    let answer = parsed::<RecallAnswer>(recalled).filter(|answer| !answer.hits.is_empty());
    let Some(answer) = answer else { return "You have not told me anything yet.".to_owned() };
    let lines: Vec<String> = answer.hits.iter().map(|fact| format!("- {}", quoted(fact, true))).collect();
    let (shown, all) = (lines.len(), answer.rows_in_fence);
    let count = if shown as u64 == all { String::new() } else { format!(" ({shown} of {all})") };
    format!("This is what I was told, newest first{count}:\n{}", lines.join("\n"))
}

fn attempts(system: &str) -> String {
    let lines: Vec<&str> = system.lines().filter_map(|line| line.strip_prefix(ATTEMPT_LINE)).collect();
    match lines.as_slice() {
        [] => "Nothing was tried in this conversation yet.".to_owned(),
        tried => format!("This was tried:\n- {}", tried.join("\n- ")),
    }
}

fn done(what: &str, result: Outcome<'_>, said: impl FnOnce() -> String) -> String {
    match result {
        Some((true, _)) => said(),
        Some((false, why)) => format!("I could not {what}: {why}."),
        None => format!("I cannot {what}: the tool for it is not available here."),
    }
}

fn forgotten<'r>(text: &str, recalled: Outcome<'_>, outcome: impl Fn(&str) -> Outcome<'r>) -> String {
    if stems(text).is_empty() {
        return "Name the fact that I shall forget in its words, or ask \"What do you know about me?\" for the list.".to_owned();
    }
    let about = facts(text, recalled);
    let lines = about.iter().map(|fact| match fact.yours {
        true => done("forget that", outcome(&fact.id), || format!("Forgotten: \"{}\"", fact.text)),
        false => format!("I cannot forget for you what someone else told me. {}", quoted(fact, false)),
    });
    joined(lines.collect(), "\n")
        .unwrap_or_else(|| "I know nothing about that, so there is nothing to forget.".to_owned())
}

/// The parts as one text, each said once; none when there are none.
pub(super) fn joined(mut parts: Vec<String>, between: &str) -> Option<String> {
    let mut said = HashSet::new();
    parts.retain(|part| said.insert(part.clone()));
    (!parts.is_empty()).then(|| parts.join(between))
}

fn used(tool: &str, result: Outcome<'_>) -> String {
    let of_crew = parsed::<HashMap<String, String>>(result);
    match (result, of_crew.as_ref().and_then(|crew| Some((crew.get("text")?, crew.get("source")?)))) {
        (_, Some((text, source))) => format!("{text}\n(From {source}.)"),
        (Some((true, text)), _) => format!("{text} (From the tool {tool}.)"),
        (Some((false, why)), _) => format!("{tool} failed: {why}"),
        (None, _) => format!("{tool} needs more than one text; I cannot call it."),
    }
}
