//! Who is calling: API keys. A [`Keyring`] turns an `Authorization` header into a [`Caller`], whose tenant
//! and principal are those of the key and of nothing else in the request. The HTTP boundary authenticates
//! with it; `keys` and the demo set-up administer keys through [`admin`].

pub mod admin;
pub mod key;
pub mod name;
mod roles;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use haversack::well_known::{Principal, TenantId};
use haversack_jobs::{Credential, Permission};
pub use haversack_store::KeyRole;
use haversack_store::{KeyRow, Store, now_millis};
use http::HeaderMap;
use http::header::AUTHORIZATION;

use crate::code::Code;
use crate::problem::Fault;
use key::PresentedKey;

/// How often work that goes on asks for its key.
const LOOK: Duration = Duration::from_millis(500);

/// Who a request comes from, as its key says.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The id of the key, which is public.
    pub key: String,
    /// The tenant of the key.
    pub tenant: TenantId,
    /// The principal of the key.
    pub principal: Principal,
    /// The role of the key in its tenant. It is checked where a request begins and is no part of the context: work that a
    /// request starts has the rights of its principal and no others.
    pub role: KeyRole,
}

/// The key behind an operator's request. It has no tenant, so it opens nothing of a tenant.
#[derive(Debug, Clone)]
pub struct OperatorKey {
    /// The id of the key, which is public.
    pub key: String,
    /// The name that the key was issued for, for the audit.
    pub name: String,
}

/// The keys of this server. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Keyring {
    store: Store,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    known: Mutex<Known>,
    /// Held by whoever reads the list.
    reading: tokio::sync::Mutex<()>,
    /// How many readings have begun.
    begun: AtomicU64,
}

impl Shared {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All keys as of one generation of the control file. There are few, so the whole list is kept: then an
/// unknown id costs exactly what a wrong secret costs, and no stream of made-up ids can push real ones out of
/// a cache.
#[derive(Debug, Default)]
struct Known {
    generation: Option<u64>,
    /// The how manieth reading it comes from.
    reading: u64,
    rows: Arc<HashMap<String, KeyRow>>,
}

impl Keyring {
    /// The keyring of a store's control file.
    pub fn new(store: Store) -> Self {
        Self { store, shared: Arc::default() }
    }

    /// Authenticates a request by its headers.
    ///
    /// # Errors
    /// [`Code::KeyMissing`] without a well-formed key; [`Code::KeyUnknown`] for an unknown id and for a wrong
    /// secret, with the same work and the same words; [`Code::KeyRevoked`] only for who knows the secret;
    /// [`Code::RoleRequired`] for an operator's key, which opens no tenant.
    pub async fn authenticate(&self, headers: &HeaderMap) -> Result<Caller, Fault> {
        let row = self.known(headers).await?;
        if row.role == KeyRole::Operator {
            return Err(roles::refused(KeyRole::Member));
        }
        let tenant = TenantId::new(row.tenant.as_str()).map_err(Fault::internal)?;
        let principal = Principal::new(row.principal.as_str()).map_err(Fault::internal)?;
        Ok(Caller { key: row.id, tenant, principal, role: row.role })
    }

    /// Authenticates a request of an operator by its headers.
    ///
    /// # Errors
    /// As [`authenticate`](Self::authenticate), with [`Code::RoleRequired`] for every other key.
    pub async fn operator(&self, headers: &HeaderMap) -> Result<OperatorKey, Fault> {
        let row = self.known(headers).await?;
        match row.role {
            KeyRole::Operator => Ok(OperatorKey { key: row.id, name: row.principal }),
            KeyRole::Member | KeyRole::TenantAdmin => Err(roles::refused(KeyRole::Operator)),
        }
    }

