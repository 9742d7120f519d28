//! The commands, run as a person or a script runs them: as processes, with their output, their exit codes, and what they
//! leave on disk.

use std::path::Path;

use haversack_server::cli::init;
use haversack_server::config::Config;
use reqwest::StatusCode;
use serde_json::Value;

use super::harness::{Key, TestServer, problem, start};
use super::program::{Program, command, lines, run, run_with, stderr, stdout};

fn data(server: &TestServer) -> String {
    server.folder.path().join("data").to_str().unwrap().to_owned()
}

/// Runs a command beside the server of this process.
async fn beside(server: &TestServer, arguments: &[&str]) -> std::process::Output {
    let folder = server.folder.path().to_owned();
    let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
    let running = haversack::spawn_blocking(move || {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        run(&folder, &arguments)
    });
    running.await.unwrap()
}

fn key_of(line: &Value) -> Key {
    Key { id: line["id"].as_str().unwrap().to_owned(), text: line["key"].as_str().unwrap().to_owned() }
}

#[test]
fn a_page_is_explained_and_an_unknown_code_names_its_neighbours() {
    let here = tempfile::tempdir().unwrap();
    let page = run(here.path(), &["explain", "hv0103"]);
    assert!(page.status.success());
    assert!(stdout(&page).starts_with("# HV0103: "), "{}", stdout(&page));
    let unknown = run(here.path(), &["explain", "HV0109"]);
    assert_eq!(unknown.status.code(), Some(2));
    assert!(
        stdout(&unknown).contains("HV0108") && stdout(&unknown).contains("HV0110"),
        "{}",
        stdout(&unknown)
    );
    let all = run(here.path(), &["--json", "explain"]);
    assert!(lines(&all).iter().any(|line| line["code"] == "HV0500"));
}

#[test]
fn init_writes_what_serve_can_read_and_never_overwrites() {
    let here = tempfile::tempdir().unwrap();
    let first = run(here.path(), &["init"]);
    assert!(first.status.success(), "{}", stderr(&first));
    assert!(here.path().join("knowledge/README.md").exists());
    let checked = run(here.path(), &["config", "check"]);
    assert!(checked.status.success(), "{}", stderr(&checked));

    let file = here.path().join("haversack.toml");
    std::fs::write(&file, "# mine\n").unwrap();
    let second = run(here.path(), &["init"]);
    assert_eq!(second.status.code(), Some(2), "{}", stderr(&second));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "# mine\n");

    let elsewhere = run(here.path(), &["init", "new/place"]);
    assert!(elsewhere.status.success(), "{}", stderr(&elsewhere));
    assert!(here.path().join("new/place/haversack.toml").exists());
}

