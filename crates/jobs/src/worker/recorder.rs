//! Writing down what attempts report, many in one transaction.
//!
//! Attempts send their records and wait for the answer; one task takes all that have come meanwhile and writes them
//! together. While the store fails it tries again, so an attempt's end is not lost by an outage.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use super::outage::Outage;
use crate::Jobs;
use crate::backend::{Backend, Lease, Record, Report};

/// The most records of one transaction.
const BATCH: usize = 256;

/// Where attempts send their records.
#[derive(Clone, Debug)]
pub(crate) struct Recorder {
    records: mpsc::UnboundedSender<(Record, oneshot::Sender<bool>)>,
}

/// The other end.
pub(crate) struct Records {
    records: mpsc::UnboundedReceiver<(Record, oneshot::Sender<bool>)>,
}

pub(crate) fn recorder() -> (Recorder, Records) {
    let (sender, receiver) = mpsc::unbounded_channel();
    (Recorder { records: sender }, Records { records: receiver })
}

impl Recorder {
    /// Writes a record; `false` when the lease is lost, or the worker ended before the store took it.
    ///
    /// Cancellation: a record that was sent is written.
    pub(crate) async fn record(&self, lease: Lease, what: Report) -> bool {
        let (answer, written) = oneshot::channel();
        let sent = self.records.send((Record { lease, what }, answer));
        sent.is_ok() && written.await.unwrap_or(false)
    }

    /// Writes a record soon. If the worker ends before, it is as if it had not happened.
    pub(crate) fn note(&self, lease: Lease, what: Report) {
        let (answer, _) = oneshot::channel();
        let _ = self.records.send((Record { lease, what }, answer));
    }
}

impl Records {
    /// Writes what comes, until every [`Recorder`] is gone. Ends are told within `tell_in` milliseconds, or by others.
    pub(crate) async fn write(mut self, jobs: Jobs, tell_in: Option<i64>) {
        let mut outage = Outage::default();
        let mut batch = Vec::new();
        while self.records.recv_many(&mut batch, BATCH).await > 0 {
            let (records, answers): (Vec<_>, Vec<_>) = batch.drain(..).unzip();
            let gives_back = records.iter().any(|record| record.what.gives_back());
            let records: Arc<[Record]> = records.into();
            let about = Arc::clone(&records);
            let written = loop {
                match jobs.shared.backend.record(Arc::clone(&records), tell_in).await {
                    Ok(written) => break written,
                    Err(error) => outage.wait("record jobs", &error).await,
                }
            };
            outage.over("record jobs");
            jobs.have_changed(about.iter().map(|record| &record.lease.id));
            if gives_back {
                jobs.fell_due();
            }
            for (answer, written) in answers.into_iter().zip(written) {
                // Nobody waits for a report whose attempt was dropped.
                let _ = answer.send(written);
            }
        }
    }
}
