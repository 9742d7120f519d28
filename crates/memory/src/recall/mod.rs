//! Recall: what a tenant's agents keep and find again.
//!
//! A memory is a text with provenance; the text is the truth and the word index is derived from it. A newer memory
//! on the same subject supersedes the older, which stays readable and is no longer found; equal texts are kept
//! once. Tools and the supervisor use it through a [`Recall`] made in the current context.

mod model;
mod query;
mod rank;
mod remember;
mod search;

use std::future::Future;

use haversack::well_known::{PRINCIPAL, SESSION_ID};
use haversack_store::sqlite::OptionalExtension;
use haversack_store::{TenantDb, sessions};

pub use model::{Hit, Mode, NewMemory, Outcome, Query, Recalled, Remembered, Source, StoredMemory};

use crate::{MemoryError, MemoryOptions};

/// The recall store of one tenant, for the entry under which it was made.
///
/// What was remembered is found by the next search, also in the same session: a future that resolved has committed.
#[derive(Clone, Debug)]
pub struct Recall {
    db: TenantDb,
    max_hits: usize,
}

impl Recall {
    pub(crate) fn new(db: TenantDb, options: &MemoryOptions) -> Self {
        Self { db, max_hits: options.max_hits }
    }

    /// Keeps a text. Session and principal are taken from the context as provenance, where they are bound.
    ///
    /// An equal live text (up to spacing) is not kept twice. With a subject, live memories on the same subject (up
    /// to case and spacing) are superseded.
    ///
    /// # Errors
    /// At the call: [`MemoryError::Foreign`], [`MemoryError::Invalid`]. Later: [`MemoryError::SessionOver`],
    /// [`MemoryError::Store`].
    ///
    /// # Cancellation
    /// A dropped future leaves the memory kept or not kept, never half.
    #[track_caller]
    pub fn remember(
        &self,
        memory: NewMemory,
    ) -> impl Future<Output = Result<Remembered, MemoryError>> + Send + 'static + use<> {
        let checked = self.db.scope().check("remember").map_err(MemoryError::from);
        let prepared = checked.and_then(|()| remember::Prepared::new(memory));
        // Provenance is a note, not a filter: its absence widens nothing.
        let session = SESSION_ID.bound();
        let principal = PRINCIPAL.bound();
        let kept = prepared.map(|prepared| {
            self.db.write("remember", move |tx| {
                let session = session.as_ref().map(haversack::well_known::SessionId::as_str);
                let principal = principal.as_ref().map(haversack::well_known::Principal::as_str);
                if let (Some(session), Some(principal)) = (session, principal)
                    && sessions::is_over(tx, session, principal)?
                {
                    return Ok(None);
                }
                remember::keep(tx, &prepared, session, principal).map(Some)
            })
        });
        async move { kept?.await?.ok_or(MemoryError::SessionOver) }
    }

    /// Finds memories that share words with the question, best first, newest first among equals.
    ///
    /// Any text is a safe question: it is split into words, and no character of it has a meaning to the index.
    ///
    /// # Errors
    /// At the call: [`MemoryError::Foreign`]. Later: [`MemoryError::Store`].
    #[track_caller]
    pub fn search(
        &self,
        query: Query,
    ) -> impl Future<Output = Result<Recalled, MemoryError>> + Send + 'static + use<> {
        let limit = query.limit.min(self.max_hits);
        let found = self.db.read("search memories", move |conn| search::run(conn, &query.text, limit));
        async move { Ok(found.await?) }
    }

    /// Lists the newest memories, newest first, at most `limit` and the configured number of hits.
    ///
    /// # Errors
    /// At the call: [`MemoryError::Foreign`]. Later: [`MemoryError::Store`].
    #[track_caller]
    pub fn newest(
        &self,
        limit: usize,
    ) -> impl Future<Output = Result<Recalled, MemoryError>> + Send + 'static + use<> {
        let limit = limit.min(self.max_hits);
        let found = self.db.read("list memories", move |conn| search::newest(conn, limit));
        async move { Ok(found.await?) }
    }

    /// The memory with this id, also when it is superseded. An id of another tenant is not found.
    ///
    /// # Errors
    /// At the call: [`MemoryError::Foreign`]. Later: [`MemoryError::Store`].
    #[track_caller]
    pub fn get(
        &self,
        id: &str,
    ) -> impl Future<Output = Result<Option<StoredMemory>, MemoryError>> + Send + 'static + use<> {
        let id = id.to_owned();
        let found = self.db.read("get a memory", move |conn| {
            let mut statement =
                conn.prepare_cached(&format!("SELECT {} FROM memories WHERE id = ?1", model::COLUMNS))?;
            Ok(statement.query_row([id], model::memory_of_row).optional()?)
        });
        async move { Ok(found.await?) }
    }

    /// All memories on a subject, oldest first: the last is what holds now, the others what held before.
    ///
    /// # Errors
    /// At the call: [`MemoryError::Foreign`]. Later: [`MemoryError::Store`].
    #[track_caller]
    pub fn history(
        &self,
        subject: &str,
    ) -> impl Future<Output = Result<Vec<StoredMemory>, MemoryError>> + Send + 'static + use<> {
        let subject = remember::normal_subject(subject);
        let found = self.db.read("read the history of a subject", move |conn| {
            let mut statement = conn.prepare_cached(&format!(
                "SELECT {} FROM memories WHERE subject = ?1 ORDER BY pk",
                model::COLUMNS
            ))?;
            let rows = statement.query_map([subject], model::memory_of_row)?;
            Ok(rows.collect::<Result<Vec<_>, _>>()?)
        });
        async move { Ok(found.await?) }
    }

    /// Forgets a memory; false when there is none with this id. Afterwards its text is in no raw file of the
    /// store, the word index and the write-ahead log included. What it superseded stays superseded.
    ///
    /// # Errors
    /// At the call: [`MemoryError::Foreign`]. Later: [`MemoryError::Store`].
    ///
    /// # Cancellation
    /// Once started it runs to its end.
    #[track_caller]
    pub fn forget(
        &self,
        id: &str,
    ) -> impl Future<Output = Result<bool, MemoryError>> + Send + 'static + use<> {
        let id = id.to_owned();
        let erased = self.db.erase("forget a memory", move |tx| {
            Ok(tx.execute("DELETE FROM memories WHERE id = ?1", [id])? > 0)
        });
        async move { Ok(erased.await?) }
    }
}
