//! Frames: who owns the current context, and the only way to change it.
//!
//! A frame is current while [`Frame::enter`] runs. A `set` writes in place where the frame alone holds its slots and
//! nobody borrows from them; else it goes on with a copy.

use std::cell::{Cell, UnsafeCell};
use std::mem;
use std::panic::Location;
use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering};

use super::binding::Binding;
use super::key::Fresh;
use super::slots::Slots;
use crate::current::{self, being_read};
use crate::error::ResetError;
use crate::origin::{Hop, Mark, Origin};
use crate::tagged::Tagged;

const MORE: usize = 7;
const HOPS: [Hop; 7] =
    [Hop::Run, Hop::Scope, Hop::Wrapped, Hop::Spawned, Hop::Thread, Hop::Boundary, Hop::Detached];

fn pack(origin: Origin) -> Tagged {
    Tagged::new(ptr::from_ref(origin.at).cast_mut(), origin.hop as usize)
}

/// What a frame needs from its first `set` on.
struct More {
    /// From a global counter, never reused.
    id: u64,
    sets: u64,
    origin: Origin,
    /// Arrays replaced while a borrow was out; dropped at the next change without one, or with the frame.
    grave: Vec<Slots>,
    /// While the grave is not empty, the current array once more: then no change in place passes by the grave.
    held: Slots,
}

/// The owner of a current context: 16 bytes where pointers have 64 bits, in a wrapped future or on the stack of a `run`.
pub(crate) struct Frame {
    slots: UnsafeCell<Slots>,
    /// The place of an [`Origin`] with its hop as the tag, or, with `MORE` there, a `Box<More>`.
    origin: Cell<Tagged>,
}

#[cfg(target_pointer_width = "64")]
const _: () = assert!(size_of::<Frame>() == 2 * size_of::<usize>(), "a wrapped future grows by this much");

// SAFETY: `Slots` and `More` are `Send`; the raw pointer is one of the two it stands for. Not `Sync`.
unsafe impl Send for Frame {}

impl Frame {
    #[inline]
    pub(crate) fn new(slots: Slots, origin: Origin) -> Self {
        Self { slots: UnsafeCell::new(slots), origin: Cell::new(pack(origin)) }
    }

    /// Calls `f` with this frame current, and puts the former one back, also on unwind. The only way in.
    #[inline]
    pub(crate) fn enter<R>(&self, f: impl FnOnce() -> R) -> R {
        #[cfg(debug_assertions)]
        crate::strict::entering(self);
        let _restore = current::swap(self);
        f()
    }

    #[inline]
    pub(super) fn slots(&self) -> &Slots {
        // SAFETY: the cell is written only by `replace` and `install`, which run no user code while they hold
        // it and are never called while this borrow lives: it ends before any user code runs.
        unsafe { &*self.slots.get() }
    }

    /// Gives the frame another context, before it is entered.
    pub(crate) fn install(&mut self, slots: Slots) {
        drop(mem::replace(self.slots.get_mut(), slots));
    }

    /// The context of this frame: one increment.
    #[inline]
    pub(crate) fn share(&self) -> Slots {
        self.slots().clone()
    }
}

// ---------------------------------------------------------------------------------------- where it comes from

