//! `cargo xtask library`: what a stranger gets who takes the library alone. Every set of its features compiles, its
//! interface names no other crate than the feature says, no build may hold two versions of it, its documentation says which feature brings what, it builds with the
//! oldest compiler it promises and for machines that are not ours, and its package is whole. Builds go to one folder inside the target folder. `cargo xtask test --deep` runs the same steps.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::steps::Steps;
use crate::workspace::{Metadata, Package, cargo, root};

mod oldest;
mod package;
mod pages;
mod sets;
mod surface;
mod twice;

const PACKAGE: &str = "haversack";

/// Runs the steps as a command of their own.
pub fn run() -> Result<()> {
    let metadata = Metadata::read(&root())?;
    let mut steps = Steps::default();
    check(&mut steps, &metadata)?;
    steps.finish("library");
    Ok(())
}

/// Runs the steps, stopping at the first red one.
pub fn check(steps: &mut Steps, metadata: &Metadata) -> Result<()> {
    let library = Library::find(metadata)?;
    package::check(steps, &library)?;
    twice::check(steps, &library)?;
    surface::check(steps, &library)?;
    pages::check(steps, &library)?;
    oldest::check(steps, &library)?;
    sets::check(steps, &library)
}

/// The library as cargo knows it.
struct Library<'a> {
    package: &'a Package,
    folder: PathBuf,
}

impl<'a> Library<'a> {
    fn find(metadata: &'a Metadata) -> Result<Library<'a>> {
        let package = metadata.members().find(|package| package.name == PACKAGE);
        let package = package.with_context(|| format!("the workspace has no package `{PACKAGE}`"))?;
        Ok(Library { package, folder: metadata.target_directory.join("library") })
    }

    /// The names of its features, without `default`.
    fn features(&self) -> Vec<&'a str> {
        self.package.features.keys().map(String::as_str).filter(|feature| *feature != "default").collect()
    }

    /// One cargo command over the library alone with exactly these features. Everything here is built in one way, so
    /// that a dependency is built once: warnings are errors, and the compiler tells rustdoc's JSON, which is not stable.
    fn cargo(&self, command: &str, features: &[&str]) -> Command {
        self.cargo_of(command, &["--lib"], features)
    }

    /// The same over one of its other targets.
    fn cargo_of(&self, command: &str, target: &[&str], features: &[&str]) -> Command {
        let mut cargo = Command::new(cargo());
        cargo
            .current_dir(root())
            .args([command, "--quiet", "--package", PACKAGE, "--no-default-features"])
            .args(target)
            .args(["--features", &features.join(",")])
            .arg("--target-dir")
            .arg(&self.folder)
            .env("RUSTFLAGS", "-D warnings")
            .env("RUSTC_BOOTSTRAP", "1");
        cargo
    }
}
