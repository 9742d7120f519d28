//! `cargo xtask tidy`: the promises of ARCHITECTURE.md that no compiler checks. Each rule is a function from the
//! [`Tree`] to findings, and a finding is a place, what is wrong there and how to mend it. Every rule has a test
//! in which a planted breach makes it red.

use std::fmt;

use anyhow::{Result, bail};

use tree::Tree;

pub mod docs;
mod doors;
mod environment;
mod features;
mod lengths;
mod licences;
mod locks;
mod source;
mod spawns;
mod stair;
mod swallowed;
mod tree;
mod unsafe_files;
mod words;

/// One breach of one rule.
#[derive(Debug, PartialEq, Eq)]
pub struct Finding {
    path: String,
    /// 1-based; absent when the whole file or package is meant.
    line: Option<usize>,
    what: String,
    mend: &'static str,
}

impl Finding {
    fn at(path: impl Into<String>, line: usize, what: impl Into<String>, mend: &'static str) -> Finding {
        Finding { path: path.into(), line: Some(line), what: what.into(), mend }
    }

    fn of(path: impl Into<String>, what: impl Into<String>, mend: &'static str) -> Finding {
        Finding { path: path.into(), line: None, what: what.into(), mend }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        write!(f, ": {}\n    {}", self.what, self.mend)
    }
}

type Rule = fn(&Tree) -> Vec<Finding>;

const RULES: &[(&str, Rule)] = &[
    ("stair", stair::check),
    ("licences", licences::check),
    ("locks", locks::check),
    ("features", features::check),
    ("spawns", spawns::check),
    ("unsafe", unsafe_files::check),
    ("environment", environment::check),
    ("doors", doors::check),
    ("swallowed", swallowed::check),
    ("lengths", lengths::check),
    ("words", words::check),
    ("docs", docs::check),
];

/// Runs every rule over the workspace and prints what it finds.
pub fn run(list_lengths: bool) -> Result<()> {
    let tree = Tree::read(&crate::workspace::root())?;
    let mut total = 0;
    for (name, rule) in RULES {
        let findings = rule(&tree);
        total += findings.len();
        for finding in findings {
            println!("[{name}] {finding}");
        }
    }
    let long = lengths::to_look_at(&tree);
    if list_lengths {
        for (path, lines) in &long {
            println!("{lines:5} {path}");
        }
    } else if !long.is_empty() {
        println!(
            "{} files are over {} lines; `cargo xtask tidy --lengths` lists them",
            long.len(),
            lengths::LOOK_TWICE
        );
    }
    if total > 0 {
        bail!("tidy: {total} findings");
    }
    println!("tidy: {} rules hold over {} files", RULES.len(), tree.file_count());
    Ok(())
}
