//! Cutting a message into clauses: one statement, one question or one report each.
//!
//! Sentences end at marks and line breaks, but not inside codes, times, addresses and abbreviations; a sentence is cut again
//! where a new clause of its own begins behind a comma or a conjunction. Only the plan cuts messages.

use super::verbs::{has_verb, is_verb};
use crate::words::{Token, tokens};

/// One clause of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Clause {
    /// The words, without the mark at the end.
    pub(super) text: String,
    /// The clause ended with a question mark.
    pub(super) asked: bool,
}

/// The clauses of a message, in order.
pub(super) fn clauses(message: &str) -> Vec<Clause> {
    let mut found = Vec::new();
    for (sentence, asked) in sentences(message) {
        let mut rest = sentence;
        while let Some((left, right)) = cut(rest, asked) {
            found.push(Clause { text: tidy(left), asked: false });
            rest = right;
        }
        found.push(Clause { text: tidy(rest), asked });
    }
    found.retain(|clause| clause.text.chars().any(char::is_alphanumeric));
    found
}

/// The sentences of a text without their marks, and whether each was a question.
pub(super) fn sentences(text: &str) -> Vec<(&str, bool)> {
    let mut found = Vec::new();
    let mut start = 0;
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        let next = chars.peek().map(|(_, next)| *next);
        let ends = match c {
            '\n' | ';' => true,
            '!' | '?' => true,
            '.' | '\u{2026}' => {
                next.is_none_or(|n| n.is_whitespace() || matches!(n, '"' | '\'' | ')'))
                    && !abbreviates(&text[start..at], &text[at + c.len_utf8()..])
            }
            _ => false,
        };
        if ends {
            found.push((&text[start..at], c == '?'));
            start = at + c.len_utf8();
        }
    }
    found.push((&text[start..], false));
    found.retain(|(sentence, _)| sentence.chars().any(char::is_alphanumeric));
    found
}

/// True when the dot behind `before` belongs to an abbreviation and the sentence goes on with `after`.
fn abbreviates(before: &str, after: &str) -> bool {
    let word = before.rsplit(|c: char| c.is_whitespace() || c == '(').next().unwrap_or(before);
    let next = after.trim_start().chars().next();
    let lower = word.to_lowercase();
    if matches!(lower.as_str(), "no" | "nr") {
        return next.is_some_and(|c| c.is_ascii_digit());
    }
    // `J. Smith`, but not the end of `plan B.`, which is behind a word in lower case far more often than not.
    let initial = word.chars().count() == 1 && word.chars().all(char::is_uppercase) && word != "I";
    let known = matches!(
        lower.as_str(),
        "mr" | "mrs"
            | "ms"
            | "dr"
            | "prof"
            | "st"
            | "str"
            | "e.g"
            | "i.e"
            | "etc"
            | "approx"
            | "vs"
            | "ext"
            | "tel"
            | "dept"
    );
    (known || initial) && next.is_some_and(char::is_alphanumeric)
}

/// The first place where a clause of its own begins inside a sentence.
fn cut(sentence: &str, asked: bool) -> Option<(&str, &str)> {
    let words = tokens(sentence);
    let first = words.first()?;
    if is_subordinator(&first.lower) && !asked_before_comma(sentence) {
        return None;
    }
    for at in 1..words.len() {
        let gap = &sentence[words[at - 1].end()..words[at].start];
        let conjunction =
            matches!(words[at].lower.as_str(), "and" | "but" | "so" | "yet" | "however" | "while");
        let mark = gap.contains([',', ':', '(', '\u{2013}', '\u{2014}']) || gap.contains(" - ");
        if !(conjunction || mark && !gap.contains(':')) {
            continue;
        }
        let begin = if conjunction { at + 1 } else { at };
        // A comma before the conjunction makes the same cut as the conjunction.
        let begin = skip_openers(&words, begin);
        let (Some(opening), left) = (words.get(begin), &words[..at]) else { continue };
        if starts_clause(&words[begin..], asked) && (has_verb(left) || is_interjection(left)) {
            let right = if conjunction && at + 1 == begin { opening.start } else { words[at].start };
            return Some((&sentence[..words[at - 1].end()], &sentence[right..]));
        }
    }
    None
}

fn asked_before_comma(sentence: &str) -> bool {
    sentence.split(',').next().is_some_and(|part| part.contains('?'))
}

