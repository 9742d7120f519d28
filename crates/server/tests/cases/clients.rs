//! The official MCP clients, as subprocesses: scripts that follow the plan of a case and print what came back. They live in
//! `target/clients`, where `cargo xtask clients` puts them; a case without them is red and says so.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::installation::Installation;

pub const LEGACY: &str = "2025-11-25";
pub const MODERN: &str = "2026-07-28";

/// A stock client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Client {
    /// The Python SDK, `mcp` 2.3.
    Sdk,
    /// FastMCP 4.2, without the tasks extension.
    Fast,
    /// FastMCP 4.1 with `fastmcp-tasks`.
    Tasks,
    /// The TypeScript SDK 1.32, up to 2025-11-25.
    V1,
    /// The TypeScript client 2.4.
    V2,
}

impl Client {
    pub const ALL: [Self; 5] = [Self::Sdk, Self::Fast, Self::Tasks, Self::V1, Self::V2];

    /// Returns true if it knows this revision.
    pub fn speaks(self, revision: &str) -> bool {
        self != Self::V1 || revision == LEGACY
    }

    /// Follows a plan, and gives back what it printed.
    pub fn run(self, plan: &Value) -> Value {
        said(&self.command(plan).0.output().unwrap(), self)
    }

    /// The command, and the folder of its scripts, which must live as long.
    pub fn command(self, plan: &Value) -> (Command, TempDir) {
        let folder = scripts();
        let (program, script) = match self {
            Self::Sdk => (installed("fastmcp/bin/python"), "sdk.py"),
            Self::Fast => (installed("fastmcp/bin/python"), "fast.py"),
            Self::Tasks => (installed("tasks/bin/python"), "fast.py"),
            Self::V1 => (installed("nodejs/bin/node"), "v1.mjs"),
            Self::V2 => (installed("nodejs/bin/node"), "v2.mjs"),
        };
        let mut command = Command::new(program);
        command.arg(folder.path().join(script)).arg(plan.to_string()).stdin(Stdio::null());
        command.env("NO_PROXY", "*").env("no_proxy", "*");
        (command, folder)
    }
}

/// The output of a client.
pub fn said(output: &Output, client: impl std::fmt::Debug) -> Value {
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().last().unwrap_or_default();
    serde_json::from_str(line)
        .unwrap_or_else(|_| panic!("{client:?}: {text}{}", String::from_utf8_lossy(&output.stderr)))
}

/// Calls a tool with the Inspector over HTTP: its exit code and its output.
pub fn inspector_calls(url: &str, key: &str, tool: &str, argument: &str) -> (Option<i32>, String) {
    let (url, header) = (format!("{url}/mcp"), format!("Authorization: Bearer {key}"));
    let call = ["--method", "tools/call", "--tool-name", tool, "--tool-arg", argument];
    inspector(&[&[url.as_str(), "--header", &header], &call[..]].concat())
}

/// The Inspector on the command line; its exit code and what it printed.
pub fn inspector(arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(installed("nodejs/bin/node"));
    command.arg(installed("node/node_modules/.bin/mcp-inspector")).arg("--cli").args(arguments);
    let home = tempfile::tempdir().unwrap();
    command.env("HOME", home.path()).env("NO_PROXY", "*").stdin(Stdio::null());
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    (output.status.code(), text.into_owned())
}

/// A plan over HTTP.
pub fn over_http(url: &str, key: &str, revision: &str, steps: Value) -> Value {
    json!({ "url": format!("{url}/mcp"), "key": key, "revision": revision, "steps": steps })
}

/// A plan over standard input and output of the program, started in this installation.
pub fn over_stdio(installation: &Installation, arguments: &[&str], revision: &str, steps: Value) -> Value {
    let command = installation.command(&[&["mcp", "stdio"], arguments].concat());
    let mut words = vec![command.get_program().to_str().unwrap().to_owned()];
    words.extend(command.get_args().map(|word| word.to_str().unwrap().to_owned()));
    json!({ "command": words, "cwd": installation.path(), "env": {}, "revision": revision, "steps": steps })
}

/// Something below `target/clients`.
fn installed(name: &str) -> PathBuf {
    let target = Path::new(env!("CARGO_BIN_EXE_haversack")).ancestors().nth(2).unwrap();
    let path = target.join("clients").join(name);
    assert!(
        path.exists(),
        "{} is missing: the official MCP clients are not installed; run `cargo xtask clients`, or `cargo xtask test`",
        path.display()
    );
    path
}

/// The scripts, beside the packages that those of Node import.
fn scripts() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients");
    for language in ["python", "node"] {
        for file in std::fs::read_dir(sources.join(language)).unwrap() {
            let path = file.unwrap().path();
            if path.extension().is_some_and(|end| end == "py" || end == "mjs") {
                std::fs::copy(&path, folder.path().join(path.file_name().unwrap())).unwrap();
            }
        }
    }
    #[cfg(unix)]
    std::os::unix::fs::symlink(installed("node/node_modules"), folder.path().join("node_modules")).unwrap();
    folder
}
