//! Latency of a neighbour beside a hostile tenant or stranger.
//!
//! `cargo xtask bench neighbours [-- ROUNDS]` measures a neighbour's turns alone and beside each hostile input, by turns, and
//! prints the median over the rounds: first the ratio of the two p99, then both. `HAVERSACK_BIN` names another program to be
//! measured. Each input has a server of its own. Client and server share the machine, so what an attacker costs its own
//! machine is in the figures too.
#![allow(missing_docs, clippy::print_stdout)] // a program that prints

// Made for the cases, which use more of it.
#[allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::panic, clippy::disallowed_methods)]
#[path = "../../tests/cases/installation.rs"]
mod installation;

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use hdrhistogram::Histogram;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use installation::{Installation, Server};

/// Turns of the neighbour in one half of a round.
const TURNS: usize = 200;
/// A turn that takes longer has failed.
const LATE: Duration = Duration::from_secs(5);
/// How long hostile inputs may need until all of them are under way.
const BEGIN: Duration = Duration::from_secs(30);
/// After this many failed turns a half ends: the neighbour is locked out.
const LOCKED_OUT: usize = 5;

/// A hostile input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Input {
    /// One word for as long as a message may be.
    LongWord,
    /// Two messages of ten kilobytes, all of it short clauses.
    Clauses,
    /// Webhook bodies without a right signature, each less ten bytes.
    Bodies,
    /// Heads that do not end.
    Heads,
    /// Connections that say nothing, more than there are file descriptors.
    Idle,
}

const INPUTS: [Input; 5] = [Input::LongWord, Input::Clauses, Input::Bodies, Input::Heads, Input::Idle];

/// The server under test and the hostile input.
struct Target {
    url: String,
    address: std::net::SocketAddr,
    key: String,
}

/// The median round.
#[derive(Default)]
struct Rounds {
    ratios: Vec<f64>,
    alone: Vec<f64>,
    beside: Vec<f64>,
    asked: usize,
    failed: usize,
}

fn main() -> Result<()> {
    let rounds = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(5);
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    haversack::block_on(&runtime, async {
        println!("| hostile input | p99 beside / alone | p99 alone ms | p99 beside ms | failed |");
        println!("|---|---|---|---|---|");
        for input in INPUTS {
            println!("{}", measure(input, rounds).await?);
        }
        Ok(())
    })
}

