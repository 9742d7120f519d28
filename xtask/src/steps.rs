//! A command as a row of named steps. Each step is one child process: its command line is printed first, its
//! output passes through, its duration is kept. The first red step ends the row, and the summary says how far it
//! came.

use std::fmt::Write as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

/// The steps run so far, for the summary.
#[derive(Default)]
pub struct Steps {
    done: Vec<(String, Duration, Outcome)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Green,
    Red,
}

/// What a captured step wrote, both streams in one text, and whether it succeeded.
pub struct Captured {
    pub success: bool,
    pub text: String,
}

impl Steps {
    /// Runs `command` with its output passed through. Fails when it fails.
    pub fn run(&mut self, name: &str, command: &mut Command) -> Result<()> {
        let started = announce(name, command);
        let status = command.status().with_context(|| format!("cannot start {}", line(command)))?;
        self.close(name, started, status.success());
        ensure!(status.success(), "{}", self.summary_after(&format!("`{name}` ended with {status}")));
        Ok(())
    }

    /// Runs `command` and keeps what it wrote, for a step whose output decides whether it is green. The caller
    /// closes the step with [`Steps::judge`].
    pub fn capture(&mut self, name: &str, command: &mut Command) -> Result<(Captured, Instant)> {
        let started = announce(name, command);
        let output = command
            .stdin(Stdio::null())
            .output()
            .with_context(|| format!("cannot start {}", line(command)))?;
        let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.push_str(&String::from_utf8_lossy(&output.stderr));
        Ok((Captured { success: output.status.success(), text }, started))
    }

    /// Closes a captured step: green, or red with a sentence.
    pub fn judge(&mut self, name: &str, started: Instant, verdict: Result<(), String>) -> Result<()> {
        self.close(name, started, verdict.is_ok());
        match verdict {
            Ok(()) => Ok(()),
            Err(why) => bail!("{}", self.summary_after(&why)),
        }
    }

    /// Prints the closing table.
    pub fn finish(self, what: &str) {
        println!("{}", self.table());
        println!("{what}: {} steps green in {}", self.done.len(), seconds(self.total()));
    }

    fn close(&mut self, name: &str, started: Instant, green: bool) {
        let took = started.elapsed();
        println!("-- {name}: {} in {}", if green { "green" } else { "RED" }, seconds(took));
        self.done.push((name.to_owned(), took, if green { Outcome::Green } else { Outcome::Red }));
    }

    fn summary_after(&self, why: &str) -> String {
        format!("{why}\n{}", self.table())
    }

    fn table(&self) -> String {
        let width = self.done.iter().map(|(name, ..)| name.len()).max().unwrap_or(0);
        let mut table = String::from("\nsummary\n");
        for (name, took, outcome) in &self.done {
            let word = if *outcome == Outcome::Green { "green" } else { "RED" };
            // Writing to a String cannot fail.
            let _ = writeln!(table, "  {name:width$}  {word:5}  {:>9}", seconds(*took));
        }
        table
    }

    fn total(&self) -> Duration {
        self.done.iter().map(|(_, took, _)| *took).sum()
    }
}

fn announce(name: &str, command: &Command) -> Instant {
    println!("\n== {name}: {}", line(command));
    Instant::now()
}

/// The command as a person would type it, with the variables that were set for it.
fn line(command: &Command) -> String {
    let mut words = Vec::new();
    for (key, value) in command.get_envs() {
        if let Some(value) = value {
            words.push(format!("{}={:?}", key.display(), value.to_string_lossy()));
        }
    }
    let program = std::path::Path::new(command.get_program());
    words.push(program.file_name().unwrap_or(command.get_program()).to_string_lossy().into_owned());
    words.extend(command.get_args().map(|word| word.to_string_lossy().into_owned()));
    words.join(" ")
}

fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_red_step_ends_the_row_and_names_itself() {
        let mut steps = Steps::default();
        steps.run("first", &mut Command::new("true")).unwrap();
        let error = steps.run("second", &mut Command::new("false")).unwrap_err().to_string();
        assert!(error.contains("`second` ended with"), "{error}");
        assert!(error.contains("first") && error.contains("RED"), "{error}");
    }

    #[test]
    fn a_captured_step_is_red_when_its_judge_says_so() {
        let mut steps = Steps::default();
        let (captured, started) = steps.capture("look", Command::new("echo").arg("seen")).unwrap();
        assert!(captured.success);
        assert_eq!(captured.text, "seen\n");
        assert!(steps.judge("look", started, Err("not what was wanted".to_owned())).is_err());
    }
}
