//! The process `mcp stdio`, by hand.

use std::io::Write;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::with_pipelines;
use crate::clients::LEGACY;
use crate::installation::Installation;

/// Starts the endpoint over standard input and output.
fn stdio(installation: &Installation) -> std::process::Child {
    let mut command = installation.command(&["mcp", "stdio"]);
    command.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped()).spawn().unwrap()
}

#[test]
fn a_line_that_is_no_message_is_answered_with_its_id() {
    let installation = Installation::new("");
    let mut child = stdio(&installation);
    let params = json!({ "protocolVersion": LEGACY, "capabilities": {}, "clientInfo": { "name": "c", "version": "1" } });
    let deep = format!(
        r#"{{"jsonrpc":"2.0","id":3,"method":"ping","params":{}{}}}"#,
        "[".repeat(300),
        "]".repeat(300)
    );
    let long =
        format!(r#"{{"jsonrpc":"2.0","method":"ping","params":{{"x":"{}"}},"id":4}}"#, "x".repeat(20 << 20));
    let mut input = child.stdin.take().unwrap();
    let begin = json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params });
    let ready = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
    let shape = r#"{"jsonrpc":"2.0","id":2,"method":5}"#;
    let call = r#"{"jsonrpc":"2.0","id":5,"method":"tools/call","params":{"name":5}}"#;
    let ping = r#"{"jsonrpc":"2.0","id":6,"method":"ping"}"#;
    for line in [&begin.to_string(), &ready.to_string(), shape, &deep, &long, call, ping] {
        writeln!(input, "{line}").unwrap();
    }
    // The answer to the last one is on its way before the input ends.
    let output = std::thread::spawn(move || {
        let mut lines = Vec::new();
        let mut read = std::io::BufReader::new(child.stdout.take().unwrap());
        for _ in 0..6 {
            let mut line = String::new();
            std::io::BufRead::read_line(&mut read, &mut line).unwrap();
            lines.push(serde_json::from_str::<Value>(&line).unwrap_or_else(|_| panic!("{line}")));
        }
        drop(input);
        child.wait().unwrap();
        lines
    });
    let mut codes: Vec<_> =
        output.join().unwrap().iter().map(|m| (m["id"].as_i64(), m["error"]["code"].as_i64())).collect();
    codes.sort_unstable();
    let expected =
        [(0, None), (2, Some(-32600)), (3, Some(-32700)), (4, Some(-32600)), (5, Some(-32602)), (6, None)];
    assert_eq!(codes, expected.map(|(id, code)| (Some(id), code)));
}

#[cfg(unix)]
#[test]
fn sigterm_ends_what_a_call_over_stdio_started() {
    use std::io::{BufRead, BufReader};

    let sandbox = "[sandbox]\nwrite = [\"./told\"]\n";
    let installation = with_pipelines(sandbox, &[("long", &["echo $$ > $HERE/pid; exec sleep 300"])]);
    let file = installation.write("told/pid", "");
    let here = file.parent().unwrap().to_str().unwrap().to_owned();
    let yaml = std::fs::read_to_string(installation.path().join("pipelines/long.yaml")).unwrap();
    installation.write("pipelines/long.yaml", &yaml.replace("$HERE", &here));
    let mut child = stdio(&installation);
    let mut input = child.stdin.take().unwrap();
    let params = json!({ "protocolVersion": LEGACY, "capabilities": {}, "clientInfo": { "name": "c", "version": "1" } });
    let begin = json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params });
    let ready = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
    let call = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call",
        "params": { "name": "long", "arguments": { "request": "now" } } });
    writeln!(input, "{begin}\n{ready}\n{call}").unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let until = |what: &str, done: &dyn Fn() -> bool| {
        let began = Instant::now();
        while !done() {
            assert!(began.elapsed() < Duration::from_secs(60), "{what}");
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    until("the step starts", &|| std::fs::read_to_string(&file).is_ok_and(|text| text.ends_with('\n')));
    let pid = std::fs::read_to_string(&file).unwrap().trim().to_owned();
    let alive = || {
        std::path::Path::new(&format!("/proc/{pid}/cmdline")).exists()
            && std::fs::read_to_string(format!("/proc/{pid}/cmdline"))
                .is_ok_and(|line| line.starts_with("sleep"))
    };
    assert!(alive());
    let term = std::process::Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert!(term.success());
    let ended = child.wait().unwrap();
    let gone = !alive();
    if !gone {
        let _ = std::process::Command::new("kill").args(["-KILL", &pid]).status();
    }
    assert!(gone, "the child runs on");
    assert_eq!(ended.code(), Some(0));
}
