//! One Rust file as the rules read it. Beside the text stands the same text with comments and the insides of
//! literals blanked, so that a word in a sentence is not taken for code, and a mark per line that says whether it
//! belongs to a test. This is a lexer and not a parser: it knows where literals end, and nothing of meaning.

/// A Rust file.
pub struct Source {
    pub path: String,
    pub text: String,
    /// The text with comments, strings and character literals blanked; same length, same lines.
    pub code: String,
    test_lines: Vec<bool>,
}

impl Source {
    pub fn new(path: String, text: String) -> Source {
        let code = blank(&text);
        let test_lines = test_lines(&path, &code);
        Source { path, text, code, test_lines }
    }

    /// Each place where `path` (such as `tokio::spawn`) stands in code as a whole path segment or sequence, by
    /// 1-based line.
    pub fn lines_with(&self, path: &str) -> Vec<usize> {
        self.places_of(path).map(|at| self.line_of(at)).collect()
    }

    /// The byte offsets where `word` stands in code, not as part of a longer identifier.
    pub fn places_of<'a>(&'a self, word: &'a str) -> impl Iterator<Item = usize> + 'a {
        self.code.match_indices(word).map(|(at, _)| at).filter(move |at| {
            let before = self.code[..*at].chars().next_back();
            let after = self.code[at + word.len()..].chars().next();
            let open_start = word.chars().next().is_some_and(is_word);
            let open_end = word.chars().next_back().is_some_and(is_word);
            let continues =
                open_start && before.is_some_and(is_word) || open_end && after.is_some_and(is_word);
            !continues
        })
    }

    /// The 1-based line of a byte offset.
    pub fn line_of(&self, at: usize) -> usize {
        self.code[..at].matches('\n').count() + 1
    }

    /// Whether a 1-based line belongs to a test: a file of tests, or a `#[cfg(test)]` item.
    pub fn is_test(&self, line: usize) -> bool {
        self.test_lines.get(line - 1).copied().unwrap_or(false)
    }

    /// How many lines the file has.
    pub fn length(&self) -> usize {
        self.text.lines().count()
    }

