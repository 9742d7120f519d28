//! Real second processes: this test binary, run again as a worker on the same folder.
//!
//! A child says one line at a time on its standard output; the test that started it reads them, and stops, kills or lets
//! go on.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use haversack_jobs::{Args, Attempt, Handlers, JobId, NewJob, Progress, WorkerOptions};
use haversack_store::sqlite::Connection;

use crate::{AtWork, caller, join, keys, options, submit};

const FOLDER: &str = "HAVERSACK_LAWS_FOLDER";

/// How many jobs the child runs at the same time.
const SLOTS: &str = "HAVERSACK_LAWS_SLOTS";

pub(crate) struct Second {
    child: Child,
    lines: std::io::Lines<BufReader<ChildStdout>>,
}

impl Second {
    /// Starts a worker with the handlers below on the place in `dir`, and waits until it works.
    pub(crate) fn start(dir: &Path) -> Self {
        Self::start_with(dir, 10)
    }

    pub(crate) fn start_with(dir: &Path, slots: usize) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child::works_until_it_is_killed", "--ignored", "--nocapture"])
            .env(FOLDER, dir)
            .env(SLOTS, slots.to_string())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut second = Self { child, lines };
        second.hears("works");
        second
    }

    /// Reads until the child says so; what it said is given whole. `None` when it ended without.
    pub(crate) fn hear(&mut self, word: &str) -> Option<String> {
        // The test harness may write before it on the same line.
        self.lines
            .by_ref()
            .map_while(Result::ok)
            .find_map(|line| Some(line[line.find(&format!("said: {word}"))?..].to_owned()))
    }

    pub(crate) fn hears(&mut self, word: &str) {
        assert!(self.hear(word).is_some(), "the child ended and never said `{word}`");
    }

    pub(crate) fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([signal, &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// SIGSTOP, while it holds no lock of the control file in `dir`: a process that is stopped inside a transaction stops
    /// everybody's writes, and no other worker could take over what it had.
    pub(crate) fn pause(&self, dir: &Path) {
        let lock = Connection::open(dir.join("data").join("control.sqlite")).unwrap();
        lock.busy_timeout(Duration::from_secs(60)).unwrap();
        lock.execute_batch("BEGIN IMMEDIATE").unwrap();
        self.signal("-STOP");
        while !self.is_stopped() {
            std::thread::yield_now();
        }
        lock.execute_batch("ROLLBACK").unwrap();
    }

    fn is_stopped(&self) -> bool {
        let state =
            Command::new("ps").args(["-o", "stat=", "-p", &self.child.id().to_string()]).output().unwrap();
        assert!(!state.stdout.is_empty(), "the child ended");
        state.stdout.starts_with(b"T")
    }

    /// SIGKILL.
    pub(crate) fn kill(mut self) -> Vec<String> {
        self.child.kill().unwrap();
        self.rest()
    }

    /// Waits for its own end.
    pub(crate) fn rest(&mut self) -> Vec<String> {
        let rest = self.lines.by_ref().map_while(Result::ok).filter(|line| line.contains("said: ")).collect();
        self.child.wait().unwrap();
        rest
    }
}

/// Rotates the keys of the place in `dir` in a process of its own, which then submits a job for `work` as ada of acme: its
/// id.
pub(crate) fn rotated_in_another_process(dir: &Path) -> JobId {
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child::rotates_and_submits", "--ignored", "--nocapture"])
        .env(FOLDER, dir)
        .output()
        .unwrap();
    let said = String::from_utf8(child.stdout).unwrap();
    let id = said.lines().find_map(|line| Some(line.split_once("said: submitted ")?.1.trim()));
    id.unwrap_or_else(|| panic!("{said}{}", String::from_utf8_lossy(&child.stderr))).parse().unwrap()
}

impl Drop for Second {
    fn drop(&mut self) {
        // A test that failed leaves no process behind, also no stopped one.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn say(word: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "said: {word}").and_then(|()| out.flush()).unwrap();
}

struct SayOnDrop(&'static str);

impl Drop for SayOnDrop {
    fn drop(&mut self) {
        say(self.0);
    }
}

fn handlers() -> Handlers {
    let hang = |Args(n): Args<u64>, attempt: Attempt| async move {
        say(&format!("begun {n} attempt {} generation {}", attempt.number(), attempt.generation()));
        std::future::pending::<Result<(), haversack_jobs::Failure>>().await
    };
    let report_for_ever = |progress: Progress| async move {
        say("begun");
        let _guard = SayOnDrop("dropped");
        // Not stopped with the handler: only the fence is left.
        haversack::spawn(async move {
            while progress.report(99, None).await.is_ok() {
                // The pace of its reports.
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            say("refused");
        });
        std::future::pending::<Result<(), haversack_jobs::Failure>>().await
    };
    let slow = |Args(n): Args<u64>| async move {
        say(&format!("begun {n}"));
        // Work that is longer than its lease.
        tokio::time::sleep(options().lease * 2).await;
        Ok(n)
    };
    let quick = |Args(n): Args<u64>| async move { Ok(n) };
    let abort = || async {
        say("begun");
        if true {
            std::process::abort();
        }
        Ok(())
    };
    Handlers::new()
        .on("hang", hang)
        .on("report", report_for_ever)
        .on("slow", slow)
        .on("quick", quick)
        .on("abort", abort)
}

#[tokio::test]
#[ignore = "run by the tests that start it as a second process"]
async fn works_until_it_is_killed() {
    let Some(dir) = std::env::var_os(FOLDER) else { return };
    let slots = std::env::var(SLOTS).unwrap().parse().unwrap();
    let (_store, jobs) = join(dir.as_ref());
    let worker = AtWork::start(jobs, handlers(), WorkerOptions { concurrency: slots, ..options() });
    say("works");
    worker.task.await.unwrap().unwrap();
}

#[tokio::test]
#[ignore = "run by the tests that start it as a second process"]
async fn rotates_and_submits() {
    let Some(dir) = std::env::var_os(FOLDER) else { return };
    keys(dir.as_ref()).rotate(Duration::from_secs(3600)).unwrap();
    let (_store, jobs) = join(dir.as_ref());
    let id = caller("acme", "ada").wrap(async { submit(&jobs, job("work", 9)).await }).await;
    say(&format!("submitted {id}"));
}

/// A job for one of the handlers above.
pub(crate) fn job(handler: &str, n: u64) -> NewJob {
    NewJob::new(handler, &n).unwrap()
}
