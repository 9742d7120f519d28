//! The names that SQL code above this crate needs, so that only this crate depends on rusqlite.
//!
//! They are re-exports for closures given to [`TenantDb`](crate::TenantDb), plus the opening of a connection with the
//! settings that every file gets. Code above may use the names and never opens a [`Connection`] of its own: that would
//! be a second way to a file, past the scope and the stamp.

use std::path::Path;

use rusqlite::config::DbConfig;
pub use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, Value, ValueRef};
pub use rusqlite::{
    CachedStatement, Connection, Error, ErrorCode, OptionalExtension, Row, Statement, Transaction,
    named_params, params, params_from_iter,
};
use rusqlite::{OpenFlags, TransactionBehavior};

use crate::{StoreError, StoreOptions};

/// How many prepared statements one connection keeps. A turn uses about thirty.
const STATEMENTS: usize = 96;

/// The log is copied into the file when it passes this many pages (8 MB): rarely enough that a turn seldom waits.
const CHECKPOINT_PAGES: u32 = 2_000;

/// What a file is opened for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Makes the file when it is not there.
    Create,
    /// The file must be there.
    Write,
    /// As `Write`, but statements that change the file are refused.
    Read,
}

/// Opens `path` without touching its content: no setting here is written into the file.
pub(crate) fn open(path: &Path, access: Access, options: &StoreOptions) -> Result<Connection, StoreError> {
    if access == Access::Create {
        make_private(path)?;
    }
    // A link in place of a file would lead a tenant out of its folder.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_NOFOLLOW
        | OpenFlags::SQLITE_OPEN_EXRESCODE;
    let opened = || -> Result<Connection, Error> {
        let conn = Connection::open_with_flags(path, flags)?;
        conn.busy_timeout(options.busy_timeout)?;
        conn.set_prepared_statement_cache_capacity(STATEMENTS);
        conn.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
        // Without this the bundled SQLite plans a prepared statement anew whenever a parameter changes.
        conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
        conn.execute_batch(&format!(
            "PRAGMA trusted_schema = OFF; PRAGMA foreign_keys = ON; PRAGMA secure_delete = ON;
             PRAGMA temp_store = MEMORY; PRAGMA cache_size = -1024; PRAGMA synchronous = {};
             PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}; PRAGMA journal_size_limit = 8388608;
             PRAGMA query_only = {};",
            options.synchronous.pragma(),
            if access == Access::Read { "ON" } else { "OFF" },
        ))?;
        Ok(conn)
    };
    opened().map_err(|cause| StoreError::from(cause).located("open", path))
}

/// Runs `work` in one transaction that sees one state of the file. Nothing is committed.
pub(crate) fn reading<R>(
    conn: &Connection,
    work: impl FnOnce(&Connection) -> Result<R, StoreError>,
) -> Result<R, StoreError> {
    let tx = Transaction::new_unchecked(conn, TransactionBehavior::Deferred)?;
    let outcome = work(&tx)?;
    tx.finish()?;
    Ok(outcome)
}

/// Runs `work` in one transaction that nobody else writes beside. It commits whole or not at all.
pub(crate) fn writing<R>(
    conn: &mut Connection,
    work: impl FnOnce(&Transaction<'_>) -> Result<R, StoreError>,
) -> Result<R, StoreError> {
    let tx = Transaction::new(conn, TransactionBehavior::Immediate)?;
    let outcome = work(&tx)?;
    tx.commit()?;
    Ok(outcome)
}

/// Copies the log into the file and cuts it to nothing. False when another process reads the file and does not end
/// within the busy timeout; nothing is lost then, and the log stays.
pub(crate) fn empty_log(conn: &Connection) -> Result<bool, StoreError> {
    let busy: i64 = conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
    Ok(busy == 0)
}

/// Makes an empty file that only its owner may read; SQLite gives its log the same mode.
pub(crate) fn make_private(path: &Path) -> Result<(), StoreError> {
    let mut file = std::fs::OpenOptions::new();
    file.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut file, 0o600);
    match file.open(path) {
        Ok(_) => Ok(()),
        Err(cause) if cause.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(cause) => Err(StoreError::io(path, cause)),
    }
}
