//! The clock of a turn: it stands still while somebody else's time passes.
//!
//! A turn has a deadline, and each of its tool calls a limit. Time in which a call waits for a person, or for work that has a
//! limit of its own, counts for neither: whoever waits holds a [`Paused`]. A call has a clock of its own, which stops the turn's
//! along; the clocks of the other calls go on.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use haversack::ContextVar;
use haversack::well_known::DEADLINE;
use tokio::sync::Notify;

/// The clock that the current work is measured by. Whoever binds `DEADLINE` for a turn binds it too, at the same time; without it
/// a deadline counts all time.
pub static CLOCK: ContextVar<Clock> = ContextVar::new("turn-clock");

/// A clock that can stand still. Cheap to clone.
#[derive(Clone, Default)]
pub struct Clock {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    stood: Mutex<Stood>,
    /// It goes on.
    resumed: Notify,
    within: Option<Clock>,
}

#[derive(Default)]
struct Stood {
    /// How many hold it.
    holders: usize,
    since: Option<Instant>,
    before: Duration,
}

/// Keeps a clock from going on until it is dropped.
#[must_use = "the clock goes on when this is dropped"]
pub struct Paused {
    clock: Clock,
    _within: Option<Box<Paused>>,
}

/// Stops the clock of the current work; none where no clock is bound, and nothing has to be stopped.
#[must_use = "the clock goes on when this is dropped"]
pub fn pause() -> Option<Paused> {
    CLOCK.bound().map(|clock| clock.pause())
}

impl Clock {
    /// A clock that goes.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A clock for one call, within that of the current work.
    pub(crate) fn of_a_call() -> Self {
        Self { inner: Arc::new(Inner { within: CLOCK.bound(), ..Inner::default() }) }
    }

    /// Stops it, and the one around it.
    pub fn pause(&self) -> Paused {
        let within = self.inner.within.as_ref().map(|within| Box::new(within.pause()));
        let mut stood = self.hold();
        stood.holders += 1;
        stood.since.get_or_insert_with(Instant::now);
        drop(stood);
        Paused { clock: self.clone(), _within: within }
    }

    /// Waits until `span` has passed on it.
    pub async fn pass(&self, span: Duration) {
        let (begun, before) = (Instant::now(), self.stood().0);
        self.until(|stood| span.saturating_sub(begun.elapsed().saturating_sub(stood.saturating_sub(before))))
            .await;
    }

    /// Waits until nothing is `left`, which is asked while it goes, with how long it has stood still.
    async fn until(&self, left: impl Fn(Duration) -> Duration) {
        loop {
            // Made before the look, so that no end is missed.
            let resumed = self.inner.resumed.notified();
            match self.stood() {
                (_, true) => resumed.await,
                (stood, false) => match left(stood) {
                    Duration::ZERO => return,
                    left => tokio::time::sleep(left).await,
                },
            }
        }
    }

    /// How long it has stood still, and whether it does.
    fn stood(&self) -> (Duration, bool) {
        let stood = self.hold();
        let now = stood.since.map(|since| since.elapsed());
        (stood.before + now.unwrap_or_default(), now.is_some())
    }

    fn hold(&self) -> MutexGuard<'_, Stood> {
        self.inner.stood.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Paused {
    fn drop(&mut self) {
        let mut stood = self.clock.hold();
        stood.holders = stood.holders.saturating_sub(1);
        if stood.holders == 0
            && let Some(since) = stood.since.take()
        {
            stood.before += since.elapsed();
            self.clock.inner.resumed.notify_waiters();
        }
    }
}

/// Resolves at the deadline of the current work, as its clock has it; never where no `DEADLINE` is bound.
pub(crate) async fn out_of_time() {
    let Some(deadline) = DEADLINE.bound() else { return std::future::pending().await };
    let clock = CLOCK.bound().unwrap_or_default();
    let left = |stood| (deadline.instant() + stood).saturating_duration_since(Instant::now());
    clock.until(left).await;
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clock").field("stood", &self.stood()).finish_non_exhaustive()
    }
}

impl fmt::Debug for Paused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Paused").field("clock", &self.clock).finish_non_exhaustive()
    }
}
