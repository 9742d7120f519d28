//! From a message to what is to be done: facts to keep, attempts to note, questions to answer.
//!
//! The plan is made from the request alone and is the same at each call of a turn, so that the model needs no
//! state: it finds the results of its earlier calls by the names that the plan gives them. Only the model
//! itself makes plans.

use serde_json::Value;

use super::attempt::{Attempt, Of, Report, Went, report, same_action};
use super::correction::{Known, in_place, leans, settle, undone};
use super::intent::{Intent, intent};
use super::lead::strip_lead;
use super::past::Past;
use super::question::{How, Question};
use super::sentence::{Clause, clauses, is_wh};
use super::subject::{Fact, fact};
use super::terms::{Term, lowers, terms};
use super::using::asked_for;
use super::value::holds_time;
use super::vocabulary::listed;
use crate::model::ChatRequest;
use crate::words::tokens;

/// What is to be done, in the order of the message.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Plan {
    pub(super) items: Vec<Item>,
    /// Attempts of the session before this message.
    pub(super) earlier: Vec<Attempt>,
}

/// One thing to do.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Item {
    /// Keep a fact, or what was said about a problem; the latter answers nothing in the same message.
    Remember { fact: Fact, problem: bool },
    /// Note an attempt.
    Note(Attempt),
    /// Answer a question.
    Answer(Question),
    /// Call a tool that was asked for by its own words.
    Use { tool: String, arguments: Value },
    /// Say what was tried.
    ListAttempts,
    /// Say what this is.
    Introduce,
    /// Say that nothing is deleted here.
    ExplainForgetting,
    /// Be glad that something helped.
    Cheer,
    /// Be polite.
    Greet,
}

/// At most this many questions of one message are answered; nobody reads more.
const MAX_QUESTIONS: usize = 4;
/// At most this many facts and attempts of one message are kept.
const MAX_NOTES: usize = 16;

impl Plan {
    pub(super) fn of(request: &ChatRequest) -> Self {
        let past = Past::of(request);
        let mut draft = Draft::new(&past);
        let clauses = clauses(request.last_user_text());
        let mut at = 0;
        while let Some(clause) = clauses.get(at) {
            let wanted = asked_for(clause, request);
            at += match wanted {
                Some(item) => draft.make_use(item),
                None => draft.read(clause, clauses.get(at + 1)),
            };
        }
        draft.finish()
    }

    /// Everything that did not help: who asks for the next step has not been helped by what has no outcome
    /// either.
    pub(super) fn failed(&self) -> Vec<&str> {
        self.attempts()
            .filter(|attempt| attempt.went != Went::Worked)
            .map(|attempt| attempt.action.as_str())
            .collect()
    }

    /// Every attempt of the session, this message included; what is said later about the same action counts.
    pub(super) fn attempts(&self) -> impl Iterator<Item = &Attempt> {
        let new = |attempt: &&Attempt| !notes(&self.items).any(|noted| noted.action == attempt.action);
        self.earlier.iter().filter(new).chain(notes(&self.items))
    }
}

fn notes(items: &[Item]) -> impl Iterator<Item = &Attempt> {
    items.iter().filter_map(|item| if let Item::Note(attempt) = item { Some(attempt) } else { None })
}

struct Draft<'p> {
    past: &'p Past<'p>,
    items: Vec<Item>,
    /// Attempts of this message whose outcome is not known yet, by their place in the items.
    pending: Vec<usize>,
    /// Facts of this message, newest first.
    told: Vec<Known>,
    /// What the clause before said, if it was a statement.
    before: Option<String>,
    /// What does not work.
    problems: Vec<String>,
    /// What else was said: it may tell what a question means.
    context: Vec<String>,
    /// Every statement of the message that is no fact, in order.
    said: Vec<String>,
    fragments: Vec<String>,
    questions: Vec<(How, String)>,
    /// The message said that something is wrong: what leans on it next corrects it.
    correcting: bool,
}

impl<'p> Draft<'p> {
    fn new(past: &'p Past<'p>) -> Self {
        Self {
            past,
            items: Vec::new(),
            pending: Vec::new(),
            told: Vec::new(),
            before: None,
            problems: Vec::new(),
            context: Vec::new(),
            said: Vec::new(),
            fragments: Vec::new(),
            questions: Vec::new(),
            correcting: false,
        }
    }

