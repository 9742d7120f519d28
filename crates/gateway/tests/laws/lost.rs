//! Processes and schedules that nobody can go on with, and those that ended: told once, or forgotten, and never tried for ever.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use haversack_gateway::process::{NewProcess, State};
use haversack_gateway::{Arrival, GatewayOptions, Hooks, Reply};
use haversack_store::sqlite::FromSql;
use serde_json::json;
use tempfile::TempDir;

use crate::callbacks::Callbacks;
use crate::house::{Answers, House, Post, account, options};
use crate::processes::{runs_what_is_said, start, started, tell, with_commands};

async fn open(
    folder: Arc<TempDir>,
    callbacks: &Callbacks,
    change: impl FnOnce(&mut GatewayOptions),
) -> House {
    let mut options = with_commands(options(), folder.path());
    change(&mut options);
    House::in_folder(folder, vec![account("shop", "acme", &callbacks.origin)], options, runs_what_is_said)
        .await
}

pub(crate) async fn execute(house: &House, sql: &'static str) -> usize {
    let engine = house.store.control().engine();
    engine.write("change", move |tx| Ok(tx.execute(sql, [])?)).await.unwrap()
}

pub(crate) async fn ask<T: FromSql + Send + 'static>(house: &House, sql: &'static str) -> T {
    let engine = house.store.control().engine();
    engine.read("ask", move |conn| Ok(conn.query_row(sql, [], |row| row.get(0))?)).await.unwrap()
}

