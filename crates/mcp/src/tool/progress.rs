//! Progress: what a tool says while it runs.
//!
//! It is modelled as a handle that knows who listens to one call: the client that waits for it, or the job of a task. Where
//! nobody asked for progress it says nothing. The door binds one for each call, and tools get it as an argument or from
//! [`PROGRESS`].

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use haversack::ContextVar;
use haversack_jobs::Progress as JobProgress;
use rmcp::model::{ProgressNotificationParam, ProgressToken};
use rmcp::{Peer, RoleServer};

/// The progress of the current call.
pub static PROGRESS: ContextVar<Progress> = ContextVar::new("progress");

/// A way to say how far a call is.
#[derive(Clone, Default)]
pub struct Progress(Listener);

#[derive(Clone, Default)]
enum Listener {
    #[default]
    Nobody,
    Client(Arc<Client>),
    Job(JobProgress),
}

struct Client {
    peer: Peer<RoleServer>,
    token: ProgressToken,
    /// How far the last report was.
    told: AtomicU64,
}

impl Progress {
    /// Says nothing to nobody.
    #[must_use]
    pub fn silent() -> Self {
        Self::default()
    }

    /// Returns true if a client listens for progress.
    #[must_use]
    pub fn is_heard(&self) -> bool {
        !matches!(self.0, Listener::Nobody)
    }

    pub(crate) fn to(peer: Peer<RoleServer>, token: Option<ProgressToken>) -> Self {
        let client = |token| Listener::Client(Arc::new(Client { peer, token, told: AtomicU64::new(0) }));
        Self(token.map(client).unwrap_or_default())
    }

    pub(crate) fn of_job(job: JobProgress) -> Self {
        Self(Listener::Job(job))
    }

    /// Says that `done` of `total` steps are done, with words for a person where there are any. A report that is no step
    /// forward is left out, as the protocol demands. A client that went away is no error.
    ///
    /// Cancellation: a report that is not waited for may be lost.
    pub async fn report(&self, done: u64, total: Option<u64>, message: Option<&str>) {
        let heard = match &self.0 {
            Listener::Nobody => true,
            Listener::Client(client) => client.tell(done, total, message).await,
            Listener::Job(job) => match message {
                Some(message) => job.say(done, total, message).await.is_ok(),
                None => job.report(done, total).await.is_ok(),
            },
        };
        if !heard {
            tracing::debug!("nobody listens to the progress of a call any more");
        }
    }
}

impl Client {
    async fn tell(&self, done: u64, total: Option<u64>, message: Option<&str>) -> bool {
        if self.told.fetch_max(done, Ordering::Relaxed) >= done {
            return true;
        }
        let mut report = ProgressNotificationParam::new(self.token.clone(), number(done));
        report.total = total.map(number);
        report.message = message.map(str::to_owned);
        self.peer.notify_progress(report).await.is_ok()
    }
}

/// Steps beyond 2^53 lose their last digits, which nobody reads.
#[allow(clippy::cast_precision_loss)]
fn number(steps: u64) -> f64 {
    steps as f64
}

impl std::fmt::Debug for Progress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Progress").field("heard", &self.is_heard()).finish_non_exhaustive()
    }
}
