//! The command `replay`: plays recorded conversations against a real server over HTTP and checks what it answers. The
//! facts in them are fresh at each replay, so nothing can be learnt by heart. `run_replay` is the same for the command
//! and for tests; without a server of its own choosing it starts one on loopback in a temporary folder.

mod drive;
pub mod file;
pub mod plan;
pub mod report;
pub mod slots;
pub mod template;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use haversack_store::ControlDb;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::client::Client;
use super::output::{Output, plain};
use crate::Server;
use crate::auth::KeyRole;
use crate::auth::admin::{self, Grant};
use crate::code::Code;
use crate::config::{Config, LogFormat};
use crate::problem::Fault;
use crate::server::Options as ServerOptions;
use crate::telemetry::Telemetry;
pub use drive::Keys;
use plan::Plan;
pub use report::Report;

/// Arguments of `replay`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A replay file, or a folder with files and their knowledge, such as examples/tickets.
    path: PathBuf,
    /// Conversations at a time.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=4096))]
    concurrency: u16,
    /// Number that the fresh values are made from; random when absent. The report names it.
    #[arg(long)]
    seed: Option<u64>,
    /// Play against a running server instead of one that is started for the replay.
    #[arg(long, value_name = "URL", requires = "keys")]
    server: Option<String>,
    /// Keys for the server, TOML: a table a tenant, in it `principal = "hv_.."`.
    #[arg(long, value_name = "FILE", requires = "server")]
    keys: Option<PathBuf>,
    /// Folder that the running server reads knowledge from; the filled pages are written there.
    #[arg(long, value_name = "DIR", requires = "server")]
    knowledge: Option<PathBuf>,
    /// Configuration of the server that is started; its data folder and address are not used.
    #[arg(long, value_name = "FILE", conflicts_with = "server")]
    config: Option<PathBuf>,
}

/// How to replay.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// A file, or a folder of files.
    pub path: PathBuf,
    /// Conversations at a time; at least one.
    pub concurrency: usize,
    /// What the values are made from; random when absent.
    pub seed: Option<u64>,
    /// The server to talk to; absent: one is started.
    pub target: Option<Target>,
    /// Configuration for the server that is started. Address, data folder, knowledge folder, limits of a tenant and log
    /// are the replay's own.
    pub config: Config,
    /// Shown while it runs.
    pub bar: Option<ProgressBar>,
}

/// A running server.
#[derive(Debug, Clone)]
pub struct Target {
    /// Its address, `http://host:port`.
    pub url: String,
    /// A key for each speaker.
    pub keys: Keys,
    /// The folder it reads knowledge from, when the replay can write there.
    pub knowledge: Option<PathBuf>,
}

/// Runs `replay`.
///
/// # Errors
/// [`Code::ReplayInvalid`] for a file that cannot be used, [`Code::ServerUnreachable`] when nobody answers.
pub fn run(args: Args, out: &Output) -> anyhow::Result<ExitCode> {
    let target = match (&args.server, &args.keys) {
        (Some(url), Some(keys)) => {
            Some(Target { url: url.clone(), keys: read_keys(keys)?, knowledge: args.knowledge.clone() })
        }
        _ => None,
    };
    let config = match &args.config {
        Some(file) => Config::load(Some(file)).map_err(Fault::from)?.config,
        None => Config::default(),
    };
    let seed = args.seed.map_or_else(random, Ok)?;
    // Said before anything can go wrong: with it the same values can be had again.
    out.note(&format!("seed {seed}"));
    let bar = progress(out);
    let options = Options {
        path: args.path,
        concurrency: args.concurrency.into(),
        seed: Some(seed),
        target,
        config,
        bar: Some(bar.clone()),
    };
    let report = haversack::block_on(&super::runtime()?, run_replay(options));
    bar.finish_and_clear();
    let report = report?;
    print(&report, out);
    if report.is_met() {
        return Ok(ExitCode::SUCCESS);
    }
    out.note(&format!("{}: {}", Code::ExpectationsNotMet, Code::ExpectationsNotMet.title()));
    Ok(ExitCode::from(super::EXIT_FAILED))
}

/// Loads, fills, plays and reports. Nothing is printed.
///
/// # Errors
/// [`Code::ReplayInvalid`] for a file that cannot be used, [`Code::ServerUnreachable`] when nobody answers, and whatever
/// keeps an own server from starting. Turns that go wrong are in the report and no error.
///
/// # Cancellation
/// Dropping the future leaves a server of its own running until its task ends with the runtime; the temporary folder is
/// removed.
pub async fn run_replay(options: Options) -> anyhow::Result<Report> {
    let path = options.path.clone();
    let files = haversack::spawn_blocking(move || file::load(&path)).await?;
    let files = files.map_err(|invalid| Fault::new(Code::ReplayInvalid, invalid.to_string()))?;
    let seed = options.seed.map_or_else(random, Ok)?;
    let run = format!("r{:08x}", random()? >> 32);
    let plan = Plan::new(&files, seed, &run);
    let bar = options.bar.unwrap_or_else(ProgressBar::hidden);
    bar.set_length(u64::try_from(plan.turns())?);
    match options.target {
        Some(target) => {
            if let Some(folder) = &target.knowledge {
                write_knowledge(&plan, folder).await?;
            }
            let client = Client::new(&target.url, "")?;
            client.alive().await.map_err(Fault::from)?;
            drive::drive(plan, &client, &target.keys, &run, options.concurrency, &bar).await
        }
        None => {
            let own = Own::start(options.config, &plan).await?;
            let client = Client::new(&own.url, "")?;
            let report = drive::drive(plan, &client, &own.keys, &run, options.concurrency, &bar).await;
            own.stop().await?;
            report
        }
    }
}