/// Waits until a question has this answer.
pub(crate) async fn until(house: &House, sql: &'static str, answer: i64) {
    let settled = async {
        while ask::<i64>(house, sql).await != answer {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(30), settled).await.expect("it settles");
}

/// The folder of a gateway that was killed while a command of it ran; the command is gone too.
async fn killed(callbacks: &mut Callbacks) -> Arc<TempDir> {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let (path, origin) = (folder.path().to_owned(), callbacks.origin.clone());
    let action = start("exec sleep 600", json!({}));
    let child = tokio::task::spawn_blocking(move || crate::kill::gateway_process(&path, &origin, &action));
    let mut child = child.await.unwrap();
    assert!(callbacks.next().await.text.contains("process"));
    child.kill().unwrap();
    child.wait().unwrap();
    let store = crate::house::store_in(folder.path());
    let engine = store.control().engine();
    let pid = engine.write("end everything", |tx| {
        // The answer was heard, whether or not that was written down.
        tx.execute("DELETE FROM gateway_deliveries", [])?;
        Ok(tx.query_row("SELECT pid FROM gateway_processes", [], |row| row.get::<_, i64>(0))?)
    });
    let pid = pid.await.unwrap().to_string();
    store.close().await.unwrap();
    assert!(std::process::Command::new("kill").args(["-9", &pid]).status().unwrap().success());
    folder
}

/// Changes the file of a gateway that is down.
async fn change(folder: &TempDir, sql: &'static str) {
    let store = crate::house::store_in(folder.path());
    let changed = store.control().engine().write("change", move |tx| Ok(tx.execute(sql, [])?));
    assert_eq!(changed.await.unwrap(), 1, "{sql}");
    store.close().await.unwrap();
}

const LOST: &str = "SELECT count(*) FROM gateway_processes WHERE state = 'lost'";

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_began_when_its_gateway_was_killed_is_reported_as_lost() {
    let mut callbacks = Callbacks::start().await;
    let folder = killed(&mut callbacks).await;
    change(&folder, "UPDATE gateway_processes SET state = 'starting', pid = 0, born = ''").await;
    let _house = open(folder, &callbacks, |_| {}).await;
    let told = callbacks.next().await;
    assert_eq!((told.path.as_str(), &told.body["in_reply_to"]), ("/in", &json!("m1")));
    assert!(told.text.contains("was lost") && told.text.contains("whether it ran"), "{}", told.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_of_a_living_neighbour_is_not_called_lost() {
    let mut callbacks = Callbacks::start().await;
    let folder = killed(&mut callbacks).await;
    change(&folder, "UPDATE gateway_processes SET instance = 'worker'").await;
    let alive = Arc::new(AtomicBool::new(true));
    let (asked, other) = (Arc::new(tokio::sync::Notify::new()), alive.clone());
    let asks = asked.clone();
    let house = open(folder, &callbacks, |options| {
        options.hooks = Hooks::default().process("server", move |name| {
            asks.notify_one();
            name == "worker" && other.load(Ordering::SeqCst)
        });
    })
    .await;
    // Looked at, and more than once.
    let looked = async {
        for _ in 0..3 {
            asked.notified().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(30), looked).await.expect("it is asked who lives");
    assert_eq!(ask::<i64>(&house, LOST).await, 0);
    alive.store(false, Ordering::SeqCst);
    assert!(callbacks.next().await.text.contains("was lost"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_whose_row_does_not_open_ends_as_lost_and_is_not_tried_again() {
    let mut callbacks = Callbacks::start().await;
    let folder = killed(&mut callbacks).await;
    change(&folder, "UPDATE gateway_processes SET sealed = zeroblob(200)").await;
    let house = open(folder, &callbacks, |_| {}).await;
    until(&house, LOST, 1).await;
    let kept = "SELECT count(*) FROM gateway_processes WHERE sealed IS NOT NULL OR ended_at IS NULL";
    assert_eq!(ask::<i64>(&house, kept).await, 0);
    assert!(callbacks.rest().is_empty());
}

#[tokio::test]
async fn a_schedule_that_does_not_open_runs_no_more_and_its_owner_sees_it() {
    let mut callbacks = Callbacks::start().await;
    let house = open(Arc::default_folder(), &callbacks, |_| {}).await;
    let create = json!({ "action": "create", "expression": "0 6 * * *", "prompt": "say wake up" });
    Post::new("shop", "m1", &format!("schedule {create}")).calling(callbacks.url("/in")).send(&house).await;
    assert!(!callbacks.next().await.text.contains("lost"));
    assert_eq!(execute(&house, "UPDATE gateway_schedules SET sealed = zeroblob(200), next_at = 1").await, 1);
    until(&house, "SELECT count(*) FROM gateway_schedules WHERE lost_at IS NOT NULL", 1).await;
    // A lease that lapses brings nobody back to it.
    let fence: i64 = ask(&house, "SELECT fence FROM gateway_schedules").await;
    execute(&house, "UPDATE gateway_schedules SET lease_until = 0").await;
    let list = r#"schedule {"action":"list"}"#;
    Post::new("shop", "m2", list).calling(callbacks.url("/in")).send(&house).await;
    let listed = callbacks.next().await.text;
    assert!(listed.contains("\"lost\":true"), "{listed}");
    assert_eq!(ask::<i64>(&house, "SELECT fence FROM gateway_schedules").await, fence);
}

#[tokio::test]
async fn a_session_remembers_the_last_processes_that_ended_and_no_more() {
    let mut callbacks = Callbacks::start().await;
    let house = open(Arc::default_folder(), &callbacks, |options| {
        options.processes.as_mut().unwrap().keep_most = 2;
    })
    .await;
    let mut ids = Vec::new();
    for number in 0..4 {
        let id = started(&house, &mut callbacks, &format!("s{number}"), "true", json!({})).await;
        assert!(callbacks.next().await.text.contains("ended with exit code 0"));
        ids.push(id);
    }
    let list = |id: &str| Post::new("shop", id, r#"process {"action":"list"}"#).calling(callbacks.url("/in"));
    list("l1").send(&house).await;
    let listed = callbacks.next().await.text;
    let seen: Vec<_> = ids.iter().map(|id| listed.contains(id.as_str())).collect();
    assert_eq!(seen, [false, false, true, true], "{listed}");
    until(&house, "SELECT count(*) FROM gateway_processes", 2).await;
    assert!(tell(&house, &mut callbacks, "p1", "poll", &ids[0]).await.contains("no such process"));
}

#[tokio::test]
async fn a_process_is_forgotten_a_while_after_its_end() {
    let mut callbacks = Callbacks::start().await;
    let nothing = |options: &mut GatewayOptions| {
        options.processes.as_mut().unwrap().keep = std::time::Duration::ZERO;
    };
    let house = open(Arc::default_folder(), &callbacks, nothing).await;
    let id = started(&house, &mut callbacks, "m1", "true", json!({})).await;
    assert!(callbacks.next().await.text.contains("ended with exit code 0"));
    Post::new("shop", "m2", r#"process {"action":"list"}"#).calling(callbacks.url("/in")).send(&house).await;
    assert_eq!(callbacks.next().await.text, "[]");
    // The row goes with the next sweep, and one is made at each start.
    let house = open(house.close().await, &callbacks, nothing).await;
    until(&house, "SELECT count(*) FROM gateway_processes", 0).await;
    assert!(tell(&house, &mut callbacks, "m3", "poll", &id).await.contains("no such process"));
}

#[tokio::test]
async fn calls_at_once_do_not_pass_the_bound_together_and_a_command_that_does_not_start_leaves_nothing() {
    let mut callbacks = Callbacks::start().await;
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let mut options = with_commands(options(), folder.path());
    options.processes.as_mut().unwrap().most = 2;
    let accounts = vec![account("shop", "acme", &callbacks.origin)];
    let house = House::in_folder(folder, accounts, options, |desk| {
        let processes = desk.processes().unwrap().clone();
        Arc::new(Answers(move |arrival: Arrival| {
            let processes = processes.clone();
            async move {
                let command = arrival.message().unwrap().text.clone();
                let starts = (0..8).map(|_| {
                    processes.start(NewProcess { command: command.clone(), ..NewProcess::default() })
                });
                let started = futures_util::future::join_all(starts).await;
                let many = started.iter().filter(|started| started.is_ok()).count();
                let mut running = processes.list().unwrap();
                running.retain(|process| process.state == State::Running);
                for process in &running {
                    processes.kill(&process.id).await.unwrap();
                }
                Ok(Reply::new(format!("{many} of 8 started, {} run", running.len())))
            }
        }))
    })
    .await;
    Post::new("shop", "m1", "sleep 600").calling(callbacks.url("/in")).send(&house).await;
    assert_eq!(callbacks.next().await.text, "2 of 8 started, 2 run");
    // A folder that is gone: the shell cannot be started in it.
    let work = house.folder.path().join("work");
    std::fs::remove_dir_all(&work).unwrap();
    std::fs::write(&work, "no folder").unwrap();
    Post::new("shop", "m2", "sleep 600").calling(callbacks.url("/in")).send(&house).await;
    assert_eq!(callbacks.next().await.text, "0 of 8 started, 0 run");
    until(&house, "SELECT count(*) FROM gateway_processes WHERE ended_at IS NULL", 0).await;
}

trait Folder {
    fn default_folder() -> Self;
}

impl Folder for Arc<TempDir> {
    fn default_folder() -> Self {
        Arc::new(tempfile::tempdir().unwrap())
    }
}
