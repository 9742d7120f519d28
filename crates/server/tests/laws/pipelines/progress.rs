//! What a person sees of a run that takes its time, and that nobody else sees any of it.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use serde_json::json;
use tempfile::TempDir;

use crate::program::{command, lines, run, stderr, stdout};

/// A pipeline of three steps in a folder of its own. The second one waits for the gate, and the run has taken long enough
/// for a bar by then.
fn slow() -> (TempDir, PathBuf) {
    let here = tempfile::tempdir().unwrap();
    let gate = here.path().join("gate");
    let step = |name: &str, command: &str, next: &str| {
        format!("    {name}: {{type: task, command_type: shell, command: \"{command}\", next: {next}}}\n")
    };
    let text = format!(
        "dag:\n  start_at: prepare\n  steps:\n{}{}{}    done: {{type: success}}\n",
        step("prepare", "true", "wait"),
        // Longer than a bar keeps silent.
        step("wait", &format!("sleep 1.5; while ! test -e {}; do sleep 0.05; done", gate.display()), "tell"),
        step("tell", "echo told", "done"),
    );
    std::fs::write(here.path().join("slow.yaml"), text).unwrap();
    (here, gate)
}

#[test]
fn a_run_with_steps_shows_no_progress_where_no_person_looks() {
    let (here, gate) = slow();
    std::fs::write(&gate, "").unwrap();
    let asked = |key| ["pipeline", "run", "slow.yaml", "--key", key];
    let plain = run(here.path(), &asked("plain"));
    assert!(plain.status.success());
    assert_eq!(stderr(&plain), "");
    let said = stdout(&plain);
    let shown = said.strip_prefix("plain succeeded in ").and_then(|rest| rest.strip_suffix(" s\n"));
    assert!(shown.is_some_and(|took| took.parse::<f64>().unwrap() >= 1.5), "one line: {said:?}");

    let machine = run(here.path(), &[&["--json"][..], &asked("machine")].concat());
    assert_eq!((stderr(&machine).as_str(), lines(&machine).len()), ("", 1));
    assert_eq!(lines(&machine)[0]["status"], "succeeded");

    // What happened is read from the log, a line for each event.
    let log = run(here.path(), &["--json", "pipeline", "log", "machine"]);
    let told: Vec<_> = lines(&log).iter().map(|event| json!([event["event"], event["step"]])).collect();
    let attempts = ["prepare", "wait", "tell"]
        .map(|step| [json!(["attempt_started", step]), json!(["attempt_ended", step])]);
    let first = [json!(["created", null]), json!(["began", null])];
    let last = [json!(["ended", null])];
    assert_eq!(told, [&first[..], &attempts.concat(), &last].concat());
    let log = run(here.path(), &["pipeline", "log", "plain"]);
    assert_eq!((stderr(&log).as_str(), stdout(&log).lines().count()), ("", told.len()));
}

/// Runs the program on a terminal of its own, opens the gate when all of these words were shown, and gives all that was.
fn on_a_terminal(here: &Path, gate: &Path, arguments: &str, words: &[&str]) -> String {
    let mut terminal = command(here);
    let line = format!("{} {arguments}", terminal.get_program().to_str().unwrap());
    let envs: Vec<_> =
        terminal.get_envs().filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned()))).collect();
    terminal = Command::new("script");
    terminal.current_dir(here).env_clear().envs(envs).env("TERM", "xterm");
    terminal.args(["--quiet", "--return", "--flush", "--command", &line, "/dev/null"]);
    let mut child = terminal.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let mut out = child.stdout.take().unwrap();
    let (told, heard) = mpsc::channel();
    let reading = haversack::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(read @ 1..) = out.read(&mut buffer) {
            told.send(buffer[..read].to_vec()).unwrap();
        }
    });
    let (mut shown, mut patience) = (Vec::new(), Duration::from_secs(60));
    // A bar that never comes is seen below; the run comes to its end all the same.
    while let Ok(more) = heard.recv_timeout(patience) {
        shown.extend(more);
        let text = String::from_utf8_lossy(&shown);
        if words.iter().all(|word| text.contains(word)) {
            std::fs::write(gate, "").unwrap();
            patience = Duration::from_secs(600);
        }
    }
    std::fs::write(gate, "").unwrap();
    assert!(child.wait().unwrap().success());
    reading.join().unwrap();
    shown.extend(heard.try_iter().flatten());
    String::from_utf8(shown).unwrap()
}

#[test]
#[cfg(target_os = "linux")]
fn a_person_at_a_terminal_sees_the_step_that_runs_and_a_machine_there_does_not() {
    let (here, gate) = slow();
    let shown =
        on_a_terminal(here.path(), &gate, "pipeline run slow.yaml --key person", &["1 steps done", "wait"]);
    assert!(shown.contains("1 steps done") && shown.contains("wait"), "{shown:?}");
    assert!(shown.contains("succeeded"), "{shown:?}");
    // The bar is taken away before the answer: the last thing on its line is that the line is cleared.
    let (bar, answer) = shown.rsplit_once("\u{1b}[2K").unwrap();
    assert!(bar.contains("steps done") && !answer.contains("steps done"), "{shown:?}");

    let shown = on_a_terminal(here.path(), &gate, "--json pipeline run slow.yaml --key machine", &[]);
    let view: serde_json::Value = serde_json::from_str(shown.trim_end()).unwrap();
    assert_eq!(view["status"], "succeeded", "{shown:?}");
}
