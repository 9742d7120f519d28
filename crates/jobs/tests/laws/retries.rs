//! What follows a failure: another attempt after a wait, or none.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use haversack_jobs::{
    Attempt, Backoff, Failure, FailureKind, Handlers, JobError, JobId, NewJob, Outcome, State,
};
use haversack_store::sqlite::{Connection, params};
use haversack_store::{Store, StoreOptions, now_millis};

use crate::{Notes, Place, caller, submit, submit_and_wait, succeeded};

#[tokio::test]
async fn a_failing_job_is_tried_as_often_as_configured() {
    let place = Place::fresh();
    let tries = Arc::new(AtomicU32::new(0));
    let counted = tries.clone();
    let work = move |attempt: Attempt| {
        let count = counted.fetch_add(1, Ordering::SeqCst) + 1;
        async move {
            assert_eq!((attempt.number(), attempt.max(), attempt.generation()), (count, 4, u64::from(count)));
            Err::<(), _>(Failure::retry("not yet").with_code("busy"))
        }
    };
    let worker = place.work(Handlers::new().on("work", work));
    let jobs = place.jobs.clone();
    caller("acme", "ada")
        .wrap(async {
            let job = NewJob::new("work", &()).unwrap().max_attempts(4).backoff(Backoff::NONE);
            let outcome = submit_and_wait(&jobs, job).await;
            let words = Outcome::Failed {
                kind: FailureKind::Handler,
                code: Some("busy".to_owned()),
                text: Some("not yet".to_owned()),
            };
            assert_eq!(outcome, words);
        })
        .await;
    worker.stop().await;
    assert_eq!(tries.load(Ordering::SeqCst), 4);
}

/// Waits of hours, so that how long anything here takes is nothing beside their spread.
#[tokio::test]
async fn a_retry_waits_as_long_as_its_backoff_says_and_none_as_long_as_another() {
    const JOBS: usize = 8;
    const HOUR: i64 = 3_600_000;
    let place = Place::fresh();
    let (ends, again) = (Arc::new(Mutex::new(HashMap::new())), Arc::new(Mutex::new(Vec::new())));
    let (ended, begun) = (ends.clone(), again.clone());
    let work = move |id: JobId, attempt: Attempt| {
        let (ends, again) = (ended.clone(), begun.clone());
        async move {
            let now = now_millis();
            if attempt.number() == 1 {
                ends.lock().unwrap().insert(id, now);
            } else {
                again.lock().unwrap().push((id, now));
            }
            Err::<(), _>(Failure::retry("not yet"))
        }
    };
    let worker = place.work(Handlers::new().on("work", work));
    let jobs = place.jobs.clone();
    caller("acme", "ada")
        .wrap(async {
            let hour = Duration::from_millis(HOUR.unsigned_abs());
            let backoff = Backoff { first: hour, max: 24 * hour };
            let mut waits = Vec::new();
            let retrying = async |id: &JobId, attempt: u32| {
                let mut watch = jobs.watch(id).unwrap();
                loop {
                    let job = watch.next().await.unwrap().unwrap();
                    if job.state == State::Retrying && job.attempt == attempt {
                        return (job.run_at.unwrap(), now_millis());
                    }
                }
            };
            let mut ids = Vec::new();
            for _ in 0..JOBS {
                ids.push(
                    submit(&jobs, NewJob::new("work", &()).unwrap().max_attempts(3).backoff(backoff)).await,
                );
            }
            for id in &ids {
                let (run_at, seen_at) = retrying(id, 2).await;
                // It was written down after the handler's end and before it was seen.
                let ended_at = ends.lock().unwrap()[id];
                assert!(run_at - ended_at >= HOUR / 2, "at least a half: {}", run_at - ended_at);
                assert!(run_at - seen_at <= HOUR, "at most the whole: {}", run_at - seen_at);
                waits.push(run_at - ended_at);
            }
            waits.sort_unstable();
            let spread = waits[JOBS - 1] - waits[0];
            assert!(spread > 60_000, "jobs that failed together do not come back together: {waits:?}");
            assert_eq!(again.lock().unwrap().len(), 0, "and nobody begins them before");

            // The first of them falls due, and not before its time is it begun again.
            let due = now_millis() + 300;
            let first = ids[0].to_string();
            let change = place.store.control().engine().write("move the time", move |tx| {
                Ok(tx.execute("UPDATE jobs SET run_at = ?1 WHERE id = ?2", params![due, first])?)
            });
            assert_eq!(change.await.unwrap(), 1);
            let (run_at, seen_at) = retrying(&ids[0], 3).await;
            let begun = again.lock().unwrap().clone();
            assert_eq!(begun.len(), 1, "the others wait: {begun:?}");
            assert!(begun[0].0 == ids[0] && begun[0].1 >= due, "{due} {begun:?}");
            // The second wait is twice the first one.
            let waited = run_at - begun[0].1;
            assert!(waited >= HOUR && run_at - seen_at <= 2 * HOUR, "{waited}");
        })
        .await;
    worker.stop().await;
}

