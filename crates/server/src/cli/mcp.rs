//! The command `mcp stdio`: offers the tools of the agents to one MCP client over standard input and output. It works in
//! process, as the tenant and principal that it is started with. Nothing but the protocol is written to standard output; the
//! log goes to standard error.

use std::process::ExitCode;

use anyhow::Context as _;
use haversack_mcp::SessionName;

use super::config::Source;
use super::in_process::{InProcess, Log, Who};
use super::output::Output;
use super::signals::Signals;
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
    /// Speak MCP over standard input and output, in process
    ///
    /// It holds the data folder, so it runs beside no server and no second client.
    Stdio(Stdio),
}

#[derive(Debug, clap::Args)]
struct Stdio {
    /// Name of the session that the tools work in; without it each connection has one of its own
    #[arg(long, value_name = "NAME")]
    session: Option<String>,
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
    let mut signals = Signals::install().context("cannot listen for signals")?;
    let here = InProcess::open(&args.source, &args.who, "mcp", Log::Configured).await?;
    let server = here.engine().mcp().alone()?;
    let door = here.door();
    let session = args.session.map(SessionName::chosen);
    // Each message has a trace of its own; without random bits it has none.
    let mut served = std::pin::pin!(server.serve_stdio(session, move || door(trace::mint().ok())));
    let ended = tokio::select! {
        ended = &mut served => ended,
        () = signals.next() => {
            // Calls that run are cancelled, and with them the processes that they started.
            server.close();
            tokio::select! {
                ended = served => ended,
                () = signals.next() => Ok(()),
            }
        }
    };
    here.close().await?;
    Ok(ended.map_err(Fault::internal)?)
}
