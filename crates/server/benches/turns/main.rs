//! Turns through the whole product: real HTTP, real files, the offline model.
//!
//! `cargo xtask bench turns [-- SECONDS]` prints turns per second and latency at 1, 16 and 64 sessions over eight
//! tenants. Client and server share the machine, so the figures are a floor.
#![allow(missing_docs, clippy::print_stdout)] // a program that prints

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use haversack_server::Server;
use haversack_server::auth::KeyRole;
use haversack_server::auth::admin::{self, Grant};
use haversack_server::config::{Config, LogFormat};
use haversack_server::server::Options;
use haversack_server::telemetry::Telemetry;
use hdrhistogram::Histogram;
use serde_json::json;

const TENANTS: usize = 8;
/// Turns of one session before it goes on under a new name, as conversations do.
const TURNS: usize = 12;

fn main() -> anyhow::Result<()> {
    let seconds = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(5);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    haversack::block_on(&runtime, run(Duration::from_secs(seconds)))
}

async fn run(span: Duration) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut config = Config::default();
    config.server.bind = "127.0.0.1:0".parse()?;
    config.store.path = folder.path().join("data");
    config.limits.requests_per_second = 1_000_000;
    config.limits.burst = 1_000_000;
    config.limits.concurrent_turns = 1_000;
    config.telemetry.log = LogFormat::Off;
    let telemetry = Telemetry::install(&config.telemetry)?;
    let server = Server::start_with(config, Options { telemetry, ..Options::default() }).await?;

    let mut keys = Vec::new();
    for tenant in 0..TENANTS {
        let grant = Grant {
            tenant: format!("tenant-{tenant}"),
            principal: "bench".to_owned(),
            label: String::new(),
            expires_at: None,
            role: KeyRole::Member,
        };
        keys.push(admin::issue(server.engine().store().control(), grant, "bench").await?.key.reveal());
    }

    println!("| sessions | turns/s | p50 ms | p99 ms | max ms | target |");
    println!("|---|---|---|---|---|---|");
    for sessions in [1, 16, 64] {
        let (turns, times, took) = drive(&server.url(), &keys, sessions, span).await?;
        let rate = turns as f64 / took.as_secs_f64();
        let ms = |quantile| times.value_at_quantile(quantile) as f64 / 1e3;
        let target = match sessions {
            64 if rate >= 1_500.0 && ms(0.99) <= 60.0 => "met: >= 1500 turns/s, p99 <= 60 ms",
            64 => "not met: >= 1500 turns/s, p99 <= 60 ms",
            _ => "-",
        };
        println!(
            "| {sessions} | {rate:.0} | {:.2} | {:.2} | {:.2} | {target} |",
            ms(0.5),
            ms(0.99),
            times.max() as f64 / 1e3
        );
    }
    server.shutdown().await?;
    Ok(())
}

/// Lets `sessions` conversations talk for `span`; answers the number of turns and their times in microseconds.
async fn drive(
    url: &str,
    keys: &[String],
    sessions: usize,
    span: Duration,
) -> anyhow::Result<(usize, Histogram<u64>, Duration)> {
    static ROUND: AtomicUsize = AtomicUsize::new(0);
    let round = ROUND.fetch_add(1, Ordering::Relaxed);
    let _ = rustls::crypto::ring::default_provider().install_default();
    let http = reqwest::Client::builder().no_proxy().build()?;
    let (url, keys): (Arc<str>, Arc<[String]>) = (url.into(), keys.into());
    let start = Instant::now();
    let mut talks = haversack::JoinSet::new();
    for session in 0..sessions {
        let (http, url, keys) = (http.clone(), url.clone(), keys.clone());
        talks.spawn(async move {
            let mut times = Histogram::<u64>::new(3)?;
            for turn in 0.. {
                if start.elapsed() >= span {
                    break;
                }
                let name = format!("s-{round}-{session}-{}", turn / TURNS);
                let message = match turn % 3 {
                    0 => format!("Please remember that the gate code of dock {session} is {turn}."),
                    1 => format!("What is the gate code of dock {session}?"),
                    _ => "I tried restarting the scanner, it did not help. What else can I try?".to_owned(),
                };
                let sent = Instant::now();
                let request = http
                    .post(format!("{url}/v1/sessions/{name}/turns"))
                    .bearer_auth(&keys[session % keys.len()])
                    .json(&json!({ "message": message }));
                let response = request.send().await?.error_for_status()?;
                response.bytes().await?;
                times.record(u64::try_from(sent.elapsed().as_micros())?)?;
            }
            anyhow::Ok(times)
        });
    }
    let mut times = Histogram::<u64>::new(3)?;
    while let Some(talk) = talks.join_next().await {
        times.add(talk??)?;
    }
    Ok((usize::try_from(times.len())?, times, start.elapsed()))
}
