//! Reading a statement as a fact: what it is about, and the value it gives.
//!
//! The subject is the sorted names of the concepts a statement is about, so that `the delivery address
//! changed to Y` and `please ship to Y` speak of the same; a newer fact of a subject replaces the older. Only
//! the plan reads facts.

use std::collections::BTreeSet;

use super::terms::{Term, terms};
use super::value::{Kind, kind};
use super::verbs::{is_change, is_copula, is_fact_verb, is_helper};
use super::vocabulary::{self, listed};
use crate::words::{Token, tokens};

/// A statement that can be remembered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fact {
    /// The words to keep.
    pub(super) text: String,
    /// What a newer fact must be about to replace it; none for a remark that replaces nothing.
    pub(super) subject: Option<String>,
    /// The words that name the subject, such as `our delivery address`.
    pub(super) about: Option<String>,
    /// The words of the value, as far as they could be told.
    pub(super) value: Option<String>,
    /// The statement says that something is not as it was.
    pub(super) changes: bool,
}

impl Fact {
    pub(super) fn remark(text: &str) -> Self {
        Self { text: text.to_owned(), subject: None, about: None, value: None, changes: false }
    }
}

/// Reads a clause. It never fails: what has no known shape is a remark.
pub(super) fn fact(clause: &str) -> Fact {
    if let Some(read) = on_topic(clause) {
        return read;
    }
    let words = tokens(clause);
    if let Some(begin) = behind_time(&words) {
        // `from Monday on the supplier is X`: since when is no part of what.
        let read = fact(&clause[begin..]);
        return Fact { text: clause.to_owned(), ..read };
    }
    let read = labelled(clause, &words)
        .or_else(|| inverted(clause, &words))
        .or_else(|| takes_over(clause, &words))
        .or_else(|| changed(clause, &words))
        .or_else(|| sent_to(clause, &words))
        .or_else(|| reached_at(clause, &words))
        .or_else(|| counted(clause, &words))
        .or_else(|| used_as(clause, &words))
        .or_else(|| attribute(clause, &words))
        .or_else(|| copula(clause, &words))
        .or_else(|| happens(clause, &words));
    read.unwrap_or_else(|| Fact::remark(clause))
}

