//! The laws of the memory layers, each named as it is written down, on real files.
//!
//! A test looks at effects: what is found, what another session finds, what raw bytes hold.

#![forbid(unsafe_code)]
// `unwrap` ends a test wherever it stands, and `#[tokio::test]` blocks on its runtime where no frame is.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods)]

mod buffer;
mod recall;
mod scope;
mod session;

use std::path::{Path, PathBuf};

use haversack_memory::{Memory, MemoryOptions, NewMemory, Query, Recall, Recalled, Source};
use haversack_store::sqlite::Connection;
use haversack_store::{Store, StoreOptions};
use tempfile::TempDir;

fn fresh() -> (TempDir, Memory) {
    with(MemoryOptions::default())
}

fn with(options: MemoryOptions) -> (TempDir, Memory) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), StoreOptions::default()).unwrap();
    (dir, Memory::new(store, options))
}

fn fact(text: &str) -> NewMemory {
    NewMemory { text: text.to_owned(), subject: None, source: Source::User }
}

fn about(subject: &str, text: &str) -> NewMemory {
    NewMemory { subject: Some(subject.to_owned()), ..fact(text) }
}

async fn find(recall: &Recall, text: &str) -> Recalled {
    recall.search(Query { text: text.to_owned(), limit: 10 }).await.unwrap()
}

async fn texts(recall: &Recall, text: &str) -> Vec<String> {
    find(recall, text).await.hits.into_iter().map(|hit| hit.text).collect()
}

fn tenant_files(data: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(data.join("tenants"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ext| ext == "sqlite"))
        .collect()
}

/// The only tenant's file, opened past all locks, as a test may.
fn raw(data: &Path) -> Connection {
    let files = tenant_files(data);
    assert_eq!(files.len(), 1);
    Connection::open(&files[0]).unwrap()
}

/// The files below `folder` that hold these bytes.
fn on_disk(folder: &Path, needle: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if std::fs::read(&path).unwrap().windows(needle.len()).any(|w| w == needle.as_bytes()) {
                found.push(path);
            }
        }
    }
    found
}
