//! The leak check: a temporary installation with many tenants, in which canaries are told to the product on every way
//! into it, and searched wherever one of another tenant could come out. A [`Hop`] is such a way, a [`Place`] is where
//! is searched, and the [`Report`] counts both. The command of the same name runs it; the tests run the command.
//!
//! The product runs as it does for an operator, in processes of its own, and is spoken to as by customers. Only after
//! it has stopped are the files opened here, to search them as bytes and to use handles as code inside the server could.

mod canary;
pub mod report;
mod search;
mod stage;
mod talk;
mod world;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context;
use indicatif::ProgressBar;

pub use canary::Kind;
pub use report::{Place, Report};
pub use talk::Hop;

use stage::Stage;
use world::World;

/// The most tenants of one run.
pub const MOST_TENANTS: usize = 500;

/// The most sessions of one tenant in one run. Their trees fit into the ring, which is bounded by tenant.
pub const MOST_SESSIONS: usize = 50;

/// What to check, and with how many.
#[derive(Debug, Clone)]
pub struct Options {
    /// The program that is started as the product.
    pub program: PathBuf,
    /// Tenants, from 2 to [`MOST_TENANTS`].
    pub tenants: usize,
    /// Sessions of each tenant, from 1 to [`MOST_SESSIONS`].
    pub sessions: usize,
    /// The ways in to try.
    pub hops: Vec<Hop>,
    /// Keep the installation, with its data and logs, when the check has ended.
    pub keep: bool,
    /// After this the check is given up.
    pub limit: Duration,
    /// Shown while it runs; advances with each request.
    pub bar: ProgressBar,
}

/// Builds the installation, drives every hop, searches every place, and takes the installation down.
///
/// # Errors
/// When the installation cannot be made, a process of it ends before its time, or the time limit is over. What
/// crossed is in the report and no error.
///
/// # Cancellation
/// Dropping the future kills the processes and removes the installation, also where it was to be kept.
pub async fn run(options: Options) -> anyhow::Result<Report> {
    let limit = options.limit;
    let late = || format!("the leak check did not end within {} s; try fewer tenants", limit.as_secs());
    tokio::time::timeout(limit, check(options)).await.with_context(late)?
}

async fn check(options: Options) -> anyhow::Result<Report> {
    let began = Instant::now();
    let world = World::fresh(options.tenants, options.sessions)?;
    let mut report = Report::new(&world);
    let work: usize = options.hops.iter().map(|hop| hop.requests(&world)).sum();
    options.bar.set_length(u64::try_from(work)?);
    let mut stage = Stage::set(&world, &options).await?;
    for hop in &options.hops {
        report.begin(*hop);
        let logs = search::logs::Mark::now(stage.site())?;
        hop.drive(&world, &mut stage, &mut report).await?;
        // Once while it runs, with what a write-ahead log or a temporary file holds only now; once when all is settled.
        search::files::look(stage.site(), &world, &[], &mut report)?;
        search::metrics::look(&stage.kim(0).get("/metrics").await?, &world, &mut report);
        report.left(Place::Logs, logs.lines_since(stage.site())?);
    }
    report.end();
    let (site, turns) = stage.strike(&mut report).await?;
    for hop in &options.hops {
        report.settle(*hop);
        hop.settle(&world, &site.data(), &mut report).await?;
    }
    report.end();
    let planted: Vec<Kind> = options.hops.iter().flat_map(|hop| hop.plants()).copied().collect();
    search::files::look(&site, &world, &planted, &mut report)?;
    if planted.contains(&Kind::Fact) {
        search::index::look(&world, &site.data(), &mut report).await?;
    }
    search::logs::look(&site, &world, &turns, &options.hops, &mut report)?;
    report.close(&options.hops, began.elapsed());
    if options.keep {
        report.kept = Some(site.keep());
    }
    Ok(report)
}
