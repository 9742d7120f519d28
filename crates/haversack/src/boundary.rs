//! Boundaries: the only places where a context begins.
//!
//! A boundary is a named static with the list of variables that it requires. [`Boundary::enter`] starts from
//! the empty context, binds what the arrival brought, refuses when something required is missing, and mints
//! the [`Entry`]. The [`Visit`] it gives is open until it is dropped.

use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as Waking, Poll};

use pin_project_lite::pin_project;

use crate::aside::Aside;
#[cfg(feature = "snapshot")]
use crate::cell::Fresh;
use crate::cell::Slots;
use crate::entry::EntryState;
use crate::error::Refused;
use crate::in_frame::InFrame;
use crate::origin::{Hop, Mark, Origin};
use crate::span::Captured;
use crate::var::{ContextVar, Variable};
use crate::{Context, Entry};

/// A named place where contexts begin.
///
/// ```
/// use haversack::well_known::{TENANT_ID, TenantId};
/// use haversack::Boundary;
///
/// static HTTP: Boundary = Boundary::new("http").requires(&[&TENANT_ID]);
///
/// let visit = HTTP.enter(|bindings| bindings.bind(&TENANT_ID, TenantId::new("acme").unwrap())).unwrap();
/// visit.run(|| assert_eq!(TENANT_ID.get().unwrap().as_str(), "acme"));
///
/// let refused = HTTP.enter(|bindings| bindings).unwrap_err();
/// assert_eq!(refused.variable(), "tenant");
/// ```
#[derive(Clone, Copy)]
pub struct Boundary {
    name: &'static str,
    required: &'static [&'static dyn Variable],
}

impl Boundary {
    /// A boundary that requires nothing yet. `name` is what errors, trees and entries call it.
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        Self { name, required: &[] }
    }

    /// The variables without which nobody enters.
    #[must_use]
    pub const fn requires(self, required: &'static [&'static dyn Variable]) -> Self {
        Self { name: self.name, required }
    }

    /// The name given at the declaration.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// The variables without which nobody enters, as the declaration lists them.
    #[must_use]
    pub const fn required(&self) -> &'static [&'static dyn Variable] {
        self.required
    }

    /// Begins a context: empty but for what `bind` binds. Nothing runs in it yet, and nothing is bound for the caller: the
    /// work is to be put into the visit, with [`Visit::wrap`] or [`Visit::run`].
    ///
    /// # Errors
    /// [`Refused`] when a required variable is left unbound. Nothing ran yet.
    #[track_caller]
    pub fn enter(&'static self, bind: impl FnOnce(Bindings) -> Bindings) -> Result<Visit, Refused> {
        self.enter_at(Location::caller(), None, bind)
    }

    /// As [`enter`](Self::enter), with what the new context keeps aside.
    pub(crate) fn enter_at(
        &'static self,
        at: &'static Location<'static>,
        aside: Option<Arc<Aside>>,
        bind: impl FnOnce(Bindings) -> Bindings,
    ) -> Result<Visit, Refused> {
        let entry = Arc::new(EntryState::mint(self));
        let bindings = bind(Bindings { slots: Slots::entered(entry.clone(), aside), boundary: self });
        let context = Context::new(bindings.slots, Captured::current());
        match self.required.iter().find(|variable| !variable.is_bound_in(&context)) {
            Some(variable) => {
                #[cfg(feature = "testing")]
                crate::testing::refused(self, variable.name());
                Err(Refused::new(self.name, variable.name(), at))
            }
            None => {
                #[cfg(feature = "testing")]
                crate::testing::entered(self);
                #[cfg(debug_assertions)]
                crate::strict::visit_made(&entry, at);
                Ok(Visit { context, entry, at })
            }
        }
    }
}

impl std::fmt::Debug for Boundary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let required: Vec<_> = self.required.iter().map(|variable| variable.name()).collect();
        f.debug_struct("Boundary").field("name", &self.name).field("required", &required).finish()
    }
}

/// What an arrival binds, on the way through [`Boundary::enter`].
#[must_use = "bindings take effect when they are given back to `enter`"]
pub struct Bindings {
    slots: Slots,
    boundary: &'static Boundary,
}

