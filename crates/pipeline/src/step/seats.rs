//! Seats of steps that hold more than memory: a child process, a folder.
//!
//! There are so many for all, and so many of them may be one tenant's. Whoever waits first waits for its tenant's share, and
//! only then among the others, so that a tenant with a thousand steps stands in the common line with no more than its
//! share. Attempts take a seat before they open anything; dropping it gives it back.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};

/// The seats of one process.
#[derive(Debug)]
pub(crate) struct Seats {
    children: Row,
    /// Of steps of this process's own code that work in a folder.
    folders: Row,
}

/// A seat that is taken.
#[derive(Debug)]
pub(crate) struct Seat {
    _all: OwnedSemaphorePermit,
    _own: OwnedSemaphorePermit,
}

#[derive(Debug)]
struct Row {
    all: Arc<Semaphore>,
    share: usize,
    /// By tenant, of those that have a seat or wait for one.
    shares: Mutex<HashMap<String, Weak<Semaphore>>>,
}

impl Seats {
    /// So many for all, and so many of them for one tenant.
    pub(crate) fn new(all: usize, share: usize) -> Self {
        Self { children: Row::new(all, share), folders: Row::new(all, share) }
    }

    /// Waits for a seat of this tenant's share.
    pub(crate) async fn take(&self, owner: &str, is_child: bool) -> Result<Seat, AcquireError> {
        if is_child { self.children.take(owner).await } else { self.folders.take(owner).await }
    }
}

impl Row {
    fn new(all: usize, share: usize) -> Self {
        let all = all.clamp(1, Semaphore::MAX_PERMITS);
        let share = share.clamp(1, all);
        Self { all: Arc::new(Semaphore::new(all)), share, shares: Mutex::default() }
    }

    async fn take(&self, owner: &str) -> Result<Seat, AcquireError> {
        let share = self.share(owner);
        let own = Arc::clone(&share).acquire_owned().await?;
        let all = Arc::clone(&self.all).acquire_owned().await?;
        Ok(Seat { _all: all, _own: own })
    }

    fn share(&self, owner: &str) -> Arc<Semaphore> {
        let mut shares = self.shares.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(share) = shares.get(owner).and_then(Weak::upgrade) {
            return share;
        }
        shares.retain(|_, share| share.strong_count() > 0);
        let share = Arc::new(Semaphore::new(self.share));
        shares.insert(owner.to_owned(), Arc::downgrade(&share));
        share
    }
}
