//! Runs computing work on the blocking pool, a bounded number of pieces a tenant at once.
//!
//! Work on text and a model that computes on its caller's thread would otherwise hold a worker of the runtime, and with it
//! every tenant. Each tenant has places of its own, so a tenant that fills its places makes only itself wait. Specialists
//! and the tools of this crate run their work here.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use haversack::well_known::{TENANT_ID, TenantId};
use haversack_store::StoreError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;

use crate::error::TurnError;
use crate::tool::ToolError;

/// Pieces of all tenants that run at once: half of the threads of a blocking pool, so that the store finds one.
const ALL: usize = 256;

/// Above this many tenants, those that run nothing are forgotten.
const SWEEP_AT: usize = 1024;

/// The places in which work may run. Cheap to clone; clones share the places.
#[derive(Clone)]
pub(crate) struct Computing {
    shared: Arc<Shared>,
}

struct Shared {
    per_tenant: usize,
    all: Arc<Semaphore>,
    tenants: Mutex<HashMap<Option<TenantId>, Weak<Semaphore>>>,
}

/// Why work has no result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotComputed {
    /// It panicked. The payload may hold stored text and is dropped.
    Panicked,
    /// The runtime goes down.
    Closed,
}

impl From<NotComputed> for TurnError {
    fn from(why: NotComputed) -> Self {
        match why {
            NotComputed::Panicked => Self::Internal("a model or a prompt panicked"),
            // A runtime that goes down drops what runs on it.
            NotComputed::Closed => Self::Cancelled,
        }
    }
}

impl From<NotComputed> for ToolError {
    fn from(why: NotComputed) -> Self {
        match why {
            NotComputed::Panicked => Self::Panicked,
            NotComputed::Closed => Self::Store(StoreError::Closed),
        }
    }
}

/// A piece of work on the pool. If it has not begun when this is dropped, it never begins.
struct Running<T>(JoinHandle<T>);

impl<T> Drop for Running<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Computing {
    /// Places for half of the processors a tenant, and at least one.
    pub(crate) fn new() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Self::with(processors / 2)
    }

    fn with(per_tenant: usize) -> Self {
        let all = Arc::new(Semaphore::new(ALL));
        Self { shared: Arc::new(Shared { per_tenant: per_tenant.max(1), all, tenants: Mutex::default() }) }
    }

    /// Runs `work` on the blocking pool in the context of this call, once the context's tenant has a free place.
    ///
    /// # Errors
    /// [`NotComputed`].
    ///
    /// # Cancellation
    /// Returns at once. Work that has begun runs to its end and keeps its place until then.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, NotComputed> {
        let places = self.places_of(TENANT_ID.bound());
        let own = places.acquire_owned().await.map_err(|_| NotComputed::Closed)?;
        let one = self.shared.all.clone().acquire_owned().await.map_err(|_| NotComputed::Closed)?;
        let held: [OwnedSemaphorePermit; 2] = [own, one];
        let mut running = Running(haversack::spawn_blocking(move || {
            let _held = held;
            work()
        }));
        (&mut running.0).await.map_err(|end| match end.is_panic() {
            true => NotComputed::Panicked,
            false => NotComputed::Closed,
        })
    }

    fn places_of(&self, tenant: Option<TenantId>) -> Arc<Semaphore> {
        let mut tenants = self.shared.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(places) = tenants.get(&tenant).and_then(Weak::upgrade) {
            return places;
        }
        if tenants.len() >= SWEEP_AT {
            tenants.retain(|_, places| places.strong_count() > 0);
        }
        let places = Arc::new(Semaphore::new(self.shared.per_tenant));
        tenants.insert(tenant, Arc::downgrade(&places));
        places
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // `#[tokio::test]` blocks on its runtime, where no frame is
mod tests {
    use std::sync::mpsc::channel;

    use haversack::testing::Isolated;

    use super::*;

    #[tokio::test]
    async fn a_tenant_that_fills_its_places_makes_only_itself_wait() {
        let computing = Computing::with(1);
        let (release, released) = channel::<()>();
        let (begun, begins) = tokio::sync::oneshot::channel();
        let work = move || {
            begun.send(()).unwrap();
            released.recv()
        };
        let mut first = Box::pin(Isolated::new().tenant("a").wrap(computing.run(work)));
        assert!(futures_util::poll!(&mut first).is_pending());
        begins.await.unwrap();
        // Its second piece waits, even if nobody waits for the first any more.
        let mut second = Box::pin(Isolated::new().tenant("a").wrap(computing.run(|| ())));
        assert!(futures_util::poll!(&mut second).is_pending());
        drop(first);
        assert!(futures_util::poll!(&mut second).is_pending());
        Isolated::new().tenant("b").wrap(computing.run(|| ())).await.unwrap();
        release.send(()).unwrap();
        second.await.unwrap();
    }
}
