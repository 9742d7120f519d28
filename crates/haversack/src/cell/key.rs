//! Keys: the identity of a variable, and the two things that only the variable's own type may do.
//!
//! A key gets its id at the first binding. Only `Key<T>` turns a slot back into a `T`, and only `Key<T>` makes what
//! goes into that slot.

use std::marker::PhantomData;
use std::sync::atomic::{AtomicU32, Ordering};

use super::binding::{Binding, Show};
use crate::current;
use crate::origin::Mark;
use crate::policy::Meta;

/// Variables that one process can ever bind. Ids are never reused, and every context is an array as long as
/// the highest id in it, so variables leaked in a loop must end in an error and not in memory.
const MAX_VARIABLES: u32 = 1 << 16;

static NEXT: AtomicU32 = AtomicU32::new(1);

/// How many slots hold every variable bound in this process so far.
#[inline]
pub(super) fn slots_in_use() -> u32 {
    NEXT.load(Ordering::Relaxed)
}

/// The identity of a variable: its id, given at the first binding. 0 means "never bound", and slot 0 of every
/// array stays empty, so that a read needs no branch for it.
pub(crate) struct Key<T: 'static> {
    id: AtomicU32,
    /// Invariant: with a covariant `T`, a `for<'a> fn(&'a str)` could be bound and read as another type.
    _invariant: PhantomData<fn(T) -> T>,
}

impl<T: 'static> Key<T> {
    pub(crate) const fn new() -> Self {
        Self { id: AtomicU32::new(0), _invariant: PhantomData }
    }

    /// The id, 0 when the variable was never bound. Relaxed is enough: whoever can reach a binding got its
    /// slots through something that synchronised after the id was given.
    #[inline]
    pub(crate) fn id(&'static self) -> u32 {
        self.id.load(Ordering::Relaxed)
    }

    #[cold]
    fn assign(&'static self) -> u32 {
        let fresh = NEXT.fetch_add(1, Ordering::Relaxed);
        if fresh >= MAX_VARIABLES {
            NEXT.store(MAX_VARIABLES, Ordering::Relaxed);
            too_many_variables();
        }
        match self.id.compare_exchange(0, fresh, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => fresh,
            Err(other) => other, // another thread was first; `fresh` stays unused
        }
    }
}

#[cold]
#[allow(clippy::panic)] // a program error with no value to return it in, documented at `ContextVar`
fn too_many_variables() -> ! {
    panic!("more than {MAX_VARIABLES} context variables were bound: are variables leaked in a loop?");
}

impl<T: Send + Sync + 'static> Key<T> {
    /// Calls `f` with the value bound in the current frame, or gives `f` back where there is none.
    #[inline]
    pub(crate) fn peek<R, F: FnOnce(&T) -> R>(&'static self, f: F) -> Result<R, F> {
        let id = self.id();
        // SAFETY: as in `cell::current`.
        let Some(frame) = (unsafe { current::frame().as_ref() }) else { return Err(f) };
        let Some(binding) = frame.slots().get(id) else { return Err(f) };
        let value = binding.value::<T>();
        let _reading = current::read();
        // SAFETY: by (1) the slot holds a `T`; by (3) it lives while `_reading` counts it.
        Ok(f(unsafe { &*value }))
    }

    /// Makes a binding for this variable. Allocates before any cell is touched.
    #[inline]
    pub(crate) fn bind(
        &'static self,
        value: T,
        show: Option<Show<T>>,
        mark: Mark,
        meta: &'static Meta,
    ) -> Fresh {
        let id = match self.id() {
            0 => self.assign(),
            id => id,
        };
        Fresh { id, binding: Binding::new(value, show, mark, meta) }
    }
}

/// A binding that no slot holds yet, with the id it belongs under. Only a `Key` pairs the two.
pub(crate) struct Fresh {
    pub(super) id: u32,
    pub(super) binding: Binding,
}
