//! A worker that is told to stop claims no more, lets its jobs end, and gives back what does not.

use std::time::Duration;

use haversack_jobs::{Args, Attempt, Failure, Handlers, NewJob, State, WorkerOptions};

use crate::{Notes, Place, caller, options, submit, succeeded};

#[tokio::test]
async fn running_jobs_end_within_the_grace_and_no_new_one_begins() {
    let place = Place::fresh();
    let (notes, mut heard) = Notes::new();
    let gate = std::sync::Arc::new(tokio::sync::Semaphore::new(0));
    let (noted, open) = (notes.clone(), gate.clone());
    let work = move |Args(n): Args<u32>| {
        noted.add(format!("begun {n}"));
        let open = open.clone();
        async move {
            open.acquire().await?.forget();
            Ok(n)
        }
    };
    let one = WorkerOptions { concurrency: 1, ..options() };
    let worker = place.work_with(Handlers::new().on("work", work), one);
    let jobs = place.jobs.clone();
    caller("acme", "ada")
        .wrap(async {
            let running = submit(&jobs, NewJob::new("work", &1).unwrap()).await;
            heard.recv().await.unwrap();
            let waiting = submit(&jobs, NewJob::new("work", &2).unwrap()).await;
            tokio::join!(worker.stop(), async {
                tokio::task::yield_now().await;
                gate.add_permits(2);
            });

            assert_eq!(jobs.result(&running).await.unwrap(), succeeded(1));
            assert_eq!(jobs.get(&waiting).await.unwrap().state, State::Queued);
        })
        .await;
    assert_eq!(notes.all(), ["begun 1"]);
}

#[tokio::test]
async fn what_does_not_end_is_given_back_without_losing_an_attempt() {
    let place = Place::fresh();
    let (notes, mut heard) = Notes::new();
    let noted = notes.clone();
    let first = move || {
        noted.add("begun");
        async { std::future::pending::<Result<(), Failure>>().await }
    };
    let impatient = WorkerOptions { grace: Duration::ZERO, lease: Duration::from_secs(3600), ..options() };
    let worker = place.work_with(Handlers::new().on("work", first), impatient);
    let jobs = place.jobs.clone();
    let id = caller("acme", "ada")
        .wrap(async {
            submit(&jobs, NewJob::new("work", &()).unwrap().max_attempts(1).max_deliveries(1)).await
        })
        .await;
    heard.recv().await.unwrap();
    worker.stop().await;
    // Not by the lease, which lasts an hour.
    let second = |attempt: Attempt| async move { Ok((attempt.number(), attempt.generation())) };
    let worker = place.work(Handlers::new().on("work", second));
    let outcome = caller("acme", "ada").wrap(async move { jobs.wait(&id).await.unwrap() }).await;
    assert_eq!(outcome, succeeded((1, 2)));
    worker.stop().await;
}

#[tokio::test]
async fn a_stop_is_heard_while_more_tenants_wait_than_one_look_goes_through() {
    let place = Place::fresh();
    for tenant in 0..300 {
        caller(&format!("tenant-{tenant:03}"), "ada")
            .wrap(async {
                let later = NewJob::new("work", &()).unwrap().delay(Duration::from_secs(3600));
                submit(&place.jobs, later).await;
            })
            .await;
    }
    let (notes, mut heard) = Notes::new();
    let work = move || {
        notes.add("begun");
        async { Ok::<_, Failure>(()) }
    };
    let worker = place.work(Handlers::new().on("work", work));
    // One that is due, behind all of them in the order of the lap: it is found, so the worker is on its lap.
    caller("zulu", "ada").wrap(async { submit(&place.jobs, NewJob::new("work", &()).unwrap()).await }).await;
    heard.recv().await.unwrap();
    tokio::time::timeout(Duration::from_secs(60), worker.stop()).await.expect("the worker stops");
}
