//! The only writer to the terminal. Human lines go to standard output, or, with `--json`, one JSON value a line; errors and
//! progress go to standard error. Commands call it, nothing else prints.

use std::io::Write;

/// Where a command writes its answer.
#[derive(Debug, Clone)]
pub struct Output {
    json: bool,
}

impl Output {
    /// An output; `json` chooses machine-readable lines.
    pub fn new(json: bool) -> Self {
        Self { json }
    }

    /// Whether `--json` was given.
    pub fn is_json(&self) -> bool {
        self.json
    }

    /// One human line; silent with `--json`.
    pub fn line(&self, text: &str) {
        if !self.json {
            let _ = writeln!(std::io::stdout(), "{text}");
        }
    }

    /// One JSON value; silent without `--json`.
    pub fn value<T: serde::Serialize>(&self, value: &T) {
        if self.json
            && let Ok(text) = serde_json::to_string(value)
        {
            let _ = writeln!(std::io::stdout(), "{text}");
        }
    }

    /// An error, with its code when it has one.
    pub fn error(&self, error: &anyhow::Error) {
        let _ = writeln!(std::io::stderr(), "error: {error:#}");
    }
}
