//! From a message to what is to be done: facts to keep, attempts to note, questions to answer.
//!
//! The plan is made from the request alone and is the same at each call of a turn, so that the model needs no state: it finds the
//! results of its earlier calls by the names that the plan gives them. Only the model itself makes plans.

use super::attempt::{Attempt, Report, Went, report, same_action};
use super::correction::{Known, settle};
use super::intent::{Intent, intent, is_problem, strip_lead};
use super::question::{How, Question};
use super::sentence::{Clause, clauses, is_wh};
use super::subject::Fact;
use super::terms::{Term, lowers, terms};
use crate::model::{ChatRequest, Message};
use crate::prompt::{ATTEMPT_ARROW, ATTEMPT_LINE, MEMORY_LINE};
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
    /// Say what was tried.
    ListAttempts,
    /// Say what this is.
    Introduce,
    /// Say that nothing is deleted here.
    ExplainForgetting,
    /// Be polite.
    Greet,
}

/// At most this many questions of one message are answered; nobody reads more.
const MAX_QUESTIONS: usize = 4;
/// At most this many facts and attempts of one message are kept.
const MAX_NOTES: usize = 12;

impl Plan {
    pub(super) fn of(request: &ChatRequest) -> Self {
        let message = request.last_user_text();
        let past = Past::of(request);
        let mut draft = Draft {
            past: &past,
            items: Vec::new(),
            pending: Vec::new(),
            told: Vec::new(),
            problems: Vec::new(),
            questions: Vec::new(),
        };
        for clause in clauses(message) {
            draft.read(&clause);
        }
        draft.finish()
    }

    /// Everything that is known to have failed: before, and in this message.
    pub(super) fn failed(&self) -> Vec<&str> {
        self.attempts()
            .filter(|attempt| attempt.went == Went::Failed)
            .map(|attempt| attempt.action.as_str())
            .collect()
    }

    /// Every attempt of the session, this message included; what is said later about the same action counts.
    pub(super) fn attempts(&self) -> impl Iterator<Item = &Attempt> {
        let new = |attempt: &&Attempt| !self.notes().any(|noted| noted.action == attempt.action);
        self.earlier.iter().filter(new).chain(self.notes())
    }

    fn notes(&self) -> impl Iterator<Item = &Attempt> {
        self.items.iter().filter_map(|item| if let Item::Note(attempt) = item { Some(attempt) } else { None })
    }
}

/// What the request says about the time before the message.
struct Past {
    attempts: Vec<Attempt>,
    /// Facts of earlier messages, newest first, then recalled ones.
    known: Vec<Known>,
    /// What the caller said before, newest first.
    said: Vec<String>,
    /// The steps that the last answer suggested.
    suggested: Vec<String>,
    /// Names that the last answer mentioned.
    names: Vec<Term>,
}

impl Past {
    fn of(request: &ChatRequest) -> Self {
        let lines = request.system.lines();
        let attempts = lines.clone().filter_map(|line| {
            let (action, went) = line.strip_prefix(ATTEMPT_LINE)?.rsplit_once(ATTEMPT_ARROW)?;
            let went = [Went::Worked, Went::Failed, Went::Unknown]
                .into_iter()
                .find(|w| w.as_str() == went.trim())?;
            Some(Attempt { action: action.to_owned(), went })
        });
        let last =
            request.messages.iter().rposition(|message| matches!(message, Message::User { .. })).unwrap_or(0);
        let before = &request.messages[..last];
        let said: Vec<String> = before
            .iter()
            .rev()
            .filter_map(
                |message| if let Message::User { text } = message { Some(text.clone()) } else { None },
            )
            .collect();
        let answered = before.iter().rev().find_map(|message| {
            if let Message::Assistant { text, .. } = message { Some(text.as_str()) } else { None }
        });
        let answered = answered.unwrap_or_default();
        let suggested =
            answered.lines().filter_map(|line| line.strip_prefix("- ")).map(str::to_owned).collect();
        let names = terms(answered).into_iter().filter(|term| term.name).collect();
        let mut known: Vec<Known> = said.iter().flat_map(|text| facts_of(text)).collect();
        known.extend(lines.filter_map(|line| line.strip_prefix(MEMORY_LINE)).map(Known::new));
        Self { attempts: attempts.collect(), known, said, suggested, names }
    }
}

