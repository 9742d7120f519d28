//! The command `gateway`: why a message belongs to a conversation, what became of answers, who may speak, and a terminal as
//! a platform. Explaining reads the configuration alone; deliveries are asked of a server with a key; pairing is an
//! operator's and leaves audit rows.

mod explain;
mod pair;
mod terminal;

use std::process::ExitCode;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::client::ServerArgs;
use super::output::Output;
use crate::code::Code;
use crate::config::{Account, Config};
use crate::problem::Fault;

/// Arguments of `gateway`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

impl Args {
    /// Returns true if messages are answered in this process.
    pub(super) fn speaks_here(&self) -> bool {
        matches!(self.action, Action::Terminal(_))
    }
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Say to which conversation a message belongs, and why.
    Explain(explain::Args),
    /// List what was to be said to you on other platforms, and what became of it.
    Deliveries {
        /// How many, the newest first.
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=500))]
        limit: u16,
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Answer strangers who ask to be let in.
    Pair(pair::Args),
    /// Talk through an account of the platform `terminal`, in this process.
    Terminal(terminal::Args),
}

/// Runs `gateway`.
///
/// # Errors
/// [`Code::AccountNotFound`]; those of the action.
pub fn run(args: Args, out: &Output) -> anyhow::Result<ExitCode> {
    match args.action {
        Action::Explain(args) => explain::run(args, out)?,
        Action::Deliveries { limit, server } => deliveries(limit, &server, out)?,
        Action::Pair(args) => pair::run(args, out)?,
        Action::Terminal(args) => terminal::run(&args)?,
    }
    Ok(ExitCode::SUCCESS)
}

#[derive(Deserialize)]
struct Page {
    deliveries: Vec<Delivery>,
}

#[derive(Serialize, Deserialize)]
struct Delivery {
    id: String,
    state: String,
    attempts: u32,
    created_at: i64,
    ended_at: Option<i64>,
    reason: Option<String>,
}

fn deliveries(limit: u16, server: &ServerArgs, out: &Output) -> anyhow::Result<()> {
    let client = server.client()?;
    let path = format!("/v1/deliveries?limit={limit}");
    let page: Page = haversack::block_on(&super::runtime()?, client.get(&path)).map_err(Fault::from)?;
    if page.deliveries.is_empty() {
        out.note("nothing was to be said to you on another platform");
        return Ok(());
    }
    let mut rows = Vec::new();
    for delivery in page.deliveries {
        out.value(&delivery);
        let Delivery { id, state, attempts, created_at, ended_at, reason } = delivery;
        let ended = ended_at.map_or_else(|| "-".to_owned(), time);
        let reason = reason.unwrap_or_default();
        rows.push(vec![id, state, attempts.to_string(), time(created_at), ended, reason]);
    }
    out.table(&["ID", "STATE", "ATTEMPTS", "SAID", "ENDED", "WHY"], &rows);
    Ok(())
}

/// The account of this name.
///
/// # Errors
/// [`Code::AccountNotFound`].
fn account<'a>(config: &'a Config, name: &str) -> Result<&'a Account, Fault> {
    let missing =
        || Fault::new(Code::AccountNotFound, "No account of this name is in `[[gateway.accounts]]`.");
    config.gateway.accounts.iter().find(|account| account.name == name).ok_or_else(missing)
}

fn time(millis: i64) -> String {
    Timestamp::from_millisecond(millis)
        .map_or_else(|_| millis.to_string(), |at| at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}
