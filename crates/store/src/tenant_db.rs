//! A handle to the current tenant's data: read, write, erase.
//!
//! It is a [`Scope`] and the pool; each call compares the entry at the call itself, before any I/O and before
//! anybody polls, then carries the caller's context along to wherever the work is done. Code inside a door gets
//! one from [`Store::tenant`](crate::Store::tenant); it names no tenant and cannot be pointed at another.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use haversack::FutureExt;

use crate::sqlite::{Connection, Transaction};
use crate::tenant_files::{TenantFile, TenantFiles};
use crate::{Scope, StoreError, blocking};

/// The data of the tenant in whose context it was made, for that one entry.
///
/// # Cancellation
/// A future that is dropped before it started leaves no trace. Once an operation runs on the blocking pool it
/// runs to its end although nobody waits: a write commits or rolls back whole.
#[derive(Clone)]
pub struct TenantDb {
    files: Arc<TenantFiles>,
    scope: Scope,
}

impl TenantDb {
    pub(crate) fn new(files: Arc<TenantFiles>, scope: Scope) -> Self {
        Self { files, scope }
    }

    /// Whose data this is.
    #[must_use]
    pub fn scope(&self) -> &Scope {
        &self.scope
    }

    /// Runs `work` on one consistent state of the tenant's file, beside other reads and one write. Statements
    /// that change the file are refused.
    ///
    /// # Errors
    /// At the call, before any I/O: [`StoreError::Foreign`], [`StoreError::Closed`]. Later: what opening the file
    /// meets, what `work` returns, [`StoreError::Panicked`].
    ///
    /// # Panics
    /// When it is polled outside a tokio runtime.
    #[track_caller]
    pub fn read<R, F>(
        &self,
        what: &'static str,
        work: F,
    ) -> impl Future<Output = Result<R, StoreError>> + Send + 'static + use<R, F>
    where
        R: Send + 'static,
        F: FnOnce(&Connection) -> Result<R, StoreError> + Send + 'static,
    {
        let asked = self.ask(what);
        async move {
            let (files, file) = asked?;
            let pass = file.may_read().await?;
            blocking::run(what, move || {
                let outcome = file.read(what, work);
                finish(pass, file, &files);
                outcome
            })
            .await
        }
        .in_current_context()
    }

    /// Runs `work` between `BEGIN IMMEDIATE` and `COMMIT`; an error rolls everything back. Writes of one tenant
    /// run one after the other, in the order in which their futures were first polled.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    ///
    /// # Panics
    /// When it is polled outside a tokio runtime.
    #[track_caller]
    pub fn write<R, F>(
        &self,
        what: &'static str,
        work: F,
    ) -> impl Future<Output = Result<R, StoreError>> + Send + 'static + use<R, F>
    where
        R: Send + 'static,
        F: FnOnce(&Transaction<'_>) -> Result<R, StoreError> + Send + 'static,
    {
        let asked = self.ask(what);
        async move {
            let (files, file) = asked?;
            let pass = file.may_write().await?;
            blocking::run(what, move || {
                let outcome = file.write(what, work);
                finish(pass, file, &files);
                outcome
            })
            .await
        }
        .in_current_context()
    }

    /// As [`write`](Self::write), for deletions that must not be readable afterwards: deleted text is overwritten
    /// in the file, and the write-ahead log is emptied before the future resolves. It waits for the tenant's
    /// running reads and costs disk flushes, so it is meant for forgetting, not for housekeeping.
    ///
    /// Out of reach: backups, copies made before a migration, and what a file system keeps of freed blocks.
    ///
    /// # Errors
    /// As [`read`](Self::read); [`StoreError::LogHeld`] when the change is committed but another process still reads
    /// the log. Erasing again finishes the job, also when nothing is left to delete.
    ///
    /// # Panics
    /// When it is polled outside a tokio runtime.
    #[track_caller]
    pub fn erase<R, F>(
        &self,
        what: &'static str,
        work: F,
    ) -> impl Future<Output = Result<R, StoreError>> + Send + 'static + use<R, F>
    where
        R: Send + 'static,
        F: FnOnce(&Transaction<'_>) -> Result<R, StoreError> + Send + 'static,
    {
        let asked = self.ask(what);
        async move {
            let (files, file) = asked?;
            let pass = file.alone().await?;
            blocking::run(what, move || {
                let outcome = file.erase(what, work);
                finish(pass, file, &files);
                outcome
            })
            .await
        }
        .in_current_context()
    }

    /// The one gate of this type: entry first, then the pool. No I/O.
    #[track_caller]
    fn ask(&self, what: &'static str) -> Result<(Arc<TenantFiles>, Arc<TenantFile>), StoreError> {
        self.scope.check(what)?;
        Ok((Arc::clone(&self.files), self.files.get(self.scope.tenant())?))
    }
}

impl fmt::Debug for TenantDb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TenantDb").field("scope", &self.scope).finish_non_exhaustive()
    }
}

/// Lets the next operation in and closes files that fell out of the pool, on the thread that may block.
fn finish(pass: crate::tenant_files::Pass, file: Arc<TenantFile>, files: &TenantFiles) {
    drop(pass);
    drop(file);
    files.close_retired();
}
