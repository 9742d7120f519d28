//! The captured output of one attempt: a file that nothing secret reaches.
//!
//! Bytes come in from the pipes of a child or from a function, go through the filter for the step's secrets, and are
//! appended to the attempt's file up to a limit. The file is made with the first byte. Runners hold a clone.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::secrets::{Redactor, SecretSet};

/// What the captured output of one attempt may have, in bytes; the rest is read and dropped.
const LIMIT: u64 = 16 * 1024 * 1024;

/// Where the output of one attempt goes. Cheap to clone.
#[derive(Clone, Debug)]
pub struct StepLog {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    path: PathBuf,
    secrets: SecretSet,
    sink: Mutex<Sink>,
}

#[derive(Debug)]
struct Sink {
    file: Option<File>,
    written: u64,
}

impl StepLog {
    pub(crate) fn new(path: PathBuf, secrets: SecretSet) -> Self {
        Self { shared: Arc::new(Shared { path, secrets, sink: Mutex::new(Sink { file: None, written: 0 }) }) }
    }

    /// Adds a line. Secrets of the step are taken out. What cannot be written, for want of room, is lost: an attempt
    /// does not fail over its log.
    pub fn line(&self, text: &str) {
        let mut clean = self.shared.secrets.redact(text);
        clean.push('\n');
        self.append(clean.as_bytes());
    }

    pub(crate) fn redactor(&self) -> Redactor {
        Redactor::new(&self.shared.secrets)
    }

    /// Appends bytes that went through the filter. They go to the system's page cache, which takes microseconds.
    pub(crate) fn append(&self, clean: &[u8]) {
        if clean.is_empty() {
            return;
        }
        let mut sink = self.hold();
        if sink.written >= LIMIT {
            return;
        }
        if sink.file.is_none() {
            let folder = self.shared.path.parent();
            if let Some(folder) = folder.filter(|folder| !folder.exists()) {
                // Only within the run's folder: one that was removed stays so.
                drop(std::fs::create_dir(folder));
            }
            sink.file = File::options().append(true).create(true).open(&self.shared.path).ok();
        }
        let room = usize::try_from(LIMIT - sink.written).unwrap_or(usize::MAX);
        let taken = &clean[..clean.len().min(room)];
        sink.written += taken.len() as u64;
        let full = taken.len() < clean.len();
        if let Some(file) = &mut sink.file {
            drop(file.write_all(taken));
            if full {
                drop(file.write_all(b"\n[the output is longer; the rest was not kept]\n"));
            }
        }
    }

    fn hold(&self) -> MutexGuard<'_, Sink> {
        self.shared.sink.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