    /// A clause that asks for a tool wants nothing else.
    fn make_use(&mut self, item: Item) -> usize {
        if !self.items.contains(&item) {
            self.items.push(item);
        }
        1
    }

    /// Reads a clause; two when the next one completes it.
    fn read(&mut self, clause: &Clause, next: Option<&Clause>) -> usize {
        let (stripped, announced) = strip_lead(&clause.text);
        if !clause.asked {
            let denies = "wrong incorrect mistake typo misread misspelled mixed";
            let denied = tokens(stripped).len() <= 6
                && tokens(stripped).iter().any(|word| listed(denies, &word.lower));
            if denied {
                self.correcting = true;
                return 1;
            }
            self.correcting |= announced;
            if let Some(whole) = next.and_then(|next| replaced(stripped, next)) {
                self.tell(&whole, true, true);
                return 2;
            }
            if self.read_report(stripped, next) {
                return 1;
            }
        }
        let statement = match intent(clause) {
            Intent::Ask => self.ask(How::Fact, clause),
            Intent::HowTo => self.ask(How::Steps, clause),
            Intent::Help => self.ask(How::NextSteps, clause),
            Intent::Tell { text, corrects, keep } => {
                let corrects = corrects || self.correcting && leans(&text);
                self.tell(&text, corrects, keep);
                Some(text)
            }
            Intent::Problem => {
                // What has a name or a number may be asked for later; a bare complaint may not.
                if terms(stripped).iter().any(|term| term.identifier || term.name) {
                    self.items
                        .push(Item::Remember { fact: Fact::remark(&sentence(stripped)), problem: true });
                }
                self.problems.push(stripped.to_owned());
                Some(stripped.to_owned())
            }
            Intent::Fragment => {
                self.fragments.push(stripped.to_owned());
                Some(stripped.to_owned())
            }
            Intent::Attempts => self.push(Item::ListAttempts),
            Intent::Identity => self.push(Item::Introduce),
            Intent::Forget => self.push(Item::ExplainForgetting),
            Intent::Smalltalk => self.push(Item::Greet),
            Intent::Nothing => None,
        };
        self.said.extend(statement.iter().cloned());
        self.before = statement;
        1
    }

    fn ask(&mut self, how: How, clause: &Clause) -> Option<String> {
        self.questions.push((how, clause.text.clone()));
        None
    }

    fn push(&mut self, item: Item) -> Option<String> {
        self.items.push(item);
        None
    }

    /// Reads a clause as a report about attempts; false when it is none.
    fn read_report(&mut self, text: &str, next: Option<&Clause>) -> bool {
        let words = tokens(text);
        if lowers(&words).first().is_some_and(|first| is_wh(first) && *first != "which") {
            return false;
        }
        let outcome_next = next.is_some_and(|next| {
            let ended = report(strip_lead(&next.text).0, false, false);
            !next.asked && matches!(ended, Some(Report::Ended { of: Of::That | Of::All, .. }))
        });
        let going_on = notes(&self.items).next().is_some();
        match report(text, outcome_next, going_on) {
            Some(Report::Tried { actions, went, sure }) if sure || self.in_trouble() => {
                for action in actions {
                    if went == Went::Unknown {
                        self.pending.push(self.items.len());
                    }
                    self.items.push(Item::Note(Attempt { action, went }));
                }
                // `I restarted it, then I cleaned it, but nothing changed`: the outcome is that of both.
                if went == Went::Failed {
                    self.resolve(went);
                }
                true
            }
            Some(Report::Ended { went, .. }) if !self.pending.is_empty() => {
                self.resolve(went);
                true
            }
            Some(Report::Ended { of: Of::Trouble, .. }) => {
                self.note_done(text);
                self.problems.push(text.to_owned());
                true
            }
            // The outcome was said before; this says it again.
            Some(Report::Ended { .. }) if notes(&self.items).next().is_some() => true,
            Some(Report::Ended { went: Went::Failed, .. }) if self.note_done(text) => true,
            Some(Report::Ended { went, of }) => self.resolve_earlier(went, of),
            _ => false,
        }
    }

