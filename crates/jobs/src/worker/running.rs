//! The jobs that a worker has under way: their leases, and the way to stop each.
//!
//! An attempt enters here before its handler runs and leaves when it is over, in whatever way. The pulse and the shutdown
//! look in to stop some; the attempt hears of it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use haversack::well_known::Cancel;
use tokio::sync::{Notify, watch};

use crate::backend::Lease;

/// Why an attempt is to stop.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Stop {
    /// Its owner called it off: it gets time to come to an end.
    Cancelled,
    /// Another worker may have it: it stops at once and is not heard any more.
    Lost,
    /// The worker shuts down: it stops at once and is given back.
    Released,
}

#[derive(Default)]
pub(crate) struct Running {
    held: Mutex<HashMap<Lease, Held>>,
    count: AtomicUsize,
    freed: Notify,
}

struct Held {
    stop: watch::Sender<Option<Stop>>,
    cancel: Cancel,
}

impl Running {
    /// Enters an attempt.
    pub(crate) fn hold(self: &Arc<Self>, lease: Lease) -> Holding {
        let (stop, stopped) = watch::channel(None);
        let cancel = Cancel::new();
        self.held().insert(lease.clone(), Held { stop, cancel: cancel.clone() });
        self.count.fetch_add(1, Ordering::Relaxed);
        Holding { running: Arc::clone(self), lease, stopped, cancel }
    }

    /// How many attempts are under way.
    pub(crate) fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Waits until an attempt ended since the last time.
    pub(crate) async fn freed(&self) {
        self.freed.notified().await;
    }

    pub(crate) fn leases(&self) -> Vec<Lease> {
        self.held().keys().cloned().collect()
    }

    /// Stops one, unless it was told to stop before for a reason that is as good.
    pub(crate) fn stop(&self, lease: &Lease, why: Stop) {
        if let Some(held) = self.held().get(lease) {
            held.say(why);
        }
    }

    pub(crate) fn stop_all(&self, why: Stop) {
        self.held().values().for_each(|held| held.say(why));
    }

    fn held(&self) -> MutexGuard<'_, HashMap<Lease, Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    fn say(&self, why: Stop) {
        self.stop.send_if_modified(|stop| {
            // A job that is lost while it is being cancelled stops at once.
            let news = stop.is_none() || (*stop == Some(Stop::Cancelled) && why != Stop::Cancelled);
            if news {
                *stop = Some(why);
            }
            news
        });
        // Only now, so that an attempt which hears of it knows why.
        self.cancel.cancel();
    }
}

/// One attempt's place among the running ones; given up when it is dropped.
pub(crate) struct Holding {
    running: Arc<Running>,
    pub(crate) lease: Lease,
    stopped: watch::Receiver<Option<Stop>>,
    /// What the handler sees.
    pub(crate) cancel: Cancel,
}

impl Holding {
    /// Its end is written down: from now on nobody stops it, and it keeps its slot alone.
    pub(crate) fn written(&self) {
        self.running.held().remove(&self.lease);
    }

    /// Waits until it is to stop.
    pub(crate) async fn stopped(&mut self) -> Stop {
        match self.stopped.wait_for(Option::is_some).await.map(|stop| *stop) {
            Ok(Some(stop)) => stop,
            // Nobody is left who could renew the lease.
            _ => Stop::Lost,
        }
    }

    /// Waits until it is to stop at once.
    pub(crate) async fn stopped_at_once(&mut self) -> Stop {
        let at_once = |stop: &Option<Stop>| stop.is_some_and(|stop| stop != Stop::Cancelled);
        match self.stopped.wait_for(at_once).await.map(|stop| *stop) {
            Ok(Some(stop)) => stop,
            _ => Stop::Lost,
        }
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        self.running.held().remove(&self.lease);
        self.running.count.fetch_sub(1, Ordering::Relaxed);
        self.running.freed.notify_one();
    }
}
