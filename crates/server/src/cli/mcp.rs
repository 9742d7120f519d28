//! The command `mcp stdio`: offers the tools of the agents to one MCP client over standard input and output. It works in
//! process, as the tenant and principal that it is started with; or it carries the messages to a running server, as whoever
//! has the key. Nothing but the protocol is written to standard output; the log goes to standard error.

mod bridge;

use std::process::ExitCode;

use anyhow::Context as _;
use haversack_agent::agent::SecretRef;
use haversack_mcp::SessionName;

use super::config::Source;
use super::in_process::{InProcess, Log, Who};
use super::output::Output;
use super::signals::Signals;
use crate::code::Code;
use crate::config::read_secret;
use crate::problem::Fault;
use crate::telemetry::trace;
use bridge::Bridge;

/// The variable that holds the key to a server.
const KEY: &str = "HAVERSACK_KEY";

/// Arguments of `mcp`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Speak MCP over standard input and output, in process or for a running server
    ///
    /// In process it holds the data folder, so it runs beside no server and no second client. With --server it carries the
    /// messages to a running server, which any number of clients can share.
    Stdio(Stdio),
}

#[derive(Debug, clap::Args)]
struct Stdio {
    /// Name of the session that the tools work in; without it each connection has one of its own
    #[arg(long, value_name = "NAME")]
    session: Option<String>,
    /// Carry the messages to the server at this address; the key comes from HAVERSACK_KEY or --key-file
    #[arg(long, value_name = "URL", conflicts_with_all = ["tenant", "principal", "config", "data"])]
    server: Option<String>,
    /// With --server: the file that holds the API key
    #[arg(long, value_name = "PATH", requires = "server")]
    key_file: Option<String>,
    #[command(flatten)]
    who: Who,
    #[command(flatten)]
    source: Source,
}

/// Runs `mcp`.
///
/// # Errors
/// The faults of [`crate::engine::Engine::open`]; that the client does not speak the protocol; with `--server`, that there is
/// no key or that standard input or output broke.
pub fn run(args: Args, _: &Output) -> anyhow::Result<ExitCode> {
    let Action::Stdio(args) = args.action;
    let runtime = super::runtime()?;
    let served = haversack::block_on(&runtime, async {
        match &args.server {
            Some(server) => carry(server, &args).await,
            None => serve(args).await,
        }
    });
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

async fn carry(server: &str, args: &Stdio) -> anyhow::Result<()> {
    let mut signals = Signals::install().context("cannot listen for signals")?;
    let reference = match &args.key_file {
        Some(path) => SecretRef::File(path.clone()),
        None => SecretRef::Env(KEY.to_owned()),
    };
    let key = read_secret(&reference).map_err(|why| {
        let detail = format!("There is no API key: set {KEY}, or give --key-file. {reference}: {why}.");
        Fault::new(Code::KeyMissing, detail)
    })?;
    let session = match &args.session {
        Some(name) => name.clone(),
        None => format!("stdio-{:016x}", getrandom::u64()?),
    };
    let bridge = Bridge::new(server, key.expose(), &session)?;
    let carried = tokio::select! {
        carried = bridge.carry(tokio::io::stdin(), tokio::io::stdout()) => carried,
        () = signals.next() => Ok(()),
    };
    bridge.end().await;
    Ok(carried?)
}
