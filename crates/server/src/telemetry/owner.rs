//! Whose work something is: tenant and principal, read from the context. Ring and journal keep it with what they
//! record, and let a reader through here and nowhere else.

use haversack::MissingContext;
use haversack::well_known::{PRINCIPAL, Principal, TENANT_ID, TenantId};

/// A principal of a tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Owner {
    pub(super) tenant: TenantId,
    pub(super) principal: Principal,
}

impl Owner {
    /// Who asks, or for whom the work is.
    pub(super) fn current() -> Result<Self, MissingContext> {
        Ok(Self { tenant: TENANT_ID.get()?, principal: PRINCIPAL.get()? })
    }

    /// The one check that stands between a reader and what somebody else's work left in the ring.
    pub(super) fn may_read(&self, owner: &Owner) -> bool {
        anybody() || self == owner
    }
}

/// Whether readers are not told apart: never, but for the planted fault. The journal asks it in its query, which
/// compares principals; the tenant is the file.
pub(super) fn anybody() -> bool {
    #[cfg(feature = "mutants")]
    if haversack::mutants::active(haversack::mutants::Mutant::RingFilter) {
        return true;
    }
    false
}
