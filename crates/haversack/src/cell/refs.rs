//! How often something is held: the one reference count of the crate, for bindings and for arrays.
//!
//! It is an `Arc`'s strong count without the weak one, so that "am I the only holder?" is one load. The file uses
//! no more of the crate than the atomics beside it: `tests/loom` compiles it once more, with loom's.

use super::atomic::{AtomicUsize, Ordering};

/// A count. Whoever holds a reference may share it, and gives it back exactly once.
pub(crate) struct Refs(AtomicUsize);

/// The fault that the thread sanitizer's run plants, and must find: whoever frees has not seen what others did.
const GIVE_BACK: Ordering =
    if cfg!(haversack_planted_fault = "relaxed") { Ordering::Relaxed } else { Ordering::Release };

impl Refs {
    /// Far more than there can be holders, and far from the end of the count: threads that race past it abort
    /// before it wraps round.
    const LIMIT: usize = isize::MAX as usize;

    /// Held once.
    #[inline]
    pub(crate) fn one() -> Self {
        Self(AtomicUsize::new(1))
    }

    #[cfg(all(test, not(loom)))]
    pub(super) fn held(times: usize) -> Self {
        Self(AtomicUsize::new(times))
    }

    /// One holder more. A count that wrapped round would free memory in use, so this ends the process first.
    /// Relaxed: whoever shares holds a reference, and hands the new one on by something that synchronises.
    #[inline]
    pub(crate) fn share(&self) {
        if self.0.fetch_add(1, Ordering::Relaxed) > Self::LIMIT {
            std::process::abort();
        }
    }

    /// Whether the caller, who owns a reference that nobody borrows, is the only holder. Then it stays so, because
    /// only a holder can make another. Acquire: those who gave theirs back are done with what is counted.
    #[inline]
    pub(crate) fn is_sole(&self) -> bool {
        self.0.load(Ordering::Acquire) == 1
    }

    /// Gives one reference back; `true` for the last one, whose holder frees what is counted.
    #[inline]
    pub(crate) fn give_back(&self) -> bool {
        // The only holder need not count down: nobody is left to read the count.
        if self.is_sole() {
            return true;
        }
        if self.0.fetch_sub(1, GIVE_BACK) != 1 {
            return false;
        }
        // A load and not a fence, because ThreadSanitizer does not understand fences.
        self.0.load(Ordering::Acquire);
        true
    }
}
