//! The session-learning cache: what was tried in this session and how it went.
//!
//! It is modelled as one row per action of a session, the last outcome counting, each with an end of life; a
//! session has a bounded number of them. The supervisor reads it before it farms work out and tools note in it;
//! another session, and another principal in one of the same name, never sees it, because both are part of every
//! statement and come from the context.

use std::future::Future;
use std::time::Duration;

use haversack::well_known::{Principal, SessionId};
use haversack_store::sqlite::{Error, FromSqlError, Row, params};
use haversack_store::{TenantDb, now_millis, sessions};
use serde::{Deserialize, Serialize};

use crate::{MemoryError, MemoryOptions};

/// The longest action, in bytes.
const MAX_ACTION: usize = 1 << 10;
/// The longest detail, in bytes.
const MAX_DETAIL: usize = 4 << 10;

/// How an attempt went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It helped.
    Worked,
    /// It did not help; it must not be suggested again in this session.
    Failed,
    /// Nobody said yet.
    Unknown,
}

impl Outcome {
    /// The word for it, as stored and as shown to a model.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Worked => "worked",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
        }
    }

    fn parse(word: &str) -> Option<Self> {
        [Self::Worked, Self::Failed, Self::Unknown].into_iter().find(|outcome| outcome.as_str() == word)
    }
}

/// An attempt to be noted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewAttempt {
    /// What was tried, in a few words; at most 1 KiB.
    pub action: String,
    /// How it went.
    pub outcome: Outcome,
    /// What else is worth knowing; at most 4 KiB.
    pub detail: Option<String>,
}

/// A noted attempt. Times are milliseconds since the Unix epoch, UTC.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// Its id.
    pub id: String,
    /// What was tried.
    pub action: String,
    /// How it went.
    pub outcome: Outcome,
    /// What else was said.
    pub detail: Option<String>,
    /// When it was noted.
    pub created_at: i64,
    /// When it goes.
    pub expires_at: i64,
}

/// The cache of one session, for the entry under which it was made.
#[derive(Clone, Debug)]
pub struct SessionCache {
    db: TenantDb,
    session: SessionId,
    principal: Principal,
    ttl: Duration,
    max: usize,
}

impl SessionCache {
    pub(crate) fn new(
        db: TenantDb,
        session: SessionId,
        principal: Principal,
        options: &MemoryOptions,
    ) -> Self {
        Self { db, session, principal, ttl: options.attempt_ttl, max: options.max_attempts.max(1) }
    }

