//! An executor that is killed leaves a run that another one ends: nothing twice, nothing hidden, nobody left running.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use haversack::testing::tenant;
use haversack_pipeline::builder::{parallel, shell};
use haversack_pipeline::run::RunStatus::Succeeded;
use haversack_pipeline::run_log::{AttemptStatus, What};
use haversack_pipeline::{Pipeline, Pipelines};
use serde_json::json;

use crate::processes::is_gone;
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

#[tokio::test]
async fn a_killed_run_is_resumed() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "kill::execute_until_killed", "--ignored", "--nocapture"])
        .env(FOLDER, dir.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("stuck")), "it came to the second step");
    child.kill().unwrap();
    child.wait().unwrap();
    let orphan: u32 = std::fs::read_to_string(dir.path().join("second")).unwrap().trim().parse().unwrap();
    assert!(!is_gone(orphan), "a killed executor takes nobody along");

    let house = House::at(dir, |options| options);
    tenant("a")
        .wrap(async {
            let view = house.pipelines.execute(&id("r")).await.unwrap();
            let log = house.log("r").await;
            assert_eq!(view.status, Succeeded, "{log:#?}");
            assert_eq!(view.generation, 2);
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
