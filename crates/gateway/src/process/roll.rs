//! The processes that this gateway knows: those that run, and the last of those that ended.
//!
//! It is a map under a lock that is never held over an await. A place in it is taken before anything of a process exists, so
//! that calls at once do not pass the bound together, and given back when the process does not come to be. Only
//! [`Processes`](super::Processes) holds one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use haversack::well_known::TenantId;

use super::live::Live;

/// The processes, by id. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Roll {
    live: Arc<Mutex<HashMap<String, Arc<Live>>>>,
}

/// A place on the roll, which is given back unless the process runs.
pub(super) struct Place {
    roll: Roll,
    id: Option<String>,
}

impl Place {
    /// The process runs.
    pub(super) fn keep(mut self) {
        self.id = None;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(id) = &self.id {
            self.roll.hold().remove(id);
        }
    }
}

impl Roll {
    /// Takes a place for a process; `None` when its tenant has `most` that run.
    pub(super) fn reserve(&self, id: &str, live: &Arc<Live>, most: usize) -> Option<Place> {
        let mut all = self.hold();
        let running = |other: &&Arc<Live>| other.tenant == live.tenant && other.end().is_none();
        if all.values().filter(running).count() >= most {
            return None;
        }
        all.insert(id.to_owned(), live.clone());
        Some(Place { roll: self.clone(), id: Some(id.to_owned()) })
    }

    pub(super) fn find(&self, id: &str) -> Option<Arc<Live>> {
        self.hold().get(id).cloned()
    }

    /// Those of a session, by id.
    pub(super) fn of(&self, tenant: &TenantId, session: &str) -> Vec<(String, Arc<Live>)> {
        let all = self.hold();
        let theirs = all.iter().filter(|(_, live)| live.tenant == *tenant && live.session == session);
        let mut theirs: Vec<_> = theirs.map(|(id, live)| (id.clone(), live.clone())).collect();
        theirs.sort_by(|a, b| a.0.cmp(&b.0));
        theirs
    }

    /// Forgets those that ended longer than `keep` ago, and of each session all but the `most` that ended last.
    pub(super) fn forget(&self, keep: Duration, most: usize) {
        let mut all = self.hold();
        let mut ended: Vec<_> =
            all.iter().filter_map(|(id, live)| Some((live.end()?.at, id.clone(), live.clone()))).collect();
        ended.sort_by_key(|(at, ..)| std::cmp::Reverse(*at));
        let mut kept: HashMap<(&TenantId, &str), usize> = HashMap::new();
        for (at, id, live) in &ended {
            let of_session = kept.entry((&live.tenant, &live.session)).or_default();
            *of_session += 1;
            if *of_session > most || at.elapsed() >= keep {
                all.remove(id);
            }
        }
    }

    fn hold(&self) -> MutexGuard<'_, HashMap<String, Arc<Live>>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
