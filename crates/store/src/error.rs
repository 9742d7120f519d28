//! What can go wrong in the store, one small enum.
//!
//! Each variant says what happened and where, and its text what to do next; no text quotes stored data, a tenant
//! or a secret. Closures given to [`TenantDb`](crate::TenantDb) may use `?` on SQLite's own errors: the store adds
//! the place afterwards.

use std::io;
use std::path::{Path, PathBuf};

use haversack::{ForeignContext, MissingContext};

use crate::sqlite::{Error as SqliteError, ErrorCode};

/// An error of the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The store was asked outside a door, or inside one that bound no tenant. Nothing was opened.
    #[error("no tenant's data was opened, because the context does not say whose: {0}")]
    Unbound(#[source] MissingContext),

    /// A handle made under one entry was used under another. Nothing was opened.
    #[error("no tenant's data was opened, because the handle belongs to another request: {0}")]
    Foreign(#[source] ForeignContext),

    /// Another process holds the data folder.
    #[error(
        "the data folder {} is in use by {}; stop it or use another folder",
        .path.display(), in_use_by(*.by)
    )]
    InUse {
        /// The data folder.
        path: PathBuf,
        /// The process that holds it, as it wrote itself down.
        by: Option<u32>,
    },

    /// The folder or file may not be written by this user, or its file system is read-only.
    #[error("{} cannot be written; check its owner, its mode and how its disk is mounted", .path.display())]
    ReadOnly {
        /// The folder or file.
        path: PathBuf,
    },

    /// A newer release wrote this file. It was not touched.
    #[error(
        "{} has schema {found}, this release knows up to {known}; use the newer release or restore an older backup",
        .file.display()
    )]
    NewerSchema {
        /// The file.
        file: PathBuf,
        /// The schema version in the file.
        found: u32,
        /// The newest schema version that this release knows.
        known: u32,
    },

    /// The file holds another tenant's data: it was renamed, copied or restored under a wrong name.
    #[error("{} is stamped with another tenant than its name says; put the files back from a backup", .file.display())]
    StampMismatch {
        /// The file.
        file: PathBuf,
    },

    /// The file is not a database of this store, or is damaged.
    #[error("{} is damaged: {what}; restore it from a backup", .file.display())]
    Corrupt {
        /// The file.
        file: PathBuf,
        /// What was found.
        what: &'static str,
    },

    /// No room on the disk. The transaction was rolled back whole.
    #[error("no room left on the disk of {}; nothing of this change was kept", .path.display())]
    Full {
        /// The file that could not grow.
        path: PathBuf,
    },

    /// Another process held a lock for longer than the busy timeout. Nothing of this change was kept.
    #[error("another process held the database for longer than the busy timeout; try again")]
    Busy,

    /// An erasure is committed, but another process still reads an older state, so the erased text may still stand
    /// in the log beside the file.
    #[error(
        "the data is deleted, but another process still reads {}; delete again when it ended, to clean the file",
        .path.display()
    )]
    LogHeld {
        /// The file whose log could not be emptied.
        path: PathBuf,
    },

    /// SQLite refused a statement for another reason.
    #[error("{what}: SQLite refused ({source})")]
    Sqlite {
        /// The operation.
        what: &'static str,
        /// What SQLite said. Parameters are never part of it.
        source: SqliteError,
    },

    /// The operating system refused.
    #[error("{}: {source}", .path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },

    /// A backup or a restore was refused before it changed anything.
    #[error("{}: {why}", .path.display())]
    BackupRefused {
        /// The file or folder that is not as it must be.
        path: PathBuf,
        /// What is wrong with it.
        why: &'static str,
    },

    /// The code of this operation panicked. Its transaction was rolled back whole.
    #[error("{what} panicked; its change was rolled back")]
    Panicked {
        /// The operation.
        what: &'static str,
    },

    /// The store was closed, or its runtime is shutting down.
    #[error("the store is closed")]
    Closed,
}

impl StoreError {
    /// An error of the operating system, told apart where the reader would act differently.
    pub(crate) fn io(path: &Path, source: io::Error) -> Self {
        let path = path.to_path_buf();
        match source.kind() {
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Self::ReadOnly { path },
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full { path },
            _ => Self::Io { path, source },
        }
    }

    /// Adds the operation and the file to an error that came out of a closure as SQLite gave it.
    pub(crate) fn located(self, what: &'static str, path: &Path) -> Self {
        let Self::Sqlite { source, .. } = self else { return self };
        let file = || path.to_path_buf();
        match source.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Busy,
            Some(ErrorCode::DiskFull) => Self::Full { path: file() },
            Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => Self::ReadOnly { path: file() },
            Some(ErrorCode::DatabaseCorrupt) => {
                Self::Corrupt { file: file(), what: "SQLite found broken pages" }
            }
            Some(ErrorCode::NotADatabase) => {
                Self::Corrupt { file: file(), what: "it is not a SQLite database" }
            }
            _ => Self::Sqlite { what, source },
        }
    }
}

impl From<SqliteError> for StoreError {
    fn from(source: SqliteError) -> Self {
        Self::Sqlite { what: "query", source }
    }
}

impl From<MissingContext> for StoreError {
    fn from(source: MissingContext) -> Self {
        Self::Unbound(source)
    }
}

impl From<ForeignContext> for StoreError {
    fn from(source: ForeignContext) -> Self {
        Self::Foreign(source)
    }
}

fn in_use_by(pid: Option<u32>) -> String {
    pid.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"))
}
