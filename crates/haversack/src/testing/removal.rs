//! The hook in the doors: a variable that is not bound although the code at the door binds it, and what the door
//! made of that.
//!
//! Only a missing-path check removes a variable, at one boundary, on its own thread or in the whole process. Where no
//! check runs, a door pays one load.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::ThreadId;

use crate::Boundary;

static ACTIVE: AtomicUsize = AtomicUsize::new(0);
static WATCHES: Mutex<Vec<Arc<Watch>>> = Mutex::new(Vec::new());

/// One run of an entry point, as its door saw it.
#[derive(Debug)]
pub(super) struct Watch {
    boundary: &'static Boundary,
    /// What is not bound; nothing in the control run.
    without: Option<&'static str>,
    /// `None` is the whole process.
    thread: Option<ThreadId>,
    refused: AtomicUsize,
    entered: AtomicUsize,
}

impl Watch {
    /// How often the door refused because of the variable that was removed.
    pub(super) fn refused(&self) -> usize {
        self.refused.load(Ordering::SeqCst)
    }

    /// How often it let somebody in.
    pub(super) fn entered(&self) -> usize {
        self.entered.load(Ordering::SeqCst)
    }

    fn is_at(&self, boundary: &'static Boundary) -> bool {
        let here = self.thread.is_none_or(|thread| thread == std::thread::current().id());
        here && std::ptr::eq(self.boundary, boundary)
    }
}

/// A watch that stands until this is dropped.
pub(super) struct Standing(Arc<Watch>);

impl std::ops::Deref for Standing {
    type Target = Watch;

    fn deref(&self) -> &Watch {
        &self.0
    }
}

impl Drop for Standing {
    fn drop(&mut self) {
        watches().retain(|watch| !Arc::ptr_eq(watch, &self.0));
        ACTIVE.fetch_sub(1, Ordering::SeqCst);
    }
}

pub(super) fn watch(
    boundary: &'static Boundary,
    without: Option<&'static str>,
    thread: Option<ThreadId>,
) -> Standing {
    let (refused, entered) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let watch = Arc::new(Watch { boundary, without, thread, refused, entered });
    watches().push(watch.clone());
    ACTIVE.fetch_add(1, Ordering::SeqCst);
    Standing(watch)
}

fn watches() -> MutexGuard<'static, Vec<Arc<Watch>>> {
    WATCHES.lock().unwrap_or_else(PoisonError::into_inner)
}

fn any(boundary: &'static Boundary, mut f: impl FnMut(&Watch) -> bool) -> bool {
    ACTIVE.load(Ordering::SeqCst) != 0
        && watches().iter().filter(|watch| watch.is_at(boundary)).any(|watch| f(watch))
}

/// Whether an arrival at `boundary` is to lack this variable.
pub(crate) fn removed(boundary: &'static Boundary, variable: &str) -> bool {
    any(boundary, |watch| watch.without == Some(variable))
}

/// The boundary refused for want of this variable.
pub(crate) fn refused(boundary: &'static Boundary, variable: &str) {
    any(boundary, |watch| {
        watch.refused.fetch_add(usize::from(watch.without == Some(variable)), Ordering::SeqCst);
        false
    });
}

/// The boundary let somebody in.
pub(crate) fn entered(boundary: &'static Boundary) {
    any(boundary, |watch| {
        watch.entered.fetch_add(1, Ordering::SeqCst);
        false
    });
}
