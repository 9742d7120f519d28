//! The configuration: every mistake has a place, nothing is ignored silently, and no secret is in a message.

use std::ffi::OsString;
use std::path::Path;

use haversack_server::config::{Config, ConfigError};

fn parse(text: &str, environment: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let environment: Vec<(OsString, OsString)> =
        environment.iter().map(|(name, value)| (name.into(), value.into())).collect();
    Config::parse(Path::new("haversack.toml"), text, environment)
}

fn place(text: &str) -> (usize, usize, String) {
    match parse(text, &[]).unwrap_err() {
        ConfigError::At { line, column, message, .. } => (line, column, message),
        other => panic!("{other}"),
    }
}

#[test]
fn nothing_configured_is_the_defaults() {
    let config = parse("", &[]).unwrap();
    assert_eq!(config.server.bind.to_string(), "127.0.0.1:8787");
    assert_eq!(config.store.path, Path::new("data"));
    assert_eq!((config.limits.body_bytes, config.limits.message_bytes), (256 * 1024, 64 * 1024));
    assert_eq!((config.limits.session_queue, config.limits.turn_timeout_s), (8, 60));
    config.check().unwrap();
}

#[test]
fn a_mistake_has_a_line_and_a_column() {
    for (text, line, column) in [
        ("[server]\nbind = \"127.0.0.1:1\"\nbnid = 1\n", 3, 1),
        ("[limits]\nbody_bytes = \"many\"\n", 2, 14),
        ("[limits]\n\nsession_queue = 1001\n", 3, 17),
        ("[limits]\nturn_timeout_s = -1\n", 2, 18),
        ("[server]\nbind = \"nowhere\"\n", 2, 8),
        ("[server]\nbind = [1\n", 2, 10),
        ("[sever]\n", 1, 2),
        ("# \u{fc}\u{fc}\n[store]\nsynchronous = \"never\"\n", 3, 15),
        ("[server]\ngrace_s = 1\n[server]\n", 3, 2),
        ("[agent]\nmodle = 1\n", 2, 1),
    ] {
        let (at_line, at_column, message) = place(text);
        assert_eq!((at_line, at_column), (line, column), "{text}: {message}");
        assert!(!message.is_empty() && !message.contains('\n'));
    }
}

#[test]
fn a_number_out_of_range_names_its_range() {
    let (.., message) = place("[limits]\nturn_timeout_s = 0\n");
    assert!(message.contains("1 to 3600"), "{message}");
}

#[test]
fn a_secret_in_the_wrong_place_is_not_repeated() {
    let (line, _, message) = place("[agent.model]\napi_key = \"sk-canary-secret\"\n");
    assert_eq!(line, 2);
    assert!(!message.contains("canary"), "{message}");
    let overridden =
        parse("", &[("HAVERSACK_AGENT__MODEL__API_KEY", "sk-canary-secret")]).unwrap_err().to_string();
    assert!(
        overridden.contains("HAVERSACK_AGENT__MODEL__API_KEY") && !overridden.contains("canary"),
        "{overridden}"
    );
}

#[test]
fn the_environment_overrides_the_file() {
    let file = "[server]\nbind = \"127.0.0.1:1\"\ngrace_s = 3\n[limits]\nsession_queue = 2\n";
    let config = parse(
        file,
        &[
            ("HAVERSACK_SERVER__BIND", "127.0.0.1:2"),
            ("HAVERSACK_LIMITS__SESSION_QUEUE", "5"),
            ("HAVERSACK_STORE__PATH", "12345"),
            ("HAVERSACK_TELEMETRY__FILTER", "warn,haversack_agent=debug"),
            ("HAVERSACK_AGENT__LIMITS__STEPS", "3"),
            ("HAVERSACK_SERVER__DEMO_KEYS", "false"),
            ("HAVERSACK_KEY", "not an override"),
            ("OTHER_SERVER__BIND", "not ours"),
        ],
    );
    let config = config.unwrap();
    assert_eq!((config.server.bind.port(), config.server.grace_s), (2, 3));
    assert_eq!(config.limits.session_queue, 5);
    assert_eq!(config.store.path, Path::new("12345"));
    assert_eq!(config.telemetry.filter, "warn,haversack_agent=debug");
    assert_eq!(config.agent.limits.steps, 3);
    assert_eq!(config.server.demo_keys, Some(false));
}

