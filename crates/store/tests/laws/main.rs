//! The laws of the store, each named as it is written down, on real files.
//!
//! A test looks at effects: what lies in the folder, what raw bytes hold, what another process sees.

#![forbid(unsafe_code)]
// `unwrap` ends a test wherever it stands, and `#[tokio::test]` blocks on its runtime where no frame is.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods)]

mod backup;
mod control;
mod erase;
mod files;
mod folder;
mod key_file;
mod kill;
mod rows;
mod scope;
mod tenants;
mod writes;

use std::path::{Path, PathBuf};
use std::time::Duration;

use haversack_store::sqlite::params;
use haversack_store::{Store, StoreError, StoreOptions, TenantDb};
use tempfile::TempDir;

/// A fresh store in a fresh folder.
fn fresh() -> (TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    (dir, store)
}

fn open(data: &Path) -> Store {
    Store::open(data, options()).unwrap()
}

/// The defaults, but impatient: no test waits long for a lock that nobody gives back.
fn options() -> StoreOptions {
    StoreOptions { busy_timeout: Duration::from_millis(200), ..StoreOptions::default() }
}

/// Names of the tenant files (without logs), sorted.
fn tenant_files(data: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = std::fs::read_dir(data.join("tenants"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ext| ext == "sqlite"))
        .collect();
    files.sort();
    files
}

/// Whether any file below `folder` holds these bytes.
fn on_disk(folder: &Path, needle: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if contains(&std::fs::read(&path).unwrap(), needle.as_bytes()) {
                found.push(path);
            }
        }
    }
    found
}

fn contains(bytes: &[u8], needle: &[u8]) -> bool {
    bytes.windows(needle.len()).any(|window| window == needle)
}

async fn add_session(db: &TenantDb, name: &str) -> Result<(), StoreError> {
    let name = name.to_owned();
    db.write("add a session", move |tx| {
        tx.execute(
            "INSERT INTO sessions (session_id, principal, created_at, last_active_at) VALUES (?1, 'tester', 1, 1)",
            params![name],
        )?;
        Ok(())
    })
    .await
}

async fn sessions(db: &TenantDb) -> Result<Vec<String>, StoreError> {
    db.read("list sessions", |conn| {
        let mut statement = conn.prepare_cached("SELECT session_id FROM sessions ORDER BY session_id")?;
        let rows = statement.query_map([], |row| row.get(0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    })
    .await
}
