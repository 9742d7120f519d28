//! The control file: what belongs to the installation and not to one tenant.
//!
//! It is modelled as one connection that writers take turns on, a few that read beside it, and one that only watches for
//! changes, so that nobody's long read holds up a claim.
//! The doors (to look up a key), the operator door and the key commands may use it; its work runs detached, because
//! it belongs to no request.

mod audit;
mod counts;
mod keys;
mod rows;

use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use tokio::sync::Semaphore;

pub use audit::{Audit, AuditRow};
pub use counts::TenantCounts;
pub use keys::{KeyRole, KeyRow, Keys};
pub use rows::{ControlRows, EngineRows};

use crate::migrate::{Before, CONTROL};
use crate::mutex::hold;
use crate::readers::Readers;
use crate::sqlite::{Access, Connection, Transaction, empty_log, open, writing};
use crate::{StoreError, StoreOptions, blocking, folder};

/// How many reads of the control file run at the same time, over all tenants.
const READERS: usize = 4;

/// The open control file. Clones share it.
#[derive(Clone)]
pub struct ControlDb {
    shared: Arc<Shared>,
}

struct Shared {
    path: PathBuf,
    options: StoreOptions,
    gate: Arc<Semaphore>,
    conn: Mutex<Option<Connection>>,
    readers: Readers,
    /// None once the file is closed.
    watch: Mutex<Option<Connection>>,
}

impl ControlDb {
    /// Opens the control file of the data folder `data` without taking the folder, beside a running server: for
    /// key administration. Makes folder and file when they are not there. Blocks.
    ///
    /// # Errors
    /// [`StoreError::NewerSchema`]; [`StoreError::InUse`] when the file has an older schema and a server runs;
    /// [`StoreError::ReadOnly`], [`StoreError::Corrupt`], [`StoreError::Io`].
    pub fn open_shared(data: &Path, options: &StoreOptions) -> Result<Self, StoreError> {
        let root = folder::prepare(data)?;
        let path = root.join(folder::CONTROL_FILE);
        let conn = open(&path, Access::Create, options)?;
        // Only the holder of the folder may change a schema that others rely on. Filling an empty file is safe:
        // whoever comes second finds it filled.
        let lock = match CONTROL.inspect(&conn, &path)? {
            Before::Version(found) if found < CONTROL.known() => Some(folder::lock(&root)?),
            _ => None,
        };
        let opened = Self::open(&root, options)?;
        drop(lock);
        Ok(opened)
    }

    /// Opens the control file of the data folder `root`, which the caller holds where the schema has to change.
    pub(crate) fn open(root: &Path, options: &StoreOptions) -> Result<Self, StoreError> {
        let path = &root.join(folder::CONTROL_FILE);
        let mut conn = open(path, Access::Create, options)?;
        let alone = match CONTROL.inspect(&conn, path)? {
            Before::Version(found) if found < CONTROL.known() => Some(folder::without_guests(root)?),
            _ => None,
        };
        conn.pragma_update(None, "journal_mode", "WAL")
            .map_err(|cause| StoreError::from(cause).located("start the write-ahead log", path))?;
        CONTROL.bring_up(&mut conn, path, |_| Ok(()))?;
        drop(alone);
        let watch = open(path, Access::Read, options)?;
        Ok(Self {
            shared: Arc::new(Shared {
                path: path.to_path_buf(),
                options: options.clone(),
                gate: Arc::new(Semaphore::new(1)),
                conn: Mutex::new(Some(conn)),
                readers: Readers::new(READERS),
                watch: Mutex::new(Some(watch)),
            }),
        })
    }

    /// The API keys.
    #[must_use]
    pub fn keys(&self) -> Keys {
        Keys::new(self.clone())
    }

    /// What operators did.
    #[must_use]
    pub fn audit(&self) -> Audit {
        Audit::new(self.clone())
    }

    /// All rows, for engines that serve every tenant: they claim, renew and sweep, and hand each piece of work to its
    /// owner's context. `cargo xtask tidy` lists who may ask.
    #[must_use]
    pub fn engine(&self) -> EngineRows {
        EngineRows::new(self.clone())
    }