/// The facts of an earlier message, newest first.
fn facts_of(message: &str) -> Vec<Known> {
    let told = clauses(message).into_iter().filter_map(|clause| match intent(&clause) {
        Intent::Tell { text, .. } => Some(Known::new(&text)),
        _ => None,
    });
    let mut facts: Vec<Known> = told.collect();
    facts.reverse();
    facts
}

struct Draft<'p> {
    past: &'p Past,
    items: Vec<Item>,
    /// Attempts of this message whose outcome is not known yet, by their place in the items.
    pending: Vec<usize>,
    /// Facts of this message, newest first.
    told: Vec<Known>,
    problems: Vec<String>,
    questions: Vec<(How, String)>,
}

impl Draft<'_> {
    fn read(&mut self, clause: &Clause) {
        if !clause.asked && self.read_report(&clause.text) {
            return;
        }
        match intent(clause) {
            Intent::Ask => self.questions.push((How::Fact, clause.text.clone())),
            Intent::HowTo => self.questions.push((How::Steps, clause.text.clone())),
            Intent::Help => self.questions.push((How::NextSteps, clause.text.clone())),
            Intent::Tell { text, corrects } => self.tell(&text, corrects),
            Intent::Problem => {
                // What has a name or a number may be asked for later; a bare complaint may not.
                let stripped = strip_lead(&clause.text).0;
                if terms(stripped).iter().any(|term| term.identifier || term.name) {
                    self.items
                        .push(Item::Remember { fact: Fact::remark(&sentence(stripped)), problem: true });
                }
                self.problems.push(clause.text.clone());
            }
            Intent::Attempts => self.items.push(Item::ListAttempts),
            Intent::Identity => self.items.push(Item::Introduce),
            Intent::Forget => self.items.push(Item::ExplainForgetting),
            Intent::Smalltalk => self.items.push(Item::Greet),
            Intent::Nothing => {}
        }
    }

    /// Reads a clause as a report about attempts; false when it is none.
    fn read_report(&mut self, text: &str) -> bool {
        let stripped = strip_lead(text).0;
        let words = tokens(stripped);
        if lowers(&words).first().is_some_and(|first| is_wh(first)) {
            return false;
        }
        match report(stripped) {
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
            Some(Report::Went(went)) if !self.pending.is_empty() => {
                self.resolve(went);
                true
            }
            Some(Report::Went(went)) => self.resolve_earlier(went),
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

    /// An outcome of what was suggested last, or of what was tried without an outcome.
    fn resolve_earlier(&mut self, went: Went) -> bool {
        let open = self
            .past
            .attempts
            .iter()
            .filter(|attempt| attempt.went == Went::Unknown)
            .map(|attempt| attempt.action.clone());
        let actions: Vec<String> =
            if self.past.suggested.is_empty() { open.collect() } else { self.past.suggested.clone() };
        // When several steps were suggested nobody knows which one worked.
        let went = if went == Went::Worked && actions.len() > 1 { Went::Unknown } else { went };
        let found = !actions.is_empty();
        self.items.extend(actions.into_iter().map(|action| Item::Note(Attempt { action, went })));
        found
    }

    /// Whether this conversation is about something that does not work.
    fn in_trouble(&self) -> bool {
        let trouble =
            |text: &String| clauses(text).iter().any(|clause| is_problem(&lowers(&tokens(&clause.text))));
        !self.problems.is_empty()
            || !self.pending.is_empty()
            || !self.past.attempts.is_empty()
            || self.past.said.iter().take(2).any(trouble)
    }

    fn tell(&mut self, text: &str, corrects: bool) {
        let known: Vec<&Known> = self.told.iter().chain(&self.past.known).collect();
        let Some(fact) = settle(text, corrects, &known, self.told.first()) else { return };
        let fact = Fact { text: sentence(&fact.text), ..fact };
        self.told.insert(0, Known::of(fact.clone()));
        self.items.push(Item::Remember { fact, problem: false });
    }

    fn finish(mut self) -> Plan {
        let reported =
            self.items.iter().any(|item| matches!(item, Item::Note(attempt) if attempt.went != Went::Worked));
        let asked = std::mem::take(&mut self.questions);
        let wants_help = asked.iter().any(|(how, _)| *how != How::Fact);
        let mut helped = false;
        for (how, text) in asked.iter().take(MAX_QUESTIONS) {
            let question = match how {
                How::Fact => self.about(Question::new(text, How::Fact)),
                // A report or a problem beside a question for help is what the help is for.
                _ if helped => continue,
                How::Steps | How::NextSteps => {
                    helped = true;
                    self.helping(Question::new(text, *how))
                }
            };
            self.items.push(Item::Answer(question));
        }
        let solved =
            self.items.iter().any(|item| matches!(item, Item::Note(attempt) if attempt.went == Went::Worked));
        if !wants_help && asked.is_empty() && !solved && (reported || !self.problems.is_empty()) {
            let question = self.helping(Question::new("", How::NextSteps));
            self.items.push(Item::Answer(question));
        }
        if self.items.len() > 1 {
            self.items.retain(|item| *item != Item::Greet);
        }
        let mut notes = 0;
        self.items.retain(|item| {
            notes += usize::from(matches!(item, Item::Remember { .. } | Item::Note(_)));
            notes <= MAX_NOTES || !matches!(item, Item::Remember { .. } | Item::Note(_))
        });
        Plan { items: self.items, earlier: self.past.attempts.clone() }
    }

    /// A question for a fact: what it leaves out may be in the message or in the conversation before.
    fn about(&self, mut question: Question) -> Question {
        for problem in &self.problems {
            add(&mut question.hints, terms(problem), 0.5);
        }
        if let Some(previous) = self.past.said.first() {
            if question.is_bare() {
                add(&mut question.terms, terms(previous), 0.8);
            } else {
                add(&mut question.hints, terms(previous), 0.3);
            }
        }
        add(&mut question.hints, self.past.names.clone(), 0.3);
        question
    }

    /// A question for help: what is wrong was said in the message, or before.
    fn helping(&self, mut question: Question) -> Question {
        for problem in &self.problems {
            add(&mut question.terms, terms(problem), 1.0);
        }
        let noted = self
            .items
            .iter()
            .filter_map(|item| if let Item::Note(attempt) = item { Some(attempt) } else { None });
        for attempt in noted.chain(&self.past.attempts) {
            let things = terms(&attempt.action)
                .into_iter()
                .filter(|term| !same_action(&term.stem, &attempt.action) || term.name);
            add(&mut question.hints, things.collect(), 0.4);
            add(&mut question.hints, terms(&attempt.action), 0.15);
        }
        let mut looked = 0;
        for earlier in &self.past.said {
            let troubled: Vec<Clause> = clauses(earlier)
                .into_iter()
                .filter(|clause| clause.asked || is_problem(&lowers(&tokens(&clause.text))))
                .collect();
            for clause in &troubled {
                let into = if question.is_bare() { &mut question.terms } else { &mut question.hints };
                add(into, terms(&clause.text), 0.8);
            }
            looked += 1;
            if looked == 6 {
                break;
            }
        }
        if question.is_bare() {
            let hints = std::mem::take(&mut question.hints);
            add(&mut question.terms, hints, 1.0);
        }
        question
    }
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
