//! Documents say what is so. Every error code has its page and every page its code; every relative link and every
//! path, package and test named in a document exists; every module stands in the map; and the first program of the
//! README is, line for line, an example that `cargo xtask test` compiles and runs.

use std::collections::BTreeSet;

use super::{Finding, source::Source, tree::Tree};

const CODES: &str = "crates/server/src/code.rs";
const PAGES: &str = "docs/errors/";
const MAP: &str = "ARCHITECTURE.md";
const THREATS: &str = "docs/threat-model.md";
/// The program that the README shows, and the one that is built.
pub const README: &str = "README.md";
pub const EXAMPLE: &str = "crates/haversack/examples/tenant_follows.rs";

/// What a path in a document starts with.
const ROOTS: &[&str] = &["crates/", "xtask/", "docs/", "examples/", ".ci/", ".cargo/"];

pub fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = codes(tree);
    let packages: BTreeSet<&str> = tree.metadata.members().map(|package| package.name.as_str()).collect();
    for (path, text) in tree.documents() {
        let prose = without_fences(text);
        findings.extend(links(tree, path, &prose));
        findings.extend(named_paths(tree, path, text));
        findings.extend(named_packages(&packages, path, text));
    }
    findings.extend(tests_named(tree));
    findings.extend(map(tree));
    findings.extend(example(tree));
    findings
}

fn codes(tree: &Tree) -> Vec<Finding> {
    let Some(source) = tree.source(CODES) else { return Vec::new() };
    let mut findings = Vec::new();
    // Tests name codes that do not exist, to see them refused.
    let product = code_words(&source.text).filter(|(line, _)| !source.is_test(*line));
    let known: BTreeSet<String> = product.map(|(_, code)| code).collect();
    let pages: BTreeSet<String> = tree
        .documents()
        .filter_map(|(path, _)| path.strip_prefix(PAGES)?.strip_suffix(".md"))
        .filter(|name| name.starts_with("HV"))
        .map(str::to_owned)
        .collect();
    for code in known.difference(&pages) {
        let mend = "write the page: what happened, why, what to do";
        findings.push(Finding::of(CODES, format!("`{code}` has no page {PAGES}{code}.md"), mend));
    }
    for page in pages.difference(&known) {
        let mend = "add the code, or delete the page";
        findings.push(Finding::of(format!("{PAGES}{page}.md"), "no such code in the product", mend));
    }
    let mut named: Vec<(&str, usize, String)> = Vec::new();
    for (path, text) in tree.documents() {
        named.extend(code_words(text).map(|(line, code)| (path, line, code)));
    }
    for source in tree.sources.iter().filter(|source| !source.path.starts_with("xtask/")) {
        let product = code_words(&source.text).filter(|(line, _)| !source.is_test(*line));
        named.extend(product.map(|(line, code)| (source.path.as_str(), line, code)));
    }
    for (path, line, code) in named.into_iter().filter(|(.., code)| !known.contains(code)) {
        let what = format!("`{code}` is no code of the product");
        findings.push(Finding::at(path, line, what, "name one that exists"));
    }
    findings
}

/// Each `HV` with four digits, with its line.
fn code_words(text: &str) -> impl Iterator<Item = (usize, String)> + '_ {
    text.lines().enumerate().flat_map(|(number, line)| {
        line.match_indices("HV").filter_map(move |(at, _)| {
            let word: String = line[at..].chars().take_while(char::is_ascii_alphanumeric).collect();
            let digits = word.len() == 6 && word[2..].bytes().all(|b| b.is_ascii_digit());
            digits.then_some((number + 1, word))
        })
    })
}

/// The text with fenced blocks and inline code blanked, line by line.
fn without_fences(text: &str) -> String {
    let mut fenced = false;
    let mut prose = String::with_capacity(text.len());
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if !fenced {
            for (n, part) in line.split('`').enumerate() {
                if n % 2 == 0 {
                    prose.push_str(part);
                }
            }
        }
        prose.push('\n');
    }
    prose
}

fn links(tree: &Tree, path: &str, prose: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (number, line) in prose.lines().enumerate() {
        for target in targets(line) {
            if let Err(what) = resolve(tree, path, target) {
                findings.push(Finding::at(
                    path,
                    number + 1,
                    what,
                    "mend the link, or write what it leads to",
                ));
            }
        }
    }
    findings
}

/// The targets of `[text](target)` and `[label]: target` in a line.
fn targets(line: &str) -> Vec<&str> {
    let inline = line.match_indices("](").filter_map(|(at, _)| line[at + 2..].split([')', ' ']).next());
    let mut targets: Vec<&str> = inline.collect();
    let label = line.strip_prefix('[').and_then(|rest| rest.split_once("]: "));
    targets.extend(label.map(|(_, target)| target.trim()));
    targets
}

