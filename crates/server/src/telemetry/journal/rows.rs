//! The journal's rows in a tenant's file: begin, end, find. A unit of work is added once and completed at most once, so
//! an end that comes after its session was deleted brings nothing back. Only the journal calls these, inside the
//! tenant's own transactions.

use std::time::Duration;

use haversack_store::sqlite::{Connection, OptionalExtension, Row, Transaction, params};
use haversack_store::{StoreError, now_millis};

use super::Keep;
use crate::telemetry::owner::anybody;

/// Most rows of one answer.
const MOST: i64 = 500;

/// Rows that are looked at for their age whenever one is added: twice as many as are added, so that old ones run out.
const SWEPT: i64 = 2;

/// A unit of work that begins.
#[derive(Debug, Clone)]
pub(super) struct Begun {
    pub(super) unit: String,
    pub(super) kind: &'static str,
    pub(super) principal: String,
    pub(super) session: Option<String>,
    pub(super) request: Option<String>,
    pub(super) trace: String,
    pub(super) span: String,
    pub(super) parent: Option<String>,
    pub(super) link: Option<String>,
    pub(super) process: String,
}

/// A unit of work as it was found.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) unit: String,
    pub(super) kind: String,
    pub(super) session: Option<String>,
    pub(super) request: Option<String>,
    pub(super) span: String,
    pub(super) parent: Option<String>,
    pub(super) link: Option<String>,
    pub(super) process: String,
    pub(super) started_at: i64,
    pub(super) ended_at: Option<i64>,
    pub(super) tree: Option<String>,
}

pub(super) fn begin(tx: &Transaction<'_>, begun: &Begun, keep: Keep) -> Result<(), StoreError> {
    let now = now_millis();
    // Its rows went with its session, and nobody could delete this one.
    if let Some(session) = &begun.session
        && haversack_store::sessions::is_over(tx, session, &begun.principal)?
    {
        return Ok(());
    }
    let insert = "INSERT INTO journal (unit_id, kind, principal, session_id, request_id, trace_id, span_id,
                      parent_id, link, process, started_at)
                  VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";
    tx.prepare_cached(insert)?.execute(params![
        begun.unit,
        begun.kind,
        begun.principal,
        begun.session,
        begun.request,
        begun.trace,
        begun.span,
        begun.parent,
        begun.link,
        begun.process,
        now,
    ])?;
    let last = tx.last_insert_rowid();
    let surplus = "DELETE FROM journal WHERE pk <= ?1";
    tx.prepare_cached(surplus)?.execute([last.saturating_sub(whole(keep.units as u128))])?;
    let old =
        "DELETE FROM journal WHERE pk IN (SELECT pk FROM journal ORDER BY pk LIMIT ?1) AND started_at < ?2";
    tx.prepare_cached(old)?.execute([SWEPT, oldest(now, keep.age)])?;
    Ok(())
}

pub(super) fn end(tx: &Transaction<'_>, span: &str, tree: Option<&str>) -> Result<(), StoreError> {
    let update = "UPDATE journal SET ended_at = ?2, tree = ?3 WHERE span_id = ?1 AND ended_at IS NULL";
    tx.prepare_cached(update)?.execute(params![span, now_millis(), tree])?;
    Ok(())
}

/// The trace that an id of the reader's belongs to: that of a unit of work, of a request, or a trace's own. The newest
/// when there are several.
pub(super) fn trace_of(
    db: &Connection,
    principal: &str,
    id: &str,
    keep: Keep,
) -> Result<Option<String>, StoreError> {
    let sql = "SELECT trace_id FROM journal
               WHERE (unit_id = ?1 OR trace_id = ?1 OR request_id = ?1) AND (principal = ?2 OR ?3) AND started_at >= ?4
               ORDER BY pk DESC LIMIT 1";
    let oldest = oldest(now_millis(), keep.age);
    let found =
        db.prepare_cached(sql)?.query_row(params![id, principal, anybody(), oldest], |row| row.get(0));
    Ok(found.optional()?)
}

/// What the reader's work in a trace was, in the order it began, and whether there is more.
pub(super) fn of_trace(
    db: &Connection,
    principal: &str,
    trace: &str,
    keep: Keep,
) -> Result<(Vec<Found>, bool), StoreError> {
    let sql = "SELECT unit_id, kind, session_id, request_id, span_id, parent_id, link, process, started_at, ended_at,
                      tree
               FROM journal WHERE trace_id = ?1 AND (principal = ?2 OR ?3) AND started_at >= ?4
               ORDER BY pk LIMIT ?5";
    let oldest = oldest(now_millis(), keep.age);
    let mut statement = db.prepare_cached(sql)?;
    let rows = statement.query_map(params![trace, principal, anybody(), oldest, MOST + 1], found)?;
    let mut found = rows.collect::<Result<Vec<_>, _>>()?;
    let more = found.len() as i64 > MOST;
    found.truncate(MOST as usize);
    Ok((found, more))
}

fn found(row: &Row<'_>) -> Result<Found, haversack_store::sqlite::Error> {
    Ok(Found {
        unit: row.get(0)?,
        kind: row.get(1)?,
        session: row.get(2)?,
        request: row.get(3)?,
        span: row.get(4)?,
        parent: row.get(5)?,
        link: row.get(6)?,
        process: row.get(7)?,
        started_at: row.get(8)?,
        ended_at: row.get(9)?,
        tree: row.get(10)?,
    })
}

fn oldest(now: i64, age: Duration) -> i64 {
    now.saturating_sub(whole(age.as_millis()))
}

fn whole(number: u128) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
