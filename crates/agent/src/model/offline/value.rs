//! What kind of value some words are: a name, a date, a code, a sum, a place.
//!
//! Facts are told apart from remarks by their values, and questions are matched to answers of the kind they
//! ask for. It is a guess from the shape of words; the reading of facts and the ranking of answers use it.

use super::verbs::is_verb;
use super::vocabulary::{concepts, is_weak, listed};
use crate::words::{Token, is_stop_word, stem, tokens};

/// The kind of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A capitalised word: a person, a city, a product.
    Name,
    /// A time, a day, a date, a span.
    Time,
    /// A mail address.
    Email,
    /// A sum of money.
    Money,
    /// Digits, with or without letters.
    Code,
    /// `in Leeds`, `at the back door`.
    Place,
    /// One or two plain words that are no property.
    Word,
    /// None of these: a property, a clause, nothing.
    Other,
}

/// The kind of the value at the beginning of these words.
pub(super) fn kind(words: &[Token<'_>]) -> Kind {
    let skipped = words.iter().take_while(|word| is_lead(&word.lower)).count();
    let words = &words[skipped..];
    let Some(first) = words.first() else { return Kind::Other };
    let lower = first.lower.as_str();
    if lower.contains('@') {
        return Kind::Email;
    }
    if listed("in at on until by from to near behind next under between", lower) {
        let rest = &words[1..];
        return match kind(rest) {
            Kind::Time => Kind::Time,
            Kind::Email => Kind::Email,
            _ if matches!(lower, "until" | "by") && !rest.is_empty() => Kind::Time,
            Kind::Name | Kind::Code => Kind::Place,
            // `at the back door`, `in hall 3`, but neither `on loan` nor `from me`.
            Kind::Other if rest.len() > 1 && listed("the our my a an", &rest[0].lower) => Kind::Place,
            _ if rest.iter().take(3).any(Token::is_identifier) => Kind::Place,
            _ => Kind::Other,
        };
    }
    if is_money(words) {
        return Kind::Money;
    }
    if is_time(words) {
        return Kind::Time;
    }
    if first.is_identifier() {
        return Kind::Code;
    }
    if first.is_capitalised() && lower != "i" {
        return Kind::Name;
    }
    if listed("the a an our my your his her", lower) {
        return if words[1..].iter().take(3).any(Token::is_identifier) { Kind::Code } else { Kind::Other };
    }
    let plain =
        words.len() <= 2 && words.iter().all(|word| !is_stop_word(&word.lower) && !is_property(&word.lower));
    if plain { Kind::Word } else { Kind::Other }
}

/// Whether a text holds a time anywhere.
pub(super) fn holds_time(text: &str) -> bool {
    let words = tokens(text);
    (0..words.len()).any(|at| is_time(&words[at..])) || words.iter().any(|word| is_clock(&word.lower))
}

/// Whether a text holds a number or a code anywhere.
pub(super) fn holds_number(text: &str) -> bool {
    tokens(text)
        .iter()
        .any(|word| word.is_identifier() && !word.raw.contains('@') || is_number_word(&word.lower))
}

/// Whether a text holds a sum of money anywhere.
pub(super) fn holds_money(text: &str) -> bool {
    if text.contains(['\u{20ac}', '$', '\u{a3}', '%']) {
        return true;
    }
    let words = tokens(text);
    (0..words.len()).any(|at| is_money(&words[at..]))
}

/// Whether a text holds a mail address anywhere.
pub(super) fn holds_email(text: &str) -> bool {
    tokens(text).iter().any(|word| word.raw.contains('@'))
}

/// Whether a text holds a name: a capitalised word inside the sentence, or one at its beginning that is no
/// usual word.
pub(super) fn holds_name(text: &str) -> bool {
    let words = tokens(text);
    let name = |word: &Token<'_>| {
        word.is_capitalised() && !word.is_identifier() && !is_calendar(&word.lower) && word.lower != "i"
    };
    let usual = |word: &Token<'_>| {
        let stem = stem(&word.lower);
        is_stop_word(&word.lower) || is_weak(&stem) || !concepts(&stem).is_empty() || is_verb(&word.lower)
    };
    let first =
        words.first().is_some_and(|first| name(first) && (words.get(1).is_some_and(name) || !usual(first)));
    first || words.iter().skip(1).any(name)
}

/// Words that may stand before a value without being part of it.
fn is_lead(lower: &str) -> bool {
    listed(
        "now currently still only just about around actually really exactly always again called named set \
            changed scheduled booked planned agreed moved fixed also then limited up",
        lower,
    )
}

