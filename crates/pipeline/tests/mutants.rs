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
use haversack_pipeline::{Parameters, PipelineOptions, Pipelines};
use haversack_store::{Store, StoreOptions};

const MUTANT: &str = "HAVERSACK_LAWS_MUTANT";

/// Whether the probe finds everything kept apart.
fn is_green(mutant: Option<Mutant>) -> bool {
    let mut probe = Command::new(std::env::current_exe().unwrap());
    probe.args(["--exact", "probe", "--ignored"]).env("CANARY", "ours");
    if let Some(mutant) = mutant {
        probe.env(MUTANT, mutant.name());
    }
    probe.output().unwrap().status.success()
}

#[test]
fn a_broken_environment_is_visible() {
    assert!(!is_green(Some(Mutant::ChildEnvironment)));
}

#[test]
fn a_broken_folder_is_visible() {
    assert!(!is_green(Some(Mutant::RunFolder)));
}

#[test]
fn without_a_mutant_nothing_is_red() {
    assert!(is_green(None));
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
    let pipelines = Pipelines::new(store, PipelineOptions::new(dir.path().join("pipelines")));
    let look = "test -z \"$CANARY\" || exit 11; test ! -e note || exit 12; echo mine > note";
    let dag = DagBuilder::new().then("look", shell(look).get(["*"]).put(["note"]));
    let pipeline = PipelineBuilder::new("probe", dag).build().unwrap();
    for name in ["a", "b"] {
        tenant(name)
            .wrap(async {
                let run = RunId::new("r").unwrap();
                pipelines.start(&pipeline, Parameters::new(), run.clone()).await.unwrap();
                assert_eq!(pipelines.execute(&run).await.unwrap().status, RunStatus::Succeeded);
            })
            .await;
    }
}
