//! What cargo knows about the workspace: its packages, their features and targets, and what is built of
//! the tree. It is the output of `cargo metadata` and `cargo tree`, read once per command. Every command that builds takes its feature set from
//! here, so that all of them share one build of the dependencies.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

/// Features that break the product on purpose and are switched on only by the commands that want exactly that.
const HELD_BACK: &[&str] = &["mutants"];

/// The output of `cargo metadata`, as far as we read it.
#[derive(Debug, Deserialize)]
pub struct Metadata {
    pub packages: Vec<Package>,
    pub workspace_members: Vec<String>,
    #[serde(default)]
    pub target_directory: PathBuf,
}

#[derive(Debug, Deserialize)]
pub struct Package {
    pub id: String,
    pub name: String,
    pub version: String,
    pub license: Option<String>,
    pub license_file: Option<String>,
    pub manifest_path: PathBuf,
    #[serde(default)]
    pub rust_version: Option<String>,
    #[serde(default)]
    pub dependencies: Vec<Dependency>,
    #[serde(default)]
    pub features: BTreeMap<String, Vec<String>>,
    #[serde(default)]
    pub targets: Vec<Target>,
}

#[derive(Debug, Deserialize)]
pub struct Dependency {
    pub name: String,
    /// Absent for a normal dependency, else `dev` or `build`.
    pub kind: Option<String>,
    #[serde(default)]
    pub optional: bool,
    #[serde(default)]
    pub features: Vec<String>,
}

#[derive(Debug, Deserialize)]
pub struct Target {
    pub name: String,
    pub kind: Vec<String>,
    #[serde(default, rename = "required-features")]
    pub required_features: Vec<String>,
}

impl Metadata {
    /// Asks cargo about the workspace at `root`, with every feature switched on, so that no optional dependency
    /// escapes the checks.
    pub fn read(root: &Path) -> Result<Metadata> {
        let output = Command::new(cargo())
            .args(["metadata", "--format-version", "1", "--all-features"])
            .current_dir(root)
            .output()
            .context("cannot start cargo metadata")?;
        ensure!(
            output.status.success(),
            "cargo metadata: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
        serde_json::from_slice(&output.stdout).context("cannot read the output of cargo metadata")
    }

    /// The packages of this workspace.
    pub fn members(&self) -> impl Iterator<Item = &Package> {
        self.packages.iter().filter(|package| self.workspace_members.contains(&package.id))
    }

    /// The one feature set that tests, clippy and the documentation build share: everything but [`HELD_BACK`],
    /// as `package/feature` in one comma-separated word.
    pub fn features(&self) -> String {
        self.feature_words(|feature| !HELD_BACK.contains(&feature)).join(",")
    }

    /// The feature set of the mutants build: everything.
    pub fn features_with_mutants(&self) -> String {
        self.feature_words(|_| true).join(",")
    }

    /// The targets of kind `kind` of all members, each with its package.
    pub fn targets<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = (&'a Package, &'a Target)> {
        let all =
            self.members().flat_map(|package| package.targets.iter().map(move |target| (package, target)));
        all.filter(move |(_, target)| target.kind.iter().any(|known| known == kind))
    }

    fn feature_words(&self, wanted: impl Fn(&str) -> bool) -> Vec<String> {
        self.members()
            .flat_map(|package| {
                let features =
                    package.features.keys().filter(|feature| *feature != "default" && wanted(feature));
                features.map(|feature| format!("{}/{feature}", package.name)).collect::<Vec<_>>()
            })
            .collect()
    }
}

/// What is built with every feature on every platform, as `name version`. The packages of `cargo metadata` are
/// more: it also lists optional dependencies that no feature switches on.
pub fn built(root: &Path) -> Result<BTreeSet<String>> {
    let output = Command::new(cargo())
        .args(["tree", "--workspace", "--all-features", "--target", "all", "--edges", "normal,build,dev"])
        .args(["--prefix", "none", "--format", "{p}"])
        .current_dir(root)
        .output()
        .context("cannot start cargo tree")?;
    ensure!(output.status.success(), "cargo tree: {}", String::from_utf8_lossy(&output.stderr).trim());
    let text = String::from_utf8(output.stdout)?;
    let packages = text.lines().filter_map(|line| {
        let mut words = line.split(' ');
        Some(format!("{} {}", words.next()?, words.next()?.strip_prefix('v')?))
    });
    Ok(packages.collect())
}

/// The folder that holds the workspace.
pub fn root() -> PathBuf {
    let mut root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    root.pop();
    root
}

/// The cargo that runs us, so that a chosen toolchain stays chosen.
pub fn cargo() -> PathBuf {
    std::env::var_os("CARGO").map_or_else(|| PathBuf::from("cargo"), PathBuf::from)
}
