//! Keeping a memory: duplicates, subjects, supersession.
//!
//! Everything is decided inside one write transaction, so two writers cannot both find a text new. Only
//! [`Recall`](super::Recall) calls it.

use haversack_store::sqlite::{OptionalExtension, Transaction, params};
use haversack_store::{StoreError, now_millis};
use sha2::{Digest, Sha256};

use super::{NewMemory, Outcome, Remembered};
use crate::MemoryError;

/// The longest text, in bytes.
const MAX_TEXT: usize = 64 << 10;
/// The longest subject, in bytes.
const MAX_SUBJECT: usize = 1 << 10;

/// A memory that passed the checks.
pub(super) struct Prepared {
    text: String,
    hash: [u8; 32],
    subject: Option<String>,
    source: &'static str,
}

impl Prepared {
    pub(super) fn new(memory: NewMemory) -> Result<Self, MemoryError> {
        let invalid = |field, why| Err(MemoryError::Invalid { field, why });
        if memory.text.trim().is_empty() {
            return invalid("text", "says nothing");
        }
        if memory.text.len() > MAX_TEXT {
            return invalid("text", "is longer than 64 KiB");
        }
        let subject = memory.subject.as_deref().map(normal_subject).filter(|subject| !subject.is_empty());
        if subject.as_ref().is_some_and(|subject| subject.len() > MAX_SUBJECT) {
            return invalid("subject", "is longer than 1 KiB");
        }
        let mut hash = Sha256::new();
        for word in memory.text.split_whitespace() {
            hash.update(word.as_bytes());
            hash.update(b" ");
        }
        Ok(Self { text: memory.text, hash: hash.finalize().into(), subject, source: memory.source.as_str() })
    }
}

/// The subject as compared: lower case, single spaces.
pub(super) fn normal_subject(subject: &str) -> String {
    let lower = subject.to_lowercase();
    lower.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Keeps `new` and says what happened.
pub(super) fn keep(
    tx: &Transaction<'_>,
    new: &Prepared,
    session: Option<&str>,
    principal: Option<&str>,
) -> Result<Remembered, StoreError> {
    let now = now_millis();
    if let Some(id) = duplicate(tx, new)? {
        // The same text may come again with a subject that was not seen before: then it speaks for that subject.
        let old = supersede(tx, new, &id, now)?;
        if let Some(subject) = &new.subject {
            tx.prepare_cached("UPDATE memories SET subject = ?2 WHERE id = ?1 AND subject IS NOT ?2")?
                .execute(params![id, subject])?;
        }
        let outcome = if old.is_empty() { Outcome::Duplicate } else { Outcome::Superseded(old) };
        return Ok(Remembered { id, outcome });
    }
    let id: String = tx
        .prepare_cached(
            "INSERT INTO memories (id, text, text_hash, subject, source, session_id, principal, created_at, valid_from)
             VALUES ('mem_' || lower(hex(randomblob(16))), ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7) RETURNING id",
        )?
        .query_row(params![new.text, new.hash, new.subject, new.source, session, principal, now], |row| row.get(0))?;
    let old = supersede(tx, new, &id, now)?;
    let outcome = if old.is_empty() { Outcome::New } else { Outcome::Superseded(old) };
    Ok(Remembered { id, outcome })
}

fn duplicate(tx: &Transaction<'_>, new: &Prepared) -> Result<Option<String>, StoreError> {
    Ok(tx
        .prepare_cached("SELECT id FROM memories WHERE text_hash = ?1 AND superseded_at IS NULL")?
        .query_row([new.hash], |row| row.get(0))
        .optional()?)
}

/// Takes all other live memories on the subject of `new` out of search; `id` is the one that stays.
fn supersede(tx: &Transaction<'_>, new: &Prepared, id: &str, now: i64) -> Result<Vec<String>, StoreError> {
    let Some(subject) = &new.subject else { return Ok(Vec::new()) };
    let mut statement = tx.prepare_cached(
        "UPDATE memories SET superseded_by = ?2, superseded_at = ?3
         WHERE subject = ?1 AND superseded_at IS NULL AND id <> ?2 RETURNING id",
    )?;
    let old = statement.query_map(params![subject, id, now], |row| row.get(0))?;
    Ok(old.collect::<Result<_, _>>()?)
}