    fn resolve(&mut self, went: Went) {
        for at in self.pending.drain(..) {
            if let Some(Item::Note(attempt)) = self.items.get_mut(at) {
                attempt.went = went;
            }
        }
    }

    /// `the probe is clean now and still the same`: a suggested step was done, whatever words are used for
    /// it. False when none is named.
    fn note_done(&mut self, text: &str) -> bool {
        let said: Vec<&str> = self.said.iter().map(String::as_str).chain([text]).collect();
        let names = |said: &str, step: &str| {
            terms(said).iter().any(|term| term.weight >= 0.5) && same_action(said, step)
        };
        let done = self.past.suggested.iter().filter(|step| said.iter().any(|said| names(said, step)));
        let notes: Vec<Item> =
            done.map(|step| Item::Note(Attempt { action: step.clone(), went: Went::Failed })).collect();
        let any = !notes.is_empty();
        self.items.extend(notes);
        any
    }

    /// An outcome of what was suggested last, or of what was tried without an outcome.
    fn resolve_earlier(&mut self, went: Went, of: Of) -> bool {
        let open = self
            .past
            .attempts
            .iter()
            .filter(|attempt| attempt.went == Went::Unknown)
            .map(|attempt| &attempt.action);
        let mut actions: Vec<String> = if self.past.suggested.is_empty() {
            open.cloned().collect()
        } else {
            self.past.suggested.clone()
        };
        if actions.is_empty() {
            return false;
        }
        if went == Went::Worked && actions.len() > 1 {
            // Of several steps nobody knows which one it was.
            self.items.push(Item::Cheer);
            return true;
        }
        // `that did not help` speaks of the step that comes first, `none of it` of all.
        if of == Of::That {
            actions.truncate(1);
        }
        self.items.extend(actions.into_iter().map(|action| Item::Note(Attempt { action, went })));
        true
    }

    /// Whether this conversation is about something that does not work.
    fn in_trouble(&self) -> bool {
        !self.problems.is_empty()
            || !self.pending.is_empty()
            || !self.past.attempts.is_empty()
            || self.past.was_in_trouble()
    }

    fn tell(&mut self, text: &str, corrects: bool, keep: bool) {
        let whole = match () {
            () if leans(text) && !corrects => self.completed(text),
            // `Dr Roth covers for her`: who she is was said before.
            () if points_back(text) => {
                self.before.as_ref().map(|before| format!("{} {text}", sentence(before)))
            }
            () => None,
        };
        let text = whole.as_deref().unwrap_or(text);
        let known: Vec<&Known> = self.told.iter().chain(self.past.known()).collect();
        let Some(fact) = settle(text, corrects, &known) else {
            self.context.push(text.to_owned());
            return;
        };
        // Small talk is not worth keeping: a fact names a thing and its value, or holds a value, or is to be
        // kept.
        let valuable = fact.subject.is_some() && fact.value.is_some();
        let holds =
            || terms(&fact.text).iter().any(|term| term.identifier || term.name) || holds_time(&fact.text);
        if !(keep || valuable || corrects || holds()) {
            self.context.push(text.to_owned());
            return;
        }
        let fact = Fact { text: sentence(&fact.text), ..fact };
        self.told.insert(0, Known::of(fact.clone()));
        self.items.push(Item::Remember { fact, problem: false });
    }

    /// A statement that begins with a pronoun, made whole with what was said just before.
    fn completed(&self, text: &str) -> Option<String> {
        let before = self.before.as_ref()?;
        let about = self.told.first().and_then(|known| known.fact.about.clone());
        let placed = about.and_then(|about| in_place(&about, text));
        placed.or_else(|| Some(format!("{} {text}", sentence(before))))
    }

