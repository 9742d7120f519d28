//! The documentation as docs.rs builds it: with the metadata of the package, every feature, and the flag that shows
//! beside each item which feature brings it. What is there with all features and not with none has to say so; rustdoc
//! finds out by itself, but for macros, which leave the module that has the `cfg`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use super::{Library, PACKAGE};
use crate::steps::Steps;

/// What rustdoc writes where a feature brings an item.
const MARK: &str = "Available on";
/// A page that only leads to another one, for what is exported at two places.
const LEADS: &str = "http-equiv=\"refresh\"";

pub fn check(steps: &mut Steps, library: &Library) -> Result<()> {
    println!("\n== pages: cargo doc as docs.rs runs it");
    let started = Instant::now();
    // With no feature the links to what is not there are broken, and nobody publishes that.
    let without = pages(library, &[], "--cfg docsrs -A rustdoc::broken_intra_doc_links")?;
    let with = pages(library, &library.features(), "--cfg docsrs -D warnings")?;
    let bare = without.iter().map(|page| page.name.as_str()).collect();
    let silent = silent(&with, &bare);
    let verdict = match &silent[..] {
        [] => Ok(()),
        _ => Err(format!(
            "the documentation does not say which feature brings it: {}\n    beside a macro, say it by hand: \
             `#[cfg_attr(docsrs, doc(cfg(feature = \"..\")))]`",
            silent.join(", ")
        )),
    };
    steps.judge("pages", started, verdict)
}

struct Page {
    /// Its path in the documentation.
    name: String,
    text: String,
}

/// Every page of the documentation with these features.
fn pages(library: &Library, features: &[&str], flags: &str) -> Result<Vec<Page>> {
    let folder = library.folder.join("doc").join(PACKAGE);
    if folder.exists() {
        std::fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    let mut command = library.cargo("doc", features);
    command.arg("--no-deps").env("RUSTDOCFLAGS", flags);
    let output = command.output().context("cannot start cargo doc")?;
    ensure!(output.status.success(), "cargo doc: {}", String::from_utf8_lossy(&output.stderr).trim());
    let mut found = Vec::new();
    read(&folder, &folder, &mut found)?;
    Ok(found)
}

fn read(root: &Path, folder: &Path, found: &mut Vec<Page>) -> Result<()> {
    for entry in std::fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))? {
        let path: PathBuf = entry?.path();
        if path.is_dir() {
            read(root, &path, found)?;
        } else if path.extension().is_some_and(|extension| extension == "html") {
            let text =
                std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
            let name = path.strip_prefix(root).unwrap_or(&path).display().to_string();
            found.push(Page { name, text });
        }
    }
    Ok(())
}

/// The pages beside `bare` that name no feature.
fn silent(pages: &[Page], bare: &BTreeSet<&str>) -> Vec<String> {
    let brought = pages.iter().filter(|page| !bare.contains(page.name.as_str()));
    let silent = brought.filter(|page| !page.text.contains(MARK) && !page.text.contains(LEADS));
    silent.map(|page| page.name.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(name: &str, text: &str) -> Page {
        Page { name: name.to_owned(), text: text.to_owned() }
    }

    #[test]
    fn what_a_feature_brings_without_a_word_is_red() {
        let bare = BTreeSet::from(["struct.Context.html"]);
        let pages = [
            page("struct.Context.html", "a context"),
            page("fn.spawn.html", "Available on crate feature tokio only"),
            page("carry/fn.spawn.html", "<meta http-equiv=\"refresh\">"),
            page("macro.manifest.html", "a macro"),
        ];
        assert_eq!(silent(&pages, &bare), ["macro.manifest.html"]);
    }
}
