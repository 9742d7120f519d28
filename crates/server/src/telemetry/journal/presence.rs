//! Which processes are alive, so that a unit of work without an end can be told from one that still runs. Each process
//! holds a lock on a file of its own below the data folder; the system gives the lock back however the process ends.
//! Only the journal makes one and asks, also for the gateway, which leaves to a living process what it works on.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use crate::auth::key::hex;

/// Where the locks lie, below the data folder.
const FOLDER: &str = "processes";

/// This process, for as long as it lives.
#[derive(Debug)]
pub(super) struct Presence {
    folder: PathBuf,
    name: String,
    lock: Option<File>,
}

impl Presence {
    /// Takes the lock of this process in the data folder `data`. When that fails, other processes take its unfinished
    /// work for interrupted; that is said in the log and nothing else depends on it. Blocks.
    pub(super) fn take(data: &Path, role: &str) -> Self {
        let folder = data.join(FOLDER);
        let mut chance = [0; 4];
        // Without chance the name is that of the process alone, which is unique among the living.
        let _ = getrandom::fill(&mut chance);
        let name = format!("{role}-{}-{}", std::process::id(), hex(&chance));
        let lock = lock(&folder, &name)
            .inspect_err(|error| tracing::warn!(%error, "the journal cannot say that this process is alive"))
            .ok();
        sweep(&folder, &name);
        Self { folder, name, lock }
    }

    /// The name under which this process writes.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Whether the process that wrote under `name` is alive. Blocks.
    pub(super) fn alive(&self, name: &str) -> bool {
        name == self.name || (plain(name) && held(&self.folder.join(name)))
    }

    /// The names of all processes that are alive, this one too. Blocks.
    pub(super) fn all(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.folder).into_iter().flatten();
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let mut alive: Vec<_> = names.filter(|name| self.alive(name)).collect();
        alive.sort();
        alive
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        // The file first: a name that is gone cannot be taken for a dead process in between.
        if self.lock.is_some() {
            let _ = std::fs::remove_file(self.folder.join(&self.name));
        }
    }
}

fn lock(folder: &Path, name: &str) -> io::Result<File> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)?;
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    // Under another name first, so that nobody finds it before it is locked.
    let unlocked = folder.join(format!(".{name}"));
    let file = options.open(&unlocked)?;
    file.try_lock().map_err(io::Error::from)?;
    std::fs::rename(&unlocked, folder.join(name))?;
    Ok(file)
}

/// Whether somebody holds the lock of this file.
fn held(path: &Path) -> bool {
    let Ok(file) = File::open(path) else { return false };
    // Shared, so that two who ask at the same time do not take each other for the process.
    matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock))
}

/// Removes the files of processes that died without doing so.
fn sweep(folder: &Path, own: &str) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name != own && plain(name) && !held(&path) {
            let _ = std::fs::remove_file(&path);
        }
    }
}

/// A name as this module writes it, which is never a path.
fn plain(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_alive_while_it_holds_its_lock() {
        let data = tempfile::tempdir().unwrap();
        let (one, other) = (Presence::take(data.path(), "server"), Presence::take(data.path(), "worker"));
        assert!(one.alive(other.name()) && other.alive(one.name()));
        let gone = other.name().to_owned();
        drop(other);
        assert!(!one.alive(&gone));
        assert!(!one.alive("../haversack.lock") && !one.alive(""));
    }

    #[test]
    fn two_who_ask_at_once_do_not_take_each_other_for_the_process() {
        let data = tempfile::tempdir().unwrap();
        let here = Presence::take(data.path(), "server");
        let dead = data.path().join(FOLDER).join("worker-1-00000000");
        std::fs::write(&dead, "").unwrap();
        let asking = File::open(&dead).unwrap();
        asking.try_lock_shared().unwrap();
        assert!(!here.alive("worker-1-00000000"), "somebody asks, and nobody lives");
    }

    #[test]
    fn what_the_dead_left_is_swept() {
        let data = tempfile::tempdir().unwrap();
        std::fs::create_dir(data.path().join(FOLDER)).unwrap();
        let dead = data.path().join(FOLDER).join("server-1-00000000");
        std::fs::write(&dead, "").unwrap();
        let here = Presence::take(data.path(), "server");
        assert!(!here.alive("server-1-00000000") && !dead.exists());
    }
}
