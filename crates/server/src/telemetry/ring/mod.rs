//! The recent work of this process: a bounded ring of span trees, filled by a `tracing` layer. Each unit of work
//! belongs to the tenant and principal under which its root span was opened, and each span finds its unit by its
//! ancestors. Whoever reads is taken from the current context; the ring knows no other reader.

mod layer;
mod record;

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use haversack::MissingContext;
use haversack::well_known::{SessionId, TenantId, TraceContext};

use super::kind::Kind;
use super::owner::Owner;
use super::tree::{TurnTree, Work};
pub(super) use layer::{Place, RingLayer};
use record::Record;
pub(super) use record::Recorded;

/// How much the ring keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Units of work over all tenants; 0 records none.
    pub turns: usize,
    /// Units of work of one tenant, so that a busy tenant does not push out the others.
    pub turns_per_tenant: usize,
    /// Spans of one unit of work; the rest is counted as dropped.
    pub units_per_turn: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { turns: 2_048, turns_per_tenant: 256, units_per_turn: 512 }
    }
}

/// The ring. Cheap to clone; clones share what is recorded.
#[derive(Debug, Clone, Default)]
pub struct Ring {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    bounds: Bounds,
    recent: Mutex<Recent>,
}

impl Ring {
    /// An empty ring.
    pub fn new(bounds: Bounds) -> Self {
        Self { shared: Arc::new(Shared { bounds, recent: Mutex::default() }) }
    }

    /// The tree of a turn of the current tenant and principal. `None` when the ring does not hold it, or not any more,
    /// or when it belongs to somebody else: a reader cannot tell these apart.
    ///
    /// # Errors
    /// [`MissingContext`] when no tenant or principal is bound, that is, outside a door.
    pub fn turn(&self, turn: &str) -> Result<Option<TurnTree>, MissingContext> {
        let found = self.newest(turn, |record| record.kind == Kind::Turn)?;
        Ok(found.map(|record| {
            let Recorded { started_at, complete, dropped, units } = record.recorded();
            TurnTree { turn: record.id.clone(), started_at, complete, dropped, units }
        }))
    }

    /// Every unit of work of a trace that belongs to the current tenant and principal, in the order they began.
    ///
    /// # Errors
    /// As [`turn`](Self::turn).
    pub fn trace(&self, trace: &str) -> Result<Vec<Work>, MissingContext> {
        let reader = Owner::current()?;
        let of_it = |record: &&Arc<Record>| {
            record.trace.as_ref().is_some_and(|held| held.trace_id() == trace)
                && reader.may_read(&record.owner)
        };
        let held: Vec<Arc<Record>> = self.recent().order.iter().filter(of_it).cloned().collect();
        Ok(held.iter().filter_map(|record| record.work()).collect())
    }

    /// The newest trace of this id that belongs to the current tenant and principal: the id of a unit of work, of a
    /// request, or of the trace itself.
    ///
    /// # Errors
    /// As [`turn`](Self::turn).
    pub fn trace_of(&self, id: &str) -> Result<Option<String>, MissingContext> {
        let reader = Owner::current()?;
        let recent = self.recent();
        let mut held = recent.order.iter().rev();
        let found = held.find(|record| record.is_called(id) && reader.may_read(&record.owner));
        Ok(found.and_then(|record| record.trace.as_ref().map(|trace| trace.trace_id().to_owned())))
    }

    /// What is recorded of the unit of work at this place of a trace.
    ///
    /// # Errors
    /// As [`turn`](Self::turn).
    pub(super) fn recorded(&self, id: &str, at: &TraceContext) -> Result<Option<Recorded>, MissingContext> {
        Ok(self.newest(id, |record| record.trace.as_ref() == Some(at))?.map(|record| record.recorded()))
    }

    /// Drops what was recorded in a session of the current tenant and principal.
    ///
    /// # Errors
    /// As [`turn`](Self::turn).
    pub fn forget(&self, session: &SessionId) -> Result<(), MissingContext> {
        let owner = Owner::current()?;
        self.recent().forget(|record| record.owner == owner && record.session.as_ref() == Some(session));
        Ok(())
    }

    /// The layer that fills this ring.
    pub(super) fn layer(&self) -> RingLayer {
        RingLayer { ring: self.clone() }
    }

    fn newest(
        &self,
        id: &str,
        wanted: impl Fn(&Record) -> bool,
    ) -> Result<Option<Arc<Record>>, MissingContext> {
        let reader = Owner::current()?;
        let recent = self.recent();
        let mut held = recent.by_id.get(id).into_iter().flatten().rev();
        Ok(held.find(|record| wanted(record) && reader.may_read(&record.owner)).cloned())
    }

    /// The record that a root span begins, or, when the same unit of work of the same owner comes again, continues.
    fn begin(&self, kind: Kind, id: String, owner: Owner) -> Option<Arc<Record>> {
        let bounds = self.shared.bounds;
        if bounds.turns == 0 {
            return None;
        }
        let new = Record::new(kind, id, owner, bounds.units_per_turn);
        let same =
            |held: &&Arc<Record>| held.owner == new.owner && held.kind == new.kind && held.trace == new.trace;
        let mut recent = self.recent();
        if let Some(known) = recent.by_id.get(&new.id).and_then(|held| held.iter().find(same)) {
            return Some(Arc::clone(known));
        }
        recent.insert(Arc::clone(&new), bounds);
        Some(new)
    }

    /// A panic elsewhere does not make what is recorded less true.
    fn recent(&self) -> MutexGuard<'_, Recent> {
        self.shared.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The records in the order they began.
#[derive(Debug, Default)]
struct Recent {
    /// One id may have several: attempts of a job, and whatever strangers call theirs.
    by_id: HashMap<String, Vec<Arc<Record>>>,
    order: VecDeque<Arc<Record>>,
    per_tenant: HashMap<TenantId, usize>,
}

impl Recent {
    fn insert(&mut self, record: Arc<Record>, bounds: Bounds) {
        let own = self.per_tenant.get(&record.owner.tenant).copied().unwrap_or(0);
        if own >= bounds.turns_per_tenant {
            let oldest = self.order.iter().position(|held| held.owner.tenant == record.owner.tenant);
            if let Some(oldest) = oldest {
                self.remove(oldest);
            }
        }
        if self.order.len() >= bounds.turns {
            self.remove(0);
        }
        *self.per_tenant.entry(record.owner.tenant.clone()).or_default() += 1;
        self.by_id.entry(record.id.clone()).or_default().push(Arc::clone(&record));
        self.order.push_back(record);
    }

    fn remove(&mut self, position: usize) {
        if let Some(gone) = self.order.remove(position) {
            self.unlist(&gone);
        }
    }

    fn forget(&mut self, gone: impl Fn(&Record) -> bool) {
        let (forgotten, kept): (VecDeque<_>, _) =
            std::mem::take(&mut self.order).into_iter().partition(|record| gone(record));
        self.order = kept;
        for record in &forgotten {
            self.unlist(record);
        }
    }

    /// Takes a record that left the order out of the other maps.
    fn unlist(&mut self, gone: &Arc<Record>) {
        if let Some(held) = self.by_id.get_mut(&gone.id) {
            held.retain(|record| !Arc::ptr_eq(record, gone));
            if held.is_empty() {
                self.by_id.remove(&gone.id);
            }
        }
        if let Some(count) = self.per_tenant.get_mut(&gone.owner.tenant) {
            *count -= 1;
            if *count == 0 {
                self.per_tenant.remove(&gone.owner.tenant);
            }
        }
    }
}
