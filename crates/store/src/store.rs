//! The store: one data folder, held by one server and shared by the processes beside it.
//!
//! It is modelled as the folder's lock, the control file and the pool of tenant files, shared by all clones. The
//! program opens it once; code inside a door asks it for the current tenant, the operator door and the commands
//! ask it about the installation.

use std::fmt;
use std::future::Future;
use std::path::Path;
use std::sync::Arc;

use haversack::well_known::TenantId;

use crate::folder::{Folder, tenant_file_name};
use crate::tenant_files::TenantFiles;
use crate::{
    ControlDb, ControlRows, FileReport, Scope, StoreError, StoreOptions, TenantDb, blocking, inspect,
};

/// What must be left on the disk for the store to be ready, in bytes: a few transactions.
const LEAST_ROOM: u64 = 1024 * 1024;

/// An open data folder. Clones share it; when the last one is dropped the folder is given back.
#[derive(Clone)]
pub struct Store {
    shared: Arc<Shared>,
}

struct Shared {
    // Order matters: files are closed before the folder is given back.
    control: ControlDb,
    files: Arc<TenantFiles>,
    options: StoreOptions,
    folder: Folder,
}

impl Store {
    /// Opens the data folder at `path`, making it (mode 0700) where needed: takes its lock and brings the control
    /// file to the known schema. Tenant files are opened, checked and migrated one by one, when they are first
    /// used. Blocks.
    ///
    /// # Errors
    /// [`StoreError::InUse`], [`StoreError::ReadOnly`], [`StoreError::NewerSchema`], [`StoreError::Corrupt`],
    /// [`StoreError::Full`], [`StoreError::Io`].
    pub fn open(path: &Path, options: StoreOptions) -> Result<Self, StoreError> {
        let folder = Folder::take(path)?;
        let control = ControlDb::open(folder.root(), &options)?;
        Ok(Self::over(folder, control, options))
    }

    /// Opens the data folder at `path` beside the server, or before there is one: for workers and commands that do
    /// part of its work. Any number of processes may; no schema is changed while one has it open. Blocks.
    ///
    /// # Errors
    /// [`StoreError::InUse`] when the schema has to be brought up and the server or another process has the folder
    /// open; otherwise as [`open`](Self::open).
    pub fn join(path: &Path, options: StoreOptions) -> Result<Self, StoreError> {
        // Before we are a guest ourselves: a schema is brought up only where there is none.
        let control = ControlDb::open_shared(path, &options)?;
        let folder = Folder::join(path)?;
        Ok(Self::over(folder, control, options))
    }

    fn over(folder: Folder, control: ControlDb, options: StoreOptions) -> Self {
        let files = Arc::new(TenantFiles::new(folder.tenants(), options.clone()));
        Self { shared: Arc::new(Shared { control, files, options, folder }) }
    }

    /// The data of the current context's tenant. Touches no file.
    ///
    /// # Errors
    /// [`StoreError::Unbound`] when no tenant is bound, [`StoreError::Closed`].
    #[track_caller]
    pub fn tenant(&self) -> Result<TenantDb, StoreError> {
        let scope = Scope::current()?;
        if self.shared.files.is_shut() {
            return Err(StoreError::Closed);
        }
        Ok(TenantDb::new(Arc::clone(&self.shared.files), scope))
    }

    /// The current context's tenant's rows in the control file. Touches no file.
    ///
    /// # Errors
    /// [`StoreError::Unbound`] when no tenant is bound.
    #[track_caller]
    pub fn rows(&self) -> Result<ControlRows, StoreError> {
        Ok(ControlRows::new(self.shared.control.clone(), Scope::current()?))
    }

    /// The control file.
    #[must_use]
    pub fn control(&self) -> &ControlDb {
        &self.shared.control
    }

