//! A job seen by its owner: look, list, follow, call off, fetch the result, drive again.
//!
//! The owner is the tenant and the principal of the context, both, read at each call. A job of somebody else answers as
//! one that does not exist. Any code inside a door may ask; what operators see is not here.

use std::future::Future;

use haversack::FutureExt;
use haversack::well_known::{PRINCIPAL, Principal, SESSION_ID};
use haversack_store::{ControlRows, KeyFile};
use serde::{Deserialize, Serialize};

use crate::backend::Backend;
use crate::backend::sqlite::owner::{self, Driven, Found};
use crate::backend::sqlite::queue;
use crate::sealed::{Said, open};
use crate::state::Step;
use crate::{FailureKind, Job, JobError, JobId, JobWatch, Jobs, Outcome, State};

/// The most jobs of one page.
const PAGE: u32 = 100;

/// Who asks, within the tenant.
#[derive(Clone)]
pub(crate) struct Owner(Principal);

impl Owner {
    #[track_caller]
    fn current() -> Result<Self, JobError> {
        Ok(Self(PRINCIPAL.get()?))
    }
}

/// Some of the caller's jobs, the newest first.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Page {
    /// The jobs.
    pub jobs: Vec<Job>,
    /// Where the next page begins; `None` when there is none.
    pub next: Option<Cursor>,
}

/// A place in the list of the caller's jobs: behind the job that it names. It opens nothing: whose jobs are listed is always read
/// from the context. It holds what the job's owner knows, and no number that other tenants' jobs count up.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Cursor {
    /// Milliseconds since the Unix epoch, UTC; where to go on if the job is gone.
    created_at: i64,
    job: JobId,
}

impl From<Cursor> for String {
    fn from(Cursor { created_at, job }: Cursor) -> Self {
        format!("{created_at}.{job}")
    }
}

impl TryFrom<String> for Cursor {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let wrong = "this is no cursor";
        let (created_at, job) = text.split_once('.').ok_or(wrong)?;
        let created_at = created_at.parse().map_err(|_| wrong)?;
        Ok(Self { created_at, job: job.parse().map_err(|_| wrong)? })
    }
}

