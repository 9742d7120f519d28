//! The sessions of a whole tenant, for those who look after it.
//!
//! [`TenantHistory`] opens only where a door bound [`TENANT_WIDE`], after it had checked a role and written the audit row.
//! The variable does not travel: a job, a turn or a delivery that is started there has the rights of its principal.

use haversack::well_known::{Principal, SessionId};
use haversack::{AtDoor, ContextVar};
use haversack_store::sqlite::{Connection, OptionalExtension, params};
use haversack_store::{Store, StoreError, TenantDb};
use serde::{Deserialize, Serialize};

use super::view::{self, SessionSummary, SessionView};

/// The person who speaks, where the conversation belongs to itself and not to that person, as in a group. A turn that
/// begins under it makes the person a member of its session: members list and read it.
pub static SPEAKER: ContextVar<Principal, AtDoor> = ContextVar::new("speaker").portable(1).shown().at_door();

/// The right to see what all principals of the tenant have. Only doors for tenant admins and operators bind it; it is not
/// portable, so that no work that outlives the request has it.
pub static TENANT_WIDE: ContextVar<TenantWide, AtDoor> = ContextVar::new("tenant-wide").at_door();

/// The value of [`TENANT_WIDE`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TenantWide {}

impl TenantWide {
    /// The right, to be bound at a door that has checked it.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

/// A session or its summary, with its owner.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Owned<T> {
    /// The principal that owns it: a person, `group:...` or `cron:...`.
    pub owner: String,
    /// The session itself.
    #[serde(flatten)]
    pub inner: T,
}

/// The sessions of all principals of one tenant, to be read. Cheap to clone; it keeps the entry it was made under.
#[derive(Clone, Debug)]
pub struct TenantHistory {
    db: TenantDb,
}

impl TenantHistory {
    /// The history of the context's tenant. Reads nothing yet.
    ///
    /// # Errors
    /// [`StoreError::Unbound`] where [`TENANT_WIDE`] or the tenant is not bound.
    #[track_caller]
    pub fn open(store: &Store) -> Result<Self, StoreError> {
        TENANT_WIDE.get()?;
        Ok(Self { db: store.tenant()? })
    }

    /// The newest sessions first, at most `limit`. With `before`, those that come after that session in this order.
    ///
    /// # Errors
    /// [`StoreError::Foreign`] at the call under another entry; else what the store says.
    #[track_caller]
    pub fn sessions(
        &self,
        limit: usize,
        before: Option<SessionId>,
    ) -> impl Future<Output = Result<Vec<Owned<SessionSummary>>, StoreError>> + Send + 'static + use<> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.db.read("list the sessions of a tenant", move |db| {
            let found = view::all_sessions(db, limit, before.as_ref())?;
            found
                .into_iter()
                .map(|inner| {
                    let owner = owner(db, &inner.session)?.unwrap_or_default();
                    Ok(Owned { owner, inner })
                })
                .collect()
        })
    }

    /// A session with its turns, oldest first; `None` when the tenant has none of this name.
    ///
    /// # Errors
    /// As [`TenantHistory::sessions`].
    #[track_caller]
    pub fn session(
        &self,
        id: &SessionId,
    ) -> impl Future<Output = Result<Option<Owned<SessionView>>, StoreError>> + Send + 'static + use<> {
        let id = id.clone();
        self.db.read("read a session of a tenant", move |db| {
            let Some(owner) = owner(db, id.as_str())? else { return Ok(None) };
            Ok(view::any_session(db, &id)?.map(|inner| Owned { owner, inner }))
        })
    }

    /// Returns the owner of a session, or `None` if the tenant has no session of this name.
    ///
    /// # Errors
    /// As [`TenantHistory::sessions`].
    #[track_caller]
    pub fn owner(
        &self,
        id: &SessionId,
    ) -> impl Future<Output = Result<Option<String>, StoreError>> + Send + 'static + use<> {
        let id = id.clone();
        self.db.read("find the owner of a session", move |db| owner(db, id.as_str()))
    }
}

fn owner(db: &Connection, session: &str) -> Result<Option<String>, StoreError> {
    let sql = "SELECT principal FROM sessions WHERE session_id = ?1";
    Ok(db.prepare_cached(sql)?.query_row([session], |row| row.get(0)).optional()?)
}

/// Conversations of which the answer names owners at most.
const MOST: i64 = 1_000;

/// The owners of the sessions in which this principal spoke without owning them.
pub(super) fn shared_with(db: &Connection, member: &Principal) -> Result<Vec<Principal>, StoreError> {
    let sql =
        "SELECT DISTINCT s.principal FROM session_members m JOIN sessions s ON s.session_id = m.session_id
               WHERE m.principal = ?1 ORDER BY m.since DESC LIMIT ?2";
    let mut statement = db.prepare_cached(sql)?;
    let rows = statement.query_map(params![member.as_str(), MOST], |row| row.get::<_, String>(0))?;
    let owners = rows.collect::<Result<Vec<_>, _>>()?;
    // A stored owner was a principal once.
    Ok(owners.into_iter().filter_map(|owner| Principal::new(owner).ok()).collect())
}
