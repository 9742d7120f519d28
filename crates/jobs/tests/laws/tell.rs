//! Whoever was promised the end of a job is told, however it ended and whoever wrote that down, once for each end; and where
//! nobody can be told, the job says so.

use std::time::Duration;

use haversack::well_known::{PRINCIPAL, TENANT_ID};
use haversack_jobs::current::{ATTEMPT, JOB_ID};
use haversack_jobs::{Failure, Finished, Handlers, JobId, NewJob, OnExisting, Outcome, State, WorkerOptions};
use tokio::sync::mpsc::UnboundedReceiver;

use crate::child::{Second, job};
use crate::{Notes, Place, caller, options, submit};

/// Handlers whose hook says what it was told, and for whom.
fn telling(notes: &Notes) -> Handlers {
    let notes = notes.clone();
    Handlers::new().on_finished(move |finished| {
        let notes = notes.clone();
        async move {
            notes.add(line(&finished)?);
            Ok(())
        }
    })
}

fn line(finished: &Finished) -> Result<String, Failure> {
    let (tenant, principal) = (TENANT_ID.get()?, PRINCIPAL.get()?);
    assert_eq!(JOB_ID.get()?, finished.id);
    let said =
        finished.said.as_deref().map(|said| String::from_utf8_lossy(said).into_owned()).unwrap_or_default();
    let drive = ATTEMPT.get()?.drive();
    Ok(format!("{tenant} {principal} {} {drive} {said}", finished.state))
}

async fn heard(heard: &mut UnboundedReceiver<String>) -> String {
    heard.recv().await.unwrap()
}

