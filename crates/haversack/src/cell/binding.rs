//! Bindings: one shared value with its mark, behind a thin reference-counted pointer.
//!
//! The head of the allocation is the same for every type, and knows how to drop and how to print the value behind
//! it. Only [`Key`](super::Key) knows the type.

use std::fmt;
use std::ptr::NonNull;

use super::refs::Refs;
use crate::origin::Mark;
use crate::policy::Meta;

/// How a value prints, where its variable declares that it may.
pub(crate) type Show<T> = fn(&T, &mut fmt::Formatter<'_>) -> fmt::Result;

#[repr(C)]
struct Header {
    refs: Refs,
    ops: &'static Ops,
    meta: &'static Meta,
    mark: Mark,
}

struct Ops {
    drop: unsafe fn(NonNull<Header>),
    show: unsafe fn(NonNull<Header>, &mut fmt::Formatter<'_>) -> Option<fmt::Result>,
}

#[repr(C)]
struct Bound<T> {
    head: Header,
    show: Option<Show<T>>,
    value: T,
}

impl<T: 'static> Bound<T> {
    const OPS: &'static Ops = &Ops { drop: Self::drop_raw, show: Self::show_raw };

    unsafe fn drop_raw(head: NonNull<Header>) {
        // SAFETY: the caller hands over the last reference to a binding that `Binding::new::<T>` leaked.
        drop(unsafe { Box::from_raw(head.cast::<Self>().as_ptr()) });
    }

    unsafe fn show_raw(head: NonNull<Header>, f: &mut fmt::Formatter<'_>) -> Option<fmt::Result> {
        // SAFETY: the caller holds a reference to a binding of this very `T`.
        let bound = unsafe { head.cast::<Self>().as_ref() };
        bound.show.map(|show| show(&bound.value, f))
    }
}

/// One shared value with its mark: a thin reference-counted pointer to a [`Bound<T>`].
#[repr(transparent)]
pub(crate) struct Binding(NonNull<Header>);

// SAFETY: `Binding::new` asks for `T: Send + Sync`, the rest of the allocation is `Send + Sync` itself.
unsafe impl Send for Binding {}
// SAFETY: as above; shared access gives only `&T`.
unsafe impl Sync for Binding {}

impl Binding {
    #[inline]
    pub(super) fn new<T: Send + Sync + 'static>(
        value: T,
        show: Option<Show<T>>,
        mark: Mark,
        meta: &'static Meta,
    ) -> Self {
        let head = Header { refs: Refs::one(), ops: Bound::<T>::OPS, meta, mark };
        Self(NonNull::from(Box::leak(Box::new(Bound { head, show, value }))).cast())
    }

    #[inline]
    fn head(&self) -> &Header {
        // SAFETY: we hold a reference, so the allocation lives.
        unsafe { self.0.as_ref() }
    }

    /// The address of the value. Only `Key<T>` may ask, and only for the slot of its own id.
    #[inline]
    pub(super) fn value<T>(&self) -> *const T {
        let bound = self.0.cast::<Bound<T>>().as_ptr();
        // SAFETY: by (1) the allocation is a `Bound<T>`; no reference is made.
        unsafe { &raw const (*bound).value }
    }

    #[inline]
    pub(crate) fn meta(&self) -> &'static Meta {
        self.head().meta
    }

    #[inline]
    pub(crate) fn mark(&self) -> &Mark {
        &self.head().mark
    }

    /// Prints the value, or answers `None` where the variable does not declare that it may be shown.
    pub(crate) fn show(&self, f: &mut fmt::Formatter<'_>) -> Option<fmt::Result> {
        // SAFETY: `ops` belongs to the `T` of this allocation, and we hold a reference.
        unsafe { (self.head().ops.show)(self.0, f) }
    }
}

impl Clone for Binding {
    #[inline]
    fn clone(&self) -> Self {
        self.head().refs.share();
        Self(self.0)
    }
}

impl Drop for Binding {
    #[inline]
    fn drop(&mut self) {
        if self.head().refs.give_back() {
            // SAFETY: that was the last reference.
            unsafe { (self.head().ops.drop)(self.0) }
        }
    }
}
