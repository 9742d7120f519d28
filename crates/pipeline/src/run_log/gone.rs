//! The statements that delete runs: one by its owner, all of a session, and those whose time is up.
//!
//! The rows of a run go in one transaction, which leaves the name of its folder behind; whoever removed the folder takes
//! the name out. An executor that is at work on a deleted run finds its row gone and can write nothing more. What is
//! swept is swept for all tenants; everything else is for the owner that is handed in.

use haversack_store::StoreError;
use haversack_store::sqlite::{Connection, Row, Transaction, params};

use super::owner::Owner;
use super::rows::standing;
use crate::PipelineError;
use crate::run::RunId;

/// A folder that is to go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Leftover {
    pub(crate) tenant: String,
    pub(crate) folder: String,
}

/// A run whose rows are gone.
#[derive(Clone, Debug)]
pub(crate) struct Gone {
    pub(crate) id: String,
    pub(crate) left: Leftover,
}

/// What a deletion found.
pub(crate) enum Deleted {
    Gone(Gone),
    NotEnded,
}

/// The rows of a run that are to go.
struct Doomed {
    tenant: String,
    principal: String,
    run: String,
    id: String,
    definition: String,
}

const DOOMED: &str = "SELECT tenant, principal, run, id, definition FROM pipeline_runs";

impl Doomed {
    fn of(row: &Row<'_>) -> Result<Self, haversack_store::sqlite::Error> {
        Ok(Self {
            tenant: row.get(0)?,
            principal: row.get(1)?,
            run: row.get(2)?,
            id: row.get(3)?,
            definition: row.get(4)?,
        })
    }

    /// Deletes the run with its log and, if no other run has it, its definition.
    fn delete(self, tx: &Transaction<'_>) -> Result<Gone, StoreError> {
        let Self { tenant, principal, run, id, definition } = self;
        // The row goes first: the log may go only with its run.
        tx.prepare_cached("DELETE FROM pipeline_runs WHERE tenant = ?1 AND principal = ?2 AND run = ?3")?
            .execute([&tenant, &principal, &run])?;
        tx.prepare_cached("DELETE FROM pipeline_events WHERE tenant = ?1 AND principal = ?2 AND run = ?3")?
            .execute([&tenant, &principal, &run])?;
        tx.prepare_cached(
            "DELETE FROM pipeline_definitions WHERE tenant = ?1 AND identity = ?2
             AND NOT EXISTS (SELECT 1 FROM pipeline_runs WHERE tenant = ?1 AND definition = ?2)",
        )?
        .execute([&tenant, &definition])?;
        let left = Leftover { folder: folder_name(&run, &id), tenant };
        tx.prepare_cached("INSERT OR IGNORE INTO pipeline_leftovers (tenant, folder) VALUES (?1, ?2)")?
            .execute([&left.tenant, &left.folder])?;
        Ok(Gone { id, left })
    }
}

/// What the folder of a run is called: the caller's key for people, the id to tell it from any other.
pub(crate) fn folder_name(run: &str, id: &str) -> String {
    format!("{run}.{id}")
}

/// Deletes a run that has ended.
pub(crate) fn delete(
    tx: &Transaction<'_>,
    owner: &Owner,
    run: &RunId,
) -> Result<Option<Deleted>, PipelineError> {
    let Some(found) = standing(tx, owner, run)? else { return Ok(None) };
    if !found.status.is_ended() {
        return Ok(Some(Deleted::NotEnded));
    }
    let doomed = tx
        .prepare_cached(&format!("{DOOMED} WHERE tenant = ?1 AND principal = ?2 AND run = ?3"))?
        .query_row([owner.tenant(), owner.principal(), run.as_str()], Doomed::of)?;
    Ok(Some(Deleted::Gone(doomed.delete(tx)?)))
}

/// Deletes every run that the owner started in this session, wherever it stands.
pub(crate) fn forget(tx: &Transaction<'_>, owner: &Owner, session: &str) -> Result<Vec<Gone>, PipelineError> {
    let doomed = all(
        tx,
        "WHERE tenant = ?1 AND principal = ?2 AND session = ?3",
        params![owner.tenant(), owner.principal(), session],
    )?;
    let gone: Result<Vec<_>, StoreError> = doomed.into_iter().map(|doomed| doomed.delete(tx)).collect();
    Ok(gone?)
}

/// Deletes at most `limit` runs, of whomever, that ended before this moment; how many.
pub(crate) fn expire(tx: &Transaction<'_>, before: i64, limit: usize) -> Result<usize, StoreError> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let doomed = all(tx, "WHERE ended_at < ?1 LIMIT ?2", params![before, limit])?;
    let count = doomed.len();
    for doomed in doomed {
        doomed.delete(tx)?;
    }
    Ok(count)
}

fn all(
    tx: &Transaction<'_>,
    which: &str,
    given: &[&dyn haversack_store::sqlite::ToSql],
) -> Result<Vec<Doomed>, StoreError> {
    let mut statement = tx.prepare_cached(&format!("{DOOMED} {which}"))?;
    let rows = statement.query_map(given, Doomed::of)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// At most `limit` folders that are to go, of whomever, after this one in their order.
pub(crate) fn leftovers(
    conn: &Connection,
    after: &Leftover,
    limit: usize,
) -> Result<Vec<Leftover>, StoreError> {
    let mut statement = conn.prepare_cached(
        "SELECT tenant, folder FROM pipeline_leftovers WHERE (tenant, folder) > (?1, ?2)
         ORDER BY tenant, folder LIMIT ?3",
    )?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let of = |row: &Row<'_>| Ok(Leftover { tenant: row.get(0)?, folder: row.get(1)? });
    let rows = statement.query_map(params![after.tenant, after.folder, limit], of)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Takes out the names of folders that are gone.
pub(crate) fn cleared(tx: &Transaction<'_>, gone: &[Leftover]) -> Result<(), StoreError> {
    let mut statement =
        tx.prepare_cached("DELETE FROM pipeline_leftovers WHERE tenant = ?1 AND folder = ?2")?;
    for left in gone {
        statement.execute([&left.tenant, &left.folder])?;
    }
    Ok(())
}
