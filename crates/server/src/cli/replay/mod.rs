//! The command `replay`.

use std::process::ExitCode;

use super::output::Output;

/// Arguments of `replay`.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs `replay`.
///
/// # Errors
/// Not written yet.
pub fn run(_args: Args, _out: &Output) -> anyhow::Result<ExitCode> {
    anyhow::bail!("replay is not written yet")
}
