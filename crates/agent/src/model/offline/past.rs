//! What a request says about the time before its message.
//!
//! Attempts and recalled facts stand as lines in the system text, earlier messages as messages; here they are
//! read back into attempts, known facts, troubles and the steps that were suggested last. Only the plan looks
//! back.

use std::cell::OnceCell;

use super::attempt::{Attempt, Went};
use super::correction::Known;
use super::intent::{Intent, intent, is_problem};
use super::sentence::{Clause, clauses};
use super::terms::{Term, lowers, terms};
use crate::model::{ChatRequest, Message};
use crate::prompt::{ATTEMPT_ARROW, ATTEMPT_LINE, MEMORY_LINE};
use crate::words::tokens;

/// Earlier messages that may still tell what the conversation is about.
const RECENT: usize = 6;

/// The time before the message. What costs more than a look is read when it is asked for: most messages are plain
/// questions and need little of it.
pub(super) struct Past<'r> {
    /// What was tried in this session.
    pub(super) attempts: Vec<Attempt>,
    /// What the caller said before, newest first.
    pub(super) said: Vec<&'r str>,
    /// The steps that the last answer suggested.
    pub(super) suggested: Vec<String>,
    answered: &'r str,
    memories: Vec<&'r str>,
    known: OnceCell<Vec<Known>>,
    recent: OnceCell<Vec<(Clause, bool)>>,
}

impl<'r> Past<'r> {
    pub(super) fn of(request: &'r ChatRequest) -> Self {
        let lines = request.system.lines();
        let attempts = lines.clone().filter_map(|line| {
            let (action, went) = line.strip_prefix(ATTEMPT_LINE)?.rsplit_once(ATTEMPT_ARROW)?;
            let known = [Went::Worked, Went::Failed, Went::Unknown];
            let went = known.into_iter().find(|known| known.as_str() == went.trim())?;
            Some(Attempt { action: action.to_owned(), went })
        });
        let is_user = |message: &Message| matches!(message, Message::User { .. });
        let last = request.messages.iter().rposition(is_user).unwrap_or(0);
        let newest_first = || request.messages[..last].iter().rev();
        let said = newest_first().filter_map(|message| match message {
            Message::User { text } => Some(text.as_str()),
            _ => None,
        });
        let answered = newest_first().find_map(|message| match message {
            Message::Assistant { text, .. } => Some(text.as_str()),
            _ => None,
        });
        let answered = answered.unwrap_or_default();
        let suggested = answered.lines().filter_map(|line| line.strip_prefix("- ")).map(str::to_owned);
        Self {
            attempts: attempts.collect(),
            said: said.collect(),
            suggested: suggested.collect(),
            answered,
            memories: lines.filter_map(|line| line.strip_prefix(MEMORY_LINE)).collect(),
            known: OnceCell::new(),
            recent: OnceCell::new(),
        }
    }

    /// Facts of earlier messages, newest first, then recalled ones.
    pub(super) fn known(&self) -> &[Known] {
        self.known.get_or_init(|| {
            let told = self.said.iter().take(RECENT).flat_map(|text| facts_of(text));
            told.chain(self.memories.iter().map(|text| Known::new(text))).collect()
        })
    }

    /// Whether something did not work lately.
    pub(super) fn was_in_trouble(&self) -> bool {
        self.recent().iter().any(|(_, trouble)| *trouble)
    }

    /// What did not work lately, and what was asked, newest first.
    pub(super) fn troubles(&self) -> impl Iterator<Item = &str> {
        self.recent()
            .iter()
            .filter(|(clause, trouble)| *trouble || clause.asked)
            .map(|(clause, _)| clause.text.as_str())
    }

    /// Names that the last answer mentioned.
    pub(super) fn names(&self) -> Vec<Term> {
        terms(self.answered).into_iter().filter(|term| term.name).collect()
    }

    /// The clauses of the last messages, and whether each tells of trouble.
    fn recent(&self) -> &[(Clause, bool)] {
        self.recent.get_or_init(|| {
            let clauses = self.said.iter().take(RECENT).flat_map(|text| clauses(text));
            let read = |clause: Clause| {
                let trouble = is_problem(&lowers(&tokens(&clause.text)));
                (clause, trouble)
            };
            clauses.map(read).collect()
        })
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
