//! Jobs that are submitted together with a change of the tenant's data: both, or neither.
//!
//! The queue is another file than the tenant's, and no transaction spans two. So the job is written into the tenant's
//! own file first, sealed already, inside the caller's transaction, and relayed to the queue afterwards. The relay may
//! happen twice and queues once, because the job has its id from the beginning and its row in the queue stays, however
//! long it is over, until the outbox is known to be clear of it.

use std::future::Future;

use haversack::FutureExt;
use haversack_store::sqlite::{Connection, Transaction, params};
use haversack_store::{ControlRows, StoreError, TenantDb, now_millis};

use crate::backend::sqlite::queue::{self, Sealed, Through};
use crate::{JobError, JobId, Jobs, NewJob};

/// How many jobs one relay moves at a time.
const BATCH: i64 = 100;

/// The version that a row is put aside for.
const VERSION: &str = env!("CARGO_PKG_VERSION");

impl Jobs {
    /// Submits a job inside a transaction of the tenant's own data: it is queued if, and only if, that commits. The
    /// context is captured and sealed at this call. Call [`relay`](Self::relay) after the commit; until then the job
    /// waits in the tenant's file.
    ///
    /// ```no_run
    /// # use haversack_jobs::{JobError, Jobs, NewJob};
    /// # async fn inside_a_door(store: haversack_store::Store, jobs: Jobs) -> Result<(), JobError> {
    /// let outbox = jobs.clone();
    /// store
    ///     .tenant()?
    ///     .write("close the session and tell its owner", move |tx| {
    ///         tx.execute("UPDATE sessions SET closed_at = 1 WHERE session_id = 'a'", [])?;
    ///         outbox.enqueue(tx, NewJob::new("session.closed", &"a")?)?;
    ///         Ok(())
    ///     })
    ///     .await?;
    /// jobs.relay().await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As [`submit`](Self::submit) at its call. An error should leave the transaction's closure, so that it rolls back.
    #[track_caller]
    pub fn enqueue(&self, tx: &Transaction<'_>, job: NewJob) -> Result<JobId, JobError> {
        let sealed = self.seal(job)?;
        let plan = serde_json::to_string(&sealed.plan).map_err(JobError::Arguments)?;
        let mut insert = tx.prepare_cached(
            "INSERT INTO outbox (job, principal, session, plan, sealed, created_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?;
        let Sealed { id, principal, session, sealed, .. } = sealed;
        insert.execute(params![id.as_str(), principal, session, plan, sealed, now_millis()])?;
        Ok(id)
    }

    /// Moves the jobs of the current tenant's outbox into the queue; how many. Run it right after a commit that enqueued,
    /// and now and then for each tenant, for those whose process died in between. A row that this version of the program
    /// cannot read is put aside, said once in the log and tried again by the next version; the others go on.
    ///
    /// # Errors
    /// [`JobError::Store`]; what was not moved stays where it is.
    ///
    /// # Cancellation
    /// Nothing is lost: a job that is queued and still in the outbox is recognised by its id.
    #[track_caller]
    pub fn relay(&self) -> impl Future<Output = Result<usize, JobError>> + Send + 'static + use<> {
        let handles = self.shared.store.tenant().and_then(|db| Ok((db, self.shared.store.rows()?)));
        let jobs = self.clone();
        async move {
            let (db, rows) = handles?;
            settle_cleared(&db, &rows).await?;
            let mut moved = 0;
            loop {
                let Waiting { jobs: waiting, unreadable } = db.read("read the outbox", waiting).await?;
                let (done, found) = (waiting.len(), waiting.len() + unreadable.len());
                if !unreadable.is_empty() {
                    tracing::error!(
                        rows = unreadable.len(), version = VERSION,
                        "jobs in an outbox cannot be read by this version of the program and stay there; start the \
                         version that wrote them, or a newer one"
                    );
                    db.write("put unreadable jobs aside", move |tx| put_aside(tx, &unreadable)).await?;
                }
                if found == 0 {
                    return Ok(moved);
                }
                let ids: Vec<JobId> = waiting.iter().map(|job| job.id.clone()).collect();
                let insert = rows.write("relay jobs", move |tx, scope| {
                    for job in &waiting {
                        queue::insert(tx, scope.tenant().as_str(), job, Through::Outbox)?;
                    }
                    Ok(())
                });
                insert.await?;
                jobs.fell_due();
                moved += done;
                let clearing = ids.clone();
                let clear = db.write("clear the outbox", move |tx| {
                    let mut clear = tx.prepare_cached("DELETE FROM outbox WHERE job = ?1")?;
                    for id in &clearing {
                        clear.execute([id.as_str()])?;
                    }
                    Ok::<_, StoreError>(())
                });
                clear.await?;
                settle(&rows, ids).await?;
            }
        }
        .in_current_context()
    }
}

