//! How many calls of one tenant are under way. It is modelled as a count for each tenant that has any, and a place that gives
//! itself back when it is dropped, however the call ends. The handler takes one for each call that it answers at once;
//! what is answered later is a job, and jobs have bounds of their own.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use haversack::MissingContext;
use haversack::well_known::{TENANT_ID, TenantId};

/// The calls that are under way. Clones share the counts.
#[derive(Clone)]
pub(crate) struct Places {
    most: usize,
    taken: Arc<Mutex<HashMap<TenantId, usize>>>,
}

/// The place of one call.
pub(crate) struct Place {
    places: Places,
    tenant: TenantId,
}

impl Places {
    /// So many places for each tenant.
    pub(crate) fn new(most: usize) -> Self {
        Self { most: most.max(1), taken: Arc::default() }
    }

    /// A place for a call of the current tenant; `None` when it has taken all.
    pub(crate) fn take(&self) -> Result<Option<Place>, MissingContext> {
        let tenant = TENANT_ID.get()?;
        let mut taken = self.taken();
        let count = taken.entry(tenant.clone()).or_default();
        if *count >= self.most {
            return Ok(None);
        }
        *count += 1;
        drop(taken);
        Ok(Some(Place { places: self.clone(), tenant }))
    }

    fn taken(&self) -> MutexGuard<'_, HashMap<TenantId, usize>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken();
        if let Some(count) = taken.get_mut(&self.tenant) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.tenant);
            }
        }
    }
}
