//! Cutting a message into clauses: one statement, one question or one report each.
//!
//! Sentences end at marks and line breaks, but not inside codes, times, addresses and abbreviations; a
//! sentence is cut again where a new clause of its own begins behind a comma, a colon or a conjunction. The
//! plan cuts messages, the pieces of the handbook are cut into sentences.

use super::verbs::{has_verb, is_verb};
use super::vocabulary::listed;
use crate::words::{Token, tokens};

/// One clause of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Clause {
    /// The words, without the mark at the end.
    pub(super) text: String,
    /// The clause ended with a question mark, or begins like a question where people leave marks out.
    pub(super) asked: bool,
}

/// One sentence of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sentence<'t> {
    /// The words, without the mark at the end.
    pub(super) text: &'t str,
    /// The mark at its end, if it has one.
    pub(super) mark: Option<char>,
}

/// The clauses of a message, in order.
pub(super) fn clauses(message: &str) -> Vec<Clause> {
    let mut found = Vec::new();
    for sentence in sentences(message) {
        let asked = sentence.mark == Some('?');
        // Who writes without marks leaves the question mark out too.
        let loose = asked || sentence.mark.is_none();
        let mut rest = sentence.text;
        while let Some((left, right)) = cut(rest, loose) {
            found.push(Clause { text: tidy(left), asked: false });
            rest = right;
        }
        found.push(Clause { text: tidy(rest), asked });
    }
    found.retain(|clause| clause.text.chars().any(char::is_alphanumeric));
    found
}

/// The sentences of a text.
pub(super) fn sentences(text: &str) -> Vec<Sentence<'_>> {
    let mut found = Vec::new();
    let mut start = 0;
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        let next = chars.peek().map(|(_, next)| *next);
        let behind = at + c.len_utf8();
        let ends = match c {
            '\n' | ';' | '!' | '?' => true,
            '.' | '\u{2026}' => {
                let pause = next.is_none_or(|n| n.is_whitespace() || matches!(n, '"' | '\'' | ')'));
                pause && !abbreviates(&text[start..at], &text[behind..])
            }
            _ => false,
        };
        if ends {
            found.push(Sentence { text: &text[start..at], mark: (c != '\n').then_some(c) });
            start = behind;
        }
    }
    found.push(Sentence { text: &text[start..], mark: None });
    found.retain(|sentence| sentence.text.chars().any(char::is_alphanumeric));
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
    // `J. Smith`
    let initial = word.chars().count() == 1 && word.chars().all(char::is_uppercase) && word != "I";
    let known = listed("mr mrs ms dr prof st str e.g i.e etc approx vs ext tel dept", &lower);
    (known || initial) && next.is_some_and(char::is_alphanumeric)
}

/// The first place where a clause of its own begins inside a sentence.
fn cut(sentence: &str, loose: bool) -> Option<(&str, &str)> {
    let words = tokens(sentence);
    let first = words.first()?;
    let conditional = listed(SUBORDINATORS, &first.lower);
    for at in 1..words.len() {
        let gap = &sentence[words[at - 1].end()..words[at].start];
        let conjunction = listed("and but so yet or however while", &words[at].lower);
        let colon = gap.contains(':');
        let mark = gap.contains([',', '(', '\u{2013}', '\u{2014}']) || gap.contains(" - ") || colon;
        if !conjunction && !mark {
            continue;
        }
        let begin = skip_openers(&words, if conjunction { at + 1 } else { at });
        let (Some(opening), left) = (words.get(begin), &words[..at]) else { continue };
        let right = &words[begin..];
        let question = starts_question(right, loose, mark);
        // `for the lift: the serial is ..` and `quick one: number of the permit`.
        let topic = colon && listed("for about regarding re concerning on at in", &first.lower);
        let named = colon
            && left.len() <= 5
            && right.iter().skip(1).any(|word| word.lower == "of")
            && !holds_value(right);
        let alone = question || named || (words[at].lower != "or" && !topic && starts_clause(right));
        // `if the light is red, what ..` is one question.
        let kept = conditional && question && !colon;
        if alone && !kept && (colon || question || has_verb(left) || is_interjection(left)) {
            let from = if conjunction && at + 1 == begin { opening.start } else { words[at].start };
            let from = if question { opening.start } else { from };
            return Some((&sentence[..words[at - 1].end()], &sentence[from..]));
        }
    }
    None
}

