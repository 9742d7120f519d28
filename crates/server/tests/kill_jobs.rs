//! `kill -9` of workers and of the server at random moments loses no job, begins none twice within a lease, and runs each
//! under the context of whoever posted it or not at all.
//!
//! The server is the binary. The worker is the product's own engine in a process of this test, so that it can write down
//! each beginning and each end: one line each, appended to one file.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test says what it expects, and stops where it is not so"
)]

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use haversack::well_known::{PRINCIPAL, TENANT_ID};
use haversack_jobs::current::JOB_ID;
use haversack_jobs::{Args, Attempt, Failure};
use haversack_server::config::{Config, LogFormat};
use haversack_server::engine::{Engine, Role};
use haversack_server::telemetry::Telemetry;
use haversack_server::work::Working;
use haversack_server::work::background::{TOOL, ToolJob};
use haversack_store::now_millis;
use serde_json::{Value, json};

/// Rounds of a usual run. `kill_nine_of_workers_and_servers_at_length` makes as many as a release deserves.
const ROUNDS: usize = 10;
const MANY_ROUNDS: usize = 50;
const TENANTS: usize = 3;
const WORKERS: usize = 2;
/// Jobs that each tenant posts in a round.
const JOBS: usize = 8;
const LEASE_S: u64 = 2;

const DATA: &str = "HAVERSACK_KILL_DATA";
const LOG: &str = "HAVERSACK_KILL_LOG";

#[test]
fn kill_nine_of_workers_and_servers_loses_no_job() {
    kill_and_count(ROUNDS);
}

#[test]
#[ignore = "takes minutes; the usual run makes fewer rounds"]
fn kill_nine_of_workers_and_servers_at_length() {
    kill_and_count(MANY_ROUNDS);
}

/// Dice that fall the same way in each run; what happens between the throws is random enough.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

fn kill_and_count(rounds: usize) {
    let folder = tempfile::tempdir().expect("a folder");
    let (data, log) = (folder.path().join("data"), folder.path().join("log"));
    let keys: Vec<String> = (0..TENANTS).map(|tenant| issue(&data, &format!("tenant-{tenant}"))).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let mut dice = Dice(20_261_125);
    let mut server = Server::start(&data);
    let mut workers: Vec<Worker> = (0..WORKERS).map(|_| Worker::start(&data, &log)).collect();
    let (mut posted, mut killed_workers, mut killed_servers) = (HashMap::new(), 0, 0);
    for _ in 0..rounds {
        let posting = post(server.url.clone(), keys.clone());
        let posting = {
            let _inside = runtime.enter();
            haversack::spawn_detached(posting)
        };
        std::thread::sleep(Duration::from_millis(dice.below(400)));
        if dice.below(2) == 0 {
            server.kill();
            server = Server::start(&data);
            killed_servers += 1;
        }
        let unlucky = usize::try_from(dice.below(WORKERS as u64)).expect("small");
        workers[unlucky].kill(&log);
        workers[unlucky] = Worker::start(&data, &log);
        killed_workers += 1;
        posted.extend(haversack::block_on(&runtime, posting).expect("posting ends"));
    }

    // Every job that was answered for comes to its end.
    let begun = std::time::Instant::now();
    let quarantined = haversack::block_on(&runtime, all_succeeded(&server.url, &keys, &posted));
    let waited = begun.elapsed();
    for worker in &mut workers {
        worker.kill(&log);
    }
    server.kill();
    let read = read(&log, &posted);
    println!(
        "{rounds} rounds: {killed_workers} workers and {killed_servers} servers killed; {} jobs answered for, all done, the \
         last {} ms after the last round, {quarantined} of them driven again out of quarantine; {} beginnings of {} jobs, {} of them again after a kill, the shortest time \
         between two of one job {:?} ms with a lease of {} ms",
        posted.len(),
        waited.as_millis(),
        read.beginnings,
        read.jobs,
        read.again,
        read.shortest_ms,
        LEASE_S * 1000,
    );
}

