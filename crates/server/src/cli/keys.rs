//! The command `keys`.

use std::process::ExitCode;

use super::output::Output;

/// Arguments of `keys`.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs `keys`.
///
/// # Errors
/// Not written yet.
pub fn run(_args: Args, _out: &Output) -> anyhow::Result<ExitCode> {
    anyhow::bail!("keys is not written yet")
}
