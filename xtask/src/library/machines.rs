//! Machines that are not ours: 32 bits, and the web. Only the core is built, for the features bring other people's
//! demands. A target whose standard library is not installed is not checked, and that is said.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::Library;
use crate::steps::Steps;

const TARGETS: &[&str] = &["wasm32-unknown-unknown", "i686-unknown-linux-gnu"];

pub fn check(steps: &mut Steps, library: &Library) -> Result<()> {
    for target in TARGETS {
        if !is_installed(target)? {
            println!(
                "\n== {target}: NOT CHECKED, it is not installed; `rustup target add {target}` brings it"
            );
            continue;
        }
        // Built and not only checked: what a constant asserts about sizes is evaluated by code generation.
        steps.run(target, library.cargo("build", &[]).args(["--target", target]))?;
    }
    Ok(())
}

/// Whether the toolchain has the target's standard library.
fn is_installed(target: &str) -> Result<bool> {
    let output = Command::new("rustc")
        .args(["--print", "target-libdir", "--target", target])
        .output()
        .context("cannot start rustc")?;
    ensure!(output.status.success(), "rustc: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(Path::new(String::from_utf8(output.stdout)?.trim()).is_dir())
}
