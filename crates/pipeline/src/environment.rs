//! The environment of a child process: empty, then what its step is due.
//!
//! A child inherits nothing. It finds a fixed search path, its language, its folders, the parameters and secrets of
//! its step, and who it works for. Only the runners of child processes use it; which names no parameter may have is
//! asked by the check too, so that a bad name is found before anything runs.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

use tokio::process::Command;

use crate::step::StepFailure;

/// Values longer than this go by file alone: an environment is small on every system.
const LONGEST: usize = 64 * 1024;
/// What all values together may have.
const ROOM: usize = 512 * 1024;

/// Why no parameter and no secret may have this name; `None` when it may.
pub(crate) fn refused(name: &str) -> Option<&'static str> {
    let mut bytes = name.bytes();
    let begins = bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
    if !begins || name.len() > 128 || !bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        return Some(
            "a name is 1 to 128 letters, digits and `_`, and does not begin with a digit; rename it",
        );
    }
    const STEER: &[&str] =
        &["LD_", "DYLD_", "GCONV_", "MALLOC_", "GLIBC_", "PYTHON", "BASH_", "PERL5", "RUBY", "NODE_"];
    const STEERS: &[&str] = &[
        "PATH",
        "HOME",
        "TMPDIR",
        "ENV",
        "IFS",
        "SHELL",
        "SHELLOPTS",
        "BASHOPTS",
        "CDPATH",
        "PS4",
        "PWD",
        "OLDPWD",
        "PROMPT_COMMAND",
        "LOCPATH",
        "NLSPATH",
        "GETCONF_DIR",
        "HOSTALIASES",
        "RESOLV_HOST_CONF",
        "PERLLIB",
        "JAVA_TOOL_OPTIONS",
    ];
    if STEERS.contains(&name) || STEER.iter().any(|prefix| name.starts_with(prefix)) {
        return Some("the system or an interpreter would act on it in a child's environment; rename it");
    }
    if name.starts_with("HAVERSACK_") || matches!(name, "TRACEPARENT" | "TRACESTATE") {
        return Some("the name is kept for what every step is told; rename it");
    }
    None
}

/// The environment of one child.
#[derive(Debug, Default)]
pub(crate) struct Environment {
    variables: BTreeMap<String, OsString>,
    by_file: Vec<String>,
    used: usize,
}

impl Environment {
    /// What every child has.
    pub(crate) fn new(search_path: &str, language: &str, home: &Path, temporary: &Path) -> Self {
        let mut environment = Self::default();
        environment.put("PATH", search_path);
        environment.put("LANG", language);
        environment.put("HOME", home);
        environment.put("TMPDIR", temporary);
        environment
    }

    /// Something of ours, which no caller chose.
    pub(crate) fn put(&mut self, name: &str, value: impl Into<OsString>) {
        self.variables.insert(name.to_owned(), value.into());
    }

    /// A parameter or a secret. It wins over what every child has, also when it is empty. One that is too long is
    /// left out and listed, and is found in the file of parameters.
    pub(crate) fn bind(&mut self, name: &str, value: &str) -> Result<(), StepFailure> {
        if value.contains('\0') {
            return Err(StepFailure::new(format!(
                "`{name}` holds a NUL, which no environment can carry; leave it out of the step's `parameters` and \
                 read it from the file that HAVERSACK_PARAMETERS names"
            )));
        }
        if value.len() > LONGEST || self.used + value.len() > ROOM {
            // What the child would have inherited under this name is not what was bound.
            self.variables.remove(name);
            self.by_file.push(name.to_owned());
            return Ok(());
        }
        self.used += value.len();
        self.put(name, value);
        Ok(())
    }

    /// Gives the command this environment and nothing else.
    pub(crate) fn install(mut self, command: &mut Command) {
        if !self.by_file.is_empty() {
            let names = self.by_file.join(",");
            self.put("HAVERSACK_BY_FILE", names);
        }
        #[cfg(feature = "mutants")]
        if haversack::mutants::active(haversack::mutants::Mutant::ChildEnvironment) {
            command.envs(self.variables);
            return;
        }
        command.env_clear().envs(self.variables);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fresh() -> Environment {
        Environment::new("/bin", "C.UTF-8", Path::new("/home"), Path::new("/tmp"))
    }

    #[test]
    fn names_that_steer_a_process_are_refused() {
        for name in ["PATH", "LD_PRELOAD", "LD_X", "PYTHONPATH", "BASH_ENV", "ENV", "IFS", "HAVERSACK_RUN_ID"]
        {
            assert!(refused(name).is_some(), "{name}");
        }
        for name in ["", "1a", "a-b", "a b", "a=b", "ä", "a\0b"] {
            assert!(refused(name).is_some(), "{name}");
        }
        for name in ["x", "_x", "path", "shell", "LANG", "input_path", "Model2", "LADDER"] {
            assert_eq!(refused(name), None, "{name}");
        }
    }

    #[test]
    fn a_bound_value_wins_also_when_it_is_empty() {
        let mut environment = fresh();
        environment.bind("LANG", "").unwrap();
        assert_eq!(environment.variables["LANG"], "");
    }

    #[test]
    fn a_long_value_goes_by_file_and_its_name_is_told() {
        let mut environment = fresh();
        environment.bind("LANG", &"x".repeat(LONGEST + 1)).unwrap();
        assert!(!environment.variables.contains_key("LANG"));
        assert_eq!(environment.by_file, ["LANG"]);
    }

    #[test]
    fn a_nul_is_refused_by_name() {
        let refusal = fresh().bind("x", "secret\0text").unwrap_err().to_string();
        assert!(refusal.contains("`x`") && !refusal.contains("secret"), "{refusal}");
    }
}
