//! What the tests share that kill servers: the binary on a data folder, keys for it, and a client. A process is an end of
//! its test too: whatever becomes of the test, none is left behind.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::Value;

/// A process that dies with its test at the latest.
pub(crate) struct Mortal(Child);

impl Mortal {
    pub(crate) fn new(child: Child) -> Self {
        Self(child)
    }

    pub(crate) fn stdout(&mut self) -> BufReader<ChildStdout> {
        BufReader::new(self.0.stdout.take().expect("its output"))
    }

    /// SIGKILL, without any chance to finish.
    pub(crate) fn kill(&mut self) {
        self.0.kill().expect("it is killed");
        self.0.wait().expect("it is gone");
    }
}

impl Drop for Mortal {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// `haversack serve`.
pub(crate) struct Server {
    process: Mortal,
    pub(crate) url: String,
    _stdout: BufReader<ChildStdout>,
}

impl Server {
    /// Starts it without limits to requests, and waits for the line that says where it listens.
    pub(crate) fn start(data: &Path, environment: &[(&str, &str)]) -> Self {
        let child = haversack(data, &["serve", "--bind", "127.0.0.1:0"])
            .env("HAVERSACK_SERVER__DEMO_KEYS", "false")
            .env("HAVERSACK_LIMITS__REQUESTS_PER_SECOND", "100000")
            .env("HAVERSACK_LIMITS__BURST", "100000")
            .envs(environment.iter().copied())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the server starts");
        let mut process = Mortal::new(child);
        let mut stdout = process.stdout();
        let mut line = String::new();
        stdout.read_line(&mut line).expect("a line");
        let started: Value = serde_json::from_str(&line).expect("where it listens");
        let url = started["url"].as_str().expect("a url").to_owned();
        Self { process, url, _stdout: stdout }
    }

    pub(crate) fn kill(&mut self) {
        self.process.kill();
    }
}

/// The binary on a data folder.
pub(crate) fn haversack(data: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_haversack"));
    // A folder of its own to run in, so that no configuration file of the tree is found.
    command
        .current_dir(data.parent().expect("a parent"))
        .arg("--json")
        .args(arguments)
        .env("HAVERSACK_STORE__PATH", data)
        // `doctor` looks at the configured address, and the default one may be taken by somebody else on this machine.
        .env("HAVERSACK_SERVER__BIND", "127.0.0.1:0");
    command
}

/// A key of `kim`.
pub(crate) fn issue(data: &Path, tenant: &str) -> String {
    let output = haversack(data, &["keys", "issue", "--tenant", tenant, "--principal", "kim"])
        .output()
        .expect("keys runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let issued: Value = serde_json::from_slice(&output.stdout).expect("json");
    issued["key"].as_str().expect("a key").to_owned()
}

pub(crate) fn client() -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().build().expect("a client")
}
