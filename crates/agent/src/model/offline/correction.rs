//! Corrections: what `it is Y, not X` and `sorry, I meant Y` say when they stand alone.
//!
//! A correction borrows its subject from the statement that it corrects, newest first, and is kept as a whole sentence without the
//! value that is wrong. Only the plan settles statements.

use super::subject::{Fact, fact};
use super::terms::lowers;
use super::verbs::is_copula;
use crate::words::{Token, tokens};

/// A statement that was made before.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Known {
    fact: Fact,
}

impl Known {
    pub(super) fn new(text: &str) -> Self {
        Self { fact: fact(&without_old(text.trim_end_matches('.')).0) }
    }

    pub(super) fn of(known: Fact) -> Self {
        Self { fact: known }
    }
}

/// Makes a fact of a statement. `known` is newest first; `just_told` is the statement before it in the same message.
/// `None` when there is nothing in it that could be understood later.
pub(super) fn settle(
    text: &str,
    corrects: bool,
    known: &[&Known],
    just_told: Option<&Known>,
) -> Option<Fact> {
    let (text, old) = without_old(text);
    let words = tokens(&text);
    let lower = lowers(&words);
    if words.is_empty() || is_about_the_past(&lower) {
        return None;
    }
    let corrects = corrects || old.is_some();
    let read = fact(&text);
    let pronoun = lower
        .first()
        .is_some_and(|word| matches!(*word, "it" | "that" | "this" | "it's" | "they" | "those" | "these"));
    if pronoun || (corrects && read.subject.is_none() && words.len() <= 8) {
        let value = bare_value(&text, &words);
        let meant = old.as_deref().and_then(|old| known.iter().find(|k| contains_words(&k.fact.text, old)));
        let meant = meant.or_else(|| known.iter().find(|k| k.fact.subject.is_some()));
        if corrects && let Some(meant) = meant {
            return Some(corrected(&meant.fact, value, old.as_deref()));
        }
        if pronoun {
            // Told of what was just told: the two make one remark that can be understood alone.
            return just_told.map(|before| Fact::remark(&format!("{} {text}", ended(&before.fact.text))));
        }
    }
    let personal =
        lower.first().is_some_and(|word| matches!(*word, "he" | "she" | "his" | "her" | "their" | "its"));
    if personal && let Some(before) = just_told {
        return Some(Fact::remark(&format!("{} {text}", ended(&before.fact.text))));
    }
    if (read.changes || corrects)
        && let Some(whole) = completed(&read, known)
    {
        return Some(whole);
    }
    Some(read)
}

/// The earlier statement with the new value in the place of the old one.
fn corrected(meant: &Fact, value: &str, old: Option<&str>) -> Fact {
    let wrong = old.filter(|old| contains_words(&meant.text, old)).or(meant.value.as_deref());
    let text = match (wrong, &meant.about) {
        (Some(wrong), _) if meant.text.contains(wrong) => meant.text.replacen(wrong, value, 1),
        (_, Some(about)) => format!("{about} is {value}"),
        (_, None) => format!("{} Correction: {value}", ended(&meant.text)),
    };
    Fact {
        text,
        subject: meant.subject.clone(),
        about: meant.about.clone(),
        value: Some(value.to_owned()),
        changes: true,
    }
}

/// `the address changed to Y` after `our delivery address is X`: the one known subject that it can mean.
fn completed(read: &Fact, known: &[&Known]) -> Option<Fact> {
    let (subject, value) = (read.subject.as_deref()?, read.value.as_deref()?);
    let names = |subject: &str| subject.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let own = names(subject);
    let wider = |k: &&&Known| {
        k.fact
            .subject
            .as_deref()
            .is_some_and(|s| s != subject && own.iter().all(|name| names(s).contains(name)))
    };
    if known.iter().any(|k| k.fact.subject.as_deref() == Some(subject)) {
        return None;
    }
    let mut candidates = known.iter().filter(wider);
    let meant = candidates.next()?;
    if candidates.any(|other| other.fact.subject != meant.fact.subject) {
        return None;
    }
    let about = meant.fact.about.clone()?;
    let text = format!("{about} is now {value}");
    Some(Fact {
        text,
        subject: meant.fact.subject.clone(),
        about: Some(about),
        value: Some(value.to_owned()),
        changes: true,
    })
}

/// Takes the value that is no longer true out of a statement: `.., not X`, `.. instead of X`, `not X but Y`.
fn without_old(text: &str) -> (String, Option<String>) {
    if let Some((before, rest)) = text.split_once(" not ")
        && let Some((old, new)) = rest.split_once(" but ")
    {
        return (format!("{before} {new}"), Some(old.trim_matches([',', ' ']).to_owned()));
    }
    for mark in [
        ", and not ",
        ", not ",
        " (not ",
        " and not ",
        " instead of ",
        " rather than ",
        ", no longer ",
        " (formerly ",
        " (previously ",
        ", previously ",
        ", formerly ",
        " (was ",
        " (it was ",
        ", it was ",
        " - not ",
        " \u{2013} not ",
    ] {
        if let Some((new, old)) = text.split_once(mark)
            && !tokens(new).is_empty()
        {
            let (old, rest) = old.split_once(')').unwrap_or((old, ""));
            // What follows the old value behind a comma is part of the statement again.
            let (old, more) = old.split_once(", ").unwrap_or((old, ""));
            let glue = if more.is_empty() { "" } else { ", " };
            let old = old
                .trim_end_matches([' ', '.', '!'])
                .trim_end_matches(" any more")
                .trim_end_matches(" anymore");
            return (format!("{}{rest}{glue}{more}", new.trim_end_matches(',')), Some(old.to_owned()));
        }
    }
    (text.to_owned(), None)
}

/// What a correction gives: the words behind its verb, or all of them when it has none.
fn bare_value<'t>(text: &'t str, words: &[Token<'_>]) -> &'t str {
    let leads = |word: &str| {
        matches!(
            word,
            "it" | "that"
                | "this"
                | "it's"
                | "that's"
                | "they"
                | "those"
                | "these"
                | "should"
                | "must"
                | "be"
                | "has"
                | "have"
                | "been"
                | "now"
                | "changed"
                | "moved"
                | "to"
                | "actually"
                | "rather"
                | "of"
                | "course"
                | "in"
                | "fact"
                | "just"
                | "really"
                | "will"
                | "today"
                | "became"
        ) || is_copula(word)
    };
    let raw_copula = |word: &Token<'_>| matches!(word.raw.to_lowercase().as_str(), "it's" | "that's");
    let begin = words.iter().position(|word| !leads(&word.lower) && !raw_copula(word));
    let begin = begin.and_then(|at| words.get(at)).map_or(0, |word| word.start);
    text[begin..].trim_end_matches(['.', '!', ' '])
}

/// `it was X before`, `it used to be X`: nothing to keep, and certainly not as the present.
fn is_about_the_past(lower: &[&str]) -> bool {
    let used = lower.windows(3).any(|window| window == ["used", "to", "be"]);
    let was = lower.iter().any(|word| matches!(*word, "was" | "were"));
    let over = lower.iter().any(|word| matches!(*word, "before" | "previously" | "formerly" | "until"));
    used || was && over
}

fn contains_words(text: &str, part: &str) -> bool {
    let (text, part) = (text.to_lowercase(), part.to_lowercase());
    let part = part.trim_start_matches("the ").trim();
    !part.is_empty() && text.contains(part)
}

fn ended(text: &str) -> String {
    let text = text.trim_end();
    if text.ends_with(['.', '!', '?']) { text.to_owned() } else { format!("{text}.") }
}
