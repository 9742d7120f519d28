//! An executor that is killed leaves a run that another one ends: nothing twice, nothing hidden, nobody left running.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use haversack::testing::{session, tenant};
use haversack::well_known::SessionId;
use haversack_pipeline::builder::{parallel, python, shell};
use haversack_pipeline::run::RunStatus::Succeeded;
use haversack_pipeline::run_log::{AttemptStatus, What};
use haversack_pipeline::{Pipeline, Pipelines};
use haversack_store::Store;
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::processes::{family, ids, is_gone};
use crate::{House, branch, chain, ended, id, none, open, outputs, until};

const FOLDER: &str = "HAVERSACK_LAWS_FOLDER";

/// The first step counts its runs in a file; the second one never ends at its first attempt.
fn pipeline(dir: &Path) -> Pipeline {
    let dir = dir.display();
    let first = format!("echo ran >> {dir}/first; echo '{{\"one\": 1}}' > \"$HAVERSACK_RETURNS\"");
    let second = format!(
        "test $HAVERSACK_ATTEMPT = 1 || exit 0; echo $$ > {dir}/second.half; mv {dir}/second.half {dir}/second; sleep 1000"
    );
    let both = parallel([
        ("left", branch([("fine", shell("true"))])),
        ("right", branch([("stuck", shell(second))])),
    ]);
    chain([("first", shell(first).returns(["one"])), ("both", both), ("last", shell("test $one = 1"))])
}

/// A process that is one of the tests below, once it says that it is stuck.
fn executor(test: &str, dir: &Path) -> Child {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--ignored", "--nocapture"])
        .env(FOLDER, dir)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("stuck")), "it came as far as it should");
    child
}

#[tokio::test]
async fn a_killed_run_is_resumed() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = executor("kill::execute_until_killed", dir.path());
    child.kill().unwrap();
    child.wait().unwrap();
    let orphan: u32 = std::fs::read_to_string(dir.path().join("second")).unwrap().trim().parse().unwrap();
    assert!(!is_gone(orphan), "a killed executor takes nobody along");

    let house = House::at(dir, |options| options);
    tenant("a")
        .wrap(async {
            let view = house.pipelines.execute(&id("r")).await.unwrap();
            let log = house.log("r").await;
            assert_eq!(view.entry.status, Succeeded, "{log:#?}");
            assert_eq!(view.entry.generation, 2);
            use AttemptStatus::{Lost, Succeeded as S};
            let stuck: Vec<_> =
                ended(&log).into_iter().filter(|(step, _)| *step == "both/right/stuck").collect();
            assert_eq!(stuck, [("both/right/stuck", Lost), ("both/right/stuck", S)]);
            assert_eq!(outputs(&log), json!({"one": 1}));
            assert!(log.iter().enumerate().all(|(at, event)| event.number == at as u64 + 1), "without gaps");
            let code = log.iter().filter(|event| matches!(event.what, What::Began { code: Some(_) })).count();
            assert_eq!(code, 1, "the code is written down once a run");
        })
        .await;
    assert_eq!(
        std::fs::read_to_string(house.dir.path().join("first")).unwrap(),
        "ran\n",
        "what succeeded ran once"
    );
    until("the orphan to be gone", || is_gone(orphan)).await;
}

#[tokio::test]
#[ignore = "run by a_killed_run_is_resumed, which kills it"]
async fn execute_until_killed() {
    let Some(dir) = std::env::var_os(FOLDER) else { return };
    let dir = Path::new(&dir);
    let pipelines: Pipelines = open(dir, |options| options).2;
    tenant("a")
        .wrap(async {
            pipelines.start(&pipeline(dir), none(), id("r")).await.unwrap();
            let running = haversack::spawn(pipelines.execute(&id("r")));
            until("the second step", || dir.join("second").exists()).await;
            // Its sibling's end is on disk too: what is lost is one attempt.
            let mut follow = pipelines.follow(&id("r"), 0).unwrap();
            while let Some(event) = follow.next().await.unwrap() {
                if matches!(&event.what, What::AttemptEnded { step, .. } if step == "both/left/fine") {
                    break;
                }
            }
            println!("stuck");
            running.await.unwrap().unwrap();
        })
        .await;
}

/// The shell of its step leaves something in the background, and ends when its executor has died.
fn leaves(dir: &Path) -> Pipeline {
    let there = dir.join("left");
    let step = format!(
        "test $HAVERSACK_ATTEMPT = 1 || exit 0; {}",
        family(&there, "while kill -0 $PPID; do sleep 0.05; done")
    );
    chain([("s", shell(step))])
}

#[tokio::test]
async fn what_a_dead_shell_of_a_dead_executor_left_is_ended() {
    // Whose parent dies is ours to collect: not every machine has somebody who does, and a shell that is dead and not
    // collected still names its group.
    rustix::process::set_child_subreaper(rustix::process::Pid::from_raw(1)).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let mut child = executor("kill::leave_until_killed", dir.path());
    child.kill().unwrap();
    child.wait().unwrap();
    let [shell, left] = ids(&dir.path().join("left"))[..] else { panic!("both are written down") };
    let collect = || {
        let shell = rustix::process::Pid::from_raw(shell.cast_signed());
        rustix::process::waitpid(shell, rustix::process::WaitOptions::NOHANG)
            .is_ok_and(|found| found.is_some())
    };
    until("the shell to be collected", collect).await;
    assert!(!Path::new(&format!("/proc/{shell}")).exists());
    assert!(!is_gone(left), "what it left lives on in its group");

    let house = House::at(dir, |options| options);
    tenant("a")
        .wrap(async {
            assert_eq!(house.pipelines.execute(&id("r")).await.unwrap().entry.status, Succeeded);
            use AttemptStatus::{Lost, Succeeded as S};
            assert_eq!(ended(&house.log("r").await), [("s", Lost), ("s", S)]);
        })
        .await;
    until("what was left to be gone", || is_gone(left)).await;
}

