//! Rows of the control file that belong to a tenant: jobs, pipeline runs, deliveries.
//!
//! [`ControlRows`] is the current tenant's way in: it keeps its [`Scope`], compares the entry at each call and hands
//! the scope to the statement, so that the tenant in a `WHERE` comes from nowhere else. [`EngineRows`] is for the
//! engines that serve all tenants at once; they are infrastructure, run detached, and are listed by `tidy`.

use std::fmt;
use std::future::Future;

use haversack::FutureExt;

use crate::sqlite::{Connection, Transaction};
use crate::{ControlDb, Scope, StoreError};

/// The rows of one tenant in the control file, for one entry.
///
/// # Cancellation
/// As [`TenantDb`](crate::TenantDb): what has started on the blocking pool runs to its end.
#[derive(Clone)]
pub struct ControlRows {
    control: ControlDb,
    scope: Scope,
}

impl ControlRows {
    pub(crate) fn new(control: ControlDb, scope: Scope) -> Self {
        Self { control, scope }
    }

    /// Whose rows these are.
    #[must_use]
    pub fn scope(&self) -> &Scope {
        &self.scope
    }

    /// Runs `work` on one consistent state of the file. Each statement in it names the tenant of the scope that it is
    /// given.
    ///
    /// # Errors
    /// At the call, before any I/O: [`StoreError::Foreign`]. Later: [`StoreError::Closed`], what `work` returns,
    /// [`StoreError::Panicked`].
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
        F: FnOnce(&Connection, &Scope) -> Result<R, StoreError> + Send + 'static,
    {
        let asked = self.scope.check(what);
        let (control, scope) = (self.control.clone(), self.scope.clone());
        async move {
            asked?;
            control.read(what, move |conn| work(conn, &scope)).await
        }
        .in_current_context()
    }

    /// Runs `work` between `BEGIN IMMEDIATE` and `COMMIT`; an error rolls everything back.
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
        F: FnOnce(&Transaction<'_>, &Scope) -> Result<R, StoreError> + Send + 'static,
    {
        let asked = self.scope.check(what);
        let (control, scope) = (self.control.clone(), self.scope.clone());
        async move {
            asked?;
            control.write(what, move |tx| work(tx, &scope)).await
        }
        .in_current_context()
    }
}

impl fmt::Debug for ControlRows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ControlRows").field("scope", &self.scope).finish_non_exhaustive()
    }
}

/// The rows of every tenant, for an engine. It belongs to no request, so its work runs detached.
#[derive(Clone, Debug)]
pub struct EngineRows {
    control: ControlDb,
}

impl EngineRows {
    pub(super) fn new(control: ControlDb) -> Self {
        Self { control }
    }

    /// Runs `work` on one consistent state of the file.
    ///
    /// # Errors
    /// [`StoreError::Closed`], what `work` returns, [`StoreError::Panicked`].
    pub fn read<R, F>(
        &self,
        what: &'static str,
        work: F,
    ) -> impl Future<Output = Result<R, StoreError>> + Send + 'static + use<R, F>
    where
        R: Send + 'static,
        F: FnOnce(&Connection) -> Result<R, StoreError> + Send + 'static,
    {
        self.control.read(what, work)
    }

    /// Runs `work` between `BEGIN IMMEDIATE` and `COMMIT`; an error rolls everything back.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn write<R, F>(
        &self,
        what: &'static str,
        work: F,
    ) -> impl Future<Output = Result<R, StoreError>> + Send + 'static + use<R, F>
    where
        R: Send + 'static,
        F: FnOnce(&Transaction<'_>) -> Result<R, StoreError> + Send + 'static,
    {
        self.control.write(what, work)
    }
}
