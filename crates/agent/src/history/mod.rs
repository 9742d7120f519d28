//! The history of turns: append-only, owned by principals, read back only by their owners.
//!
//! [`History`] reads, closes and deletes for the tenant and the principal of the context, and adds what is no
//! turn: notices and summaries. The members of a shared conversation read it too, and change nothing. [`TenantHistory`]
//! reads the sessions of a whole tenant, where a door allows it. The crate's own book writes turns. A session of another principal looks like one
//! that is not there, except that its name cannot be used for a turn. The server and the command line hold
//! histories.

mod added;
mod begin;
mod book;
mod close;
mod commit;
mod delete;
mod notice;
mod oversight;
mod past;
mod summary;
mod view;

use haversack::well_known::{PRINCIPAL, Principal, SessionId};
use haversack_store::sqlite::Transaction;
use haversack_store::{Store, StoreError, TenantDb};

pub(crate) use begin::Begun;
pub(crate) use book::{Book, Ended};
pub use close::Learnt;
pub use delete::Receipt;
pub use notice::{Notice, Noticed};
pub use oversight::{Owned, SPEAKER, TENANT_WIDE, TenantHistory, TenantWide};
pub(crate) use past::{Aside, Past};
pub use summary::Summary;
pub use view::{MessageView, SessionSummary, SessionView, TurnStatus, TurnView};

use crate::turn::TurnId;

/// The sessions and turns of one principal of one tenant. Cheap to clone; it keeps the entry it was made
/// under.
#[derive(Clone, Debug)]
pub struct History {
    db: TenantDb,
    principal: Principal,
}

impl History {
    /// The history of the context's principal. Reads nothing yet.
    ///
    /// # Errors
    /// [`StoreError::Unbound`] when tenant or principal are not bound.
    #[track_caller]
    pub fn open(store: &Store) -> Result<Self, StoreError> {
        Ok(Self { db: store.tenant()?, principal: PRINCIPAL.get()? })
    }

