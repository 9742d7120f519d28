//! The workspace `peers`: other people's libraries beside ours, which are in no tree of the product. Its tests are a step
//! of `cargo xtask test --deep`, in a folder of their own inside the target folder.

use std::process::Command;

use anyhow::Result;

use crate::steps::Steps;
use crate::workspace::{cargo, root};

/// Runs its tests.
pub fn run(steps: &mut Steps) -> Result<()> {
    let mut command = Command::new(cargo());
    command.current_dir(root().join("peers")).args([
        "test",
        "--workspace",
        "--target-dir",
        "../target/deep/peers",
    ]);
    command.env("CARGO_INCREMENTAL", "0");
    steps.run("peers", &mut command)
}
