//! The command line: one enum with every command, one module per command. Each module has an `Args` and a
//! `run(args, &Output) -> anyhow::Result<ExitCode>`; only [`output`] prints. `main` parses, runs, and turns
//! an error into one line with its code and an exit code: 0 done, 1 the thing asked for failed, 2 usage or
//! configuration, 3 could not start or connect.

pub mod backup;
pub mod chat;
pub mod client;
pub mod config;
pub mod context;
pub mod doctor;
pub mod explain;
pub mod gateway;
pub mod in_process;
pub mod init;
pub mod jobs;
pub mod keys;
pub mod leakcheck;
pub mod mcp;
pub mod output;
pub mod pipeline;
pub mod replay;
pub mod restore;
pub mod serve;
mod signals;
mod sse;
pub mod worker;

use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, Subcommand};

use crate::code::Code;
use crate::problem::Fault;
use output::Output;

/// Agents for many tenants: context that goes where the work goes.
#[derive(Debug, Parser)]
#[command(name = "haversack", version, about, max_term_width = 110)]
pub struct Cli {
    /// Machine-readable output: one JSON value a line.
    #[arg(long, global = true)]
    pub json: bool,
    /// Break one fence on purpose, for the test that shows that the leak check sees it.
    #[cfg(feature = "mutants")]
    #[arg(long, global = true, hide = true, value_name = "NAME", value_parser = mutant)]
    pub mutant: Option<haversack::mutants::Mutant>,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Every command of the binary.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start the HTTP server.
    Serve(serve::Args),
    /// Work on background jobs, beside a server or before there is one.
    ///
    /// A worker shares the configuration, the data folder and the key file with the server and needs no network. Start as
    /// many as the machine has room for; set `embedded_worker = false` under `[jobs]` when `serve` should leave the work
    /// to them. On SIGTERM or Ctrl-C it takes no more jobs, lets running ones finish within `[server] grace_s` and gives
    /// the rest back. The jobs of a worker that is killed go to another after `[jobs] lease_s`.
    Worker(worker::Args),
    /// Talk to an agent, in process or on a server.
    Chat(chat::Args),
    /// Check, run, follow and retry pipelines, in process or on a server.
    Pipeline(pipeline::Args),
    /// Offer the tools of the agents to an MCP client.
    Mcp(mcp::Args),
    /// Play recorded conversations against a server and check their expectations.
    Replay(replay::Args),
    /// Write a commented configuration file.
    Init(init::Args),
    /// Issue, list, revoke and rotate API keys.
    Keys(keys::Args),
    /// Check the configuration, or print its JSON schema.
    Config(config::Args),
    /// Post, list, follow, call off and redrive background jobs of a running server.
    Jobs(jobs::Args),
    /// Show the tree of a turn and the context of its work; list and rotate the keys that seal contexts.
    Context(context::Args),
    /// Copy the whole data folder while the server runs.
    Backup(backup::Args),
    /// Put a backup into an empty data folder.
    Restore(restore::Args),
    /// Look for what is wrong with the configuration, the data folder and the machine.
    Doctor(doctor::Args),
    /// Let many tenants use an installation of its own, and search for anything that crosses between them.
    Leakcheck(leakcheck::Args),
    /// Explain, list and answer messages of other platforms, or talk as one.
    Gateway(gateway::Args),
    /// Explain an error code.
    Explain(explain::Args),
}

/// Exit code 1: the thing asked for was done and its answer is no (expectations, findings).
pub const EXIT_FAILED: u8 = 1;
/// Exit code 2: wrong usage or configuration.
pub const EXIT_USAGE: u8 = 2;
/// Exit code 3: could not start or connect.
pub const EXIT_START: u8 = 3;

/// Parses the arguments of the process and runs the command.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let out = Output::new(cli.json);
    #[cfg(feature = "mutants")]
    cli.mutant.into_iter().for_each(haversack::mutants::enable);
    match harden(&cli.command).and_then(|()| run(cli.command, &out)) {
        Ok(code) => code,
        Err(error) => {
            out.error(&error);
            exit_code(&error)
        }
    }
}

/// Keeps the secrets of a command that starts children or serves others from whoever can look at its process.
fn harden(command: &Command) -> anyhow::Result<()> {
    haversack_child::harden::keep_descriptors();
    let holds_secrets = match command {
        Command::Serve(_) | Command::Worker(_) | Command::Mcp(_) => true,
        Command::Gateway(args) => args.speaks_here(),
        Command::Chat(args) => args.speaks_here(),
        Command::Pipeline(args) => args.runs_here(),
        _ => false,
    };
    if holds_secrets {
        crate::config::leave_environment().context("cannot leave the environment behind")?;
        haversack_child::harden::no_dumps().context("cannot keep this process's memory from others")?;
    }
    Ok(())
}

fn run(command: Command, out: &Output) -> anyhow::Result<ExitCode> {
    match command {
        Command::Serve(args) => serve::run(args, out),
        Command::Worker(args) => worker::run(args, out),
        Command::Chat(args) => chat::run(args, out),
        Command::Pipeline(args) => pipeline::run(args, out),
        Command::Mcp(args) => mcp::run(args, out),
        Command::Replay(args) => replay::run(args, out),
        Command::Init(args) => init::run(args, out),
        Command::Keys(args) => keys::run(args, out),
        Command::Config(args) => config::run(args, out),
        Command::Jobs(args) => jobs::run(args, out),
        Command::Context(args) => context::run(args, out),
        Command::Backup(args) => backup::run(args, out),
        Command::Restore(args) => restore::run(args, out),
        Command::Doctor(args) => doctor::run(args, out),
        Command::Leakcheck(args) => leakcheck::run(args, out),
        Command::Gateway(args) => gateway::run(args, out),
        Command::Explain(args) => explain::run(args, out),
    }
}

/// The runtime that a command runs its async part on, with [`haversack::block_on`].
///
/// # Errors
/// When the machine gives no threads.
pub fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().enable_all().build()?)
}

#[cfg(feature = "mutants")]
fn mutant(name: &str) -> Result<haversack::mutants::Mutant, String> {
    haversack::mutants::Mutant::named(name).ok_or_else(|| {
        let names = haversack::mutants::Mutant::ALL.map(haversack::mutants::Mutant::name);
        format!("there are {}", names.join(", "))
    })
}

fn telemetry_refused(error: anyhow::Error) -> anyhow::Error {
    let detail = format!("[telemetry] {error:#}");
    Fault::new(Code::ConfigInvalid, detail).into()
}

fn exit_code(error: &anyhow::Error) -> ExitCode {
    let code = error.chain().find_map(|cause| cause.downcast_ref::<Fault>()).map(Fault::code);
    ExitCode::from(code.map_or(EXIT_FAILED, Code::exit))
}
