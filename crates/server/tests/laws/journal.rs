//! The journal: one tree over processes, for its owner alone, bounded, without a word of what was said, and gone with
//! its session.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use haversack::testing;
use haversack::well_known::{PRINCIPAL, Principal, TENANT_ID, TRACE_CONTEXT, TenantId, TraceContext};
use haversack_server::config::{Config, LogFormat};
use haversack_server::server::Options;
use haversack_server::telemetry::journal::Keep;
use haversack_server::telemetry::tree::State;
use haversack_server::telemetry::{Journal, Kind, Ring, Telemetry, TraceTree};
use haversack_store::sqlite::Connection;
use haversack_store::{Store, StoreOptions};
use reqwest::{Method, StatusCode};
use serde_json::Value;
use tracing::Instrument;

use super::harness::{Key, TestServer, json_of, problem, start, start_with, start_with_options};
use super::program::{Program, command, settled, stderr, stdout};

const OURS: &str = "haversack_laws";
const CAUSE: &str = "HAVERSACK_LAWS_CAUSE";
const DATA: &str = "HAVERSACK_LAWS_DATA";
const DELIVERY: &str = "HAVERSACK_LAWS_DELIVERY";
const KEEP: Keep = Keep { units: 100, age: Duration::from_secs(3_600) };

async fn trace(server: &TestServer, key: &Key, id: &str) -> TraceTree {
    let answer = json_of(server.get(key, &format!("/v1/context/{id}")).await, StatusCode::OK).await;
    serde_json::from_value(answer).unwrap()
}

/// A turn; its id.
async fn turn(server: &TestServer, key: &Key, session: &str, message: &str) -> String {
    let reply = json_of(server.turn(key, session, message).send().await.unwrap(), StatusCode::OK).await;
    reply["turn"].as_str().unwrap().to_owned()
}

/// The tree of a turn once its end is written.
async fn ended(server: &TestServer, key: &Key, id: &str) -> TraceTree {
    settled(async || Some(trace(server, key, id).await).filter(|tree| tree.work[0].ended_at.is_some())).await
}

fn tenant_file(folder: &Path) -> PathBuf {
    let mut files =
        std::fs::read_dir(folder.join("data/tenants")).unwrap().map(|entry| entry.unwrap().path());
    files.find(|path| path.extension().is_some_and(|ext| ext == "sqlite")).unwrap()
}

/// Every file below `folder` that holds these bytes.
fn holding(folder: &Path, needle: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            found.extend(holding(&path, needle));
        } else if std::fs::read(&path).unwrap().windows(needle.len()).any(|part| part == needle.as_bytes()) {
            found.push(path);
        }
    }
    found
}

fn visit(tenant: &str, principal: &str, trace: Option<&str>) -> haversack::Visit {
    testing::enter(|bind| {
        bind.bind(&TENANT_ID, TenantId::new(tenant).unwrap())
            .bind(&PRINCIPAL, Principal::new(principal).unwrap())
            .bind_some(&TRACE_CONTEXT, trace.map(|trace| TraceContext::parse(trace).unwrap()))
    })
}