/// Where a statement begins behind the time that stands first in it.
fn behind_time(words: &[Token<'_>]) -> Option<usize> {
    let first = words.first()?;
    if !listed("from since as starting until on in by next this", &first.lower) || kind(words) != Kind::Time {
        return None;
    }
    let begin = words.iter().skip(2).find(|word| listed("our my the we i", &word.lower))?;
    Some(begin.start)
}

/// `for the lift: the serial is X`: a statement with its topic before it.
fn on_topic(clause: &str) -> Option<Fact> {
    let (topic, rest) = clause.split_once(": ")?;
    let first = tokens(topic).into_iter().next()?;
    if !listed("for about regarding re concerning on at in", &first.lower) || rest.contains(": ") {
        return None;
    }
    let read = fact(rest);
    let about = format!("{} {topic}", read.about.as_deref()?);
    let names = [key(topic, &[])?, read.subject?].join(" ");
    let subject: BTreeSet<&str> = names.split(' ').collect();
    let subject = subject.into_iter().collect::<Vec<_>>().join(" ");
    Some(Fact {
        text: clause.to_owned(),
        subject: Some(subject),
        about: Some(about),
        value: read.value,
        changes: read.changes,
    })
}

/// The key for these words and markers.
fn key(about: &str, markers: &[&str]) -> Option<String> {
    let mut names: BTreeSet<String> =
        terms(about).iter().filter(|term| !is_decoration(term)).map(canonical).collect();
    if names.is_empty() {
        return None;
    }
    names.extend(markers.iter().map(|marker| (*marker).to_owned()));
    Some(names.into_iter().collect::<Vec<_>>().join(" "))
}

fn canonical(term: &Term) -> String {
    let concept = (!term.identifier && !term.name).then(|| term.concepts().first()).flatten();
    concept.map_or_else(|| term.stem.clone(), |concept| vocabulary::name(*concept).to_owned())
}

/// Words that say that a value is the present one.
fn is_decoration(term: &Term) -> bool {
    listed(
        "new newest latest current actual right correct updat old previou exact present today main preferr \
            usual regular recent different",
        &term.stem,
    )
}

fn slice<'c>(clause: &'c str, words: &[Token<'_>]) -> &'c str {
    match (words.first(), words.last()) {
        (Some(first), Some(last)) => &clause[first.start..last.end()],
        _ => "",
    }
}

fn is_determiner(lower: &str) -> bool {
    listed("our my the your their his her its this that these those a an", lower)
}

fn is_pronoun(lower: &str) -> bool {
    listed("it he she they this that these those there i we you it's i'm we're everything nothing", lower)
}

/// The marker that a value adds to its subject: what is told about a thing, if not its identity.
fn marker(kind: Kind) -> Option<&'static str> {
    match kind {
        Kind::Time => Some("time"),
        Kind::Place => Some("address"),
        Kind::Email => Some("email"),
        _ => None,
    }
}

fn made(clause: &str, about: &str, markers: &[&str], value: &str, changes: bool) -> Option<Fact> {
    let subject = key(about, markers);
    subject.as_ref()?;
    let value = (!value.is_empty()).then(|| value.to_owned());
    Some(Fact { text: clause.to_owned(), subject, about: Some(about.to_owned()), value, changes })
}

/// `PO number: 4711`, `Billing contact = a@b.example`.
fn labelled(clause: &str, words: &[Token<'_>]) -> Option<Fact> {
    let at = (1..words.len().min(7)).find(|at| {
        let gap = &clause[words[at - 1].end()..words[*at].start];
        gap.trim() == ":" || gap.trim() == "="
    })?;
    let (label, value) = (&words[..at], &words[at..]);
    let verb = label.iter().any(|word| is_copula(&word.lower) || is_helper(&word.lower));
    if verb || kind(value) == Kind::Other {
        return None;
    }
    made(clause, slice(clause, label), &[], slice(clause, value), false)
}

/// `Lena Fischer is our account manager`, `4711 is the code for the gate`, `Lena handles our account`.
fn inverted(clause: &str, words: &[Token<'_>]) -> Option<Fact> {
    let first = words.first()?;
    if is_determiner(&first.lower) || is_pronoun(&first.lower) {
        return None;
    }
    let verb = (1..words.len().min(6)).find(|at| is_copula(&words[*at].lower) || is_charge(&words[*at..]))?;
    let value = &words[..verb];
    if !matches!(kind(value), Kind::Name | Kind::Code | Kind::Email | Kind::Time)
        || value.iter().any(|word| is_helper(&word.lower))
    {
        return None;
    }
    let skip = usize::from(words[verb].lower == "will");
    let mut rest = &words[verb + 1 + skip..];
    let charge = is_charge(&words[verb..]) || is_charge(rest);
    while rest.first().is_some_and(|word| {
        listed("now currently be responsible in charge of for after care also still actually", &word.lower)
    }) {
        rest = &rest[1..];
    }
    let opening = rest.first()?;
    let owned = listed("our my the your", &opening.lower) || charge;
    if !owned || matches!(kind(rest), Kind::Code | Kind::Email) {
        return None;
    }
    let markers: &[&str] = if charge { &["manager"] } else { &[] };
    made(clause, slice(clause, rest), markers, slice(clause, value), false)
}

/// `handles ..`, `looks after ..`, `is responsible for ..`.
fn is_charge(words: &[Token<'_>]) -> bool {
    let lower = |at: usize| words.get(at).map(|word| word.lower.as_str()).unwrap_or_default();
    match lower(0) {
        "handles" | "manages" | "oversees" | "runs" | "supervises" => true,
        "looks" => lower(1) == "after",
        "takes" => lower(1) == "care",
        "responsible" => lower(1) == "for",
        "in" => lower(1) == "charge",
        _ => false,
    }
}

/// `Omar takes over as our account manager`, `Kim acts as the deputy`.
fn takes_over(clause: &str, words: &[Token<'_>]) -> Option<Fact> {
    let verb = words.iter().position(|word| {
        listed(
            "takes took taken take acts works serves steps replaces replaced succeeds joins joined \
            replace act",
            &word.lower,
        )
    })?;
    let at = (verb + 1..words.len()).find(|at| words[*at].lower == "as")?;
    let role = &words[at + 1..];
    if kind(&words[..verb]) != Kind::Name || role.is_empty() {
        return None;
    }
    made(clause, slice(clause, role), &[], slice(clause, &words[..1]), true)
}

/// `we moved the warehouse to Leeds`, `the address has changed to Y`, `I switched our plan from A to B`.
fn changed(clause: &str, words: &[Token<'_>]) -> Option<Fact> {
    let verb = words.iter().position(|word| is_change(&word.lower))?;
    let to = (verb + 1..words.len()).find(|at| listed("to until till into", &words[*at].lower))?;
    let value = &words[to + 1..];
    let subject_first = words.first().is_some_and(|word| !is_pronoun(&word.lower)) && verb > 0;
    let object = strip_old(&words[verb + 1..to]);
    // Who changed something is not what was changed.
    let about = if object.is_empty() && subject_first { without_helpers(&words[..verb]) } else { object };
    if value.is_empty() || about.is_empty() || about.iter().all(|word| is_pronoun(&word.lower)) {
        return None;
    }
    let moves = listed("moved move moves relocated relocate", &words[verb].lower);
    let value_kind = kind(value);
    let marker = match value_kind {
        Kind::Name | Kind::Place | Kind::Code if moves => Some("address"),
        Kind::Place => None,
        other => marker(other),
    };
    let markers: Vec<&str> = marker.into_iter().collect();
    let about = slice(clause, about);
    let value = slice(clause, value);
    // The old value is left out: what is remembered must not hold what is no longer true.
    let from = (verb + 1..to).find(|at| words[*at].lower == "from");
    let text = match from {
        Some(from) => format!("{}{}", &clause[..words[from].start], &clause[words[to].start..]),
        None => clause.to_owned(),
    };
    made(&text, about, &markers, value, true)
}

fn strip_old<'w, 't>(words: &'w [Token<'t>]) -> &'w [Token<'t>] {
    let end = words.iter().position(|word| word.lower == "from").unwrap_or(words.len());
    let words = &words[..end];
    let back = words.iter().rev().take_while(|word| listed("over back forward up down", &word.lower)).count();
    &words[..words.len() - back]
}

fn without_helpers<'w, 't>(words: &'w [Token<'t>]) -> &'w [Token<'t>] {
    let back = words
        .iter()
        .rev()
        .take_while(|word| is_helper(&word.lower) || is_copula(&word.lower) || is_adverb(&word.lower))
        .count();
    &words[..words.len() - back]
}

fn is_adverb(lower: &str) -> bool {
    listed(
        "now just recently always currently already only usually also still never been being therefore not \
            from",
        lower,
    )
}

/// `ship everything to Y`, `invoices go to a@b.example`, `deliveries should be sent to Y`.
fn sent_to(clause: &str, words: &[Token<'_>]) -> Option<Fact> {
    let verb = words.iter().position(|word| {
        listed(
            "go goes sent send deliver delivered ship shipped addressed address forward forwarded \
            dispatch mail post",
            &word.lower,
        )
    })?;
    let to = (verb + 1..words.len()).find(|at| words[*at].lower == "to")?;
    let value = &words[to + 1..];
    let value_kind = kind(value);
    if matches!(value_kind, Kind::Other | Kind::Time)
        && !value.first().is_some_and(|word| is_determiner(&word.lower))
    {
        return None;
    }
    if value.first().is_some_and(|word| matches!(word.lower.as_str(), "me" | "us" | "you")) {
        return None;
    }
    let before = without_helpers(&words[..verb]);
    let before_is_subject = before
        .first()
        .is_some_and(|word| !is_pronoun(&word.lower) && word.lower != "please" && !is_adverb(&word.lower));
    let between = &words[verb + 1..to];
    let general = |words: &[Token<'_>]| {
        words.is_empty()
            || words.iter().all(|word| {
                listed(
                    "everything it all them orders future new the our my any goods from now on",
                    &word.lower,
                )
            })
    };
    let goods = listed("deliver delivered ship shipped dispatch", &words[verb].lower);
    let about = if before_is_subject && !general(before) {
        slice(clause, before)
    } else if !general(between) {
        slice(clause, between)
    } else if goods || value_kind != Kind::Email {
        "delivery"
    } else {
        return None;
    };
    let marker = if value_kind == Kind::Email { "email" } else { "address" };
    made(clause, about, &[marker], slice(clause, value), false)
}

/// `you can reach me at 555`, `call our night desk on 555`.
fn reached_at(clause: &str, words: &[Token<'_>]) -> Option<Fact> {
    let verb = words
        .iter()
        .position(|word| listed("reach reached call phone contact contacted ring", &word.lower))?;
    let at = (verb + 1..words.len()).find(|at| listed("at on under via", &words[*at].lower))?;
    let value = &words[at + 1..];
    let marker = match kind(value) {
        Kind::Email => "email",
        Kind::Code => "phone",
        _ => return None,
    };
    let object = &words[verb + 1..at];
    let passive = object.is_empty() || object.iter().all(|word| is_adverb(&word.lower));
    let whom = if passive { without_helpers(&words[..verb]) } else { object };
    let whom =
        if whom.iter().all(|word| is_pronoun(&word.lower) || matches!(word.lower.as_str(), "me" | "us")) {
            "caller"
        } else {
            slice(clause, whom)
        };
    made(clause, whom, &[marker], slice(clause, value), false)
}

/// `we have 40 licences`, `we now run three warehouses`.
fn counted(clause: &str, words: &[Token<'_>]) -> Option<Fact> {
    if !words.first().is_some_and(|word| listed("we i we've i've", &word.lower)) {
        return None;
    }
    let verb = words
        .iter()
        .position(|word| listed("have has own run operate employ use need we've got", &word.lower))?;
    let mut at = verb + 1;
    while words.get(at).is_some_and(|word| {
        is_adverb(&word.lower) || listed("about around exactly got a total of", &word.lower)
    }) {
        at += 1;
    }
    let number = words.get(at)?;
    let plain = number.raw.bytes().all(|b| b.is_ascii_digit() || b == b'.' || b == b',');
    let counted = &words[at + 1..];
    if !plain || counted.is_empty() {
        return None;
    }
    let end = counted
        .iter()
        .position(|word| listed("in at on and for now that which with", &word.lower))
        .unwrap_or(counted.len());
    made(clause, slice(clause, &counted[..end]), &["count"], number.raw, false)
}

/// `the contract has the number 4711`, `the seal carries the mark X-1`, `the safe opens with 4711`.
fn attribute(clause: &str, words: &[Token<'_>]) -> Option<Fact> {
    let verb = words
        .iter()
        .position(|word| listed("has have had carries carry bears got gets opens", &word.lower))?;
    let subject = without_helpers(&words[..verb]);
    if subject.is_empty() || is_pronoun(&subject[0].lower) {
        return None;
    }
    let mut rest = &words[verb + 1..];
    if words[verb].lower == "opens" {
        let with = rest.first().filter(|word| word.lower == "with")?;
        let value = &rest[1..];
        let about = &clause[subject[0].start..with.start];
        return matches!(kind(value), Kind::Code | Kind::Word | Kind::Name)
            .then(|| made(clause, about.trim_end(), &["code"], slice(clause, value), false))?;
    }
    while rest.first().is_some_and(|word| is_determiner(&word.lower) || is_adverb(&word.lower)) {
        rest = &rest[1..];
    }
    // The attribute ends where the value begins; a plain word is a value only of something that is worded.
    let worded = "password passphrase passcode code word keyword codeword name tag colour color pin phrase";
    let at = (1..rest.len().min(5)).find(|at| match kind(&rest[*at..]) {
        Kind::Code | Kind::Email | Kind::Money | Kind::Name => true,
        Kind::Word => listed(worded, &rest[at - 1].lower),
        _ => false,
    })?;
    if rest[..at].iter().any(|word| is_helper(&word.lower) || is_copula(&word.lower)) {
        return None;
    }
    let about = format!("{} {}", slice(clause, &rest[..at]), slice(clause, subject));
    let fact = made(clause, &about, &[], slice(clause, &rest[at..]), false)?;
    Some(Fact { about: Some(slice(clause, subject).to_owned()), ..fact })
}

/// `we use DHL as our carrier`, `we picked Omar for the night shift`.
fn used_as(clause: &str, words: &[Token<'_>]) -> Option<Fact> {
    let at = (2..words.len()).find(|at| {
        words[*at].lower == "as"
            && words.get(at + 1).is_some_and(|next| is_determiner(&next.lower) || next.lower == "preferred")
    })?;
    let verb = words[..at].iter().position(|word| {
        is_fact_verb(&word.lower) || listed("use want have chose picked took", &word.lower)
    })?;
    made(clause, slice(clause, &words[at + 1..]), &[], slice(clause, &words[verb + 1..at]), false)
}

/// `our account manager is Lena`, `the printer is in room 4`, `my name is Kim`.
fn copula(clause: &str, words: &[Token<'_>]) -> Option<Fact> {
    let verb = words.iter().position(|word| is_copula(&word.lower))?;
    let subject = without_helpers(&words[..verb]);
    let first = subject.first()?;
    if is_pronoun(&first.lower) && subject.len() == 1 {
        return None;
    }
    let mut value = &words[verb + 1..];
    while value.first().is_some_and(|word| is_adverb(&word.lower) || matches!(word.lower.as_str(), "be")) {
        value = &value[1..];
    }
    if let Some(by) = made_by(value) {
        let about = format!("{} {}", slice(clause, subject), value[0].lower);
        return made(clause, &about, &[], slice(clause, &value[by + 1..]), false);
    }
    let negated =
        words.get(verb + 1).is_some_and(|word| matches!(word.lower.as_str(), "not" | "no" | "never"));
    let value_kind = kind(value);
    if negated || value_kind == Kind::Other {
        return None;
    }
    // An identity (`the manager is Lena`) has the subject alone; what is told of a thing (`the printer is in
    // room 4`) adds a marker.
    let markers: Vec<&str> = marker(value_kind).into_iter().collect();
    made(clause, slice(clause, subject), &markers, slice(clause, value), value_is_new(words, verb))
}

/// Where the maker stands in `are made by the laboratory X`.
fn made_by(value: &[Token<'_>]) -> Option<usize> {
    let first = value.first()?;
    let participle = first.lower.ends_with("ed")
        || first.lower.ends_with('n')
        || listed("made swept kept led held bought sent built cut done run", &first.lower);
    let by = (1..value.len().min(4)).find(|at| value[*at].lower == "by")?;
    (participle && by + 1 < value.len()).then_some(by)
}

fn value_is_new(words: &[Token<'_>], verb: usize) -> bool {
    let new = |word: &Token<'_>| listed("now new actually current correct right", &word.lower);
    words[..verb].iter().any(new) || words.get(verb + 1).is_some_and(new)
}

/// `the contract renews on 1 May`, `our warehouse closes at 18:00`.
fn happens(clause: &str, words: &[Token<'_>]) -> Option<Fact> {
    let verb = words.iter().position(|word| is_fact_verb(&word.lower)).filter(|at| *at > 0)?;
    let subject = without_helpers(&words[..verb]);
    let first = subject.first()?;
    if is_pronoun(&first.lower) {
        return None;
    }
    let about = format!("{} {}", slice(clause, subject), words[verb].lower);
    let rest = &words[verb + 1..];
    let at = (0..rest.len())
        .find(|at| marker(kind(&rest[*at..])).is_some() && (*at == 0 || rest[*at - 1].lower != "the"));
    let (markers, value) = match at {
        Some(at) => (marker(kind(&rest[at..])).into_iter().collect::<Vec<_>>(), slice(clause, &rest[at..])),
        None if matches!(kind(rest), Kind::Name | Kind::Code | Kind::Money) => {
            (Vec::new(), slice(clause, rest))
        }
        None => return None,
    };
    let fact = made(clause, &about, &markers, value, false)?;
    Some(Fact { about: Some(slice(clause, subject).to_owned()), ..fact })
}
