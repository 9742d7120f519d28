//! Contexts: an immutable set of bindings, cheap to copy and to hand on.
//!
//! A [`Context`] is a value: it can be captured, sent, stored and run under as often as wanted. It never
//! changes; what a frame sets is seen by contexts captured later, never by earlier ones.

use std::fmt;
use std::panic::Location;

#[cfg(all(feature = "snapshot", feature = "mutants"))]
use crate::Bindings;
#[cfg(feature = "snapshot")]
use crate::aside::Aside;
use crate::aside::Lost;
use crate::cell::{self, Frame, Slots};
use crate::description::Description;
use crate::error::Reason;
use crate::origin::{Hop, Mark, Origin};
use crate::policy::Crossing;
use crate::span::Captured;
use crate::strict;
use crate::{ContextVar, Entry};

/// Every binding of one moment, with the entry it belongs to and the tracing span it was captured in.
#[derive(Clone)]
pub struct Context {
    slots: Slots,
    span: Captured,
}

impl Context {
    pub(crate) fn new(slots: Slots, span: Captured) -> Self {
        Self { slots, span }
    }

    /// The context in which nothing is bound.
    #[must_use]
    pub const fn empty() -> Self {
        Self { slots: Slots::EMPTY, span: Captured::NONE }
    }

    /// A copy of every binding of the current frame, in constant time. Empty where there is no frame.
    #[inline]
    #[must_use]
    pub fn current() -> Self {
        Self { slots: current_slots(), span: Captured::current() }
    }

    /// What a hand-over to another task or thread takes along: the current context without what is confined.
    #[inline]
    pub(crate) fn carried(at: &'static Location<'static>) -> Self {
        let here = Self::current();
        if cfg!(debug_assertions) {
            strict::handed_over(&here.slots, at);
        }
        here.handed_over(at)
    }

    /// This context without what is confined, as another task or thread sees it.
    #[inline]
    pub(crate) fn handed_over(self, at: &'static Location<'static>) -> Self {
        let Self { slots, span } = self;
        let bit = Crossing::Local.bit();
        let slots = if slots.may_withhold(bit) {
            slots.withhold(bit, |meta| {
                Lost::new(meta.name, Reason::Withheld { crossing: Crossing::Local, at })
            })
        } else {
            slots
        };
        Self { slots, span }
    }

    /// This context with one more binding. Variables that are bound at doors do not compile here.
    #[must_use]
    #[track_caller]
    pub fn bind<T: Send + Sync + 'static>(self, variable: &'static ContextVar<T>, value: T) -> Self {
        let at = Location::caller();
        self.bind_at(variable, value, at)
    }

    /// As [`bind`](Self::bind) where there is a value; without one, this context as it is.
    #[must_use]
    #[track_caller]
    pub fn bind_some<T: Send + Sync + 'static>(
        self,
        variable: &'static ContextVar<T>,
        value: Option<T>,
    ) -> Self {
        match value {
            Some(value) => self.bind(variable, value),
            None => self,
        }
    }

    pub(crate) fn bind_at<T: Send + Sync + 'static>(
        mut self,
        variable: &'static ContextVar<T>,
        value: T,
        at: &'static Location<'static>,
    ) -> Self {
        let boundary = self.slots.entry().map(|state| state.boundary());
        self.slots.put(variable.fresh(value, Mark::new(at, boundary)));
        self
    }

    /// Calls `f` in a frame of its own with exactly these bindings: what `f` sets stays inside, and what was
    /// current before is current again afterwards, also on panic.
    #[inline]
    #[track_caller]
    pub fn run<R>(self, f: impl FnOnce() -> R) -> R {
        let at = Location::caller();
        self.run_as(Hop::Run, at, f)
    }

    #[inline]
    pub(crate) fn run_as<R>(self, hop: Hop, at: &'static Location<'static>, f: impl FnOnce() -> R) -> R {
        let Self { slots, span } = self;
        let frame = Frame::new(slots, Origin::new(hop, at));
        frame.enter(|| span.enter(f))
    }

    /// The entry that this context belongs to, if it came through a boundary.
    #[must_use]
    pub fn entry(&self) -> Option<Entry> {
        self.slots.entry().map(|state| state.entry())
    }

    /// What is bound, redacted, with where each binding was made.
    #[must_use]
    pub fn describe(&self) -> Description {
        Description::of(&self.slots)
    }

    pub(crate) fn holds(&self, id: u32) -> bool {
        self.slots.holds(id)
    }

    /// What this context keeps aside.
    #[cfg(feature = "snapshot")]
    pub(crate) fn aside(&self) -> Option<&Aside> {
        self.slots.aside()
    }

    /// The names of what is bound.
    #[cfg(feature = "snapshot")]
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.slots.bindings().map(|binding| binding.meta().name)
    }

    /// Binds all of this in a context that begins: a planted fault.
    #[cfg(all(feature = "snapshot", feature = "mutants"))]
    pub(crate) fn left_to(&self, bindings: Bindings) -> Bindings {
        bindings.adopt(&self.slots)
    }

    pub(crate) fn into_parts(self) -> (Slots, Captured) {
        (self.slots, self.span)
    }
}

impl fmt::Display for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.describe(), f)
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Context").field(&self.describe()).finish()
    }
}

#[inline]
fn current_slots() -> Slots {
    cell::current(|frame| frame.map_or(Slots::EMPTY, Frame::share))
}
