//! The id of a message that cannot be read as a whole: too long, too deep, or broken off.
//!
//! It is a scan over the bytes as they come, which counts brackets and keeps nothing but the value of the key `id` of the
//! outermost object, wherever it stands. It takes linear time and no stack, whatever the input.

use serde_json::Value;

/// The longest id that is kept, in bytes of its JSON text.
const LONGEST: usize = 256;

/// Looks for the id in pieces of one message.
#[derive(Debug, Default)]
pub(super) struct Scan {
    depth: u32,
    in_string: bool,
    escaped: bool,
    /// The text of the string or of the bare value at the outermost level that is being read.
    text: Vec<u8>,
    overflowed: bool,
    /// The last string at the outermost level, while no value followed it.
    key: Option<Vec<u8>>,
    /// Behind the colon of the key `id`.
    wanted: bool,
    found: Option<Value>,
}

impl Scan {
    /// Reads the next piece.
    pub(super) fn read(&mut self, bytes: &[u8]) {
        for byte in bytes {
            if self.found.is_some() {
                return;
            }
            self.step(*byte);
        }
    }

    /// The id, when it was complete.
    pub(super) fn found(self) -> Option<Value> {
        self.found
    }

    fn step(&mut self, byte: u8) {
        if self.in_string {
            self.keep(byte);
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' => self.escaped = true,
                b'"' => {
                    self.in_string = false;
                    self.end_of_string();
                }
                _ => {}
            }
            return;
        }
        match byte {
            b'"' => {
                self.in_string = true;
                self.text.clear();
                self.overflowed = false;
                self.keep(byte);
            }
            b'{' | b'[' => {
                self.depth = self.depth.saturating_add(1);
                self.wanted = false;
            }
            b'}' | b']' => {
                self.end_of_bare();
                self.depth = self.depth.saturating_sub(1);
            }
            b':' if self.depth == 1 => {
                self.wanted = self.key.take().is_some_and(|key| key == b"\"id\"");
                self.text.clear();
                self.overflowed = false;
            }
            b',' if self.depth == 1 => self.end_of_bare(),
            byte if self.depth == 1 && self.wanted && !byte.is_ascii_whitespace() => self.keep(byte),
            _ => {}
        }
    }

    fn keep(&mut self, byte: u8) {
        if self.depth != 1 {
            return;
        }
        if self.text.len() < LONGEST {
            self.text.push(byte);
        } else {
            self.overflowed = true;
        }
    }

    fn end_of_string(&mut self) {
        if self.depth != 1 {
            return;
        }
        if self.wanted {
            self.value();
        } else if !self.overflowed {
            self.key = Some(std::mem::take(&mut self.text));
        }
    }

    fn end_of_bare(&mut self) {
        if self.depth == 1 && self.wanted {
            self.value();
        }
    }

    fn value(&mut self) {
        self.wanted = false;
        if !self.overflowed
            && let Ok(value) = serde_json::from_slice::<Value>(&self.text)
            && (value.is_string() || value.is_i64())
        {
            self.found = Some(value);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn found(pieces: &[&str]) -> Option<Value> {
        let mut scan = Scan::default();
        for piece in pieces {
            scan.read(piece.as_bytes());
        }
        scan.found()
    }

    #[test]
    fn the_id_is_found_wherever_it_stands_and_however_the_message_is_cut() {
        let deep = "[".repeat(100_000);
        assert_eq!(found(&[r#"{"id":"a b","method":"#]), Some(json!("a b")));
        assert_eq!(
            found(&[r#"{"params":{"id":1,"x":["id",{"id":2}]},"i"#, r#"d" : 3"#, "1}"]),
            Some(json!(31))
        );
        assert_eq!(found(&[r#"{"params":""#, &"x".repeat(1_000_000), r#"\"","id":7}"#]), Some(json!(7)));
        assert_eq!(found(&[r#"{"a":"id","id":9,"params":"#, &deep]), Some(json!(9)));
        assert_eq!(found(&[r#"{"id":"a\"b"}"#]), Some(json!("a\"b")));
    }

    #[test]
    fn what_is_no_id_is_not_taken_for_one() {
        for text in [
            r#"{"id":12"#,
            r#"{"id":{"id":1}}"#,
            r#"{"id":null}"#,
            r#"{"id":1.5}"#,
            r#"[{"id":1}]"#,
            r#"{"params":{"id":1}}"#,
            r#"{"method":"id","x":5}"#,
            "",
            "id",
        ] {
            assert_eq!(found(&[text]), None, "{text}");
        }
        assert_eq!(found(&[r#"{"id":""#, &"x".repeat(10_000), r#"","jsonrpc":"2.0"}"#]), None);
    }
}