/// A message arrives in a server, which is killed and started again; a worker takes the job that the turn caused and is
/// killed in the middle of a delivery; another one finishes it; and all of it is one tree.
#[test]
fn a_trace_survives_kill_nine_and_is_one_tree_over_processes() {
    let here = tempfile::tempdir().unwrap();
    let data = here.path().join("data");
    let environment = [("HAVERSACK_STORE__PATH", data.to_str().unwrap())];
    let show = |program: &Program, tenant: &str, id: &str, json: bool| {
        let arguments = ["--json", "context", "show", id, "--server", program.url()];
        let arguments = &arguments[usize::from(!json)..];
        command(here.path()).env("HAVERSACK_KEY", program.key(tenant)).args(arguments).output().unwrap()
    };
    let read = |program: &Program, id: &str| -> TraceTree {
        let shown = show(program, "northwind", id, true);
        serde_json::from_str(&stdout(&shown)).unwrap_or_else(|_| panic!("{}", stderr(&shown)))
    };
    let states = |tree: &TraceTree, kind: &str| -> Vec<State> {
        tree.work.iter().filter(|work| work.kind == kind).map(|work| work.state).collect()
    };

    let mut first = Program::serve(here.path(), &["--bind", "127.0.0.1:0"], &environment);
    let reply = first.say("northwind", "s", "Remember that our account manager is Robin Vega.");
    let turn = reply["turn"].as_str().unwrap();
    let before = loop {
        let tree = read(&first, turn);
        if tree.work[0].ended_at.is_some() {
            break tree;
        }
    };
    first.kill_nine();

    let mut second = Program::serve(here.path(), &["--bind", "127.0.0.1:0"], &environment);
    let cause = format!("00-{}-{}-01", before.trace, before.work[0].span);
    let mut dies = Working::start(&data, &cause, "hangs");
    assert_eq!(states(&read(&second, "job_1"), "job"), [State::Running], "seen beside the worker");
    dies.kill_nine();
    assert_eq!(states(&read(&second, "job_1"), "job"), [State::Interrupted]);
    Working::start(&data, &cause, "ends").ends();

    let request = before.request.as_deref().unwrap();
    for id in [turn, "job_1", "run_1", "delivery_1", &before.trace, request] {
        let tree = read(&second, id);
        assert_eq!((&tree.trace, tree.work.len()), (&before.trace, 7), "{id}");
        assert_eq!(tree.work[0], before.work[0], "the turn is as it was before the kill");
        assert!(tree.work[0].units.iter().any(|unit| unit.name == "tool"), "with its spans");
        for (position, (worker, state)) in
            [("worker 2", State::Interrupted), ("worker 3", State::Complete)].into_iter().enumerate()
        {
            let of = |kind: &str| tree.work.iter().filter(|work| work.kind == kind).nth(position).unwrap();
            let (job, run, delivery) = (of("job"), of("run"), of("delivery"));
            assert_eq!(job.parent.as_ref(), Some(&tree.work[0].span));
            assert_eq!((run.parent.as_ref(), delivery.parent.as_ref()), (Some(&job.span), Some(&job.span)));
            assert_eq!((run.state, run.units.len()), (State::Complete, 2));
            assert_eq!((job.state, delivery.state), (state, state));
            assert!([job, run, delivery].iter().all(|work| work.process.as_deref() == Some(worker)));
        }
        let stranger = show(&second, "contoso", id, true);
        assert!(stderr(&stranger).contains("HV0218"), "{}", stderr(&stranger));
    }
    let text = stdout(&show(&second, "northwind", turn, false));
    let depth = |part: &str| text.lines().find_map(|line| line.find(part)).unwrap();
    assert!(depth(&format!("turn {turn}")) < depth("job job_1"), "{text}");
    assert!(depth("job job_1") < depth("run run_1"), "{text}");
    assert_eq!(depth("run run_1"), depth("delivery delivery_1"), "{text}");
    second.stop();
}

/// [`worker`] as a process of its own.
struct Working {
    child: Child,
}

impl Working {
    /// Starts it and waits until its delivery is under way.
    fn start(data: &Path, cause: &str, delivery: &str) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "journal::worker", "--ignored", "--nocapture"])
            .envs([(CAUSE, cause), (DELIVERY, delivery)])
            .env(DATA, data)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(child.stdout.as_mut().unwrap()).lines().map(Result::unwrap);
        assert!(said.any(|line| line.contains("the delivery is under way")), "the worker ended");
        Self { child }
    }

    fn kill_nine(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    fn ends(mut self) {
        assert!(self.child.wait().unwrap().success());
    }
}

