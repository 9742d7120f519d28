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

mod killing;

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Read as _, Write};
use std::path::{Path, PathBuf};
use std::process::{ChildStdout, Command, Stdio};
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
use haversack_store::sqlite::Connection;
use serde_json::{Value, json};

use killing::{Mortal, Server, client, issue};

/// Rounds of a usual run. `kill_nine_of_workers_and_servers_at_length` makes as many as a release deserves.
const ROUNDS: usize = 10;
const MANY_ROUNDS: usize = 50;
const TENANTS: usize = 3;
const WORKERS: usize = 2;
/// Jobs that each tenant posts in a round.
const JOBS: usize = 8;
const LEASE_S: u64 = 2;
const LEASE_MS: i64 = 1000 * LEASE_S.cast_signed();

/// The server leaves the jobs to the workers of this test.
const WITHOUT_WORKER: [(&str, &str); 2] =
    [("HAVERSACK_JOBS__EMBEDDED_WORKER", "false"), ("HAVERSACK_JOBS__TOOLS", "[\"search_knowledge\"]")];

/// Writes down what becomes of each lease, in the transaction in which it does: a lease is taken, renewed, given back by
/// its holder, or taken away because it ran out. Only then the count of deliveries stays as it was.
const LEASES: &str = "
    CREATE TABLE leases (number INTEGER PRIMARY KEY, job TEXT, generation INTEGER, what TEXT, until INTEGER);
    CREATE TRIGGER lease_taken AFTER UPDATE OF generation ON jobs WHEN NEW.generation <> OLD.generation BEGIN
        INSERT INTO leases (job, generation, what, until) VALUES (NEW.id, NEW.generation, 'taken', NEW.lease_until);
    END;
    CREATE TRIGGER lease_renewed AFTER UPDATE OF lease_until ON jobs
    WHEN NEW.generation = OLD.generation AND NEW.lease_until IS NOT NULL BEGIN
        INSERT INTO leases (job, generation, what, until) VALUES (NEW.id, NEW.generation, 'renewed', NEW.lease_until);
    END;
    CREATE TRIGGER lease_ended AFTER UPDATE OF lease_until ON jobs
    WHEN OLD.lease_until IS NOT NULL AND NEW.lease_until IS NULL BEGIN
        INSERT INTO leases (job, generation, what, until)
        VALUES (NEW.id, NEW.generation,
                CASE WHEN NEW.state IN ('queued', 'retrying', 'quarantined') AND NEW.deliveries = OLD.deliveries
                     THEN 'lost' ELSE 'ended' END, OLD.lease_until);
    END;";

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
    let mut server = Server::start(&data, &WITHOUT_WORKER);
    let control = Connection::open(data.join("control.sqlite")).expect("the control file");
    control.execute_batch(LEASES).expect("the notes about leases");
    let mut workers: Vec<Worker> = (0..WORKERS).map(|_| Worker::start(&data, &log)).collect();
    let (mut posted, mut killed_workers, mut killed_servers) = (HashMap::new(), 0, 0);
    for _ in 0..rounds {
        let posting = post(server.url.clone(), keys.clone());
        let posting = {
            let _inside = runtime.enter();
            haversack::spawn_detached(posting)
        };
        // The random moment of the kill.
        std::thread::sleep(Duration::from_millis(dice.below(400)));
        if dice.below(2) == 0 {
            server.kill();
            server = Server::start(&data, &WITHOUT_WORKER);
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
    let margin = leases(&control, &read.begun);
    println!(
        "{rounds} rounds: {killed_workers} workers and {killed_servers} servers killed; {} jobs answered for, all done, the \
         last {} ms after the last round, {quarantined} of them driven again out of quarantine; {} beginnings of {} jobs, {} of them again after a kill, each \
         when the lease of {} ms before it was over, the soonest {:?} ms later",
        posted.len(),
        waited.as_millis(),
        read.begun.len(),
        read.jobs,
        read.again,
        LEASE_MS,
        margin,
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
            // Servers come and go, so no stream of events outlives one.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    quarantined
}

struct Read {
    jobs: usize,
    again: usize,
    /// When each delivery was begun, by job and generation.
    begun: HashMap<(String, u64), i64>,
}

/// Reads the log and demands what the kills must not have broken.
fn read(log: &Path, posted: &HashMap<String, usize>) -> Read {
    struct Begun {
        generation: u64,
        pid: u64,
    }
    let mut last: HashMap<String, Begun> = HashMap::new();
    let mut dead = Vec::new();
    let mut read = Read { jobs: 0, again: 0, begun: HashMap::new() };
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
                let begun = Begun { generation: number("generation"), pid: number("pid") };
                let at = said["at"].as_i64().expect("a time");
                read.begun.insert((job.clone(), begun.generation), at);
                if let Some(before) = last.get(&job) {
                    read.again += 1;
                    assert!(begun.generation > before.generation, "a token is used twice: {line}");
                    assert!(dead.contains(&before.pid), "begun again while its worker lives: {line}");
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

/// Demands of the engine's own instants that no lease was given away before it was over, and that every beginning stands
/// under a lease; the shortest time in milliseconds between the end of a lease and the next one.
fn leases(control: &Connection, begun: &HashMap<(String, u64), i64>) -> Option<i64> {
    let mut rows = control
        .prepare("SELECT job, generation, what, until FROM leases ORDER BY number")
        .expect("the notes");
    let rows = rows.query_map([], |row| {
        Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?, row.get::<_, String>(2)?, row.get::<_, i64>(3)?))
    });
    // The lease of each job that its holder did not give back, and until when it was its holder's.
    let mut held: HashMap<String, (u64, i64)> = HashMap::new();
    let (mut taken, mut shortest) = (HashMap::new(), None);
    for row in rows.expect("rows") {
        let (job, generation, what, until) = row.expect("a row");
        let generation = generation.unsigned_abs();
        match what.as_str() {
            "taken" => {
                let at = until - LEASE_MS;
                if let Some((before, over)) = held.remove(&job) {
                    assert!(
                        at >= over,
                        "{job}: {generation} was taken at {at}, {before} was held until {over}"
                    );
                    shortest = Some(shortest.map_or(at - over, |shortest: i64| shortest.min(at - over)));
                }
                taken.insert((job.clone(), generation), at);
                held.insert(job, (generation, until));
            }
            "renewed" => {
                let (held, over) = held.get_mut(&job).expect("what is renewed is held");
                assert_eq!(*held, generation, "{job}");
                *over = until;
            }
            // It stays with its holder until then, whoever wrote that it is over.
            "lost" => assert_eq!(held.get(&job), Some(&(generation, until)), "{job}"),
            "ended" => assert_eq!(held.remove(&job), Some((generation, until)), "{job}"),
            other => panic!("{other}"),
        }
    }
    for (delivery, at) in begun {
        assert!(
            taken.get(delivery).is_some_and(|taken| taken <= at),
            "{delivery:?} was begun without a lease"
        );
    }
    shortest
}

/// Appends a line, whole.
fn note(log: &Path, line: &Value) {
    let mut file = OpenOptions::new().create(true).append(true).open(log).expect("the log");
    file.write_all(format!("{line}\n").as_bytes()).expect("a line");
}

/// [`worker`] as a process of its own.
struct Worker {
    pid: u32,
    process: Mortal,
    _stdout: BufReader<ChildStdout>,
}

impl Worker {
    fn start(data: &Path, log: &Path) -> Self {
        let child = Command::new(std::env::current_exe().expect("this test"))
            .args(["--exact", "worker", "--ignored", "--nocapture"])
            .env(DATA, data)
            .env(LOG, log)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("a worker starts");
        let (pid, mut process) = (child.id(), Mortal::new(child));
        let mut stdout = process.stdout();
        let mut said = stdout.by_ref().lines();
        assert!(said.any(|line| line.is_ok_and(|line| line.contains("working"))), "the worker ended");
        Self { pid, process, _stdout: stdout }
    }

    /// SIGKILL; the log says so when it is dead and before anybody else could begin its jobs again.
    fn kill(&mut self, log: &Path) {
        // Written before, because the lease of a job may be at its end in the moment of the kill.
        note(log, &json!({ "event": "killed", "pid": self.pid }));
        self.process.kill();
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
    // Work that a kill can fall into.
    tokio::time::sleep(Duration::from_millis(20 + u64::from(digit % 16) * 25)).await;
    Ok(tenant.as_str().to_owned())
}