    /// Notes an attempt. One that differs only in case, spacing or final punctuation from an earlier one replaces
    /// it; beyond the size bound the oldest go, and so do expired ones.
    ///
    /// # Errors
    /// At the call: [`MemoryError::Foreign`], [`MemoryError::Invalid`]. Later: [`MemoryError::SessionOver`],
    /// [`MemoryError::Store`].
    ///
    /// # Cancellation
    /// A dropped future leaves the attempt noted or not noted, never half.
    #[track_caller]
    pub fn note(
        &self,
        attempt: NewAttempt,
    ) -> impl Future<Output = Result<Attempt, MemoryError>> + Send + 'static + use<> {
        let checked = self.db.scope().check("note an attempt").map_err(MemoryError::from);
        let checked = checked.and_then(|()| valid(&attempt));
        let norm = normal(&attempt.action);
        let (session, principal) = (self.session.clone(), self.principal.clone());
        let max = i64::try_from(self.max).unwrap_or(i64::MAX);
        let ttl = i64::try_from(self.ttl.as_millis()).unwrap_or(i64::MAX);
        let noted = checked.map(|()| {
            self.db.write("note an attempt", move |tx| {
                if sessions::is_over(tx, session.as_str(), principal.as_str())? {
                    return Ok(None);
                }
                let now = now_millis();
                let expires_at = now.saturating_add(ttl);
                let id = tx
                    .prepare_cached(
                        "INSERT OR REPLACE INTO attempts
                             (id, session_id, principal, action, action_norm, outcome, detail, created_at, expires_at)
                         VALUES ('att_' || lower(hex(randomblob(16))), ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
                         RETURNING id",
                    )?
                    .query_row(
                        params![
                            session.as_str(),
                            principal.as_str(),
                            attempt.action,
                            norm,
                            attempt.outcome.as_str(),
                            attempt.detail,
                            now,
                            expires_at
                        ],
                        |row| row.get(0),
                    )?;
                tx.prepare_cached("DELETE FROM attempts WHERE expires_at <= ?1")?.execute([now])?;
                tx.prepare_cached(
                    "DELETE FROM attempts WHERE rowid IN (
                         SELECT rowid FROM attempts WHERE session_id = ?1 AND principal = ?2
                         ORDER BY rowid DESC LIMIT -1 OFFSET ?3)",
                )?
                .execute(params![session.as_str(), principal.as_str(), max])?;
                let NewAttempt { action, outcome, detail } = attempt;
                Ok(Some(Attempt { id, action, outcome, detail, created_at: now, expires_at }))
            })
        });
        async move { noted?.await?.ok_or(MemoryError::SessionOver) }
    }

    /// What was tried in this session and is not expired, oldest first. A closed session has none.
    ///
    /// # Errors
    /// At the call: [`MemoryError::Foreign`]. Later: [`MemoryError::Store`].
    #[track_caller]
    pub fn attempts(
        &self,
    ) -> impl Future<Output = Result<Vec<Attempt>, MemoryError>> + Send + 'static + use<> {
        let (session, principal) = (self.session.clone(), self.principal.clone());
        let read = self.db.read("read the attempts of a session", move |conn| {
            let mut statement = conn.prepare_cached(
                "SELECT id, action, outcome, detail, created_at, expires_at FROM attempts
                 WHERE session_id = ?1 AND principal = ?2 AND expires_at > ?3
                   AND NOT EXISTS (SELECT 1 FROM sessions s WHERE s.session_id = ?1 AND s.closed_at IS NOT NULL)
                 ORDER BY rowid",
            )?;
            let of = params![session.as_str(), principal.as_str(), now_millis()];
            let rows = statement.query_map(of, attempt_of_row)?;
            Ok(rows.collect::<Result<Vec<_>, _>>()?)
        });
        async move { Ok(read.await?) }
    }

    /// Forgets what was tried in this session and says how many attempts that were. Afterwards the text is in no
    /// raw file of the store.
    ///
    /// # Errors
    /// At the call: [`MemoryError::Foreign`]. Later: [`MemoryError::Store`].
    ///
    /// # Cancellation
    /// Once started it runs to its end.
    #[track_caller]
    pub fn forget(&self) -> impl Future<Output = Result<usize, MemoryError>> + Send + 'static + use<> {
        let (session, principal) = (self.session.clone(), self.principal.clone());
        let erased = self.db.erase("forget the attempts of a session", move |tx| {
            let sql = "DELETE FROM attempts WHERE session_id = ?1 AND principal = ?2";
            Ok(tx.execute(sql, [session.as_str(), principal.as_str()])?)
        });
        async move { Ok(erased.await?) }
    }
}

fn valid(attempt: &NewAttempt) -> Result<(), MemoryError> {
    let invalid = |field, why| Err(MemoryError::Invalid { field, why });
    if normal(&attempt.action).is_empty() {
        return invalid("action", "says nothing");
    }
    if attempt.action.len() > MAX_ACTION {
        return invalid("action", "is longer than 1 KiB");
    }
    if attempt.detail.as_ref().is_some_and(|detail| detail.len() > MAX_DETAIL) {
        return invalid("detail", "is longer than 4 KiB");
    }
    Ok(())
}

/// The action as compared: lower case, single spaces, no punctuation at the end.
fn normal(action: &str) -> String {
    let lower = action.to_lowercase();
    let words: Vec<_> = lower.split_whitespace().collect();
    words.join(" ").trim_end_matches(['.', '!', '?', ',', ';', ':']).trim_end().to_owned()
}

fn attempt_of_row(row: &Row<'_>) -> Result<Attempt, Error> {
    let outcome: String = row.get(2)?;
    Ok(Attempt {
        id: row.get(0)?,
        action: row.get(1)?,
        outcome: Outcome::parse(&outcome).ok_or_else(|| Error::from(FromSqlError::InvalidType))?,
        detail: row.get(3)?,
        created_at: row.get(4)?,
        expires_at: row.get(5)?,
    })
}