#[test]
#[ignore = "the process that another test starts and kills"]
fn worker() {
    let data = PathBuf::from(std::env::var_os(DATA).expect("started by another test"));
    let hangs = std::env::var(DELIVERY).unwrap() == "hangs";
    let mut config = Config::default();
    config.telemetry.log = LogFormat::Off;
    let telemetry = Telemetry::install(&config.telemetry).unwrap();
    let store = Store::join(&data, StoreOptions::default()).unwrap();
    let journal = Journal::open(store.clone(), telemetry.ring().clone(), "worker", KEEP);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let visit = visit("northwind", "kim", Some(&std::env::var(CAUSE).unwrap()));
    let job = visit.run(|| {
        let inside = journal.clone();
        journal.unit(Kind::Job, "job_1", async move {
            let run = inside.unit(Kind::Run, "run_1", async {
                let root = tracing::info_span!(target: OURS, "run", run = "run_1");
                let step = async { drop(tracing::info_span!(target: OURS, "step", name = "fetch")) };
                step.instrument(root).await;
            });
            run.await;
            let delivery = inside.unit(Kind::Delivery, "delivery_1", async move {
                // Writes of a tenant come one after the other, so what was begun before is in the file.
                store.tenant().unwrap().write("wait for the others", |_| Ok(())).await.unwrap();
                println!("the delivery is under way");
                if hangs {
                    std::future::pending::<()>().await;
                }
            });
            delivery.await;
        })
    });
    haversack::block_on(&runtime, visit.wrap(job));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_reader_sees_nothing() {
    let server = start().await;
    let owner = server.key("acme", "kim").await;
    let id = turn(&server, &owner, "s", "hello").await;
    let tree = ended(&server, &owner, &id).await;
    let unknown = format!("turn_{}", "0".repeat(32));
    for other in [server.key("other", "kim").await, server.key("acme", "sam").await] {
        let mut answers = Vec::new();
        for id in [&id, &tree.trace, tree.request.as_ref().unwrap(), &unknown, "%00", "x%2Fy"] {
            let text = problem(server.get(&other, &format!("/v1/context/{id}")).await, "HV0218").await;
            let mut answer: Value = serde_json::from_str(&text).unwrap();
            answer["instance"] = Value::Null;
            answers.push(answer);
        }
        assert!(answers.windows(2).all(|pair| pair[0] == pair[1]), "{answers:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shared_trace_shows_each_reader_their_own() {
    let server = start().await;
    let (kim, sam) = (server.key("acme", "kim").await, server.key("acme", "sam").await);
    let id = turn(&server, &kim, "s", "hello").await;
    let tree = ended(&server, &kim, &id).await;
    let sams = visit("acme", "sam", Some(&format!("00-{}-{}-01", tree.trace, tree.work[0].span)));
    let unit = sams.run(|| server.server.engine().journal().unit(Kind::Job, "job_1", async {}));
    sams.wrap(unit).await;
    assert_eq!(trace(&server, &sam, &tree.trace).await.work[0].id, "job_1");
    for (key, seen) in [(&kim, &id), (&sam, &"job_1".to_owned())] {
        let work = trace(&server, key, &tree.trace).await.work;
        assert_eq!(work.iter().map(|work| &work.id).collect::<Vec<_>>(), [seen]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_journal_is_bounded_in_number_and_age() {
    let server = start_with(|config| config.telemetry.journal_units = 3, None).await;
    let key = server.key("acme", "kim").await;
    let mut turns = Vec::new();
    for number in 0..6 {
        let id = turn(&server, &key, &format!("s{number}"), "hello").await;
        ended(&server, &key, &id).await;
        turns.push(id);
    }
    for (number, id) in turns.iter().enumerate() {
        let found = server.get(&key, &format!("/v1/context/{id}")).await.status();
        assert_eq!(found == StatusCode::OK, number >= 3, "turn {number}");
    }
    let file = Connection::open(tenant_file(server.folder.path())).unwrap();
    file.execute("UPDATE journal SET started_at = started_at - 31 * 86400000", []).unwrap();
    problem(server.get(&key, &format!("/v1/context/{}", turns[5])).await, "HV0218").await;
    for number in 0..2 {
        turn(&server, &key, &format!("t{number}"), "hello").await;
    }
    let old =
        "SELECT count(*) FROM journal WHERE started_at < (SELECT max(started_at) - 86400000 FROM journal)";
    assert_eq!(
        file.query_row(old, [], |row| row.get::<_, i64>(0)).unwrap(),
        0,
        "old rows go as new ones come"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn no_journal_is_kept_where_none_is_wanted() {
    let server = start_with(|config| config.telemetry.journal_units = 0, None).await;
    let key = server.key("acme", "kim").await;
    let id = turn(&server, &key, "s", "hello").await;
    problem(server.get(&key, &format!("/v1/context/{id}")).await, "HV0218").await;
}

async fn traced() -> TestServer {
    start_with_options(|config| {
        config.telemetry.log = LogFormat::Off;
        Options { telemetry: Telemetry::install(&config.telemetry).unwrap(), model: None }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn no_word_of_a_conversation_enters_the_journal() {
    let server = traced().await;
    let key = server.key("acme", "kim").await;
    for said in [
        "Remember that our cellar code is canaryqx. I tried the canaryqx lever, it did not help.",
        "What is the cellar code of canaryqx?",
    ] {
        let id = turn(&server, &key, "s", said).await;
        let tree = ended(&server, &key, &id).await;
        assert!(tree.work[0].units.iter().any(|unit| unit.name == "model"), "{tree:#?}");
    }
    let file = Connection::open(tenant_file(server.folder.path())).unwrap();
    let mut rows = file.prepare("SELECT * FROM journal").unwrap();
    let columns = rows.column_count();
    let mut rows = rows.query([]).unwrap();
    let mut seen = 0;
    while let Some(row) = rows.next().unwrap() {
        let text: String = (0..columns).map(|column| format!("{:?}", row.get_ref_unwrap(column))).collect();
        let tree: Option<String> = row.get("tree").unwrap();
        assert!(!text.contains("canaryqx") && !tree.unwrap().contains("canaryqx"), "{text}");
        seen += 1;
    }
    assert_eq!(seen, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_session_is_gone_from_the_journal_and_every_byte() {
    let server = traced().await;
    let key = server.key("acme", "kim").await;
    let kept = turn(&server, &key, "other", "hello").await;
    let gone = turn(&server, &key, "sessioncanaryq", "hello").await;
    for id in [&kept, &gone] {
        ended(&server, &key, id).await;
    }
    assert!(!holding(server.folder.path(), "sessioncanaryq").is_empty(), "the test can see what is there");
    let deleted = server.request(Method::DELETE, "/v1/sessions/sessioncanaryq", &key).send().await.unwrap();
    assert_eq!(deleted.status(), StatusCode::OK);
    problem(server.get(&key, &format!("/v1/context/{gone}")).await, "HV0218").await;
    problem(server.get(&key, &format!("/v1/turns/{gone}/context")).await, "HV0206").await;
    assert_eq!(holding(server.folder.path(), "sessioncanaryq"), Vec::<PathBuf>::new());
    assert_eq!(holding(server.folder.path(), &gone), Vec::<PathBuf>::new());
    assert_eq!(trace(&server, &key, &kept).await.work[0].id, kept);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outside_trace_is_linked_and_not_continued() {
    const THEIRS: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let server = traced().await;
    let key = server.key("acme", "kim").await;
    let request =
        server.turn(&key, "s", "hello").header("traceparent", THEIRS).header("x-request-id", "mine");
    let reply = json_of(request.send().await.unwrap(), StatusCode::OK).await;
    let tree = ended(&server, &key, reply["turn"].as_str().unwrap()).await;
    assert_eq!(tree.link.as_deref(), Some(THEIRS));
    assert_eq!(tree.request.as_deref(), Some("mine"));
    assert!(!THEIRS.contains(&tree.trace) && !THEIRS.contains(tree.work[0].parent.as_deref().unwrap()));
    let theirs = server.get(&key, "/v1/context/4bf92f3577b34da6a3ce929d0e0e4736").await;
    problem(theirs, "HV0218").await;
    // Two requests are two traces.
    let second = turn(&server, &key, "s", "hello").await;
    assert_ne!(trace(&server, &key, &second).await.trace, tree.trace);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_caller_whom_the_configuration_trusts_continues_a_trace() {
    const THEIRS: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    const THEIR_TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    let server = start_with_options(|config| {
        config.telemetry.log = LogFormat::Off;
        config.telemetry.trusted = vec!["acme/relay".to_owned()];
        Options { telemetry: Telemetry::install(&config.telemetry).unwrap(), model: None }
    })
    .await;
    let relay = server.key("acme", "relay").await;
    let say = async |key: &Key, sent: &[&str]| {
        let mut request = server.turn(key, "of-whom", "hello");
        for sent in sent {
            request = request.header("traceparent", *sent);
        }
        let request = request.header("x-tenant", "acme").header("x-principal", "relay");
        let reply = json_of(request.send().await.unwrap(), StatusCode::OK).await;
        ended(&server, key, reply["turn"].as_str().unwrap()).await
    };
    let tree = say(&relay, &[THEIRS]).await;
    assert_eq!((tree.trace.as_str(), tree.link), (THEIR_TRACE, None));
    assert_ne!(tree.work[0].parent.as_deref(), Some("00f067aa0ba902b7"), "the request stands between");
    assert_eq!(trace(&server, &relay, THEIR_TRACE).await.work.len(), 1);

    // The same principal of another tenant is somebody else, and headers that say more than the key say nothing.
    let other = server.key("other", "relay").await;
    let tree = say(&other, &[THEIRS]).await;
    assert_ne!(tree.trace, THEIR_TRACE);
    assert_eq!(tree.link.as_deref(), Some(THEIRS));
    problem(server.get(&other, &format!("/v1/context/{THEIR_TRACE}")).await, "HV0218").await;
    // What is malformed or sent twice is nobody's trace, whoever sends it.
    for sent in [&["nonsense"][..], &[THEIRS, THEIRS]] {
        let tree = say(&relay, sent).await;
        assert_ne!(tree.trace, THEIR_TRACE);
        assert_eq!(tree.link, None);
    }
    let sam = server.key("acme", "sam").await;
    let reply = server.turn(&sam, "sams", "hello").header("traceparent", THEIRS).send().await.unwrap();
    let reply = json_of(reply, StatusCode::OK).await;
    assert_ne!(ended(&server, &sam, reply["turn"].as_str().unwrap()).await.trace, THEIR_TRACE);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_that_cannot_be_written_fails_no_turn() {
    let server = start().await;
    let key = server.key("acme", "kim").await;
    turn(&server, &key, "s", "hello").await;
    Connection::open(tenant_file(server.folder.path())).unwrap().execute("DROP TABLE journal", []).unwrap();
    turn(&server, &key, "s", "hello again").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn work_that_is_dropped_is_interrupted_and_work_that_runs_runs() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), StoreOptions::default()).unwrap();
    let journal = Journal::open(store.clone(), Ring::default(), "test", KEEP);
    let visit = visit("acme", "kim", None);
    let (began, has_begun) = tokio::sync::oneshot::channel();
    let unit = visit.run(|| {
        journal.unit(Kind::Job, "job_1", async move {
            store.tenant().unwrap().write("wait for the others", |_| Ok(())).await.unwrap();
            began.send(()).unwrap();
            std::future::pending::<()>().await;
        })
    });
    let state = async || {
        let asked = visit.run(|| journal.trace("job_1"));
        asked.await.unwrap().unwrap().work[0].state
    };
    let task = haversack::spawn_detached(unit);
    has_begun.await.unwrap();
    assert_eq!(state().await, State::Running);
    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());
    assert_eq!(state().await, State::Interrupted);
}
