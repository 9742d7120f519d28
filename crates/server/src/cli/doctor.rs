//! The command `doctor`.

use std::process::ExitCode;

use super::output::Output;

/// Arguments of `doctor`.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs `doctor`.
///
/// # Errors
/// Not written yet.
pub fn run(_args: Args, _out: &Output) -> anyhow::Result<ExitCode> {
    anyhow::bail!("doctor is not written yet")
}