#[test]
fn every_default_that_init_shows_is_the_default() {
    let text = init::file();
    // Take the mark away from lines that show a key or a table of a section that is there.
    let shown: Vec<String> = text
        .lines()
        .take_while(|line| !line.starts_with("# Spans go"))
        .map(|line| match line.strip_prefix("# ") {
            Some(rest)
                if rest
                    .split(" = ")
                    .next()
                    .is_some_and(|key| key.chars().all(|c| c.is_ascii_lowercase() || c == '_'))
                    && rest.contains(" = ") =>
            {
                rest.to_owned()
            }
            _ => line.to_owned(),
        })
        .collect();
    let mut told = Config::parse(Path::new("shown.toml"), &shown.join("\n"), []).unwrap();
    // Unset means: only without a file. With a file, that is `false`.
    assert_eq!(told.server.demo_keys.take(), Some(false));
    assert_eq!(serde_json::to_value(&told).unwrap(), serde_json::to_value(Config::default()).unwrap());
    let keys = shown.iter().filter(|line| line.contains(" = ") && !line.starts_with('#')).count();
    assert!(keys >= 25, "{keys} keys are shown");

    // The file as it is written is the default too, but for the knowledge folder that it comes with.
    let mut written = Config::parse(Path::new("haversack.toml"), &text, []).unwrap();
    assert_eq!(written.agent.tools.knowledge.take(), Some("./knowledge".into()));
    assert_eq!(serde_json::to_value(&written).unwrap(), serde_json::to_value(Config::default()).unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_administered_beside_a_running_server() {
    let server = start().await;
    let data = data(&server);
    let keys = async |arguments: &[&str]| {
        let all: Vec<&str> = ["--json", "keys", "--data", &data].iter().chain(arguments).copied().collect();
        beside(&server, &all).await
    };
    let issued = keys(&["issue", "--tenant", "acme", "--principal", "kim", "--label", "laptop"]).await;
    assert!(issued.status.success(), "{}", stderr(&issued));
    let old = key_of(&lines(&issued)[0]);
    server.say(&old, "s", "hello").await;

    let listed = keys(&["ls"]).await;
    assert!(!stdout(&listed).contains(&old.text), "a list never holds a secret");
    let row = lines(&listed).into_iter().find(|row| row["id"] == old.id).unwrap();
    assert_eq!(
        (&row["state"], &row["label"], &row["tenant"]),
        (&"active".into(), &"laptop".into(), &"acme".into())
    );

    // With an overlap both work; without one, only the new one.
    let rotated = keys(&["rotate", &old.id, "--overlap", "1h"]).await;
    assert!(rotated.status.success(), "{}", stderr(&rotated));
    let new = key_of(&lines(&rotated)[0]);
    assert_ne!(new.id, old.id);
    server.say(&old, "s", "hello again").await;
    server.say(&new, "s", "hello from the new one").await;
    let row =
        lines(&keys(&["ls", "--tenant", "acme"]).await).into_iter().find(|row| row["id"] == old.id).unwrap();
    assert!(row["expires_at"].is_string() && row["revoked_at"].is_null(), "{row}");

    let newest = key_of(&lines(&keys(&["rotate", &new.id]).await)[0]);
    problem(server.turn(&new, "s", "x").send().await.unwrap(), "HV0203").await;
    server.say(&newest, "s", "hello from the newest").await;

    assert!(keys(&["revoke", &newest.id]).await.status.success());
    problem(server.turn(&newest, "s", "x").send().await.unwrap(), "HV0203").await;

    let audit = server.server.engine().store().control().audit().list(100).await.unwrap();
    let acts: Vec<&str> =
        audit.iter().filter(|row| row.actor.starts_with("cli:")).map(|row| row.action.as_str()).collect();
    for act in ["key.issue", "key.rotate", "key.revoke"] {
        assert!(acts.contains(&act), "{act} is missing in {acts:?}");
    }
}

#[test]
fn a_key_command_that_cannot_be_done_says_so_and_changes_nothing() {
    let here = tempfile::tempdir().unwrap();
    let absent = run(here.path(), &["keys", "ls"]);
    assert_eq!(absent.status.code(), Some(3), "{}", stderr(&absent));
    assert!(!here.path().join("data").exists(), "a list makes no data folder");
    let refused = run(here.path(), &["keys", "issue", "--tenant", "../x", "--principal", "kim"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(stderr(&refused).contains("HV0208"), "{}", stderr(&refused));
    assert!(run(here.path(), &["keys", "issue", "--tenant", "a", "--principal", "b"]).status.success());
    for arguments in [["keys", "revoke", "nobody"], ["keys", "rotate", "nobody"]] {
        let unknown = run(here.path(), &arguments);
        assert_eq!(unknown.status.code(), Some(1));
        assert!(stderr(&unknown).contains("HV0202"), "{}", stderr(&unknown));
    }
    let period =
        run(here.path(), &["keys", "issue", "--tenant", "a", "--principal", "b", "--expires", "soon"]);
    assert_eq!(period.status.code(), Some(2));
    let json = run(here.path(), &["--json", "keys", "revoke", "nobody"]);
    let error: Value = serde_json::from_str(stderr(&json).trim()).unwrap();
    assert_eq!(error["error"]["code"], "HV0202");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_of_a_running_server_is_restored_whole() {
    let server = start().await;
    let key = server.key("acme", "kim").await;
    server.say(&key, "s", "Our account manager is Robin Vega.").await;
    let data = data(&server);
    let backup = server.folder.path().join("backup");
    let copied = beside(&server, &["--json", "backup", backup.to_str().unwrap(), "--data", &data]).await;
    assert!(copied.status.success(), "{}", stderr(&copied));
    assert_eq!(lines(&copied)[0]["files"], 2);
    server.say(&key, "s", "And the server goes on.").await;

    let here = server.folder.path();
    let again = beside(&server, &["backup", backup.to_str().unwrap(), "--data", &data]).await;
    assert!(stderr(&again).contains("HV0108"), "a backup is not written over: {}", stderr(&again));
    let into_use = beside(&server, &["restore", backup.to_str().unwrap(), "--data", &data]).await;
    assert!(!into_use.status.success());

    let restored = beside(&server, &["restore", "backup", "--data", "restored"]).await;
    assert!(restored.status.success(), "{}", stderr(&restored));
    let said = beside(
        &server,
        &[
            "--json",
            "chat",
            "--data",
            "restored",
            "--tenant",
            "acme",
            "--principal",
            "kim",
            "-m",
            "Who is our account manager?",
        ],
    )
    .await;
    assert!(said.status.success(), "{}", stderr(&said));
    assert!(lines(&said)[0]["text"].as_str().unwrap().contains("Robin Vega"), "{}", stdout(&said));

    let tenant = std::fs::read_dir(backup.join("tenants")).unwrap().next().unwrap().unwrap().path();
    let mut bytes = std::fs::read(&tenant).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&tenant, bytes).unwrap();
    let altered = beside(&server, &["restore", "backup", "--data", "second"]).await;
    assert_eq!(altered.status.code(), Some(1));
    assert!(stderr(&altered).contains("HV0108"), "{}", stderr(&altered));
    assert!(!here.join("second/control.sqlite").exists());

    let audit = server.server.engine().store().control().audit().list(100).await.unwrap();
    assert!(audit.iter().any(|row| row.action == "backup" && row.actor.starts_with("cli:")));
}

#[tokio::test(flavor = "multi_thread")]
async fn doctor_is_content_beside_a_healthy_server() {
    let server = start().await;
    let key = server.key("acme", "kim").await;
    server.say(&key, "s", "hello").await;
    let data = data(&server);
    let bind = server.server.addr().to_string();
    let config = server.folder.path().join("haversack.toml");
    std::fs::write(&config, format!("[server]\nbind = \"{bind}\"\n")).unwrap();
    let looked = beside(&server, &["--json", "doctor", "--data", &data]).await;
    let checks = lines(&looked);
    assert!(looked.status.success(), "{}", stdout(&looked));
    let of = |name: &str| {
        checks.iter().find(|check| check["check"] == name).unwrap_or_else(|| panic!("{name}: {checks:?}"))
    };
    assert!(of("lock")["detail"].as_str().unwrap().contains(&std::process::id().to_string()));
    assert_eq!(of("data files")["detail"], "2 of 2 are sound");
    for name in ["configuration", "folder rights", "disk space", "keys", "address", "model"] {
        assert_eq!(of(name)["ok"], true, "{name}");
    }
}

#[test]
fn doctor_finds_what_is_wrong_and_changes_nothing() {
    let here = tempfile::tempdir().unwrap();
    // The default port may be taken by somebody else on this machine.
    std::fs::write(here.path().join("haversack.toml"), "[server]\nbind = \"127.0.0.1:0\"\n").unwrap();
    let looked = run(here.path(), &["doctor"]);
    assert!(looked.status.success(), "nothing is wrong with nothing: {}", stdout(&looked));
    assert!(!here.path().join("data").exists());

    for tenant in ["acme", "other"] {
        let said = run(here.path(), &["chat", "--tenant", tenant, "-m", "hello"]);
        assert!(said.status.success(), "{}", stderr(&said));
    }
    let mut files: Vec<_> = std::fs::read_dir(here.path().join("data/tenants"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|it| it == "sqlite"))
        .collect();
    files.sort();
    // One tenant's file under the other's name, and the other's overwritten.
    std::fs::copy(&files[0], &files[1]).unwrap();
    let mut bytes = std::fs::read(&files[0]).unwrap();
    bytes[..1024].fill(b'x');
    std::fs::write(&files[0], &bytes).unwrap();
    #[cfg(unix)]
    std::fs::set_permissions(here.path().join("data"), std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .unwrap();
    std::fs::write(here.path().join("haversack.toml"), "[server]\nbind = \"127.0.0.1:0\"\n[agent.tools]\nknowledge = \"absent\"\n[telemetry.otlp]\nendpoint = \"http://127.0.0.1:1/v1/traces\"\n").unwrap();

    let looked = run(here.path(), &["--json", "doctor"]);
    assert_eq!(looked.status.code(), Some(1));
    let findings: Vec<Value> = lines(&looked).into_iter().filter(|check| check["ok"] == false).collect();
    let codes: Vec<&str> = findings.iter().map(|finding| finding["code"].as_str().unwrap()).collect();
    for code in ["HV0105", "HV0106", "HV0102", "HV0101"] {
        assert!(codes.contains(&code), "{code} is missing in {findings:#?}");
    }
    for name in ["knowledge", "collector", "folder rights"] {
        assert!(
            findings.iter().any(|finding| finding["check"] == name),
            "{name} is missing in {findings:#?}"
        );
    }
    assert_eq!(std::fs::read(&files[0]).unwrap(), bytes);

    std::fs::write(here.path().join("haversack.toml"), "[server]\nbind = 7\n").unwrap();
    let looked = run(here.path(), &["doctor"]);
    assert_eq!(looked.status.code(), Some(1));
    assert!(stdout(&looked).contains("haversack.toml:2:8"), "{}", stdout(&looked));
}

#[test]
fn a_conversation_in_process_remembers_over_lines_and_runs() {
    let here = tempfile::tempdir().unwrap();
    let talked = run_with(
        here.path(),
        &["chat", "--session", "one"],
        "Our account manager is Robin Vega.\n\nWho is our account manager?\n/quit\nnever said\n",
    );
    assert!(talked.status.success(), "{}", stderr(&talked));
    let answers = stdout(&talked);
    assert!(answers.contains("Robin Vega") && !answers.contains("never said"), "{answers}");
    assert_eq!(stderr(&talked), "", "no log and no prompt between the answers of a pipe");
    let later = run(here.path(), &["--json", "chat", "-m", "Who is our account manager?"]);
    let answer = &lines(&later)[0];
    assert!(answer["text"].as_str().unwrap().contains("Robin Vega"), "{answer}");
    assert!(answer["turn"].as_str().unwrap().starts_with("turn_"));
    // Another tenant of the same folder knows nothing of it.
    let other = run(here.path(), &["chat", "--tenant", "other", "-m", "Who is our account manager?"]);
    assert!(other.status.success() && !stdout(&other).contains("Robin"), "{}", stdout(&other));
}

#[test]
fn chat_and_context_show_talk_to_a_server() {
    let here = tempfile::tempdir().unwrap();
    let program = Program::serve(here.path(), &["--bind", "127.0.0.1:0"], &[]);
    let (url, key) = (program.url(), program.key("northwind"));
    let ask = |key: &str, arguments: &[&str]| {
        command(here.path()).env("HAVERSACK_KEY", key).args(arguments).output().unwrap()
    };
    let said = ask(key, &["--json", "chat", "--server", url, "-m", "Our account manager is Robin Vega."]);
    assert!(said.status.success(), "{}", stderr(&said));
    let turn = lines(&said)[0]["turn"].as_str().unwrap().to_owned();
    let human = ask(key, &["chat", "--server", url, "-m", "Who is our account manager?"]);
    assert_eq!(
        stdout(&human).matches("Robin Vega").count(),
        1,
        "streamed once, not repeated: {}",
        stdout(&human)
    );

    let shown = ask(key, &["context", "show", &turn, "--server", url]);
    assert!(shown.status.success(), "{}", stderr(&shown));
    let text = stdout(&shown);
    assert!(text.starts_with("trace "), "{text}");
    for part in ["tenant", "= northwind", "bound at", "by door", "specialist", "model", "└─ "] {
        assert!(text.contains(part), "{part} is missing in\n{text}");
    }
    assert!(!text.contains("Robin"), "{text}");
    let json = ask(key, &["--json", "context", "show", &turn, "--server", url]);
    assert_eq!(lines(&json)[0]["work"][0]["id"], turn);

    let other = ask(program.key("contoso"), &["context", "show", &turn, "--server", url]);
    assert_eq!(other.status.code(), Some(1));
    assert!(stderr(&other).contains("HV0218"), "{}", stderr(&other));
    let strange = ask(key, &["context", "show", "../../healthz", "--server", url]);
    assert!(stderr(&strange).contains("HV0218"), "{}", stderr(&strange));
}

#[test]
fn a_command_without_its_server_or_key_says_so() {
    let here = tempfile::tempdir().unwrap();
    let nobody = command(here.path())
        .env("HAVERSACK_KEY", "hv_1_2")
        .args(["chat", "--server", "http://127.0.0.1:1", "-m", "x"])
        .output()
        .unwrap();
    assert_eq!(nobody.status.code(), Some(3), "{}", stderr(&nobody));
    assert!(
        stderr(&nobody).contains("HV0403") && stderr(&nobody).contains("haversack explain HV0403"),
        "{}",
        stderr(&nobody)
    );
    let keyless = run(here.path(), &["context", "show", "turn_1"]);
    assert!(stderr(&keyless).contains("HV0201"), "{}", stderr(&keyless));
    let address = command(here.path())
        .env("HAVERSACK_KEY", "hv_1_2")
        .args(["chat", "--server", "127.0.0.1:1", "-m", "x"])
        .output()
        .unwrap();
    assert!(stderr(&address).contains("http://host:port"), "{}", stderr(&address));
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_count_and_name_nobody() {
    let server = start().await;
    let key = server.key("canarytenant", "canaryperson").await;
    server.say(&key, "canarysession", "Remember that the canaryword is blue.").await;
    let _ = server.get(&key, "/v1/turns/canaryturn/context").await;
    let response = server.http.get(format!("{}/metrics", server.server.url())).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert!(response.headers()["content-type"].to_str().unwrap().starts_with("application/openmetrics-text"));
    let text = response.text().await.unwrap();
    assert!(!text.contains("canary"), "{text}");
    for line in [
        "haversack_turns_total{outcome=\"finished\"} 1",
        "haversack_turn_duration_seconds_count 1",
        "haversack_tool_calls_total{tool=\"remember\",ok=\"true\"} 1",
        "haversack_open_tenants 1",
        "haversack_problems_total{code=\"HV0206\"} 1",
        "# EOF",
    ] {
        assert!(text.contains(line), "{line} is missing in\n{text}");
    }
}