    /// The live key of a request.
    async fn known(&self, headers: &HeaderMap) -> Result<KeyRow, Fault> {
        let presented = presented(headers)?;
        let rows = self.rows().await?;
        let row = rows.get(presented.id());
        let matches = presented.matches(row.map(|row| &row.secret_hash));
        let Some(row) = row.filter(|_| matches) else {
            return Err(Fault::new(Code::KeyUnknown, "The API key is not valid."));
        };
        if !row.is_live(now_millis()) {
            let detail =
                "The API key was revoked or has expired. Ask whoever runs this server for a new one.";
            return Err(Fault::new(Code::KeyRevoked, detail));
        }
        Ok(row.clone())
    }

    /// Whether the key of a caller who was let in still stands: for what is open for longer than a request. When that cannot
    /// be told it does not.
    pub async fn stands(&self, caller: &Caller) -> bool {
        let rows = self.rows().await;
        rows.is_ok_and(|rows| rows.get(&caller.key).is_some_and(|row| row.is_live(now_millis())))
    }

    /// Returns the permission of work that was requested with a key. A rotated key counts as the key that replaced it.
    /// `None` when the keys cannot be read now.
    pub async fn permission(&self, key: &Credential) -> Option<Permission> {
        let rows = self.rows().await.ok()?;
        let now = now_millis();
        let mut row = rows.get(key.id());
        // No chain is longer than there are keys.
        for _ in 0..=rows.len() {
            match row {
                Some(known) if known.is_live(now) => return Some(Permission::Granted),
                Some(KeyRow { replaced_by: Some(next), .. }) => row = rows.get(next),
                Some(KeyRow { revoked_at: None, .. }) => return Some(Permission::Expired),
                _ => break,
            }
        }
        Some(Permission::Withdrawn)
    }

    /// Waits until work that was asked for with this key is to stop.
    pub async fn withdrawn(&self, key: &Credential) {
        while self.permission(key).await != Some(Permission::Withdrawn) {
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Waits until the key of a caller who was let in does not stand any more.
    pub async fn ended(&self, caller: &Caller) {
        let stands = async || match self.rows().await {
            Ok(rows) => rows.get(&caller.key).is_some_and(|row| row.is_live(now_millis())),
            // Each event asks again.
            Err(_) => true,
        };
        while stands().await {
            tokio::time::sleep(LOOK).await;
        }
    }

    /// The keys now. The generation is asked for at each request, so a revocation holds from the next request
    /// on, also when another process made it.
    async fn rows(&self) -> Result<Arc<HashMap<String, KeyRow>>, Fault> {
        let control = self.store.control();
        let shared = &self.shared;
        {
            let generation = control.generation()?;
            let known = shared.known();
            if known.generation == Some(generation) {
                return Ok(known.rows.clone());
            }
        }
        // One at a time, because everybody asks at the same moment when something has changed: whoever waited takes what was
        // read meanwhile, if that reading began after the question.
        let asked = shared.begun.load(Ordering::SeqCst);
        let _turn = shared.reading.lock().await;
        {
            let known = shared.known();
            if known.reading > asked {
                return Ok(known.rows.clone());
            }
        }
        let reading = shared.begun.fetch_add(1, Ordering::SeqCst) + 1;
        // Read after the generation: a change in between makes the list newer than its number, and the next
        // request reads again.
        let generation = Some(control.generation()?);
        let rows = control.keys().list().await?;
        let rows: Arc<HashMap<_, _>> = Arc::new(rows.into_iter().map(|row| (row.id.clone(), row)).collect());
        *shared.known() = Known { generation, reading, rows: rows.clone() };
        Ok(rows)
    }
}

fn presented(headers: &HeaderMap) -> Result<PresentedKey, Fault> {
    let missing = || {
        let detail = "Send the API key as `Authorization: Bearer hv_<id>_<secret>`.";
        Fault::new(Code::KeyMissing, detail)
    };
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return Err(missing()) };
    let text = value.to_str().map_err(|_| missing())?;
    let (scheme, token) = text.split_once(' ').ok_or_else(missing)?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(missing());
    }
    PresentedKey::parse(token.trim()).ok_or_else(missing)
}
