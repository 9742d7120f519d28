//! What a question asks for: its terms, its focus, and the kind of value that answers it.
//!
//! The focus is the noun that an answer must be about, such as `password` in `what is the password for the guest network`; an
//! answer about the network alone is none. The plan makes questions, the ranking of answers reads them.

use super::sentence::is_wh;
use super::terms::{Term, lowers, terms};
use super::value;
use super::verbs::{is_copula, is_helper, is_verb};
use super::vocabulary;
use crate::words::{is_stop_word, stem, tokens};

/// How a question is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    /// With the fact.
    Fact,
    /// With the steps of a procedure.
    Steps,
    /// With the steps that were not tried yet.
    NextSteps,
}

/// The kind of value that answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wants {
    Person,
    Time,
    Place,
    Money,
    Count,
    Email,
    Phone,
    Code,
    Anything,
}

/// A question, ready to be searched for and answered.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Question {
    pub(super) how: How,
    /// What it is about.
    pub(super) terms: Vec<Term>,
    /// What it may also be about: it counts where it matches and costs nothing where it does not.
    pub(super) hints: Vec<Term>,
    /// What an answer must be about.
    pub(super) focus: Option<Term>,
    pub(super) wants: Wants,
    /// More than one answer is asked for.
    pub(super) several: bool,
}

impl Question {
    pub(super) fn new(text: &str, how: How) -> Self {
        let words = tokens(text);
        let lower = lowers(&words);
        let focus = if how == How::Fact { focus(text) } else { None };
        let wants = wants(&lower, focus.as_ref());
        let several = lower.windows(2).any(|pair| matches!(pair, ["what", "are"] | ["which", "are"]))
            || lower.iter().any(|word| matches!(*word, "list" | "all" | "every"));
        Self { how, terms: terms(text), hints: Vec::new(), focus, wants, several }
    }

    /// Whether the terms say anything: `what is it` and `when exactly` do not.
    pub(super) fn is_bare(&self) -> bool {
        self.terms.iter().all(|term| term.weight < 0.5)
    }

    /// The query for a search: the terms and what else they are called.
    pub(super) fn query(&self) -> String {
        let own = self.terms.iter().chain(&self.hints).map(|term| term.stem.clone());
        let raw = self.terms.iter().chain(&self.hints).filter(|term| !term.identifier).flat_map(|term| {
            term.concepts().iter().flat_map(|concept| vocabulary::members(*concept)).map(str::to_owned)
        });
        let marker = match self.wants {
            Wants::Person => &["contact", "manager"][..],
            Wants::Place => &["address", "location"],
            Wants::Email => &["email"],
            Wants::Phone => &["phone"],
            _ => &[],
        };
        let mut words: Vec<String> = Vec::new();
        for word in own.chain(raw).chain(marker.iter().map(|word| (*word).to_owned())) {
            if !words.contains(&word) {
                words.push(word);
            }
        }
        words.truncate(44);
        words.join(" ")
    }
}

/// Whether a text holds a value of the wanted kind.
pub(super) fn satisfies(wants: Wants, text: &str) -> bool {
    match wants {
        Wants::Anything => true,
        Wants::Person => value::holds_name(text) || value::holds_email(text),
        Wants::Time => value::holds_time(text),
        Wants::Place => value::holds_name(text) || has_place_word(text) || value::holds_number(text),
        Wants::Money => value::holds_money(text) || value::holds_number(text),
        Wants::Count | Wants::Phone => value::holds_number(text),
        Wants::Email => value::holds_email(text),
        Wants::Code => value::holds_number(text) || has_capitals(text) || value::holds_name(text),
    }
}

fn has_place_word(text: &str) -> bool {
    tokens(text).iter().any(|word| {
        matches!(
            word.lower.as_str(),
            "in" | "at" | "to" | "behind" | "next" | "near" | "under" | "floor" | "room" | "hall"
        )
    })
}

fn has_capitals(text: &str) -> bool {
    tokens(text)
        .iter()
        .any(|word| word.raw.len() > 2 && word.raw.chars().all(|c| c.is_uppercase() || !c.is_alphabetic()))
}

/// The last noun of the phrase that is asked for: `what is the <phone number> of ..`, `which <carrier> do we ..`.
fn focus(text: &str) -> Option<Term> {
    let words = tokens(text);
    let lower = lowers(&words);
    let mut at = lower.iter().position(|word| {
        is_wh(word) || matches!(*word, "tell" | "give" | "show" | "need" | "remind" | "send" | "know")
    })?;
    let wh = lower[at];
    if matches!(wh, "how" | "why" | "when" | "where" | "who" | "whom") {
        return None;
    }
    at += 1;
    while lower.get(at).is_some_and(|word| is_copula(word) || is_stop_word(word) || is_wh(word)) {
        at += 1;
    }
    let mut last = None;
    while let Some(word) = lower.get(at) {
        let stops = is_stop_word(word)
            || is_helper(word)
            || is_copula(word)
            || matches!(*word, "for" | "of" | "in" | "at" | "on" | "to" | "with" | "when" | "if");
        if stops || (last.is_some() && is_verb(word)) {
            break;
        }
        last = Some(at);
        at += 1;
    }
    let word = &words[last?];
    let stem = stem(&word.lower);
    let found = terms(text).into_iter().find(|term| term.stem == stem || term.at == word.start)?;
    // A focus that says nothing by itself (`what information ..`) is none.
    (!vocabulary::is_weak(&found.stem) || names_kind(&found.stem)).then_some(found)
}

/// Weak words that still name the kind of an answer.
fn names_kind(stem: &str) -> bool {
    matches!(stem, "number" | "name" | "date" | "day" | "time")
}

fn wants(lower: &[&str], focus: Option<&Term>) -> Wants {
    let has = |word: &str| lower.contains(&word);
    let run = |one: &str, two: &str| lower.windows(2).any(|pair| pair == [one, two]);
    let by_focus = focus.and_then(|term| {
        let names: Vec<&str> = term.concepts().iter().map(|concept| vocabulary::name(*concept)).collect();
        let named = |name: &str| names.contains(&name);
        Some(match () {
            () if named("email") => Wants::Email,
            () if named("phone") => Wants::Phone,
            () if named("time") || named("deadline") => Wants::Time,
            () if named("address") => Wants::Place,
            () if named("price")
                || named("budget")
                || named("penalty")
                || named("fine")
                || named("discount") =>
            {
                Wants::Money
            }
            () if named("manager")
                || named("contact")
                || named("deputy")
                || named("technician")
                || named("boss") =>
            {
                Wants::Person
            }
            () if named("count") => Wants::Count,
            () if named("code") || named("number") || named("serial") || named("password") => Wants::Code,
            () => return None,
        })
    });
    match () {
        () if run("how", "many") => Wants::Count,
        () if run("how", "much") => Wants::Money,
        () if run("how", "long")
            || run("how", "soon")
            || run("how", "often")
            || run("what", "time")
            || run("what", "day")
            || run("which", "day")
            || run("how", "late")
            || run("how", "early") =>
        {
            Wants::Time
        }
        () if by_focus.is_some() => by_focus.unwrap_or(Wants::Anything),
        () if has("who") || has("whom") || has("whose") || has("who's") => Wants::Person,
        () if has("when") || has("when's") => Wants::Time,
        () if has("where") || has("where's") => Wants::Place,
        () => Wants::Anything,
    }
}
