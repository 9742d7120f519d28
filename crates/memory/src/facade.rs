//! The way into memory: a store, a few limits, and the two handles that are made from the current context.
//!
//! [`Memory`] itself holds no identity and may live as long as the program; each handle that it gives out belongs
//! to one request. Code inside a door asks it.

use std::time::Duration;

use haversack::well_known::{PRINCIPAL, SESSION_ID};
use haversack_store::Store;

use crate::{MemoryError, Recall, SessionCache};

/// Limits of the memory layers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryOptions {
    /// How long an attempt is kept in the session cache after it was noted.
    pub attempt_ttl: Duration,
    /// How many attempts one session keeps; noting one more drops the oldest.
    pub max_attempts: usize,
    /// The most hits that one search returns, whatever it asks for.
    pub max_hits: usize,
}

impl Default for MemoryOptions {
    /// A day, 64 attempts, 20 hits.
    fn default() -> Self {
        Self { attempt_ttl: Duration::from_secs(24 * 60 * 60), max_attempts: 64, max_hits: 20 }
    }
}

/// The memory of an installation. Clones share the store.
#[derive(Clone, Debug)]
pub struct Memory {
    store: Store,
    options: MemoryOptions,
}

impl Memory {
    /// Memory over `store`.
    #[must_use]
    pub fn new(store: Store, options: MemoryOptions) -> Self {
        Self { store, options }
    }

    /// The session-learning cache of the current context's session. Touches no file.
    ///
    /// # Errors
    /// [`MemoryError::Unbound`] when the context binds no tenant, no principal or no session.
    #[track_caller]
    pub fn session(&self) -> Result<SessionCache, MemoryError> {
        let db = self.store.tenant()?;
        Ok(SessionCache::new(db, SESSION_ID.get()?, PRINCIPAL.get()?, &self.options))
    }

    /// The recall store of the current context's tenant. Touches no file.
    ///
    /// # Errors
    /// [`MemoryError::Unbound`] when the context binds no tenant.
    #[track_caller]
    pub fn recall(&self) -> Result<Recall, MemoryError> {
        Ok(Recall::new(self.store.tenant()?, &self.options))
    }
}
