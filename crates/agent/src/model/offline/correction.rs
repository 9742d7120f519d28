//! Corrections: what `it is Y, not X` and `sorry, I meant Y` say when they stand alone.
//!
//! A statement that leans on an earlier one borrows its subject, newest first, and is kept as a whole
//! sentence without the value that is wrong. Only the plan settles statements.

use super::subject::{Fact, fact};
use super::terms::lowers;
use super::value::{Kind, kind};
use super::verbs::{has_verb, is_copula};
use super::vocabulary::listed;
use crate::words::{Token, stem, tokens};

/// A statement that was made before.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Known {
    pub(super) fact: Fact,
}

impl Known {
    pub(super) fn new(text: &str) -> Self {
        Self { fact: fact(&without_old(text.trim_end_matches('.')).0) }
    }

    pub(super) fn of(known: Fact) -> Self {
        Self { fact: known }
    }
}

/// The thing that a clause says something is no longer true of: `the manager is no longer X`, `the number has
/// changed`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Undone {
    /// The words that name the thing.
    pub(super) about: String,
    /// The words of what it is no longer.
    role: String,
    /// The stems of what was said of it: what takes its place says the same with another value.
    said: Vec<String>,
}

impl Undone {
    /// The statement that a clause makes in the place of the one taken back: `it is now Y` becomes `the
    /// number is now Y`.
    pub(super) fn replaced_by(&self, text: &str) -> Option<String> {
        let words = tokens(text);
        let rest = words.get(1..)?;
        let verb =
            rest.iter().find(|word| !listed("now must should will can only just has have", &word.lower));
        let contracted = words.first().is_some_and(|first| first.raw.contains(['\'', '\u{2019}']));
        let has = rest.iter().any(|word| listed("has have", &word.lower));
        let was = |list: &str| self.said.iter().any(|said| listed(list, said));
        let same = contracted && was(COPULAS)
            || has && was("has have")
            || verb.is_some_and(|verb| {
                is_copula(&verb.lower) && was(COPULAS) || self.said.contains(&stem(&verb.lower))
            });
        if same { in_place(&self.about, text) } else { None }
    }
}

impl Undone {
    /// `A is no longer our manager, B is`: who has the role now.
    pub(super) fn held_by(&self, text: &str) -> Option<String> {
        let words = tokens(text);
        let (last, who) = words.split_last()?;
        let named = who.first().is_some_and(Token::is_capitalised) && who.len() <= 4;
        let holds = matches!(last.lower.as_str(), "is" | "are");
        (named && holds && !self.role.is_empty()).then(|| format!("{text} {}", self.role))
    }
}

/// Verbs, as stems, behind which `it is ..` says the same with another value.
const COPULAS: &str = "is are was were isn't aren't chang new";

/// Reads a clause that takes a statement back without giving a new one.
pub(super) fn undone(text: &str) -> Option<Undone> {
    let words = tokens(text);
    let lower = lowers(&words);
    let said: Vec<String> = lower.iter().map(|word| stem(word)).collect();
    if let Some(about) = renewed(text, &words, &lower) {
        return Some(Undone { about, role: String::new(), said });
    }
    let negation = (1..lower.len()).find(|at| {
        let next = lower.get(at + 1).copied().unwrap_or_default();
        match lower[*at] {
            "not" => !listed("only yet", next),
            "no" => next == "longer",
            "doesn't" | "isn't" | "aren't" | "don't" => true,
            "changed" => next.is_empty() || listed("again yesterday today recently now", next),
            _ => false,
        }
    })?;
    let helpers = "is are was were does do has have must should will can may been just recently";
    let back = lower[..negation].iter().rev().take_while(|word| listed(helpers, word)).count();
    let about = &words[..negation - back];
    let (first, last) = (about.first()?, about.last()?);
    let pronoun = about.len() == 1 && listed(PRONOUNS, &first.lower);
    let plain = !has_verb(about) && about.len() <= 9 && !pronoun;
    let behind = negation + 1 + usize::from(lower[negation] == "no");
    let role = words.get(behind).map(|word| &text[word.start..]).unwrap_or_default();
    let role = ["anymore", "any more", "any longer"]
        .iter()
        .fold(role.trim(), |role, end| role.trim_end_matches(end).trim_end());
    let about = text[first.start..last.end()].to_owned();
    plain.then(|| Undone { about, role: role.trim_end_matches(',').to_owned(), said })
}

