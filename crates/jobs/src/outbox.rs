//! Jobs that are submitted together with a change of the tenant's data: both, or neither.
//!
//! The queue is another file than the tenant's, and no transaction spans two. So the job is written into the tenant's
//! own file first, sealed already, inside the caller's transaction, and relayed to the queue afterwards. The relay may
//! happen twice and queues once, because the job has its id from the beginning.

use std::future::Future;

use haversack::FutureExt;
use haversack_store::sqlite::{Error, Transaction, params};
use haversack_store::{StoreError, now_millis};

use crate::backend::sqlite::queue::{self, Sealed};
use crate::{JobError, JobId, Jobs, NewJob};

/// How many jobs one relay moves at a time.
const BATCH: i64 = 100;

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
            "INSERT INTO outbox (job, principal, plan, sealed, created_at) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?;
        insert.execute(params![sealed.id.as_str(), sealed.principal, plan, sealed.sealed, now_millis()])?;
        Ok(sealed.id)
    }

    /// Moves the jobs of the current tenant's outbox into the queue; how many. Run it right after a commit that enqueued,
    /// and now and then for each tenant, for those whose process died in between.
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
            let mut moved = 0;
            loop {
                let waiting = db.read("read the outbox", |conn| {
                    let mut outbox = conn.prepare_cached(
                        "SELECT job, principal, plan, sealed FROM outbox ORDER BY number LIMIT ?1",
                    )?;
                    let waiting = outbox.query_map([BATCH], |row| {
                        let plan: String = row.get(2)?;
                        Ok(Sealed {
                            id: queue::job_id(&row.get::<_, String>(0)?, 0)?,
                            principal: row.get(1)?,
                            plan: serde_json::from_str(&plan).map_err(|_| Error::InvalidQuery)?,
                            sealed: row.get(3)?,
                        })
                    })?;
                    Ok(waiting.collect::<Result<Vec<_>, _>>()?)
                });
                let waiting = waiting.await?;
                if waiting.is_empty() {
                    return Ok(moved);
                }
                let ids: Vec<JobId> = waiting.iter().map(|job| job.id.clone()).collect();
                let insert = rows.write("relay jobs", move |tx, scope| {
                    for job in &waiting {
                        queue::insert(tx, scope.tenant().as_str(), job)?;
                    }
                    Ok(())
                });
                insert.await?;
                jobs.fell_due();
                moved += ids.len();
                let clear = db.write("clear the outbox", move |tx| {
                    let mut clear = tx.prepare_cached("DELETE FROM outbox WHERE job = ?1")?;
                    for id in &ids {
                        clear.execute([id.as_str()])?;
                    }
                    Ok::<_, StoreError>(())
                });
                clear.await?;
            }
        }
        .in_current_context()
    }
}