/// Waits until nothing is left to tell, and demands that nothing of a job that is done was kept.
async fn quiet(place: &Place) {
    loop {
        let left = place.store.control().engine().read("look", |conn| {
            Ok(conn.query_row("SELECT count(*) FROM jobs WHERE tell_at IS NOT NULL", [], |row| {
                row.get::<_, i64>(0)
            })?)
        });
        if left.await.unwrap() == 0 {
            break;
        }
        // A mark on a row tells nobody.
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let kept = place.store.control().engine().read("look", |conn| {
        let kept = "SELECT count(*) FROM jobs j JOIN job_requests r ON r.number = j.number
                    WHERE j.state IN ('succeeded', 'cancelled')";
        Ok(conn.query_row(kept, [], |row| row.get::<_, i64>(0))?)
    });
    assert_eq!(kept.await.unwrap(), 0);
}

async fn state(place: &Place, id: &JobId) -> haversack_jobs::Job {
    let (jobs, id) = (place.jobs.clone(), id.clone());
    caller("acme", "ada").wrap(async move { jobs.get(&id).await.unwrap() }).await
}

fn later() -> NewJob {
    NewJob::new("work", &()).unwrap().delay(Duration::from_secs(3600))
}

#[tokio::test]
async fn one_that_was_called_off_or_replaced_while_it_waited_is_told() {
    let place = Place::fresh();
    let (notes, mut news) = Notes::new();
    let jobs = place.jobs.clone();
    caller("acme", "ada")
        .wrap(async move {
            let id = submit(&jobs, later()).await;
            jobs.cancel(&id).await.unwrap();
            submit(&jobs, later().key("k")).await;
            submit(&jobs, later().key("k").on_existing(OnExisting::Replace)).await;
        })
        .await;
    // Nobody who could tell was there.
    let worker = place.work(telling(&notes));
    for _ in 0..2 {
        assert_eq!(heard(&mut news).await, "acme ada cancelled 1 ");
    }
    quiet(&place).await;
    worker.stop().await;
    assert_eq!(notes.all().len(), 2, "{:?}", notes.all());
}

#[tokio::test]
async fn one_that_was_put_into_quarantine_is_told() {
    let place = Place::fresh();
    let (notes, mut news) = Notes::new();
    let jobs = place.jobs.clone();
    let id =
        caller("acme", "ada").wrap(async { submit(&jobs, job("abort", 7).max_deliveries(1)).await }).await;
    let mut second = Second::start(place.dir.path());
    assert!(second.hear("begun").is_some());
    second.rest();
    let worker = place.work(telling(&notes).on("abort", || async { Ok(()) }));
    assert_eq!(heard(&mut news).await, "acme ada quarantined 1 ");
    quiet(&place).await;
    // Driven again it comes to another end, which is told too.
    caller("acme", "ada").wrap(async { jobs.redrive(&id).await.unwrap() }).await;
    assert_eq!(heard(&mut news).await, "acme ada succeeded 2 null");
    worker.stop().await;
}

#[tokio::test]
async fn one_that_was_parked_for_too_long_is_told() {
    let place = Place::fresh();
    let (notes, mut news) = Notes::new();
    let jobs = place.jobs.clone();
    let id =
        caller("acme", "ada").wrap(async { submit(&jobs, NewJob::new("unknown", &()).unwrap()).await }).await;
    let often = WorkerOptions { sweep: Duration::from_millis(20), ..options() };
    let worker = place.work_with(telling(&notes), often);
    while state(&place, &id).await.state != State::Parked {
        tokio::task::yield_now().await;
    }
    // As if a week had passed; it may be with the worker in this moment.
    let age = "UPDATE jobs SET expires_at = 1 WHERE expires_at IS NOT NULL AND finished_at IS NULL";
    place.store.control().engine().write("age", move |tx| Ok(tx.execute(age, [])?)).await.unwrap();
    assert_eq!(heard(&mut news).await, "acme ada failed 1 ");
    quiet(&place).await;
    worker.stop().await;
}

#[tokio::test]
async fn what_a_worker_left_untold_when_it_died_is_told_by_another() {
    let place = Place::fresh();
    let (notes, mut news) = Notes::new();
    let (dying, mut began) = Notes::new();
    let jobs = place.jobs.clone();
    let id =
        caller("acme", "ada").wrap(async { submit(&jobs, NewJob::new("fails", &()).unwrap()).await }).await;
    let fails = || async { Err::<(), _>(Failure::permanent("the scanner is off")) };
    // It writes the failure down and comes no further.
    let stuck = Handlers::new().on("fails", fails).on_finished(move |_| {
        dying.add("telling");
        std::future::pending()
    });
    let first = place.work(stuck);
    assert_eq!(began.recv().await.unwrap(), "telling");
    assert_eq!(state(&place, &id).await.state, State::Failed);
    first.task.abort();
    let _ = first.task.await;
    let worker = place.work(telling(&notes).on("fails", fails));
    assert_eq!(heard(&mut news).await, "acme ada failed 1 the scanner is off");
    quiet(&place).await;
    assert!(!state(&place, &id).await.untold);
    worker.stop().await;
}

#[tokio::test]
async fn one_whose_telling_fails_is_told_again_until_it_works() {
    let place = Place::fresh();
    let (notes, mut news) = Notes::new();
    let jobs = place.jobs.clone();
    let worker = place.work(Handlers::new().on("work", || async { Ok(1) }).on_finished(move |finished| {
        notes.add(line(&finished).unwrap());
        let first = notes.all().len() == 1;
        async move { if first { Err(Failure::retry("the store is away")) } else { Ok(()) } }
    }));
    let id =
        caller("acme", "ada").wrap(async { submit(&jobs, NewJob::new("work", &()).unwrap()).await }).await;
    for _ in 0..2 {
        assert_eq!(heard(&mut news).await, "acme ada succeeded 1 1");
    }
    quiet(&place).await;
    assert!(!state(&place, &id).await.untold);
    worker.stop().await;
}

#[tokio::test]
async fn one_that_cannot_be_opened_says_that_nobody_was_told() {
    for by_whom in ["a worker", "its owner"] {
        let place = Place::fresh();
        let (notes, _) = Notes::new();
        let jobs = place.jobs.clone();
        let id = caller("acme", "ada")
            .wrap(async { submit(&jobs, NewJob::new("work", &()).unwrap()).await })
            .await;
        let spoil = "UPDATE job_requests SET sealed = substr(sealed, 1, length(sealed) - 9)";
        place.store.control().engine().write("spoil", move |tx| Ok(tx.execute(spoil, [])?)).await.unwrap();
        if by_whom == "its owner" {
            let (jobs, id) = (place.jobs.clone(), id.clone());
            caller("acme", "ada").wrap(async move { jobs.cancel(&id).await.unwrap() }).await;
        }
        let worker = place.work(telling(&notes).on("work", || async { Ok(()) }));
        while !state(&place, &id).await.untold {
            // A mark on a row tells nobody.
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        quiet(&place).await;
        worker.stop().await;
        assert_eq!(notes.all(), [""; 0], "{by_whom}");
    }
}

#[tokio::test]
async fn where_nobody_listens_nothing_is_kept_for_telling() {
    let place = Place::fresh();
    let worker = place.work(Handlers::new().on("work", || async { Ok(()) }));
    let jobs = place.jobs.clone();
    caller("acme", "ada")
        .wrap(async {
            let id = submit(&jobs, later()).await;
            jobs.cancel(&id).await.unwrap();
            let fails = jobs.wait(&id).await.unwrap();
            assert!(matches!(fails, Outcome::Cancelled), "{fails:?}");
        })
        .await;
    quiet(&place).await;
    worker.stop().await;
}
