//! The command `restore`.

use std::process::ExitCode;

use super::output::Output;

/// Arguments of `restore`.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs `restore`.
///
/// # Errors
/// Not written yet.
pub fn run(_args: Args, _out: &Output) -> anyhow::Result<ExitCode> {
    anyhow::bail!("restore is not written yet")
}
