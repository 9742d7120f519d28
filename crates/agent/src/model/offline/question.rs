//! What a question asks for: its terms, its focus, and the kind of value that answers it.
//!
//! The focus is the noun that an answer must be about, such as `password` in `what is the password for the
//! guest network`; an answer about the network alone is none. The plan makes questions, the choice of answers
//! reads them.

use super::intent::wanted_by_others;
use super::lead::strip_lead;
use super::sentence::{asks_with_verb, is_wh, starts_question};
use super::terms::{Term, lowers, terms};
use super::value;
use super::verbs::{is_copula, is_fact_verb, is_helper, is_verb};
use super::vocabulary::{self, OPPOSITES, listed};
use crate::words::{Token, is_stop_word, stem, tokens};

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
    Name,
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
    /// The answer is yes or no, and says the opposite as well as the same.
    pub(super) yes_or_no: bool,
    /// More than one answer is asked for.
    pub(super) several: bool,
    /// The question says by itself what it is about.
    pub(super) clear: bool,
    /// The question speaks of something as `it`, which was named before.
    pub(super) leans: bool,
}

impl Question {
    pub(super) fn new(text: &str, how: How) -> Self {
        let text = if how == How::Fact { core(text) } else { text };
        let words = tokens(text);
        let lower = lowers(&words);
        let focus = if how == How::Fact { focus(text, &words, &lower) } else { None };
        let wants = wants(&lower, focus.as_ref());
        let several = lower.windows(2).any(|pair| matches!(pair, ["what", "are"] | ["which", "are"]))
            || lower.iter().any(|word| matches!(*word, "list" | "all" | "every"));
        let mut terms = terms(text);
        if how == How::Fact {
            weigh(&mut terms, focus.as_ref(), wants, &words, &lower);
        }
        let clear = !is_bare(&terms);
        let leans =
            lower.iter().any(|word| listed("it its his her their they them he she that this there", word));
        let yes_or_no = asks_with_verb(&words);
        Self { how, terms, hints: Vec::new(), focus, wants, yes_or_no, several, clear, leans }
    }

    /// Whether the terms say nothing: `what is it` and `when exactly`.
    pub(super) fn is_bare(&self) -> bool {
        is_bare(&self.terms)
    }

    /// The query for a search: the terms and what else they are called. Each word costs a look into the index, so the
    /// usual names of a thing must do.
    pub(super) fn query(&self) -> String {
        let hints = if self.clear && !self.leans && self.how == How::Fact { &[][..] } else { &self.hints };
        let kinds = match self.wants {
            Wants::Person => &["contact", "manager"][..],
            Wants::Place => &["address", "location"],
            Wants::Email => &["email"],
            Wants::Phone => &["phone"],
            _ => &[],
        };
        let mut words: Vec<&str> = Vec::new();
        let mut add = |word| {
            if words.len() < QUERY_WORDS && !words.contains(&word) {
                words.push(word);
            }
        };
        self.terms.iter().chain(hints).take(QUERY_TERMS).for_each(|term| add(&term.word));
        kinds.iter().for_each(|word| add(word));
        for term in self.terms.iter().filter(|term| !term.identifier && term.weight >= 0.4) {
            let concepts = term.concepts().iter().take(2);
            for word in concepts.flat_map(|concept| vocabulary::members(*concept).take(5)) {
                add(word);
            }
        }
        words.join(" ")
    }
}

/// Words of its own that a question is searched by.
const QUERY_TERMS: usize = 16;
/// Words that a question is searched by, other names included.
const QUERY_WORDS: usize = 22;

fn is_bare(terms: &[Term]) -> bool {
    terms.iter().all(|term| term.weight < 0.5)
}

/// The part of a text that asks: `which number` of `a driver wants to know which number`, `who leads it` of
/// `did he find out who leads it`.
fn core(text: &str) -> &str {
    let text = strip_lead(text).0;
    let words = tokens(text);
    let lower = lowers(&words);
    if starts_question(&words, true, true) {
        return text;
    }
    let knowing = "tell know say remember remind find out about wonder forgot forgotten me us see check \
        idea sure ask asks it";
    let embedded = (1..words.len()).find(|at| {
        let preposition = usize::from(listed("in on at under to for from by with of", lower[at - 1]));
        let before = at.checked_sub(1 + preposition).map(|before| lower[before]).unwrap_or_default();
        is_wh(lower[*at]) && *at + 1 < words.len() && listed(knowing, before)
    });
    let wanted = wanted_by_others(&lower);
    let begin = [embedded, wanted].into_iter().flatten().min();
    let tail = begin.and_then(|at| words.get(at)).map_or(text, |word| &text[word.start..]);
    if is_bare(&terms(tail)) { text } else { tail }
}

