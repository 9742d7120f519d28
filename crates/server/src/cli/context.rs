//! The command `context show`: the tree of everything that one arrival caused, each unit of work with the bindings that
//! changed for it, redacted, and where each was bound; with `--all`, every binding it ran under. It asks a running server with a key, so it shows what that key may see
//! and nothing else. Beside it, `context keys`: the ring that seals what travels.

mod keys;
mod tree;

use std::process::ExitCode;

use super::client::{Client, ServerArgs};
use super::output::{Output, plain};
use crate::code::Code;
use crate::http::plain_id;
use crate::problem::Fault;
use crate::telemetry::TraceTree;
pub use tree::{Detail, render};

/// Arguments of `context`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Show everything that was done for one cause, in whatever process, as one tree.
    Show {
        /// The id of a turn, as in the reply, of a job, a run or a delivery, of a request, or of a trace.
        id: String,
        /// Say every binding of every unit, not only what changed against the unit above.
        #[arg(long)]
        all: bool,
        #[command(flatten)]
        server: ServerArgs,
    },
    /// List or rotate the keys that seal contexts on their way into jobs.
    Keys(keys::Args),
}

/// Runs `context`.
///
/// # Errors
/// [`Code::TraceNotFound`] also for what somebody else did; [`Code::ServerUnreachable`].
pub fn run(args: Args, out: &Output) -> anyhow::Result<ExitCode> {
    let (id, detail, server) = match args.action {
        Action::Show { id, all, server } => (id, if all { Detail::All } else { Detail::Changes }, server),
        Action::Keys(args) => return Ok(keys::run(&args, out).map(|()| ExitCode::SUCCESS)?),
    };
    if !plain_id(&id) {
        let detail = "That is not an id; a reply names its turn as `turn_` and 32 hexadecimal digits.";
        return Err(Fault::new(Code::TraceNotFound, detail).into());
    }
    let client = server.client()?;
    let tree = haversack::block_on(&super::runtime()?, fetch(&client, &id))?;
    out.value(&tree);
    out.line(plain(render(&tree, detail).trim_end()).as_ref());
    Ok(ExitCode::SUCCESS)
}

async fn fetch(client: &Client, id: &str) -> Result<TraceTree, Fault> {
    Ok(client.get(&format!("/v1/context/{id}")).await?)
}
