//! What a text is about, as weighted terms, and how far another text covers them.
//!
//! A [`Term`] is a stem with its concepts and a weight; a [`Bag`] is everything a candidate text offers. A
//! word matches itself fully and a word of the same concept almost. Questions, facts, attempts and headings
//! are compared this way by the other files of the offline model.

use std::collections::HashSet;
use std::sync::LazyLock;

use super::vocabulary::{self, Concept, PHRASES};
use crate::words::{Token, is_stop_word, stem, tokens};

/// What a word of the same concept is worth beside the word itself.
const RELATED: f32 = 0.85;
/// What a word is worth that stands only in the headings above a text.
const ABOVE: f32 = 0.75;

/// One thing that a text is about.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Term {
    /// The word as a search index knows it, in lower case.
    pub(super) word: String,
    pub(super) stem: String,
    pub(super) weight: f32,
    /// A code, a number, an address: it matches itself and nothing else.
    pub(super) identifier: bool,
    /// Written with a capital inside a sentence: probably a name.
    pub(super) name: bool,
    /// Where the word begins in its text, in bytes.
    pub(super) at: usize,
}

impl Term {
    pub(super) fn concepts(&self) -> &'static [Concept] {
        vocabulary::concepts(&self.stem)
    }

    /// How well `bag` covers this term, 0 to 1.
    pub(super) fn covered_by(&self, bag: &Bag) -> f32 {
        if bag.stems.contains(&self.stem) {
            return 1.0;
        }
        let related =
            !self.identifier && self.concepts().iter().any(|concept| bag.concepts.contains(concept));
        if related { RELATED } else { 0.0 }
    }
}

/// The terms of a text, each stem once, in order. Stop words carry none.
pub(super) fn terms(text: &str) -> Vec<Term> {
    let mut seen = HashSet::new();
    let units = units(text);
    let first = units.first().map(|unit| unit.at);
    let meaningful = units.into_iter().filter(|unit| unit.phrase || !is_stop_word(&unit.lower));
    let terms = meaningful.map(|unit| {
        let stem = stem(&unit.lower);
        // A capital inside a sentence makes a name, but not of a word that everybody uses, such as PIN.
        let known = vocabulary::is_weak(&stem) || !vocabulary::concepts(&stem).is_empty();
        let name = unit.capital && Some(unit.at) != first && !unit.identifier && !known;
        let weight = match () {
            () if unit.identifier || name => 1.5,
            () if vocabulary::is_weak(&stem) => 0.2,
            () => 1.0,
        };
        Term { word: unit.lower, stem, weight, identifier: unit.identifier, name, at: unit.at }
    });
    terms.filter(|term| seen.insert(term.stem.clone())).collect()
}

/// Everything that a candidate text offers to be matched.
#[derive(Debug, Clone, Default)]
pub(super) struct Bag {
    pub(super) stems: HashSet<String>,
    pub(super) concepts: HashSet<Concept>,
}

impl Bag {
    pub(super) fn of(text: &str) -> Self {
        let mut bag = Self::default();
        let units = units(text);
        for pair in units.windows(2) {
            // `bar code` is also a `barcode`.
            bag.add(&stem(&format!("{}{}", pair[0].lower, pair[1].lower)));
        }
        for unit in units {
            bag.add(&stem(&unit.lower));
        }
        bag
    }

    fn add(&mut self, stem: &str) {
        self.concepts.extend(vocabulary::concepts(stem));
        self.stems.insert(stem.to_owned());
    }
}

/// The share of `terms` that a text covers, by weight; `above` are the headings over it.
pub(super) fn coverage(terms: &[Term], text: &Bag, above: Option<&Bag>) -> f32 {
    let total: f32 = terms.iter().map(|term| term.weight).sum();
    if total <= 0.0 {
        return 0.0;
    }
    let covered = |term: &Term| {
        let here = term.covered_by(text);
        let up = above.map_or(0.0, |above| term.covered_by(above) * ABOVE);
        term.weight * here.max(up)
    };
    terms.iter().map(covered).sum::<f32>() / total
}

struct Unit {
    lower: String,
    at: usize,
    identifier: bool,
    capital: bool,
    phrase: bool,
}

