//! Swallowed context. What a variable says that nobody bound is an error with a place; `.get().ok()`,
//! `.get().unwrap_or_default()` and their like build it and drop it, and take a default or the environment along as if
//! somebody had bound it. What may be there and need not is read with `bound()`, and what must be there is handed on with `?`.
//! A variable is told by its name: statics are written in capitals.

use super::{Finding, source::Source, tree::Tree};

/// The library itself, which has the reads that others use; and std's cells, which it asks for.
const LIBRARY: &str = "crates/haversack/";

/// Reads that end in a `Result`.
const READS: &[&str] = &["get", "with", "try_with"];

/// What makes one into something without an error. With its error in hand, a `match` may think about it.
const SWALLOWS: &[&str] = &[
    "ok",
    "or",
    "or_else",
    "unwrap_or",
    "unwrap_or_default",
    "unwrap_or_else",
    "map_or",
    "is_ok",
    "is_ok_and",
    "is_err",
];

pub fn check(tree: &Tree) -> Vec<Finding> {
    let sources = tree.sources.iter().filter(|source| !source.path.starts_with(LIBRARY));
    sources.flat_map(in_source).collect()
}

fn in_source(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    for read in READS {
        for at in source.places_of(read) {
            let line = source.line_of(at);
            let Some(variable) = receiver(&source.code[..at]).filter(|_| !source.is_test(line)) else {
                continue;
            };
            let Some(end) = end_of_call(&source.code, at + read.len(), *read == "get") else { continue };
            let swallowed = swallowed(&source.code[end..]).map(|by| format!("`.{by}()`"));
            let matched = || is_matched(&source.code[..at]).then(|| "a pattern `Ok(..)`".to_owned());
            if let Some(by) = swallowed.or_else(matched) {
                findings.push(Finding::at(
                    &source.path,
                    line,
                    format!("`{variable}.{read}` says why nothing is bound, and {by} drops it"),
                    "use `bound()` for what may be unbound, `?` for what must not",
                ));
            }
        }
    }
    findings
}

/// The static whose method begins at the end of `before`: `NAME.`, perhaps over two lines.
fn receiver(before: &str) -> Option<&str> {
    let name = before.trim_end().strip_suffix('.')?.trim_end();
    let start = name.rfind(|c: char| !is_word(c)).map_or(0, |at| at + 1);
    let name = &name[start..];
    let capital = name.starts_with(|c: char| c.is_ascii_uppercase());
    (capital && name.len() > 1 && !name.contains(|c: char| c.is_ascii_lowercase())).then_some(name)
}

/// Where the call ends whose parenthesis stands at `at`. A variable's `get` has no argument; that of a map has.
fn end_of_call(code: &str, at: usize, empty: bool) -> Option<usize> {
    let inside = code[at..].strip_prefix('(')?;
    if empty && !inside.starts_with(')') {
        return None;
    }
    let mut depth = 1usize;
    for (offset, byte) in inside.bytes().enumerate() {
        match byte {
            b'(' => depth += 1,
            b')' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(at + 1 + offset + 1);
        }
    }
    None
}

/// The method that drops the error, at once or behind the call whose closure the read is: `visit.run(|| NAME.get()).ok()`.
fn swallowed(after: &str) -> Option<&'static str> {
    let rest = after.trim_start_matches(|c: char| c.is_whitespace() || c == ')');
    let method = rest.strip_prefix('.')?.trim_start();
    let end = method.find(|c: char| !is_word(c))?;
    SWALLOWS.iter().find(|swallow| **swallow == &method[..end]).copied()
}

/// Whether the read is what `let Ok(..) =` takes apart.
fn is_matched(before: &str) -> bool {
    let path = |c: char| is_word(c) || c == ':' || c == '.' || c.is_whitespace();
    let Some(pattern) = before.trim_end_matches(path).strip_suffix('=') else { return false };
    let start = pattern.rfind("let ").map_or(0, |at| at + "let ".len());
    let pattern = &pattern[start..];
    pattern.trim_start().starts_with("Ok(") && pattern.trim_end().ends_with(')')
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::tree::planted::files;

    fn found(path: &str, text: &str) -> usize {
        check(&files(&[(path, text)])).len()
    }

    #[test]
    fn an_error_that_is_dropped_is_red() {
        for bad in [
            "fn f() { let s = SESSION_ID.get().ok(); }",
            "fn f() { let c = well_known::CANCEL\n    .get()\n    .unwrap_or_default(); }",
            "fn f() { let t = TENANT_ID.with(|t| clip((t).as_str())).ok(); }",
            "fn f() { let t = LOCAL.try_with(|t| *t).unwrap_or_else(|_| 0); }",
            "fn f() { let t = visit.run(|| TOKEN.get()).ok(); }",
            "fn f() { if let Ok(session) = SESSION_ID.get() { } }",
            "fn f() { let Ok(Some(s)) = crate::SESSION_ID\n    .get() else { return }; }",
            "fn f() -> bool { TENANT_ID.with(|t| t == own).is_ok_and(|same| same) }",
        ] {
            assert_eq!(found("crates/jobs/src/queue.rs", bad), 1, "{bad}");
            assert_eq!(found("crates/jobs/tests/laws/queue.rs", bad), 0, "{bad}");
            assert_eq!(found("crates/haversack/src/span.rs", bad), 0, "{bad}");
        }
    }

    #[test]
    fn what_hands_the_error_on_is_green() {
        for good in [
            "fn f() { let s = SESSION_ID.get()?; }",
            "fn f() { let s = SESSION_ID.bound(); }",
            "fn f() { let s = SESSION_ID.get().map_err(NotStarted)?; }",
            "fn f() { match SESSION_ID.get() { Ok(s) => s, Err(missing) => return Err(missing.into()) } }",
            "fn f() { let s = TABLE.get(key).unwrap_or_default(); }",
            "fn f() { let s = self.gate.get().unwrap_or_default(); }",
            "fn f() { let s = T.get().unwrap_or_default(); }",
            "fn f() { let Ok(s) = open(SESSION_ID.get()?) else { return Err(E) }; }",
            "// SESSION_ID.get().ok()",
        ] {
            assert_eq!(found("crates/jobs/src/queue.rs", good), 0, "{good}");
        }
    }
}
