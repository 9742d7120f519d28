//! What a request says about the time before its message.
//!
//! Attempts and recalled facts stand as lines in the system text, earlier messages as messages; here they are
//! read back into attempts, known facts, troubles and the steps that were suggested last. Only the plan looks
//! back.

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

/// The time before the message.
pub(super) struct Past {
    /// What was tried in this session.
    pub(super) attempts: Vec<Attempt>,
    /// Facts of earlier messages, newest first, then recalled ones.
    pub(super) known: Vec<Known>,
    /// What the caller said before, newest first.
    pub(super) said: Vec<String>,
    /// What did not work, and what was asked, newest first.
    pub(super) troubles: Vec<String>,
    /// The steps that the last answer suggested.
    pub(super) suggested: Vec<String>,
    /// Names that the last answer mentioned.
    pub(super) names: Vec<Term>,
    troubled: bool,
}

impl Past {
    pub(super) fn of(request: &ChatRequest) -> Self {
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
        let user =
            |message: &Message| if let Message::User { text } = message { Some(text.clone()) } else { None };
        let said: Vec<String> = before.iter().rev().filter_map(user).collect();
        let answered = before.iter().rev().find_map(|message| match message {
            Message::Assistant { text, .. } => Some(text.as_str()),
            _ => None,
        });
        let answered = answered.unwrap_or_default();
        let suggested =
            answered.lines().filter_map(|line| line.strip_prefix("- ")).map(str::to_owned).collect();
        let names = terms(answered).into_iter().filter(|term| term.name).collect();
        let mut known: Vec<Known> = said.iter().take(RECENT).flat_map(|text| facts_of(text)).collect();
        known.extend(lines.filter_map(|line| line.strip_prefix(MEMORY_LINE)).map(Known::new));
        let recent: Vec<Clause> = said.iter().take(RECENT).flat_map(|text| clauses(text)).collect();
        let is_trouble = |clause: &&Clause| is_problem(&lowers(&tokens(&clause.text)));
        let troubled = recent.iter().any(|clause| is_trouble(&clause));
        let telling = recent.iter().filter(|clause| is_trouble(clause) || clause.asked);
        let troubles = telling.map(|clause| clause.text.clone()).collect();
        Self { attempts: attempts.collect(), known, said, troubles, suggested, names, troubled }
    }

    /// Whether something did not work lately.
    pub(super) fn was_in_trouble(&self) -> bool {
        self.troubled
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