    /// The newest sessions first, at most `limit`: the principal's own, and shared ones in which it spoke. With `before`,
    /// those that come after that session in this order.
    ///
    /// # Errors
    /// [`StoreError::Foreign`] at the call under another entry; else what the store says.
    #[track_caller]
    pub fn sessions(
        &self,
        limit: usize,
        before: Option<SessionId>,
    ) -> impl Future<Output = Result<Vec<SessionSummary>, StoreError>> + Send + 'static + use<> {
        let owner = self.principal.clone();
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.db.read("list sessions", move |db| view::sessions(db, &owner, limit, before.as_ref()))
    }

    /// The owners of the shared conversations in which the principal spoke, such as `group:...`.
    ///
    /// # Errors
    /// As [`History::sessions`].
    #[track_caller]
    pub fn shared_with(
        &self,
    ) -> impl Future<Output = Result<Vec<Principal>, StoreError>> + Send + 'static + use<> {
        let member = self.principal.clone();
        self.db.read("list shared conversations", move |db| oversight::shared_with(db, &member))
    }

    /// A session with its turns, oldest first; `None` when the principal has none of this name and spoke in none.
    ///
    /// # Errors
    /// As [`History::sessions`].
    #[track_caller]
    pub fn session(
        &self,
        id: &SessionId,
    ) -> impl Future<Output = Result<Option<SessionView>, StoreError>> + Send + 'static + use<> {
        let (owner, id) = (self.principal.clone(), id.clone());
        self.db.read("read a session", move |db| view::session(db, &owner, &id))
    }

    /// A turn with its messages; `None` when the principal has none of this id. A notice is no turn.
    ///
    /// # Errors
    /// As [`History::sessions`].
    #[track_caller]
    pub fn turn(
        &self,
        id: TurnId,
    ) -> impl Future<Output = Result<Option<TurnView>, StoreError>> + Send + 'static + use<> {
        let owner = self.principal.clone();
        self.db.read("read a turn", move |db| view::turn(db, &owner, id))
    }

    /// Adds a message to a session that is no turn's reply: what a background tool gave. It is part of the
    /// session's view, and the next turn reads it. `None` when the principal has no session of this name.
    ///
    /// # Errors
    /// As [`History::sessions`].
    ///
    /// # Cancellation
    /// A dropped future leaves the notice written or not written, never half.
    #[track_caller]
    pub fn notice(
        &self,
        id: &SessionId,
        notice: Notice,
    ) -> impl Future<Output = Result<Option<Noticed>, StoreError>> + Send + 'static + use<> {
        let (owner, id) = (self.principal.clone(), id.clone());
        self.db.write("add a notice", move |tx| notice::write(tx, &owner, &id, &notice))
    }

    /// Closes a session and says when that was, in milliseconds since the Unix epoch; closing it again changes
    /// nothing. Its history stays, what was tried in it is over, and a new message opens it again. `None` when
    /// the principal has no session of this name.
    ///
    /// # Errors
    /// As [`History::sessions`].
    #[track_caller]
    pub fn close(
        &self,
        id: &SessionId,
    ) -> impl Future<Output = Result<Option<i64>, StoreError>> + Send + 'static + use<> {
        let (owner, id) = (self.principal.clone(), id.clone());
        self.db.write("close a session", move |tx| close::close(tx, &owner, &id))
    }

    /// As [`History::close`], with `also` in the same transaction, when there was something to close: either both
    /// happen or neither does.
    ///
    /// # Errors
    /// As [`History::sessions`], and what `also` says; nothing is changed then.
    #[track_caller]
    pub fn close_and<T, F>(
        &self,
        id: &SessionId,
        also: F,
    ) -> impl Future<Output = Result<Option<(i64, T)>, StoreError>> + Send + 'static + use<T, F>
    where
        T: Send + 'static,
        F: FnOnce(&Transaction<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        let (owner, id) = (self.principal.clone(), id.clone());
        self.db.write("close a session", move |tx| match close::close(tx, &owner, &id)? {
            Some(at) => Ok(Some((at, also(tx)?))),
            None => Ok(None),
        })
    }

    /// Whether the principal has a session of this name.
    ///
    /// # Errors
    /// As [`History::sessions`].
    #[track_caller]
    pub fn has(
        &self,
        id: &SessionId,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send + 'static + use<> {
        let (owner, id) = (self.principal.clone(), id.clone());
        self.db.read("find a session", move |db| delete::owns(db, &owner, &id))
    }

    /// Whether the principal may no longer work in a session of this name, because it was deleted or has become another
    /// principal's; see [`haversack_store::sessions::is_over`].
    ///
    /// # Errors
    /// As [`History::sessions`].
    #[track_caller]
    pub fn is_over(
        &self,
        id: &SessionId,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send + 'static + use<> {
        let (owner, id) = (self.principal.clone(), id.clone());
        self.db.read("ask after a session", move |db| {
            haversack_store::sessions::is_over(db, id.as_str(), owner.as_str())
        })
    }

    /// How many turns a session has that no summary stands for; 0 when the principal has none of this name.
    ///
    /// # Errors
    /// As [`History::sessions`].
    #[track_caller]
    pub fn unsummarised(
        &self,
        id: &SessionId,
    ) -> impl Future<Output = Result<u64, StoreError>> + Send + 'static + use<> {
        let (owner, id) = (self.principal.clone(), id.clone());
        self.db.read("count the turns of a session", move |db| summary::unsummarised(db, &owner, &id))
    }

    /// What helped in a session; see [`crate::Agents::learnt`].
    #[track_caller]
    pub(crate) fn learnt(
        &self,
        id: &SessionId,
    ) -> impl Future<Output = Result<Vec<Learnt>, StoreError>> + Send + 'static + use<> {
        let (owner, id) = (self.principal.clone(), id.clone());
        self.db.read("read what a session learnt", move |db| close::learnt(db, &owner, &id))
    }

    /// Makes and stores a summary; see [`crate::Agents::summarise`].
    #[track_caller]
    pub(crate) fn summarise(
        &self,
        id: &SessionId,
    ) -> impl Future<Output = Result<Option<Summary>, StoreError>> + Send + 'static + use<> {
        let (owner, id) = (self.principal.clone(), id.clone());
        self.db.write("summarise a session", move |tx| summary::summarise(tx, &owner, &id))
    }

    /// Deletes a session with everything that was learnt in it: turns, messages, attempts, and the facts that
    /// its principal told in it. Afterwards the text is in no raw file of the tenant. One in
    /// which nothing was said, such as those of MCP, may have no turns and is deleted all the same. `None` when the principal
    /// has left nothing under this name; nothing is changed then.
    ///
    /// # Errors
    /// As [`History::sessions`].
    ///
    /// # Cancellation
    /// A deletion that has begun is carried out whole.
    #[track_caller]
    pub fn delete(
        &self,
        id: &SessionId,
    ) -> impl Future<Output = Result<Option<Receipt>, StoreError>> + Send + 'static + use<> {
        let (owner, id) = (self.principal.clone(), id.clone());
        let (asker, asked) = (owner.clone(), id.clone());
        // Erasing holds the whole file up, so a name that is not the caller's is not worth it.
        let left = self.db.read("find a session", move |db| delete::left(db, &asker, &asked));
        let erased =
            self.db.erase("delete a session", move |tx: &Transaction<'_>| delete::session(tx, &owner, &id));
        async move { if left.await? { erased.await } else { Ok(None) } }
    }
}