impl Jobs {
    /// The job of this id.
    ///
    /// # Errors
    /// At the call, before any I/O: [`JobError::Unbound`]. Later: [`JobError::Unknown`], [`JobError::Store`].
    #[track_caller]
    pub fn get(&self, id: &JobId) -> impl Future<Output = Result<Job, JobError>> + Send + 'static + use<> {
        let asked = self.ask();
        let (jobs, id) = (self.clone(), id.clone());
        async move {
            let (rows, owner) = asked?;
            read_one(&jobs, &rows, &owner, &id).await
        }
        .in_current_context()
    }

    /// Up to `limit` of the caller's jobs, the newest first, from `from` on; at most 100.
    ///
    /// # Errors
    /// As [`get`](Self::get), without [`JobError::Unknown`].
    #[track_caller]
    pub fn list(
        &self,
        from: Option<Cursor>,
        limit: u32,
    ) -> impl Future<Output = Result<Page, JobError>> + Send + 'static + use<> {
        let asked = self.ask();
        let jobs = self.clone();
        let limit = limit.clamp(1, PAGE);
        async move {
            let (rows, owner) = asked?;
            let read = rows.read("list jobs", move |conn, scope| {
                let before = from.as_ref().map(|from| (from.created_at, &from.job));
                owner::list(conn, scope, owner.0.as_str(), before, limit)
            });
            let found = read.await?;
            let last = found.last().filter(|_| found.len() == limit as usize).map(|last| &last.job);
            let next = last.map(|last| Cursor { created_at: last.created_at, job: last.id.clone() });
            let (keys, tenant) = (jobs.shared.keys.clone(), rows.scope().tenant().clone());
            let jobs = found.into_iter().map(|found| job(found, tenant.as_str(), &keys)).collect();
            Ok(Page { jobs, next })
        }
        .in_current_context()
    }

    /// Calls a job off: at once when no worker has it; otherwise its worker is asked, from whichever process, gives the
    /// handler its time to stop and then stops it. Gives the state after the call; a job that is over stays as it is.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    #[track_caller]
    pub fn cancel(
        &self,
        id: &JobId,
    ) -> impl Future<Output = Result<State, JobError>> + Send + 'static + use<> {
        let asked = self.ask();
        let (jobs, id) = (self.clone(), id.clone());
        async move {
            let (rows, owner) = asked?;
            let asked = id.clone();
            let write = rows
                .write("cancel a job", move |tx, scope| owner::cancel(tx, scope, owner.0.as_str(), &asked));
            let state = write.await?.ok_or(JobError::Unknown)?;
            jobs.have_changed([&id]);
            Ok(state)
        }
        .in_current_context()
    }

    /// What a job came to.
    ///
    /// # Errors
    /// As [`get`](Self::get), and [`JobError::Sealed`] when the result cannot be opened.
    #[track_caller]
    pub fn result(
        &self,
        id: &JobId,
    ) -> impl Future<Output = Result<Outcome, JobError>> + Send + 'static + use<> {
        let asked = self.ask();
        let (jobs, id) = (self.clone(), id.clone());
        async move {
            let (rows, owner) = asked?;
            let found = find(&rows, &owner, &id).await?;
            outcome(found, rows.scope().tenant().as_str(), &jobs.shared.keys)
        }
        .in_current_context()
    }

    /// Follows a job. Touches no file.
    ///
    /// # Errors
    /// [`JobError::Unbound`].
    #[track_caller]
    pub fn watch(&self, id: &JobId) -> Result<JobWatch, JobError> {
        let (rows, owner) = self.ask()?;
        Ok(JobWatch::new(self.clone(), rows, owner, id.clone()))
    }

    /// Waits until a job is over, in whichever process it runs, and gives what it came to.
    ///
    /// # Errors
    /// As [`result`](Self::result).
    #[track_caller]
    pub fn wait(
        &self,
        id: &JobId,
    ) -> impl Future<Output = Result<Outcome, JobError>> + Send + 'static + use<> {
        let watch = self.watch(id);
        let (jobs, id) = (self.clone(), id.clone());
        async move {
            let mut watch = watch?;
            while watch.next().await?.is_some() {}
            jobs.result(&id).await
        }
        .in_current_context()
    }

    /// Queues a job that failed, was put into quarantine or is parked once more, from its first attempt and with what it
    /// was submitted with.
    ///
    /// # Errors
    /// As [`get`](Self::get), and [`JobError::NotDrivable`].
    #[track_caller]
    pub fn redrive(&self, id: &JobId) -> impl Future<Output = Result<(), JobError>> + Send + 'static + use<> {
        let asked = self.ask();
        let (jobs, id) = (self.clone(), id.clone());
        async move {
            let (rows, owner) = asked?;
            let asked = id.clone();
            let write = rows
                .write("redrive a job", move |tx, scope| owner::redrive(tx, scope, owner.0.as_str(), &asked));
            match write.await? {
                Driven::Queued => {
                    jobs.have_changed([&id]);
                    jobs.fell_due();
                    Ok(())
                }
                Driven::Refused => Err(JobError::NotDrivable),
                Driven::Unknown => Err(JobError::Unknown),
            }
        }
        .in_current_context()
    }

    /// Deletes the jobs that were submitted in the session of the current context, for that is deleted too: those that are
    /// over or wait, with all that is sealed of them, and nobody is told; those that run are called off and deleted at
    /// their end. How many there were. It relays the tenant's outbox first, where some may still stand.
    ///
    /// # Errors
    /// As [`list`](Self::list).
    #[track_caller]
    pub fn forget_session(&self) -> impl Future<Output = Result<usize, JobError>> + Send + 'static + use<> {
        let asked = self.ask().and_then(|(rows, owner)| Ok((rows, owner, SESSION_ID.get()?)));
        let relaying = self.relay();
        let jobs = self.clone();
        async move {
            let (rows, owner, session) = asked?;
            relaying.await?;
            let principal = owner.0.as_str().to_owned();
            let session = queue::hash([rows.scope().tenant().as_str(), &principal, session.as_str()]);
            let write = rows.write("delete the jobs of a session", move |tx, scope| {
                owner::forget(tx, scope, &principal, &session)
            });
            let forgotten = write.await?;
            jobs.has_changed();
            Ok(forgotten)
        }
        .in_current_context()
    }

    /// The scope of the caller, read at the call.
    #[track_caller]
    fn ask(&self) -> Result<(ControlRows, Owner), JobError> {
        Ok((self.shared.store.rows()?, Owner::current()?))
    }

    pub(crate) fn version(&self) -> Option<u64> {
        self.shared.backend.version().ok()
    }
}

async fn find(rows: &ControlRows, owner: &Owner, id: &JobId) -> Result<Found, JobError> {
    let (principal, id) = (owner.0.clone(), id.clone());
    let read = rows.read("read a job", move |conn, scope| owner::get(conn, scope, principal.as_str(), &id));
    read.await?.ok_or(JobError::Unknown)
}

pub(crate) async fn read_one(
    jobs: &Jobs,
    rows: &ControlRows,
    owner: &Owner,
    id: &JobId,
) -> Result<Job, JobError> {
    let found = find(rows, owner, id).await?;
    Ok(job(found, rows.scope().tenant().as_str(), &jobs.shared.keys))
}

/// The row as its owner sees it. A note that cannot be opened is left out: the numbers still help.
fn job(found: Found, tenant: &str, keys: &KeyFile) -> Job {
    let note = found.note.and_then(|sealed| open(Said::Note, tenant, &found.job.id, &sealed, keys).ok());
    let note = note.and_then(|note| String::from_utf8(note).ok());
    let progress = found.done.map(|(done, total)| Step { done, total, note });
    Job { progress, ..found.job }
}

fn outcome(found: Found, tenant: &str, keys: &KeyFile) -> Result<Outcome, JobError> {
    let Found { job, outcome: said, .. } = found;
    let opened = |what| said.map(|sealed| open(what, tenant, &job.id, &sealed, keys)).transpose();
    match job.state {
        State::Succeeded => {
            let result = opened(Said::Result)?.ok_or(JobError::Sealed)?;
            let result = serde_json::from_slice(&result).map_err(|_| JobError::Sealed)?;
            Ok(Outcome::Succeeded { result })
        }
        State::Failed | State::Quarantined => {
            let text = opened(Said::Failure)?.and_then(|text| String::from_utf8(text).ok());
            let kind = job.failure.unwrap_or(FailureKind::Handler);
            Ok(Outcome::Failed { kind, code: job.failure_code, text })
        }
        State::Cancelled => Ok(Outcome::Cancelled),
        state => Ok(Outcome::Pending { state }),
    }
}
