//! A summary of a long session, which later prompts read in the place of what it covers.
//!
//! It is made by fixed rules that only quote: how the session began, the facts that were kept, what helped, and
//! the newest question without an answer. A session has one summary that holds; older ones stay in the history.
//! Only [`super::History`] makes and stores them.

use haversack::well_known::{Principal, SessionId};
use haversack_store::StoreError;
use haversack_store::sqlite::{Connection, Transaction, params};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::close::learnt;
use super::notice::{append, summary_key};
use super::view::{self, TurnView};
use super::{Learnt, TurnStatus};
use crate::tool::REMEMBER;
use crate::words::sentences;

/// The newest turns, which are read as they were.
const RECENT: usize = 4;
/// Fewer turns than this are not worth a summary.
const WORTH_IT: usize = 4;
/// Facts that a summary holds, the newest.
const MAX_FACTS: usize = 12;
/// Characters of one quotation.
const MAX_QUOTED: usize = 300;

/// A summary of the older part of a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// The words.
    pub text: String,
    /// The number of the last turn that it covers.
    pub through: u64,
    /// How many turns that are.
    pub turns: usize,
}

/// Makes the summary and stores it; `None` when there is no such session or it is too short.
pub(super) fn summarise(
    tx: &Transaction<'_>,
    owner: &Principal,
    session: &SessionId,
) -> Result<Option<Summary>, StoreError> {
    let Some(found) = view::session(tx, owner, session)? else { return Ok(None) };
    let helped = learnt(tx, owner, session)?;
    let Some(summary) = of(&found.history, &helped) else { return Ok(None) };
    let key = summary_key();
    let sql = "UPDATE turns SET idempotency_key = NULL WHERE session_id = ?1 AND idempotency_key = ?2";
    tx.prepare_cached(sql)?.execute(params![session.as_str(), key])?;
    let content = json!({ "role": "summary", "text": summary.text, "through": summary.through });
    append(tx, owner, session, TurnStatus::Summary, Some(&key), &content.to_string())?;
    Ok(Some(summary))
}

/// The turns behind the newest summary.
pub(super) fn unsummarised(
    db: &Connection,
    owner: &Principal,
    session: &SessionId,
) -> Result<u64, StoreError> {
    let sql = "SELECT count(*) FROM turns t JOIN sessions s ON s.session_id = t.session_id
               WHERE t.session_id = ?1 AND s.principal = ?2 AND t.status NOT IN ('notice', 'summary')
                 AND t.number > (SELECT coalesce(max(number), 0) FROM turns
                                 WHERE session_id = ?1 AND status = 'summary')";
    let row = params![session.as_str(), owner.as_str()];
    let turns: i64 = db.prepare_cached(sql)?.query_row(row, |row| row.get(0))?;
    Ok(turns.unsigned_abs())
}

/// The summary of a history, oldest turn first.
fn of(history: &[TurnView], helped: &[Learnt]) -> Option<Summary> {
    let said: Vec<&TurnView> = history.iter().filter(|turn| user_text(turn).is_some()).collect();
    let covered = &said[..said.len().saturating_sub(RECENT)];
    let last = covered.last().filter(|_| covered.len() >= WORTH_IT)?;
    let began = covered.iter().find_map(|turn| question(turn)).or_else(|| user_text(covered.first()?));
    let mut parts: Vec<String> =
        began.map(|words| format!("It began with: {}", quoted(words))).into_iter().collect();
    let facts = facts(covered);
    if !facts.is_empty() {
        parts.push(format!("Facts that were told: {}", facts.join(" ")));
    }
    if !helped.is_empty() {
        let actions: Vec<&str> = helped.iter().map(|one| one.action.as_str()).collect();
        parts.push(format!("What helped: {}.", actions.join("; ")));
    }
    let open = covered.iter().rev().find(|turn| question(turn).is_some()).filter(|turn| !is_answered(turn));
    if let Some(words) = open.and_then(|turn| question(turn)) {
        parts.push(format!("Still open: {}", quoted(words)));
    }
    Some(Summary { text: parts.join(" "), through: last.number, turns: covered.len() })
}

fn user_text(turn: &TurnView) -> Option<&str> {
    let first = turn.messages.first().filter(|message| message.role == "user")?;
    first.content.get("text")?.as_str()
}

/// The first sentence of the message that asks.
fn question(turn: &TurnView) -> Option<&str> {
    sentences(user_text(turn)?).map(|(_, sentence)| sentence).find(|sentence| sentence.ends_with('?'))
}

fn is_answered(turn: &TurnView) -> bool {
    let reply = turn.messages.last().and_then(|message| message.content.get("text")?.as_str());
    turn.status == TurnStatus::Completed && reply.is_some_and(|text| !text.contains("I found nothing"))
}

/// What was kept by `remember`, each once, oldest first.
fn facts(turns: &[&TurnView]) -> Vec<String> {
    let calls = turns.iter().flat_map(|turn| &turn.messages).filter_map(|message| {
        let calls = message.content.get("calls")?.as_array()?;
        let kept = calls.iter().filter(|call| call["name"] == REMEMBER);
        Some(kept.filter_map(|call| call["arguments"].get("text").and_then(Value::as_str)))
    });
    let mut facts: Vec<String> = Vec::new();
    for fact in calls.flatten().map(quoted) {
        if !facts.contains(&fact) {
            facts.push(fact);
        }
    }
    facts.split_off(facts.len().saturating_sub(MAX_FACTS))
}

fn quoted(words: &str) -> String {
    match words.char_indices().nth(MAX_QUOTED) {
        Some((at, _)) => format!("{} ..", &words[..at]),
        None => words.to_owned(),
    }
}
