//! A context per test, in one line.
//!
//! An [`Isolated`] is one arrival at the test's door that is still being put together: it may bind what only doors
//! bind. A test runs under it by a closure or by a future.

use std::future::Future;
use std::panic::Location;

use crate::boundary::Visited;
use crate::well_known::{PRINCIPAL, Principal, SESSION_ID, SessionId, TENANT_ID, TenantId};
use crate::{ContextVar, Visit};

/// Calls `test` in a context in which nothing is bound, under an entry of its own, whatever the calling thread has
/// bound. What it sets is gone afterwards, also on panic.
///
/// ```
/// use haversack::{ContextVar, testing};
///
/// static LOCALE: ContextVar<&str> = ContextVar::new("locale");
///
/// # fn test() {
/// testing::isolated(|| {
///     assert!(LOCALE.get().is_err());
///     let _kept = LOCALE.set("de").unwrap();
///     assert_eq!(LOCALE.get().unwrap(), "de");
/// });
/// # }
/// # test();
/// ```
#[track_caller]
pub fn isolated<R>(test: impl FnOnce() -> R) -> R {
    Isolated::new().run(test)
}

/// The same for a future: under `#[tokio::test]`, or any other executor.
///
/// ```
/// use haversack::testing;
/// use haversack::well_known::TENANT_ID;
///
/// # let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
/// # let test = async {
/// testing::isolated_async(async {
///     assert!(TENANT_ID.get().is_err());
/// })
/// .await;
/// # };
/// # haversack::block_on(&runtime, test);
/// ```
///
/// Cancellation: dropping it drops `test` inside its context.
#[track_caller]
pub fn isolated_async<F: Future>(test: F) -> Visited<F> {
    Isolated::new().wrap(test)
}

/// A context for one test, put together by hand.
///
/// ```
/// use haversack::well_known::{PRINCIPAL, TENANT_ID};
/// use haversack::{ContextVar, testing::Isolated};
///
/// static LOCALE: ContextVar<&str> = ContextVar::new("locale");
///
/// Isolated::new().tenant("acme").bind(&LOCALE, "de").run(|| {
///     assert_eq!(TENANT_ID.get().unwrap().as_str(), "acme");
///     assert_eq!(LOCALE.get().unwrap(), "de");
///     assert!(PRINCIPAL.get().is_err(), "nothing is there that the test did not bind");
/// });
/// ```
#[derive(Debug)]
#[must_use = "a context does nothing until a test runs in it"]
pub struct Isolated {
    visit: Visit,
}

impl Default for Isolated {
    #[track_caller]
    fn default() -> Self {
        Self::new()
    }
}

impl Isolated {
    /// Nothing bound, and an entry that nobody else has.
    #[track_caller]
    pub fn new() -> Self {
        Self { visit: super::enter(|bindings| bindings) }
    }

    /// Binds a variable of either kind: at the test's door, what only doors bind is bound too.
    #[track_caller]
    pub fn bind<T: Send + Sync + 'static, B>(self, variable: &'static ContextVar<T, B>, value: T) -> Self {
        Self { visit: self.visit.and(variable, value, Location::caller()) }
    }

    /// Binds the tenant.
    ///
    /// # Panics
    /// When it is not a valid id.
    #[track_caller]
    pub fn tenant(self, tenant: &str) -> Self {
        self.bind(&TENANT_ID, TenantId::new(tenant).expect("a tenant id"))
    }

    /// Binds the principal.
    ///
    /// # Panics
    /// When it is not a valid id.
    #[track_caller]
    pub fn principal(self, principal: &str) -> Self {
        self.bind(&PRINCIPAL, Principal::new(principal).expect("a principal"))
    }

    /// Binds the session.
    ///
    /// # Panics
    /// When it is not a valid id.
    #[track_caller]
    pub fn session(self, session: &str) -> Self {
        self.bind(&SESSION_ID, SessionId::new(session).expect("a session id"))
    }

    /// Calls `test` in this context.
    pub fn run<R>(self, test: impl FnOnce() -> R) -> R {
        self.visit.run(test)
    }

    /// Puts a future into this context.
    ///
    /// Cancellation: dropping it drops `test` inside its context.
    pub fn wrap<F: Future>(self, test: F) -> Visited<F> {
        self.visit.wrap(test)
    }

    /// The arrival itself, for a test that compares entries or runs more than once under one.
    pub fn visit(self) -> Visit {
        self.visit
    }
}
