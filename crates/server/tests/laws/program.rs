//! Runs the binary `haversack` as a process of its own: one command to its end, or a server that is stopped as an operator
//! would stop it.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

/// The binary, in `folder`, with an environment that holds nothing of this process but where programs are.
pub fn command(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_haversack"));
    command.current_dir(folder).env_clear();
    for kept in ["PATH", "HOME", "TMPDIR"] {
        if let Some(value) = std::env::var_os(kept) {
            command.env(kept, value);
        }
    }
    command
}

/// Runs one command to its end.
pub fn run(folder: &Path, arguments: &[&str]) -> Output {
    command(folder).args(arguments).stdin(Stdio::null()).output().unwrap()
}

/// Runs one command that reads `input`.
pub fn run_with(folder: &Path, arguments: &[&str], input: &str) -> Output {
    let mut child = command(folder)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

/// What a command printed.
pub fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// What a command said on the side.
pub fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// The JSON lines of a command.
pub fn lines(output: &Output) -> Vec<Value> {
    stdout(output)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}")))
        .collect()
}

/// `haversack worker`, killed when a test ends.
pub struct Worker(Child);

impl Worker {
    /// Starts one in `folder`, where its configuration lies, over the data of a server.
    pub fn start(folder: &Path, data: &Path) -> Self {
        let mut command = command(folder);
        command.args(["--json", "worker"]).env("HAVERSACK_STORE__PATH", data);
        Self(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }

    /// Ends it without a warning.
    pub fn kill_nine(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Asks until there is an answer. Fails after minutes: what is not there by then never comes, and a law that waits for it for
/// ever is not red.
pub async fn settled<T>(ask: impl AsyncFn() -> Option<T>) -> T {
    let asking = async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            // Below the requests a second that a tenant has.
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(180), asking).await.expect("it never came")
}

/// A running `haversack serve` with its demo tenants. It is killed when a test ends early.
pub struct Program {
    child: Child,
    url: String,
    keys: BTreeMap<String, String>,
}

impl Program {
    /// Starts a server in `folder` and waits until it listens.
    pub fn serve(folder: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let mut child = command(folder)
            .args(["--json", "serve"])
            .args(arguments)
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut first = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut first).unwrap();
        let Ok(started) = serde_json::from_str::<Value>(&first) else {
            let output = child.wait_with_output().unwrap();
            panic!("the server did not start: {}", stderr(&output));
        };
        let keys = started["demo_keys"].as_array().unwrap().iter().map(|demo| {
            let text = |name: &str| demo[name].as_str().unwrap().to_owned();
            (text("tenant"), text("key"))
        });
        Self { url: started["url"].as_str().unwrap().to_owned(), keys: keys.collect(), child }
    }

    /// Where it listens.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The demo key of a tenant.
    pub fn key(&self, tenant: &str) -> &str {
        &self.keys[tenant]
    }

    /// A turn that must give a reply.
    pub fn say(&self, tenant: &str, session: &str, message: &str) -> Value {
        let reply: Value =
            serde_json::from_str(&self.raw(tenant, session, &json!({ "message": message }).to_string()))
                .unwrap();
        assert!(reply["text"].is_string(), "{reply}");
        reply
    }

    /// The answer to a body.
    pub fn raw(&self, tenant: &str, session: &str, body: &str) -> String {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        haversack::block_on(&runtime, async {
            let request = super::harness::client().post(format!("{}/v1/sessions/{session}/turns", self.url));
            let request = request.bearer_auth(self.key(tenant)).header("content-type", "application/json");
            request.body(body.to_owned()).send().await.unwrap().text().await.unwrap()
        })
    }

    /// SIGKILL, without any chance to finish.
    pub fn kill_nine(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks it to stop, waits for its end, which must be a good one, and gives what it wrote on standard error.
    pub fn stop(&mut self) -> String {
        let asked = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap();
        assert!(asked.success());
        let mut log = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
        assert!(self.child.wait().unwrap().success(), "{log}");
        log
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // After a stop this finds nobody.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
