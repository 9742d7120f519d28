//! The runs that this process executes now: how to stop them, and how to hear of them.
//!
//! It is one map inside [`Pipelines`](crate::Pipelines), keyed by the runs' ids, with an entry for as long as an executor
//! works. A later executor of the same run takes the earlier one's place and stops it. What other processes execute is
//! not in it: they are told through the run's row.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use haversack::well_known::Cancel;
use tokio::sync::watch;

#[derive(Debug, Default)]
pub(crate) struct Live {
    runs: Mutex<HashMap<String, Here>>,
}

#[derive(Debug)]
struct Here {
    generation: u64,
    stop: Stop,
    wrote: watch::Receiver<u64>,
}

/// How an executor is told to stop, and why.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stop {
    pub(crate) cancel: Cancel,
    called_off: Arc<AtomicBool>,
    overtaken: Arc<AtomicBool>,
}

impl Stop {
    /// One that the caller's own `CANCEL` stops too.
    pub(crate) fn under(cancel: &Cancel) -> Self {
        Self { cancel: cancel.child(), called_off: Arc::default(), overtaken: Arc::default() }
    }

    /// The run's end was asked for: it is written down. Whoever only stops the executor leaves the run to the next one.
    pub(crate) fn call_off(&self) {
        self.called_off.store(true, Ordering::Relaxed);
        self.cancel.cancel();
    }

    pub(crate) fn is_called_off(&self) -> bool {
        self.called_off.load(Ordering::Relaxed)
    }

    pub(crate) fn overtake(&self) {
        self.overtaken.store(true, Ordering::Relaxed);
        self.cancel.cancel();
    }

    pub(crate) fn is_overtaken(&self) -> bool {
        self.overtaken.load(Ordering::Relaxed)
    }
}

/// The entry of one executor; it goes when this is dropped.
pub(crate) struct Seat<'a> {
    live: &'a Live,
    id: String,
    generation: u64,
}

impl Live {
    /// Enters an executor, and stops an earlier one of the same run.
    pub(crate) fn enter(
        &self,
        id: String,
        generation: u64,
        stop: Stop,
        wrote: watch::Receiver<u64>,
    ) -> Seat<'_> {
        let mut runs = self.hold();
        let is_newer = runs.get(&id).is_none_or(|here| here.generation < generation);
        if is_newer && let Some(earlier) = runs.insert(id.clone(), Here { generation, stop, wrote }) {
            earlier.stop.overtake();
        }
        Seat { live: self, id, generation }
    }

    /// Stops the run, if it is executed here.
    pub(crate) fn cancel(&self, id: &str) {
        if let Some(here) = self.hold().get(id) {
            here.stop.call_off();
        }
    }

    /// Stops the run, if it is executed here, as one that is no longer its executor's.
    pub(crate) fn overtake(&self, id: &str) {
        if let Some(here) = self.hold().get(id) {
            here.stop.overtake();
        }
    }

    /// What changes with each write of the run, if it is executed here.
    pub(crate) fn wrote(&self, id: &str) -> Option<watch::Receiver<u64>> {
        let mut wrote = self.hold().get(id)?.wrote.clone();
        wrote.mark_unchanged();
        Some(wrote)
    }

    fn hold(&self) -> MutexGuard<'_, HashMap<String, Here>> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        let mut runs = self.live.hold();
        if runs.get(&self.id).is_some_and(|here| here.generation == self.generation) {
            runs.remove(&self.id);
        }
    }
}
