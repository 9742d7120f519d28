//! Texts in dotenv form: `NAME=value` a line, with comments and quotes.
//!
//! Nothing is expanded: `$NAME` stays as it is, because an expansion would read the environment of our process.
//! Only the provider of the same name calls this.

use super::Secret;

/// A line that is no pair. The line itself is not repeated: it may be a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: this is no `NAME=value`; mend it, or make it a comment with `#`")]
pub struct DotenvError {
    /// From 1.
    pub line: usize,
}

pub(super) fn pairs(text: &str) -> Result<Vec<(String, Secret)>, DotenvError> {
    let mut found = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let line = line.strip_prefix("export ").unwrap_or(line);
        let refused = DotenvError { line: number + 1 };
        let (name, value) = line.split_once('=').ok_or(refused)?;
        let name = name.trim();
        if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
            return Err(refused);
        }
        found.push((name.to_owned(), Secret::new(value_of(value.trim()).ok_or(refused)?)));
    }
    Ok(found)
}

fn value_of(written: &str) -> Option<String> {
    if let Some(rest) = written.strip_prefix('\'') {
        return rest.split_once('\'').map(|(inside, _)| inside.to_owned());
    }
    if let Some(rest) = written.strip_prefix('"') {
        let mut value = String::new();
        let mut letters = rest.chars();
        while let Some(c) = letters.next() {
            match c {
                '"' => return Some(value),
                '\\' => value.push(match letters.next()? {
                    'n' => '\n',
                    't' => '\t',
                    'r' => '\r',
                    other => other,
                }),
                other => value.push(other),
            }
        }
        return None;
    }
    // A comment needs a blank before it, so that a `#` may stand in a value.
    Some(written.split_once(" #").map_or(written, |(value, _)| value.trim_end()).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_read_and_nothing_is_expanded() {
        let text =
            "# one\nA=1\nexport B = two words # note\nC='a # b'\nD=\"x\\ny=\\\"z\\\"\"\nE=$HOME/x\nF=\n";
        let found = pairs(text).unwrap();
        let found: Vec<_> = found.iter().map(|(name, secret)| (name.as_str(), secret.expose())).collect();
        let expected = [
            ("A", "1"),
            ("B", "two words"),
            ("C", "a # b"),
            ("D", "x\ny=\"z\""),
            ("E", "$HOME/x"),
            ("F", ""),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_bad_line_is_named_by_its_number_alone() {
        let refused = pairs("A=1\nhunter2").unwrap_err();
        assert_eq!(refused, DotenvError { line: 2 });
        assert!(!refused.to_string().contains("hunter2"));
    }
}