    /// The data folder, in canonical form.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.shared.folder.root()
    }

    /// Whether the store can be written now: the folder is held, the control file takes a write lock, and the disk has
    /// room. Cheap enough for a readiness probe.
    ///
    /// # Errors
    /// [`StoreError::Closed`], [`StoreError::Busy`], [`StoreError::ReadOnly`], [`StoreError::Corrupt`];
    /// [`StoreError::Full`] if less than 1 MiB is left on the disk.
    pub fn check(&self) -> impl Future<Output = Result<(), StoreError>> + Send + 'static + use<> {
        let root = self.shared.folder.root().to_path_buf();
        self.shared.control.write("check the control file", move |_| {
            // A system that does not tell has room until a write says otherwise.
            match rustix::fs::statvfs(&root) {
                Ok(disk) if disk.f_bavail.saturating_mul(disk.f_frsize) < LEAST_ROOM => {
                    Err(StoreError::Full { path: root })
                }
                _ => Ok(()),
            }
        })
    }

    /// Looks at every tenant file: schema, stamp, and with `deep` SQLite's own check of all pages. For doctor.
    ///
    /// # Errors
    /// Only when the folder cannot be listed: a bad file is a line of the report.
    pub fn inspect(
        &self,
        deep: bool,
    ) -> impl Future<Output = Result<Vec<FileReport>, StoreError>> + Send + 'static + use<> {
        let shared = Arc::clone(&self.shared);
        haversack::detached(blocking::run("inspect the tenant files", move || {
            inspect::tenant_files(shared.files.folder(), &shared.options, deep)
        }))
    }

    /// All tenants that have a file, read from the stamps; a file that cannot be served is left out and reported
    /// in the log. For the operator door, which enters each of them, and for nobody else.
    ///
    /// # Errors
    /// When the folder cannot be listed.
    pub fn tenants(
        &self,
    ) -> impl Future<Output = Result<Vec<TenantId>, StoreError>> + Send + 'static + use<> {
        let reports = self.inspect(false);
        async move {
            let mut tenants = Vec::new();
            for report in reports.await? {
                match (report.tenant, report.problem) {
                    (Some(tenant), None) => tenants.push(tenant),
                    (_, problem) => tracing::warn!(
                        file = %report.file.display(),
                        problem = problem.as_ref().map(tracing::field::display),
                        "a tenant file cannot be served"
                    ),
                }
            }
            Ok(tenants)
        }
    }

    /// Returns true if the tenant has a file. The operator boundary asks, so that a mistyped name makes none.
    #[must_use]
    pub fn has(&self, tenant: &TenantId) -> bool {
        self.shared.files.folder().join(tenant_file_name(tenant)).exists()
    }

    /// How many tenant files are open now.
    #[must_use]
    pub fn open_tenants(&self) -> usize {
        self.shared.files.len()
    }

    /// Refuses further use, waits for running operations, copies all logs into their files, closes them and gives
    /// the folder back. A second call does nothing.
    ///
    /// # Errors
    /// The first file that could not be closed in order; the others are closed all the same, and no commit is
    /// lost either way.
    pub fn close(&self) -> impl Future<Output = Result<(), StoreError>> + Send + 'static + use<> {
        let shared = Arc::clone(&self.shared);
        let open = shared.files.shut();
        haversack::detached(async move {
            let mut outcome = Ok(());
            for file in open {
                let pass = file.alone().await?;
                let closed = blocking::run("close a tenant file", move || {
                    let closed = file.close();
                    drop(pass);
                    closed
                })
                .await;
                outcome = outcome.and(closed);
            }
            outcome = outcome.and(shared.control.close().await);
            shared.folder.release();
            outcome
        })
    }

    pub(crate) fn files(&self) -> &Arc<TenantFiles> {
        &self.shared.files
    }

    pub(crate) fn options(&self) -> &StoreOptions {
        &self.shared.options
    }

    pub(crate) fn control_path(&self) -> std::path::PathBuf {
        self.shared.folder.control()
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("path", &self.shared.folder.root()).finish_non_exhaustive()
    }
}