    fn finish(mut self) -> Plan {
        let told_nothing = self.items.is_empty() && self.problems.is_empty();
        if self.questions.is_empty() && told_nothing {
            let telling = self.fragments.iter().rev().find(|text| !Question::new(text, How::Fact).is_bare());
            self.questions.extend(telling.map(|text| (How::Fact, text.clone())));
        }
        self.context.append(&mut self.fragments);
        let asked = std::mem::take(&mut self.questions);
        let mut helped = false;
        for (how, text) in asked.iter().take(MAX_QUESTIONS) {
            let question = match how {
                How::Fact => self.about(text),
                // `Anything else about refunds?` is no cry for help.
                How::NextSteps if !self.in_trouble() && self.context.is_empty() => self.about(text),
                _ if helped => continue,
                _ => {
                    helped = true;
                    self.helping(Question::new(text, *how))
                }
            };
            self.items.push(Item::Answer(question));
        }
        let went = |wanted: Went| notes(&self.items).any(|attempt| attempt.went == wanted);
        let open = went(Went::Failed) || went(Went::Unknown) || !self.problems.is_empty();
        if asked.is_empty() && open && !went(Went::Worked) {
            let question = self.helping(Question::new("", How::NextSteps));
            self.items.push(Item::Answer(question));
        }
        if self.items.len() > 1 {
            self.items.retain(|item| *item != Item::Greet);
        }
        let mut kept = 0;
        self.items.retain(|item| {
            let note = matches!(item, Item::Remember { .. } | Item::Note(_));
            kept += usize::from(note);
            !note || kept <= MAX_NOTES
        });
        Plan { items: self.items, earlier: self.past.attempts.clone() }
    }

    /// A question for a fact: what it leaves out may be in the message or in the conversation before.
    fn about(&self, text: &str) -> Question {
        let mut question = Question::new(text, How::Fact);
        // `what is it?` speaks of what was said last.
        for said in self.said.iter().rev() {
            if question.is_bare() {
                add(&mut question.terms, terms(said), 1.0);
            }
            add(&mut question.hints, terms(said), 0.5);
        }
        if let Some(previous) = self.past.said.first() {
            if question.is_bare() {
                add(&mut question.terms, terms(previous), 0.8);
            }
            add(&mut question.hints, terms(previous), 0.3);
        }
        if question.leans {
            add(&mut question.hints, self.past.names(), 0.3);
        }
        question
    }

    /// A question for help: what is wrong was said in the message, or before.
    fn helping(&self, mut question: Question) -> Question {
        for problem in &self.problems {
            add(&mut question.terms, terms(problem), 1.0);
        }
        // What an attempt, a step or an idea is about is told elsewhere.
        let empty = "step steps idea ideas way ways solution option options suggestion fix left remains \
            next further first start";
        let telling = |mut terms: Vec<Term>| {
            terms.retain(|term| !listed(empty, &term.word));
            terms
        };
        question.terms = telling(question.terms);
        let thin =
            |question: &Question| question.terms.iter().all(|term| term.weight < 0.5 || term.identifier);
        if thin(&question) {
            for said in &self.said {
                add(&mut question.terms, telling(terms(said)), 1.0);
            }
        }
        for trouble in self.past.troubles() {
            let into = if thin(&question) { &mut question.terms } else { &mut question.hints };
            add(into, telling(terms(trouble)), 0.8);
        }
        for attempt in notes(&self.items).chain(&self.past.attempts) {
            let into = if question.is_bare() { &mut question.terms } else { &mut question.hints };
            add(into, terms(&attempt.action), 0.6);
        }
        question
    }
}

/// Whether a clause speaks of somebody or something by a pronoun at its end.
fn points_back(text: &str) -> bool {
    tokens(text).last().is_some_and(|last| listed("her him them it", &last.lower))
}

/// `the manager is no longer X, it is Y`: the statement that the two clauses make together.
fn replaced(text: &str, next: &Clause) -> Option<String> {
    if next.asked {
        return None;
    }
    let next = strip_lead(&next.text).0;
    let undone = undone(text)?;
    let whole = undone.replaced_by(next).or_else(|| undone.held_by(next))?;
    fact(&whole).value.is_some().then_some(whole)
}

/// Adds terms that are not there yet, at a part of their weight.
fn add(terms: &mut Vec<Term>, more: Vec<Term>, part: f32) {
    for mut term in more {
        if !terms.iter().any(|there| there.stem == term.stem) {
            term.weight *= part;
            terms.push(term);
        }
    }
}

/// Words as a sentence: a capital first, a full stop last.
fn sentence(text: &str) -> String {
    let text = text.trim().trim_end_matches([',', ';', ':']);
    let mut chars = text.chars();
    let mut whole: String =
        chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default();
    if !whole.ends_with(['.', '!', '?']) {
        whole.push('.');
    }
    whole
}
