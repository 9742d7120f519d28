//! Lanes: one conversation, one turn at a time.
//!
//! A lane is there while a turn of its conversation runs, and holds what waits. What a message does that arrives meanwhile is
//! decided here, by the account: it waits, it steers the turn of its own sender, or it stops the turn. The runner submits
//! and asks for the next; the lock is held for look-ups and never over an await.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use haversack::well_known::{Cancel, TenantId};
use tokio::sync::{oneshot, watch};

use super::{Identity, Reply};
use crate::GatewayError;
use crate::account::Busy;
use crate::message::Message;
use crate::resume::Place;

/// A message with its identity, on its way to a turn.
pub(crate) struct Work {
    pub(crate) identity: Arc<Identity>,
    pub(crate) message: Message,
    pub(crate) busy: Busy,
    /// Which door its turn enters.
    pub(crate) door: &'static haversack::Boundary,
    pub(crate) answered: oneshot::Sender<Result<Reply, GatewayError>>,
    /// Its place among the messages that were taken up, if it was; free when the work is over.
    #[expect(dead_code, reason = "it is held, and dropped")]
    pub(crate) place: Option<Place>,
}

impl Work {
    /// Tells whoever waits how it ended; nobody may be left.
    pub(crate) fn answer(self, outcome: Result<Reply, GatewayError>) {
        let _ = self.answered.send(outcome);
    }
}

/// A turn that may begin.
pub(crate) struct Seat {
    pub(crate) work: Work,
    pub(crate) cancel: Cancel,
    /// Cancelled too when a newer message took its place, and not when the gateway goes down.
    pub(crate) overtaken: Cancel,
    pub(crate) steering: Steering,
}

/// What a message did.
pub(crate) enum Submitted {
    /// Nothing runs in its lane: it has the first turn, and the caller drives the lane.
    First(Box<Seat>),
    /// It waits, or was given to the turn that runs.
    Waits,
}

/// Messages that were added to a turn: those that wait for it to take them, and those that it took.
#[derive(Clone, Default)]
pub(crate) struct Steering {
    shared: Arc<Mutex<Added>>,
}

#[derive(Default)]
struct Added {
    waiting: VecDeque<Work>,
    taken: Vec<Work>,
    /// The turn has ended and takes no more.
    over: bool,
}

impl Steering {
    pub(super) fn take(&self) -> Option<Message> {
        let mut added = hold(&self.shared);
        if added.over {
            return None;
        }
        let work = added.waiting.pop_front()?;
        let message = work.message.clone();
        added.taken.push(work);
        Some(message)
    }

    /// What the turn took, at its end: those are answered with it, and it takes no more.
    pub(super) fn close(&self) -> Vec<Work> {
        let mut added = hold(&self.shared);
        added.over = true;
        std::mem::take(&mut added.taken)
    }
}

/// The lanes of a gateway. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Lanes {
    lanes: Arc<Mutex<HashMap<Key, Lane>>>,
    waiting: usize,
    /// The grace period is over.
    over: Cancel,
    /// How many lanes there are; the last value says that no more are taken.
    live: Arc<watch::Sender<(usize, bool)>>,
}

/// Two tenants may have one key.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct Key(TenantId, String);

impl Key {
    pub(crate) fn of(identity: &Identity) -> Self {
        Self(identity.tenant.clone(), identity.facts.key.clone())
    }
}

struct Lane {
    runs_for: Arc<Identity>,
    cancel: Cancel,
    overtaken: Cancel,
    steering: Steering,
    waits: VecDeque<Work>,
}

impl Lanes {
    /// Lanes in which up to `waiting` messages wait.
    pub(crate) fn new(waiting: usize) -> Self {
        Self {
            lanes: Arc::default(),
            waiting,
            over: Cancel::new(),
            live: Arc::new(watch::Sender::new((0, true))),
        }
    }

    /// Puts a message into its lane.
    pub(crate) fn submit(&self, work: Work) -> Result<Submitted, GatewayError> {
        let mut lanes = hold(&self.lanes);
        if !self.live.borrow().1 {
            return Err(GatewayError::ShuttingDown);
        }
        let key = Key::of(&work.identity);
        let Some(lane) = lanes.get_mut(&key) else {
            let seat = seat(work);
            lanes.insert(key, Lane::with(&seat, VecDeque::new()));
            self.count(&lanes);
            return Ok(Submitted::First(Box::new(seat)));
        };
        let added = hold(&lane.steering.shared).waiting.len();
        if lane.waits.len() + added >= self.waiting {
            return Err(GatewayError::QueueFull);
        }
        match work.busy {
            Busy::Steer if lane.runs_for.is_same_speaker(&work.identity) && lane.waits.is_empty() => {
                hold(&lane.steering.shared).waiting.push_back(work);
            }
            Busy::Interrupt => {
                lane.overtaken.cancel();
                lane.cancel.cancel();
                lane.waits.push_back(work);
            }
            Busy::Queue | Busy::Steer => lane.waits.push_back(work),
        }
        Ok(Submitted::Waits)
    }

    /// The next turn of a lane whose turn has ended. Without one the lane is gone.
    pub(crate) fn next(&self, key: &Key) -> Option<Seat> {
        let mut lanes = hold(&self.lanes);
        let mut lane = lanes.remove(key)?;
        // What the turn did not take comes first: it arrived before everything that waits.
        let mut waits = std::mem::take(&mut hold(&lane.steering.shared).waiting);
        waits.append(&mut lane.waits);
        if self.over.is_cancelled() {
            waits.drain(..).for_each(|work| work.answer(Err(GatewayError::ShuttingDown)));
        }
        let next = waits.pop_front().map(seat);
        if let Some(seat) = &next {
            lanes.insert(key.clone(), Lane::with(seat, waits));
        }
        self.count(&lanes);
        next
    }

    /// Takes no more messages, cancels nothing.
    pub(crate) fn stop_taking(&self) {
        let _lanes = hold(&self.lanes);
        self.live.send_modify(|(_, taking)| *taking = false);
    }

    /// Whether no more messages are taken.
    pub(crate) fn is_closing(&self) -> bool {
        !self.live.borrow().1
    }

    /// Cancels every turn and drops what waits, now and from now on.
    pub(crate) fn cancel_all(&self) {
        self.over.cancel();
        let dropped: Vec<Work> = hold(&self.lanes)
            .values_mut()
            .flat_map(|lane| {
                lane.cancel.cancel();
                std::mem::take(&mut lane.waits)
            })
            .collect();
        dropped.into_iter().for_each(|work| work.answer(Err(GatewayError::ShuttingDown)));
    }

    /// Waits until no lane is left.
    pub(crate) async fn idle(&self) {
        // The sender lives in `self`, so the wait ends only when the count is zero.
        let _ = self.live.subscribe().wait_for(|(lanes, _)| *lanes == 0).await;
    }

    fn count(&self, lanes: &HashMap<Key, Lane>) {
        self.live.send_modify(|(live, _)| *live = lanes.len());
    }
}

impl Lane {
    fn with(seat: &Seat, waits: VecDeque<Work>) -> Self {
        let Seat { work, cancel, overtaken, steering } = seat;
        Self {
            runs_for: work.identity.clone(),
            cancel: cancel.clone(),
            overtaken: overtaken.clone(),
            steering: steering.clone(),
            waits,
        }
    }
}

fn seat(work: Work) -> Seat {
    Seat { work, cancel: Cancel::new(), overtaken: Cancel::new(), steering: Steering::default() }
}

/// A lock that outlives a panic: what it guards is whole between statements.
fn hold<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
