//! The command `mcp stdio`: offers the tools of the agents to one MCP client over standard input and output, in process,
//! as the tenant and principal that it is started with. Nothing but the protocol is written to standard output; the log
//! goes to standard error.

use std::process::ExitCode;

use super::config::Source;
use super::in_process::{InProcess, Log, Who};
use super::output::Output;
use crate::problem::Fault;
use crate::telemetry::trace;

/// Arguments of `mcp`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Speak MCP over standard input and output; no server may hold the data folder.
    Stdio(Stdio),
}

#[derive(Debug, clap::Args)]
struct Stdio {
    #[command(flatten)]
    who: Who,
    #[command(flatten)]
    source: Source,
}

/// Runs `mcp`.
///
/// # Errors
/// The faults of [`crate::engine::Engine::open`]; that the client does not speak the protocol.
pub fn run(args: Args, _: &Output) -> anyhow::Result<ExitCode> {
    let Action::Stdio(args) = args.action;
    let runtime = super::runtime()?;
    let served = haversack::block_on(&runtime, serve(args));
    // A read of standard input that nobody waits for any more must not keep the process.
    runtime.shutdown_background();
    served.map(|()| ExitCode::SUCCESS)
}

async fn serve(args: Stdio) -> anyhow::Result<()> {
    let here = InProcess::open(&args.source, &args.who, "mcp", Log::Configured).await?;
    let server = here.engine().mcp().alone()?;
    let door = here.door();
    // Each message has a trace of its own; without random bits it has none.
    let served = server.serve_stdio(move || door(trace::mint().ok())).await;
    here.close().await?;
    Ok(served.map_err(Fault::internal)?)
}
