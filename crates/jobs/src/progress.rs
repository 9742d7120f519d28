//! How far a job is: what its handler says, and how others follow it.
//!
//! A handler has a [`Progress`] of its own lease; what it reports is written to its job's row and no other, and refused
//! when the lease is lost. Whoever owns the job follows a [`JobWatch`], a stream of numbered pictures that works in every
//! process.

use std::time::Duration;

use haversack_store::ControlRows;

use crate::backend::{Lease, Report};
use crate::client::{Owner, read_one};
use crate::sealed::{Said, seal};
use crate::watched::News;
use crate::worker::recorder::Recorder;
use crate::{Failure, Job, JobError, JobId, Jobs};

/// How often a change is looked for that nobody here tells of: one by another process. The look reads shared memory.
const LOOK: Duration = Duration::from_millis(500);

/// The longest note, in bytes.
const NOTE: usize = 4096;

/// Where a handler says how far it is.
#[derive(Clone, Debug)]
pub struct Progress {
    pub(crate) lease: Lease,
    pub(crate) recorder: Recorder,
    pub(crate) jobs: Jobs,
}

/// The report was not written: the job was given to another worker, and this handler should stop.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("this worker has lost the job, and what it says of it is no longer written; stop working on it")]
pub struct LostLease;

impl Progress {
    /// Says that `done` of `total` is done.
    ///
    /// # Errors
    /// [`LostLease`] when another worker has the job.
    ///
    /// # Cancellation
    /// A report that was begun is written.
    pub async fn report(&self, done: u64, total: Option<u64>) -> Result<(), LostLease> {
        self.write(done, total, None).await
    }

    /// As [`report`](Self::report), with words for the owner, of which the first 4096 bytes are kept. They are stored
    /// sealed.
    ///
    /// # Errors
    /// As [`report`](Self::report), and when the words cannot be sealed.
    pub async fn say(&self, done: u64, total: Option<u64>, note: &str) -> Result<(), Failure> {
        let end = note.floor_char_boundary(NOTE);
        let note = seal(Said::Note, &self.lease.id, &note.as_bytes()[..end], &self.jobs.shared.keys)?;
        Ok(self.write(done, total, Some(note)).await?)
    }

    async fn write(&self, done: u64, total: Option<u64>, note: Option<Vec<u8>>) -> Result<(), LostLease> {
        let written = self.recorder.record(self.lease.clone(), Report::Progress { done, total, note }).await;
        if written { Ok(()) } else { Err(LostLease) }
    }
}

/// Pictures of one job, each with a higher [`change`](Job::change) than the last. A watcher that is slow misses pictures
/// in between and never the last one.
#[must_use = "a watch does nothing until it is asked for the next picture"]
pub struct JobWatch {
    jobs: Jobs,
    rows: ControlRows,
    owner: Owner,
    id: JobId,
    seen: u64,
    over: bool,
    news: News,
}

impl JobWatch {
    pub(crate) fn new(jobs: Jobs, rows: ControlRows, owner: Owner, id: JobId) -> Self {
        let news = jobs.news_of(&id);
        Self { jobs, rows, owner, id, seen: 0, over: false, news }
    }

    /// Begins behind the picture with this number, which was seen before.
    pub fn after(mut self, change: u64) -> Self {
        self.seen = change;
        self
    }

    /// Waits for the next picture; `None` after the one in which the job is over.
    ///
    /// # Errors
    /// [`JobError::Unknown`] when the job is not the caller's or was swept; [`JobError::Store`], also when this is asked
    /// under another entry than the watch was made under.
    ///
    /// # Cancellation
    /// Loses nothing.
    pub async fn next(&mut self) -> Result<Option<Job>, JobError> {
        if self.over {
            return Ok(None);
        }
        loop {
            self.news.are_known();
            let version = self.jobs.version();
            let job = read_one(&self.jobs, &self.rows, &self.owner, &self.id).await?;
            if job.change > self.seen {
                self.seen = job.change;
                self.over = job.state.is_final();
                return Ok(Some(job));
            }
            if job.state.is_final() {
                self.over = true;
                return Ok(None);
            }
            self.until_changed(version).await;
        }
    }

    /// Waits until this process changed the job, or the file shows that somebody changed something.
    async fn until_changed(&mut self, version: Option<u64>) {
        loop {
            tokio::select! {
                () = self.news.come() => return,
                () = tokio::time::sleep(LOOK) => {}
            }
            if self.jobs.version() != version {
                return;
            }
        }
    }
}

impl std::fmt::Debug for JobWatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JobWatch").field("id", &self.id).field("seen", &self.seen).finish_non_exhaustive()
    }
}
