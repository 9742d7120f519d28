//! One tenant's open file: a writer, a few readers, and the check of the stamp.
//!
//! It is modelled as connections that operations take out and put back, behind two gates that async callers pass
//! before they hop to a blocking thread, so that no thread of the pool waits for another. Only the pool makes one;
//! the functions here that touch the file block.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use haversack::well_known::TenantId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::migrate::TENANT;
use crate::mutex::hold;
use crate::readers::{Readers, usable};
use crate::sqlite::{Access, Connection, Transaction, empty_log, open, writing};
use crate::{StoreError, StoreOptions};

pub(crate) struct TenantFile {
    tenant: TenantId,
    path: PathBuf,
    options: StoreOptions,
    /// Whether the file was made, checked and brought up by this object.
    ready: Mutex<bool>,
    writer: Mutex<Option<Connection>>,
    readers: Readers,
    write_gate: Arc<Semaphore>,
}

/// The right to use the file in one way; given back on drop.
pub(crate) struct Pass {
    _gates: Vec<OwnedSemaphorePermit>,
}

impl TenantFile {
    pub(crate) fn new(tenant: TenantId, path: PathBuf, options: StoreOptions) -> Self {
        let readers = Readers::new(options.readers_per_tenant);
        Self {
            tenant,
            path,
            options,
            ready: Mutex::default(),
            writer: Mutex::default(),
            readers,
            write_gate: Arc::new(Semaphore::new(1)),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Waits until a read may run.
    pub(crate) async fn may_read(&self) -> Result<Pass, StoreError> {
        Ok(Pass { _gates: vec![self.readers.pass().await?] })
    }

    /// Waits until nobody else writes.
    pub(crate) async fn may_write(&self) -> Result<Pass, StoreError> {
        Ok(Pass { _gates: vec![passed(Arc::clone(&self.write_gate).acquire_owned().await)?] })
    }

    /// Waits until nobody else reads or writes.
    pub(crate) async fn alone(&self) -> Result<Pass, StoreError> {
        let write = passed(Arc::clone(&self.write_gate).acquire_owned().await)?;
        let reads = self.readers.all().await?;
        Ok(Pass { _gates: vec![write, reads] })
    }

    /// Makes, checks and brings up the file, once. A failure is not kept: the next call tries again.
    pub(crate) fn make_ready(&self) -> Result<(), StoreError> {
        let mut ready = hold(&self.ready);
        if !*ready {
            let conn = open_checked(&self.path, &self.tenant, Access::Create, &self.options)?;
            *hold(&self.writer) = Some(conn);
            *ready = true;
        }
        Ok(())
    }

    /// Runs `work` on one state of the file. Call it with [`may_read`](Self::may_read) passed.
    pub(crate) fn read<R>(
        &self,
        what: &'static str,
        work: impl FnOnce(&Connection) -> Result<R, StoreError>,
    ) -> Result<R, StoreError> {
        self.make_ready()?;
        let open = || open_checked(&self.path, &self.tenant, Access::Read, &self.options);
        self.readers.read(what, &self.path, open, work)
    }

    /// Runs `work` in a transaction. Call it with [`may_write`](Self::may_write) passed.
    pub(crate) fn write<R>(
        &self,
        what: &'static str,
        work: impl FnOnce(&Transaction<'_>) -> Result<R, StoreError>,
    ) -> Result<R, StoreError> {
        self.with_writer(what, |conn| writing(conn, work))
    }

    /// As [`write`](Self::write), and then no deleted text is left in the log either. Call it
    /// [`alone`](Self::alone).
    pub(crate) fn erase<R>(
        &self,
        what: &'static str,
        work: impl FnOnce(&Transaction<'_>) -> Result<R, StoreError>,
    ) -> Result<R, StoreError> {
        self.with_writer(what, |conn| {
            let outcome = writing(conn, work)?;
            if empty_log(conn)? { Ok(outcome) } else { Err(StoreError::LogHeld { path: self.path.clone() }) }
        })
    }

    /// Copies the log into the file and closes all connections. Call it [`alone`](Self::alone).
    pub(crate) fn close(&self) -> Result<(), StoreError> {
        self.readers.clear();
        let writer = hold(&self.writer).take();
        *hold(&self.ready) = false;
        match writer {
            // A backup by another process may keep the log; it stays valid where it is.
            Some(conn) => empty_log(&conn).map(|_| ()).map_err(|cause| cause.located("close", &self.path)),
            None => Ok(()),
        }
    }

    fn with_writer<R>(
        &self,
        what: &'static str,
        work: impl FnOnce(&mut Connection) -> Result<R, StoreError>,
    ) -> Result<R, StoreError> {
        self.make_ready()?;
        let kept = hold(&self.writer).take();
        let mut conn = match kept {
            Some(conn) => conn,
            None => open_checked(&self.path, &self.tenant, Access::Write, &self.options)?,
        };
        let outcome = work(&mut conn).map_err(|cause| cause.located(what, &self.path));
        if usable(&outcome) {
            *hold(&self.writer) = Some(conn);
        }
        outcome
    }
}

/// Opens the file of `tenant`: schema checked or brought up, stamp compared.
///
/// # Errors
/// [`StoreError::NewerSchema`], [`StoreError::StampMismatch`], [`StoreError::Corrupt`] and those of the system.
pub(crate) fn open_checked(
    path: &Path,
    tenant: &TenantId,
    access: Access,
    options: &StoreOptions,
) -> Result<Connection, StoreError> {
    let mut conn = open(path, access, options)?;
    if access == Access::Create {
        TENANT.inspect(&conn, path)?;
        conn.pragma_update(None, "journal_mode", "WAL")
            .map_err(|cause| StoreError::from(cause).located("start the write-ahead log", path))?;
        TENANT.bring_up(&mut conn, path, |tx| {
            tx.execute("INSERT INTO stamp (only_row, tenant) VALUES (1, ?1)", [tenant.as_str().as_bytes()])?;
            Ok(())
        })?;
    }
    let stamp = read_stamp(&conn, path)?;
    #[cfg(feature = "mutants")]
    if haversack::mutants::active(haversack::mutants::Mutant::TenantFile) {
        return Ok(conn);
    }
    if stamp != tenant.as_str().as_bytes() {
        return Err(StoreError::StampMismatch { file: path.to_path_buf() });
    }
    Ok(conn)
}

/// The full tenant id, byte for byte, that a file was made for.
pub(crate) fn read_stamp(conn: &Connection, path: &Path) -> Result<Vec<u8>, StoreError> {
    conn.query_row("SELECT tenant FROM stamp", [], |row| row.get(0)).map_err(|cause| match cause {
        rusqlite::Error::QueryReturnedNoRows => {
            StoreError::Corrupt { file: path.to_path_buf(), what: "it has no stamp" }
        }
        cause => StoreError::from(cause).located("read the stamp", path),
    })
}

fn passed<P>(gate: Result<P, tokio::sync::AcquireError>) -> Result<P, StoreError> {
    gate.map_err(|_| StoreError::Closed)
}
