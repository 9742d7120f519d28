//! `unsafe` in one folder. The library's cell is the only module that may hold the keyword, and its root the only
//! file that lifts the ban; every other crate forbids it at its root, and every package takes the workspace's lints,
//! which deny it.

use super::stair::manifest;
use super::{Finding, tree::Tree};

/// The one folder.
const ALLOWED: &str = "crates/haversack/src/cell/";
/// Its root, which lifts the ban for the folder.
const LIFTED_BY: &str = "crates/haversack/src/cell/mod.rs";

pub fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = keywords(tree);
    findings.extend(roots(tree));
    findings.extend(lints(tree));
    findings
}

fn keywords(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in tree.sources.iter().filter(|source| source.path != LIFTED_BY) {
        let keywords =
            if source.path.starts_with(ALLOWED) { Vec::new() } else { source.lines_with("unsafe") };
        for line in keywords {
            findings.push(Finding::at(
                &source.path,
                line,
                format!("`unsafe` outside {ALLOWED}"),
                "write it safely, or move the need into the library's cell with its SAFETY note and its test",
            ));
        }
        for line in source.lines_with("unsafe_code") {
            let code = source.code.lines().nth(line - 1).unwrap_or_default();
            if code.contains("allow") || code.contains("expect") {
                findings.push(Finding::at(
                    &source.path,
                    line,
                    "the ban on `unsafe` is lifted here",
                    "only the library's cell may lift it, at its root",
                ));
            }
        }
    }
    findings
}

fn roots(tree: &Tree) -> Vec<Finding> {
    let roots = tree.sources.iter().filter(|source| {
        let parts: Vec<&str> = source.path.split('/').collect();
        matches!(parts[..], ["crates", _, "src", "lib.rs" | "main.rs"] | ["xtask", "src", "main.rs"])
    });
    roots
        .filter(|root| {
            root.path != "crates/haversack/src/lib.rs" && !root.code.contains("#![forbid(unsafe_code)]")
        })
        .map(|root| {
            Finding::of(
                &root.path,
                "this root does not forbid `unsafe`",
                "add `#![forbid(unsafe_code)]` below its module text",
            )
        })
        .collect()
}

fn lints(tree: &Tree) -> Vec<Finding> {
    let members = tree.metadata.members().filter_map(|package| {
        let path = manifest(package);
        let text = tree.text(&path)?;
        let takes = text.replace(' ', "").contains("[lints]\nworkspace=true");
        (!takes).then(|| {
            Finding::of(
                path,
                "the workspace's lints do not hold here",
                "add `[lints]` with `workspace = true`",
            )
        })
    });
    members.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::tree::planted::files;

    const ROOT: &str = "#![forbid(unsafe_code)]\n";

    #[test]
    fn unsafe_outside_the_cell_is_red() {
        let bad = "fn f(p: *const u8) -> u8 { unsafe { *p } }";
        assert_eq!(check(&files(&[("crates/haversack/src/var.rs", bad)])).len(), 1);
        assert_eq!(check(&files(&[("crates/haversack/src/cell/slots.rs", bad)])), []);
        assert_eq!(
            check(&files(&[("crates/haversack/src/var.rs", "// unsafe\nconst A: &str = \"unsafe\";")])),
            []
        );
    }

    #[test]
    fn lifting_the_ban_elsewhere_is_red() {
        for elsewhere in ["crates/haversack/src/var.rs", "crates/haversack/src/cell/slots.rs"] {
            assert_eq!(check(&files(&[(elsewhere, "#![allow(unsafe_code)]")])).len(), 1);
        }
        assert_eq!(check(&files(&[(LIFTED_BY, "#![allow(unsafe_code)]")])), []);
    }

    #[test]
    fn a_root_that_forbids_nothing_is_red() {
        assert_eq!(check(&files(&[("crates/store/src/lib.rs", "pub mod scope;")])).len(), 1);
        assert_eq!(check(&files(&[("crates/store/src/lib.rs", ROOT)])), []);
    }
}
