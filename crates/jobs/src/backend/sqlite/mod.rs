//! Jobs in the control file of the store: one row a job, and its sealed request beside it.
//!
//! Engine calls see the rows of every tenant and are made by the worker alone; owner calls take the scope that the store
//! read from the context. Each call is one transaction of a bounded number of statements, however many jobs wait.

mod claim;
pub(crate) mod owner;
pub(crate) mod queue;
mod record;
mod untold;

use std::sync::Arc;

use haversack_store::sqlite::Transaction;
use haversack_store::{ControlDb, EngineRows, Store, StoreError, StoreOptions, now_millis};

use super::{Ask, Backend, Claimed, Lease, Record, Standing, Untold};

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

    async fn record(&self, records: Arc<[Record]>, tell_in: Option<i64>) -> Result<Vec<bool>, StoreError> {
        let write = move |tx: &Transaction<'_>| record::record(tx, &records, tell_in, now_millis());
        self.rows.write("record jobs", write).await
    }

    async fn untold(&self, limit: usize, again_ms: i64) -> Result<Untold, StoreError> {
        // Mostly there is nothing, and reading keeps nobody waiting.
        let next_at = self.rows.read("look for what is to be told", untold::next).await?;
        if next_at.is_none_or(|at| at > now_millis()) {
            return Ok(Untold { jobs: Vec::new(), next_at });
        }
        let take = move |tx: &Transaction<'_>| untold::take(tx, limit, again_ms, now_millis());
        self.rows.write("take what is to be told", take).await
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
    use crate::backend::{Ill, Place, Report};
    use crate::job::Plan;
    use crate::{FailureKind, JobId, NewJob};

    /// A file with one job in it that falls due at once.
    async fn place() -> (tempfile::TempDir, Store, Sqlite) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), StoreOptions::default()).unwrap();
        let backend = Sqlite::new(&store);
        let (plan, _): (Plan, _) = NewJob::new("work", &()).unwrap().checked(100).unwrap();
        let job = queue::Sealed {
            id: JobId::fresh().unwrap(),
            principal: "p".to_owned(),
            session: None,
            plan,
            sealed: vec![1],
        };
        backend
            .rows
            .write("submit", move |tx| queue::insert(tx, "t", &job, queue::Through::Submit))
            .await
            .unwrap();
        (dir, store, backend)
    }

    async fn claim(backend: &Sqlite, lease_ms: i64) -> Option<Lease> {
        let queues = ["default".to_owned()].into();
        let (owner, places) = ("o".into(), HashMap::new());
        let ask = Ask { queues, turn: 0, slots: 5, owner, lease_ms, per_tenant: None, share: None, places };
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
                Report::Cancelled(None),
                Report::Failed(ill()),
                Report::Succeeded { outcome: vec![7] },
            ]
        };
        let before = row(&backend).await;
        for what in reports() {
            let written = backend.record([Record { lease: lost.clone(), what }].into(), None).await.unwrap();
            assert_eq!(written, [false]);
        }
        assert_eq!(backend.renew(vec![lost.clone()], 60_000).await.unwrap(), [Standing::Lost]);
        assert_eq!(backend.look(vec![lost]).await.unwrap(), [Standing::Lost]);
        assert_eq!(row(&backend).await, before);

        let progress = Report::Progress { done: 7, total: None, note: None };
        let records = [progress, Report::Succeeded { outcome: vec![7] }]
            .map(|what| Record { lease: held.clone(), what });
        assert_eq!(backend.record(records.into(), None).await.unwrap(), [true, true]);
        // Over is over, also for who held it.
        let again = backend
            .record([Record { lease: held, what: Report::Cancelled(None) }].into(), None)
            .await
            .unwrap();
        assert_eq!(again, [false]);
    }

    /// As many tenants as `due`, each with one job that falls due then.
    async fn crowd(backend: &Sqlite, due: Vec<i64>) {
        let write = backend.rows.write("crowd", move |tx| {
            tx.execute("DELETE FROM jobs", [])?;
            for (number, due) in due.iter().enumerate() {
                tx.execute(
                    "INSERT INTO jobs (id, tenant, principal, queue, handler, state, run_at, max_attempts, max_deliveries,
                                       timeout_ms, backoff_first_ms, backoff_max_ms, keep_ms, created_at)
                     VALUES (printf('job_%032x', ?1), printf('tenant %05d', ?1), 'p', 'default', 'work', 'queued', ?2,
                             1, 1, 1, 0, 0, 1, 1)",
                    [i64::try_from(number).unwrap(), *due],
                )?;
            }
            Ok(())
        });
        write.await.unwrap();
    }

    /// One lap, of as many claims as it takes: how many those were, how many jobs they gave, and what comes next.
    async fn lap(
        backend: &Sqlite,
        places: &mut HashMap<String, Place>,
        slots: usize,
    ) -> (u32, usize, Option<i64>) {
        places.values_mut().for_each(|place| place.lap = None);
        let (mut claims, mut jobs) = (0, 0);
        loop {
            let (queues, owner) = (["default".to_owned()].into(), "o".into());
            let (per_tenant, share) = (None, None);
            let places_now = places.clone();
            let ask = Ask {
                queues,
                turn: 0,
                slots,
                owner,
                lease_ms: 60_000,
                per_tenant,
                share,
                places: places_now,
            };
            let claimed = backend.claim(ask).await.unwrap();
            *places = claimed.places;
            (claims, jobs) = (claims + 1, jobs + claimed.jobs.len());
            if !claimed.more {
                return (claims, jobs, claimed.next_at);
            }
            assert!(claims < 100, "the lap does not end");
        }
    }

    #[tokio::test]
    async fn a_lap_over_many_tenants_ends_and_knows_when_the_first_of_them_falls_due() {
        let (_dir, _store, backend) = place().await;
        let far = now_millis() + 3_600_000;
        let due = |at: i64| far - 1000 + (at * 7919) % 1000;
        crowd(&backend, (0..1000).map(due).collect()).await;
        let first = (0..1000).map(due).min();
        let mut places = HashMap::new();
        for _ in 0..5 {
            assert_eq!(lap(&backend, &mut places, 5).await, (4, 0, first));
        }
        // One that is due is found wherever the lap begins, and within one lap.
        for late in [0, 255, 256, 999] {
            crowd(&backend, (0..1000).map(|at| if at == late { 1 } else { due(at) }).collect()).await;
            let (claims, jobs, next) = lap(&backend, &mut places, 5).await;
            assert!(claims <= 5 && jobs == 1 && next <= Some(far), "{late}: {claims} {jobs} {next:?}");
        }
        // Also where those around it come and go, and where all are gone.
        crowd(&backend, (0..300).map(due).collect()).await;
        assert_eq!(lap(&backend, &mut places, 5).await.1, 0);
        crowd(&backend, Vec::new()).await;
        assert_eq!(lap(&backend, &mut places, 5).await, (1, 0, None));
    }

    #[tokio::test]
    async fn everybody_has_a_turn_in_a_crowd() {
        let (_dir, _store, backend) = place().await;
        crowd(&backend, vec![1; 600]).await;
        let mut places = HashMap::new();
        let mut taken = 0;
        while taken < 600 {
            let (_, jobs, _) = lap(&backend, &mut places, 7).await;
            assert!(jobs > 0, "{taken}");
            taken += jobs;
        }
        assert_eq!(lap(&backend, &mut places, 7).await.1, 0);
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
