//! What stands before a statement: greetings, `by the way`, `please remember that`, `sorry, I meant`.
//!
//! It is taken off, and what it announces, a correction or a wish to be remembered, is told. The intents are
//! read from what is left.

use super::sentence::is_wh;
use super::terms::lowers;
use super::value::{Kind, kind};
use super::verbs::is_change;
use super::vocabulary::listed;
use crate::words::{Token, tokens};

/// Takes off what only leads up to a statement, and tells whether it announced a correction.
pub(super) fn strip_lead(text: &str) -> (&str, bool) {
    let mut rest = text.trim();
    let mut corrects = false;
    loop {
        let words = tokens(rest);
        let lower = lowers(&words);
        let Some((length, correction)) = lead(&lower, rest, &words) else { return (rest, corrects) };
        corrects |= correction;
        let Some(next) = words.get(length) else { return ("", corrects) };
        rest = &rest[next.start..];
    }
}

/// How many words at the beginning lead up to something, and whether they announce a correction.
fn lead(lower: &[&str], text: &str, words: &[Token<'_>]) -> Option<(usize, bool)> {
    for (phrase, correction) in LEADS {
        let phrase: Vec<&str> = phrase.split(' ').collect();
        // A single word leads up to something only where a mark sets it off: `no, ..` but not `no parking`.
        let set_off = || {
            let (last, next) = (&words[phrase.len() - 1], words.get(phrase.len()));
            next.is_none_or(|next| {
                text[last.end()..next.start].contains([',', ':', '-', '.', '!', '\u{2013}', '\u{2014}'])
            })
        };
        if starts(lower, &phrase) && (phrase.len() > 1 || listed(LOOSE, phrase[0]) || set_off()) {
            return Some((phrase.len(), *correction));
        }
    }
    // `Hello Kim,` and `Thanks,`: greetings end with a comma or with the clause.
    if !lower.first().is_some_and(|word| listed(GREETINGS, word)) {
        return None;
    }
    let length = lower.iter().take_while(|word| listed(GREETINGS, word) || listed(GREETED, word)).count();
    let last = words.get(length - 1)?;
    let ends =
        words.get(length).is_none_or(|next| text[last.end()..next.start].contains([',', '!', '.', '-']));
    let name = words.get(length).filter(|next| next.is_capitalised() && text[next.end()..].starts_with(','));
    match (ends, name) {
        (true, _) => Some((length, false)),
        (false, Some(_)) => Some((length + 1, false)),
        (false, None) if listed("please hi hello hey well ok okay so oh", lower[0]) => Some((1, false)),
        _ => None,
    }
}

pub(super) fn starts(lower: &[&str], phrase: &[&str]) -> bool {
    lower.len() >= phrase.len() && lower[..phrase.len()] == *phrase
}

/// Single words that lead up to something also without a mark behind them.
const LOOSE: &str = "actually sorry also and but so then unfortunately fyi argh oops hm";

const GREETINGS: &str = "hi hello hey thanks thank good dear ok okay great perfect cheers please well oh \
    sure right excellent fine nice yes super morning evening afternoon phew";

const GREETED: &str =
    "you morning afternoon evening day team all there again so very much a lot everyone then";

/// Set phrases, and whether they announce that something was wrong or changes.
const LEADS: &[(&str, bool)] = &[
    ("by the way", false),
    ("just so you know", false),
    ("for your information", false),
    ("for the record", false),
    ("for your records", false),
    ("for next time", false),
    ("for my notes", false),
    ("one more thing", false),
    ("while we are at it", false),
    ("fyi", false),
    ("first", false),
    ("second", false),
    ("third", false),
    ("fourth", false),
    ("fifth", false),
    ("finally", false),
    ("lastly", false),
    ("next", false),
    ("from now on", true),
    ("as of now", true),
    ("as of today", true),
    ("since today", true),
    ("in future", true),
    ("in the future", true),
    ("going forward", true),
    ("starting today", true),
    ("small correction", true),
    ("a correction", true),
    ("correction", true),
    ("update", true),
    ("actually", true),
    ("sorry", true),
    ("my mistake", true),
    ("my bad", true),
    ("i was wrong", true),
    ("i made a mistake", true),
    ("i meant", true),
    ("i mean", true),
    ("i should have said", true),
    ("make that", true),
    ("rather", true),
    ("no wait", true),
    ("no no", true),
    ("wait", true),
    ("no", true),
    ("argh", true),
    ("oops", true),
    ("oh dear", true),
    ("oh no", true),
    ("also", false),
    ("and", false),
    ("but", false),
    ("so", false),
    ("then", false),
    ("yes", false),
    ("hm", false),
    ("unfortunately", false),
    ("important", false),
    ("please be aware that", false),
    ("i wanted to let you know that", false),
    ("i want to let you know that", false),
    ("let me tell you that", false),
    ("you should know that", false),
    ("as you know", false),
];

/// `remember that ..`, `please note: ..`, `can you write down that ..`: the words behind.
pub(super) fn after_remember(text: &str, lower: &[&str], words: &[Token<'_>]) -> Option<String> {
    let polite = "please can could would will you i want need like to also just must should us me let's \
        kindly i'd have";
    let start = lower.iter().take_while(|word| listed(polite, word)).count();
    let mut at = start;
    at += match *lower.get(at)? {
        "remember" | "note" | "record" | "save" | "memorise" | "memorize" | "noted" => 1,
        "keep" | "bear" if lower.get(at + 1) == Some(&"in") => 3,
        "keep" if lower.get(at + 1).is_some_and(|next| listed("that the this", next)) => 1,
        "write" | "take" | "make" | "put" => {
            let reach = at + 1..lower.len().min(at + 5);
            let down = { reach }.find(|next| listed("down note file record", lower[*next]))?;
            down + 1 - at
        }
        _ => return None,
    };
    // `do you remember who ..` asks.
    if start > 0 && lower[..start] == ["you"] || lower.get(at).is_some_and(|word| is_wh(word)) {
        return None;
    }
    let colon =
        |at: usize| words.get(at).is_some_and(|next| text[words[at - 1].end()..next.start].contains(':'));
    // `note for the swap list: ..`
    if let Some(behind) = (at..words.len().min(at + 7)).find(|at| colon(*at)) {
        let label = at == behind || listed("for the following down this please", lower[at]);
        if label {
            return Some(text[words[behind].start..].to_owned());
        }
    }
    let fillers = "that this of for down please future reference next time me us also following";
    while lower.get(at).is_some_and(|word| listed(fillers, word)) && !colon(at) {
        at += 1;
    }
    let rest = words.get(at)?;
    Some(text[rest.start..].to_owned())
}

/// `could you change our phone number to Y`: a statement in the clothes of a request.
pub(super) fn change_request(text: &str, lower: &[&str]) -> Option<String> {
    let polite = "can could would will you please we i need want to like i'd kindly";
    let polite = lower.iter().take_while(|word| listed(polite, word)).count();
    let verb = *lower.get(polite)?;
    let changes = is_change(verb) && !verb.ends_with("ed");
    if !changes && verb != "use" {
        return None;
    }
    let owned = lower.get(polite + 1).is_some_and(|word| matches!(*word, "our" | "my" | "the"));
    let to = lower.iter().position(|word| *word == "to" || *word == "until").filter(|at| *at > polite + 2)?;
    let words = tokens(text);
    let value = kind(&words[to + 1..]);
    if !owned || matches!(value, Kind::Other | Kind::Word) {
        return None;
    }
    let about = text[words[polite + 1].start..words[to - 1].end()].split(" from ").next().unwrap_or_default();
    Some(format!("{about} is now {}", text[words[to + 1].start..].trim_end_matches('?')))
}
