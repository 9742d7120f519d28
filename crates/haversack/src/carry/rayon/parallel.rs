//! Parallel iterators in a context.
//!
//! A parallel iterator is driven by a consumer, which holds the closures that stand after it. [`InContext`] puts a
//! consumer of its own in between, which enters a frame for each call of them; the drive itself runs in no frame,
//! so a foreign job that a worker steals while it waits sees nobody's context.

use std::panic::Location;

use rayon::iter::ParallelIterator;
use rayon::iter::plumbing::{Consumer, Folder, Reducer, UnindexedConsumer};

use crate::Context;
use crate::cell;
use crate::origin::Hop;

/// Puts parallel iterators into contexts. Implemented for every parallel iterator.
///
/// What stands *after* the call runs in the context, on whichever worker; what stands before it runs in none.
/// Each item has a frame of its own: what one sets the next does not see. Adapters that need positions (`zip`,
/// `enumerate`, `rev`) stand before it. A parallel iterator that is made per item (`flat_map`) is a hand-over of
/// its own, and gets its own call.
///
/// ```
/// use haversack::ContextVar;
/// use haversack::rayon::ParallelIteratorExt;
/// use rayon::prelude::*;
///
/// static USER: ContextVar<&str> = ContextVar::new("user");
///
/// let lines: Vec<_> = USER.sync_scope("Ada", || {
///     let pages = (1..4).into_par_iter().in_current_context();
///     pages.map(|page| format!("{} read page {page}", USER.get().unwrap())).collect()
/// });
/// assert_eq!(lines, ["Ada read page 1", "Ada read page 2", "Ada read page 3"]);
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no parallel iterator, so it cannot be put into a context as one",
    label = "not a `ParallelIterator`",
    note = "call `par_iter()` or `into_par_iter()` first; a closure for a pool is carried by `haversack::wrap`"
)]
pub trait ParallelIteratorExt: ParallelIterator {
    /// Runs what stands after this call in `context`.
    #[track_caller]
    fn with_context(self, context: Context) -> InContext<Self> {
        InContext { base: self, carry: Carry { context, at: Location::caller() } }
    }

    /// Runs what stands after this call in the context that is current at this call, without what is confined.
    #[track_caller]
    fn in_current_context(self) -> InContext<Self> {
        let at = Location::caller();
        InContext { base: self, carry: Carry { context: Context::carried(at), at } }
    }
}

impl<I: ParallelIterator> ParallelIteratorExt for I {}

/// A parallel iterator in a context. Made by [`ParallelIteratorExt`].
#[derive(Clone, Debug)]
#[must_use = "a parallel iterator does nothing unless it is consumed"]
pub struct InContext<I> {
    base: I,
    carry: Carry,
}

impl<I: ParallelIterator> ParallelIterator for InContext<I> {
    type Item = I::Item;

    fn drive_unindexed<C: UnindexedConsumer<I::Item>>(self, base: C) -> C::Result {
        let Self { base: iterator, carry } = self;
        cell::leave(|| iterator.drive_unindexed(Carrying { base, carry }))
    }

    fn opt_len(&self) -> Option<usize> {
        self.base.opt_len()
    }
}

#[derive(Clone, Debug)]
struct Carry {
    context: Context,
    at: &'static Location<'static>,
}

impl Carry {
    fn run<R>(&self, f: impl FnOnce() -> R) -> R {
        self.context.clone().run_as(Hop::Spawned, self.at, f)
    }
}

/// A consumer, folder or reducer whose every call runs in the context.
struct Carrying<T> {
    base: T,
    carry: Carry,
}

impl<T, C: Consumer<T>> Consumer<T> for Carrying<C> {
    type Folder = Carrying<C::Folder>;
    type Reducer = Carrying<C::Reducer>;
    type Result = C::Result;

    fn split_at(self, index: usize) -> (Self, Self, Self::Reducer) {
        let Self { base, carry } = self;
        let (left, right, reducer) = carry.run(|| base.split_at(index));
        (
            Self { base: left, carry: carry.clone() },
            Self { base: right, carry: carry.clone() },
            Carrying { base: reducer, carry },
        )
    }

    fn into_folder(self) -> Self::Folder {
        let Self { base, carry } = self;
        Carrying { base: carry.run(|| base.into_folder()), carry }
    }

    fn full(&self) -> bool {
        self.base.full()
    }
}

impl<T, C: UnindexedConsumer<T>> UnindexedConsumer<T> for Carrying<C> {
    fn split_off_left(&self) -> Self {
        Self { base: self.carry.run(|| self.base.split_off_left()), carry: self.carry.clone() }
    }

    fn to_reducer(&self) -> Self::Reducer {
        Carrying { base: self.base.to_reducer(), carry: self.carry.clone() }
    }
}

impl<T, F: Folder<T>> Folder<T> for Carrying<F> {
    type Result = F::Result;

    fn consume(self, item: T) -> Self {
        let Self { base, carry } = self;
        Self { base: carry.run(|| base.consume(item)), carry }
    }

    fn complete(self) -> F::Result {
        let Self { base, carry } = self;
        carry.run(|| base.complete())
    }

    fn full(&self) -> bool {
        self.base.full()
    }
}

impl<R, D: Reducer<R>> Reducer<R> for Carrying<D> {
    fn reduce(self, left: R, right: R) -> R {
        let Self { base, carry } = self;
        carry.run(|| base.reduce(left, right))
    }
}
