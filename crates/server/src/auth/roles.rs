//! The rights of each role. A route belongs to one role, and its OpenAPI `security` names that role; the router refuses
//! every other key before a handler runs. A `tenant-admin` also does what a `member` does; an `operator` does not, because its
//! key has no tenant.
//!
//! A role is checked where a request begins and travels no further: jobs, turns and MCP calls have the rights of the
//! principal and no others. Code that needs the role later asks [`haversack_store::Keys::holds`].

use super::{Caller, KeyRole};
use crate::code::Code;
use crate::problem::Fault;

impl Caller {
    /// Refuses when the key may not do what `needed` may.
    ///
    /// # Errors
    /// [`Code::RoleRequired`].
    pub fn demand(&self, needed: KeyRole) -> Result<(), Fault> {
        if self.role.covers(needed) { Ok(()) } else { Err(refused(needed)) }
    }
}

/// The refusal of a key that lacks `needed`.
pub(super) fn refused(needed: KeyRole) -> Fault {
    let detail = match needed {
        KeyRole::Member => {
            "This route works in a tenant, and an operator's key has none. Use a key of a tenant, or a route under \
             `/v1/operator`."
        }
        KeyRole::TenantAdmin => {
            "This route needs a key with the role `tenant-admin`: `haversack keys issue --role tenant-admin`."
        }
        KeyRole::Operator => {
            "This route needs a key with the role `operator`: `haversack keys issue --role operator`."
        }
    };
    Fault::new(Code::RoleRequired, detail)
}
