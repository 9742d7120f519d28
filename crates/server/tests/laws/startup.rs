//! Starting, as the operator sees it: the real binary, its exit code, its one line of error with a code, and
//! what it left behind.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use reqwest::StatusCode;
use serde_json::{Value, json};

use super::harness::client;

fn haversack(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_haversack"));
    // A clean environment: nothing of the machine that runs the tests overrides a key.
    command.current_dir(folder).env_clear().args(arguments).stdin(Stdio::null());
    command
}

fn run(folder: &Path, arguments: &[&str]) -> Output {
    haversack(folder, arguments).output().unwrap()
}

/// Demands exit code and error code, and gives back what was said.
fn refused(output: &Output, exit: i32, code: &str) -> String {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(exit), "{said}");
    assert!(said.contains(&format!("error[{code}]")), "{said}");
    assert!(!said.contains("panicked"), "{said}");
    said
}

/// A server in a process of its own; killed when dropped.
struct Running {
    child: Child,
    started: Value,
}

impl Running {
    fn start(folder: &Path, arguments: &[&str]) -> Self {
        let arguments = [&["--json", "serve", "--bind", "127.0.0.1:0"], arguments].concat();
        let mut child =
            haversack(folder, &arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let started = serde_json::from_str(&line).unwrap_or_else(|_| {
            let mut said = String::new();
            child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
            panic!("no start: {line}{said}")
        });
        Self { child, started }
    }

    fn url(&self) -> &str {
        self.started["url"].as_str().unwrap()
    }

    fn demo_key(&self, at: usize) -> &str {
        self.started["demo_keys"][at]["key"].as_str().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn say(url: &str, key: &str, message: &str) -> reqwest::Response {
    let request = client().post(format!("{url}/v1/sessions/first/turns")).bearer_auth(key);
    request.json(&json!({ "message": message })).send().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn without_configuration_a_demo_starts_on_loopback_and_its_line_works() {
    let folder = tempfile::tempdir().unwrap();
    let first = Running::start(folder.path(), &[]);
    assert!(first.url().starts_with("http://127.0.0.1:"));
    assert_eq!(first.started["demo_keys"].as_array().unwrap().len(), 2);
    let reply = say(first.url(), first.demo_key(0), "Remember that our account manager is Robin Vega.").await;
    assert_eq!(reply.status(), StatusCode::OK);
    let other =
        say(first.url(), first.demo_key(1), "Who is our account manager?").await.text().await.unwrap();
    assert!(!other.contains("Robin Vega"), "{other}");
    let old_key = first.demo_key(0).to_owned();
    drop(first);

    // Again: fresh keys that work, the old ones are void, what was said is there.
    let again = Running::start(folder.path(), &[]);
    assert_eq!(say(again.url(), &old_key, "hello").await.status(), StatusCode::UNAUTHORIZED);
    let answer =
        say(again.url(), again.demo_key(0), "Who is our account manager?").await.text().await.unwrap();
    assert!(answer.contains("Robin Vega"), "{answer}");
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn a_stop_signal_ends_it_well() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Running::start(folder.path(), &[]);
    assert_eq!(say(server.url(), server.demo_key(0), "hello").await.status(), StatusCode::OK);
    let sent = Command::new("kill").args(["-TERM", &server.child.id().to_string()]).status().unwrap();
    assert!(sent.success());
    assert_eq!(server.child.wait().unwrap().code(), Some(0));
    // What was in the logs is in the files: nothing has to be recovered.
    let left = std::fs::read_dir(folder.path().join("data")).unwrap().map(|entry| entry.unwrap().file_name());
    assert!(left.into_iter().all(|name| !name.to_string_lossy().ends_with("-wal")));
}

#[test]
fn a_data_folder_in_use_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let server = Running::start(folder.path(), &[]);
    let said = refused(&run(folder.path(), &["serve", "--bind", "127.0.0.1:0"]), 3, "HV0103");
    assert!(said.contains(&server.child.id().to_string()), "{said}");
}

#[test]
fn a_port_in_use_is_refused_before_any_data_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let said = refused(&run(folder.path(), &["serve", "--bind", &address]), 3, "HV0110");
    assert!(said.contains(&address), "{said}");
    assert!(!folder.path().join("data").exists());
}

#[test]
fn demo_keys_on_a_public_address_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    refused(&run(folder.path(), &["serve", "--bind", "0.0.0.0:0"]), 2, "HV0111");
    // Also those that an earlier start on loopback left behind.
    drop(Running::start(folder.path(), &[]));
    std::fs::write(folder.path().join("haversack.toml"), "[server]\ndemo_keys = false\n").unwrap();
    refused(&run(folder.path(), &["serve", "--bind", "0.0.0.0:0"]), 2, "HV0111");
}

#[test]
fn an_invalid_configuration_is_refused_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("haversack.toml"), "[server]\n\nbnid = \"127.0.0.1:1\"\n").unwrap();
    for command in [&["serve"][..], &["config", "check"]] {
        let said = refused(&run(folder.path(), command), 2, "HV0101");
        assert!(said.contains("haversack.toml:3:1"), "{said}");
    }
    let said = refused(&run(folder.path(), &["serve", "--config", "nowhere.toml"]), 2, "HV0101");
    assert!(said.contains("nowhere.toml"), "{said}");
    assert!(!folder.path().join("data").exists());
    std::fs::write(folder.path().join("haversack.toml"), "[server]\ngrace_s = 1\n").unwrap();
    assert!(run(folder.path(), &["config", "check"]).status.success());
    let schema = run(folder.path(), &["config", "schema"]);
    assert!(serde_json::from_slice::<Value>(&schema.stdout).unwrap()["properties"]["server"].is_object());
}

#[cfg(target_os = "linux")]
#[test]
fn a_data_folder_that_cannot_be_written_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let closed = folder.path().join("closed");
    std::fs::create_dir(&closed).unwrap();
    std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(0o500)).unwrap();
    // Who may write everywhere takes a place where nobody may.
    let may_write = std::fs::write(closed.join("probe"), "").is_ok();
    let data = if may_write { Path::new("/sys/haversack") } else { &closed };
    let data = data.to_str().unwrap().to_owned();
    let said =
        refused(&run(folder.path(), &["serve", "--bind", "127.0.0.1:0", "--data", &data]), 3, "HV0102");
    assert!(said.contains(&data), "{said}");
}

#[test]
fn a_newer_schema_is_refused_and_not_touched() {
    let folder = tempfile::tempdir().unwrap();
    drop(Running::start(folder.path(), &[]));
    let control = folder.path().join("data/control.sqlite");
    let file = haversack_store::sqlite::Connection::open(&control).unwrap();
    file.execute("UPDATE meta SET schema_version = 99", []).unwrap();
    file.close().unwrap();
    let said = refused(&run(folder.path(), &["serve", "--bind", "127.0.0.1:0"]), 3, "HV0104");
    assert!(said.contains("control.sqlite") && said.contains("99"), "{said}");
}