#[tokio::test]
#[ignore = "run by what_a_dead_shell_of_a_dead_executor_left_is_ended, which kills it"]
async fn leave_until_killed() {
    let Some(dir) = std::env::var_os(FOLDER) else { return };
    let dir = Path::new(&dir);
    let pipelines: Pipelines = open(dir, |options| options).2;
    session("a", "desk")
        .wrap(async {
            pipelines.start(&leaves(dir), none(), id("r")).await.unwrap();
            let running = haversack::spawn(pipelines.execute(&id("r")));
            until("something in the background", || dir.join("left").exists()).await;
            println!("stuck");
            running.await.unwrap().unwrap();
        })
        .await;
}

/// Its owner deletes what nobody executes any more, and what it left running ends with it.
#[tokio::test]
async fn a_deleted_run_of_a_dead_executor_leaves_no_process() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = executor("kill::leave_until_killed", dir.path());
    child.kill().unwrap();
    child.wait().unwrap();
    let left = ids(&dir.path().join("left"))[1];
    assert!(!is_gone(left), "what it left lives on in its group");

    let house = House::at(dir, |options| options);
    let desk = SessionId::new("desk").unwrap();
    assert_eq!(tenant("a").wrap(async { house.pipelines.forget(&desk).await.unwrap() }).await, 1);
    until("what was left to be gone", || is_gone(left)).await;
}

/// Two kinds of children, neither of which may do anything before it is written down.
fn marks(dir: &Path) -> Pipeline {
    let mark = |name: &str| dir.join(name).display().to_string();
    let by_python = format!("open({:?}, 'w').close()", mark("python"));
    let both = parallel([
        ("one", branch([("s", shell(format!("touch {}", mark("shell"))))])),
        ("two", branch([("s", python(by_python))])),
    ]);
    chain([("both", both)])
}

/// Where the children of the run are written down.
async fn notes(dir: &Path, store: &Store) -> Vec<PathBuf> {
    let asking = tenant("a").wrap(async {
        let rows = store.rows().unwrap();
        rows.read("ask", |conn, _| Ok(conn.query_row("SELECT id FROM pipeline_runs", [], |row| row.get(0))?))
            .await
    });
    let id: String = asking.await.unwrap();
    let owner: String = Sha256::digest(b"a").iter().map(|byte| format!("{byte:02x}")).collect();
    let attempts = dir.join("pipelines").join(owner).join(format!("r.{id}/attempts"));
    (1..=8).map(|number| attempts.join(number.to_string()).join("process")).collect()
}

/// The processes whose parent this is.
fn children(parent: u32) -> Vec<u32> {
    let ids = std::fs::read_dir("/proc").unwrap().flatten();
    let ids = ids.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    ids.filter(|id| {
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        let of = stat.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(1)?.parse::<u32>().ok());
        of == Some(parent)
    })
    .collect()
}

/// The executor is held, and killed, between the start of a child and the note of it.
#[tokio::test]
async fn a_child_that_was_never_written_down_does_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = executor("kill::start_until_killed", dir.path());
    until("both children to be there", || children(child.id()).len() == 2).await;
    let waiting = children(child.id());
    child.kill().unwrap();
    child.wait().unwrap();
    until("the children to be gone", || waiting.iter().all(|id| is_gone(*id))).await;
    for name in ["shell", "python"] {
        assert!(!dir.path().join(name).exists(), "{name}: it worked, and nobody knew of it");
    }

    let house = House::at(dir, |options| options);
    notes(house.dir.path(), &house.store).await.iter().for_each(|note| drop(std::fs::remove_file(note)));
    tenant("a")
        .wrap(async {
            assert_eq!(house.pipelines.execute(&id("r")).await.unwrap().entry.status, Succeeded);
        })
        .await;
    assert!(house.dir.path().join("shell").exists() && house.dir.path().join("python").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "run by a_child_that_was_never_written_down_does_nothing, which kills it"]
async fn start_until_killed() {
    let Some(dir) = std::env::var_os(FOLDER) else { return };
    let dir = Path::new(&dir);
    let (store, _, pipelines) = open(dir, |options| options);
    tenant("a").wrap(async { pipelines.start(&marks(dir), none(), id("r")).await.unwrap() }).await;
    // Whoever writes into these waits for a reader, who never comes.
    for note in notes(dir, &store).await {
        std::fs::create_dir_all(note.parent().unwrap()).unwrap();
        assert!(Command::new("mkfifo").arg(note).status().unwrap().success());
    }
    println!("stuck");
    tenant("a").wrap(async { drop(pipelines.execute(&id("r")).await) }).await;
}
