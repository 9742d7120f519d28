//! CPython's `contextvars`, in a child process that takes its own time. One question a line: an operation, how many
//! variables are bound, how many times; the answer is nanoseconds, with the cost of an empty loop taken off.

use std::cell::RefCell;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use crate::measure::{Contestant, Who};

const PROGRAM: &str = include_str!("contextvars.py");

/// The child, if there is a `python3`.
pub(crate) struct Python(Option<RefCell<Pipes>>);

struct Pipes {
    child: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Python {
    pub(crate) fn start() -> Self {
        let child = Command::new("python3")
            .args(["-c", PROGRAM])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        let pipes = child.ok().and_then(|mut child| {
            let (questions, answers) = (child.stdin.take()?, BufReader::new(child.stdout.take()?));
            Some(RefCell::new(Pipes { child, questions, answers }))
        });
        let python = Self(pipes);
        // A `python3` that is only a name answers nothing.
        if python.ask("get", 1, 1).is_some() { python } else { Self(None) }
    }

    /// Its version, where there is one.
    pub(crate) fn version() -> Option<String> {
        let output = Command::new("python3").arg("--version").output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// The contestant for one operation, or none.
    pub(crate) fn contestant(&self, operation: &'static str, bound: usize) -> Option<Contestant<'_>> {
        self.0.as_ref()?;
        Some(Contestant::timed(Who::Python, move |times| {
            self.ask(operation, bound, times).unwrap_or(Duration::MAX)
        }))
    }

    fn ask(&self, operation: &str, bound: usize, times: u32) -> Option<Duration> {
        let Pipes { questions, answers, .. } = &mut *self.0.as_ref()?.borrow_mut();
        writeln!(questions, "{operation} {bound} {times}").ok()?;
        questions.flush().ok()?;
        let mut line = String::new();
        answers.read_line(&mut line).ok()?;
        line.trim().parse().ok().map(Duration::from_nanos)
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        if let Some(pipes) = &self.0 {
            let Pipes { child, .. } = &mut *pipes.borrow_mut();
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