#[tokio::test]
async fn each_class_of_failure_has_its_own_sequel() {
    let place = Place::fresh();
    let permanent = || async { Err::<(), _>(Failure::permanent("never")) };
    let after = |attempt: Attempt| async move {
        if attempt.number() == 1 {
            Err(Failure::retry_after(Duration::from_millis(300), "later"))
        } else {
            Ok(())
        }
    };
    let panics = |attempt: Attempt| async move {
        assert_eq!(attempt.number(), 2, "as asked");
        Ok(())
    };
    let any_error = |attempt: Attempt| async move {
        if attempt.number() == 1 {
            Err(std::io::Error::other("disk"))?;
        }
        Ok(())
    };
    let arguments = |haversack_jobs::Args(_): haversack_jobs::Args<u8>| async { Ok(()) };
    let handlers = Handlers::new()
        .on("permanent", permanent)
        .on("after", after)
        .on("panics", panics)
        .on("any_error", any_error)
        .on("arguments", arguments);
    let worker = place.work(handlers);
    let jobs = place.jobs.clone();
    caller("acme", "ada")
        .wrap(async {
            for (handler, attempts, ended) in [
                ("permanent", 1, State::Failed),
                ("after", 2, State::Succeeded),
                ("panics", 2, State::Succeeded),
                ("any_error", 2, State::Succeeded),
                ("arguments", 1, State::Failed),
            ] {
                let begun = now_millis();
                let job = NewJob::new(handler, &"text").unwrap().backoff(Backoff::NONE);
                let id = submit(&jobs, job).await;
                jobs.wait(&id).await.unwrap();
                let job = jobs.get(&id).await.unwrap();
                assert_eq!((job.attempt, job.state), (attempts, ended), "{handler}");
                if handler == "after" {
                    assert!(job.finished_at.unwrap() >= begun + 300, "what the server asked for is honoured");
                }
                if handler == "arguments" {
                    assert_eq!(job.failure, Some(FailureKind::Arguments));
                }
            }
        })
        .await;
    worker.stop().await;
}

#[tokio::test]
async fn a_panic_is_a_failure_and_ends_no_worker() {
    let place = Place::fresh();
    let handlers = Handlers::new()
        .on("panics", || async { if true { panic!("as asked") } else { Ok(()) } })
        .on("works", || async { Ok(()) });
    let handlers =
        handlers.on_blocking("panics_too", |(): ()| if true { panic!("as asked") } else { Ok(()) });
    let worker = place.work(handlers);
    let jobs = place.jobs.clone();
    caller("acme", "ada")
        .wrap(async {
            for handler in ["panics", "panics_too"] {
                let outcome =
                    submit_and_wait(&jobs, NewJob::new(handler, &()).unwrap().max_attempts(1)).await;
                assert!(
                    matches!(outcome, Outcome::Failed { kind: FailureKind::Panicked, .. }),
                    "{outcome:?}"
                );
            }
            assert_eq!(submit_and_wait(&jobs, NewJob::new("works", &()).unwrap()).await, succeeded(()));
        })
        .await;
    worker.stop().await;
}

