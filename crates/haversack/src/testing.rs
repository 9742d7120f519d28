//! For tests: a boundary of their own, and contexts in one line.
//!
//! Every call starts from the empty context and mints a fresh entry, whatever the test before it did.

#![allow(clippy::expect_used)] // tests want the panic

use crate::boundary::Bindings;
use crate::well_known::{PRINCIPAL, Principal, SESSION_ID, SessionId, TENANT_ID, TenantId};
use crate::{Boundary, Visit};

/// The boundary that tests enter by. It requires nothing.
pub static BOUNDARY: Boundary = Boundary::new("test");

/// Enters with what `bind` binds.
///
/// # Panics
/// Never in practice: the boundary requires nothing.
#[track_caller]
pub fn enter(bind: impl FnOnce(Bindings) -> Bindings) -> Visit {
    BOUNDARY.enter(bind).expect("the test boundary requires nothing")
}

/// Enters as a tenant, with the principal `tester`.
///
/// # Panics
/// When `tenant` is not a valid id.
#[track_caller]
pub fn tenant(tenant: &str) -> Visit {
    enter(|bindings| as_tenant(bindings, tenant))
}

/// Enters as a tenant in a session, with the principal `tester`.
///
/// # Panics
/// When an id is not valid.
#[track_caller]
pub fn session(tenant: &str, session: &str) -> Visit {
    let session = SessionId::new(session).expect("a session id");
    enter(|bindings| as_tenant(bindings, tenant).bind(&SESSION_ID, session))
}

fn as_tenant(bindings: Bindings, tenant: &str) -> Bindings {
    let tenant = TenantId::new(tenant).expect("a tenant id");
    let principal = Principal::new("tester").expect("a principal");
    bindings.bind(&TENANT_ID, tenant).bind(&PRINCIPAL, principal)
}
