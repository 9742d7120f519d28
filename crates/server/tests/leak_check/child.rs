//! The parent's side: starts the probe in a process of its own, reads its report, and searches its log.

use std::fmt;
use std::process::Command;

use serde::{Deserialize, Serialize};

/// The environment name that tells the probe which fault to plant.
pub(crate) const MUTANT: &str = "HAVERSACK_TEST_MUTANT";
/// The environment name of the file that the probe writes its report to.
pub(crate) const REPORT: &str = "HAVERSACK_TEST_REPORT";

/// Something that a check did not like.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Finding {
    pub(crate) check: String,
    pub(crate) detail: String,
}

/// What one run of the probe found.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Report {
    pub(crate) turns: usize,
    pub(crate) canaries: Vec<String>,
    pub(crate) findings: Vec<Finding>,
}

impl Report {
    pub(crate) fn add(&mut self, check: &str, detail: impl Into<String>) {
        self.findings.push(Finding { check: check.to_owned(), detail: detail.into() });
    }

    /// The checks that went red, each once.
    pub(crate) fn red(&self) -> Vec<&str> {
        let mut checks: Vec<&str> = self.findings.iter().map(|finding| finding.check.as_str()).collect();
        checks.sort_unstable();
        checks.dedup();
        checks
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} turns, {} findings, red: {}",
            self.turns,
            self.findings.len(),
            self.red().join(", ")
        )?;
        self.findings
            .iter()
            .take(20)
            .try_for_each(|Finding { check, detail }| writeln!(f, "  {check}: {detail}"))
    }
}

/// Runs the probe, with a planted fault or without, and adds what its log shows.
pub(crate) fn run(mutant: Option<&str>) -> Report {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("report.json");
    let mut command = Command::new(std::env::current_exe().expect("the test binary"));
    command.args(["probe", "--exact", "--ignored", "--nocapture", "--test-threads=1"]).env(REPORT, &path);
    if let Some(mutant) = mutant {
        command.env(MUTANT, mutant);
    }
    let output = command.output().expect("the probe starts");
    let log = [output.stdout, output.stderr].concat();
    let log = String::from_utf8_lossy(&log);
    let text = std::fs::read_to_string(&path)
        .unwrap_or_else(|_| panic!("the probe left no report; its log:\n{log}"));
    let mut report: Report = serde_json::from_str(&text).expect("a report");
    if report.turns > 0 && !log.contains("clinic-00") {
        report.add("logs", "the log names no tenant at all: was it captured?");
    }
    let said: Vec<&String> = report.canaries.iter().filter(|canary| log.contains(canary.as_str())).collect();
    if !said.is_empty() {
        let detail = format!("{} canaries are in the log", said.len());
        report.add("logs", detail);
    }
    report
}
