//! What a thread knows: the frame it is in, and how many borrows of that frame's values its stack holds.
//!
//! It is a thread-local of plain cells. It has no destructor, so it works also while other thread-locals are torn
//! down. The pointer is only kept here; `cell` alone looks behind it.

use std::cell::Cell;
use std::ptr;

use crate::cell::Frame;

/// The thread-local.
pub(crate) struct Thread {
    frame: Cell<*const Frame>,
    readers: Cell<u32>,
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

/// Calls `f` with what this thread knows.
#[inline]
pub(crate) fn thread<R>(f: impl FnOnce(&Thread) -> R) -> R {
    THREAD.with(f)
}

impl Thread {
    /// The current frame; null where there is none.
    #[inline]
    pub(crate) fn frame(&self) -> *const Frame {
        self.frame.get()
    }

    /// Makes `frame` current until the answer is dropped.
    #[inline]
    pub(crate) fn swap(&self, frame: *const Frame) -> Restore<'_> {
        Restore {
            thread: self,
            frame: self.frame.replace(frame),
            // Borrows from the former frame do not concern the new one: what that one shows cannot change while
            // it is not current, and what both share has two owners.
            readers: self.readers.replace(0),
            #[cfg(all(debug_assertions, feature = "tokio"))]
            task: self.task.replace(tokio::task::try_id()),
        }
    }

    /// Counts one borrow of a value until the answer is dropped. Each level of nesting takes stack, so the count
    /// cannot overflow before the stack does.
    #[inline]
    pub(crate) fn read(&self) -> Reading<'_> {
        self.readers.set(self.readers.get() + 1);
        Reading(&self.readers)
    }
}

/// Puts the thread's former frame back.
pub(crate) struct Restore<'a> {
    thread: &'a Thread,
    frame: *const Frame,
    readers: u32,
    #[cfg(all(debug_assertions, feature = "tokio"))]
    task: Option<tokio::task::Id>,
}

impl Drop for Restore<'_> {
    #[inline]
    fn drop(&mut self) {
        self.thread.frame.set(self.frame);
        self.thread.readers.set(self.readers);
        #[cfg(all(debug_assertions, feature = "tokio"))]
        self.thread.task.set(self.task);
    }
}

/// One borrow of a value.
pub(crate) struct Reading<'a>(&'a Cell<u32>);

impl Drop for Reading<'_> {
    #[inline]
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
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