#[test]
fn a_variable_that_overrides_nothing_is_an_error_with_its_name() {
    for (variable, value) in [
        ("HAVERSACK_SERVER__BNID", "127.0.0.1:1"),
        ("HAVERSACK_SEVER__BIND", "127.0.0.1:1"),
        ("HAVERSACK_SERVER__BIND", "nowhere"),
        ("HAVERSACK_LIMITS__BODY_BYTES", "many"),
        ("HAVERSACK_LIMITS__BODY_BYTES__MORE", "1"),
        ("HAVERSACK_SERVER__", "1"),
    ] {
        let error = parse("[limits]\nbody_bytes = 2048\n", &[(variable, value)]).unwrap_err();
        let ConfigError::Variable { variable: named, .. } = error else { panic!("{error}") };
        assert_eq!(named, variable);
    }
}

#[test]
fn a_secret_that_is_not_there_is_named_by_its_reference() {
    let file = "[telemetry.otlp]\nendpoint = \"http://127.0.0.1:1\"\n[telemetry.otlp.headers]\nx = \"file:/nowhere/at/all\"\n";
    let error = parse(file, &[]).unwrap().check().unwrap_err().to_string();
    assert!(error.contains("file:/nowhere/at/all"), "{error}");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secret");
    std::fs::write(&path, "canary\n").unwrap();
    let file = file.replace("/nowhere/at/all", path.to_str().unwrap());
    let config = parse(&file, &[]).unwrap();
    config.check().unwrap();
    let header = &config.telemetry.otlp.as_ref().unwrap().headers["x"];
    assert_eq!(haversack_server::config::resolve(header).unwrap().expose(), "canary");
    assert!(!format!("{config:?}").contains("canary"));
    std::fs::write(&path, "\n").unwrap();
    assert!(config.check().is_err(), "an empty secret is none");
}

#[test]
fn what_does_not_go_together_is_refused() {
    let small = parse("[limits]\nbody_bytes = 1024\nmessage_bytes = 2048\n", &[]).unwrap();
    assert!(small.check().unwrap_err().to_string().contains("message_bytes"));
    for trusted in ["acme", "acme/", "Acme/kim", "acme/kim/x"] {
        let text = format!("[telemetry]\ntrusted = [\"{trusted}\"]\n");
        let error = parse(&text, &[]).unwrap().check().unwrap_err().to_string();
        assert!(error.contains("telemetry.trusted"), "{error}");
    }
    assert!(parse("[telemetry]\ntrusted = [\"acme/kim\"]\n", &[]).unwrap().check().is_ok());
    let tool = "[[agent.specialists]]\nname = \"a\"\ndescription = \"d\"\nprompt = \"p\"\ntools = [\"rm\"]\n";
    let error = parse(tool, &[]).unwrap().check().unwrap_err().to_string();
    assert!(error.contains("rm") && error.contains("recall"), "{error}");
}

#[test]
fn the_schema_takes_what_the_parser_takes_and_refuses_what_it_refuses() {
    let schema = Config::schema();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let fits = |text: &str| {
        let value: toml::Table = toml::from_str(text).unwrap();
        validator.is_valid(&serde_json::to_value(value).unwrap())
    };
    for text in [
        "",
        "[server]\nbind = \"127.0.0.1:1\"\ndemo_keys = true\n",
        "[store]\nsynchronous = \"full\"\n",
        "[telemetry]\nlog = \"json\"\n[telemetry.otlp]\nendpoint = \"http://c\"\nheaders = { a = \"env:A\" }\n",
        "[agent.model]\napi_key = \"env:KEY\"\n",
    ] {
        assert!(fits(text) && parse(text, &[]).is_ok(), "{text}");
    }
    for text in [
        "[sever]\n",
        "[server]\nbnid = 1\n",
        "[limits]\nsession_queue = 1001\n",
        "[limits]\nturn_timeout_s = 0\n",
        "[store]\nsynchronous = \"never\"\n",
        "[agent.model]\napi_key = \"sk-secret\"\n",
        "[agent]\nmodle = 1\n",
    ] {
        assert!(!fits(text) && parse(text, &[]).is_err(), "{text}");
    }
    let defaults = serde_json::to_value(Config::default()).unwrap();
    assert!(
        validator.is_valid(&defaults),
        "{:?}",
        validator.iter_errors(&defaults).next().map(|e| e.to_string())
    );
}
