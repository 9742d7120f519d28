//! The spawn audit of `cargo xtask test --deep`: tests in which tokio tells of every task that is spawned, also inside
//! dependencies. That takes a build of the tree with `--cfg tokio_unstable`, in a folder of its own inside the target
//! folder; the first one is about five minutes of one core, later ones build our own crates alone. The tests that
//! demand a planted bare spawn are part of it.

use std::process::Command;

use anyhow::Result;

use crate::steps::Steps;
use crate::workspace::{cargo, root};

/// The packages that have such tests, each in a target of this name.
const PACKAGES: &[&str] = &["haversack", "haversack-server"];
const TARGET: &str = "audit";

/// Runs them.
pub fn run(steps: &mut Steps) -> Result<()> {
    let mut command = Command::new(cargo());
    command.current_dir(root()).args(["test", "--target-dir", "target/deep/audit", "--test", TARGET]);
    for package in PACKAGES {
        command.args(["--package", package]);
    }
    // Only what the tests name, and not every feature of the workspace: this build is for nothing else.
    command.args(["--features", "haversack/audit"]);
    command.env("RUSTFLAGS", "--cfg tokio_unstable").env("CARGO_INCREMENTAL", "0");
    steps.run("spawn audit", &mut command)
}
