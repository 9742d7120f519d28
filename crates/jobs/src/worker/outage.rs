//! Waiting out a store that fails: a little longer after each failure, and never for good.
//!
//! Whatever a worker does with the store goes through it, so that no error of the store ends a worker.

use std::time::Duration;

use haversack_store::StoreError;

const FIRST: Duration = Duration::from_millis(20);
const LONGEST: Duration = Duration::from_secs(5);

/// How long the store has been failing.
#[derive(Default)]
pub(crate) struct Outage {
    wait: Option<Duration>,
}

impl Outage {
    /// Notes a failure, says it once per outage, and waits.
    pub(crate) async fn wait(&mut self, what: &'static str, error: &StoreError) {
        let wait = self.wait.map_or(FIRST, |wait| (wait * 2).min(LONGEST));
        if self.wait.is_none() {
            tracing::warn!(what, %error, "the store fails; the worker waits and tries again");
        }
        self.wait = Some(wait);
        tokio::time::sleep(wait).await;
    }

    /// The store works.
    pub(crate) fn over(&mut self, what: &'static str) {
        if self.wait.take().is_some() {
            tracing::info!(what, "the store works again");
        }
    }
}
