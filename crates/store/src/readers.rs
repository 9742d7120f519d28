//! The connections that read one file, beside its writer.
//!
//! It is modelled as a gate that lets so many in, and the connections that wait for the next one: each is opened when it
//! is first needed, and dropped when its reader panicked or met a damaged file. The tenant files and the control file
//! have one each; async callers pass the gate before they hop to a blocking thread.

use std::path::Path;
use std::sync::{Arc, Mutex};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::StoreError;
use crate::mutex::hold;
use crate::sqlite::{Connection, reading};

pub(crate) struct Readers {
    gate: Arc<Semaphore>,
    slots: u32,
    kept: Mutex<Vec<Connection>>,
}

impl Readers {
    /// So many reads at the same time; at least 1 and at most 64.
    pub(crate) fn new(slots: usize) -> Self {
        let slots = slots.clamp(1, 64);
        Self {
            gate: Arc::new(Semaphore::new(slots)),
            slots: u32::try_from(slots).unwrap_or(1),
            kept: Mutex::default(),
        }
    }

    /// Waits until a read may run.
    pub(crate) async fn pass(&self) -> Result<OwnedSemaphorePermit, StoreError> {
        Arc::clone(&self.gate).acquire_owned().await.map_err(|_| StoreError::Closed)
    }

    /// Waits until nobody reads.
    pub(crate) async fn all(&self) -> Result<OwnedSemaphorePermit, StoreError> {
        Arc::clone(&self.gate).acquire_many_owned(self.slots).await.map_err(|_| StoreError::Closed)
    }

    /// Runs `work` on one state of the file, with the [`pass`](Self::pass) in hand. Blocks.
    pub(crate) fn read<R>(
        &self,
        what: &'static str,
        path: &Path,
        open: impl FnOnce() -> Result<Connection, StoreError>,
        work: impl FnOnce(&Connection) -> Result<R, StoreError>,
    ) -> Result<R, StoreError> {
        let kept = hold(&self.kept).pop();
        let conn = match kept {
            Some(conn) => conn,
            None => open()?,
        };
        // A panic in `work` drops the connection, and with it whatever state it was left in.
        let outcome = reading(&conn, work).map_err(|cause| cause.located(what, path));
        if usable(&outcome) {
            hold(&self.kept).push(conn);
        }
        outcome
    }

    /// Closes the connections that nobody uses now.
    pub(crate) fn clear(&self) {
        hold(&self.kept).clear();
    }
}

/// A connection that met a damaged file is closed, so that a repaired file is seen.
pub(crate) fn usable<R>(outcome: &Result<R, StoreError>) -> bool {
    !matches!(outcome, Err(StoreError::Corrupt { .. } | StoreError::Io { .. }))
}