/// The row of one input.
async fn measure(input: Input, rounds: usize) -> Result<String> {
    let installation = Installation::new(
        "[[gateway.accounts]]\nname = \"shop\"\nplatform = \"webhook\"\ntenant = \"alpha\"\nsecrets = [\"file:secret\"]\n",
    );
    installation.write("secret", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n");
    let (alpha, beta) = (installation.key("alpha", "ann"), installation.key("beta", "ben"));
    let mut server = match input {
        Input::Idle => installation.serve_with_files(256),
        _ => installation.serve(),
    };
    let target = Arc::new(Target { url: server.url.clone(), address: server.address(), key: alpha });
    let mut all = Rounds::default();
    for round in 0..rounds {
        let alone = neighbour(&server, &beta, &format!("alone-{round}")).await?;
        let hostile = press(input, &target).await?;
        let beside = neighbour(&server, &beta, &format!("beside-{round}")).await?;
        drop(hostile);
        if !server.process.lives() {
            return Ok(format!("| {} | the process ended | | | |", input.name()));
        }
        all.add(&alone, &beside);
        if beside.1 >= LOCKED_OUT {
            break;
        }
    }
    Ok(format!(
        "| {} | {:.2} | {:.1} | {:.1} | {} of {} |",
        input.name(),
        median(&mut all.ratios),
        median(&mut all.alone),
        median(&mut all.beside),
        all.failed,
        all.asked
    ))
}

impl Rounds {
    fn add(&mut self, alone: &(Histogram<u64>, usize), beside: &(Histogram<u64>, usize)) {
        let ms = |half: &(Histogram<u64>, usize)| half.0.value_at_quantile(0.99) as f64 / 1e3;
        self.ratios.push(ms(beside) / ms(alone));
        self.alone.push(ms(alone));
        self.beside.push(ms(beside));
        self.asked += usize::try_from(beside.0.len()).unwrap_or(usize::MAX);
        self.failed += beside.1;
    }
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The times of the neighbour's turns in microseconds, and how many failed. Each comes on a connection of its own.
async fn neighbour(server: &Server, key: &str, session: &str) -> Result<(Histogram<u64>, usize)> {
    let http = reqwest::Client::builder().no_proxy().timeout(LATE).pool_max_idle_per_host(0).build()?;
    let (mut times, mut failed) = (Histogram::new(3)?, 0);
    for turn in 0..TURNS {
        let url = format!("{}/v1/sessions/{session}-{}/turns", server.url, turn / 12);
        let request = http.post(url).bearer_auth(key).json(&json!({ "message": "hello" }));
        let sent = Instant::now();
        let answered = match request.send().await {
            Ok(response) => response.status().is_success() && response.bytes().await.is_ok(),
            Err(_) => false,
        };
        times.record(u64::try_from(sent.elapsed().as_micros())?)?;
        failed += usize::from(!answered);
        if failed >= LOCKED_OUT {
            break;
        }
    }
    Ok((times, failed))
}

/// Sends the input, and returns when all of it is under way. It ends when this is dropped.
async fn press(input: Input, target: &Arc<Target>) -> Result<haversack::JoinSet<()>> {
    let (begun, mut begins) = mpsc::channel(input.senders());
    let mut senders = haversack::JoinSet::new();
    for _ in 0..input.senders() {
        let (target, begun) = (Arc::clone(target), begun.clone());
        senders.spawn(async move { input.send(&target, begun).await });
    }
    drop(begun);
    let all = async { while begins.recv().await.is_some() {} };
    tokio::time::timeout(BEGIN, all).await.with_context(|| format!("{} did not begin", input.name()))?;
    Ok(senders)
}

impl Input {
    fn name(self) -> &'static str {
        match self {
            Self::LongWord => "62 kB of one word, again and again",
            Self::Clauses => "two messages of 10 kB at a time, again and again",
            Self::Bodies => "300 anonymous webhook bodies of 2 MB less ten bytes",
            Self::Heads => "300 anonymous heads of 60 kB without an end",
            Self::Idle => "300 idle connections at `ulimit -n 256`",
        }
    }

    fn senders(self) -> usize {
        match self {
            Self::LongWord => 1,
            Self::Clauses => 2,
            Self::Bodies | Self::Heads | Self::Idle => 300,
        }
    }

    /// Sends it, and drops `begun` when it is under way. What the server makes of it is not looked at.
    async fn send(self, target: &Target, begun: mpsc::Sender<()>) {
        match self {
            Self::LongWord => talk(target, &"in ".repeat(20_828), begun).await,
            Self::Clauses => talk(target, &format!("a b{}", ", we use b".repeat(1000)), begun).await,
            Self::Bodies => {
                let time = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs());
                let mut bytes = format!(
                    "POST /gateway/webhook/shop HTTP/1.1\r\nhost: a\r\nwebhook-id: m\r\nwebhook-timestamp: {time}\r\n\
                     webhook-signature: v1,{}=\r\ncontent-length: 2097152\r\n\r\n",
                    "A".repeat(43)
                )
                .into_bytes();
                bytes.resize(bytes.len() + 2_097_142, b'a');
                hold(target, &bytes, begun).await;
            }
            Self::Heads => {
                let head = format!("GET /healthz HTTP/1.1\r\nhost: a\r\nx: {}", "a".repeat(60_000));
                hold(target, head.as_bytes(), begun).await;
            }
            Self::Idle => hold(target, b"", begun).await,
        }
    }
}

/// Says `text` in one turn after the other, for ever.
async fn talk(target: &Target, text: &str, begun: mpsc::Sender<()>) {
    let mut begun = Some(begun);
    let Ok(http) = reqwest::Client::builder().no_proxy().build() else { return };
    for turn in 0_u64.. {
        let accepted = async {
            let url = format!("{}/v1/sessions/hostile-{turn}/turns", target.url);
            let request = http.post(url).bearer_auth(&target.key).header("prefer", "respond-async");
            let accepted = request.json(&json!({ "message": text })).send().await?;
            ensure!(accepted.status() == 202, "refused");
            let accepted: Value = accepted.json().await?;
            accepted["turn"].as_str().map(str::to_owned).context("no turn")
        };
        let accepted = accepted.await;
        drop(begun.take());
        // The next one comes when this one has ended.
        if let Ok(turn) = accepted {
            let events = http.get(format!("{}/v1/turns/{turn}/events", target.url)).bearer_auth(&target.key);
            if let Ok(events) = events.send().await {
                let _ = events.bytes().await;
            }
        }
    }
}

/// Sends `bytes` on a connection and holds it until the server closes it.
async fn hold(target: &Target, bytes: &[u8], begun: mpsc::Sender<()>) {
    let Ok(mut stream) = TcpStream::connect(target.address).await else { return };
    let _ = stream.write_all(bytes).await;
    drop(begun);
    let _ = stream.read_to_end(&mut Vec::new()).await;
}
