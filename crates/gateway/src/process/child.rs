//! One child process: started with what was built for it, ended with everything that it started.
//!
//! It has a process group of its own; dropping the [`Child`] kills the group, so a cancelled call leaves nothing behind. Its
//! output is one stream of which the end is kept.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use haversack_child::Access;
use rustix::process::{Pid, Signal, kill_process_group};
use serde::Serialize;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;

use super::ProcessOptions;
use crate::GatewayError;

/// The folder for the temporary files of a tenant's commands, in the folder of the tenant.
pub(super) const TEMPORARY: &str = ".tmp";

/// How long output is read after the end of its process.
const LAST_OUTPUT: Duration = Duration::from_millis(500);

/// How a command ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finished {
    /// Its exit code; none when a signal ended it.
    pub code: Option<i32>,
    /// The end of what it wrote.
    pub output: String,
}

/// A running child.
pub(super) struct Child {
    inner: tokio::process::Child,
    group: Group,
    output: Tail,
}

/// Kills its process group when it is dropped before it is disarmed.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // The group may have ended by itself.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

impl Child {
    /// Starts `command` in `folder`, its home, with this environment and no other.
    pub(super) fn start(
        options: &ProcessOptions,
        command: &str,
        folder: &Path,
        environment: &BTreeMap<String, String>,
    ) -> Result<Self, GatewayError> {
        let own = Access { read: Vec::new(), write: vec![folder.to_owned()] };
        let shell = options.confinement.command(&options.shell, own).map_err(GatewayError::NotConfined)?;
        let mut shell = Command::from(shell);
        #[cfg(feature = "mutants")]
        let inherit = haversack::mutants::active(haversack::mutants::Mutant::ChildEnvironment);
        #[cfg(not(feature = "mutants"))]
        let inherit = false;
        if !inherit {
            shell.env_clear();
        }
        let child = shell
            .arg("-c")
            .arg(command)
            .current_dir(folder)
            .env("HOME", folder)
            .env("TMPDIR", folder.join(TEMPORARY))
            .envs(environment)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|source| GatewayError::Io { what: "start a command", source })?;
        let group = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        Ok(Self { inner: child, group: Group(group), output: Tail::new(options.output) })
    }

    /// Its number.
    pub(super) fn pid(&self) -> u32 {
        self.inner.id().unwrap_or_default()
    }

    /// Keeps what it writes where others look.
    pub(super) fn keep_output_in(&mut self, output: Tail) {
        self.output = output;
    }

    /// Waits for its end; each line goes to `line` as it is written.
    ///
    /// # Cancellation
    /// The child and everything that it started is killed.
    pub(super) async fn finish(
        mut self,
        mut line: impl FnMut(&str) + Send,
    ) -> Result<Finished, GatewayError> {
        let (out, err) = (self.inner.stdout.take(), self.inner.stderr.take());
        let tail = self.output.clone();
        let mut lines = Lines::default();
        let mut heard = |bytes: &[u8]| {
            tail.push(bytes);
            lines.push(bytes, &mut line);
        };
        let (mut out, mut err) = (Pipe::new(out), Pipe::new(err));
        let status = loop {
            // Output that is there is read before the end is seen, and a grandchild that keeps the pipe does not keep us.
            tokio::select! {
                biased;
                Some(bytes) = out.next() => heard(&bytes),
                Some(bytes) = err.next() => heard(&bytes),
                status = self.inner.wait() => break status,
            }
        };
        let status = status.map_err(|source| GatewayError::Io { what: "wait for a command", source })?;
        // What the child left in the pipes. A grandchild that keeps them open is not waited for: it goes with the group.
        let rest = async {
            while let Some(bytes) = out.next().await {
                heard(&bytes);
            }
            while let Some(bytes) = err.next().await {
                heard(&bytes);
            }
        };
        let _ = tokio::time::timeout(LAST_OUTPUT, rest).await;
        lines.end(&mut line);
        drop(self.group);
        Ok(Finished { code: status.code(), output: tail.text() })
    }
}

/// One end of a pipe, until it closes.
struct Pipe<R> {
    reader: Option<R>,
    buffer: Vec<u8>,
}

impl<R: AsyncRead + Unpin> Pipe<R> {
    fn new(reader: Option<R>) -> Self {
        Self { reader, buffer: vec![0; 8192] }
    }

    /// The next bytes; `None` for ever once it is closed, which disables its branch.
    async fn next(&mut self) -> Option<Vec<u8>> {
        let reader = self.reader.as_mut()?;
        match reader.read(&mut self.buffer).await {
            Ok(read @ 1..) => Some(self.buffer[..read].to_vec()),
            Ok(0) | Err(_) => {
                self.reader = None;
                None
            }
        }
    }
}

/// The end of an output, shared with whoever polls. Cheap to clone.
#[derive(Clone)]
pub(super) struct Tail {
    bytes: Arc<Mutex<VecDeque<u8>>>,
    most: usize,
}

impl Tail {
    pub(super) fn new(most: usize) -> Self {
        Self { bytes: Arc::default(), most }
    }

    fn push(&self, new: &[u8]) {
        let mut bytes = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        bytes.extend(new);
        let over = bytes.len().saturating_sub(self.most);
        bytes.drain(..over);
    }

    /// As text; bytes that are none are replaced.
    pub(super) fn text(&self) -> String {
        let bytes = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        let (front, back) = bytes.as_slices();
        String::from_utf8_lossy(&[front, back].concat()).into_owned()
    }
}

/// Cuts bytes into lines. A line that never ends is cut at a bound.
#[derive(Default)]
struct Lines {
    open: Vec<u8>,
}

impl Lines {
    const LONGEST: usize = 4096;

    fn push(&mut self, bytes: &[u8], line: &mut impl FnMut(&str)) {
        for byte in bytes {
            if *byte == b'\n' || self.open.len() >= Self::LONGEST {
                self.end(line);
            }
            if *byte != b'\n' {
                self.open.push(*byte);
            }
        }
    }

    fn end(&mut self, line: &mut impl FnMut(&str)) {
        if !self.open.is_empty() {
            line(&String::from_utf8_lossy(&self.open));
            self.open.clear();
        }
    }
}
