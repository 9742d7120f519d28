//! The check of owners sees a broken fence: with the mutant on, one tenant finds another's job by its id.
//!
//! A mutant stays on for the rest of its process, so this binary holds one.

#![forbid(unsafe_code)]
// `unwrap` ends a test wherever it stands, and `#[tokio::test]` blocks on its runtime where no frame is.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods)]

use haversack::mutants::{Mutant, enable};
use haversack::testing::tenant;
use haversack::well_known::{PRINCIPAL, TENANT_ID};
use haversack::{Manifest, manifest};
use haversack_jobs::{JobOptions, Jobs, NewJob};
use haversack_store::{KeyFile, Store, StoreOptions};

static OUT: Manifest = manifest![TENANT_ID, PRINCIPAL];

#[tokio::test]
async fn a_broken_fence_around_jobs_is_visible() {
    enable(Mutant::JobOwner);
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let store = Store::open(&data, StoreOptions::default()).unwrap();
    let keys = KeyFile::open(&dir.path().join("keys"), &data).unwrap();
    let jobs = Jobs::new(store, keys, &OUT, JobOptions::default());
    let submit = || jobs.submit(NewJob::new("work", &()).unwrap());
    let submitted = tenant("a").wrap(async { submit().await.unwrap() }).await;
    let id = submitted.id().unwrap().clone();
    let found = tenant("b").wrap(async { jobs.get(&id).await }).await;
    assert_eq!(found.unwrap().id, id);
}
