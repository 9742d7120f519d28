//! The rows of background processes: what must be known when the gateway that started them is gone.
//!
//! A row is made before a process runs, says when it does, and ends once: ended, or lost. Whoever makes that change tells the end in the same
//! transaction, so it is told once. Sessions read their own rows, the engine reads those of earlier gateways.

use std::path::Path;

use haversack::well_known::TenantId;
use haversack_store::sqlite::{Connection, Error, OptionalExtension, Transaction, params};
use haversack_store::{StoreError, now_millis};

use super::live::{ProcessStatus, State};

pub(super) struct NewRow {
    pub(super) id: String,
    pub(super) principal: String,
    pub(super) session: String,
    pub(super) instance: String,
    pub(super) notify: bool,
    pub(super) sealed: Vec<u8>,
}

/// A process that an earlier gateway left.
pub(super) struct Left {
    pub(super) id: String,
    pub(super) tenant: String,
    pub(super) instance: String,
    pub(super) pid: u32,
    pub(super) born: String,
    /// Whether it runs is not known: nobody came to write its number down.
    pub(super) starting: bool,
    pub(super) notify: bool,
    pub(super) sealed: Vec<u8>,
}

pub(super) fn insert(tx: &Transaction<'_>, tenant: &TenantId, row: &NewRow) -> Result<(), StoreError> {
    let NewRow { id, principal, session, instance, notify, sealed } = row;
    tx.execute(
        "INSERT INTO gateway_processes
             (id, tenant, principal, session, instance, pid, born, state, notify, sealed, started_at)
         VALUES (?1, ?2, ?3, ?4, ?5, 0, '', 'starting', ?6, ?7, ?8)",
        params![id, tenant.as_str(), principal, session, instance, notify, sealed, now_millis()],
    )?;
    Ok(())
}

/// It runs, under this number.
pub(super) fn runs(
    tx: &Transaction<'_>,
    tenant: &TenantId,
    id: &str,
    pid: u32,
    born: &str,
) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE gateway_processes SET state = 'running', pid = ?3, born = ?4
         WHERE id = ?1 AND tenant = ?2 AND state = 'starting'",
        params![id, tenant.as_str(), pid, born],
    )?;
    Ok(())
}

/// The end of a process. False when it was told before.
pub(super) fn end(
    tx: &Transaction<'_>,
    tenant: &str,
    id: &str,
    state: State,
    code: Option<i32>,
) -> Result<bool, StoreError> {
    let changed = tx.execute(
        "UPDATE gateway_processes SET state = ?3, exit_code = ?4, ended_at = ?5, sealed = NULL
         WHERE id = ?1 AND tenant = ?2 AND state IN ('starting', 'running')",
        params![id, tenant, state.as_str(), code, now_millis()],
    )?;
    Ok(changed > 0)
}

/// Its end is promised from now on.
pub(super) fn promise(tx: &Transaction<'_>, tenant: &TenantId, id: &str) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE gateway_processes SET notify = 1 WHERE id = ?1 AND tenant = ?2",
        params![id, tenant.as_str()],
    )?;
    Ok(())
}

/// A process of a session, as far as a row knows.
pub(super) fn find(
    conn: &Connection,
    tenant: &TenantId,
    session: &str,
    id: &str,
) -> Result<Option<ProcessStatus>, StoreError> {
    let mut statement = conn.prepare_cached(
        "SELECT state, exit_code FROM gateway_processes WHERE id = ?1 AND tenant = ?2 AND session = ?3",
    )?;
    let found = statement.query_row(params![id, tenant.as_str(), session], |row| {
        Ok(ProcessStatus {
            id: id.to_owned(),
            state: State::named(&row.get::<_, String>(0)?),
            code: row.get(1)?,
            output: String::new(),
        })
    });
    Ok(found.optional()?)
}

/// What this gateway has said to run, by id.
pub(super) fn own(conn: &Connection, instance: &str) -> Result<Vec<String>, StoreError> {
    let mut statement = conn.prepare_cached(
        "SELECT id FROM gateway_processes WHERE state IN ('starting', 'running') AND instance = ?1",
    )?;
    let rows = statement.query_map([instance], |row| row.get(0))?;
    Ok(rows.collect::<Result<_, Error>>()?)
}

/// Takes rows away that no process came of.
pub(super) fn forget_these(tx: &Transaction<'_>, ids: &[String]) -> Result<(), StoreError> {
    for id in ids {
        let sql = "DELETE FROM gateway_processes WHERE id = ?1 AND state IN ('starting', 'running')";
        tx.prepare_cached(sql)?.execute([id])?;
    }
    Ok(())
}

/// Forgets all that ended in a session but the last `most`.
pub(super) fn forget_beyond(
    tx: &Transaction<'_>,
    tenant: &TenantId,
    session: &str,
    most: usize,
) -> Result<(), StoreError> {
    tx.prepare_cached(
        "DELETE FROM gateway_processes WHERE id IN (
             SELECT id FROM gateway_processes WHERE tenant = ?1 AND session = ?2 AND ended_at IS NOT NULL
             ORDER BY ended_at DESC LIMIT -1 OFFSET ?3)",
    )?
    .execute(params![tenant.as_str(), session, i64::try_from(most).unwrap_or(i64::MAX)])?;
    Ok(())
}

/// Forgets what ended before a time, and of each session all but the last `most`.
pub(super) fn forget(tx: &Transaction<'_>, before: i64, most: usize) -> Result<(), StoreError> {
    tx.execute("DELETE FROM gateway_processes WHERE ended_at <= ?1", [before])?;
    tx.execute(
        "DELETE FROM gateway_processes WHERE id IN (SELECT id FROM (
             SELECT id, row_number() OVER (PARTITION BY tenant, session ORDER BY ended_at DESC) AS place
             FROM gateway_processes WHERE ended_at IS NOT NULL) WHERE place > ?1)",
        [i64::try_from(most).unwrap_or(i64::MAX)],
    )?;
    Ok(())
}

/// What runs, or was about to, for other gateways than this one.
pub(super) fn left(conn: &Connection, instance: &str) -> Result<Vec<Left>, StoreError> {
    let mut statement = conn.prepare_cached(
        "SELECT id, tenant, instance, pid, born, state = 'starting', notify, sealed FROM gateway_processes
         WHERE state IN ('starting', 'running') AND instance <> ?1 AND sealed IS NOT NULL",
    )?;
    let rows = statement.query_map([instance], |row| {
        Ok(Left {
            id: row.get(0)?,
            tenant: row.get(1)?,
            instance: row.get(2)?,
            pid: row.get(3)?,
            born: row.get(4)?,
            starting: row.get(5)?,
            notify: row.get(6)?,
            sealed: row.get(7)?,
        })
    })?;
    Ok(rows.collect::<Result<_, Error>>()?)
}

/// Tells a process from a later one with its number: the boot, and its start within it. Empty where the system does not say.
pub(super) fn born(pid: u32) -> String {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name in parentheses may hold anything, so fields are counted behind it: the state is the third of all and the
    // start the 22nd.
    let mut fields = stat.rsplit_once(')').map(|(_, rest)| rest.split_whitespace()).into_iter().flatten();
    let (state, start) = (fields.next(), fields.nth(18));
    // One that has ended and that nobody has asked about is gone all the same.
    let Some(start) = start.filter(|_| !matches!(state, Some("Z" | "X"))) else { return String::new() };
    let boot = std::fs::read_to_string(Path::new("/proc/sys/kernel/random/boot_id")).unwrap_or_default();
    format!("{}/{start}", boot.trim())
}
