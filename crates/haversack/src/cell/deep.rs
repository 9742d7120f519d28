//! Freeing on a bounded stack. A value may hold a context, whose values hold contexts, and so on; dropped one inside the
//! other, a chain of some thousand of them is longer than a thread's stack.
//!
//! Here an array is freed inside of another one only so deep. What is deeper waits in a list of its thread, which the
//! outermost one frees before it returns.

use std::cell::Cell;
use std::ptr;

use super::slots::Dead;

/// How many arrays are freed one inside the other.
const DEEPEST: usize = 16;

struct Waiting {
    dead: Dead,
    next: *mut Waiting,
}

// Plain cells without a destructor, so that they work while other thread-locals are torn down.
thread_local! {
    static DEPTH: Cell<usize> = const { Cell::new(0) };
    static WAITING: Cell<*mut Waiting> = const { Cell::new(ptr::null_mut()) };
}

/// Frees an array now, or before the outermost free of this thread returns. After a destructor that panics, what waits
/// is freed with the next array of this thread, or leaks with the thread.
pub(super) fn free(dead: Dead) {
    let depth = DEPTH.get();
    if depth >= DEEPEST {
        let next = WAITING.get();
        WAITING.set(Box::into_raw(Box::new(Waiting { dead, next })));
        return;
    }
    DEPTH.set(depth + 1);
    let _back = Back(depth);
    drop(dead);
    if depth == 0 {
        while let Some(dead) = take() {
            drop(dead);
        }
    }
}

fn take() -> Option<Dead> {
    let first = WAITING.get();
    if first.is_null() {
        return None;
    }
    // SAFETY: only `free` puts pointers into the list, each of a box that it gave up, and each is taken out once: between
    // the look at the list and its change nothing else runs on this thread.
    let Waiting { dead, next } = *unsafe { Box::from_raw(first) };
    WAITING.set(next);
    Some(dead)
}

/// Puts the depth back, also on unwind.
struct Back(usize);

impl Drop for Back {
    fn drop(&mut self) {
        DEPTH.set(self.0);
    }
}