/// Posts jobs for each tenant at once, until a kill ends it; the job and the tenant of each answer.
async fn post(url: String, keys: Vec<String>) -> HashMap<String, usize> {
    let http = client();
    let mut posted = HashMap::new();
    for _ in 0..JOBS {
        for (tenant, key) in keys.iter().enumerate() {
            let body = json!({
                "tool": "search_knowledge", "arguments": { "query": format!("tenant-{tenant}") }
            });
            let request = http.post(format!("{url}/v1/jobs")).bearer_auth(key).json(&body);
            let Ok(response) = request.send().await else { return posted };
            let status = response.status();
            let Ok(submitted) = response.json::<Value>().await else { return posted };
            assert_eq!(status.as_u16(), 202, "{submitted}");
            posted.insert(submitted["job"].as_str().expect("a job").to_owned(), tenant);
        }
    }
    posted
}

/// Waits until every job has its result; how many had been put into quarantine, because so many of their workers were
/// killed. Those are not lost: their owner drives them again, here as there.
async fn all_succeeded(url: &str, keys: &[String], posted: &HashMap<String, usize>) -> usize {
    let http = client();
    let mut quarantined = 0;
    for (id, tenant) in posted {
        loop {
            let request = http.get(format!("{url}/v1/jobs/{id}")).bearer_auth(&keys[*tenant]);
            let response = request.send().await.expect("an answer");
            let status = response.status();
            let job: Value = response.json().await.expect("json");
            assert!(status.is_success(), "an answered job is gone: {job}");
            match job["state"].as_str() {
                Some("succeeded") => {
                    assert_eq!(job["result"], format!("tenant-{tenant}"), "{job}");
                    break;
                }
                Some("quarantined") => {
                    let path = format!("{url}/v1/jobs/{id}/redrive");
                    let redriven =
                        http.post(path).bearer_auth(&keys[*tenant]).send().await.expect("an answer");
                    assert!(redriven.status().is_success(), "{}", redriven.status());
                    quarantined += 1;
                }
                Some("queued" | "running" | "retrying") => {}
                other => panic!("{other:?}: {job}"),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    quarantined
}

struct Read {
    jobs: usize,
    beginnings: usize,
    again: usize,
    shortest_ms: Option<i64>,
}

/// Reads the log and demands what the kills must not have broken.
fn read(log: &Path, posted: &HashMap<String, usize>) -> Read {
    struct Begun {
        generation: u64,
        pid: u64,
        at: i64,
    }
    let mut last: HashMap<String, Begun> = HashMap::new();
    let mut dead = Vec::new();
    let mut read = Read { jobs: 0, beginnings: 0, again: 0, shortest_ms: None };
    for line in BufReader::new(File::open(log).expect("the log")).lines() {
        let line = line.expect("a line");
        let said: Value = serde_json::from_str(&line).expect("json");
        let number = |name: &str| said[name].as_u64().unwrap_or_default();
        match said["event"].as_str() {
            Some("killed") => dead.push(number("pid")),
            Some("begin") => {
                let job = said["job"].as_str().expect("a job").to_owned();
                // The context is that of whoever posted it, and the arguments say who that was.
                assert_eq!(said["tenant"], said["asked"], "{line}");
                assert_eq!(said["principal"], "kim", "{line}");
                if let Some(tenant) = posted.get(&job) {
                    assert_eq!(said["tenant"], format!("tenant-{tenant}"), "{line}");
                }
                let begun = Begun {
                    generation: number("generation"),
                    pid: number("pid"),
                    at: said["at"].as_i64().expect("a time"),
                };
                read.beginnings += 1;
                if let Some(before) = last.get(&job) {
                    read.again += 1;
                    assert!(begun.generation > before.generation, "a token is used twice: {line}");
                    assert!(dead.contains(&before.pid), "begun again while its worker lives: {line}");
                    let gap = begun.at - before.at;
                    read.shortest_ms = Some(read.shortest_ms.map_or(gap, |shortest| shortest.min(gap)));
                }
                last.insert(job, begun);
            }
            other => panic!("{other:?}"),
        }
    }
    read.jobs = last.len();
    for job in posted.keys() {
        assert!(last.contains_key(job), "{job} has an end and no beginning");
    }
    read
}

/// Appends a line, whole.
fn note(log: &Path, line: &Value) {
    let mut file = OpenOptions::new().create(true).append(true).open(log).expect("the log");
    file.write_all(format!("{line}\n").as_bytes()).expect("a line");
}

/// The binary's server, without a worker of its own.
struct Server {
    child: Child,
    url: String,
    _stdout: BufReader<ChildStdout>,
}

impl Server {
    fn start(data: &Path) -> Self {
        let mut child = haversack(data, &["serve", "--bind", "127.0.0.1:0"])
            .env("HAVERSACK_SERVER__DEMO_KEYS", "false")
            .env("HAVERSACK_LIMITS__REQUESTS_PER_SECOND", "100000")
            .env("HAVERSACK_LIMITS__BURST", "100000")
            .env("HAVERSACK_JOBS__EMBEDDED_WORKER", "false")
            .env("HAVERSACK_JOBS__TOOLS", "[\"search_knowledge\"]")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the server starts");
        let mut stdout = BufReader::new(child.stdout.take().expect("its output"));
        let mut line = String::new();
        stdout.read_line(&mut line).expect("a line");
        let started: Value = serde_json::from_str(&line).expect("where it listens");
        let url = started["url"].as_str().expect("a url").to_owned();
        Self { child, url, _stdout: stdout }
    }

    fn kill(&mut self) {
        self.child.kill().expect("it is killed");
        self.child.wait().expect("it is gone");
    }
}

/// [`worker`] as a process of its own.
struct Worker(Child);

impl Worker {
    fn start(data: &Path, log: &Path) -> Self {
        let mut child = Command::new(std::env::current_exe().expect("this test"))
            .args(["--exact", "worker", "--ignored", "--nocapture"])
            .env(DATA, data)
            .env(LOG, log)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("a worker starts");
        let mut said = BufReader::new(child.stdout.as_mut().expect("its output")).lines();
        assert!(said.any(|line| line.is_ok_and(|line| line.contains("working"))), "the worker ended");
        Self(child)
    }

    /// SIGKILL; the log says so when it is dead and before anybody else could begin its jobs again.
    fn kill(&mut self, log: &Path) {
        let pid = self.0.id();
        // Written before, because the lease of a job may be at its end in the moment of the kill.
        note(log, &json!({ "event": "killed", "pid": pid }));
        self.0.kill().expect("it is killed");
        self.0.wait().expect("it is gone");
    }
}

#[test]
#[ignore = "the process that another test starts and kills"]
fn worker() {
    let place = |name: &str| PathBuf::from(std::env::var_os(name).expect("started by another test"));
    let (data, log) = (place(DATA), place(LOG));
    let mut config = Config::default();
    config.store.path = data;
    config.telemetry.log = LogFormat::Off;
    config.jobs.lease_s = LEASE_S;
    let telemetry = Telemetry::install(&config.telemetry).expect("telemetry");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    haversack::block_on(&runtime, async {
        let opening = move || Engine::open(&config, telemetry, None, Role::Worker);
        let engine = haversack::spawn_blocking(opening).await.expect("it ends").expect("an engine");
        let mut work = engine.work().clone();
        work.handlers(|handlers| {
            handlers
                .on(TOOL, move |Args(job): Args<ToolJob>, attempt: Attempt| begin(log.clone(), job, attempt))
        });
        let _working = Working::start(&work);
        println!("working");
        std::future::pending::<()>().await;
    });
}

/// Writes the beginning down, takes a while, and answers whose job it is.
async fn begin(log: PathBuf, job: ToolJob, attempt: Attempt) -> Result<String, Failure> {
    let (tenant, principal) = (TENANT_ID.get()?, PRINCIPAL.get()?);
    note(
        &log,
        &json!({
            "event": "begin", "job": JOB_ID.get()?.as_str(), "attempt": attempt.number(),
            "generation": attempt.generation(), "tenant": tenant.as_str(), "principal": principal.as_str(),
            "asked": job.arguments["query"], "pid": std::process::id(), "at": now_millis(),
        }),
    );
    let digit = JOB_ID.with(|job| job.as_str().bytes().last())?.unwrap_or_default();
    tokio::time::sleep(Duration::from_millis(20 + u64::from(digit % 16) * 25)).await;
    Ok(tenant.as_str().to_owned())
}

fn issue(data: &Path, tenant: &str) -> String {
    let output = haversack(data, &["keys", "issue", "--tenant", tenant, "--principal", "kim"])
        .output()
        .expect("keys runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let issued: Value = serde_json::from_slice(&output.stdout).expect("json");
    issued["key"].as_str().expect("a key").to_owned()
}

fn haversack(data: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_haversack"));
    // A folder of its own to run in, so that no configuration file of the tree is found.
    command
        .current_dir(data.parent().expect("a parent"))
        .arg("--json")
        .args(arguments)
        .env("HAVERSACK_STORE__PATH", data);
    command
}

fn client() -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().build().expect("a client")
}
