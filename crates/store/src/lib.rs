//! The store opens every database of Haversack; no other crate depends on one.
//!
//! It is modelled as one control file for the installation and one SQLite file per tenant, reached only through
//! a [`TenantDb`] whose [`Scope`] was read from the current context. Anyone holding a [`Store`] may ask for the
//! current tenant's data; nobody can ask for another's, because no function here takes a tenant.
//!
//! ```no_run
//! use haversack_store::{Store, StoreOptions, sqlite::params};
//!
//! # async fn inside_a_door() -> Result<(), haversack_store::StoreError> {
//! let store = Store::open("data".as_ref(), StoreOptions::default())?;
//! let db = store.tenant()?; // loud outside a tenant's context
//! let open: i64 = db
//!     .read("count open sessions", |conn| {
//!         Ok(conn.query_row("SELECT count(*) FROM sessions WHERE closed_at IS NULL", params![], |r| r.get(0))?)
//!     })
//!     .await?;
//! # let _ = open; Ok(()) }
//! ```
//!
//! # Two locks
//! 1. The file is chosen by the hash of the tenant bound in the context, an opaque key: never a prefix, a path
//!    or a pattern.
//! 2. The full tenant id is stamped inside the file and compared each time a connection is opened. A file under
//!    a wrong name is [`StoreError::StampMismatch`], never another tenant's rows.
//!
//! # Map
//! [`Scope`] (who is asking), [`TenantDb`] (read, write, erase), [`ControlDb`] (keys, audit), [`ControlRows`] (what
//! the control file holds of a tenant), [`EngineRows`] (for those who serve all tenants), [`mod@backup`],
//! [`sqlite`] (the names that SQL code needs).
//!
//! # Not here
//! No server databases, no encryption at rest, no replication. One server and any number of workers share a folder. The data folder must be on a local file system:
//! SQLite's write-ahead log does not work over network shares.

#![forbid(unsafe_code)]

pub mod backup;
mod blocking;
mod clock;
mod control_db;
mod error;
mod folder;
mod inspect;
mod key_file;
mod migrate;
mod mutex;
mod options;
mod readers;
mod scope;
pub mod sessions;
pub mod sqlite;
mod store;
mod tenant_db;
mod tenant_files;

pub use backup::{BackupManifest, backup_beside, restore};
pub use clock::now_millis;
pub use control_db::{
    Audit, AuditRow, ControlDb, ControlRows, EngineRows, KeyRole, KeyRow, Keys, TenantCounts,
};
pub use error::StoreError;
pub use inspect::{FileReport, FolderReport, look};
pub use key_file::{KeyFile, KeyFileError, KeyUseError};
pub use options::{StoreOptions, Synchronous};
pub use scope::Scope;
pub use store::Store;
pub use tenant_db::TenantDb;
