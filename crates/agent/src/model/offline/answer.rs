//! Choosing what answers a question: among remembered facts, and among the pieces of handbook sections.
//!
//! A candidate must cover most of what the question is about, its focus, and the kind of value it asks for;
//! what covers less is no answer, however near it is. Only the composing asks for answers.

use super::attempt::same_action;
use super::extract::{Piece, PieceKind, pieces};
use super::question::{How, Question, Wants, satisfies};
use super::subject::fact;
use super::terms::{Bag, Term, coverage};
use super::vocabulary::{self, OPPOSITES, listed};
use crate::tool::knowledge::{Found, FoundSection};
use crate::tool::{RecallAnswer, RecalledFact};

/// What a fact must reach to be an answer.
const ENOUGH: f32 = 0.6;
/// What a section must reach to be the procedure that is asked for.
const ENOUGH_STEPS: f32 = 0.55;
/// What a section must reach to be about the problem at hand.
const ENOUGH_HELP: f32 = 0.5;
/// Facts this near to the best one are as good; the newest of them counts.
const NEAR: f32 = 0.06;

/// A remembered fact that answers.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct FactAnswer {
    pub(super) text: String,
    pub(super) this_session: bool,
    pub(super) score: f32,
}

/// A passage of the handbook that answers.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Passage {
    pub(super) heading: String,
    pub(super) lines: Vec<String>,
    /// What stands behind the steps, such as whom to call when none helped.
    pub(super) after: Vec<String>,
    /// Steps that were left out because they failed before.
    pub(super) left_out: usize,
    pub(super) score: f32,
}

/// The remembered facts that answer, best first; usually one.
pub(super) fn facts(question: &Question, recalled: &RecallAnswer, ignore: &[&str]) -> Vec<FactAnswer> {
    let candidates = recalled.hits.iter().filter(|hit| !ignore.contains(&hit.text.as_str()));
    let scored = candidates.map(|hit| (score(question, &hit.text, None, None, true), hit));
    let mut scored: Vec<_> = scored.filter(|(score, _)| *score >= ENOUGH).collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0).then(b.1.created_at.cmp(&a.1.created_at)));
    let Some(best) = scored.first().map(|(score, _)| *score) else { return Vec::new() };
    let near = if question.several { 0.3 } else { NEAR };
    scored.retain(|(score, _)| *score >= best - near);
    scored.sort_by_key(|(_, hit)| std::cmp::Reverse(hit.created_at));
    if !question.several {
        one_a_subject(&mut scored, best);
    }
    scored.truncate(if question.several { 5 } else { 3 });
    let answers = scored.into_iter().map(|(score, hit)| FactAnswer {
        text: hit.text.clone(),
        this_session: hit.this_session,
        score,
    });
    answers.collect()
}

/// Of facts that speak of the same thing the newest is true; facts on other things stay only where they match
/// as well.
fn one_a_subject(newest_first: &mut Vec<(f32, &RecalledFact)>, best: f32) {
    let mut subjects: Vec<Option<String>> = Vec::new();
    newest_first.retain(|(score, hit)| {
        let subject = fact(hit.text.trim_end_matches('.')).subject;
        let same = subjects.iter().any(|seen| *seen == subject || seen.is_none() || subject.is_none());
        let as_good = *score >= best - 0.03;
        let keep = if subjects.is_empty() { true } else { !same && as_good };
        if keep {
            subjects.push(subject);
        }
        keep
    });
}

/// The passage of the handbook that answers, if one does.
pub(super) fn passage(question: &Question, found: &Found, failed: &[&str]) -> Option<Passage> {
    match question.how {
        How::Fact => quote(question, &found.sections).or_else(|| steps(question, &found.sections, failed)),
        How::Steps | How::NextSteps => steps(question, &found.sections, failed),
    }
}

/// The best score in a section, the section, and its pieces with their scores.
type Rated<'s> = (f32, &'s FoundSection, Vec<(f32, Piece)>);

