//! A filter that takes secrets out of a stream of bytes, and a search for them in one.
//!
//! Both hold back what may be the beginning of a secret until more bytes decide, so that a secret cut in two by a pipe or a
//! buffer is found too. Every captured byte of a child goes through a [`Redactor`] on its way to the file, every file that a
//! step leaves in the catalog through a [`Search`].

use super::SecretSet;

/// What stands in the place of a secret.
pub(crate) const MARK: &[u8] = b"[redacted]";

#[derive(Debug)]
pub(crate) struct Redactor {
    scan: Scan,
}

impl Redactor {
    pub(crate) fn new(secrets: &SecretSet) -> Self {
        Self { scan: Scan::new(secrets) }
    }

    /// Appends what is clean so far.
    pub(crate) fn feed(&mut self, bytes: &[u8], clean: &mut Vec<u8>) {
        self.scan.feed(bytes, |piece| take(piece, clean));
    }

    /// As [`feed`](Self::feed), in pieces: clean bytes, or `None` for a secret.
    pub(crate) fn pieces(&mut self, bytes: &[u8], mut each: impl FnMut(Option<&[u8]>)) {
        self.scan.feed(bytes, |piece| each(piece.clean()));
    }

    /// The rest, in pieces.
    pub(crate) fn last_pieces(&mut self, mut each: impl FnMut(Option<&[u8]>)) {
        self.scan.finish(|piece| each(piece.clean()));
    }

    /// Appends the rest: no more bytes will come.
    pub(crate) fn finish(&mut self, clean: &mut Vec<u8>) {
        self.scan.finish(|piece| take(piece, clean));
    }
}

fn take(piece: Piece<'_>, clean: &mut Vec<u8>) {
    clean.extend_from_slice(match piece {
        Piece::Clean(bytes) => bytes,
        Piece::Secret(_) => MARK,
    });
}

/// Looks for secrets and changes nothing.
#[derive(Debug)]
pub(crate) struct Search {
    scan: Scan,
    found: Option<String>,
}

impl Search {
    pub(crate) fn new(secrets: &SecretSet) -> Self {
        Self { scan: Scan::new(secrets), found: None }
    }

    /// The name of the secret in these bytes, or in them and those before.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> Option<&str> {
        let Self { scan, found } = self;
        scan.feed(bytes, |piece| note(piece, found));
        found.as_deref()
    }

    /// The name of the secret that was found: no more bytes will come.
    pub(crate) fn finish(mut self) -> Option<String> {
        let Self { scan, found } = &mut self;
        scan.finish(|piece| note(piece, found));
        self.found
    }
}

fn note(piece: Piece<'_>, found: &mut Option<String>) {
    if let Piece::Secret(name) = piece {
        found.get_or_insert_with(|| name.to_owned());
    }
}

/// A part of what was fed, in order.
enum Piece<'a> {
    Clean(&'a [u8]),
    /// A secret of this name.
    Secret(&'a str),
}

impl<'a> Piece<'a> {
    fn clean(self) -> Option<&'a [u8]> {
        match self {
            Self::Clean(bytes) => Some(bytes),
            Self::Secret(_) => None,
        }
    }
}

#[derive(Debug)]
struct Scan {
    needles: Vec<Needle>,
    held: Vec<u8>,
}

#[derive(Debug)]
struct Needle {
    bytes: Vec<u8>,
    name: String,
}

impl Scan {
    fn new(secrets: &SecretSet) -> Self {
        let mut needles: Vec<Needle> = Vec::new();
        for (name, secret) in secrets.iter() {
            // As it is, and as programs that print JSON write it; Python writes it in ASCII.
            let quoted = serde_json::Value::from(secret.expose()).to_string();
            let escaped = quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(&quoted);
            for text in [secret.expose(), escaped, &in_ascii(escaped)] {
                needles.push(Needle { bytes: text.as_bytes().to_vec(), name: name.to_owned() });
            }
        }
        needles.retain(|needle| !needle.bytes.is_empty());
        // Longest first: of two secrets that begin alike, the longer one is taken out whole.
        needles.sort_by_key(|needle| std::cmp::Reverse(needle.bytes.len()));
        needles.dedup_by(|one, other| one.bytes == other.bytes);
        Self { needles, held: Vec::new() }
    }

    fn feed(&mut self, bytes: &[u8], each: impl FnMut(Piece<'_>)) {
        self.held.extend_from_slice(bytes);
        self.pass(false, each);
    }

    fn finish(&mut self, each: impl FnMut(Piece<'_>)) {
        self.pass(true, each);
    }

    fn pass(&mut self, last: bool, mut each: impl FnMut(Piece<'_>)) {
        let held = std::mem::take(&mut self.held);
        if self.needles.is_empty() {
            return each(Piece::Clean(&held));
        }
        let (mut clean, mut at) = (0, 0);
        while at < held.len() {
            let rest = &held[at..];
            let undecided =
                |needle: &Needle| needle.bytes.len() > rest.len() && needle.bytes.starts_with(rest);
            if !last && self.needles.iter().any(undecided) {
                break;
            }
            match self.needles.iter().find(|needle| rest.starts_with(&needle.bytes)) {
                Some(needle) => {
                    each(Piece::Clean(&held[clean..at]));
                    each(Piece::Secret(&needle.name));
                    at += needle.bytes.len();
                    clean = at;
                }
                None => at += 1,
            }
        }
        each(Piece::Clean(&held[clean..at]));
        self.held = held[at..].to_vec();
    }
}

/// JSON whose letters beyond ASCII are escaped too.
fn in_ascii(escaped: &str) -> String {
    let mut text = String::with_capacity(escaped.len());
    for letter in escaped.chars() {
        if letter.is_ascii() {
            text.push(letter);
        } else {
            let units = letter
                .encode_utf16(&mut [0; 2])
                .iter()
                .map(|unit| format!("\\u{unit:04x}"))
                .collect::<String>();
            text.push_str(&units);
        }
    }
    text
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

    #[test]
    fn json_in_ascii_is_read_and_a_quote_at_the_end_is_part_of_a_secret() {
        assert_eq!(through(&["k\u{e9}y\u{1f511}"], &[r#"["k\u00e9y\ud83d\udd11"]"#]), r#"["[redacted]"]"#);
        assert_eq!(
            through(&["key\""], &[r#"["key\""] key" key\ key"#]),
            r#"["[redacted]"] [redacted] key\ key"#
        );
    }

    #[test]
    fn a_search_names_what_it_finds_however_it_is_cut() {
        let known = [("A", "hunter2"), ("B", "two\nlines")];
        let set = SecretSet::new(known.map(|(name, text)| (name.to_owned(), Secret::new(text))).into());
        for (text, name) in
            [("say hunter2!", Some("A")), ("{\"x\":\"two\\nlines\"}", Some("B")), ("say hunter", None)]
        {
            for cut in 0..text.len() {
                let mut search = Search::new(&set);
                search.feed(&text.as_bytes()[..cut]);
                search.feed(&text.as_bytes()[cut..]);
                assert_eq!(search.finish().as_deref(), name, "{text} at {cut}");
            }
        }
    }
}
