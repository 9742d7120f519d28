//! The package as a registry would get it: cargo makes it and builds the library from it, it holds what it has to and
//! nothing else, and its README names every feature.

use std::process::Command;

use anyhow::Result;

use super::{Library, PACKAGE};
use crate::steps::Steps;
use crate::workspace::{cargo, root};

/// What a package without would be broken or unlawful.
const NEEDED: &[&str] =
    &["Cargo.toml", "README.md", "LICENSE-APACHE", "LICENSE-MIT", "build.rs", "src/lib.rs", "src/lib.md"];
/// Where everything else lies.
const FOLDERS: &[&str] = &["src/", "tests/", "benches/", "examples/"];
/// What cargo puts in by itself.
const CARGO: &[&str] = &["Cargo.lock", "Cargo.toml.orig", ".cargo_vcs_info.json"];

pub fn check(steps: &mut Steps, library: &Library) -> Result<()> {
    let mut list = package(library);
    list.arg("--list");
    let (captured, started) = steps.capture("package, files", &mut list)?;
    let verdict = if captured.success { holds(&captured.text) } else { Err(captured.text) };
    steps.judge("package, files", started, verdict.and_then(|()| told(library)))?;

    let (captured, started) = steps.capture("package", &mut package(library))?;
    // A warning is about the package that everybody would get.
    let clean = captured.success && !captured.text.contains("warning:");
    steps.judge("package", started, if clean { Ok(()) } else { Err(captured.text) })
}

fn package(library: &Library) -> Command {
    let mut command = Command::new(cargo());
    command.current_dir(root()).args(["package", "--package", PACKAGE, "--allow-dirty", "--target-dir"]);
    command.arg(&library.folder);
    command
}

/// A feature that the library's README does not name is one that nobody finds.
fn told(library: &Library) -> Result<(), String> {
    let path = root().join("crates").join(PACKAGE).join("README.md");
    let readme = std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    match untold(&readme, &library.features()) {
        silent if silent.is_empty() => Ok(()),
        silent => {
            Err(format!("the library's README does not say what it switches on: {}", silent.join(", ")))
        }
    }
}

fn untold<'a>(readme: &str, features: &[&'a str]) -> Vec<&'a str> {
    // The planted faults are nobody's to switch on.
    let public = features.iter().filter(|feature| **feature != "mutants");
    public.filter(|feature| !readme.contains(&format!("`{feature}`"))).copied().collect()
}

fn holds(list: &str) -> Result<(), String> {
    let files: Vec<&str> = list.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let missing = NEEDED.iter().filter(|needed| !files.contains(needed));
    let known = |file: &str| {
        NEEDED.contains(&file)
            || CARGO.contains(&file)
            || FOLDERS.iter().any(|folder| file.starts_with(folder))
    };
    let strange = files.iter().filter(|file| !known(file));
    let findings: Vec<String> = missing
        .map(|file| format!("the package has no {file}"))
        .chain(strange.map(|file| format!("the package holds {file}, which nobody needs")))
        .collect();
    if findings.is_empty() { Ok(()) } else { Err(findings.join("\n")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_feature_that_the_readme_does_not_name_is_red() {
        assert_eq!(untold("| `tokio` | tasks |", &["mutants", "rayon", "tokio"]), ["rayon"]);
    }

    #[test]
    fn a_package_without_a_licence_or_with_strange_files_is_red() {
        let whole = NEEDED.join("\n");
        assert_eq!(holds(&whole), Ok(()));
        assert_eq!(holds(&format!("{whole}\nsrc/var.rs\nCargo.lock")), Ok(()));
        assert!(holds(&whole.replace("LICENSE-MIT\n", "")).is_err());
        assert!(holds(&format!("{whole}\nnotes.txt")).is_err());
    }
}
