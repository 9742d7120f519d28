//! The command `explain`.

use std::process::ExitCode;

use super::output::Output;

/// Arguments of `explain`.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs `explain`.
///
/// # Errors
/// Not written yet.
pub fn run(_args: Args, _out: &Output) -> anyhow::Result<ExitCode> {
    anyhow::bail!("explain is not written yet")
}
