//! The one folder with `unsafe`: where bindings live and how a frame becomes current.
//!
//! A *binding* is one value, reference-counted behind a thin pointer. *Slots* are a reference-counted array of
//! bindings, indexed by the id of the variable. A *frame* owns slots and is current on a thread for exactly as
//! long as one call of [`Frame::enter`] runs. The rest of the crate is safe code over these three.
//!
//! Why it is sound:
//! 1. A [`Key`] is used through `&'static self` only, gets its id once, ids are never given twice, and `T` is
//!    invariant: so slot *id* holds only a value of that very `T`.
//! 2. A frame pointer is in the thread-local only while `enter` borrows that frame; frames are not `Sync`, and
//!    a wrapped future is reached through `&mut`: so one thread at a time sees a frame. Where a stack is switched
//!    inside `enter`, frames would be left in another order than they were entered in: `current` looks each time
//!    that one is left, and that a borrow ends, and ends the process before a pointer dangles.
//! 3. A borrow of a value handed to user code lives on this thread's stack. The thread counts those of the
//!    current frame (`readers`), and while the count is not zero nothing that this frame shows is dropped: it
//!    goes to the frame's grave. A frame that is not current cannot change.
//! 4. No user code (clone, drop, format) runs while a cell is borrowed: what was replaced is handed back
//!    undropped.
//! 5. Memory is freed by whoever finds itself the only holder, and nobody else can become one meanwhile; the
//!    orderings that this takes stand in `refs`, where loom tries every interleaving of them.
#![allow(unsafe_code)] // the only folder that may; `cargo xtask tidy` keeps it so

mod binding;
mod deep;
mod frame;
mod key;
mod refs;
mod slots;

#[cfg(test)]
mod tests;

/// The atomics that `refs` counts with. Its models stand beside the tests and bring loom's instead.
mod atomic {
    pub(super) use std::sync::atomic::{AtomicUsize, Ordering};
}

pub(crate) use binding::{Binding, Show};
pub(crate) use frame::{Frame, Undo};
pub(crate) use key::{Fresh, Key};
pub(crate) use slots::Slots;

use crate::current;

/// Calls `f` with the current frame, or with `None` where this thread is in no frame.
#[inline]
pub(crate) fn current<R>(f: impl FnOnce(Option<&Frame>) -> R) -> R {
    // SAFETY: by (2) the pointer is null or borrowed by an `enter` further up this thread's stack, which
    // cannot end before `f` does.
    f(unsafe { current::frame().as_ref() })
}

/// Calls `f` with no frame on this thread, and puts the frame back afterwards, also on unwind.
#[cfg(any(feature = "tokio", feature = "rayon"))]
pub(crate) fn leave<R>(f: impl FnOnce() -> R) -> R {
    let _restore = current::swap(std::ptr::null());
    f()
}
