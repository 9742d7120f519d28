//! Strict mode: what a debug build notices and a release build does not pay for.
//!
//! Two things are found at run time. A *bare task* that an executor polls inside somebody's frame reads or changes
//! that frame, or hands work over that takes it along (known with the `tokio` feature). And work that goes on under a context whose visit ended *outlives
//! its entry*. Both are reported, not refused: the report goes to the hook, by default to the log.

use std::cell::Cell;
#[cfg(debug_assertions)]
use std::cell::RefCell;
use std::fmt;
use std::panic::Location;
use std::sync::RwLock;
#[cfg(debug_assertions)]
use std::sync::{Arc, Weak};

use crate::Entry;
#[cfg(debug_assertions)]
use crate::cell;
use crate::cell::Slots;
use crate::current;
#[cfg(debug_assertions)]
use crate::entry::EntryState;

/// Something that is probably a mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Report {
    /// A task that entered no frame read or set a variable of the frame inside which it was polled.
    BareTask {
        /// The variable.
        variable: &'static str,
        /// The source line of the read or the set.
        at: &'static Location<'static>,
    },
    /// A task that entered no frame handed work over, which took along the context of the frame inside which it was polled.
    BareHandOver {
        /// Where the work was handed over.
        at: &'static Location<'static>,
    },
    /// Work was entered under an entry whose visit has ended. Reported once per entry.
    OutlivedEntry {
        /// The entry.
        entry: Entry,
        /// Where the work was handed over.
        handed_over_at: &'static Location<'static>,
    },
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BareTask { variable, at } => write!(
                f,
                "`{variable}` was used at {at} by a task that has no context of its own and is polled inside \
                 another's; spawn it with `haversack::spawn`"
            ),
            Self::BareHandOver { at } => write!(
                f,
                "work was handed over at {at} by a task that has no context of its own and is polled inside another's, \
                 and took the other's along; spawn the task with `haversack::spawn`"
            ),
            Self::OutlivedEntry { entry, handed_over_at } => write!(
                f,
                "work handed over at {handed_over_at} goes on after {entry} ended; let it own the visit, \
                 submit a job, or detach it"
            ),
        }
    }
}

/// What is done with a report.
pub type Hook = fn(&Report);

static HOOK: RwLock<Hook> = RwLock::new(log);

/// Sends reports to `hook` from now on, in the whole process. What the hook itself reads is not reported, so it may put
/// the bindings into a log line.
pub fn on_report(hook: Hook) {
    *HOOK.write().unwrap_or_else(std::sync::PoisonError::into_inner) = hook;
}

/// The hook that is there at start: a warning in the log, or on standard error without the `tracing` feature.
pub fn log(report: &Report) {
    #[cfg(feature = "tracing")]
    tracing::warn!(target: "haversack::strict", "{report}");
    #[cfg(not(feature = "tracing"))]
    #[allow(clippy::print_stderr)] // the only channel there is; debug builds only
    {
        eprintln!("haversack: {report}");
    }
}

thread_local! {
    /// Whether this thread is in a hook: one that reads, where reading is what it is told of, would never end.
    static IN_HOOK: Cell<bool> = const { Cell::new(false) };
}

fn report(report: &Report) {
    struct Leave;
    impl Drop for Leave {
        fn drop(&mut self) {
            IN_HOOK.set(false);
        }
    }
    if IN_HOOK.replace(true) {
        return;
    }
    let _leave = Leave;
    let hook = *HOOK.read().unwrap_or_else(std::sync::PoisonError::into_inner);
    hook(report);
}

/// A variable was read or set.
pub(crate) fn used(variable: &'static str, at: &'static Location<'static>) {
    if current::entered_by_another_task() {
        report(&Report::BareTask { variable, at });
    }
}

/// Work is handed over with this context.
pub(crate) fn handed_over(slots: &Slots, at: &'static Location<'static>) {
    if current::entered_by_another_task() && slots.bindings().next().is_some() {
        report(&Report::BareHandOver { at });
    }
}

#[cfg(debug_assertions)]
thread_local! {
    /// The visit that was made last on this thread, if it still is one, and where.
    static LAST_VISIT: RefCell<Option<(Weak<EntryState>, &'static Location<'static>)>> = const { RefCell::new(None) };
}

/// A visit was made. Who takes making it for entering it reads outside of every frame next.
#[cfg(debug_assertions)]
pub(crate) fn visit_made(entry: &Arc<EntryState>, at: &'static Location<'static>) {
    // The thread may be at its end, and then nobody reads here any more.
    let _ = LAST_VISIT.try_with(|last| last.replace(Some((Arc::downgrade(entry), at))));
}

/// The visit that was made on this thread, is open, and in which nothing was ever run: its boundary, and where it was made.
pub(crate) fn idle_visit() -> Option<(&'static str, &'static Location<'static>)> {
    #[cfg(debug_assertions)]
    return LAST_VISIT
        .try_with(|last| {
            let (entry, at) = last.borrow().as_ref().map(|(entry, at)| (entry.clone(), *at))?;
            let entry = entry.upgrade().filter(|entry| entry.is_idle())?;
            Some((entry.boundary().name(), at))
        })
        .ok()
        .flatten();
    #[cfg(not(debug_assertions))]
    None
}

/// A frame is about to be entered.
#[cfg(debug_assertions)]
pub(crate) fn entering(frame: &cell::Frame) {
    let slots = frame.share();
    if let Some(state) = slots.entry().filter(|state| state.outlived_and_unreported()) {
        report(&Report::OutlivedEntry { entry: state.entry(), handed_over_at: frame.origin().at });
    }
}
