//! The command `init`.

use std::process::ExitCode;

use super::output::Output;

/// Arguments of `init`.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs `init`.
///
/// # Errors
/// Not written yet.
pub fn run(_args: Args, _out: &Output) -> anyhow::Result<ExitCode> {
    anyhow::bail!("init is not written yet")
}
