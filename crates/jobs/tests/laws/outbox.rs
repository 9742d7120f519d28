//! A job and a change of the tenant's data: both, or neither.

use haversack::well_known::PRINCIPAL;
use haversack_jobs::{Handlers, NewJob};
use haversack_store::StoreError;

use crate::{Place, caller, on_disk, succeeded};

async fn close(place: &Place, fails: bool) -> Result<haversack_jobs::JobId, StoreError> {
    let jobs = place.jobs.clone();
    let write = place.store.tenant()?.write("change and enqueue", move |tx| {
        tx.execute(
            "INSERT INTO sessions (session_id, principal, created_at, last_active_at) VALUES ('s', 'p', 1, 1)",
            [],
        )?;
        let id = jobs.enqueue(tx, NewJob::new("work", &"canary-outbox-33").unwrap())?;
        if fails { Err(StoreError::Busy) } else { Ok(id) }
    });
    write.await
}

#[tokio::test]
async fn a_rolled_back_change_queues_nothing() {
    let place = Place::fresh();
    caller("acme", "ada")
        .wrap(async {
            close(&place, true).await.unwrap_err();
            assert_eq!(place.jobs.relay().await.unwrap(), 0);
            assert_eq!(place.jobs.list(None, 10).await.unwrap().jobs, []);
        })
        .await;
}

#[tokio::test]
async fn a_committed_change_queues_its_job_once_however_often_it_is_relayed() {
    let place = Place::fresh();
    let id = caller("acme", "ada")
        .wrap(async {
            let id = close(&place, false).await.unwrap();
            assert!(place.jobs.get(&id).await.is_err(), "not before it is relayed");
            assert_eq!(on_disk(place.dir.path(), "canary-outbox-33"), Vec::<std::path::PathBuf>::new());
            id
        })
        .await;
    // The process died in between, and somebody else of the tenant relays: a sweep of the operator.
    caller("acme", "operator:sweep")
        .wrap(async {
            let relays = (place.jobs.relay(), place.jobs.relay());
            let (one, other) = tokio::join!(relays.0, relays.1);
            assert!(one.unwrap() + other.unwrap() >= 1);
            assert_eq!(place.jobs.relay().await.unwrap(), 0);
            assert!(place.jobs.get(&id).await.is_err(), "who relays it does not own it");
        })
        .await;
    let run = || async { Ok(PRINCIPAL.get()?.as_str().to_owned()) };
    let worker = place.work(Handlers::new().on("work", run));
    caller("acme", "ada")
        .wrap(async {
            assert_eq!(place.jobs.wait(&id).await.unwrap(), succeeded("ada"));
            assert_eq!(place.jobs.list(None, 10).await.unwrap().jobs.len(), 1);
        })
        .await;
    worker.stop().await;
}

#[tokio::test]
async fn another_tenants_outbox_is_not_relayed() {
    let place = Place::fresh();
    caller("acme", "ada").wrap(async { close(&place, false).await.unwrap() }).await;
    caller("other", "ada").wrap(async { assert_eq!(place.jobs.relay().await.unwrap(), 0) }).await;
    caller("acme", "ada").wrap(async { assert_eq!(place.jobs.relay().await.unwrap(), 1) }).await;
}
