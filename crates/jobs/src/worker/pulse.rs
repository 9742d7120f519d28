//! The pulse of a worker: a thread of its own that keeps the leases, and notices what other processes changed.
//!
//! It shares neither threads nor a connection with the handlers and the queue, so no handler that blocks and no backlog
//! makes a lease run out. It tells attempts to stop, and tells the worker when something may be due.

use std::sync::Arc;
use std::time::{Duration, Instant};

use haversack_store::StoreError;
use tokio::sync::{oneshot, watch};

use super::running::{Running, Stop};
use crate::Jobs;
use crate::backend::sqlite::Sqlite;
use crate::backend::{Backend, Lease, Standing};
use crate::policy::millis;

/// A pulse that beats until it is dropped or stopped.
pub(super) struct Pulse {
    stop: watch::Sender<bool>,
    ended: oneshot::Receiver<()>,
}

struct Beat {
    jobs: Jobs,
    backend: Sqlite,
    running: Arc<Running>,
    lease: Duration,
    poll: Duration,
    version: Option<u64>,
    renewed: Instant,
}

impl Pulse {
    /// Starts the thread. Blocks for as long as opening the file takes.
    pub(super) fn start(
        jobs: Jobs,
        running: Arc<Running>,
        lease: Duration,
        poll: Duration,
    ) -> Result<Self, StoreError> {
        let backend = Sqlite::apart(&jobs.shared.store)?;
        let failed = |source| StoreError::Io { path: jobs.shared.store.path().to_path_buf(), source };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().map_err(failed)?;
        let (stop, stopped) = watch::channel(false);
        let (end, ended) = oneshot::channel();
        let mut beat = Beat {
            jobs: jobs.clone(),
            backend,
            running,
            lease,
            poll,
            version: None,
            renewed: Instant::now(),
        };
        let run = move || {
            haversack::block_on(&runtime, haversack::detached(beat.run(stopped)));
            // The worker may be gone.
            let _ = end.send(());
        };
        haversack::thread::Builder::new().name("haversack-pulse".to_owned()).spawn(run).map_err(failed)?;
        Ok(Self { stop, ended })
    }

    /// Stops it and waits until it has.
    pub(super) async fn stop(self) {
        self.stop.send_replace(true);
        let _ = self.ended.await;
    }
}

impl Beat {
    async fn run(&mut self, mut stopped: watch::Receiver<bool>) {
        loop {
            tokio::select! {
                // Also when the worker was dropped.
                _ = stopped.wait_for(|stop| *stop) => return,
                () = tokio::time::sleep(self.poll) => {}
            }
            if let Err(error) = self.beat().await {
                tracing::warn!(%error, "leases could not be looked after; trying again");
                tokio::time::sleep(self.poll * 5).await;
            }
        }
    }

    async fn beat(&mut self) -> Result<(), StoreError> {
        let version = self.backend.version()?;
        let changed = self.version != Some(version);
        let leases = self.running.leases();
        if self.renewed.elapsed() >= self.lease / 3 {
            self.renewed = Instant::now();
            let standing = self.backend.renew(leases.clone(), millis(self.lease)).await?;
            self.act(&leases, &standing);
        } else if changed && !leases.is_empty() {
            let standing = self.backend.look(leases.clone()).await?;
            self.act(&leases, &standing);
        }
        // Only now: what was not looked at is looked at in the next beat.
        self.version = Some(version);
        if changed {
            self.jobs.fell_due();
        }
        Ok(())
    }

    fn act(&self, leases: &[Lease], standing: &[Standing]) {
        for (lease, standing) in leases.iter().zip(standing) {
            match standing {
                Standing::Held => {}
                Standing::CancelRequested => self.running.stop(lease, Stop::Cancelled),
                Standing::Lost => self.running.stop(lease, Stop::Lost),
            }
        }
    }
}
