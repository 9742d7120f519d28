//! The command `serve`: starts the server and runs it until a signal. Without any configuration it is a
//! complete demo on loopback: two tenants, their keys, and a line to try. It prints where it listens and
//! nothing else; what happens is in the log.

use std::net::SocketAddr;
use std::process::ExitCode;

use anyhow::Context;
use serde::Serialize;

use super::config::Source;
use super::output::Output;
use super::signals::Signals;
use crate::auth::admin::{self, Issued};
use crate::config::Config;
use crate::server::{Options, Server};
use crate::telemetry::Telemetry;

/// The demo tenants, each with one principal. Examples and the README use the same names.
const DEMO: &[(&str, &str)] = &[("northwind", "kim"), ("contoso", "sam")];

/// Arguments of `serve`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    source: Source,
    /// Address and port; overrides `[server] bind`. Port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS")]
    bind: Option<SocketAddr>,
}

#[derive(Serialize)]
struct Started<'a> {
    url: &'a str,
    /// Where the metrics are, if they have a listener of their own.
    #[serde(skip_serializing_if = "Option::is_none")]
    metrics: Option<String>,
    data: &'a std::path::Path,
    demo_keys: Vec<DemoKey>,
}

#[derive(Serialize)]
struct DemoKey {
    tenant: String,
    principal: String,
    key: String,
}

/// Runs `serve`.
///
/// # Errors
/// The faults of [`Server::start_with`]; after the start, those of closing the store.
pub fn run(args: Args, out: &Output) -> anyhow::Result<ExitCode> {
    let loaded = args.source.load()?;
    let mut config = loaded.config;
    if let Some(bind) = args.bind {
        config.server.bind = bind;
    }
    let demo = config.server.demo_keys.unwrap_or(loaded.file.is_none());
    config.server.demo_keys = Some(demo);
    config.check()?;
    let telemetry = Telemetry::install(&config.telemetry).map_err(super::telemetry_refused)?;
    crate::panics::install();
    crate::descriptors::raise();
    let runtime = super::runtime()?;
    let served = haversack::block_on(&runtime, serve(config, demo, telemetry.clone(), out));
    // Work on the blocking pool is done by now; what is not must not keep the process.
    runtime.shutdown_background();
    telemetry.flush();
    served.map(|()| ExitCode::SUCCESS)
}

async fn serve(config: Config, demo: bool, telemetry: Telemetry, out: &Output) -> anyhow::Result<()> {
    // The handlers first: a signal that comes during the start must not be lost.
    let mut signals = Signals::install().context("cannot listen for signals")?;
    let server = Server::start_with(config, Options { telemetry, model: None }).await?;
    let keys =
        if demo { admin::renew_demo(server.engine().store().control(), DEMO).await? } else { Vec::new() };
    announce(&server, &keys, out);
    signals.next().await;
    out.note("Stopping: running turns may finish. A second signal stops at once.");
    tokio::select! {
        stopped = server.shutdown() => stopped?,
        () = signals.next() => out.note("Stopped at once; turns that ran are marked interrupted at the next start."),
    }
    Ok(())
}

fn announce(server: &Server, keys: &[Issued], out: &Output) {
    let url = server.url();
    let demo_keys = keys.iter().map(|issued| DemoKey {
        tenant: issued.row.tenant.as_str().to_owned(),
        principal: issued.row.principal.as_str().to_owned(),
        key: issued.key.reveal(),
    });
    let data = server.engine().store().path();
    let metrics = server.metrics_addr().map(|address| format!("http://{address}/metrics"));
    let started = Started { url: &url, metrics, data, demo_keys: demo_keys.collect() };
    out.value(&started);
    out.line(&format!("haversack {} listens on {url}", env!("CARGO_PKG_VERSION")));
    if let Some(metrics) = &started.metrics {
        out.line(&format!("metrics: {metrics}"));
    }
    out.line(&format!("data folder: {}", data.display()));
    let Some(first) = started.demo_keys.first() else {
        return out.line("Issue a key with: haversack keys issue --help");
    };
    out.line("");
    out.line("Demo tenants. Their keys are valid until the next start:");
    for demo in &started.demo_keys {
        out.line(&format!("  {:<10} {:<4} {}", demo.tenant, demo.principal, demo.key));
    }
    out.line("");
    out.line("Try:");
    out.line(&format!("  curl -s {url}/v1/sessions/first/turns -H 'Authorization: Bearer {}' \\", first.key));
    out.line("    -H 'Content-Type: application/json' -d '{\"message\": \"Remember that our account manager is Robin Vega.\"}'");
}