/// The sentences, items or rows that answer a question for a fact.
fn quote(question: &Question, sections: &[FoundSection]) -> Option<Passage> {
    let mut best: Option<Rated<'_>> = None;
    for section in sections {
        let above = Bag::of(&format!("{} {}", section.heading, file_words(&section.file)));
        let around = Bag::of(&section.text);
        let scored: Vec<(f32, Piece)> = pieces(&section.text)
            .into_iter()
            .map(|piece| (score(question, &piece.text, Some(&above), Some(&around), false), piece))
            .collect();
        let top = scored.iter().map(|(score, _)| *score).fold(0.0, f32::max);
        // Earlier sections are better matches as a whole, so a later one must be better, not equal.
        if top >= ENOUGH && best.as_ref().is_none_or(|(score, ..)| top > *score + 0.01) {
            best = Some((top, section, scored));
        }
    }
    let (score, section, scored) = best?;
    let at = scored.iter().position(|(piece, _)| *piece >= score)?;
    let block = scored[at].1.block;
    let same_block = || scored.iter().filter(|(_, piece)| piece.block == block);
    // A short paragraph is quoted whole: what a sentence means may stand in its neighbour.
    let short = same_block().map(|(_, piece)| piece.text.len()).sum::<usize>() <= 260
        && scored[at].1.kind == PieceKind::Sentence;
    let close = |piece_score: f32| piece_score >= score - 0.05;
    let chosen = scored
        .iter()
        .filter(|(piece_score, piece)| if short { piece.block == block } else { close(*piece_score) });
    let lines = chosen.map(|(_, piece)| piece.text.clone()).take(4).collect();
    Some(Passage { heading: section.heading.clone(), lines, after: Vec::new(), left_out: 0, score })
}

/// The steps of the section that is about the matter, without those that failed before.
fn steps(question: &Question, sections: &[FoundSection], failed: &[&str]) -> Option<Passage> {
    let enough = match question.how {
        // A question for a fact is answered with steps only where they are about nothing else.
        How::Fact => 0.9,
        How::Steps => ENOUGH_STEPS,
        How::NextSteps => ENOUGH_HELP,
    };
    let rate = |section: &FoundSection| {
        let above = Bag::of(&format!("{} {}", section.heading, file_words(&section.file)));
        let mut bag = Bag::of(&section.text);
        bag.stems.extend(above.stems.iter().cloned());
        bag.concepts.extend(&above.concepts);
        let named = question.terms.iter().any(|term| term.weight >= 0.5 && term.covered_by(&above) > 0.0);
        // A number of one's own order is in no handbook; an error code may well be.
        let asked = question.terms.iter().filter(|term| !term.identifier || term.covered_by(&bag) > 0.0);
        let asked: Vec<_> = asked.cloned().collect();
        let hints = coverage(&question.hints, &bag, None) * 0.15;
        let listing = pieces(&section.text).iter().filter(|piece| piece.kind == PieceKind::Item).count() >= 2;
        let steps = if listing { 0.15 } else { 0.0 };
        coverage(&asked, &bag, None) + hints + steps + if named { 0.1 } else { 0.0 }
    };
    let mut rated: Vec<(f32, &FoundSection)> =
        sections.iter().map(|section| (rate(section), section)).collect();
    rated.retain(|(score, _)| *score >= enough);
    rated.sort_by(|a, b| b.0.total_cmp(&a.0));
    let best = rated.first()?.0;
    let mut exhausted = None;
    for (score, section) in rated.into_iter().filter(|(score, _)| *score >= best - 0.2) {
        let passage = remaining(section, failed, score);
        if !passage.lines.is_empty() {
            // Steps that were left out in a better section are still worth saying.
            let before = exhausted.map_or(0, |full: Passage| full.left_out);
            return Some(Passage { left_out: passage.left_out + before, ..passage });
        }
        exhausted.get_or_insert(passage);
    }
    exhausted
}

