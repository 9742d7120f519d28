//! The seam between the queue and where it is kept: what a worker asks of a backend, and in which words.
//!
//! A [`Backend`] hands out leases and accepts what a holder of one has to say, always fenced by the generation of that
//! lease. Only SQLite is behind it now. The worker calls it for jobs of every tenant; what a caller may do with their
//! own jobs goes past it, through the rows of their scope.

pub(crate) mod sqlite;

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;

use haversack_store::StoreError;

use crate::policy::Backoff;
use crate::{FailureKind, JobId, State};

/// What serves jobs of every tenant to workers. Each call is one transaction.
pub(crate) trait Backend: Send + Sync + 'static {
    /// Takes up to `ask.slots` due jobs, fairly over their tenants, each under a new lease. It first puts back what
    /// other workers' expired leases held.
    fn claim(&self, ask: Ask) -> impl Future<Output = Result<Claimed, StoreError>> + Send;

    /// Extends leases by `lease_ms` from now, and says what has become of each.
    fn renew(
        &self,
        leases: Vec<Lease>,
        lease_ms: i64,
    ) -> impl Future<Output = Result<Vec<Standing>, StoreError>> + Send;

    /// As [`renew`](Self::renew), without extending anything.
    fn look(&self, leases: Vec<Lease>) -> impl Future<Output = Result<Vec<Standing>, StoreError>> + Send;

    /// Writes down what holders of leases report. `false` for one whose lease is lost: nothing of it was written. An end
    /// that the holder does not say to be told in `tell_in` milliseconds is told by somebody else; with `None` there is
    /// nobody to tell.
    fn record(
        &self,
        records: Arc<[Record]>,
        tell_in: Option<i64>,
    ) -> impl Future<Output = Result<Vec<bool>, StoreError>> + Send;

    /// Takes up to `limit` jobs whose end is to be told. One that is not [`Report::Told`] is offered again after
    /// `again_ms`, and later each time.
    fn untold(&self, limit: usize, again_ms: i64) -> impl Future<Output = Result<Untold, StoreError>> + Send;

    /// Deletes some of the rows whose time is up; how many. Zero means that none is left.
    fn sweep(&self) -> impl Future<Output = Result<usize, StoreError>> + Send;

    /// A number that changes when anybody, also another process, changed something. Takes microseconds.
    fn version(&self) -> Result<u64, StoreError>;
}

/// A worker's request for work.
#[derive(Clone)]
pub(crate) struct Ask {
    pub(crate) queues: Arc<[String]>,
    /// Counts the claims of a worker.
    pub(crate) turn: usize,
    pub(crate) slots: usize,
    pub(crate) owner: Arc<str>,
    pub(crate) lease_ms: i64,
    /// How many jobs of one tenant may run at the same time, over all workers.
    pub(crate) per_tenant: Option<usize>,
    /// How many jobs of one tenant this worker may run at the same time.
    pub(crate) share: Option<usize>,
    /// Where it is on its way round each queue's tenants.
    pub(crate) places: HashMap<String, Place>,
}

/// Where a worker is on its way round the tenants of a queue.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub(crate) struct Place {
    /// The tenant behind which it goes on; the empty text is before the first.
    pub(crate) after: String,
    /// The rest of a lap that is not done.
    pub(crate) lap: Option<Unfinished>,
}

/// A lap of several claims.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Unfinished {
    /// The tenant behind which it began, and behind which it ends.
    pub(crate) began: String,
    /// Whether it has come past the last tenant.
    pub(crate) wrapped: bool,
    /// When the first of those falls due that it met so far.
    pub(crate) next_at: Option<i64>,
}

/// What it gave.
pub(crate) struct Claimed {
    pub(crate) jobs: Vec<Delivery>,
    pub(crate) places: HashMap<String, Place>,
    /// When something else falls due, over the whole lap when it is done.
    pub(crate) next_at: Option<i64>,
    /// A lap is not done and slots are left: ask again.
    pub(crate) more: bool,
    /// Somebody had no more because they have their share.
    pub(crate) held_back: bool,
}

/// One job, handed to this worker under a lease.
pub(crate) struct Delivery {
    pub(crate) lease: Lease,
    pub(crate) tenant: String,
    pub(crate) principal: String,
    pub(crate) queue: String,
    pub(crate) handler: String,
    pub(crate) attempt: u32,
    pub(crate) max_attempts: u32,
    /// Counts how often it was begun from its first attempt.
    pub(crate) drive: u32,
    pub(crate) backoff: Backoff,
    pub(crate) timeout_ms: i64,
    pub(crate) deadline: Option<i64>,
    /// When it fell due.
    pub(crate) due_at: i64,
    pub(crate) sealed: Vec<u8>,
}

/// Jobs whose end is to be told.
pub(crate) struct Untold {
    pub(crate) jobs: Vec<Ended>,
    /// When the next one is due that was not taken.
    pub(crate) next_at: Option<i64>,
}

/// One of them, as it was handed out last.
pub(crate) struct Ended {
    pub(crate) delivery: Delivery,
    pub(crate) state: State,
    pub(crate) failure: Option<FailureKind>,
    pub(crate) code: Option<String>,
    /// What it answered or why not, sealed.
    pub(crate) outcome: Option<Vec<u8>>,
    /// How often telling was tried, this time included.
    pub(crate) tries: u32,
}

/// The right to speak for a job, until somebody else has it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Lease {
    pub(crate) id: JobId,
    pub(crate) generation: u64,
}

/// What has become of a lease.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Standing {
    Held,
    /// Held, and the owner calls the job off.
    CancelRequested,
    Lost,
}

/// What a holder of a lease reports.
#[derive(Clone)]
pub(crate) struct Record {
    pub(crate) lease: Lease,
    pub(crate) what: Report,
}

#[derive(Clone)]
pub(crate) enum Report {
    Progress {
        done: u64,
        total: Option<u64>,
        note: Option<Vec<u8>>,
    },
    Succeeded {
        outcome: Vec<u8>,
    },
    Failed(Ill),
    /// Another attempt, after so many milliseconds.
    Retry(Ill, i64),
    /// Offered again after so many milliseconds, to whoever may be able to read it.
    Parked(Ill, i64),
    /// Called off by its owner, or with the reason why nobody may do it any more.
    Cancelled(Option<Ill>),
    /// Given back as if it had not been taken, to be taken after so many milliseconds.
    Released(i64),
    /// The end of this drive was told, or it is `lost`: nobody can be told.
    Told {
        drive: u32,
        lost: bool,
    },
}

/// Why a job is not well.
#[derive(Clone)]
pub(crate) struct Ill {
    pub(crate) kind: FailureKind,
    pub(crate) code: Option<String>,
    /// The handler's own words, sealed.
    pub(crate) text: Option<Vec<u8>>,
}

impl Report {
    /// Whether somebody may claim the job after it.
    pub(crate) fn gives_back(&self) -> bool {
        matches!(self, Self::Retry(..) | Self::Parked(..) | Self::Released(_))
    }
}