/// Raises the focus, lowers verbs that the value itself replaces, and turns `not open` into `close`.
fn weigh(terms: &mut [Term], focus: Option<&Term>, wants: Wants, words: &[Token<'_>], lower: &[&str]) {
    let who = lower.iter().position(|word| listed("who whom", word));
    let verb_of_who = who.and_then(|at| words.get(at + 1)).filter(|next| {
        let lower = next.lower.as_str();
        !is_copula(lower) && !is_helper(lower) && (is_fact_verb(lower) || lower.ends_with('s'))
    });
    let last = words.last().filter(|last| {
        let base = format!("{}s", last.lower);
        matches!(wants, Wants::Time | Wants::Place) && (is_fact_verb(&last.lower) || is_fact_verb(&base))
    });
    // `which number belongs on the form`: what stands behind the verb is where it is used, not what it is.
    let used = focus.and_then(|focus| {
        let at = words.iter().position(|word| word.start == focus.at)?;
        words.get(at + 1).filter(|next| is_fact_verb(&next.lower)).map(|next| next.start)
    });
    // `.. when the lift is stuck`: a circumstance.
    let asked = lower.iter().position(|word| is_wh(word)).unwrap_or(1);
    let aside = (asked + 1..words.len())
        .find(|at| listed("when if because while after before once since", lower[*at]));
    let aside = aside.and_then(|at| words.get(at)).map(|word| word.start);
    let negated = lower.iter().any(|word| matches!(*word, "not" | "never") || word.ends_with("n't"));
    let several = terms.len() > 1;
    for term in terms {
        if focus.is_some_and(|focus| focus.stem == term.stem) {
            term.weight = term.weight.max(1.0);
        } else if several && verb_of_who.is_some_and(|verb| verb.start == term.at) {
            term.weight *= 0.5;
        } else if several && last.is_some_and(|verb| verb.start == term.at) {
            term.weight *= 0.6;
        }
        let outside = [used, aside].into_iter().flatten().any(|from| term.at >= from);
        if outside && !term.name && !term.identifier {
            term.weight *= 0.4;
        }
        if negated && let Some(other) = opposite(term) {
            term.stem = stem(other);
            other.clone_into(&mut term.word);
        }
    }
}

fn opposite(term: &Term) -> Option<&'static str> {
    let named = |name: &str| term.concepts().iter().any(|concept| vocabulary::name(*concept) == name);
    OPPOSITES
        .iter()
        .find_map(|(one, other)| if named(one) { Some(*other) } else { named(other).then_some(*one) })
}

/// Whether a text holds a value of the wanted kind.
pub(super) fn satisfies(wants: Wants, text: &str) -> bool {
    match wants {
        Wants::Anything => true,
        Wants::Person => value::holds_name(text) || value::holds_email(text),
        Wants::Name => value::holds_name(text) || value::holds_number(text) || has_capitals(text),
        Wants::Time => value::holds_time(text),
        Wants::Place => value::holds_name(text) || has_place_word(text) || value::holds_number(text),
        Wants::Money => value::holds_money(text) || value::holds_number(text),
        Wants::Count | Wants::Phone => value::holds_number(text),
        Wants::Email => value::holds_email(text),
        Wants::Code => value::holds_number(text) || has_capitals(text) || value::holds_name(text),
    }
}

fn has_place_word(text: &str) -> bool {
    tokens(text).iter().any(|word| listed("in at to behind next near under floor room hall", &word.lower))
}

fn has_capitals(text: &str) -> bool {
    tokens(text)
        .iter()
        .any(|word| word.raw.len() > 2 && word.raw.chars().all(|c| c.is_uppercase() || !c.is_alphabetic()))
}

/// The last noun of the phrase that is asked for: `what is the <phone number> of ..`, `which <carrier> do we
/// ..`.
fn focus(text: &str, words: &[Token<'_>], lower: &[&str]) -> Option<Term> {
    let asks = |word: &&str| is_wh(word) || listed("tell give show need remind send know read", word);
    let mut at = lower.iter().position(asks)?;
    if listed("how why when where who whom", lower[at]) {
        return None;
    }
    at += 1;
    while lower.get(at).is_some_and(|word| is_copula(word) || is_stop_word(word) || is_wh(word)) {
        at += 1;
    }
    let from = words.get(at)?.start;
    let mut last = None;
    while let Some(word) = lower.get(at) {
        let stops = is_stop_word(word)
            || is_helper(word)
            || is_copula(word)
            || listed("for of in at on to with when if", word);
        if stops || (last.is_some() && is_verb(word)) {
            break;
        }
        last = Some(at);
        at += 1;
    }
    let word = &words[last?];
    // A set phrase (`email address`) is one term, at the place of its first word.
    let found = terms(text).into_iter().rfind(|term| (from..=word.start).contains(&term.at))?;
    // A focus that says nothing by itself (`what information ..`) is none.
    let names_kind = listed("number name date day time", &found.word);
    (!vocabulary::is_weak(&found.stem) || names_kind).then_some(found)
}

fn wants(lower: &[&str], focus: Option<&Term>) -> Wants {
    let has = |word: &str| lower.contains(&word);
    let pair =
        |one: &str, others: &str| lower.windows(2).any(|pair| pair[0] == one && listed(others, pair[1]));
    let by_focus = focus.and_then(|term| {
        let named =
            |list: &str| term.concepts().iter().any(|concept| listed(list, vocabulary::name(*concept)));
        let kinds = [
            ("email", Wants::Email),
            ("phone", Wants::Phone),
            ("time deadline", Wants::Time),
            ("address", Wants::Place),
            ("price budget fine discount", Wants::Money),
            ("manager contact deputy technician boss", Wants::Person),
            ("name", Wants::Name),
            ("count", Wants::Count),
            ("code number serial password", Wants::Code),
        ];
        kinds.into_iter().find(|(list, _)| named(list)).map(|(_, wants)| wants)
    });
    match () {
        () if pair("how", "many") => Wants::Count,
        () if pair("how", "much") => Wants::Money,
        () if pair("how", "long soon often late early")
            || pair("what", "time day date")
            || pair("which", "day date time") =>
        {
            Wants::Time
        }
        () if by_focus.is_some() => by_focus.unwrap_or(Wants::Anything),
        () if has("who") || has("whom") || has("whose") => Wants::Person,
        () if has("when") => Wants::Time,
        () if has("where") => Wants::Place,
        () => Wants::Anything,
    }
}
