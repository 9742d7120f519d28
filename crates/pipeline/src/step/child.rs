//! A child process with a group of its own: started, listened to, and ended with everything it started.
//!
//! A child waits at a gate: it reads a line before it does anything, and gets it when it is written down who it is. When
//! the executor dies in between, the line never comes and the child ends, so nothing ever runs that no later executor
//! knows of. Whatever way the attempt ends (exit, time, cancel, drop) the whole group gets SIGKILL and the child is reaped, so no
//! attempt leaves a process behind. A process that leaves its group on purpose (`setsid`) is out of reach. The runners of
//! commands and scripts call this.

use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use haversack::well_known::{CANCEL, Cancel};
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;

use super::{StepFailure, StepLog, orphan};

/// How long the pipes may stay open when the child and its group are gone.
const LINGER: Duration = Duration::from_secs(1);

/// Runs the command to its end. It must wait for a line on its standard input before it does anything.
pub(super) async fn run(
    mut command: Command,
    process_file: &std::path::Path,
    log: &StepLog,
) -> Result<(), StepFailure> {
    // What nobody could call off is not started.
    let cancel = CANCEL.get().map_err(|missing| StepFailure::new(missing.to_string()))?;
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    let mut child = command
        .spawn()
        .map_err(|error| StepFailure::new(format!("the process could not be started: {}", error.kind())))?;
    let Some(group) = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)) else {
        return Err(StepFailure::new("the process ended before it could be watched"));
    };
    let group = Group(group);
    orphan::note(process_file, group.0).map_err(|error| {
        StepFailure::new(format!("who the process is could not be written down: {}", error.kind()))
    })?;
    if let Some(mut gate) = child.stdin.take() {
        // A child that has ended by now tells how by its status.
        drop(gate.write_all(b"\n").await);
    }
    let mut pump = std::pin::pin!(pump(child.stdout.take(), child.stderr.take(), log));
    let mut heard = false;
    let ended = loop {
        tokio::select! {
            () = &mut pump, if !heard => heard = true,
            status = child.wait() => break Some(status),
            () = cancelled(&cancel) => break None,
        }
    };
    // What the child left in the background ends with it; then the pipes close.
    drop(group);
    let status = match ended {
        Some(status) => status,
        None => child.wait().await,
    };
    if !heard {
        drop(tokio::time::timeout(LINGER, pump).await);
    }
    match (ended_by(status), cancel.is_cancelled()) {
        (_, true) => Err(StepFailure::new("cancelled")),
        (outcome, false) => outcome,
    }
}

async fn cancelled(cancel: &Cancel) {
    cancel.cancelled().await;
}

fn ended_by(status: std::io::Result<ExitStatus>) -> Result<(), StepFailure> {
    use std::os::unix::process::ExitStatusExt;
    let status = status.map_err(|_| StepFailure::new("the process was lost"))?;
    if status.success() {
        return Ok(());
    }
    Err(StepFailure::new(match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("ended by signal {signal}"),
        (None, None) => "ended without a status".to_owned(),
    }))
}

/// The group of a child. Dropping it kills everything in it.
struct Group(Pid);

impl Drop for Group {
    fn drop(&mut self) {
        // Gone already is what we want. The id cannot have a new owner: that takes a full turn of the system's
        // counter between the end of the child and this line.
        let _ = kill_process_group(self.0, Signal::KILL);
    }
}

/// Reads both pipes to their end.
async fn pump(out: Option<impl AsyncRead + Unpin>, err: Option<impl AsyncRead + Unpin>, log: &StepLog) {
    tokio::join!(drain(out, log), drain(err, log));
}

async fn drain(pipe: Option<impl AsyncRead + Unpin>, log: &StepLog) {
    let Some(mut pipe) = pipe else { return };
    let mut rest = Rest { redactor: log.redactor(), log };
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(read) = pipe.read(&mut buffer).await {
        if read == 0 {
            break;
        }
        rest.redactor.pieces(&buffer[..read], |piece| log.append(piece));
    }
}

/// What the filter holds back is written also when the pipe is abandoned.
struct Rest<'a> {
    redactor: crate::secrets::Redactor,
    log: &'a StepLog,
}

impl Drop for Rest<'_> {
    fn drop(&mut self) {
        let log = self.log;
        self.redactor.last_pieces(|piece| log.append(piece));
    }
}
