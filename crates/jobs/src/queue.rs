//! The way in: a handle through which jobs are submitted, and which workers and the client share.
//!
//! It is a [`Store`], the program's key file and its manifest, and names nobody: whose job it is, is read from the
//! context at the call. The program makes one at its start; any code inside a door may submit.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use haversack::well_known::{PRINCIPAL, SESSION_ID, TENANT_ID};
use haversack::{Manifest, SealedFor};
use haversack_store::{KeyFile, Store};
use tokio::sync::watch;

use crate::backend::sqlite::Sqlite;
use crate::backend::sqlite::queue::{self, Sealed, Through};
use crate::watched::{News, Watched};
use crate::{JobError, JobId, NewJob, Submitted};

/// What a program decides about its jobs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobOptions {
    /// The most that the arguments of a job may have as JSON, in bytes.
    pub max_arguments: usize,
    /// The most that its result may have.
    pub max_result: usize,
}

impl Default for JobOptions {
    /// 256 KiB and 1 MiB.
    fn default() -> Self {
        Self { max_arguments: 256 * 1024, max_result: 1024 * 1024 }
    }
}

/// The jobs of an installation. Clones share it.
#[derive(Clone)]
pub struct Jobs {
    pub(crate) shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pub(crate) store: Store,
    pub(crate) keys: KeyFile,
    pub(crate) manifest: &'static Manifest,
    pub(crate) options: JobOptions,
    pub(crate) backend: Sqlite,
    /// Counts what may have made a job due, for the workers of this process.
    due: watch::Sender<u64>,
    /// Counts what this process changed, for those who wait for anything.
    changed: watch::Sender<u64>,
    /// Those who wait for one job.
    watched: Watched,
}

impl Jobs {
    /// The jobs in `store`, sealed with `keys`. `manifest` lists which variables travel with them; it requires at least
    /// tenant and principal, or no job can be restored.
    #[must_use]
    pub fn new(store: Store, keys: KeyFile, manifest: &'static Manifest, options: JobOptions) -> Self {
        let backend = Sqlite::new(&store);
        let (due, changed) = (watch::Sender::new(0), watch::Sender::new(0));
        let watched = Watched::default();
        Self { shared: Arc::new(Shared { store, keys, manifest, options, backend, due, changed, watched }) }
    }

    /// Submits a job. The context is captured and sealed at this call, whenever the future is polled.
    ///
    /// # Errors
    /// At the call: [`JobError::Unbound`], [`JobError::Capture`], [`JobError::TooLarge`], [`JobError::Name`],
    /// [`JobError::Keys`]. Later: [`JobError::Store`].
    ///
    /// # Cancellation
    /// A future that is dropped before it is polled leaves no trace; later the job is queued or not, whole.
    #[track_caller]
    pub fn submit(
        &self,
        job: NewJob,
    ) -> impl Future<Output = Result<Submitted, JobError>> + Send + 'static + use<> {
        let write = self.seal(job).and_then(|sealed| {
            let rows = self.shared.store.rows()?;
            Ok(rows.write("submit a job", move |tx, scope| {
                queue::insert(tx, scope.tenant().as_str(), &sealed, Through::Submit)
            }))
        });
        let jobs = self.clone();
        async move {
            let submitted = write?.await?;
            jobs.fell_due();
            Ok(submitted)
        }
    }

    /// Captures the current context and seals it with the arguments.
    #[track_caller]
    pub(crate) fn seal(&self, job: NewJob) -> Result<Sealed, JobError> {
        let (tenant, principal) = (TENANT_ID.get()?, PRINCIPAL.get()?);
        let (plan, arguments) = job.checked(self.shared.options.max_arguments)?;
        let snapshot = self.shared.manifest.capture()?;
        let id = JobId::fresh()?;
        let bound_to = SealedFor { tenant: tenant.as_str(), queue: &plan.queue, id: id.as_str() };
        let sealed = self.shared.keys.seal(&snapshot, &arguments, &bound_to)?;
        let session = SESSION_ID.bound();
        let session =
            session.map(|session| queue::hash([tenant.as_str(), principal.as_str(), session.as_str()]));
        Ok(Sealed { id, principal: principal.as_str().to_owned(), session, plan, sealed })
    }

    /// Tells the workers of this process that something may be due.
    pub(crate) fn fell_due(&self) {
        self.shared.due.send_modify(|count| *count = count.wrapping_add(1));
        self.has_changed();
    }

    /// Tells those who watch one of these jobs in this process to look again.
    pub(crate) fn have_changed<'a>(&self, ids: impl IntoIterator<Item = &'a JobId>) {
        self.shared.watched.tell(ids);
        self.has_changed();
    }

    /// Tells those who wait in this process for anything to look again.
    pub(crate) fn has_changed(&self) {
        self.shared.changed.send_modify(|count| *count = count.wrapping_add(1));
    }

    pub(crate) fn due(&self) -> watch::Receiver<u64> {
        self.shared.due.subscribe()
    }

    pub(crate) fn news_of(&self, id: &JobId) -> News {
        self.shared.watched.listen(id)
    }

    pub(crate) fn changed(&self) -> watch::Receiver<u64> {
        self.shared.changed.subscribe()
    }
}

impl fmt::Debug for Jobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Jobs").field("store", &self.shared.store).finish_non_exhaustive()
    }
}
