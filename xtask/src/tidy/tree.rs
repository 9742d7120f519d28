//! What the rules look at: the Rust sources, the Markdown documents and every other text file of the project,
//! read once, and what cargo knows about it. A test builds a small tree from strings instead.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result};

use super::source::Source;
use crate::workspace::{self, Metadata};

/// Folders that hold no text of ours.
const SKIPPED: &[&str] = &["target", "data", ".git", "peers/target"];

/// The project as the rules see it. Paths are relative to the workspace, with forward slashes.
pub struct Tree {
    pub sources: Vec<Source>,
    /// Every other text file: path and content.
    pub texts: Vec<(String, String)>,
    pub metadata: Metadata,
    /// What of the packages is built, as `name version`.
    pub built: BTreeSet<String>,
    paths: BTreeSet<String>,
}

impl Tree {
    /// Reads the workspace at `root`.
    pub fn read(root: &Path) -> Result<Tree> {
        let mut files = Vec::new();
        collect(root, root, &mut files)?;
        files.sort();
        Ok(Tree::assemble(files, Metadata::read(root)?, workspace::built(root)?))
    }

    /// The text of one file that is not Rust.
    pub fn text(&self, path: &str) -> Option<&str> {
        self.texts.iter().find(|(known, _)| known == path).map(|(_, text)| text.as_str())
    }

    /// One Rust file.
    pub fn source(&self, path: &str) -> Option<&Source> {
        self.sources.iter().find(|source| source.path == path)
    }

    /// The Markdown documents: path and text.
    pub fn documents(&self) -> impl Iterator<Item = (&str, &str)> {
        let markdown = self.texts.iter().filter(|(path, _)| path.ends_with(".md"));
        markdown.map(|(path, text)| (path.as_str(), text.as_str()))
    }

    /// Whether `path` names a file or a folder of the project.
    pub fn exists(&self, path: &str) -> bool {
        let path = path.trim_end_matches('/');
        let folder = format!("{path}/");
        self.paths.contains(path)
            || self.paths.range(folder.clone()..).next().is_some_and(|next| next.starts_with(&folder))
    }

    /// How many files were read.
    pub fn file_count(&self) -> usize {
        self.paths.len()
    }

    fn assemble(files: Vec<(String, String)>, metadata: Metadata, built: BTreeSet<String>) -> Tree {
        let paths = files.iter().map(|(path, _)| path.clone()).collect();
        let (rust, texts): (Vec<_>, Vec<_>) = files.into_iter().partition(|(path, _)| path.ends_with(".rs"));
        let sources = rust.into_iter().map(|(path, text)| Source::new(path, text)).collect();
        Tree { sources, texts, metadata, built, paths }
    }
}

fn collect(root: &Path, folder: &Path, files: &mut Vec<(String, String)>) -> Result<()> {
    let entries = std::fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    for entry in entries {
        let path = entry?.path();
        let relative = path.strip_prefix(root)?.to_string_lossy().replace('\\', "/");
        if path.is_dir() {
            if !SKIPPED.contains(&relative.as_str()) {
                collect(root, &path, files)?;
            }
        } else if let Ok(text) = std::fs::read_to_string(&path) {
            // What is not UTF-8 is no text, and no rule speaks about it.
            files.push((relative, text));
        }
    }
    Ok(())
}

#[cfg(test)]
pub mod planted {
    //! Small trees for the tests of the rules.

    use super::*;

    const NOTHING: &str = r#"{ "packages": [], "workspace_members": [] }"#;

    /// A tree of these files, without packages.
    pub fn files(files: &[(&str, &str)]) -> Tree {
        let files = files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect();
        Tree::assemble(files, serde_json::from_str(NOTHING).unwrap(), BTreeSet::new())
    }

    /// A tree of these packages, without files. All of them are members and built.
    pub fn packages(packages: serde_json::Value) -> Tree {
        let mut packages = packages;
        let mut members = Vec::new();
        for package in packages.as_array_mut().unwrap() {
            let name = package["name"].as_str().unwrap().to_owned();
            let folder = name.strip_prefix("haversack-").unwrap_or(&name);
            package["id"] = name.clone().into();
            package["version"] = "0.1.0".into();
            package["manifest_path"] = format!("crates/{folder}/Cargo.toml").into();
            members.push(name);
        }
        let built = members.iter().map(|name| format!("{name} 0.1.0")).collect();
        let all = serde_json::json!({ "packages": packages, "workspace_members": members });
        Tree::assemble(Vec::new(), serde_json::from_value(all).unwrap(), built)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_exists_when_something_is_in_it() {
        let tree = planted::files(&[("docs/errors/HV0001.md", ""), ("README.md", "")]);
        assert!(tree.exists("docs/errors/") && tree.exists("docs") && tree.exists("README.md"));
        assert!(!tree.exists("docs/err") && !tree.exists("README"));
    }
}
