//! The command `backup`.

use std::process::ExitCode;

use super::output::Output;

/// Arguments of `backup`.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs `backup`.
///
/// # Errors
/// Not written yet.
pub fn run(_args: Args, _out: &Output) -> anyhow::Result<ExitCode> {
    anyhow::bail!("backup is not written yet")
}