/// A server that was started for one replay, and the folder it lives in.
struct Own {
    server: Server,
    url: String,
    keys: Keys,
    // Removed when dropped, after the server has stopped.
    folder: tempfile::TempDir,
}

impl Own {
    async fn start(mut config: Config, plan: &Plan) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("haversack-replay-")
            .tempdir()
            .context("no temporary folder can be made for the replay's server")?;
        let knowledge = folder.path().join("knowledge");
        write_knowledge(plan, &knowledge).await?;
        config.server.bind = ([127, 0, 0, 1], 0).into();
        config.server.demo_keys = Some(false);
        config.store.path = folder.path().join("data");
        config.agent.tools.knowledge = Some(knowledge);
        // The limits that protect tenants from each other would only measure the replay's own concurrency.
        config.limits.requests_per_second = 1_000_000;
        config.limits.burst = 1_000_000;
        config.limits.concurrent_turns = 100_000;
        config.limits.event_streams = 100_000;
        config.telemetry.log = LogFormat::Off;
        let telemetry = Telemetry::install(&config.telemetry)?;
        let server = Server::start_with(config, ServerOptions { telemetry, model: None }).await?;
        let url = server.url();
        let keys = issue(server.engine().store().control(), plan).await?;
        Ok(Self { server, url, keys, folder })
    }

    async fn stop(self) -> anyhow::Result<()> {
        let telemetry = self.server.engine().telemetry().clone();
        self.server.shutdown().await?;
        haversack::spawn_blocking(move || telemetry.flush()).await?;
        self.folder.close().context("the temporary folder of the replay could not be removed")
    }
}

/// Issues a key for every speaker.
async fn issue(control: &ControlDb, plan: &Plan) -> anyhow::Result<Keys> {
    let mut keys = Keys::new();
    for tenant in &plan.tenants {
        for principal in &tenant.principals {
            let grant = Grant {
                tenant: tenant.name.clone(),
                principal: principal.clone(),
                label: "replay".to_owned(),
                expires_at: None,
                role: KeyRole::Member,
            };
            let issued = admin::issue(control, grant, "replay").await?;
            keys.insert((tenant.name.clone(), principal.clone()), issued.key.reveal());
        }
    }
    Ok(keys)
}

async fn write_knowledge(plan: &Plan, folder: &Path) -> anyhow::Result<()> {
    let (plan, folder) = (plan.clone(), folder.to_owned());
    haversack::spawn_blocking(move || {
        plan.write_knowledge(&folder)
            .with_context(|| format!("the knowledge of the replay cannot be written to {}", folder.display()))
    })
    .await?
}

fn read_keys(path: &Path) -> Result<Keys, Fault> {
    type Table = std::collections::BTreeMap<String, std::collections::BTreeMap<String, String>>;
    let bad = |what: String| Fault::new(Code::ReplayInvalid, format!("{}: {what}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| bad(format!("cannot be read: {error}")))?;
    // The parser's own message would quote the line, and the line holds a key.
    let table: Table = toml::from_str(&text)
        .map_err(|_| bad("is not a table a tenant with `principal = \"hv_..\"` in it".to_owned()))?;
    let of = |(tenant, keys): (String, std::collections::BTreeMap<String, String>)| {
        keys.into_iter().map(move |(principal, key)| ((tenant.clone(), principal), key))
    };
    Ok(table.into_iter().flat_map(of).collect())
}

fn random() -> anyhow::Result<u64> {
    Ok(getrandom::u64()?)
}

fn progress(out: &Output) -> ProgressBar {
    let target = if out.is_json() { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
    let bar = ProgressBar::with_draw_target(Some(0), target);
    let style =
        ProgressStyle::with_template("{elapsed_precise} {bar:40} {pos}/{len} turns {per_sec} eta {eta}");
    // The template is a constant; were it wrong, the bar would only look plainer.
    style.map_or(bar.clone(), |style| bar.with_style(style))
}

fn print(report: &Report, out: &Output) {
    out.value(report);
    for failure in &report.failures {
        let report::Failure { file, line, tenant, conversation, turn, wrong, .. } = failure;
        out.line(&format!("{} {}:{line}", out.bad("failed"), file.display()));
        out.line(&format!("  {tenant} / {conversation} turn {turn}: {}", plain(&wrong.to_string())));
        if !failure.reply.is_empty() {
            out.line(&format!("  reply: {}", plain(&failure.reply).replace('\n', "\n         ")));
        }
    }
    let Report { met, expectations, answered, turns, conversations, crossings, .. } = report;
    let mark = if report.is_met() { out.good("met") } else { out.bad("NOT met") };
    let latency = report.latency_ms;
    out.line(&format!("expectations  {met}/{expectations} {mark}"));
    out.line(&format!("turns         {answered}/{turns} answered in {conversations} conversations"));
    out.line(&format!("crossings     {crossings}"));
    out.line(&format!(
        "latency       p50 {:.1} ms, p90 {:.1} ms, p99 {:.1} ms, max {:.1} ms",
        latency.p50, latency.p90, latency.p99, latency.max
    ));
    out.line(&format!("rate          {:.0} turns/s over {:.2} s", report.turns_per_second, report.seconds));
    if report.retries > 0 {
        out.line(&format!("retries       {} (the server was busy)", report.retries));
    }
    out.line(&format!("seed          {}", report.seed));
}