impl Frame {
    pub(crate) fn origin(&self) -> Origin {
        match self.more() {
            Some(more) => more.origin,
            None => {
                let packed = self.origin.get();
                let hop = HOPS[packed.tag()];
                // SAFETY: the tag is not MORE, so this is the location that `pack` took.
                let at = unsafe { &*packed.pointer::<Location<'static>>() };
                Origin { hop, at }
            }
        }
    }

    /// Whether this very frame made the binding, by `set` or by being its scope.
    pub(crate) fn made(&self, mark: &Mark) -> bool {
        match self.more() {
            Some(more) if more.id == mark.frame => true,
            _ => {
                let origin = self.origin();
                origin.hop == Hop::Scope && ptr::eq(origin.at, mark.bound_at)
            }
        }
    }

    #[inline]
    fn more(&self) -> Option<&More> {
        let packed = self.origin.get();
        // SAFETY: the tag says MORE, so this is the box that `make_more` leaked; it is changed only by
        // `more_mut`, and no borrow of it is held over that.
        (packed.tag() == MORE).then(|| unsafe { &*packed.pointer::<More>() })
    }

    /// Calls `f` with the frame's `More`, made now if need be. `f` runs no user code.
    #[inline]
    fn more_mut<R>(&self, f: impl FnOnce(&mut More) -> R) -> R {
        if self.origin.get().tag() != MORE {
            self.make_more();
        }
        let more = self.origin.get().pointer::<More>();
        // SAFETY: the tag says MORE; one thread sees the frame, and `f` cannot reach it a second time.
        f(unsafe { &mut *more })
    }

    #[cold]
    fn make_more(&self) {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        let more =
            Box::new(More { id, sets: 0, origin: self.origin(), grave: Vec::new(), held: Slots::EMPTY });
        self.origin.set(Tagged::new(Box::into_raw(more), MORE));
    }
}

impl Drop for Frame {
    #[inline]
    fn drop(&mut self) {
        let packed = self.origin.get();
        if packed.tag() == MORE {
            // SAFETY: the box that `make_more` leaked; the frame is gone after this.
            drop(unsafe { Box::from_raw(packed.pointer::<More>()) });
        }
    }
}

// -------------------------------------------------------------------------------------------------- changing

/// What one `set` replaced, and where.
pub(crate) struct Undo {
    id: u32,
    frame: u64,
    stamp: u64,
    old: Option<Binding>,
}

impl Frame {
    /// Binds what `bind` makes of the next mark, and hands back what takes it back. `bind` runs no user code.
    #[inline]
    pub(crate) fn set(&self, bound_at: &'static Location<'static>, bind: impl FnOnce(Mark) -> Fresh) -> Undo {
        let boundary = self.slots().entry().map(|entry| entry.boundary());
        let (frame, stamp) = self.more_mut(|more| {
            more.sets += 1;
            (more.id, more.sets)
        });
        let Fresh { id, binding } = bind(Mark { bound_at, boundary, frame, stamp });
        let withheld = binding.meta().withheld();
        let old = match self.slots_to_change() {
            Some(slots) => slots.swap(id, Some(binding), withheld),
            None => Err(Some(binding)),
        };
        let old = old.unwrap_or_else(|new| self.replace(id, new, withheld));
        Undo { id, frame, stamp, old }
    }

    /// Takes a `set` back.
    ///
    /// # Errors
    /// [`ResetError`] when this is another frame, or a newer `set` of the same variable stands; nothing changes.
    #[inline]
    pub(crate) fn undo(&self, undo: Undo) -> Result<(), ResetError> {
        let Undo { id, frame, stamp, old } = undo;
        if self.more().is_none_or(|more| more.id != frame) {
            return Err(ResetError::OtherContext);
        }
        let mark = self.slots().get(id).map(Binding::mark);
        if mark.is_none_or(|mark| mark.frame != frame || mark.stamp != stamp) {
            return Err(ResetError::OutOfOrder);
        }
        // What comes back was in this frame before, so its refusals are noted.
        let set = match self.slots_to_change() {
            Some(slots) => slots.swap(id, old, 0),
            None => Err(old),
        };
        let set = set.unwrap_or_else(|old| self.replace(id, old, 0));
        drop(set); // runs a destructor; the cell is free
        Ok(())
    }

    /// The slots, unless a value that they show is borrowed. No user code runs while the answer lives.
    #[inline]
    #[allow(clippy::mut_from_ref)] // the borrow of an `UnsafeCell`
    fn slots_to_change(&self) -> Option<&mut Slots> {
        // SAFETY: by (2) only this thread is here; callers let go of the answer before anything else of the
        // frame is used.
        (!being_read()).then(|| unsafe { &mut *self.slots.get() })
    }

    /// Swaps one binding where that takes a copy, or more care. What it replaced comes back undropped, for the
    /// caller to drop with the cell free.
    #[inline(never)]
    fn replace(&self, id: u32, mut new: Option<Binding>, withheld: u8) -> Option<Binding> {
        let mut grave = Vec::new();
        if !being_read() && self.more().is_some_and(|more| !more.grave.is_empty()) {
            // What was kept for borrows is let go of, and then the array may be ours alone.
            grave = self.more_mut(|more| {
                more.held = Slots::EMPTY; // the frame holds the array too, so this drops no value
                mem::take(&mut more.grave)
            });
            if let Some(slots) = self.slots_to_change() {
                match slots.swap(id, new, withheld) {
                    Ok(old) => {
                        drop(grave); // runs destructors; the cell is free
                        return old;
                    }
                    Err(back) => new = back,
                }
            }
        }
        let (copy, old) = self.slots().with(id, new, withheld);
        // SAFETY: by (2) only this thread is here, and no other borrow of the cell lives.
        let before = mem::replace(unsafe { &mut *self.slots.get() }, copy);
        if being_read() {
            let held = self.share();
            self.more_mut(|more| {
                more.grave.push(before);
                more.held = held; // the former one is in the grave, so this drops no value
            });
        } else {
            drop((before, grave)); // runs destructors; the cell is free
        }
        old
    }
}