/// `the room has a new code`: the code of the room is not what it was.
fn renewed(text: &str, words: &[Token<'_>], lower: &[&str]) -> Option<String> {
    let has = (1..lower.len()).find(|at| listed("has have got", lower[*at]))?;
    let new = (has + 1..lower.len().min(has + 4)).find(|at| listed("new different another", lower[*at]))?;
    let (thing, owner) = (words.get(new + 1..)?, &words[..has]);
    let owner = owner.strip_suffix(&words[has - 1..has]).filter(|_| lower[has - 1] == "has").unwrap_or(owner);
    let plain = (1..=2).contains(&thing.len()) && !has_verb(owner) && !listed(PRONOUNS, lower[0]);
    let span = |words: &[Token<'_>]| Some(&text[words.first()?.start..words.last()?.end()]);
    plain.then(|| Some(format!("the {} for {}", span(thing)?, span(owner)?)))?
}

/// A clause that begins with a pronoun, with the thing in its place: `it is now Y` becomes `the number is now
/// Y`.
pub(super) fn in_place(about: &str, text: &str) -> Option<String> {
    let words = tokens(text);
    let first = words.first()?;
    let raw = first.raw.to_lowercase().replace('\u{2019}', "'");
    if matches!(raw.as_str(), "it's" | "that's" | "he's" | "she's") {
        return Some(format!("{about} is{}", &text[first.end()..]));
    }
    if listed("his her its their", &first.lower) {
        return Some(format!("{about}'s{}", &text[first.end()..]));
    }
    listed(PRONOUNS, &first.lower).then(|| format!("{about}{}", &text[first.end()..]))
}

/// Whether a clause leans on the one before: it begins with a pronoun that stands for a thing or a person.
pub(super) fn leans(text: &str) -> bool {
    let words = tokens(text);
    words
        .first()
        .is_some_and(|first| listed(PRONOUNS, &first.lower) || listed("his her their its", &first.lower))
}

const PRONOUNS: &str = "it that this they those these he she";

/// Makes a fact of a statement. `known` is newest first. `None` when there is nothing in it that could be
/// understood later.
pub(super) fn settle(text: &str, corrects: bool, known: &[&Known]) -> Option<Fact> {
    let (text, old) = without_old(text);
    let words = tokens(&text);
    let lower = lowers(&words);
    if words.is_empty() || is_about_the_past(&lower) {
        return None;
    }
    let corrects = corrects || old.is_some();
    let read = fact(&text);
    let value = bare_value(&text, &words);
    let value_words = tokens(value);
    let bare =
        corrects && kind(&value_words) != Kind::Other && value_words.len() <= 8 && !has_verb(&value_words);
    if bare && (leans(&text) || read.subject.is_none()) {
        let meant = old.as_deref().and_then(|old| known.iter().find(|k| contains_words(&k.fact.text, old)));
        let meant = meant.or_else(|| known.iter().find(|k| k.fact.subject.is_some()));
        if let Some(meant) = meant {
            return Some(corrected(&meant.fact, value, old.as_deref()));
        }
    }
    if leans(&text) {
        return None;
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
    let (subject, about) = (meant.subject.clone(), meant.about.clone());
    Fact { text, subject, about, value: Some(value.to_owned()), changes: true }
}

/// `the address changed to Y` after `our delivery address is X`: the one known subject that it can mean.
fn completed(read: &Fact, known: &[&Known]) -> Option<Fact> {
    let (subject, value) = (read.subject.as_deref()?, read.value.as_deref()?);
    let own: Vec<&str> = subject.split(' ').collect();
    let wider = |k: &&&Known| {
        k.fact
            .subject
            .as_deref()
            .is_some_and(|s| s != subject && own.iter().all(|name| s.split(' ').any(|other| other == *name)))
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
    if let Some(rest) = text.strip_prefix("not ").or_else(|| text.strip_prefix("Not "))
        && let Some((old, new)) = rest.split_once(", ")
    {
        return (new.trim_start_matches("but ").to_owned(), Some(old.to_owned()));
    }
    if let Some((before, rest)) = text.split_once(" not ")
        && let Some((old, new)) = rest.split_once(" but ")
    {
        return (format!("{before} {new}"), Some(old.trim_matches([',', ' ']).to_owned()));
    }
    for mark in OLD_MARKS {
        let Some((new, old)) = text.split_once(mark) else { continue };
        if tokens(new).is_empty() {
            continue;
        }
        let (old, rest) = old.split_once(')').unwrap_or((old, ""));
        // What follows the old value behind a comma is part of the statement again.
        let (old, more) = old.split_once(", ").unwrap_or((old, ""));
        let glue = if more.is_empty() { "" } else { ", " };
        let old =
            old.trim_end_matches([' ', '.', '!']).trim_end_matches(" any more").trim_end_matches(" anymore");
        return (format!("{}{rest}{glue}{more}", new.trim_end_matches(',')), Some(old.to_owned()));
    }
    (text.to_owned(), None)
}

const OLD_MARKS: &[&str] = &[
    ", and not ",
    ", not ",
    " (not ",
    " and not ",
    " - not ",
    " \u{2013} not ",
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
    ", replacing ",
    ", please stop using ",
    ", stop using ",
    ", please do not use ",
    ", please don't use ",
    ", do not use ",
    ", don't use ",
    ", so forget ",
    ", forget ",
    ", please forget ",
    " and forget ",
];

/// What a correction gives: the words behind its verb, or all of them when it has none.
fn bare_value<'t>(text: &'t str, words: &[Token<'_>]) -> &'t str {
    let leads = "it that this they those these should must be has have been now changed moved to actually \
        rather of course in fact just really will today became";
    let lead = |word: &&Token<'_>| {
        let contracted = matches!(word.raw.to_lowercase().as_str(), "it's" | "that's");
        listed(leads, &word.lower) || is_copula(&word.lower) || contracted
    };
    let skip = words.iter().take_while(lead).count();
    let begin = words.get(skip).map_or(0, |word| word.start);
    text[begin..].trim_end_matches(['.', '!', ' '])
}

/// `it was X before`, `it used to be X`: nothing to keep, and certainly not as the present.
fn is_about_the_past(lower: &[&str]) -> bool {
    let used = lower.windows(3).any(|window| window == ["used", "to", "be"]);
    let was = lower.iter().any(|word| matches!(*word, "was" | "were"));
    let over = lower.iter().any(|word| listed("before previously formerly until", word));
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