fn resolve(tree: &Tree, from: &str, target: &str) -> Result<(), String> {
    // A page that is compiled into the documentation links to items, which rustdoc resolves.
    let item = from.contains("/src/") && !target.contains(['.', '/']);
    if item || target.contains("://") || target.starts_with("mailto:") {
        return Ok(());
    }
    let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
    let file = if file.is_empty() { from.to_owned() } else { join(from, file) };
    if !tree.exists(&file) {
        return Err(format!("the link `{target}` leads nowhere"));
    }
    if !anchor.is_empty() {
        let text = tree.text(&file).unwrap_or_default();
        if !anchors(text).any(|known| known == anchor) {
            return Err(format!("`{file}` has no heading for `#{anchor}`"));
        }
    }
    Ok(())
}

/// `target` as seen from the folder of `from`.
fn join(from: &str, target: &str) -> String {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// The anchors of a document's headings, as GitHub makes them.
fn anchors(text: &str) -> impl Iterator<Item = String> + '_ {
    text.lines().filter(|line| line.starts_with('#')).map(|line| {
        let heading = line.trim_start_matches('#').trim().to_lowercase();
        let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    })
}

/// Code spans that look like a path of the project must name one.
fn named_paths(tree: &Tree, path: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (number, line) in text.lines().enumerate() {
        for span in line.split('`').skip(1).step_by(2) {
            let plain = span.chars().all(|c| c.is_alphanumeric() || matches!(c, '/' | '_' | '-' | '.'));
            if plain && ROOTS.iter().any(|root| span.starts_with(root)) && !tree.exists(span) {
                let mend = "name what exists, or write it first";
                findings.push(Finding::at(path, number + 1, format!("`{span}` does not exist"), mend));
            }
        }
    }
    findings
}

fn named_packages(packages: &BTreeSet<&str>, path: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (number, line) in text.lines().enumerate() {
        for (at, _) in line.match_indices("haversack-") {
            // A part of an address or of a longer word names no package.
            if line[..at]
                .chars()
                .next_back()
                .is_some_and(|c| c.is_alphanumeric() || matches!(c, '/' | '-' | '_' | '.'))
            {
                continue;
            }
            let word =
                line[at..].split(|c: char| !c.is_alphanumeric() && c != '-').next().unwrap_or_default();
            let word = word.trim_end_matches('-');
            if word != "haversack" && !packages.contains(word) {
                let mend = "name a package of this workspace";
                findings.push(Finding::at(path, number + 1, format!("there is no package `{word}`"), mend));
            }
        }
    }
    findings
}

/// Every module of a crate stands in the map of ARCHITECTURE.md, under the crate's own heading.
fn map(tree: &Tree) -> Vec<Finding> {
    let Some(text) = tree.text(MAP) else { return Vec::new() };
    let mut findings = Vec::new();
    let mut modules: BTreeSet<(&str, &str)> = BTreeSet::new();
    for source in &tree.sources {
        let parts: Vec<&str> = source.path.split('/').collect();
        if let ["crates", folder, "src", module, ..] = parts[..] {
            modules.insert((folder, module.trim_end_matches(".rs")));
        }
    }
    for (folder, module) in modules.into_iter().filter(|(_, module)| !matches!(*module, "lib" | "main")) {
        let section = text.split("\n### ").find(|section| section.starts_with(&format!("`crates/{folder}`")));
        let section = section.unwrap_or_default().split("\n## ").next().unwrap_or_default();
        if !section.contains(&format!("`{module}`")) && !section.contains(&format!("`{module}/`")) {
            let what = format!("the map does not show `{module}` of `crates/{folder}`");
            findings.push(Finding::of(MAP, what, "add it where a reader looks for its subject"));
        }
    }
    findings
}

/// The threat model names the test for each path; a test that was renamed or removed leaves a hole there.
fn tests_named(tree: &Tree) -> Vec<Finding> {
    let Some(text) = tree.text(THREATS) else { return Vec::new() };
    let mut findings = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let names = line.split('`').skip(1).step_by(2).filter(|span| {
            span.matches('_').count() >= 2
                && span.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        });
        for name in names {
            let declared = format!("fn {name}");
            if !tree.sources.iter().any(|source| source.places_of(&declared).next().is_some()) {
                let mend = "name the test that shows it, or write one";
                findings.push(Finding::at(THREATS, number + 1, format!("there is no test `{name}`"), mend));
            }
        }
    }
    findings
}

/// The first Rust block of the README is the example.
fn example(tree: &Tree) -> Option<Finding> {
    let readme = tree.text(README)?;
    let mend = "copy the example into the README: what is shown is what was run";
    let Some(shown) = block(readme, "rust") else {
        return Some(Finding::of(README, "it shows no Rust program", mend));
    };
    let built = tree.source(EXAMPLE).map(program);
    (built.as_deref() != Some(shown.trim()))
        .then(|| Finding::of(README, format!("its first program is not {EXAMPLE}"), mend))
}

