//! Workers die, and their jobs do not; jobs that kill workers are put away.

use haversack_jobs::{Args, Attempt, FailureKind, Handlers, Outcome, State, WorkerOptions};

use crate::child::{Second, job};
use crate::{Notes, Place, caller, options, submit, succeeded};

#[tokio::test]
async fn another_worker_takes_over_what_a_killed_one_had() {
    let place = Place::fresh();
    let mut second = Second::start(place.dir.path());
    let jobs = place.jobs.clone();
    let id = caller("acme", "ada").wrap(async { submit(&jobs, job("hang", 1).max_attempts(1)).await }).await;
    let begun = second.hear("begun").unwrap();
    assert!(begun.ends_with("begun 1 attempt 1 generation 1"), "{begun}");
    second.kill();
    // A death is no failed attempt: the only one is begun again.
    let here = |attempt: Attempt| async move { Ok((attempt.number(), attempt.generation())) };
    let worker = place.work(Handlers::new().on("hang", here));
    assert_eq!(
        caller("acme", "ada").wrap(async move { jobs.wait(&id).await.unwrap() }).await,
        succeeded((1, 2))
    );
    worker.stop().await;
}

#[tokio::test]
async fn a_job_that_kills_its_workers_is_put_into_quarantine_and_can_be_driven_again() {
    let place = Place::fresh();
    let jobs = place.jobs.clone();
    let id =
        caller("acme", "ada").wrap(async { submit(&jobs, job("abort", 7).max_deliveries(3)).await }).await;
    for delivery in 1..=3 {
        let mut second = Second::start(place.dir.path());
        assert!(second.hear("begun").is_some(), "delivery {delivery}");
        second.rest();
    }
    // The next one puts it away instead of dying over it.
    let (notes, _) = Notes::new();
    let noted = notes.clone();
    let here = move |Args(n): Args<u64>| {
        noted.add("run");
        async move { Ok(n) }
    };
    let worker = place.work(Handlers::new().on("abort", here));
    caller("acme", "ada")
        .wrap(async {
            let outcome = jobs.wait(&id).await.unwrap();
            let reason = Outcome::Failed { kind: FailureKind::Deliveries, code: None, text: None };
            assert_eq!(outcome, reason);
            assert_eq!(jobs.get(&id).await.unwrap().state, State::Quarantined);
            assert_eq!(notes.all(), [""; 0], "nobody ran it again");
            // With its arguments and its context, once the program is mended.
            jobs.redrive(&id).await.unwrap();
            assert_eq!(jobs.wait(&id).await.unwrap(), succeeded(7));
        })
        .await;
    worker.stop().await;
}

#[tokio::test]
async fn two_saturated_workers_begin_each_long_job_once() {
    let place = Place::fresh();
    let mut second = Second::start_with(place.dir.path(), 2);
    let (notes, _) = Notes::new();
    let noted = notes.clone();
    let slow = move |Args(n): Args<u64>| {
        noted.add(format!("begun {n}"));
        async move {
            // Work that is longer than its lease.
            tokio::time::sleep(options().lease * 2).await;
            Ok(n)
        }
    };
    let two = WorkerOptions { concurrency: 2, ..options() };
    let worker = place.work_with(Handlers::new().on("slow", slow), two);
    let jobs = place.jobs.clone();
    caller("acme", "ada")
        .wrap(async {
            let mut ids = Vec::new();
            for n in 0..8 {
                ids.push(submit(&jobs, job("slow", n)).await);
            }
            for (id, n) in ids.iter().zip(0..) {
                assert_eq!(jobs.wait(id).await.unwrap(), succeeded(n));
            }
        })
        .await;
    worker.stop().await;
    second.signal("-KILL");
    let theirs = second.rest();
    assert!(!theirs.is_empty() && !notes.all().is_empty(), "both had a part");
    assert_eq!(theirs.len() + notes.all().len(), 8, "{theirs:?} {:?}", notes.all());
}

#[tokio::test]
async fn a_handler_that_blocks_its_thread_keeps_its_lease() {
    let place = Place::fresh();
    let dir = place.dir.path().to_path_buf();
    let blocks = move |attempt: Attempt| {
        let dir = dir.clone();
        async move {
            // Somebody is there who would take it over.
            let second = Second::start(&dir);
            // This runtime has one thread, and it does nothing else for three leases.
            std::thread::sleep(options().lease * 3);
            Ok((attempt.generation(), second.kill()))
        }
    };
    let worker = place.work(Handlers::new().on("hang", blocks));
    let jobs = place.jobs.clone();
    let outcome = caller("acme", "ada")
        .wrap(async move {
            let id = submit(&jobs, job("hang", 1)).await;
            jobs.wait(&id).await.unwrap()
        })
        .await;
    assert_eq!(outcome, succeeded((1, [""; 0])));
    worker.stop().await;
}

#[tokio::test]
async fn what_is_submitted_here_runs_in_another_process() {
    let place = Place::fresh();
    let second = Second::start(place.dir.path());
    let jobs = place.jobs.clone();
    caller("acme", "ada")
        .wrap(async {
            for n in 0..5 {
                let id = submit(&jobs, job("quick", n)).await;
                assert_eq!(jobs.wait(&id).await.unwrap(), succeeded(n));
            }
            // And is called off from here.
            let id = submit(&jobs, job("hang", 9)).await;
            let mut watch = jobs.watch(&id).unwrap();
            while watch.next().await.unwrap().unwrap().state != State::Running {}
            jobs.cancel(&id).await.unwrap();
            assert_eq!(jobs.wait(&id).await.unwrap(), Outcome::Cancelled);
        })
        .await;
    second.kill();
}
