//! What a thread knows: the frame it is in, and how many borrows of that frame's values its stack holds.
//!
//! It is a thread-local of plain cells. It has no destructor, so it works also while other thread-locals are torn
//! down. The pointer is only kept here; `cell` alone looks behind it.

use std::cell::Cell;
use std::io::{self, Write as _};
use std::{process, ptr};

use crate::cell::Frame;

/// The thread-local.
struct Thread {
    frame: Cell<*const Frame>,
    readers: Cell<usize>,
    /// The task that entered the frame, so that a bare task polled inside it can be told apart.
    #[cfg(all(debug_assertions, feature = "tokio"))]
    task: Cell<Option<tokio::task::Id>>,
}

thread_local! {
    static THREAD: Thread = const {
        Thread {
            frame: Cell::new(ptr::null()),
            readers: Cell::new(0),
            #[cfg(all(debug_assertions, feature = "tokio"))]
            task: Cell::new(None),
        }
    };
}

/// Calls `f` with what this thread knows. `f` is always something small: then the thread-local is a fixed address
/// in the caller's code, and not a call.
#[inline(always)]
fn thread<R>(f: impl FnOnce(&Thread) -> R) -> R {
    THREAD.with(f)
}

/// The current frame; null where there is none.
#[inline]
pub(crate) fn frame() -> *const Frame {
    thread(|thread| thread.frame.get())
}

/// Makes `frame` current until the answer is dropped.
#[inline]
pub(crate) fn swap(frame: *const Frame) -> Restore {
    thread(|thread| {
        // Borrows from the former frame do not concern the new one: what that one shows cannot change while
        // it is not current, and what both share has two owners. There are none but inside a `with`, so the count
        // is written only then.
        let readers = thread.readers.get();
        if readers != 0 {
            thread.readers.set(0);
        }
        Restore {
            entered: frame,
            frame: thread.frame.replace(frame),
            readers,
            #[cfg(all(debug_assertions, feature = "tokio"))]
            task: thread.task.replace(tokio::task::try_id()),
        }
    })
}

/// Counts one borrow of a value until the answer is dropped. It is on the stack of this thread, and so is each one
/// that was counted before it: the count is as wide as an address, so the stack ends long before the count does.
#[inline]
pub(crate) fn read() -> Reading {
    thread(|thread| {
        thread.readers.set(thread.readers.get() + 1);
        Reading { frame: thread.frame.get() }
    })
}

/// Puts the thread's former frame back. Frames are left in the opposite order in which they were entered, with every
/// borrow over; where a stack is switched inside of one, they are not, and the process ends before a pointer dangles.
pub(crate) struct Restore {
    entered: *const Frame,
    frame: *const Frame,
    readers: usize,
    #[cfg(all(debug_assertions, feature = "tokio"))]
    task: Option<tokio::task::Id>,
}

impl Drop for Restore {
    #[inline]
    fn drop(&mut self) {
        thread(|thread| {
            if thread.frame.get() != self.entered || thread.readers.get() != 0 {
                left_out_of_order();
            }
            thread.frame.set(self.frame);
            if self.readers != 0 {
                thread.readers.set(self.readers);
            }
            #[cfg(all(debug_assertions, feature = "tokio"))]
            thread.task.set(self.task);
        });
    }
}

/// One borrow of a value.
pub(crate) struct Reading {
    /// Whose value it is. Not `Send`: it is counted where it was made.
    frame: *const Frame,
}

impl Drop for Reading {
    #[inline]
    fn drop(&mut self) {
        thread(|thread| {
            let readers = thread.readers.get();
            if thread.frame.get() != self.frame || readers == 0 {
                left_out_of_order();
            }
            thread.readers.set(readers - 1);
        });
    }
}

/// Ends the process: whoever goes on reads values that are gone.
#[cold]
#[inline(never)]
fn left_out_of_order() -> ! {
    let why = "haversack: a frame was left while another one, or a borrow of its values, was still there: the stack was \
               switched inside it, as coroutines do. The process ends, because its memory is no longer sound. Suspend \
               a coroutine only outside of `run`, `with`, `wrap` and polls of what is in a context.\n";
    // Nobody may be listening.
    let _ = io::stderr().write_all(why.as_bytes());
    process::abort()
}

/// Whether a value of the current frame is borrowed.
#[inline]
pub(crate) fn being_read() -> bool {
    // The fault that the sanitizer run plants, and must find.
    if cfg!(haversack_planted_fault) {
        return false;
    }
    thread(|thread| thread.readers.get() != 0)
}

/// Whether the frame was entered by another task than the one that reads now: a bare task that an executor
/// polls inside a frame. Known in debug builds with the `tokio` feature; elsewhere `false`.
pub(crate) fn entered_by_another_task() -> bool {
    #[cfg(all(debug_assertions, feature = "tokio"))]
    {
        thread(|thread| !thread.frame.get().is_null() && thread.task.get() != tokio::task::try_id())
    }
    #[cfg(not(all(debug_assertions, feature = "tokio")))]
    {
        false
    }
}
