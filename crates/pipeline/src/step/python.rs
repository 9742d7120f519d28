//! Python: a function or a script in a `python3` of its own.
//!
//! `module.function` is called with the parameters that it names; any other text is a script that finds `parameters` and
//! fills `returns`. Both are JSON files, so every value that JSON has goes through whole. The interpreter is isolated
//! (`-I`): neither our environment nor the user's packages steer it.

use super::attempt::Prepared;
use super::{StepFailure, StepOutput, child};

const DRIVER: &str = include_str!("driver.py");
/// The word by which the reducer of a map asks for the driver.
pub(crate) const REDUCE: &str = "reduce";

pub(super) async fn run(prepared: &Prepared<'_>) -> Result<StepOutput, StepFailure> {
    let command = prepared.task.command.trim();
    let kind = match prepared.task.overrides.get(REDUCE) {
        Some(_) => REDUCE,
        None if is_dotted(command) => "function",
        None => "script",
    };
    let declared: Vec<&str> = prepared.task.returns.iter().map(|returned| returned.name.as_str()).collect();
    let folders = &prepared.settings.python_path;
    let settings = serde_json::json!({ "kind": kind, "returns": declared, "folders": folders });
    let mut python = prepared.command(&prepared.settings.python)?;
    // A script keeps its lines as they are: the first one may be indented.
    let text = if kind == "script" { prepared.task.command.as_str() } else { command };
    python.args(["-I", "-u", "-c", DRIVER]).arg(settings.to_string()).arg(text);
    prepared.install(&mut python, false)?;
    child::run(python, &prepared.folder.process(), &prepared.log).await?;
    prepared.returned().await
}

/// Whether the text is `module.function` and not a script.
fn is_dotted(text: &str) -> bool {
    let word = |part: &str| {
        let begins = part.chars().next().is_some_and(|c| c.is_alphabetic() || c == '_');
        begins && part.chars().all(|c| c.is_alphanumeric() || c == '_')
    };
    text.contains('.') && text.split('.').all(word)
}

#[cfg(test)]
mod tests {
    use super::is_dotted;

    #[test]
    fn a_function_is_told_from_a_script() {
        assert!(is_dotted("examples.common.hello"));
        for script in ["print(1)", "hello", "a.b()", "import os", "1.5", "a..b"] {
            assert!(!is_dotted(script), "{script}");
        }
    }
}
