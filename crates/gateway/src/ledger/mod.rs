//! The delivery ledger: what is to be said, until it was.
//!
//! A delivery is a row of the control file: pending, attempting, then delivered, failed or abandoned. Its words and its
//! route are sealed in the row, and not kept in the tenant's own file: the engine serves all tenants and must see what is
//! due without opening each file, and reply and state then change in one transaction. "Attempting" is committed before
//! anything is sent, so a crash in between is known, and leads to one repetition that says what it is. Code behind a door
//! submits; the program runs the engine, in which tenants take turns and none has more than half of the places.

mod deliver;
mod rows;

use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use haversack::well_known::{PRINCIPAL, Principal, TenantId};
use haversack_agent::history::TENANT_WIDE;
use haversack_store::sqlite::Transaction;
use haversack_store::{KeyFile, Store, StoreError, now_millis};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

pub(crate) use rows::NewDelivery;
pub use rows::{Delivery, DeliveryState};

use crate::deferred::{Captured, Sealer};
use crate::hooks::Hooks;
use crate::platform::Platforms;
use crate::session::REPLY_ROUTE;
use crate::turn::hex;
use crate::{GatewayError, ReplyRoute};

/// What a repetition begins with.
pub const AGAIN: &str = "[sent again: the first attempt was interrupted] ";

/// How the ledger delivers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerOptions {
    /// Deliveries at the same time. One tenant has at most half of them, so that hosts that do not answer hold up nobody else.
    pub parallel: usize,
    /// The time that one part may take. A lease lasts twice as long.
    pub part_timeout: Duration,
    /// The wait after the first failure; it doubles with each.
    pub first_wait: Duration,
    /// The longest wait.
    pub longest_wait: Duration,
    /// How often a delivery is tried.
    pub attempts: u32,
    /// Failures in a row after which a place counts as dead and is only probed.
    pub dead_after: u32,
    /// How old a delivery becomes before it is abandoned.
    pub oldest: Duration,
    /// How long an ended row is kept.
    pub keep: Duration,
}

impl Default for LedgerOptions {
    /// 16 at a time, 15 seconds a part, waits from 2 seconds to 10 minutes, 12 attempts, dead after 5, a day, a week.
    fn default() -> Self {
        Self {
            parallel: 16,
            part_timeout: Duration::from_secs(15),
            first_wait: Duration::from_secs(2),
            longest_wait: Duration::from_secs(600),
            attempts: 12,
            dead_after: 5,
            oldest: Duration::from_secs(24 * 3600),
            keep: Duration::from_secs(7 * 24 * 3600),
        }
    }
}

/// Something to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Say {
    /// Names it, so that it is said once however often it is submitted; a random name without.
    pub id: Option<String>,
    /// The words.
    pub text: String,
    /// Where; without, where the current context's answer goes.
    pub to: Option<ReplyRoute>,
}

/// What is sealed in a row.
#[derive(Serialize, Deserialize)]
struct Parcel {
    text: String,
    to: ReplyRoute,
}

/// The ledger of an installation. Cheap to clone.
#[derive(Clone)]
pub struct Ledger {
    store: Store,
    sealer: Sealer,
    platforms: Platforms,
    options: Arc<LedgerOptions>,
    hooks: Hooks,
    wake: Arc<Notify>,
    /// The tenant that was served last: the next ones come first.
    served: Arc<Mutex<String>>,
    #[cfg(feature = "mutants")]
    last: Arc<Mutex<Option<ReplyRoute>>>,
}

impl Ledger {
    pub(crate) fn new(
        store: Store,
        keys: KeyFile,
        platforms: Platforms,
        options: LedgerOptions,
        hooks: Hooks,
    ) -> Self {
        Self {
            store,
            sealer: Sealer::new(keys, "gateway.deliveries"),
            platforms,
            options: Arc::new(options),
            hooks,
            wake: Arc::new(Notify::new()),
            served: Arc::default(),
            #[cfg(feature = "mutants")]
            last: Arc::default(),
        }
    }

