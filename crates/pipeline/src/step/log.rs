//! The captured output of one attempt: files that nothing secret reaches.
//!
//! Bytes come in from the pipes of a child or from a function, go through a filter for the step's secrets, and are
//! appended to the attempt's files: the beginning to one, the end to segments of which the last two are kept. Standard
//! output and standard error meet in one filter, so a secret that is printed half to each is found too. The first file
//! is made with the first byte. Runners hold a clone.

use std::collections::VecDeque;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::secrets::{MARK, Redactor, SecretSet};

/// How many bytes of the beginning are kept.
const HEAD: u64 = 8 * 1024 * 1024;

/// How long a segment of the end is, in bytes. The last two are kept.
pub(crate) const SEGMENT: u64 = 4 * 1024 * 1024;

/// The last lines that are told with a failure: this many, and no more than these bytes.
const LAST_LINES: usize = 20;
const LAST_BYTES: usize = 4 * 1024;

/// Where the output of one attempt goes. Cheap to clone.
#[derive(Clone, Debug)]
pub struct StepLog {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    secrets: SecretSet,
    sink: Mutex<Sink>,
}

#[derive(Debug)]
struct Sink {
    path: PathBuf,
    redactor: Redactor,
    file: Option<File>,
    /// Which file is written: 0 is the beginning, the others are segments of the end.
    segment: u64,
    /// Bytes in that file.
    written: u64,
    last: VecDeque<u8>,
    /// True if `last` is only part of the output.
    is_cut: bool,
}

impl StepLog {
    pub(crate) fn new(path: PathBuf, secrets: SecretSet) -> Self {
        let sink = Sink {
            path,
            redactor: Redactor::new(&secrets),
            file: None,
            segment: 0,
            written: 0,
            last: VecDeque::new(),
            is_cut: false,
        };
        Self { shared: Arc::new(Shared { secrets, sink: Mutex::new(sink) }) }
    }

    /// Adds a line. Secrets of the step are taken out. What cannot be written, for want of room, is lost: an attempt
    /// does not fail over its log.
    pub fn line(&self, text: &str) {
        self.hold().take(Some(format!("{text}\n").as_bytes()));
    }

    /// A filter for one of the pipes, whose bytes may come in pieces that those of the other pipe come between.
    pub(crate) fn redactor(&self) -> Redactor {
        Redactor::new(&self.shared.secrets)
    }

    /// Appends bytes of one pipe, or the mark of a secret that was found there (`None`). They go to the system's page
    /// cache, which takes microseconds.
    pub(crate) fn append(&self, piece: Option<&[u8]>) {
        self.hold().take(piece);
    }

    /// Writes what the filter holds back: no more bytes will come.
    pub(crate) fn finish(&self) {
        self.hold().finish();
    }

    /// The last lines, without secrets; `None` where nothing was printed. Bytes that are no UTF-8 are replaced.
    pub(crate) fn last_lines(&self) -> Option<String> {
        let sink = self.hold();
        let bytes: Vec<u8> = sink.last.iter().copied().collect();
        let text = String::from_utf8_lossy(&bytes);
        let text = text.trim_end();
        let mut lines: Vec<&str> = text.lines().collect();
        // The first one may have lost its beginning.
        if sink.is_cut && lines.len() > 1 {
            lines.remove(0);
        }
        let kept = lines.split_off(lines.len().saturating_sub(LAST_LINES)).join("\n");
        (!kept.trim().is_empty()).then_some(kept)
    }

    fn hold(&self) -> MutexGuard<'_, Sink> {
        self.shared.sink.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.finish();
    }
}

impl Sink {
    fn take(&mut self, piece: Option<&[u8]>) {
        let mut clean = Vec::new();
        match piece {
            Some(bytes) => self.redactor.feed(bytes, &mut clean),
            None => {
                self.redactor.finish(&mut clean);
                clean.extend_from_slice(MARK);
            }
        }
        self.write(&clean);
    }

    fn finish(&mut self) {
        let mut clean = Vec::new();
        self.redactor.finish(&mut clean);
        self.write(&clean);
    }

    fn write(&mut self, mut clean: &[u8]) {
        self.remember(clean);
        while !clean.is_empty() {
            let limit = if self.segment == 0 { HEAD } else { SEGMENT };
            if self.written >= limit {
                self.file = None;
                self.segment += 1;
                self.written = 0;
                if let Some(old) = self.segment.checked_sub(2).filter(|old| *old > 0) {
                    // It stays where it cannot be removed, and is one segment more to read.
                    drop(std::fs::remove_file(segment(&self.path, old)));
                }
                continue;
            }
            if self.file.is_none() {
                self.file = open(&segment(&self.path, self.segment));
            }
            let room = usize::try_from(limit - self.written).unwrap_or(usize::MAX);
            let (now, later) = clean.split_at(clean.len().min(room));
            self.written += now.len() as u64;
            if let Some(file) = &mut self.file {
                drop(file.write_all(now));
            }
            clean = later;
        }
    }

    fn remember(&mut self, clean: &[u8]) {
        self.last.extend(&clean[clean.len().saturating_sub(LAST_BYTES)..]);
        let over = self.last.len().saturating_sub(LAST_BYTES);
        self.is_cut |= over > 0 || clean.len() > LAST_BYTES;
        self.last.drain(..over);
    }
}

fn open(path: &Path) -> Option<File> {
    if let Some(folder) = path.parent().filter(|folder| !folder.exists()) {
        // Only within the run's folder: one that was removed stays so.
        drop(std::fs::create_dir(folder));
    }
    File::options().append(true).create(true).open(path).ok()
}

/// The file of a segment; 0 is the beginning.
pub(crate) fn segment(path: &Path, number: u64) -> PathBuf {
    match number {
        0 => path.to_path_buf(),
        _ => {
            let mut name = path.as_os_str().to_owned();
            name.push(format!(".{number}"));
            PathBuf::from(name)
        }
    }
}
