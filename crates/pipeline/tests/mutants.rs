//! Each planted fault of this crate turns the effect red that is there to be seen. A mutant stays on for the rest of its
//! process, so each is tried in a child of this binary.

#![forbid(unsafe_code)]
// `unwrap` ends a test wherever it stands, and `#[tokio::test]` blocks on its runtime where no frame is.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

use std::process::Command;

use haversack::mutants::{Mutant, enable};
use haversack::testing::tenant;
use haversack_pipeline::builder::{DagBuilder, PipelineBuilder, shell};
use haversack_pipeline::run::{RunId, RunStatus};
use haversack_pipeline::run_log::What;
use haversack_pipeline::{Parameters, PipelineOptions, Pipelines};
use haversack_store::{KeyFile, Store, StoreOptions};

/// Exit codes of the probe's step: it found our environment, or the other run's file.
const INHERITED: i32 = 11;
const SHARED: i32 = 12;
const MUTANT: &str = "HAVERSACK_LAWS_MUTANT";

/// Which check of the probe is red: its exit code.
fn red(mutant: Option<Mutant>) -> Option<i32> {
    let mut probe = Command::new(std::env::current_exe().unwrap());
    probe.args(["--exact", "probe", "--ignored", "--nocapture"]).env("CANARY", "ours");
    if let Some(mutant) = mutant {
        probe.env(MUTANT, mutant.name());
    }
    let output = probe.output().unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    let code = printed.lines().find_map(|line| line.split_once("exit code ")?.1.parse().ok());
    assert_eq!(output.status.success(), code.is_none(), "{printed}");
    code
}

#[test]
fn a_broken_environment_is_visible() {
    assert_eq!(red(Some(Mutant::ChildEnvironment)), Some(INHERITED));
}

#[test]
fn a_broken_folder_is_visible() {
    assert_eq!(red(Some(Mutant::RunFolder)), Some(SHARED));
}

#[test]
fn without_a_mutant_nothing_is_red() {
    assert_eq!(red(None), None);
}

/// Two tenants, one after the other: neither our environment nor the other's files are seen by a child.
#[tokio::test]
#[ignore = "the process that the other tests start"]
async fn probe() {
    if let Some(mutant) = std::env::var(MUTANT).ok().and_then(|name| Mutant::named(&name)) {
        enable(mutant);
    }
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("data"), StoreOptions::default()).unwrap();
    let keys = KeyFile::open(&dir.path().join("keys"), &dir.path().join("data")).unwrap();
    let pipelines = Pipelines::new(store, keys, PipelineOptions::new(dir.path().join("pipelines")));
    let look =
        format!("test -z \"$CANARY\" || exit {INHERITED}; test ! -e note || exit {SHARED}; echo mine > note");
    let dag = DagBuilder::new().then("look", shell(look).get(["*"]).put(["note"]));
    let pipeline = PipelineBuilder::new("probe", dag).build().unwrap();
    for name in ["a", "b"] {
        tenant(name)
            .wrap(async {
                let run = RunId::new("r").unwrap();
                pipelines.start(&pipeline, Parameters::new(), run.clone()).await.unwrap();
                let ended = pipelines.execute(&run).await.unwrap();
                for event in pipelines.log(&run, 0, usize::MAX).await.unwrap() {
                    if let What::Ended { reason: Some(reason), .. } = event.what {
                        println!("{reason}");
                    }
                }
                assert_eq!(ended.entry.status, RunStatus::Succeeded);
            })
            .await;
    }
}
