//! `cargo xtask lint`: formatting, clippy and the documentation build, with warnings as errors. It is a few cargo
//! commands over one feature set. Clippy runs twice: as the product is built, and with the mutants switched on,
//! because neither build contains all of the other's lines.

use std::process::Command;

use anyhow::Result;

use crate::steps::Steps;
use crate::workspace::{Metadata, cargo, root};

/// Runs the checks, stopping at the first red one.
pub fn run() -> Result<()> {
    let metadata = Metadata::read(&root())?;
    let features = metadata.features();
    let mut steps = Steps::default();
    steps.run("fmt", in_root().args(["fmt", "--all", "--check"]))?;
    let peers = ["fmt", "--all", "--check", "--manifest-path", "peers/Cargo.toml"];
    steps.run("fmt, peers", in_root().args(peers))?;
    steps.run("clippy", &mut clippy(&features))?;
    let with_mutants = metadata.features_with_mutants();
    if with_mutants != features {
        steps.run("clippy, mutants", &mut clippy(&with_mutants))?;
    }
    steps.run(
        "doc",
        in_root()
            .args(["doc", "--workspace", "--no-deps", "--features", &features])
            .env("RUSTDOCFLAGS", "-D warnings"),
    )?;
    steps.finish("lint");
    Ok(())
}

fn clippy(features: &str) -> Command {
    let mut command = in_root();
    command.args(["clippy", "--workspace", "--all-targets", "--features", features, "--", "-D", "warnings"]);
    command
}

fn in_root() -> Command {
    let mut command = Command::new(cargo());
    command.current_dir(root());
    command
}
