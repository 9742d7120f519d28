//! Entries: the identity of one arrival at a boundary.
//!
//! A boundary mints an [`Entry`] that nobody else can make. Handles (a turn, a session, a memory) keep the
//! entry they were made under, and whoever uses one compares it with the current entry: a value that is
//! present and *wrong* is what "missing is loud" cannot catch.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::num::NonZeroU64;
use std::panic::Location;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::Boundary;
use crate::cell;
use crate::error::{ForeignContext, MissingContext};

/// The identity of one arrival at a [`Boundary`](crate::Boundary). Unique in this process; only a boundary
/// makes one.
#[derive(Clone, Copy)]
pub struct Entry {
    id: NonZeroU64,
    boundary: &'static Boundary,
}

impl Entry {
    /// The entry that the current context belongs to.
    ///
    /// # Errors
    /// [`MissingContext`] when the current context did not come through a boundary.
    #[track_caller]
    pub fn current() -> Result<Self, MissingContext> {
        let at = Location::caller();
        Self::try_current().ok_or_else(|| MissingContext::find("entry", at))
    }

    /// The entry of the current context, if it has one.
    pub(crate) fn try_current() -> Option<Self> {
        cell::current(|frame| frame.and_then(|frame| frame.share().entry().map(|state| state.entry())))
    }

    /// Demands that the current context belongs to this entry. `what` names the handle for the error.
    ///
    /// # Errors
    /// [`ForeignContext`] when it belongs to another entry or to none.
    #[track_caller]
    pub fn check(self, what: &'static str) -> Result<(), ForeignContext> {
        #[cfg(feature = "mutants")]
        if crate::mutants::active(crate::mutants::Mutant::EntryCheck) {
            return Ok(());
        }
        let current = Self::try_current();
        if current == Some(self) {
            return Ok(());
        }
        Err(ForeignContext::new(what, self, current, Location::caller()))
    }

    /// The boundary that minted it.
    #[must_use]
    pub const fn boundary(&self) -> &'static str {
        self.boundary.name()
    }

    /// Its number: unique in this process, meaningless in another.
    #[must_use]
    pub const fn number(&self) -> u64 {
        self.id.get()
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Eq for Entry {}

impl Hash for Entry {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.id.hash(state);
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "entry {} ({})", self.id, self.boundary())
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// An entry with its life: open until its visit ends.
#[derive(Debug)]
pub(crate) struct EntryState {
    entry: Entry,
    closed: AtomicBool,
    #[cfg(debug_assertions)]
    reported: AtomicBool,
    /// Whether anything ran under it, or was to.
    #[cfg(debug_assertions)]
    in_use: AtomicBool,
}

impl EntryState {
    /// Mints the next entry.
    pub(crate) fn mint(boundary: &'static Boundary) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let id = NonZeroU64::new(NEXT.fetch_add(1, Ordering::Relaxed)).unwrap_or(NonZeroU64::MAX);
        Self {
            entry: Entry { id, boundary },
            closed: AtomicBool::new(false),
            #[cfg(debug_assertions)]
            reported: AtomicBool::new(false),
            #[cfg(debug_assertions)]
            in_use: AtomicBool::new(false),
        }
    }

    #[inline]
    pub(crate) fn entry(&self) -> Entry {
        self.entry
    }

    /// The boundary that minted it.
    #[inline]
    pub(crate) fn boundary(&self) -> &'static Boundary {
        self.entry.boundary
    }

    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
    }

    /// Its context is used: something runs under it, or will.
    #[inline]
    pub(crate) fn used(&self) {
        #[cfg(debug_assertions)]
        self.in_use.store(true, Ordering::Relaxed);
    }

    /// Whether it is open, and nothing was ever run under it.
    #[cfg(debug_assertions)]
    pub(crate) fn is_idle(&self) -> bool {
        !self.in_use.load(Ordering::Relaxed) && !self.closed.load(Ordering::Relaxed)
    }

    /// Whether work goes on after the visit ended and nobody was told yet; `true` once.
    #[cfg(debug_assertions)]
    pub(crate) fn outlived_and_unreported(&self) -> bool {
        self.closed.load(Ordering::Relaxed) && !self.reported.swap(true, Ordering::Relaxed)
    }
}