/// Words that may stand before the subject of a clause.
fn skip_openers(words: &[Token<'_>], mut at: usize) -> usize {
    while words.get(at).is_some_and(|word| {
        matches!(
            word.lower.as_str(),
            "and"
                | "but"
                | "so"
                | "also"
                | "then"
                | "now"
                | "please"
                | "still"
                | "however"
                | "unfortunately"
                | "by"
                | "way"
        ) || word.lower == "the" && words.get(at + 1).is_some_and(|next| next.lower == "way")
    }) {
        at += 1;
    }
    at
}

/// Whether these words could stand alone: a subject and its verb, or a question's beginning inside a question.
fn starts_clause(words: &[Token<'_>], asked: bool) -> bool {
    let Some(first) = words.first() else { return false };
    let lower = first.lower.as_str();
    if is_wh(lower) || is_auxiliary(lower) {
        return asked && words.len() > 1;
    }
    let pronoun = matches!(
        lower,
        "i" | "we"
            | "it"
            | "he"
            | "she"
            | "they"
            | "this"
            | "that"
            | "there"
            | "nothing"
            | "none"
            | "neither"
            | "you"
            | "i've"
            | "we've"
            | "it's"
            | "that's"
            | "i'm"
            | "we're"
            | "everything"
            | "nobody"
            | "both"
            | "there's"
    );
    let determined =
        matches!(lower, "our" | "my" | "the" | "their" | "his" | "her" | "its" | "your" | "all" | "a");
    if lower == "no" {
        return words.len() >= 2
            && matches!(words[1].lower.as_str(), "luck" | "change" | "effect" | "success" | "difference");
    }
    if pronoun {
        return words[0].lower.contains('\'') || has_verb(&words[1..]) || ends_like_verb(&words[1..]);
    }
    if matches!(lower, "remember" | "note" | "tell") {
        return words.len() > 2;
    }
    if determined || first.is_capitalised() {
        // The verb must come soon, or the words are only more of the same list.
        return has_verb(&words[1..words.len().min(9)]);
    }
    // `.. but restarting did not help`
    lower.ends_with("ing") && has_verb(&words[1..])
}

fn ends_like_verb(words: &[Token<'_>]) -> bool {
    words.first().is_some_and(|word| word.lower.ends_with("ed") || is_verb(&word.lower))
}

/// `Thanks, our ..` and `Hello, we ..` are clauses of their own although they have no verb.
fn is_interjection(words: &[Token<'_>]) -> bool {
    words.iter().all(|word| {
        matches!(
            word.lower.as_str(),
            "hi" | "hello"
                | "hey"
                | "thanks"
                | "thank"
                | "you"
                | "good"
                | "morning"
                | "afternoon"
                | "evening"
                | "ok"
                | "okay"
                | "yes"
                | "dear"
                | "team"
                | "all"
                | "great"
                | "perfect"
                | "there"
                | "so"
                | "much"
                | "again"
        )
    })
}

/// Words that ask.
pub(super) fn is_wh(lower: &str) -> bool {
    matches!(
        lower,
        "who"
            | "whom"
            | "whose"
            | "what"
            | "which"
            | "when"
            | "where"
            | "why"
            | "how"
            | "what's"
            | "who's"
            | "where's"
            | "when's"
            | "how's"
    ) || matches!(lower, "what're" | "who're")
}

/// Verbs that stand before the subject when something is asked.
pub(super) fn is_auxiliary(lower: &str) -> bool {
    matches!(
        lower,
        "is" | "are"
            | "was"
            | "were"
            | "do"
            | "does"
            | "did"
            | "can"
            | "could"
            | "would"
            | "will"
            | "should"
            | "shall"
            | "may"
            | "might"
            | "must"
            | "has"
            | "have"
            | "had"
            | "am"
            | "isn't"
            | "aren't"
            | "don't"
            | "doesn't"
            | "can't"
            | "won't"
    )
}

fn is_subordinator(lower: &str) -> bool {
    matches!(
        lower,
        "if" | "when"
            | "because"
            | "since"
            | "while"
            | "after"
            | "although"
            | "as"
            | "once"
            | "unless"
            | "before"
            | "despite"
            | "until"
            | "whenever"
            | "even"
    )
}

fn tidy(text: &str) -> String {
    let text = text.trim().trim_start_matches(['-', '*', '\u{2022}', '>']).trim();
    text.trim_end_matches([',', ':', '.', '!', '-', '\u{2013}', '\u{2014}']).trim_end().to_owned()
}
