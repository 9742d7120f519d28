//! Jobs in the control file of the store: one row a job, and its sealed request beside it.
//!
//! Engine calls see the rows of every tenant and are made by the worker alone; owner calls take the scope that the store
//! read from the context. Each call is one transaction of a bounded number of statements, however many jobs wait.

mod claim;
pub(crate) mod owner;
pub(crate) mod queue;
mod record;

use std::sync::Arc;

use haversack_store::{ControlDb, EngineRows, Store, StoreError, StoreOptions, now_millis};

use super::{Ask, Backend, Claimed, Lease, Record, Standing};

/// The control file, as workers see it.
#[derive(Clone)]
pub(crate) struct Sqlite {
    control: ControlDb,
    rows: EngineRows,
}

impl Sqlite {
    pub(crate) fn new(store: &Store) -> Self {
        let control = store.control().clone();
        let rows = control.engine();
        Self { control, rows }
    }

    /// A way in of its own, which waits for no other work of this process: for leases, which must be renewed whatever
    /// else goes on. Blocks.
    pub(crate) fn apart(store: &Store) -> Result<Self, StoreError> {
        let control = ControlDb::open_shared(store.path(), &StoreOptions::default())?;
        let rows = control.engine();
        Ok(Self { control, rows })
    }
}

/// When the oldest job that is not over was submitted, over all tenants, in milliseconds since the Unix epoch, UTC; `None`
/// when every job is over. For operators who ask whether a key ring is as old as what it has to open: it names nobody.
///
/// # Errors
/// What the store says.
pub async fn oldest_live(control: &ControlDb) -> Result<Option<i64>, StoreError> {
    let rows = control.engine();
    let read = rows.read("look for the oldest job", |conn| {
        let oldest = "SELECT min(created_at) FROM jobs WHERE finished_at IS NULL";
        Ok(conn.query_row(oldest, [], |row| row.get(0))?)
    });
    read.await
}

impl Backend for Sqlite {
    async fn claim(&self, ask: Ask) -> Result<Claimed, StoreError> {
        self.rows.write("claim jobs", move |tx| claim::claim(tx, ask, now_millis())).await
    }

    async fn renew(&self, leases: Vec<Lease>, lease_ms: i64) -> Result<Vec<Standing>, StoreError> {
        let until = now_millis().saturating_add(lease_ms);
        self.rows.write("renew leases", move |tx| record::renew(tx, &leases, until)).await
    }

    async fn look(&self, leases: Vec<Lease>) -> Result<Vec<Standing>, StoreError> {
        self.rows.read("look at leases", move |conn| record::look(conn, &leases)).await
    }

    async fn record(&self, records: Arc<[Record]>) -> Result<Vec<bool>, StoreError> {
        self.rows.write("record jobs", move |tx| record::record(tx, &records, now_millis())).await
    }

    async fn sweep(&self) -> Result<usize, StoreError> {
        self.rows.write("sweep jobs", |tx| record::sweep(tx, now_millis())).await
    }

    fn version(&self) -> Result<u64, StoreError> {
        self.control.generation()
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // `#[tokio::test]` blocks on its runtime, where no frame is
mod tests {
    use std::collections::HashMap;

    use haversack_store::Store;

    use super::*;
    use crate::backend::{Ill, Report};
    use crate::job::Plan;
    use crate::{FailureKind, JobId, NewJob};

    /// A file with one job in it that falls due at once.
    async fn place() -> (tempfile::TempDir, Store, Sqlite) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), StoreOptions::default()).unwrap();
        let backend = Sqlite::new(&store);
        let (plan, _): (Plan, _) = NewJob::new("work", &()).unwrap().checked(100).unwrap();
        let job =
            queue::Sealed { id: JobId::fresh().unwrap(), principal: "p".to_owned(), plan, sealed: vec![1] };
        backend.rows.write("submit", move |tx| queue::insert(tx, "t", &job)).await.unwrap();
        (dir, store, backend)
    }

    async fn claim(backend: &Sqlite, lease_ms: i64) -> Option<Lease> {
        let queues = ["default".to_owned()].into();
        let (owner, after) = ("o".into(), HashMap::new());
        let ask = Ask { queues, turn: 0, slots: 5, owner, lease_ms, per_tenant: None, after };
        backend.claim(ask).await.unwrap().jobs.pop().map(|delivery| delivery.lease)
    }

    async fn row(backend: &Sqlite) -> String {
        let read = backend.rows.read("look", |conn| {
            Ok(conn.query_row(
                "SELECT state || generation || changes || quote(outcome) || quote(progress_done) FROM jobs",
                [],
                |row| row.get(0),
            )?)
        });
        read.await.unwrap()
    }

    #[tokio::test]
    async fn a_lost_lease_writes_nothing_and_the_one_that_is_held_writes() {
        let (_dir, _store, backend) = place().await;
        let lost = claim(&backend, 0).await.unwrap();
        let held = claim(&backend, 60_000).await.unwrap();
        assert_eq!((lost.generation, held.generation), (1, 2));
        let ill = || Ill { kind: FailureKind::Handler, code: None, text: Some(vec![9]) };
        let reports = || {
            [
                Report::Progress { done: 7, total: None, note: None },
                Report::Released(0),
                Report::Retry(ill(), 0),
                Report::Parked(ill(), 0),
                Report::Cancelled,
                Report::Failed(ill()),
                Report::Succeeded { outcome: vec![7] },
            ]
        };
        let before = row(&backend).await;
        for what in reports() {
            let written = backend.record([Record { lease: lost.clone(), what }].into()).await.unwrap();
            assert_eq!(written, [false]);
        }
        assert_eq!(backend.renew(vec![lost.clone()], 60_000).await.unwrap(), [Standing::Lost]);
        assert_eq!(backend.look(vec![lost]).await.unwrap(), [Standing::Lost]);
        assert_eq!(row(&backend).await, before);

        let progress = Report::Progress { done: 7, total: None, note: None };
        let records = [progress, Report::Succeeded { outcome: vec![7] }]
            .map(|what| Record { lease: held.clone(), what });
        assert_eq!(backend.record(records.into()).await.unwrap(), [true, true]);
        // Over is over, also for who held it.
        let again = backend.record([Record { lease: held, what: Report::Cancelled }].into()).await.unwrap();
        assert_eq!(again, [false]);
    }

    #[tokio::test]
    async fn a_delivery_is_counted_when_it_is_claimed() {
        let (_dir, _store, backend) = place().await;
        // Five are allowed, and nobody ever says anything.
        for delivery in 1..=5 {
            assert_eq!(claim(&backend, 0).await.map(|lease| lease.generation), Some(delivery));
        }
        assert_eq!(claim(&backend, 0).await, None);
        assert!(row(&backend).await.starts_with("quarantined"));
    }
}
