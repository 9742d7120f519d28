//! One installation in a temporary folder: a configuration file, a data folder, keys, and the processes that were
//! started on it. Every process ends with its case at the latest.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use serde_json::{Value, json};
use tempfile::TempDir;

/// A folder with `haversack.toml` in it, in which the program is started.
pub struct Installation {
    folder: TempDir,
}

impl Installation {
    /// An installation whose configuration file holds `toml`. Rates are high and demo keys are off unless `toml` has
    /// a `[limits]` or `[server]` section of its own.
    pub fn new(toml: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut text = toml.to_owned();
        if !text.contains("[limits]") {
            text.push_str("\n[limits]\nrequests_per_second = 100000\nburst = 100000\n");
        }
        if !text.contains("[server]") {
            text.push_str("\n[server]\ndemo_keys = false\n");
        }
        std::fs::write(folder.path().join("haversack.toml"), text).unwrap();
        Self { folder }
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Writes a file below the folder, making the folders above it.
    pub fn write(&self, name: &str, content: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        path
    }

    /// The program with `arguments`, started in the folder, in a clean environment.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(program());
        command.current_dir(self.folder.path()).env_clear().args(arguments).stdin(Stdio::null());
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command
    }

    /// Runs the program to its end.
    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Issues a key of `principal` in `tenant`.
    pub fn key(&self, tenant: &str, principal: &str) -> String {
        let issued = self.run(&["--json", "keys", "issue", "--tenant", tenant, "--principal", principal]);
        assert!(issued.status.success(), "{}", String::from_utf8_lossy(&issued.stderr));
        let issued: Value = serde_json::from_slice(&issued.stdout).unwrap();
        issued["key"].as_str().unwrap().to_owned()
    }

    /// Starts `serve` on a free port, and waits until it says where it listens.
    pub fn serve(&self) -> Server {
        self.serve_with(|_| {})
    }

    /// As [`serve`](Self::serve), after `change` to the command.
    pub fn serve_with(&self, change: impl FnOnce(&mut Command)) -> Server {
        let mut command = self.command(&["--json", "serve", "--bind", "127.0.0.1:0"]);
        change(&mut command);
        let mut process = Process::start(command);
        let line = process.line();
        let url = serde_json::from_str::<Value>(&line)
            .ok()
            .and_then(|started| started["url"].as_str().map(str::to_owned))
            .unwrap_or_else(|| panic!("no start: {line}{}", process.said()));
        let metrics = serde_json::from_str::<Value>(&line)
            .ok()
            .and_then(|started| started["metrics"].as_str().map(str::to_owned));
        Server { process, url, metrics }
    }

    /// As [`serve`](Self::serve), with at most `files` file descriptors.
    pub fn serve_with_files(&self, files: u32) -> Server {
        self.serve_with(|command| {
            let mut limited = Command::new("sh");
            limited.args(["-c", &format!("ulimit -n {files}; exec \"$0\" \"$@\"")]);
            limited.arg(command.get_program()).args(command.get_args());
            limited.current_dir(self.path()).env_clear().stdin(Stdio::null());
            limited.env("PATH", std::env::var_os("PATH").unwrap_or_default());
            *command = limited;
        })
    }

    /// Starts the program with `arguments`, for commands that run until they are stopped.
    pub fn start(&self, arguments: &[&str]) -> Process {
        self.start_with(arguments, |_| {})
    }

    /// As [`start`](Self::start), after `change` to the command.
    pub fn start_with(&self, arguments: &[&str], change: impl FnOnce(&mut Command)) -> Process {
        let mut command = self.command(arguments);
        change(&mut command);
        Process::start(command)
    }
}

/// A running program. It is killed when it is dropped.
pub struct Process {
    child: Child,
    stdout: BufReader<std::process::ChildStdout>,
    stderr: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
}

impl Process {
    fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let mut pipe = child.stderr.take().unwrap();
        let stderr = Arc::new(Mutex::new(String::new()));
        let kept = Arc::clone(&stderr);
        // Reads along, so that a program that logs much never waits for its pipe.
        let reader = std::thread::spawn(move || {
            let mut piece = [0; 8192];
            while let Ok(read @ 1..) = pipe.read(&mut piece) {
                kept.lock().unwrap().push_str(&String::from_utf8_lossy(&piece[..read]));
            }
        });
        Self { child, stdout, stderr, reader: Some(reader) }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The next line of its standard output; empty when it ended.
    pub fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        line
    }

    /// Its standard error until now.
    pub fn said(&self) -> String {
        self.stderr.lock().unwrap().clone()
    }

    /// Sends a signal by its name: `TERM`, `INT`, `STOP`, `CONT`.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// SIGKILL, and waits until it is gone.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Whether it still runs.
    pub fn lives(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits for its end, and gives its exit code back; none when a signal ended it.
    pub fn wait(&mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        // A grandchild may hold the pipe; the reader then ends with the test process.
        drop(self.reader.take());
    }
}

/// A running `serve`.
pub struct Server {
    pub process: Process,
    pub url: String,
    /// The URL of the metrics, where they have a listener of their own.
    pub metrics: Option<String>,
}

impl Server {
    pub fn address(&self) -> SocketAddr {
        self.url.trim_start_matches("http://").parse().unwrap()
    }

    /// One message of a session, as a request that waits for its reply.
    pub async fn say(&self, key: &str, session: &str, message: &str) -> reqwest::Response {
        self.post(key, &format!("/v1/sessions/{session}/turns"), &json!({ "message": message })).await
    }

    pub async fn post(&self, key: &str, path: &str, body: &Value) -> reqwest::Response {
        client().post(format!("{}{path}", self.url)).bearer_auth(key).json(body).send().await.unwrap()
    }

    pub async fn get(&self, key: &str, path: &str) -> reqwest::Response {
        client().get(format!("{}{path}", self.url)).bearer_auth(key).send().await.unwrap()
    }
}

pub fn client() -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().build().unwrap()
}

/// Asks until there is an answer. The deadline is generous: it is for a program that never gives one.
pub async fn settled<T>(ask: impl AsyncFn() -> Option<T>) -> T {
    for _ in 0..1_800 {
        if let Some(answer) = ask().await {
            return answer;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("nothing came of it");
}

/// The program under test: the one of this build, or the one that `HAVERSACK_BIN` names.
fn program() -> PathBuf {
    std::env::var_os("HAVERSACK_BIN").map_or_else(|| env!("CARGO_BIN_EXE_haversack").into(), PathBuf::from)
}