impl Bindings {
    /// Binds one variable, of either kind.
    #[track_caller]
    pub fn bind<T: Send + Sync + 'static, B>(self, variable: &'static ContextVar<T, B>, value: T) -> Self {
        let at = Location::caller();
        self.bind_at(variable, value, at)
    }

    pub(crate) fn bind_at<T: Send + Sync + 'static, B>(
        mut self,
        variable: &'static ContextVar<T, B>,
        value: T,
        at: &'static Location<'static>,
    ) -> Self {
        #[cfg(feature = "testing")]
        if crate::testing::removed(self.boundary, variable.name()) {
            return self;
        }
        let mark = Mark::new(at, Some(self.boundary));
        self.slots.put(variable.fresh(value, mark));
        self
    }

    /// Binds one variable where there is a value, and leaves it unbound where there is none.
    #[track_caller]
    pub fn bind_some<T: Send + Sync + 'static, B>(
        self,
        variable: &'static ContextVar<T, B>,
        value: Option<T>,
    ) -> Self {
        match value {
            Some(value) => self.bind(variable, value),
            None => self,
        }
    }

    /// Takes along what is bound here, where something is: from the door outside to the one within. Neither default nor
    /// environment count.
    ///
    /// ```
    /// use haversack::well_known::{REQUEST_ID, RequestId, TENANT_ID, TenantId};
    /// use haversack::Boundary;
    ///
    /// static HTTP: Boundary = Boundary::new("http").requires(&[&TENANT_ID]);
    /// // A turn outlives its request, so it has an entry of its own.
    /// static TURN: Boundary = Boundary::new("turn").requires(&[&TENANT_ID]);
    ///
    /// let http = HTTP.enter(|bindings| bindings.bind(&TENANT_ID, TenantId::new("acme").unwrap())).unwrap();
    /// let turn = http.run(|| TURN.enter(|bindings| bindings.keep(&TENANT_ID).keep(&REQUEST_ID))).unwrap();
    /// turn.run(|| {
    ///     assert_eq!(TENANT_ID.get().unwrap().as_str(), "acme");
    ///     assert_eq!(REQUEST_ID.bound(), None);
    /// });
    /// ```
    #[track_caller]
    pub fn keep<T: Clone + Send + Sync + 'static, B>(self, variable: &'static ContextVar<T, B>) -> Self {
        self.bind_some(variable, variable.bound())
    }

    /// Binds what was decoded.
    #[cfg(feature = "snapshot")]
    pub(crate) fn put(mut self, fresh: Fresh) -> Self {
        self.slots.put(fresh);
        self
    }

    #[cfg(all(feature = "snapshot", feature = "mutants"))]
    pub(crate) fn adopt(mut self, left_over: &Slots) -> Self {
        self.slots.adopt(left_over);
        self
    }
}

impl std::fmt::Debug for Bindings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bindings").field("boundary", &self.boundary.name).finish_non_exhaustive()
    }
}

/// One arrival: its context, open until this is dropped.
///
/// In debug builds, work that goes on under the context of a visit that ended is reported, see
/// [`strict`](crate::strict).
#[must_use = "the entry closes when the visit is dropped: run the work under it, or `wrap` the future"]
pub struct Visit {
    context: Context,
    entry: Arc<EntryState>,
    at: &'static Location<'static>,
}

impl Visit {
    /// The context of this arrival.
    #[must_use]
    pub fn context(&self) -> Context {
        self.entry.used();
        self.context.clone()
    }

    /// The identity of this arrival.
    #[must_use]
    pub fn entry(&self) -> Entry {
        self.entry.entry()
    }

    /// Binds one more variable, of either kind, before anything runs.
    #[cfg(feature = "testing")]
    pub(crate) fn and<T: Send + Sync + 'static, B>(
        mut self,
        variable: &'static ContextVar<T, B>,
        value: T,
        at: &'static Location<'static>,
    ) -> Self {
        let (mut slots, span) = std::mem::replace(&mut self.context, Context::empty()).into_parts();
        slots.put(variable.fresh(value, Mark::new(at, Some(self.entry.boundary()))));
        self.context = Context::new(slots, span);
        self
    }

    /// Calls `f` in a frame of this arrival's context.
    pub fn run<R>(&self, f: impl FnOnce() -> R) -> R {
        self.entry.used();
        self.context.clone().run_as(Hop::Boundary, self.at, f)
    }

    /// Puts a future into this arrival's context; the entry is open until the future is dropped.
    ///
    /// Cancellation: dropping the future drops what is wrapped inside its context, then closes the entry.
    pub fn wrap<F: Future>(self, future: F) -> Visited<F> {
        self.entry.used();
        let (slots, span) = self.context.clone().into_parts();
        let inner = InFrame::new(future, slots, span, Origin::new(Hop::Boundary, self.at));
        Visited { inner, _visit: self }
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        self.entry.close();
    }
}

impl std::fmt::Debug for Visit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Visit").field("entry", &self.entry.entry()).finish_non_exhaustive()
    }
}

pin_project! {
    /// A future in the context of a [`Visit`], which it keeps open. Made by [`Visit::wrap`].
    #[must_use = "futures do nothing unless polled"]
    pub struct Visited<F> {
        #[pin]
        inner: InFrame<F>,
        _visit: Visit, // after `inner`: the entry is open while the future is dropped
    }
}

impl<F: Future> Future for Visited<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, waking: &mut Waking<'_>) -> Poll<F::Output> {
        self.project().inner.enter(|future| future.poll(waking))
    }
}

impl<F> std::fmt::Debug for Visited<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Visited").field("visit", &self._visit).finish_non_exhaustive()
    }
}
