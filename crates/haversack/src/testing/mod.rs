//! For tests: a boundary of their own, contexts in one line, and the checks that an isolation is put to.
//!
//! Everything here starts from the empty context and mints a fresh entry, whatever the test before did. What a test
//! enters, it enters by a closure or a future, as the product does: nothing is left open between two lines.
//!
//! | Question | Answer |
//! |---|---|
//! | How does a test get a context? | [`isolated`], [`isolated_async`], [`Isolated`], or a [`Visit`] by [`tenant`] and [`session`] |
//! | Does an entry point fail loudly when something is not bound? | [`missing_paths`] |
//! | Do copies of a function that run at once keep apart? | `assert_isolated`, `Copies` (feature `tokio`) |
//! | Did a value come out where it should not, whatever it was written as? | [`canary`] |

#![allow(clippy::expect_used, clippy::panic)] // tests want the panic

#[cfg(feature = "tokio")]
mod copies;
mod isolated;
mod missing_path;
mod removal;

pub use crate::canary;
#[cfg(feature = "tokio")]
pub use copies::{Copies, Crossing, Own, assert_isolated};
pub use isolated::{Isolated, isolated, isolated_async};
pub use missing_path::{Fault, MissingPaths, MissingReport, missing_paths, missing_paths_at};
pub(crate) use removal::{entered, refused, removed};

use crate::boundary::Bindings;
use crate::well_known::{PRINCIPAL, Principal, SESSION_ID, SessionId, TENANT_ID, TenantId};
use crate::{Boundary, Visit};

/// The boundary that tests enter by. It requires nothing.
pub static BOUNDARY: Boundary = Boundary::new("test");

/// Enters with what `bind` binds.
///
/// ```
/// use haversack::{ContextVar, testing};
///
/// static LOCALE: ContextVar<&str> = ContextVar::new("locale");
///
/// let visit = testing::enter(|bindings| bindings.bind(&LOCALE, "de"));
/// assert_eq!(visit.run(|| LOCALE.get().unwrap()), "de");
/// ```
///
/// # Panics
/// Never in practice: the boundary requires nothing.
#[track_caller]
pub fn enter(bind: impl FnOnce(Bindings) -> Bindings) -> Visit {
    BOUNDARY.enter(bind).expect("the test boundary requires nothing")
}

/// Enters as a tenant, with the principal `tester`.
///
/// ```
/// use haversack::testing;
/// use haversack::well_known::TENANT_ID;
///
/// testing::tenant("acme").run(|| assert_eq!(TENANT_ID.get().unwrap().as_str(), "acme"));
/// ```
///
/// # Panics
/// When `tenant` is not a valid id.
#[track_caller]
pub fn tenant(tenant: &str) -> Visit {
    enter(|bindings| as_tenant(bindings, tenant))
}

/// Enters as a tenant in a session, with the principal `tester`.
///
/// ```
/// use haversack::testing;
/// use haversack::well_known::SESSION_ID;
///
/// testing::session("acme", "s1").run(|| assert_eq!(SESSION_ID.get().unwrap().as_str(), "s1"));
/// ```
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
