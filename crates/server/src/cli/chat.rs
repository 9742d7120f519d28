//! The command `chat`.

use std::process::ExitCode;

use super::output::Output;

/// Arguments of `chat`.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs `chat`.
///
/// # Errors
/// Not written yet.
pub fn run(_args: Args, _out: &Output) -> anyhow::Result<ExitCode> {
    anyhow::bail!("chat is not written yet")
}
