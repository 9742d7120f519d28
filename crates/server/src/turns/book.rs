//! The book of live turns: who waits behind whom. One lane for each session of each tenant, its first turn
//! runs, the others wait in the order of arrival; ended turns stay a while for clients that come back. Only
//! [`super::Turns`] and its seats write in it, under one lock that is never held over an await.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use haversack::well_known::{Principal, SessionId, TenantId};

use super::{LiveTurn, Owner, busy};
use crate::code::Code;
use crate::config::Limits;
use crate::problem::Fault;

#[derive(Default)]
pub(super) struct Book {
    pub(super) draining: bool,
    /// The grace period of a stop is over: not even messages that were accepted before have their turn.
    pub(super) over: bool,
    lanes: HashMap<LaneKey, VecDeque<Arc<LiveTurn>>>,
    per_tenant: HashMap<TenantId, usize>,
    by_id: HashMap<String, Arc<LiveTurn>>,
    /// Sessions that take no turn while they are deleted, and by how many deletions at once.
    shut: HashMap<LaneKey, usize>,
    ended: VecDeque<Arc<LiveTurn>>,
}

/// A session name alone names nothing: two tenants may choose the same one, and a colleague who tries a name that is
/// taken must not hold up its owner.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct LaneKey {
    tenant: Option<TenantId>,
    principal: Principal,
    session: SessionId,
}

impl LaneKey {
    pub(super) fn new(owner: &Owner, session: &SessionId) -> Self {
        let Owner { tenant, principal } = owner.clone();
        let key = Self { tenant: Some(tenant), principal, session: session.clone() };
        #[cfg(feature = "mutants")]
        if haversack::mutants::active(haversack::mutants::Mutant::SessionKey) {
            return Self { tenant: None, ..key };
        }
        key
    }

    fn of(turn: &LiveTurn) -> Self {
        Self::new(turn.owner(), turn.session())
    }
}

impl Book {
    /// Puts a turn at the end of its lane, or finds the live turn that it repeats. One that was `accepted` before a stop began has
    /// its turn while there is time.
    pub(super) fn enter(
        &mut self,
        turn: &Arc<LiveTurn>,
        limits: &Limits,
        accepted: bool,
    ) -> Result<Option<Arc<LiveTurn>>, Fault> {
        let key = LaneKey::of(turn);
        let lane = self.lanes.get(&key);
        // A retry is answered even while the server drains: its turn runs anyway.
        if let Some(same) =
            lane.and_then(|lane| lane.iter().find(|live| live.repeats(turn) && !live.is_cancelled()))
        {
            return if same.same_request(turn) {
                Ok(Some(same.clone()))
            } else {
                let detail =
                    "The Idempotency-Key was used before with another request; use a new key for a new one.";
                Err(Fault::new(Code::IdempotencyConflict, detail))
            };
        }
        if self.shut.contains_key(&key) {
            return Err(busy(Code::QueueFull, "This session is being deleted. Try again shortly."));
        }
        if self.over || (self.draining && !accepted) {
            return Err(Fault::retry(
                Code::ShuttingDown,
                "The server is shutting down and starts no new turns.",
                5,
            ));
        }
        let tenant = &turn.owner().tenant;
        if self.per_tenant.get(tenant).is_some_and(|live| *live >= limits.concurrent_turns) {
            return Err(busy(
                Code::TenantLimit,
                "Too many turns of this tenant are running. Try again shortly.",
            ));
        }
        if lane.is_some_and(|lane| lane.len() > limits.session_queue) {
            return Err(busy(
                Code::QueueFull,
                "Too many turns of this session are waiting. Try again shortly.",
            ));
        }
        *self.per_tenant.entry(tenant.clone()).or_default() += 1;
        self.by_id.insert(turn.id().to_owned(), turn.clone());
        let lane = self.lanes.entry(key).or_default();
        lane.push_back(turn.clone());
        if lane.len() == 1 {
            turn.go();
        }
        Ok(None)
    }

    /// Takes an ended turn out of its lane and lets the next one go.
    pub(super) fn leave(&mut self, turn: &Arc<LiveTurn>, limits: &Limits) {
        let key = LaneKey::of(turn);
        let Some(lane) = self.lanes.get_mut(&key) else { return };
        let Some(position) = lane.iter().position(|live| Arc::ptr_eq(live, turn)) else { return };
        lane.remove(position);
        match lane.front() {
            Some(next) if position == 0 => next.go(),
            Some(_) => {}
            None => drop(self.lanes.remove(&key)),
        }
        if let Some(live) = self.per_tenant.get_mut(&turn.owner().tenant) {
            *live -= 1;
            if *live == 0 {
                self.per_tenant.remove(&turn.owner().tenant);
            }
        }
        self.ended.push_back(turn.clone());
        while self.ended.len() > limits.kept_turns {
            if let Some(oldest) = self.ended.pop_front() {
                self.by_id.remove(oldest.id());
            }
        }
    }

    pub(super) fn find(&self, id: &str) -> Option<Arc<LiveTurn>> {
        self.by_id.get(id).cloned()
    }

    /// Lets no turn into a session until [`open`](Self::open).
    pub(super) fn shut(&mut self, key: LaneKey) {
        *self.shut.entry(key).or_default() += 1;
    }

    /// Takes one [`shut`](Self::shut) back.
    pub(super) fn open(&mut self, key: &LaneKey) {
        if let Some(deletions) = self.shut.get_mut(key) {
            *deletions -= 1;
            if *deletions == 0 {
                self.shut.remove(key);
            }
        }
    }

    /// Drops the ended turns of a session, and gives back those that still wait or run.
    pub(super) fn forget(&mut self, owner: &Owner, session: &SessionId) -> Vec<Arc<LiveTurn>> {
        let of_it = |turn: &Arc<LiveTurn>| turn.owner() == owner && turn.session() == session;
        for turn in self.ended.iter().filter(|turn| of_it(turn)) {
            self.by_id.remove(turn.id());
        }
        self.ended.retain(|turn| !of_it(turn));
        self.lanes.values().flatten().filter(|turn| of_it(turn)).cloned().collect()
    }

    /// Every turn that waits or runs.
    pub(super) fn live(&self) -> Vec<Arc<LiveTurn>> {
        self.lanes.values().flatten().cloned().collect()
    }

    /// How many turns are live, and how many of them wait.
    pub(super) fn counts(&self) -> (usize, usize) {
        let live: usize = self.per_tenant.values().sum();
        (live, live - self.lanes.len())
    }
}
