//! A provider's own words about a failure, made fit for an operator's log.
//!
//! Providers quote keys and send whole pages. What is kept is their message, on one line, at most 300 characters, with
//! every secret replaced. Only the sorting of errors calls it.

use serde_json::Value;

use crate::agent::Secret;

const LONGEST: usize = 300;
/// A longer run of letters and digits may be a key.
const LONGEST_WORD: usize = 20;
const REDACTED: &str = "[redacted]";

/// The message in `body`, redacted and shortened; none when nothing is left.
pub(super) fn text(body: &str, key: Option<&Secret>) -> Option<String> {
    let message = match serde_json::from_str(body) {
        Ok(json) => message(&json)?,
        Err(_) if body.trim_start().starts_with('<') => "an HTML page instead of JSON".to_owned(),
        Err(_) => body.chars().take(LONGEST * 4).collect(),
    };
    let message = match key.map(Secret::expose).filter(|key| !key.is_empty()) {
        Some(key) => message.replace(key, REDACTED),
        None => message,
    };
    let words = message.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty());
    let mut line = words.map(without_key).collect::<Vec<_>>().join(" ");
    if let Some((end, _)) = line.char_indices().nth(LONGEST) {
        line.truncate(end);
    }
    (!line.is_empty()).then_some(line)
}

/// The message, wherever this provider puts it.
fn message(json: &Value) -> Option<String> {
    // Gemini answers with a list of one.
    let json = json.get(0).unwrap_or(json);
    let places = ["/error/message", "/message", "/detail", "/error", "/error_description"];
    let found = places.iter().filter_map(|place| json.pointer(place)).find_map(Value::as_str);
    Some(found.map_or_else(|| json.to_string(), str::to_owned))
}

/// A word as it is, unless it may be a key: long, with a digit, and of the letters that keys are made of.
fn without_key(word: &str) -> &str {
    let longest =
        word.split(|c: char| !(c.is_ascii_alphanumeric() || "-_*".contains(c))).max_by_key(|run| run.len());
    let suspicious = longest.is_some_and(|run| {
        run.starts_with("sk-") || (run.len() > LONGEST_WORD && run.bytes().any(|byte| byte.is_ascii_digit()))
    });
    if suspicious { REDACTED } else { word }
}

#[cfg(test)]
mod tests {
    use super::text;
    use crate::agent::Secret;

    #[test]
    fn messages_are_found_wherever_providers_put_them() {
        for (body, said) in [
            (r#"{"error":{"message":"The model `x` does not exist"}}"#, "The model `x` does not exist"),
            (r#"{"error":"model not found"}"#, "model not found"),
            (r#"[{"error":{"message":"API key not valid"}}]"#, "API key not valid"),
            ("<html><body>Sign in</body></html>", "an HTML page instead of JSON"),
            ("upstream\nbroke", "upstream broke"),
        ] {
            assert_eq!(text(body, None).as_deref(), Some(said));
        }
    }

    #[test]
    fn keys_are_redacted() {
        let key = Secret::new("short-key".to_owned());
        let body =
            r#"{"error":{"message":"bad key short-key, not sk-abc nor AIzaSyD4f5g6h7j8k9l0q1w2e3r4"}}"#;
        assert_eq!(text(body, Some(&key)).unwrap(), "bad key [redacted], not [redacted] nor [redacted]");
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        let body = "ü".repeat(10_000);
        assert_eq!(text(&body, None).unwrap().chars().count(), 300);
    }
}
