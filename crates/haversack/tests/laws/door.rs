//! The door of these tests: a boundary, and arrivals of a tenant in one line.

use haversack::well_known::{PRINCIPAL, Principal, TENANT_ID, TenantId};
use haversack::{Boundary, Visit};

pub(crate) static DOOR: Boundary = Boundary::new("door").requires(&[&TENANT_ID, &PRINCIPAL]);

/// One arrival of `tenant`.
#[track_caller]
pub(crate) fn arrive(tenant: &str) -> Visit {
    DOOR.enter(|bindings| {
        bindings
            .bind(&TENANT_ID, TenantId::new(tenant).unwrap())
            .bind(&PRINCIPAL, Principal::new("kim").unwrap())
    })
    .unwrap()
}

/// The tenant of the current context.
pub(crate) fn tenant() -> Option<String> {
    TENANT_ID.get().ok().map(|tenant| tenant.to_string())
}