    /// Queues something to say. The context is captured at the call; when the future resolves, the delivery is committed and
    /// survives a crash. The id is given back.
    ///
    /// # Errors
    /// [`GatewayError::Unbound`] outside a door that knows where answers go; the store's errors.
    ///
    /// # Cancellation
    /// A write that has started is committed or rolled back whole.
    #[track_caller]
    pub fn submit(
        &self,
        say: Say,
    ) -> impl Future<Output = Result<String, GatewayError>> + Send + 'static + use<> {
        let prepared = self.prepare(say).and_then(|new| {
            let id = new.id.clone();
            let rows = self.store.rows()?;
            Ok((id, rows.write("queue a delivery", move |tx, scope| new.insert(tx, scope.tenant()))))
        });
        let wake = self.wake.clone();
        async move {
            let (id, written) = prepared?;
            written.await?;
            wake.notify_one();
            Ok(id)
        }
    }

    /// The last deliveries of the current tenant and principal, newest first. Their words are not part of it.
    ///
    /// # Errors
    /// [`GatewayError::Unbound`] outside a door; the store's errors.
    #[track_caller]
    pub fn list(
        &self,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<Delivery>, GatewayError>> + Send + 'static + use<> {
        self.list_with(Vec::new(), limit)
    }

    /// As [`list`](Self::list), with those of `shared`: the owners of conversations that the principal is a member of, as
    /// [`haversack_agent::history::History::shared_with`] names them.
    ///
    /// # Errors
    /// As [`list`](Self::list).
    #[track_caller]
    pub fn list_with(
        &self,
        mut shared: Vec<Principal>,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<Delivery>, GatewayError>> + Send + 'static + use<> {
        let asked = PRINCIPAL.get().map_err(GatewayError::from).and_then(|principal| {
            shared.push(principal);
            self.listed(Some(shared), limit)
        });
        async move { Ok(asked?.await?) }
    }

    /// The last deliveries of everybody in the current tenant, newest first. Their words are not part of it.
    ///
    /// # Errors
    /// [`GatewayError::Unbound`] where [`haversack_agent::history::TENANT_WIDE`] is not bound; the store's errors.
    #[track_caller]
    pub fn list_all(
        &self,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<Delivery>, GatewayError>> + Send + 'static + use<> {
        let allowed = TENANT_WIDE.get().map_err(GatewayError::from);
        let asked = allowed.and_then(|_| self.listed(None, limit));
        async move { Ok(asked?.await?) }
    }

    #[track_caller]
    fn listed(
        &self,
        principals: Option<Vec<Principal>>,
        limit: usize,
    ) -> Result<impl Future<Output = Result<Vec<Delivery>, StoreError>> + Send + 'static + use<>, GatewayError>
    {
        let rows = self.store.rows()?;
        Ok(rows.read("list deliveries", move |conn, scope| {
            rows::list(conn, scope.tenant().as_str(), principals.as_deref(), limit)
        }))
    }

    /// Somebody is there again: what waits for this place is due now.
    pub(crate) async fn revive(&self, tenant: &TenantId, route: &ReplyRoute) -> Result<(), GatewayError> {
        let target = route.fingerprint(tenant);
        let engine = self.store.control().engine();
        if engine.read("look for what waits", move |conn| rows::waits(conn, &target)).await? {
            engine.write("revive a place", move |tx| rows::revive(tx, &target)).await?;
            self.wake.notify_one();
        }
        Ok(())
    }

    /// A row for the current context, for a transaction that changes something else too. [`Ledger::wake`] after its commit.
    #[track_caller]
    pub(crate) fn prepare(&self, say: Say) -> Result<NewDelivery, GatewayError> {
        let Captured { snapshot, tenant, principal } = Captured::here()?;
        let Say { id, text, to } = say;
        let to = match to {
            Some(to) => to,
            None => self.answer_route()?,
        };
        let id = match id {
            Some(id) => id,
            None => random_id()?,
        };
        let target = to.fingerprint(&tenant);
        let sealed = self.sealer.seal(&snapshot, tenant.as_str(), &id, &Parcel { text, to })?;
        Ok(NewDelivery { id, principal: principal.as_str().to_owned(), target, sealed, at: now_millis() })
    }

    /// There may be something due.
    pub(crate) fn wake(&self) {
        self.wake.notify_one();
    }

    /// Takes back what was not attempted yet. False when it is too late.
    pub(crate) fn withdraw(tx: &Transaction<'_>, tenant: &str, id: &str) -> Result<bool, StoreError> {
        rows::withdraw(tx, tenant, id)
    }

    /// Where the current context's answer goes: the route that was captured when its message arrived.
    #[track_caller]
    fn answer_route(&self) -> Result<ReplyRoute, GatewayError> {
        #[cfg(feature = "mutants")]
        if haversack::mutants::active(haversack::mutants::Mutant::ReplyRoute) {
            let last = self.last.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
            if let Some(last) = last {
                return Ok(last);
            }
        }
        Ok(REPLY_ROUTE.get()?)
    }

    /// Only a planted fault remembers where the last message came from.
    pub(crate) fn note_arrival(&self, route: &ReplyRoute) {
        #[cfg(feature = "mutants")]
        {
            *self.last.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(route.clone());
        }
        #[cfg(not(feature = "mutants"))]
        let _ = route;
    }
}

impl fmt::Debug for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ledger").field("platforms", &self.platforms).finish_non_exhaustive()
    }
}

/// 128 random bits.
pub(crate) fn random_id() -> Result<String, GatewayError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|source| GatewayError::Io {
        what: "draw an id",
        source: std::io::Error::other(source.to_string()),
    })?;
    Ok(hex(&bytes))
}
