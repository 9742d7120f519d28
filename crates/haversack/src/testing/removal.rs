//! The hook in the doors: a variable that is not bound although the code at the door binds it, and what the door
//! made of that.
//!
//! Only a missing-path check removes a variable, at one boundary, on its own thread or in the whole process. Where no
//! check runs, a door pays one load.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::ThreadId;

use crate::Boundary;

static ACTIVE: AtomicUsize = AtomicUsize::new(0);
static WATCHES: Mutex<Vec<Arc<Watch>>> = Mutex::new(Vec::new());

/// Which door is watched.
#[derive(Clone, Copy, Debug)]
pub(super) enum Door {
    This(&'static Boundary),
    Named(&'static str),
}

impl Door {
    fn is(self, boundary: &'static Boundary) -> bool {
        match self {
            Self::This(door) => std::ptr::eq(door, boundary),
            Self::Named(name) => name == boundary.name(),
        }
    }
}

/// One run of an entry point, as its door saw it.
#[derive(Debug)]
pub(super) struct Watch {
    door: Door,
    /// What is not bound; nothing in the control run.
    without: Option<&'static str>,
    /// `None` is the whole process.
    thread: Option<ThreadId>,
    refused: AtomicUsize,
    entered: OnceLock<&'static Boundary>,
}

impl Watch {
    /// Whether the door refused because of the variable that was removed.
    pub(super) fn refused(&self) -> bool {
        self.refused.load(Ordering::SeqCst) > 0
    }

    /// The door, once it has let somebody in.
    pub(super) fn entered(&self) -> Option<&'static Boundary> {
        self.entered.get().copied()
    }

    fn is_at(&self, boundary: &'static Boundary) -> bool {
        let here = self.thread.is_none_or(|thread| thread == std::thread::current().id());
        here && self.door.is(boundary)
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

pub(super) fn watch(door: Door, without: Option<&'static str>, thread: Option<ThreadId>) -> Standing {
    let (refused, entered) = (AtomicUsize::new(0), OnceLock::new());
    let watch = Arc::new(Watch { door, without, thread, refused, entered });
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
        watch.entered.get_or_init(|| boundary);
        false
    });
}
