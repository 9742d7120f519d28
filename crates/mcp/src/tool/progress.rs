//! Progress: what a tool says while it runs.
//!
//! It is modelled as a handle that knows the client and the token of one call; where the client asked for no progress, or
//! where there is no client, it says nothing. The door binds one for each call, and tools get it as an argument or from
//! [`PROGRESS`].

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use haversack::ContextVar;
use rmcp::model::{ProgressNotificationParam, ProgressToken};
use rmcp::{Peer, RoleServer};

/// The progress of the current call.
pub static PROGRESS: ContextVar<Progress> = ContextVar::new("progress");

/// A way to say how far a call is.
#[derive(Clone, Default)]
pub struct Progress(Option<Arc<Listener>>);

struct Listener {
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

    pub(crate) fn to(peer: Peer<RoleServer>, token: Option<ProgressToken>) -> Self {
        Self(token.map(|token| Arc::new(Listener { peer, token, told: AtomicU64::new(0) })))
    }

    /// Says that `done` of `total` steps are done, with words for a person where there are any. A report that is no step
    /// forward is left out, as the protocol demands. A client that went away is no error.
    ///
    /// Cancellation: a report that is not waited for may be lost.
    pub async fn report(&self, done: u64, total: Option<u64>, message: Option<&str>) {
        let Some(listener) = &self.0 else { return };
        if listener.told.fetch_max(done, Ordering::Relaxed) >= done {
            return;
        }
        let mut report = ProgressNotificationParam::new(listener.token.clone(), number(done));
        report.total = total.map(number);
        report.message = message.map(str::to_owned);
        if listener.peer.notify_progress(report).await.is_err() {
            tracing::debug!("a client does not listen to progress any more");
        }
    }
}

/// Steps beyond 2^53 lose their last digits, which nobody reads.
#[allow(clippy::cast_precision_loss)]
fn number(steps: u64) -> f64 {
    steps as f64
}

impl std::fmt::Debug for Progress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Progress").field("heard", &self.0.is_some()).finish_non_exhaustive()
    }
}