/// The words of a text, with hyphened words taken apart and set phrases replaced by their word.
fn units(text: &str) -> Vec<Unit> {
    let mut units: Vec<Unit> = Vec::new();
    for token in tokens(text) {
        let identifier = token.is_identifier();
        let capital = token.is_capitalised();
        let unit = |lower: &str| Unit {
            lower: lower.to_owned(),
            at: token.start,
            identifier,
            capital,
            phrase: false,
        };
        if identifier || !token.lower.contains(['-', '/']) {
            units.push(unit(&token.lower));
        } else {
            let joined: String = token.lower.split(['-', '/']).collect();
            if is_one_word(&joined) {
                units.push(unit(&joined));
            } else {
                units.extend(token.lower.split(['-', '/']).map(unit));
            }
        }
    }
    replace_phrases(&mut units);
    units
}

/// Words that some write with a hyphen and some without.
fn is_one_word(joined: &str) -> bool {
    const JOINED: &[&str] = &[
        "barcode",
        "checkin",
        "checkout",
        "dropoff",
        "ebook",
        "email",
        "handover",
        "login",
        "logon",
        "logout",
        "offline",
        "online",
        "pickup",
        "preorder",
        "reboot",
        "reconnect",
        "reinstall",
        "reset",
        "restart",
        "setup",
        "signin",
        "signup",
        "standin",
        "voicemail",
        "wifi",
        "xray",
    ];
    JOINED.binary_search(&joined).is_ok()
}

fn replace_phrases(units: &mut Vec<Unit>) {
    let stems: Vec<String> = units.iter().map(|unit| stem(&unit.lower)).collect();
    let mut found: Vec<(Vec<usize>, &str)> = Vec::new();
    for (phrase, word) in STEMMED_PHRASES.iter() {
        let begins = (0..stems.len()).filter(|at| phrase.first() == Some(&stems[*at]));
        for start in begins {
            let places = phrase_at(&stems, start, phrase);
            // A word stands in one phrase only.
            let free = |places: &Vec<usize>| {
                !found.iter().any(|(taken, _)| taken.iter().any(|at| places.contains(at)))
            };
            if let Some(places) = places.filter(free) {
                found.push((places, *word));
            }
        }
    }
    let mut gone = HashSet::new();
    for (places, word) in found {
        if let Some(unit) = places.first().and_then(|at| units.get_mut(*at)) {
            *unit = Unit { lower: word.to_owned(), phrase: true, capital: false, identifier: false, ..*unit };
            gone.extend(places.into_iter().skip(1));
        }
    }
    let mut at = 0;
    units.retain(|_| {
        at += 1;
        !gone.contains(&(at - 1))
    });
}

/// The set phrases with each word as its stem.
static STEMMED_PHRASES: LazyLock<Vec<(Vec<String>, &'static str)>> = LazyLock::new(|| {
    PHRASES.iter().map(|(phrase, word)| (phrase.iter().map(|word| stem(word)).collect(), *word)).collect()
});

/// The places of a phrase that begins at `start`, with up to two other words in each gap.
fn phrase_at(stems: &[String], start: usize, phrase: &[String]) -> Option<Vec<usize>> {
    let mut places = Vec::with_capacity(phrase.len());
    let mut from = start;
    for (nth, word) in phrase.iter().enumerate() {
        let reach = if nth == 0 { 1 } else { 3 };
        let at = (from..stems.len().min(from + reach)).find(|at| stems[*at] == *word)?;
        places.push(at);
        from = at + 1;
    }
    Some(places)
}

/// Lower-case words of a text, for matching patterns word by word.
pub(super) fn lowers<'t>(tokens: &'t [Token<'_>]) -> Vec<&'t str> {
    tokens.iter().map(|token| token.lower.as_str()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(question: &str, text: &str) -> f32 {
        coverage(&terms(question), &Bag::of(text), None)
    }

    #[test]
    fn other_words_for_the_same_are_covered() {
        assert!(share("Who looks after our account?", "Our account manager is Lena.") > 0.85);
        assert!(share("Where do parcels go?", "The delivery address is Elm Road 9.") > 0.6);
        assert!(share("I switched the thing off and on", "Restart the thing.") > 0.85);
        assert!(share("bar-code reader", "barcode scanner") > 0.4);
    }

    #[test]
    fn a_stranger_is_not() {
        assert!(share("What is the wifi password?", "We open at eight.") < 0.1);
        assert!(share("When does order A-17 arrive?", "Order B-22 arrives on Monday.") < 0.7);
    }
}