fn holds_value(words: &[Token<'_>]) -> bool {
    words.iter().any(|word| word.is_identifier() || word.is_capitalised())
}

/// Words that may stand before the subject of a clause.
fn skip_openers(words: &[Token<'_>], mut at: usize) -> usize {
    while words.get(at).is_some_and(|word| {
        let by_the_way = word.lower == "the" && words.get(at + 1).is_some_and(|next| next.lower == "way");
        listed("and but so also then now please still however unfortunately by way", &word.lower)
            || by_the_way
    }) {
        // `by` and `way` open a clause only together.
        if word_is_preposition(words, at) {
            break;
        }
        at += 1;
    }
    at
}

fn word_is_preposition(words: &[Token<'_>], at: usize) -> bool {
    words[at].lower == "by" && words.get(at + 1).is_none_or(|next| next.lower != "the")
}

/// Whether these words begin a question: `which line do I call`, `in which town ..`, `can we ..`.
pub(super) fn starts_question(words: &[Token<'_>], loose: bool, behind_mark: bool) -> bool {
    let skip = words.iter().take_while(|word| listed(PREPOSITIONS, &word.lower)).count();
    let Some(first) = words.get(skip.min(3)) else { return false };
    let lower = first.lower.as_str();
    if is_wh(lower) {
        let rest = &words[skip.min(3) + 1..];
        if rest.is_empty() {
            return false;
        }
        // `what`, `how` and `why` hardly ever stand behind a comma for anything else; `which ..` does.
        let sure = listed("what how why what's who's where's when's how's", lower) || is_contracted(first);
        // `.., who does the cleaning` tells, `which line do I call` asks.
        let relative = listed("who which whose", lower);
        return loose || (behind_mark && sure) || inverted(rest, relative);
    }
    skip == 0 && loose && words.len() > 2 && is_auxiliary(lower) && is_subject(&words[1], lower)
}

/// `.. do I`, `.. should the`: an auxiliary before its subject, near the beginning.
fn inverted(words: &[Token<'_>], relative: bool) -> bool {
    let reach = words.len().saturating_sub(1).min(4);
    let subject = |at: usize| {
        let next = &words[at + 1];
        if relative {
            listed("i we you he she it they", &next.lower)
        } else {
            is_subject(next, &words[at].lower)
        }
    };
    (0..reach).any(|at| is_auxiliary(&words[at].lower) && subject(at))
}

/// Whether a word can be the subject behind an auxiliary. `have a ..` and `do the ..` are orders, not
/// questions.
fn is_subject(word: &Token<'_>, auxiliary: &str) -> bool {
    let pronoun = listed("i we you he she it they there somebody anybody someone anyone", &word.lower);
    let weak = listed("have has had do did does may must", auxiliary);
    let named = listed("our my the your this that these those any all his her their its a an", &word.lower);
    pronoun || (named && (!weak || !listed("have do", auxiliary))) || (word.is_capitalised() && !weak)
}

/// Whether these words could stand alone: a subject and its verb.
fn starts_clause(words: &[Token<'_>]) -> bool {
    let Some(first) = words.first() else { return false };
    let lower = first.lower.as_str();
    let rest = &words[1..];
    if lower == "no" {
        return rest.first().is_some_and(|word| listed("luck change effect success difference", &word.lower));
    }
    if is_contracted(first) {
        return true;
    }
    if listed(PRONOUNS, lower) {
        return has_verb(rest)
            || rest.first().is_some_and(|word| word.lower.ends_with("ed") || is_verb(&word.lower));
    }
    if matches!(lower, "remember" | "note" | "tell") {
        return words.len() > 2;
    }
    // The verb must come soon, or the words are only more of the same list.
    let soon = &rest[..rest.len().min(8)];
    if listed(DETERMINERS, lower) || first.is_capitalised() {
        return has_verb(soon);
    }
    // `.., in Lyon we stay at ..`: a place or a time before the subject.
    if listed("in at on for from", lower) {
        let subject =
            (1..words.len().min(5)).find(|at| listed("we i it they he she our my", &words[*at].lower));
        return subject.is_some_and(|at| {
            has_verb(&words[at + 1..]) || at + 1 < words.len() && is_verb(&words[at + 1].lower)
        });
    }
    // `.. but restarting did not help`, `.. invoices must be sent to`
    (lower.ends_with("ing") || lower.ends_with('s')) && has_verb(soon)
}

/// `it's`, `that's`, `we've`: a subject with its verb in one word.
fn is_contracted(word: &Token<'_>) -> bool {
    let raw = word.raw.to_lowercase().replace('\u{2019}', "'");
    listed(
        "it's that's there's he's she's what's who's where's when's i'm we're they're i've we've they've",
        &raw,
    )
}

/// `Thanks, our ..` and `Hello, we ..` are clauses of their own although they have no verb.
fn is_interjection(words: &[Token<'_>]) -> bool {
    words.iter().all(|word| listed(INTERJECTIONS, &word.lower))
}

/// Words that ask.
pub(super) fn is_wh(lower: &str) -> bool {
    listed("who whom whose what which when where why how what's who's where's when's how's what're", lower)
}

/// Verbs that stand before the subject when something is asked.
pub(super) fn is_auxiliary(lower: &str) -> bool {
    listed(AUXILIARIES, lower)
}

/// Whether the words ask with their first verb: `is there ..`, `can you ..`, but not `have a look`.
pub(super) fn asks_with_verb(words: &[Token<'_>]) -> bool {
    match words {
        [first, second, _, ..] => is_auxiliary(&first.lower) && is_subject(second, &first.lower),
        _ => false,
    }
}

const PREPOSITIONS: &str = "in on at under to for from by with of out until till via up about into during \
    below above over within before after behind per between against without since";

const PRONOUNS: &str =
    "i we it he she they this that there nothing none neither you everything nobody both one somebody";

const DETERMINERS: &str = "our my the their his her its your all a an these those each every another";

const SUBORDINATORS: &str =
    "if when because since while after although as once unless before despite until whenever even";

const AUXILIARIES: &str = "is are was were do does did can could would will should shall may might must has \
    have had am isn't aren't don't doesn't can't won't";

const INTERJECTIONS: &str = "hi hello hey thanks thank you good morning afternoon evening ok okay yes dear \
    team all great perfect there so much again phew right lovely fine";

fn tidy(text: &str) -> String {
    let text = text.trim().trim_start_matches(['-', '*', '\u{2022}', '>', '(']).trim();
    text.trim_end_matches([',', ':', '.', '!', '-', '(', ' ', '\u{2013}', '\u{2014}']).trim_end().to_owned()
}
