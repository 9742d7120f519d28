//! The page of mistakes: what a user can write wrong, and the text that each mistake gets, from the compiler or when the
//! program runs. It is made of the fixtures of `compile_fail` and of the functions of `at_run_time`, so it says what is
//! so; the law here is that the page in the repository is the page that would be made now.
//!
//! `MISTAKES=overwrite` writes it anew; read the difference before. Debug builds notice more, so it is theirs.
#![cfg(debug_assertions)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a page that cannot be made ends its test"
)]
#![allow(clippy::disallowed_methods, reason = "the mistakes are made here")]

mod at_run_time;

use std::fmt::Write as _;
use std::path::Path;

const PAGE: &str = "../../docs/mistakes.md";

const HEAD: &str = "\
# Mistakes, and what each one is told

Made by `MISTAKES=overwrite cargo test -p haversack --all-features --test mistakes`, from the fixtures that must not
compile and from functions that are run. A test compares this page with what they say now.

";

#[test]
fn the_page_of_mistakes_says_what_is_so() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut page = HEAD.to_owned();
    page.push_str("## What does not compile\n\n");
    for fixture in Fixture::all(&folder.join("tests/compile_fail")) {
        page.push_str(&fixture.section());
    }
    page.push_str("## What is refused when the program runs\n\n");
    page.push_str(&at_run_time::sections());
    let page = page.trim_end().to_owned() + "\n";
    let path = folder.join(PAGE);
    if std::env::var("MISTAKES").as_deref() == Ok("overwrite") {
        std::fs::write(&path, &page).unwrap();
    }
    let there = std::fs::read_to_string(&path).unwrap_or_default();
    let same = there.lines().zip(page.lines()).take_while(|(there, page)| there == page).count();
    assert!(
        there == page,
        "docs/mistakes.md is out of date from line {} on: it says {:?} and should say {:?}; run this test with \
         MISTAKES=overwrite",
        same + 1,
        there.lines().nth(same),
        page.lines().nth(same)
    );
}

/// One file of `compile_fail`, with what the compiler says of it.
struct Fixture {
    source: String,
    errors: String,
}

impl Fixture {
    /// Those of a folder, then those of the folders in it.
    fn all(folder: &Path) -> Vec<Self> {
        let mut paths: Vec<_> = folder.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        let read = |path: &Path| std::fs::read_to_string(path).unwrap();
        let errors = paths.iter().filter(|path| path.extension().is_some_and(|ext| ext == "stderr"));
        let fixtures =
            errors.map(|path| Self { source: read(&path.with_extension("rs")), errors: read(path) });
        let folders = paths.iter().filter(|path| path.is_dir());
        fixtures.chain(folders.flat_map(|folder| Self::all(folder))).collect()
    }

    /// What the file says of itself, and each line that is refused beside the refusal.
    fn section(&self) -> String {
        let about: Vec<_> = self.source.lines().map_while(|line| line.strip_prefix("//! ")).collect();
        let mut section = format!("**{}**\n\n| Written | Told |\n|---|---|\n", about.join(" "));
        let mut rows: Vec<String> = Vec::new();
        for error in self.errors.split("\n\n").filter(|block| block.starts_with("error")) {
            let Some(line) = self.line_of(error) else { continue };
            let row = format!("| {} | {} |\n", code(line), told(error));
            if !rows.contains(&row) {
                rows.push(row);
            }
        }
        assert!(!rows.is_empty(), "a fixture without an error: {about:?}");
        section.push_str(&rows.concat());
        section.push('\n');
        section
    }

    /// The source line that an error points at.
    fn line_of(&self, error: &str) -> Option<&str> {
        let (_, place) = error.split_once("--> tests/compile_fail/")?;
        let line: usize = place.split(':').nth(1)?.parse().ok()?;
        Some(self.source.lines().nth(line - 1)?.trim())
    }
}

/// The headline of an error, and the notes of it that are ours.
fn told(error: &str) -> String {
    let headline = error.lines().next().unwrap_or_default();
    let headline = headline.replace("evaluation panicked: ", "");
    let headline = headline.split_once(": ").map_or(headline.as_str(), |(_, text)| text).to_owned();
    let notes = error.lines().filter_map(|line| line.trim_start().strip_prefix("= note: "));
    let ours = notes.filter(|note| headline.starts_with("unused") && !note.contains("`#["));
    let notes: String = ours.map(|note| format!(": {note}")).collect();
    (headline + &notes).replace('|', "\\|")
}

fn code(line: &str) -> String {
    format!("`{}`", line.replace('|', "\\|"))
}

/// A mistake that is made when the program runs: its body as it is written, and the text.
fn section(about: &str, body: &str, text: &str) -> String {
    let mut section = format!("**{about}**\n\n```rust,ignore\n{body}\n```\n\n");
    for line in text.lines() {
        writeln!(section, "> {line}").unwrap();
    }
    section.push('\n');
    section
}
