//! Runs `haversack leakcheck` and reads its report.

use std::fmt;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

/// What the command reported, and how it ended.
pub(crate) struct Report {
    value: Value,
    code: Option<i32>,
}

/// Runs the command with these arguments to its end.
pub(crate) fn check(arguments: &[&str]) -> Report {
    check_in(&[], arguments)
}

/// Runs it with these variables in its environment too.
pub(crate) fn check_in(environment: &[(&str, &Path)], arguments: &[&str]) -> Report {
    let folder = tempfile::tempdir().expect("a folder");
    let output = Command::new(env!("CARGO_BIN_EXE_haversack"))
        // A folder of its own to run in, so that no configuration file of the tree is found.
        .current_dir(folder.path())
        .args(["--json", "leakcheck"])
        .args(arguments)
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .output()
        .expect("the command runs");
    let value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("no report; it said:\n{}", String::from_utf8_lossy(&output.stderr)));
    Report { value, code: output.status.code() }
}

impl Report {
    /// Whether nothing crossed and every place could show it, in what is said and in how it ended.
    pub(crate) fn is_clean(&self) -> bool {
        let none = self.red().is_empty() && self.value["crossings"] == 0 && self.value["gaps"] == 0;
        assert_eq!(self.code, Some(i32::from(!none)), "the exit code says something else:\n{self}");
        none
    }

    /// The places with a finding.
    pub(crate) fn red(&self) -> Vec<&str> {
        let places = self.value["places"].as_array().expect("places");
        let red = places.iter().filter(|place| place["crossings"] != 0 || place["gaps"] != 0);
        red.map(|place| place["place"].as_str().expect("a name")).collect()
    }

    /// Whether a finding of that place names this.
    #[allow(dead_code, reason = "one of the two test binaries looks at it")]
    pub(crate) fn tells_of(&self, place: &str, what: &str) -> bool {
        let findings = self.value["findings"].as_array().expect("findings");
        let details = findings.iter().filter(|finding| finding["place"] == place).map(|one| &one["detail"]);
        details.into_iter().any(|detail| detail.as_str().is_some_and(|detail| detail.contains(what)))
    }

    /// Where the installation was kept.
    #[allow(dead_code, reason = "one of the two test binaries looks at it")]
    pub(crate) fn kept(&self) -> &Path {
        Path::new(self.value["kept"].as_str().unwrap_or_else(|| panic!("nothing was kept:\n{self}")))
    }

    /// The row of a hop.
    #[allow(dead_code, reason = "one of the two test binaries looks at it")]
    pub(crate) fn hop(&self, name: &str) -> &Value {
        let hops = self.value["hops"].as_array().expect("hops");
        hops.iter().find(|hop| hop["hop"] == name).unwrap_or_else(|| panic!("no hop {name}:\n{self}"))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "exit code {:?}, red: {}", self.code, self.red().join(", "))?;
        let findings = self.value["findings"].as_array().expect("findings");
        findings.iter().take(20).try_for_each(|finding| {
            writeln!(f, "  {} {}: {}", finding["verdict"], finding["place"], finding["detail"])
        })
    }
}