    /// Whether this file is under `crates/<folder>/src`.
    pub fn is_of(&self, folder: &str) -> bool {
        self.path
            .strip_prefix("crates/")
            .and_then(|rest| rest.strip_prefix(folder))
            .is_some_and(|r| r.starts_with("/src/"))
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn blank(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut code = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = match bytes[at] {
            b'/' if bytes.get(at + 1) == Some(&b'/') => end_of_line(bytes, at),
            b'/' if bytes.get(at + 1) == Some(&b'*') => end_of_block(bytes, at),
            b'"' => end_of_string(bytes, at),
            b'r' if !preceded_by_word(bytes, at) => end_of_raw_string(bytes, at).unwrap_or(at),
            b'\'' => end_of_character(text, at).unwrap_or(at),
            _ => at,
        };
        for byte in &mut code[at..end] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
        at = end.max(at + 1);
    }
    // Whole characters were replaced by spaces, byte for byte, so this stays UTF-8.
    String::from_utf8_lossy(&code).into_owned()
}

/// Whether the byte at `at` continues an identifier; `b` and `c` before a raw string are prefixes of it.
fn preceded_by_word(bytes: &[u8], at: usize) -> bool {
    let word =
        |i: usize| i.checked_sub(1).map(|i| bytes[i]).filter(|b| b.is_ascii_alphanumeric() || *b == b'_');
    match word(at) {
        None => false,
        Some(b'b' | b'c') => word(at - 1).is_some(),
        Some(_) => true,
    }
}

fn end_of_line(bytes: &[u8], at: usize) -> usize {
    bytes[at..].iter().position(|b| *b == b'\n').map_or(bytes.len(), |n| at + n)
}

fn end_of_block(bytes: &[u8], mut at: usize) -> usize {
    let mut depth = 0;
    while at < bytes.len() {
        match (bytes[at], bytes.get(at + 1)) {
            (b'/', Some(b'*')) => (depth, at) = (depth + 1, at + 2),
            (b'*', Some(b'/')) => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at.min(bytes.len())
}

fn end_of_string(bytes: &[u8], at: usize) -> usize {
    let mut at = at + 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

fn end_of_raw_string(bytes: &[u8], at: usize) -> Option<usize> {
    let hashes = bytes[at + 1..].iter().take_while(|b| **b == b'#').count();
    let open = at + 1 + hashes;
    if bytes.get(open) != Some(&b'"') {
        return None;
    }
    let mut close = vec![b'"'];
    close.resize(hashes + 1, b'#');
    let inside = open + 1;
    let end = bytes[inside..].windows(close.len()).position(|window| window == close);
    Some(end.map_or(bytes.len(), |n| inside + n + close.len()))
}

/// The end of a character literal, or nothing when the quote begins a lifetime.
fn end_of_character(text: &str, at: usize) -> Option<usize> {
    let mut rest = text[at + 1..].char_indices();
    let (_, first) = rest.next()?;
    if first != '\\' {
        let (next, quote) = rest.next()?;
        return (quote == '\'').then_some(at + 1 + next + 1);
    }
    rest.next()?;
    rest.find(|(_, c)| *c == '\'').map(|(n, _)| at + 1 + n + 1)
}

fn test_lines(path: &str, code: &str) -> Vec<bool> {
    let count = code.lines().count();
    let in_test_folder = path.split('/').any(|part| matches!(part, "tests" | "benches" | "examples"));
    if in_test_folder || path.ends_with("/tests.rs") {
        return vec![true; count];
    }
    let mut marks = vec![false; count];
    for (at, _) in code.match_indices("#[cfg(test)]").chain(code.match_indices("#[cfg(all(test")) {
        let end = end_of_item(code.as_bytes(), at);
        let first = code[..at].matches('\n').count();
        let last = code[..end].matches('\n').count();
        for mark in marks.iter_mut().take(last + 1).skip(first) {
            *mark = true;
        }
    }
    marks
}

/// The end of the item that starts at `at`: its closing brace, or its semicolon when it has no body.
fn end_of_item(code: &[u8], at: usize) -> usize {
    let mut depth = 0usize;
    for (offset, byte) in code[at..].iter().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return at + offset;
                }
            }
            b';' if depth == 0 => return at + offset,
            _ => {}
        }
    }
    code.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: &str) -> Source {
        Source::new("crates/x/src/lib.rs".to_owned(), text.to_owned())
    }

    #[test]
    fn sentences_and_literals_are_not_code() {
        let text = "// spawn\n/* spawn /* spawn */ spawn */ let a = \"spawn \\\" spawn\";\nlet b = r#\"spawn \" spawn\"#;\nlet c = b\"spawn\"; let d = '\"'; spawn('\\'', \"x\")";
        let source = source(text);
        assert_eq!(source.lines_with("spawn"), [4]);
        assert_eq!(source.code.len(), text.len());
    }

    #[test]
    fn a_lifetime_is_no_literal() {
        let source = source("fn f<'a>(x: &'a str) { spawn(x) } fn g<'b>() {}");
        assert_eq!(source.lines_with("spawn"), [1]);
    }

    #[test]
    fn a_longer_identifier_is_another_one() {
        let source = source("respawn(); spawn_local(); spawn();\nmytokio::spawn();\ntokio::spawn();");
        assert_eq!(source.lines_with("spawn"), [1, 2, 3]);
        assert_eq!(source.lines_with("tokio::spawn"), [3]);
    }

    #[test]
    fn test_items_are_marked_to_their_end() {
        let source = source(
            "fn a() {}\n#[cfg(test)]\nmod tests {\n    fn b() { { } }\n}\nfn c() {}\n#[cfg(test)]\nmod more;\nfn d() {}",
        );
        let marks: Vec<bool> = (1..=9).map(|line| source.is_test(line)).collect();
        assert_eq!(marks, [false, true, true, true, true, false, true, true, false]);
    }
}
