//! A gateway at work: deliveries, schedules and what watches over processes, in a task beside the server's. It begins with the
//! server, and ends after everything that may still say something.

use std::time::Duration;

use haversack::well_known::Cancel;
use haversack_gateway::Gateway;

/// How long the last deliveries may take when the server stops. What is left goes out after the next start.
const LAST_DELIVERIES: Duration = Duration::from_secs(5);

/// A gateway that runs until it is stopped.
#[derive(Debug)]
pub(crate) struct Running {
    gateway: Gateway,
    stop: Cancel,
    task: tokio::task::JoinHandle<()>,
}

impl Running {
    /// Starts the loops of a gateway in a task of their own.
    pub(crate) fn start(gateway: Gateway) -> Self {
        let (stop, runs) = (Cancel::new(), gateway.clone());
        let stopped = stop.clone();
        let task = haversack::spawn_detached(async move { runs.run(stopped.cancelled()).await });
        Self { gateway, stop, task }
    }

    /// Takes no more messages, and waits up to `grace` for the turns of those it took, before they are stopped.
    pub(crate) async fn drain(&self, grace: Duration) {
        self.gateway.drain(grace).await;
    }

    /// Delivers what is due, for a few seconds, and ends the loops. A delivery that is cut off is sent once more after the next
    /// start, and says so.
    pub(crate) async fn stop(mut self) {
        self.stop.cancel();
        if tokio::time::timeout(LAST_DELIVERIES, &mut self.task).await.is_err() {
            self.task.abort();
            // It ends at its next await, so the store is not in use when it is closed.
            let _ = self.task.await;
        }
    }
}
