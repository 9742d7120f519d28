//! The command line: what it checks, runs in process and on a server, and with which exit code.

use serde_json::{Value, json};

use super::{examples, one, serving};
use crate::program::{lines, run, stderr, stdout};

#[test]
fn every_example_passes_the_check_and_mistakes_come_all_at_once() {
    let here = tempfile::tempdir().unwrap();
    let mut files: Vec<String> = std::fs::read_dir(examples())
        .unwrap()
        .map(|entry| entry.unwrap().path().to_str().unwrap().to_owned())
        .filter(|path| path.ends_with(".yaml"))
        .collect();
    files.sort();
    assert!(files.len() >= 20, "{files:?}");
    let arguments: Vec<&str> =
        ["--json", "pipeline", "check"].into_iter().chain(files.iter().map(String::as_str)).collect();
    let checked = run(here.path(), &arguments);
    assert!(checked.status.success(), "{}", stdout(&checked));
    assert!(lines(&checked).iter().all(|line| line["mistakes"] == json!([])));
    assert_eq!(lines(&checked).len(), files.len());

    // The configured folder, and it opens no data folder.
    let folder = examples();
    let config = format!("[pipelines]\nfolder = {:?}\n", folder.to_str().unwrap());
    std::fs::write(here.path().join("haversack.toml"), config).unwrap();
    let checked = run(here.path(), &["--json", "pipeline", "check"]);
    assert_eq!(lines(&checked).len(), files.len(), "{}", stderr(&checked));
    assert!(!here.path().join("data").exists());

    let bad = "dag:\n  start_at: a\n  steps:\n    a: {type: stub, next: nowhere}\n    b: {type: stub, next: done}\n    \
               c: {type: task, command_type: rocket, command: x, next: done}\n    done: {type: success}\n";
    std::fs::write(here.path().join("bad.yaml"), bad).unwrap();
    std::fs::write(here.path().join("worse.yaml"), "dag: [").unwrap();
    let checked =
        run(here.path(), &["pipeline", "check", "bad.yaml", "worse.yaml", &files[0], "absent.yaml"]);
    let text = stdout(&checked);
    assert_eq!(checked.status.code(), Some(2), "{text}");
    for part in ["nowhere", "bad.yaml", "worse.yaml", "absent.yaml"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(text.matches("\n  ").count() >= 4, "every mistake of every file: {text}");
    let rocket = "dag:\n  start_at: c\n  steps:\n    c: {type: task, command_type: rocket, command: x, next: done}\n    \
                  done: {type: success}\n";
    std::fs::write(here.path().join("rocket.yaml"), rocket).unwrap();
    let checked = run(here.path(), &["pipeline", "check", "rocket.yaml"]);
    assert!(stdout(&checked).contains("`rocket`"), "what the program cannot run: {}", stdout(&checked));
}

/// A command that asked for a run that is not there: nothing is answered, the code is said, and the exit code is that of what
/// was asked for and not found.
fn unknown_run(asked: &std::process::Output) {
    let said = stderr(asked);
    assert_eq!((asked.status.code(), stdout(asked)), (Some(1), String::new()), "{said}");
    assert!(said.starts_with("error[HV0703]: ") && said.contains("haversack explain HV0703"), "{said}");
}

#[test]
fn a_pipeline_runs_in_process_with_an_exit_code_and_is_tried_again() {
    let here = tempfile::tempdir().unwrap();
    let file = here.path().join("sum.yaml");
    std::fs::write(&file, one("test -e /PLACE && echo '{\"rows\": 12}' > \"$HAVERSACK_RETURNS\"", "rows"))
        .unwrap();
    let flag = here.path().join("flag");
    let text = std::fs::read_to_string(&file).unwrap().replace("/PLACE", flag.to_str().unwrap());
    std::fs::write(&file, text).unwrap();

    let failed = run(here.path(), &["--json", "pipeline", "run", "sum.yaml", "--key", "k", "-p", "day=1"]);
    assert_eq!(failed.status.code(), Some(1), "{}", stderr(&failed));
    let view = &lines(&failed)[0];
    assert_eq!((&view["status"], &view["parameters"]), (&"failed".into(), &json!({ "day": 1 })));
    assert_eq!(view["principal"], "me");
    let read = run(here.path(), &["pipeline", "log", "k"]);
    assert!(stdout(&read).contains("only: attempt 1"), "{}", stdout(&read));

    std::fs::write(&flag, "").unwrap();
    let retried = run(here.path(), &["pipeline", "retry", "k"]);
    assert!(retried.status.success(), "{}", stderr(&retried));
    assert!(stdout(&retried).contains("rows") && stdout(&retried).contains("12"), "{}", stdout(&retried));
    // It has ended: the key gives what there is, and there is nothing to try again.
    let again = run(here.path(), &["--json", "pipeline", "run", "sum.yaml", "--key", "k"]);
    assert_eq!(lines(&again)[0]["outputs"], json!({ "rows": 12 }));
    let nothing = run(here.path(), &["pipeline", "retry", "k"]);
    assert_eq!(nothing.status.code(), Some(1));
    assert!(stderr(&nothing).contains("HV0705"), "{}", stderr(&nothing));
    // Another tenant of the same folder has no such run, and nobody has one that never was.
    for (action, key, more) in [
        ("log", "k", &["--tenant", "other"][..]),
        ("retry", "k", &["--tenant", "other"]),
        ("log", "k", &["--principal", "you"]),
        ("retry", "k", &["--principal", "you"]),
        ("log", "never", &[]),
        ("retry", "never", &[]),
    ] {
        let asked: Vec<&str> = ["pipeline", action, key].iter().chain(more).copied().collect();
        unknown_run(&run(here.path(), &asked));
    }
    let machine = run(here.path(), &["--json", "pipeline", "retry", "never"]);
    assert_eq!((machine.status.code(), stdout(&machine)), (Some(1), String::new()));
    let error: Value = serde_json::from_str(&stderr(&machine)).unwrap();
    assert_eq!(error["error"]["code"], "HV0703");
    let unknown = run(here.path(), &["pipeline", "run", "nothing"]);
    assert_eq!(unknown.status.code(), Some(2), "{}", stderr(&unknown));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_runs_on_a_server_what_the_server_has() {
    let server = serving(&examples()).await;
    let kim = server.key("acme", "kim").await;
    let (folder, url, key) = (server.folder.path().to_owned(), server.server.url(), kim.text.clone());
    let on_server = move |arguments: &[&str]| {
        let all: Vec<&str> = arguments.iter().copied().chain(["--server", &url, "--api-key", &key]).collect();
        run(&folder, &all)
    };
    let ran = haversack::spawn_blocking(move || {
        let ran = on_server(&["--json", "pipeline", "run", "map", "-p", "chunks=[2]", "--key", "k"]);
        let failed = on_server(&["pipeline", "run", "step_fails"]);
        let log = on_server(&["--json", "pipeline", "log", "k"]);
        let file = on_server(&["pipeline", "run", "./map.yaml"]);
        unknown_run(&on_server(&["pipeline", "log", "never"]));
        unknown_run(&on_server(&["pipeline", "retry", "never"]));
        (ran, failed, log, file)
    });
    let (ran, failed, log, file) = ran.await.unwrap();
    assert!(ran.status.success(), "{}", stderr(&ran));
    assert_eq!(lines(&ran)[0]["outputs"]["squared"], json!([4]));
    assert_eq!(failed.status.code(), Some(1), "{}", stderr(&failed));
    assert_eq!(lines(&log).last().unwrap()["event"], "ended");
    assert_eq!(file.status.code(), Some(2), "{}", stderr(&file));
    server.server.shutdown().await.unwrap();
}