/// The first fenced block of `language` in a document.
pub fn block<'a>(text: &'a str, language: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(&format!("```{language}\n"))?;
    rest.split_once("```").map(|(inside, _)| inside)
}

/// The example without its module text and its file-wide attributes.
fn program(source: &Source) -> String {
    let lines = source
        .text
        .lines()
        .skip_while(|line| line.starts_with("//!") || line.starts_with("#![") || line.trim().is_empty());
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::tree::planted::files;

    fn found(all: &[(&str, &str)]) -> Vec<String> {
        check(&files(all)).into_iter().map(|finding| finding.what).collect()
    }

    #[test]
    fn a_code_without_a_page_and_a_page_without_a_code_are_red() {
        let code = (CODES, "//! Codes.\nconst A: &str = \"HV0001\";");
        assert_eq!(found(&[code]), ["`HV0001` has no page docs/errors/HV0001.md"]);
        assert_eq!(found(&[code, ("docs/errors/HV0001.md", "")]), Vec::<String>::new());
        assert_eq!(
            found(&[code, ("docs/errors/HV0001.md", ""), ("docs/errors/HV0002.md", "")]),
            ["no such code in the product"]
        );
        assert_eq!(
            found(&[code, ("docs/errors/HV0001.md", "see HV0009")]),
            ["`HV0009` is no code of the product"]
        );
    }

    #[test]
    fn a_link_that_leads_nowhere_is_red() {
        let there = ("docs/there.md", "# The Way, in\n");
        assert_eq!(
            found(&[
                there,
                ("docs/a.md", "[x](there.md) [y](../docs/there.md#the-way-in) [z](https://a.b/c)")
            ]),
            Vec::<String>::new()
        );
        assert_eq!(found(&[there, ("docs/a.md", "[x](gone.md)")]), ["the link `gone.md` leads nowhere"]);
        assert_eq!(
            found(&[there, ("docs/a.md", "[x](there.md#out)")]),
            ["`docs/there.md` has no heading for `#out`"]
        );
        assert_eq!(found(&[there, ("docs/a.md", "[x]: gone.md\n")]), ["the link `gone.md` leads nowhere"]);
        assert_eq!(found(&[("crates/a/src/a.md", "[x](crate::X)")]), Vec::<String>::new());
        assert_eq!(found(&[("docs/a.md", "[x](crate::X)")]), ["the link `crate::X` leads nowhere"]);
        assert_eq!(found(&[("docs/a.md", "`[x](gone.md)`\n```\n[x](gone.md)\n```\n")]), Vec::<String>::new());
    }

    #[test]
    fn a_path_or_package_that_does_not_exist_is_red() {
        assert_eq!(found(&[("docs/a.md", "see `crates/gone/src`")]), ["`crates/gone/src` does not exist"]);
        assert_eq!(found(&[("docs/a.md", "see `docs/a.md` and `docs/*.md`")]), Vec::<String>::new());
        assert_eq!(
            found(&[("docs/a.md", "the crate haversack-extra.")]),
            ["there is no package `haversack-extra`"]
        );
        assert_eq!(found(&[("docs/a.md", "https://example.org/haversack-rs/x")]), Vec::<String>::new());
    }

    #[test]
    fn a_module_off_the_map_is_red() {
        let module = ("crates/store/src/scope.rs", "//! Scopes.");
        assert_eq!(
            found(&[module, (MAP, "# A\n\n### `crates/store`\n\n| `scope` |\n")]),
            Vec::<String>::new()
        );
        let elsewhere = "# A\n\n### `crates/store`\n\n### `crates/store/src`\n\n| `scope` |\n";
        assert_eq!(found(&[module, (MAP, elsewhere)]), ["the map does not show `scope` of `crates/store`"]);
    }

    #[test]
    fn a_threat_without_its_test_is_red() {
        let test = ("crates/store/tests/laws/main.rs", "//! Laws.\nfn a_scope_is_loud() {}");
        assert_eq!(found(&[test, (THREATS, "| x | `a_scope_is_loud` |")]), Vec::<String>::new());
        assert_eq!(
            found(&[test, (THREATS, "| x | `a_scope_is_mute` |")]),
            ["there is no test `a_scope_is_mute`"]
        );
    }

    #[test]
    fn a_readme_that_shows_another_program_is_red() {
        let example = (EXAMPLE, "//! An example.\n#![allow(missing_docs)]\n\nfn main() {}\n");
        assert_eq!(found(&[example, (README, "```rust\nfn main() {}\n```\n")]), Vec::<String>::new());
        assert_eq!(found(&[example, (README, "```rust\nfn main() { }\n```\n")]).len(), 1);
        assert_eq!(found(&[example, (README, "no program")]).len(), 1);
    }
}