    /// A number that differs from the last one when anybody, also another process, changed the control file in
    /// between. It reads shared memory, takes microseconds and may be asked at each request; a cache that was
    /// filled under the same number is still right.
    ///
    /// # Errors
    /// [`StoreError::Closed`], and whatever SQLite refuses.
    pub fn generation(&self) -> Result<u64, StoreError> {
        let watch = hold(&self.shared.watch);
        let conn = watch.as_ref().ok_or(StoreError::Closed)?;
        let version: i64 = conn
            .prepare_cached("PRAGMA data_version")
            .and_then(|mut statement| statement.query_row([], |row| row.get(0)))
            .map_err(|cause| StoreError::from(cause).located("watch the control file", &self.shared.path))?;
        Ok(version.unsigned_abs())
    }

    /// Whether anything waits here that is sealed: a job or a run that is not over, or what the gateway still has to say
    /// or to do. A key ring that is made now opens none of it. Blocks.
    ///
    /// # Errors
    /// [`StoreError::Closed`], and whatever SQLite refuses.
    pub fn waits_sealed(&self) -> Result<bool, StoreError> {
        let watch = hold(&self.shared.watch);
        let conn = watch.as_ref().ok_or(StoreError::Closed)?;
        let waits = "SELECT EXISTS (SELECT 1 FROM jobs WHERE finished_at IS NULL)
                         OR EXISTS (SELECT 1 FROM pipeline_runs WHERE ended_at IS NULL)
                         OR EXISTS (SELECT 1 FROM gateway_arrivals WHERE finished_at IS NULL AND sealed IS NOT NULL)
                         OR EXISTS (SELECT 1 FROM gateway_deliveries WHERE state IN ('pending', 'attempting'))
                         OR EXISTS (SELECT 1 FROM gateway_schedules)
                         OR EXISTS (SELECT 1 FROM gateway_processes WHERE sealed IS NOT NULL)";
        conn.query_row(waits, [], |row| row.get(0))
            .map_err(|cause| StoreError::from(cause).located("look for what waits sealed", &self.shared.path))
    }

    pub(crate) fn read<R, F>(
        &self,
        what: &'static str,
        work: F,
    ) -> impl Future<Output = Result<R, StoreError>> + Send + 'static + use<R, F>
    where
        R: Send + 'static,
        F: FnOnce(&Connection) -> Result<R, StoreError> + Send + 'static,
    {
        let shared = Arc::clone(&self.shared);
        haversack::detached(async move {
            let pass = shared.readers.pass().await?;
            blocking::run(what, move || {
                let outcome = if hold(&shared.watch).is_none() {
                    Err(StoreError::Closed)
                } else {
                    let open = || open(&shared.path, Access::Read, &shared.options);
                    shared.readers.read(what, &shared.path, open, work)
                };
                drop(pass);
                outcome
            })
            .await
        })
    }

    pub(crate) fn write<R, F>(
        &self,
        what: &'static str,
        work: F,
    ) -> impl Future<Output = Result<R, StoreError>> + Send + 'static + use<R, F>
    where
        R: Send + 'static,
        F: FnOnce(&Transaction<'_>) -> Result<R, StoreError> + Send + 'static,
    {
        let shared = Arc::clone(&self.shared);
        haversack::detached(async move {
            let pass = Arc::clone(&shared.gate).acquire_owned().await.map_err(|_| StoreError::Closed)?;
            blocking::run(what, move || {
                // The connection stays in its place: a panic rolls the transaction back and leaves it usable.
                let mut conn = hold(&shared.conn);
                let outcome = match conn.as_mut() {
                    Some(conn) => writing(conn, work).map_err(|cause| cause.located(what, &shared.path)),
                    None => Err(StoreError::Closed),
                };
                drop(conn);
                drop(pass);
                outcome
            })
            .await
        })
    }

    /// Waits for running work, empties the log and closes the file.
    pub(crate) fn close(&self) -> impl Future<Output = Result<(), StoreError>> + Send + 'static + use<> {
        let shared = Arc::clone(&self.shared);
        haversack::detached(async move {
            let pass = Arc::clone(&shared.gate).acquire_owned().await.map_err(|_| StoreError::Closed)?;
            let reads = shared.readers.all().await?;
            blocking::run("close the control file", move || {
                drop(hold(&shared.watch).take());
                shared.readers.clear();
                let conn = hold(&shared.conn).take();
                let closed = match conn {
                    // A key command that runs beside us keeps the log; it stays valid where it is.
                    Some(conn) => empty_log(&conn).map(|_| ()),
                    None => Ok(()),
                };
                drop((pass, reads));
                closed
            })
            .await
        })
    }
}

impl std::fmt::Debug for ControlDb {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ControlDb").field("path", &self.shared.path).finish_non_exhaustive()
    }
}
