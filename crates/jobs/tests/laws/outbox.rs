//! A job and a change of the tenant's data: both, or neither.

use std::time::Duration;

use haversack::well_known::PRINCIPAL;
use haversack_jobs::{Handlers, NewJob};
use haversack_store::StoreError;

use crate::{Notes, Place, caller, on_disk, succeeded};

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

/// Runs SQL on the current tenant's file or the control file, as a crash at another moment would have left it.
async fn in_outbox(place: &Place, sql: &'static str) -> usize {
    let write = place.store.tenant().unwrap().write("change", move |tx| Ok(tx.execute(sql, [])?));
    let changed: Result<usize, StoreError> = write.await;
    changed.unwrap()
}

const ASIDE: &str =
    concat!("UPDATE outbox SET unreadable = '", env!("CARGO_PKG_VERSION"), "' WHERE number = 1");

#[tokio::test]
async fn a_relayed_job_runs_once_also_when_its_row_was_due_to_be_swept_before_the_outbox_was_cleared() {
    let place = Place::fresh();
    let (notes, mut heard) = Notes::new();
    let run = move || {
        notes.add("run");
        async { Ok(()) }
    };
    let often = haversack_jobs::WorkerOptions { sweep: Duration::from_millis(10), ..crate::options() };
    let jobs = place.jobs.clone();
    let enqueue = || {
        let (jobs, db) = (jobs.clone(), place.store.tenant().unwrap());
        async move {
            let job = NewJob::new("work", &()).unwrap().keep(Duration::ZERO);
            let write = db.write("enqueue", move |tx| Ok(jobs.enqueue(tx, job)?));
            write.await.unwrap()
        }
    };
    let visit = caller("acme", "ada");
    let worker = visit
        .wrap(async {
            enqueue().await;
            // It dies between the two files: what was queued stands in the outbox as before.
            in_outbox(
                &place,
                "CREATE TRIGGER died BEFORE DELETE ON outbox BEGIN SELECT RAISE(ABORT, 'died'); END",
            )
            .await;
            jobs.relay().await.unwrap_err();
            in_outbox(&place, "DROP TRIGGER died").await;
            let worker = place.work_with(Handlers::new().on("work", run), often);
            assert_eq!(heard.recv().await.unwrap(), "run");
            // Sweeps pass by, and sweep what came after.
            let other = enqueue().await;
            // The first one stays where it is, as when nobody relays this tenant for a while.
            in_outbox(&place, ASIDE).await;
            assert_eq!(jobs.relay().await.unwrap(), 1);
            assert_eq!(heard.recv().await.unwrap(), "run");
            while jobs.get(&other).await.is_ok() {
                // A row that goes tells nobody.
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            in_outbox(&place, "UPDATE outbox SET unreadable = NULL").await;
            assert_eq!(jobs.relay().await.unwrap(), 1, "it is moved, and known");
            assert_eq!(jobs.relay().await.unwrap(), 0);
            // Now its row may go.
            while !jobs.list(None, 10).await.unwrap().jobs.is_empty() {
                // A row that goes tells nobody.
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            worker
        })
        .await;
    worker.stop().await;
    assert!(heard.try_recv().is_err(), "each ran once");
}

#[tokio::test]
async fn what_a_relay_left_held_is_let_go_by_the_next() {
    let place = Place::fresh();
    caller("acme", "ada")
        .wrap(async {
            close(&place, false).await.unwrap();
            place.jobs.relay().await.unwrap();
            let held = || {
                place.store.control().engine().read("look", |conn| {
                    let held = "SELECT count(*) FROM jobs WHERE in_outbox = 1";
                    Ok(conn.query_row(held, [], |row| row.get::<_, i64>(0))?)
                })
            };
            assert_eq!(held().await.unwrap(), 0);
            let died =
                place.store.control().engine().write("die before the last step", |tx| {
                    Ok(tx.execute("UPDATE jobs SET in_outbox = 1", [])?)
                });
            died.await.unwrap();
            assert_eq!(place.jobs.relay().await.unwrap(), 0);
            assert_eq!(held().await.unwrap(), 0);
        })
        .await;
}

#[tokio::test]
async fn a_row_that_cannot_be_read_is_put_aside_and_the_others_go_on() {
    let place = Place::fresh();
    caller("acme", "ada")
        .wrap(async {
            let bad = close(&place, false).await.unwrap();
            in_outbox(&place, "UPDATE outbox SET plan = '{\"of\":\"another program\"}'").await;
            let jobs = place.jobs.clone();
            let write = place.store.tenant().unwrap().write("enqueue", move |tx| {
                Ok(jobs.enqueue(tx, NewJob::new("work", &()).unwrap())?)
            });
            let good = write.await.unwrap();
            assert_eq!(place.jobs.relay().await.unwrap(), 1);
            assert!(place.jobs.get(&good).await.is_ok());
            assert!(place.jobs.get(&bad).await.is_err());
            assert_eq!(in_outbox(&place, "UPDATE outbox SET unreadable = unreadable").await, 1, "it is kept");
            assert_eq!(place.jobs.relay().await.unwrap(), 0);
            // Another version of the program tries again.
            let mended = "UPDATE outbox SET unreadable = 'another version', plan = (SELECT plan FROM
                          (SELECT json_object('handler', 'work', 'queue', 'default', 'dedup', NULL, 'existing', 'keep',
                             'run_at', 1, 'timeout_ms', 1000, 'deadline', NULL, 'max_attempts', 1, 'max_deliveries', 1,
                             'backoff', json_object('first', json_object('secs', 1, 'nanos', 0),
                                                    'max', json_object('secs', 1, 'nanos', 0)),
                             'keep_ms', 1000) AS plan))";
            in_outbox(&place, mended).await;
            assert_eq!(place.jobs.relay().await.unwrap(), 1);
            assert!(place.jobs.get(&bad).await.is_ok());
        })
        .await;
}
