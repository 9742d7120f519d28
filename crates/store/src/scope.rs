//! Who is asking: the tenant and the entry of the current context, as one value that no caller can make.
//!
//! It is read from the context once, where a handle to stored data is made, and travels inside that handle.
//! Anyone may ask for the current scope and look at it; only this module can build one, so holding a `Scope` is
//! proof that a door bound its tenant.

use haversack::Entry;
use haversack::well_known::{TENANT_ID, TenantId};

use crate::StoreError;

/// A tenant, and the entry under which it was read. The only key to a tenant's file.
#[derive(Clone, Debug)]
pub struct Scope {
    tenant: TenantId,
    entry: Entry,
}

impl Scope {
    /// The scope of the current context. Touches no file.
    ///
    /// # Errors
    /// [`StoreError::Unbound`] outside a door, or inside one that binds no tenant.
    #[track_caller]
    pub fn current() -> Result<Self, StoreError> {
        Ok(Self { tenant: TENANT_ID.get()?, entry: Entry::current()? })
    }

    /// Refuses when the current context belongs to another entry than this scope: the handle that keeps it was
    /// made for another request. `what` names the operation in the error. Touches no file.
    ///
    /// # Errors
    /// [`StoreError::Foreign`].
    #[track_caller]
    pub fn check(&self, what: &'static str) -> Result<(), StoreError> {
        Ok(self.entry.check(what)?)
    }

    /// The tenant whose data this scope opens.
    #[must_use]
    pub fn tenant(&self) -> &TenantId {
        &self.tenant
    }
}
