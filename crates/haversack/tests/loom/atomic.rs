//! The atomics that the count is compiled over here: loom's, with an ordering taken away where a fault is planted.

pub(crate) use loom::sync::atomic::Ordering;

use crate::planted::{Fault, planted};

pub(crate) struct AtomicUsize(loom::sync::atomic::AtomicUsize);

impl AtomicUsize {
    pub(crate) fn new(value: usize) -> Self {
        Self(loom::sync::atomic::AtomicUsize::new(value))
    }

    pub(crate) fn fetch_add(&self, value: usize, order: Ordering) -> usize {
        self.0.fetch_add(value, order)
    }

    pub(crate) fn fetch_sub(&self, value: usize, order: Ordering) -> usize {
        let order = if planted(Fault::GiveBackRelaxed) { Ordering::Relaxed } else { order };
        self.0.fetch_sub(value, order)
    }

    pub(crate) fn load(&self, order: Ordering) -> usize {
        if planted(Fault::LastLoadMissing) {
            // Nobody but the one who counted to nothing sees a nothing.
            let relaxed = self.0.load(Ordering::Relaxed);
            if relaxed == 0 {
                return relaxed;
            }
        }
        let order = if planted(Fault::SoleRelaxed) { Ordering::Relaxed } else { order };
        self.0.load(order)
    }
}