/// What stands in an outbox.
struct Waiting {
    jobs: Vec<Sealed>,
    /// The numbers of rows that this program cannot read.
    unreadable: Vec<i64>,
}

fn waiting(conn: &Connection) -> Result<Waiting, StoreError> {
    let mut outbox = conn.prepare_cached(
        "SELECT number, job, principal, session, plan, sealed FROM outbox
         WHERE unreadable IS NULL OR unreadable <> ?1 ORDER BY number LIMIT ?2",
    )?;
    let rows = outbox.query_map(params![VERSION, BATCH], |row| {
        let (job, plan): (String, String) = (row.get(1)?, row.get(4)?);
        let (principal, session, sealed) = (row.get(2)?, row.get(3)?, row.get(5)?);
        let read = job.parse().ok().zip(serde_json::from_str(&plan).ok());
        let read = read.map(|(id, plan)| Sealed { id, principal, session, plan, sealed });
        Ok((row.get::<_, i64>(0)?, read))
    })?;
    let mut waiting = Waiting { jobs: Vec::new(), unreadable: Vec::new() };
    for row in rows {
        match row? {
            (_, Some(job)) => waiting.jobs.push(job),
            (number, None) => waiting.unreadable.push(number),
        }
    }
    Ok(waiting)
}

fn put_aside(tx: &Transaction<'_>, numbers: &[i64]) -> Result<(), StoreError> {
    let mut aside = tx.prepare_cached("UPDATE outbox SET unreadable = ?2 WHERE number = ?1")?;
    for number in numbers {
        aside.execute(params![number, VERSION])?;
    }
    Ok(())
}

/// Lets go of the rows in the queue that an earlier relay left held: it cleared the outbox, and died before it said so.
async fn settle_cleared(db: &TenantDb, rows: &ControlRows) -> Result<(), StoreError> {
    // In this order: what is in the queue now and in the outbox no more will not come back there.
    let held = rows.read("look for relayed jobs", |conn, scope| {
        let mut held = conn.prepare_cached("SELECT id FROM jobs WHERE tenant = ?1 AND in_outbox = 1")?;
        let held =
            held.query_map([scope.tenant().as_str()], |row| queue::job_id(&row.get::<_, String>(0)?, 0))?;
        Ok(held.collect::<Result<Vec<_>, _>>()?)
    });
    let held = held.await?;
    if held.is_empty() {
        return Ok(());
    }
    let cleared = db.read("look for cleared jobs", move |conn| {
        let mut there = conn.prepare_cached("SELECT 1 FROM outbox WHERE job = ?1")?;
        let mut cleared = Vec::new();
        for id in held {
            if !there.exists([id.as_str()])? {
                cleared.push(id);
            }
        }
        Ok::<_, StoreError>(cleared)
    });
    settle(rows, cleared.await?).await
}

/// Notes that these stand in no outbox any more: their rows may go when their time is up.
async fn settle(rows: &ControlRows, ids: Vec<JobId>) -> Result<(), StoreError> {
    if ids.is_empty() {
        return Ok(());
    }
    let settle = rows.write("note relayed jobs", move |tx, scope| {
        let mut settle = tx.prepare_cached("UPDATE jobs SET in_outbox = 0 WHERE id = ?1 AND tenant = ?2")?;
        for id in &ids {
            settle.execute([id.as_str(), scope.tenant().as_str()])?;
        }
        Ok(())
    });
    settle.await
}
