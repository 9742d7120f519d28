//! Bare spawns. A bare `tokio::spawn` starts its task with no context, so only the library's carry modules call
//! the bare ones. Clippy finds them by meaning, from the list in `clippy.toml`; this rule keeps that list whole,
//! keeps its `allow` out of everybody else's code, and finds by spelling what a macro hides from clippy.

use super::{Finding, source::Source, tree::Tree};

/// Where the bare calls are wrapped.
const CARRY: &str = "crates/haversack/src/carry/";

/// What `clippy.toml` must hold. The `bool` says whether the spelling alone is looked for too: not for methods,
/// whose receiver's type no spelling shows.
const BARE: &[(&str, bool)] = &[
    ("tokio::spawn", true),
    ("tokio::task::spawn", true),
    ("tokio::task::spawn_blocking", true),
    ("tokio::task::spawn_local", true),
    ("tokio::task::JoinSet::spawn", false),
    ("tokio::task::JoinSet::spawn_on", false),
    ("tokio::task::JoinSet::spawn_local", false),
    ("tokio::task::JoinSet::spawn_local_on", false),
    ("tokio::task::JoinSet::spawn_blocking", false),
    ("tokio::task::JoinSet::spawn_blocking_on", false),
    ("tokio::runtime::Runtime::spawn", false),
    ("tokio::runtime::Runtime::spawn_blocking", false),
    ("tokio::runtime::Runtime::block_on", false),
    ("tokio::runtime::Handle::spawn", false),
    ("tokio::runtime::Handle::spawn_blocking", false),
    ("tokio::runtime::Handle::block_on", false),
    ("tokio::task::LocalSet::block_on", false),
    ("tokio::task::LocalSet::run_until", false),
    ("tokio_util::task::TaskTracker::spawn", false),
    ("tokio_util::task::TaskTracker::spawn_on", false),
    ("tokio_util::task::TaskTracker::spawn_local", false),
    ("tokio_util::task::TaskTracker::spawn_local_on", false),
    ("tokio_util::task::TaskTracker::spawn_blocking", false),
    ("tokio_util::task::TaskTracker::spawn_blocking_on", false),
    ("rayon_core::spawn", false),
    ("rayon_core::spawn_fifo", false),
    ("rayon_core::join", false),
    ("rayon_core::scope", false),
    ("rayon_core::in_place_scope", false),
    ("rayon_core::ThreadPool::spawn", false),
    ("rayon_core::ThreadPool::install", false),
    ("std::thread::spawn", true),
    ("std::thread::scope", true),
    ("std::thread::Builder::spawn", false),
    ("std::thread::Builder::spawn_scoped", false),
    ("std::env::set_var", false),
    ("std::env::remove_var", false),
];

pub fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = whole_list(tree);
    for source in tree.sources.iter().filter(|source| !source.path.starts_with(CARRY)) {
        findings.extend(allows(source));
        findings.extend(spellings(source));
    }
    findings
}

fn whole_list(tree: &Tree) -> Vec<Finding> {
    let Some(list) = tree.text("clippy.toml") else { return Vec::new() };
    let missing = BARE.iter().filter(|(path, _)| !list.contains(&format!("path = \"{path}\"")));
    missing
        .map(|(path, _)| {
            Finding::of(
                "clippy.toml",
                format!("`{path}` is not banned any more"),
                "put its entry back under disallowed-methods",
            )
        })
        .collect()
}

fn allows(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    for line in source.lines_with("clippy::disallowed_methods") {
        // A test of the bare call's own behaviour has to make it; it says so.
        let said = attribute_from(source, line).contains("reason") || has_comment(source, line);
        if !source.is_test(line) {
            findings.push(Finding::at(
                &source.path,
                line,
                "the ban on bare spawns is lifted outside the library's carry modules",
                "call haversack::spawn, spawn_blocking, JoinSet, thread or block_on instead",
            ));
        } else if !said {
            findings.push(Finding::at(
                &source.path,
                line,
                "a test lifts the ban on bare spawns without a reason",
                "say why in the attribute's `reason` or beside it, or call the library's",
            ));
        }
    }
    findings
}

fn spellings(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, _) in BARE.iter().filter(|(_, by_spelling)| *by_spelling) {
        for line in source.lines_with(path).into_iter().filter(|line| !source.is_test(*line)) {
            findings.push(Finding::at(
                &source.path,
                line,
                format!("`{path}` outside the library's carry modules"),
                "call haversack::spawn, spawn_blocking, spawn_detached or thread instead",
            ));
        }
    }
    findings
}

/// Whether a comment stands on `line` or on the one above it.
fn has_comment(source: &Source, line: usize) -> bool {
    let mut lines = source.text.lines().skip(line.saturating_sub(2));
    let (above, here) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    above.trim_start().starts_with("// ") || here.contains("// ")
}

/// The code from `line` to the end of the attribute that starts on it or before it.
fn attribute_from(source: &Source, line: usize) -> String {
    let mut text = String::new();
    for code in source.code.lines().skip(line - 1).take(8) {
        text.push_str(code);
        if code.contains(")]") {
            break;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::tree::planted::files;

    #[test]
    fn a_bare_spawn_is_red_outside_the_carry_modules() {
        let bad = "fn f() { tokio::spawn(async {}); }";
        assert_eq!(check(&files(&[("crates/agent/src/turn.rs", bad)])).len(), 1);
        assert_eq!(check(&files(&[("crates/haversack/src/carry/task.rs", bad)])), []);
        assert_eq!(
            check(&files(&[(
                "crates/agent/src/turn.rs",
                "// tokio::spawn\nfn f() { haversack::spawn(async {}); }"
            )])),
            []
        );
    }

    #[test]
    fn lifting_the_ban_is_red_outside_the_carry_modules() {
        let bad = "#[allow(clippy::disallowed_methods, reason = \"quick\")]\nfn f() {}";
        assert_eq!(check(&files(&[("crates/agent/src/turn.rs", bad)])).len(), 1);
        assert_eq!(check(&files(&[("crates/haversack/src/carry/task.rs", bad)])), []);
    }

    #[test]
    fn a_test_may_lift_it_with_a_reason() {
        let silent = "#![allow(clippy::disallowed_methods)]";
        let said =
            "#![allow(\n    clippy::disallowed_methods,\n    reason = \"a raw task is what is tested\"\n)]";
        assert_eq!(check(&files(&[("crates/haversack/tests/laws/main.rs", silent)])).len(), 1);
        let beside =
            "#![forbid(unsafe_code)]\n#![allow(clippy::disallowed_methods)] // a raw task is what is tested";
        assert_eq!(check(&files(&[("crates/haversack/tests/laws/main.rs", said)])), []);
        assert_eq!(check(&files(&[("crates/haversack/tests/laws/main.rs", beside)])), []);
    }

    #[test]
    fn a_shortened_list_is_red() {
        let findings =
            check(&files(&[("clippy.toml", "disallowed-methods = [{ path = \"tokio::spawn\" }]")]));
        assert_eq!(findings.len(), BARE.len() - 1);
    }
}
