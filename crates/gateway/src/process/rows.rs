//! The rows of background processes: what must be known when the gateway that started them is gone.
//!
//! A row is made when a process runs and changes once: ended, or lost. Whoever makes that change tells the end in the same
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
    pub(super) pid: u32,
    pub(super) born: String,
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
    pub(super) notify: bool,
    pub(super) sealed: Vec<u8>,
}

pub(super) fn insert(tx: &Transaction<'_>, tenant: &TenantId, row: &NewRow) -> Result<(), StoreError> {
    let NewRow { id, principal, session, instance, pid, born, notify, sealed } = row;
    tx.execute(
        "INSERT INTO gateway_processes
             (id, tenant, principal, session, instance, pid, born, state, notify, sealed, started_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 'running', ?8, ?9, ?10)",
        params![id, tenant.as_str(), principal, session, instance, pid, born, notify, sealed, now_millis()],
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
         WHERE id = ?1 AND tenant = ?2 AND state = 'running'",
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

/// What runs for other gateways than this one.
pub(super) fn left(conn: &Connection, instance: &str) -> Result<Vec<Left>, StoreError> {
    let mut statement = conn.prepare_cached(
        "SELECT id, tenant, instance, pid, born, notify, sealed FROM gateway_processes
         WHERE state = 'running' AND instance <> ?1 AND sealed IS NOT NULL",
    )?;
    let rows = statement.query_map([instance], |row| {
        Ok(Left {
            id: row.get(0)?,
            tenant: row.get(1)?,
            instance: row.get(2)?,
            pid: row.get(3)?,
            born: row.get(4)?,
            notify: row.get(5)?,
            sealed: row.get(6)?,
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