fn remaining(section: &FoundSection, failed: &[&str], score: f32) -> Passage {
    let all = pieces(&section.text);
    let items = all.iter().filter(|piece| piece.kind == PieceKind::Item).count();
    let last_item = all.iter().rposition(|piece| piece.kind == PieceKind::Item).unwrap_or(0);
    let (mut lines, mut after, mut left_out) = (Vec::new(), Vec::new(), 0);
    for (at, piece) in all.into_iter().enumerate() {
        let is_step = if items >= 2 { piece.kind == PieceKind::Item } else { true };
        if failed.iter().any(|tried| same_action(tried, &piece.text)) {
            left_out += usize::from(is_step);
        } else if is_step {
            lines.push(piece.text);
        } else if at > last_item {
            after.push(piece.text);
        }
    }
    Passage { heading: section.heading.clone(), lines, after, left_out, score }
}

/// How well a text answers, 0 to about 1.1.
fn score(question: &Question, text: &str, above: Option<&Bag>, around: Option<&Bag>, strict: bool) -> f32 {
    let bag = Bag::of(text);
    let has_value = question.wants != Wants::Anything && satisfies(question.wants, text);
    let rest: Vec<_> = question.terms.iter().filter(|term| !is_focus_of(question, term)).cloned().collect();
    // `under what reference is the bond registered`: a number behind everything else that was asked is that
    // number.
    let rest_covered = rest.iter().any(|term| term.weight >= 0.5) && coverage(&rest, &bag, above) >= 0.75;
    let shown = |term: &Term| has_value && (is_shown_by_value(term) || (rest_covered && is_number(term)));
    let (mut total, mut got) = (0.0, 0.0);
    for term in &question.terms {
        let mut covered = term.covered_by(&bag);
        if question.yes_or_no && contradicted(term, &bag) {
            covered = covered.max(0.85);
        }
        covered = covered.max(above.map_or(0.0, |above| term.covered_by(above) * 0.75));
        covered = covered.max(around.map_or(0.0, |around| term.covered_by(around) * 0.5));
        if term.identifier && covered == 0.0 {
            // A fact about another number is no answer; a rule of the handbook may well be.
            if strict {
                return 0.0;
            }
            continue;
        }
        if is_focus_of(question, term) && covered == 0.0 && shown(term) {
            covered = 0.8;
        }
        let weight = term.weight;
        total += weight;
        got += weight * covered;
    }
    if total <= 0.0 {
        return 0.0;
    }
    let strong = question.terms.iter().filter(|term| term.weight >= 0.5).count();
    let mut score = got / total;
    if let Some(focus) = &question.focus {
        let there = focus.covered_by(&bag) > 0.0 || above.is_some_and(|above| focus.covered_by(above) > 0.0);
        if !(there || shown(focus)) {
            score *= 0.5;
        }
    }
    if !question.yes_or_no && question.terms.iter().any(|term| contradicted(term, &bag)) {
        score *= 0.6;
    }
    score += match question.wants {
        Wants::Anything => 0.0,
        _ if has_value => 0.08,
        Wants::Time | Wants::Money | Wants::Count | Wants::Email | Wants::Phone => -0.25,
        _ => -0.1,
    };
    score + coverage(&question.hints, &bag, above) * if question.leans || strong <= 1 { 0.3 } else { 0.08 }
}

/// Nouns that a text need not name, because the value itself shows what it is: a date, a place, a mail
/// address.
fn is_shown_by_value(term: &Term) -> bool {
    let kinds = "time deadline address email name price count";
    term.concepts().iter().any(|concept| listed(kinds, vocabulary::name(*concept)))
}

fn is_number(term: &Term) -> bool {
    term.concepts().iter().any(|concept| listed("number code serial", vocabulary::name(*concept)))
}

fn is_focus_of(question: &Question, term: &Term) -> bool {
    question.focus.as_ref().is_some_and(|focus| focus.stem == term.stem)
}

/// The text says the opposite: it closes where the question asks when it opens.
fn contradicted(term: &Term, bag: &Bag) -> bool {
    if term.covered_by(bag) > 0.0 {
        return false;
    }
    let named = |name: &str| term.concepts().iter().any(|concept| vocabulary::name(*concept) == name);
    let holds = |name: &str| vocabulary::concept(name).is_some_and(|concept| bag.concepts.contains(&concept));
    OPPOSITES.iter().any(|(one, other)| named(one) && holds(other) || named(other) && holds(one))
}

fn file_words(file: &str) -> String {
    file.trim_end_matches(".md").replace(['-', '_', '/'], " ")
}
