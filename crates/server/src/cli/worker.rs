//! The command `worker`: works on background jobs until a signal, beside a server or before there is one. It shares the
//! data folder and the key file, restores each job's context from what was sealed with it, and speaks to nobody but the
//! store.

use std::process::ExitCode;

use anyhow::Context;
use serde::Serialize;

use super::config::Source;
use super::output::Output;
use super::signals::Signals;
use crate::config::Config;
use crate::engine::{Engine, Role};
use crate::problem::Fault;
use crate::telemetry::Telemetry;
use crate::work::Working;

/// Arguments of `worker`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    source: Source,
    /// Jobs at a time; overrides `[jobs] concurrency`.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
    concurrency: Option<u16>,
}

#[derive(Serialize)]
struct Started<'a> {
    data: &'a std::path::Path,
    concurrency: usize,
}

/// Runs `worker`.
///
/// # Errors
/// The faults of [`Engine::open`]; after the start, those of closing the store.
pub fn run(args: Args, out: &Output) -> anyhow::Result<ExitCode> {
    let mut config = args.source.load()?.config;
    if let Some(concurrency) = args.concurrency {
        config.jobs.concurrency = concurrency.into();
    }
    config.check()?;
    let telemetry = Telemetry::install(&config.telemetry).map_err(super::telemetry_refused)?;
    crate::panics::install();
    crate::descriptors::raise();
    let runtime = super::runtime()?;
    let worked = haversack::block_on(&runtime, work(config, telemetry.clone(), out));
    runtime.shutdown_background();
    telemetry.flush();
    worked.map(|()| ExitCode::SUCCESS)
}

async fn work(config: Config, telemetry: Telemetry, out: &Output) -> anyhow::Result<()> {
    let mut signals = Signals::install().context("cannot listen for signals")?;
    let concurrency = config.jobs.concurrency;
    let opening = haversack::spawn_blocking(move || Engine::open(&config, telemetry, None, Role::Worker));
    let engine = opening.await.map_err(Fault::internal)??;
    let worker = Working::start(engine.work());
    let data = engine.store().path();
    out.value(&Started { data, concurrency });
    out.line(&format!("haversack {} works on the jobs of {}", env!("CARGO_PKG_VERSION"), data.display()));
    signals.next().await;
    out.note("Stopping: running jobs may finish. A second signal stops at once.");
    tokio::select! {
        closed = async { worker.stop().await; engine.close(std::time::Duration::ZERO).await } => closed?,
        () = signals.next() => out.note("Stopped at once; other workers take over when the leases end."),
    }
    Ok(())
}
