//! A filter that takes secrets out of a stream of bytes.
//!
//! It holds back what may be the beginning of a secret until more bytes decide, so that a secret cut in two by a pipe is
//! found too. Every captured byte of a child goes through one on its way to the file.

use super::SecretSet;

/// What stands in the place of a secret.
const MARK: &[u8] = b"[redacted]";

#[derive(Debug)]
pub(crate) struct Redactor {
    needles: Vec<Vec<u8>>,
    held: Vec<u8>,
}

impl Redactor {
    pub(crate) fn new(secrets: &SecretSet) -> Self {
        let mut needles: Vec<Vec<u8>> = Vec::new();
        for secret in secrets.needles() {
            needles.push(secret.as_bytes().to_vec());
            // As a program that prints JSON writes it.
            let escaped = serde_json::Value::from(secret).to_string();
            needles.push(escaped.trim_matches('"').as_bytes().to_vec());
        }
        needles.retain(|needle| !needle.is_empty());
        // Longest first: of two secrets that begin alike, the longer one is taken out whole.
        needles.sort_by_key(|needle| std::cmp::Reverse(needle.len()));
        needles.dedup();
        Self { needles, held: Vec::new() }
    }

    /// Appends what is clean so far.
    pub(crate) fn feed(&mut self, bytes: &[u8], clean: &mut Vec<u8>) {
        if self.needles.is_empty() {
            clean.extend_from_slice(bytes);
            return;
        }
        self.held.extend_from_slice(bytes);
        self.filter(clean, false);
    }

    /// Appends the rest: no more bytes will come.
    pub(crate) fn finish(&mut self, clean: &mut Vec<u8>) {
        self.filter(clean, true);
    }

    fn filter(&mut self, clean: &mut Vec<u8>, last: bool) {
        let held = std::mem::take(&mut self.held);
        let mut at = 0;
        while at < held.len() {
            let rest = &held[at..];
            let undecided = |needle: &Vec<u8>| needle.len() > rest.len() && needle.starts_with(rest);
            if !last && self.needles.iter().any(undecided) {
                break;
            }
            match self.needles.iter().find(|needle| rest.starts_with(needle)) {
                Some(needle) => {
                    clean.extend_from_slice(MARK);
                    at += needle.len();
                }
                None => {
                    clean.push(held[at]);
                    at += 1;
                }
            }
        }
        self.held = held[at..].to_vec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secrets::Secret;

    fn through(secrets: &[&str], chunks: &[&str]) -> String {
        let known = secrets.iter().enumerate().map(|(at, text)| (format!("S{at}"), Secret::new(*text)));
        let mut redactor = Redactor::new(&SecretSet::new(known.collect()));
        let mut clean = Vec::new();
        for chunk in chunks {
            redactor.feed(chunk.as_bytes(), &mut clean);
        }
        redactor.finish(&mut clean);
        String::from_utf8(clean).unwrap()
    }

    #[test]
    fn a_secret_is_found_however_it_is_cut() {
        let text = "say hunter2 and hunter, two\nlines";
        for cut in 0..text.len() {
            let (one, two) = text.split_at(cut);
            assert_eq!(
                through(&["hunter2", "two\nlines", ""], &[one, two]),
                "say [redacted] and hunter, [redacted]"
            );
        }
    }

    #[test]
    fn the_longer_of_two_goes_whole_and_json_is_read() {
        assert_eq!(through(&["ab", "abcd"], &["a", "b", "c", "d", "ab"]), "[redacted][redacted]");
        assert_eq!(through(&["a\"b"], &[r#"{"x":"a\"b"}"#]), r#"{"x":"[redacted]"}"#);
    }
}
