//! The command `context`.

use std::process::ExitCode;

use super::output::Output;

/// Arguments of `context`.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs `context`.
///
/// # Errors
/// Not written yet.
pub fn run(_args: Args, _out: &Output) -> anyhow::Result<ExitCode> {
    anyhow::bail!("context is not written yet")
}
