//! The command `gateway`, and what `config check` says of accounts.

use super::{accounts, with_export};
use crate::program::{Program, command, lines, run, run_with, stderr, stdout};

#[test]
fn the_command_says_to_which_conversation_a_message_belongs_and_why() {
    let here = tempfile::tempdir().unwrap();
    std::fs::write(here.path().join("haversack.toml"), accounts(here.path(), &["acme".to_owned()])).unwrap();
    // No secret is read for it.
    std::fs::remove_file(here.path().join("secret")).unwrap();
    let flags = [
        "--json",
        "gateway",
        "explain",
        "--account",
        "acme-desk",
        "--group",
        "--chat",
        "c",
        "--user",
        "u",
        "--thread",
        "t",
    ];
    let explained = run(here.path(), &flags);
    let by_flags = lines(&explained).remove(0);
    assert_eq!(by_flags["shared"], true, "{by_flags}");
    assert!(
        by_flags["parts"].as_array().unwrap().iter().all(|part| !part["why"].as_str().unwrap().is_empty())
    );
    let message = r#"{"chat":{"id":"c","type":"group"},"thread":"t","sender":{"id":"u"},"text":"hello"}"#;
    let by_message =
        run(here.path(), &["--json", "gateway", "explain", "--account", "acme-desk", "--message", message]);
    assert_eq!(lines(&by_message), [by_flags]);
    let unknown = run(here.path(), &["gateway", "explain", "--account", "x", "--chat", "c", "--user", "u"]);
    assert!(stderr(&unknown).contains("HV0801"), "{}", stderr(&unknown));
}

#[test]
fn a_stranger_is_let_in_by_an_operator_and_the_audit_says_so() {
    let here = tempfile::tempdir().unwrap();
    let account = "[[gateway.accounts]]\nname = \"tty\"\nplatform = \"terminal\"\ntenant = \"acme\"\nunknown = \"pair\"\n";
    std::fs::write(here.path().join("haversack.toml"), account).unwrap();
    let talk = ["gateway", "terminal", "--account", "tty", "--user", "u-9"];
    let said = "Remember that our account manager is Robin Vega.\n";
    let told = stdout(&run_with(here.path(), &talk, said));
    let code = told.trim().rsplit(' ').next().unwrap().to_owned();
    let waits = lines(&run(here.path(), &["--json", "gateway", "pair", "ls"]));
    assert_eq!(
        (waits[0]["user"].as_str(), waits[0]["code"].as_str()),
        (Some("u-9"), Some(code.as_str())),
        "{told}"
    );
    let wrong = run(here.path(), &["gateway", "pair", "confirm", "AAAAAAAA", "--principal", "kim"]);
    assert!(stderr(&wrong).contains("HV0803"), "{}", stderr(&wrong));
    assert!(run(here.path(), &["gateway", "pair", "confirm", &code, "--principal", "kim"]).status.success());
    let told = stdout(&run_with(here.path(), &talk, said));
    assert!(told.contains("Robin Vega"), "{told}");
    assert!(run(here.path(), &["gateway", "pair", "revoke", "--account", "tty", "u-9"]).status.success());
    let told = stdout(&run_with(here.path(), &talk, said));
    assert!(told.contains("not known"), "{told}");
    let control = haversack_store::sqlite::Connection::open(here.path().join("data/control.sqlite")).unwrap();
    let audited: i64 = control
        .query_row("SELECT count(*) FROM audit WHERE action LIKE 'gateway.pair.%'", [], |row| row.get(0))
        .unwrap();
    assert_eq!(audited, 3, "also what was refused");
}

#[test]
fn a_bad_account_is_found_before_anything_starts() {
    for (wrong, why) in [
        ("platform = \"pigeon\"\ntenant = \"acme\"\n", "platform"),
        ("platform = \"webhook\"\ntenant = \"acme\"\n", "secret"),
        ("platform = \"terminal\"\ntenant = \"acme\"\nusers = { u = \"operator:root\" }\n", "operator"),
        ("platform = \"terminal\"\ntenant = \"acme\"\ncallbacks = [\"no host\"]\n", "host"),
    ] {
        let here = tempfile::tempdir().unwrap();
        let text = format!("[[gateway.accounts]]\nname = \"a\"\n{wrong}");
        std::fs::write(here.path().join("haversack.toml"), text).unwrap();
        let checked = run(here.path(), &["config", "check"]);
        let said = stderr(&checked);
        assert!(!checked.status.success() && said.contains("HV0101") && said.contains(why), "{why}: {said}");
    }
}

/// The real program: whoever runs a command line may say in its environment what no door bound, and a server, whose environment
/// is everybody's, reads none of it.
#[test]
fn a_command_line_may_be_told_of_its_session_by_its_environment_and_a_server_may_not() {
    const LATER: &str = "HAVERSACK_SESSION_CAN_DELIVER_LATER";
    let here = tempfile::tempdir().unwrap();
    // A tool that is begun in the background, unless nothing can be told later where it was asked for.
    std::fs::write(here.path().join("haversack.toml"), with_export(here.path(), false)).unwrap();
    std::fs::write(here.path().join("go"), "").unwrap();
    let chat = |environment: &[(&str, &str)]| {
        let mut chat = command(here.path());
        chat.args(["chat", "--tenant", "northwind", "-m", "Please run the export."]);
        let ended = chat.envs(environment.iter().copied()).output().unwrap();
        assert!(ended.status.success(), "{}", stderr(&ended));
        stdout(&ended)
    };
    let background = |told: &str| told.contains("job_");
    let told = chat(&[]);
    assert!(background(&told), "{told}");
    let told = chat(&[(LATER, "false")]);
    assert!(!background(&told), "the environment is asked for what no door bound: {told}");
    assert!(background(&chat(&[(LATER, "true"), ("HAVERSACK_SESSION_KEY", "decoy")])));

    let environment = [("HAVERSACK_SERVER__DEMO_KEYS", "true"), (LATER, "false")];
    let server = Program::serve(here.path(), &["--bind", "127.0.0.1:0"], &environment);
    let reply = server.say("northwind", "s", "Please run the export.");
    assert!(background(reply["text"].as_str().unwrap()), "{reply}");
}
