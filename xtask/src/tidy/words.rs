//! Words that do not belong in the tree: module names that gather what has no home, marks of unfinished work,
//! tests that are switched off without a reason, and paths of somebody's machine. It also asks every module to
//! open with what it is.

use super::{Finding, source::Source, tree::Tree};

const HOMELESS: &[&str] = &["utils", "util", "common", "types", "helpers", "misc"];
const UNFINISHED: &[&str] = &["todo!", "unimplemented!", "dbg!"];
/// Written in two parts, so that this file does not find itself.
const MACHINE: &[&str] = &[
    concat!("/wo", "rk/"),
    concat!("/ro", "ot/"),
    concat!("/ho", "me/"),
    concat!("/Use", "rs/"),
    concat!("../sha", "red"),
];

pub fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in &tree.sources {
        findings.extend(name(&source.path));
        findings.extend(unfinished(source));
        findings.extend(ignored(source));
        findings.extend(opening(source));
        findings.extend(machine(&source.path, &source.text));
    }
    for (path, text) in &tree.texts {
        findings.extend(machine(path, text));
    }
    findings
}

fn name(path: &str) -> Option<Finding> {
    let homeless = path.trim_end_matches(".rs").split('/').any(|part| HOMELESS.contains(&part));
    homeless.then(|| {
        Finding::of(
            path,
            "a module without a subject",
            "put each thing beside the interface that gives it meaning",
        )
    })
}

fn unfinished(source: &Source) -> Vec<Finding> {
    let marks =
        UNFINISHED.iter().flat_map(|word| source.lines_with(word).into_iter().map(move |line| (line, word)));
    marks
        .map(|(line, word)| {
            Finding::at(&source.path, line, format!("`{word}` is left here"), "finish it, or take it out")
        })
        .collect()
}

fn ignored(source: &Source) -> Vec<Finding> {
    let lines = source.code.match_indices("#[ignore]").map(|(at, _)| source.line_of(at));
    lines
        .map(|line| {
            Finding::at(
                &source.path,
                line,
                "a test is switched off without a reason",
                "mend the test, or write `#[ignore = \"why, and until when\"]`",
            )
        })
        .collect()
}

/// A source file of a crate begins with a module text; the fixtures that must not compile are exempt.
fn opening(source: &Source) -> Option<Finding> {
    let parts: Vec<&str> = source.path.split('/').collect();
    let ours = matches!(parts[..], ["crates", _, "src", ..] | ["xtask", "src", ..]);
    let opens = source.text.trim_start().starts_with("//!");
    (ours && !opens).then(|| {
        Finding::at(
            &source.path,
            1,
            "the module does not say what it is",
            "open it with `//!`: what it is, how it is modelled, who may call what",
        )
    })
}

fn machine(path: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (number, line) in text.lines().enumerate() {
        for word in MACHINE.iter().filter(|word| line.contains(**word)) {
            findings.push(Finding::at(
                path,
                number + 1,
                format!("`{word}` belongs to one machine"),
                "say it relative to the project, or leave it out",
            ));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::tree::planted::files;

    fn found(path: &str, text: &str) -> usize {
        check(&files(&[(path, text)])).len()
    }

    #[test]
    fn a_module_without_a_subject_is_red() {
        assert_eq!(found("crates/store/src/utils.rs", "//! A."), 1);
        assert_eq!(found("crates/store/src/common/mod.rs", "//! A."), 1);
        assert_eq!(found("crates/store/src/scope.rs", "//! A."), 0);
    }

    #[test]
    fn unfinished_work_is_red() {
        for bad in
            ["fn f() { todo!() }", "fn f() { unimplemented!(\"later\") }", "#[test]\n#[ignore]\nfn f() {}"]
        {
            assert_eq!(found("crates/store/tests/laws/main.rs", bad), 1, "{bad}");
        }
        assert_eq!(
            found(
                "crates/store/tests/laws/main.rs",
                "#[test]\n#[ignore = \"needs a clock\"]\nfn f() {} // todo!"
            ),
            0
        );
    }

    #[test]
    fn a_silent_module_is_red() {
        assert_eq!(found("crates/store/src/scope.rs", "use std::fmt;"), 1);
        assert_eq!(found("crates/store/src/scope.rs", ""), 1);
    }

    #[test]
    fn a_path_of_one_machine_is_red_in_any_text() {
        for word in MACHINE {
            assert!(found("docs/a.md", &format!("see {word}x")) > 0, "{word}");
            assert!(found("crates/a/src/b.rs", &format!("//! See {word}x")) > 0, "{word}");
        }
    }
}