#[tokio::test]
async fn what_failed_can_be_driven_again_with_what_it_was_given() {
    let place = Place::fresh();
    let mended = Arc::new(AtomicU32::new(0));
    let flag = mended.clone();
    let work = move |haversack_jobs::Args(text): haversack_jobs::Args<String>| {
        let mended = flag.load(Ordering::SeqCst) == 1;
        async move { if mended { Ok(text) } else { Err(Failure::permanent("broken")) } }
    };
    let worker = place.work(Handlers::new().on("work", work));
    let jobs = place.jobs.clone();
    caller("acme", "ada")
        .wrap(async {
            let id = submit(&jobs, NewJob::new("work", &"given").unwrap()).await;
            assert!(matches!(jobs.wait(&id).await.unwrap(), Outcome::Failed { .. }));
            mended.store(1, Ordering::SeqCst);
            jobs.redrive(&id).await.unwrap();
            assert_eq!(jobs.wait(&id).await.unwrap(), succeeded("given"));
            assert!(matches!(jobs.redrive(&id).await, Err(JobError::NotDrivable)), "what is done is done");
        })
        .await;
    worker.stop().await;
}

#[tokio::test]
async fn a_job_that_is_not_for_this_worker_is_parked_until_one_can_do_it() {
    let place = Place::fresh();
    let old = || async { Err::<(), _>(Failure::not_here("no such tool here")) };
    let worker = place.work(Handlers::new().on("work", old));
    let jobs = place.jobs.clone();
    caller("acme", "ada")
        .wrap(async {
            let id = submit(&jobs, NewJob::new("work", &()).unwrap().max_attempts(1)).await;
            let mut watch = jobs.watch(&id).unwrap();
            let parked = loop {
                let job = watch.next().await.unwrap().unwrap();
                if !matches!(job.state, State::Queued | State::Running) {
                    break job;
                }
            };
            assert_eq!((parked.state, parked.failure), (State::Parked, Some(FailureKind::NoHandler)));
            worker.stop().await;
            let worker = place.work(Handlers::new().on("work", || async { Ok("done") }));
            assert_eq!(jobs.wait(&id).await.unwrap(), succeeded("done"));
            assert_eq!(jobs.get(&id).await.unwrap().attempt, 1, "parking uses up no attempt");
            worker.stop().await;
        })
        .await;
}

#[tokio::test]
async fn an_outage_of_the_store_is_waited_out() {
    let dir = tempfile::tempdir().unwrap();
    let impatient = StoreOptions { busy_timeout: Duration::from_millis(20), ..StoreOptions::default() };
    let store = Store::open(&dir.path().join("data"), impatient).unwrap();
    let keys = crate::keys(dir.path());
    let jobs = haversack_jobs::Jobs::new(store, keys, &crate::OUT, haversack_jobs::JobOptions::default());
    let (notes, mut heard) = Notes::new();
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let open = gate.clone();
    let work = move || {
        notes.add("begun");
        let open = open.clone();
        async move {
            open.acquire().await?.forget();
            Ok("done in the outage")
        }
    };
    // A long lease: nobody renews it meanwhile either.
    let long = haversack_jobs::WorkerOptions { lease: Duration::from_secs(60), ..crate::options() };
    let worker = crate::AtWork::start(jobs.clone(), Handlers::new().on("work", work), long);
    caller("acme", "ada")
        .wrap(async {
            let in_flight = submit(&jobs, NewJob::new("work", &()).unwrap()).await;
            heard.recv().await.unwrap();
            let other = submit(&jobs, NewJob::new("work", &()).unwrap()).await;
            heard.recv().await.unwrap();

            // Somebody holds the file and does not let go.
            let held = Connection::open(dir.path().join("data").join("control.sqlite")).unwrap();
            held.execute_batch("BEGIN IMMEDIATE").unwrap();
            // One ends while nothing can be written, and is not heard of.
            gate.add_permits(1);
            assert!(jobs.submit(NewJob::new("work", &()).unwrap()).await.is_err(), "the outage is one");
            assert!(jobs.submit(NewJob::new("work", &()).unwrap()).await.is_err());
            held.execute_batch("ROLLBACK").unwrap();

            let outcome = succeeded("done in the outage");
            gate.add_permits(1);
            assert_eq!(jobs.wait(&in_flight).await.unwrap(), outcome);
            assert_eq!(jobs.wait(&other).await.unwrap(), outcome);
            gate.add_permits(1);
            assert_eq!(
                submit_and_wait(&jobs, NewJob::new("work", &()).unwrap()).await,
                outcome,
                "it goes on"
            );
        })
        .await;
    worker.stop().await;
}
