//! The only writer to the terminal. Answers go to standard output, as human lines or, with `--json`, as one JSON value a
//! line; notes, errors and progress go to standard error. Colours only where a terminal shows them, and text from a
//! model or a server cannot steer that terminal. Commands call it, nothing else prints.

use std::borrow::Cow;
use std::io::{IsTerminal, Write};

use serde::Serialize;

use crate::config::process;
use crate::problem::Fault;

/// Where a command writes its answer.
#[derive(Debug, Clone)]
pub struct Output {
    json: bool,
    color: bool,
}

#[derive(Serialize)]
struct JsonError<'a> {
    error: JsonErrorBody<'a>,
}

#[derive(Serialize)]
struct JsonErrorBody<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'a str>,
    detail: String,
}

impl Output {
    /// An output; `json` chooses machine-readable lines.
    pub fn new(json: bool) -> Self {
        Self { json, color: !json && !process::no_color() && std::io::stdout().is_terminal() }
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

    /// Words of an answer as they arrive, without a line break; silent with `--json`.
    pub fn stream(&self, text: &str) {
        if !self.json {
            let mut stdout = std::io::stdout();
            let _ = stdout.write_all(plain(text).as_bytes());
            let _ = stdout.flush();
        }
    }

    /// One JSON value; silent without `--json`.
    pub fn value<T: Serialize>(&self, value: &T) {
        if self.json
            && let Ok(text) = serde_json::to_string(value)
        {
            let _ = writeln!(std::io::stdout(), "{text}");
        }
    }

    /// Something that is shown once and must arrive: one JSON value with `--json`, otherwise one line.
    ///
    /// # Errors
    /// Any error of writing or flushing standard output. Part of the output may have been written.
    pub fn hand_over<T: Serialize>(&self, value: &T, line: &str) -> std::io::Result<()> {
        let mut stdout = std::io::stdout();
        match self.json {
            true => writeln!(stdout, "{}", serde_json::to_string(value)?)?,
            false => writeln!(stdout, "{line}")?,
        }
        stdout.flush()
    }

    /// Rows with aligned columns under their titles; silent with `--json`.
    pub fn table(&self, titles: &[&str], rows: &[Vec<String>]) {
        let width = |column: usize| {
            let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
            cells.chain(titles.get(column).map(|title| title.chars().count())).max().unwrap_or(0)
        };
        let print = |cells: Vec<&str>| {
            let aligned = cells.iter().enumerate().map(|(column, cell)| format!("{cell:<0$}", width(column)));
            self.line(plain(aligned.collect::<Vec<_>>().join("  ").trim_end()).as_ref());
        };
        print(titles.to_vec());
        for row in rows {
            print(row.iter().map(String::as_str).collect());
        }
    }

    /// A remark that is not the answer; goes to standard error, silent with `--json`.
    pub fn note(&self, text: &str) {
        if !self.json {
            let _ = writeln!(std::io::stderr(), "{}", plain(text));
        }
    }

    /// A prompt for a line of input, without a line break; goes to standard error.
    pub fn prompt(&self, text: &str) {
        let _ = write!(std::io::stderr(), "{text}");
        let _ = std::io::stderr().flush();
    }

    /// An error, with its code when it has one and everything that caused it.
    pub fn error(&self, error: &anyhow::Error) {
        let fault = error.chain().find_map(|cause| cause.downcast_ref::<Fault>());
        let code = fault.map(|fault| fault.code().id());
        let detail = told(error);
        let mut stderr = std::io::stderr();
        if self.json {
            let error = JsonError { error: JsonErrorBody { code, detail } };
            let _ = writeln!(stderr, "{}", serde_json::to_string(&error).unwrap_or_default());
            return;
        }
        let red = std::io::stderr().is_terminal() && self.color;
        let (on, off) = if red { ("\u{1b}[31m", "\u{1b}[0m") } else { ("", "") };
        match code {
            Some(code) => {
                let _ = writeln!(stderr, "{on}error[{code}]{off}: {}", plain(&detail));
                let _ = writeln!(stderr, "  more: haversack explain {code}");
            }
            None => {
                let _ = writeln!(stderr, "{on}error{off}: {}", plain(&detail));
            }
        }
    }

    /// Paints what is as it should be.
    pub fn good(&self, text: &str) -> String {
        self.paint("32", text)
    }

    /// Paints what is not as it should be.
    pub fn bad(&self, text: &str) -> String {
        self.paint("31", text)
    }

    /// Paints what matters less.
    pub fn dim(&self, text: &str) -> String {
        self.paint("2", text)
    }

    /// Paints a heading.
    pub fn bold(&self, text: &str) -> String {
        self.paint("1", text)
    }

    fn paint(&self, style: &str, text: &str) -> String {
        let text = plain(text);
        if self.color { format!("\u{1b}[{style}m{text}\u{1b}[0m") } else { text.into_owned() }
    }
}

/// An error and its causes on one line. A cause that the text before it already quotes is left out.
fn told(error: &anyhow::Error) -> String {
    let same = |text: &str| text.trim_end_matches('.').to_lowercase();
    let mut line = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if same(&line).contains(&same(&cause)) {
            continue;
        }
        if !line.is_empty() {
            line.truncate(line.trim_end_matches('.').len());
            line.push_str(": ");
        }
        line.push_str(&cause);
    }
    line
}

/// Text without anything that steers a terminal: of the control characters only line break and tab stay.
pub fn plain(text: &str) -> Cow<'_, str> {
    let steers = |c: char| {
        (c.is_control() && c != '\n' && c != '\t')
            || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    if text.contains(steers) {
        Cow::Owned(text.chars().map(|c| if steers(c) { '\u{fffd}' } else { c }).collect())
    } else {
        Cow::Borrowed(text)
    }
}

#[cfg(test)]
mod tests {
    use super::{plain, told};

    #[test]
    fn an_error_does_not_repeat_its_causes() {
        let cause = anyhow::anyhow!("the data folder data is in use by process 1");
        assert_eq!(
            told(&cause.context("The data folder is in use.")),
            "The data folder is in use: the data folder data is in use by process 1"
        );
        let cause = anyhow::anyhow!("the model's endpoint answered with status 404");
        assert_eq!(
            told(&cause.context("The model's endpoint answered with status 404.")),
            "The model's endpoint answered with status 404."
        );
    }

    #[test]
    fn a_reply_cannot_steer_the_terminal() {
        assert_eq!(plain("a\n\tb"), "a\n\tb");
        assert_eq!(plain("\u{1b}]0;owned\u{7}x\r"), "\u{fffd}]0;owned\u{fffd}x\u{fffd}");
    }
}