fn is_money(words: &[Token<'_>]) -> bool {
    let unit = |word: &Token<'_>| {
        listed("eur euro euros usd dollar dollars gbp pound pounds chf francs cents percent", &word.lower)
    };
    let number = |word: &Token<'_>| word.raw.starts_with(|c: char| c.is_ascii_digit());
    match words {
        [first, second, ..] => number(first) && unit(second) || unit(first) && number(second),
        _ => false,
    }
}

fn is_time(words: &[Token<'_>]) -> bool {
    let Some(first) = words.first() else { return false };
    let lower = first.lower.as_str();
    let second = words.get(1).map(|word| word.lower.as_str()).unwrap_or_default();
    let digits = first.raw.starts_with(|c: char| c.is_ascii_digit());
    is_calendar(lower) && lower != "may"
        || is_clock(lower)
        || is_date(lower)
        || digits && (is_calendar(second) || is_span(second) || listed("am pm a.m p.m o'clock", second))
        || is_number_word(lower) && (is_span(second) || second == "o'clock")
        || listed("noon midnight tomorrow tonight today daily weekly monthly yearly quarterly hourly", lower)
        || listed("next this last every each end early late mid one same", lower)
            && (is_calendar(second) || is_span(second))
        || lower == "the"
            && second.ends_with(|c: char| c.is_ascii_alphabetic())
            && second.starts_with(|c: char| c.is_ascii_digit())
}

fn is_clock(lower: &str) -> bool {
    let clock = |text: &str| {
        let mut parts = text.split(':');
        let hour =
            parts.next().is_some_and(|h| (1..=2).contains(&h.len()) && h.bytes().all(|b| b.is_ascii_digit()));
        hour && parts.next().is_some_and(|m| m.len() >= 2 && m.bytes().take(2).all(|b| b.is_ascii_digit()))
    };
    clock(lower)
        || ["am", "pm"].iter().any(|end| {
            lower
                .strip_suffix(end)
                .is_some_and(|h| !h.is_empty() && h.bytes().all(|b| b.is_ascii_digit() || b == b'.'))
        })
}

/// `2027-03-05`, `05.03.2027`, `5/3/27`, `5th`.
fn is_date(lower: &str) -> bool {
    let ordinal = ["st", "nd", "rd", "th"].iter().any(|end| {
        lower
            .strip_suffix(end)
            .is_some_and(|day| (1..=2).contains(&day.len()) && day.bytes().all(|b| b.is_ascii_digit()))
    });
    let parts: Vec<&str> = lower.split(['-', '.', '/']).collect();
    let numbers = parts
        .iter()
        .all(|part| !part.is_empty() && part.len() <= 4 && part.bytes().all(|b| b.is_ascii_digit()));
    ordinal || (parts.len() == 3 && numbers)
}

fn is_span(lower: &str) -> bool {
    listed(
        "minute hour day week month year quarter second weekday weekend night morning evening afternoon",
        lower.trim_end_matches('s'),
    ) || matches!(lower, "business" | "working" | "calendar")
}

fn is_calendar(lower: &str) -> bool {
    let full = lower.trim_end_matches('s');
    listed(
        "monday tuesday wednesday thursday friday saturday sunday january february march april june july \
            august september october november december weekday weekend",
        full,
    ) || listed("may morning afternoon evening mornings afternoons evenings", lower)
}

fn is_number_word(lower: &str) -> bool {
    listed(
        "two three four five six seven eight nine ten eleven twelve fifteen twenty thirty forty fifty sixty \
            ninety hundred thousand twice once half dozen",
        lower,
    )
}

/// Plain words that describe a state rather than give a value. A code word may well end in `ous` or `ful`, so those
/// that are plain words are listed.
pub(super) fn is_property(lower: &str) -> bool {
    PROPERTIES.split_whitespace().any(|word| word == lower)
        || (lower.len() > 5 && ["ing", "able", "ible", "less"].iter().any(|end| lower.ends_with(end)))
        || (lower.len() > 4 && lower.ends_with("ed"))
}

const PROPERTIES: &str = "broken slow late empty full ready fine ok okay open closed down up offline online \
    wrong missing happy unhappy urgent important new old available busy possible blocked stuck locked good \
    bad great nice correct right better worse back gone here there away dead cold hot warm dark red green \
    yellow loud quiet dirty clean wet dry big small long short high low easy hard difficult clear unclear \
    sure unsure sorry sick ill well free expensive cheap different same true false complete incomplete safe \
    dangerous strange normal usual early first last next able unable due nothing everything something serious \
    various obvious previous nervous curious enormous famous ridiculous generous continuous anonymous cautious \
    tedious useful helpful careful awful wonderful painful successful thankful grateful hopeful powerful";
