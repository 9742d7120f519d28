//! An attempt has its time, which the job may extend, and never more than the job's own deadline.

use std::time::Duration;

use haversack::well_known::{Cancel, DEADLINE, Deadline};
use haversack_jobs::{Failure, FailureKind, Handlers, JobError, Jobs, NewJob, Outcome, TimeLimit};

use crate::{Place, caller, options, submit, submit_and_wait, succeeded};

/// What an attempt has here, unless it asks for more.
const TIME: Duration = Duration::from_millis(100);

async fn for_ever() -> Result<(), Failure> {
    std::future::pending().await
}

#[tokio::test]
async fn an_attempt_ends_when_its_time_is_up() {
    let place = Place::fresh();
    let worker = place.work(Handlers::new().on("work", for_ever));
    let jobs = place.jobs.clone();
    caller("acme", "ada")
        .wrap(async {
            let job = NewJob::new("work", &()).unwrap().timeout(Duration::from_millis(50)).max_attempts(1);
            let outcome = submit_and_wait(&jobs, job).await;
            assert!(matches!(outcome, Outcome::Failed { kind: FailureKind::TimedOut, .. }), "{outcome:?}");
        })
        .await;
    worker.stop().await;
}

#[tokio::test]
async fn the_job_may_extend_its_time() {
    let place = Place::fresh();
    // Past its first time and all the grace after it. A timer that did not hear of the extension calls the job off before
    // that, and the job answers to it.
    let work = |limit: TimeLimit, cancel: Cancel| async move {
        // By now the attempt's timer is set for the first time.
        tokio::task::yield_now().await;
        let before = DEADLINE.get()?;
        limit.extend(Duration::from_secs(60));
        let after = DEADLINE.get()?;
        assert!(after > before && after == limit.deadline());
        let past = before.instant() + 2 * options().cancel_grace;
        tokio::select! {
            biased;
            () = cancel.cancelled() => Err(Failure::permanent("called off in the time that it was given")),
            () = tokio::time::sleep_until(past.into()) => Ok(before.expired() && !DEADLINE.get()?.expired()),
        }
    };
    // The time that it was given ends as well.
    let longer = |limit: TimeLimit| async move {
        tokio::task::yield_now().await;
        limit.extend(TIME + Duration::from_millis(50));
        for_ever().await
    };
    let worker = place.work(Handlers::new().on("work", work).on("longer", longer));
    let jobs = place.jobs.clone();
    caller("acme", "ada")
        .wrap(async {
            let job = |handler| NewJob::new(handler, &()).unwrap().timeout(TIME).max_attempts(1);
            let id = submit(&jobs, job("work")).await;
            assert_eq!(jobs.wait(&id).await.unwrap(), succeeded(true));
            let ran = jobs.get(&id).await.unwrap();
            let took = ran.finished_at.unwrap() - ran.started_at.unwrap();
            assert!(
                took >= (TIME + options().cancel_grace).as_millis() as i64,
                "{took} ms, so nothing was past"
            );

            let outcome = submit_and_wait(&jobs, job("longer")).await;
            assert!(matches!(outcome, Outcome::Failed { kind: FailureKind::TimedOut, .. }), "{outcome:?}");
        })
        .await;
    worker.stop().await;
}

#[tokio::test]
async fn nothing_is_extended_beyond_the_deadline() {
    let place = Place::fresh();
    let work = |limit: TimeLimit| async move {
        limit.extend(Duration::from_secs(3600));
        for_ever().await
    };
    let worker = place.work(Handlers::new().on("work", work));
    let jobs = place.jobs.clone();
    caller("acme", "ada")
        .wrap(async {
            let deadline = Deadline::after(Duration::from_millis(150));
            let outcome = submit_and_wait(&jobs, NewJob::new("work", &()).unwrap().deadline(deadline)).await;
            assert!(matches!(outcome, Outcome::Failed { kind: FailureKind::Deadline, .. }), "{outcome:?}");
        })
        .await;
    worker.stop().await;
}

#[tokio::test]
async fn a_job_past_its_deadline_is_not_redriven() {
    let place = Place::fresh();
    let worker = place.work(Handlers::new().on("work", for_ever));
    let jobs = place.jobs.clone();
    caller("acme", "ada")
        .wrap(async {
            let deadline = Deadline::after(Duration::from_millis(50));
            let id = submit(&jobs, NewJob::new("work", &()).unwrap().deadline(deadline)).await;
            assert!(matches!(jobs.wait(&id).await.unwrap(), Outcome::Failed { .. }));
            assert!(matches!(jobs.redrive(&id).await, Err(JobError::NotDrivable)));
        })
        .await;
    worker.stop().await;
}

#[tokio::test]
async fn a_job_without_a_timeout_outlives_the_timeout_of_others() {
    let place = Place::fresh();
    let work = |limit: TimeLimit| async move {
        Ok(limit.deadline().remaining() > Duration::from_secs(365 * 24 * 3600))
    };
    let worker = place.work(Handlers::new().on("work", work));
    let jobs = place.jobs.clone();
    caller("acme", "ada")
        .wrap(async {
            let job = NewJob::new("work", &()).unwrap().timeout(Duration::from_millis(1)).without_timeout();
            assert_eq!(submit_and_wait(&jobs, job).await, crate::succeeded(true));
        })
        .await;
    worker.stop().await;
}

#[tokio::test]
async fn the_deadline_shrinks_from_hop_to_hop() {
    let place = Place::fresh();
    fn hops(jobs: Jobs) -> Handlers {
        let hop = move |haversack_jobs::Args(left): haversack_jobs::Args<u32>| {
            let jobs = jobs.clone();
            async move {
                let mut remaining = vec![DEADLINE.get()?.remaining().as_micros() as u64];
                if left > 0 {
                    // Long enough that the next hop sees less, to the stored millisecond.
                    tokio::time::sleep(Duration::from_millis(5)).await;
                    let next =
                        NewJob::new("hop", &(left - 1))?.within_deadline().timeout(Duration::from_secs(3600));
                    let id = jobs.submit(next).await?;
                    let outcome = jobs.wait(id.id().unwrap()).await?;
                    remaining.extend(outcome.into_result::<Vec<u64>>()?.unwrap());
                }
                Ok(remaining)
            }
        };
        Handlers::new().on("hop", hop)
    }
    let worker = place.work(hops(place.jobs.clone()));
    let jobs = place.jobs.clone();
    let outcome = caller("acme", "ada")
        .wrap(DEADLINE.scope(Deadline::after(Duration::from_secs(60)), async move {
            submit_and_wait(&jobs, NewJob::new("hop", &3).unwrap().within_deadline()).await
        }))
        .await;
    let remaining = outcome.into_result::<Vec<u64>>().unwrap().unwrap();
    assert_eq!(remaining.len(), 4);
    assert!(remaining[0] <= 60_000_000);
    assert!(remaining.windows(2).all(|pair| pair[1] < pair[0]), "{remaining:?}");
    worker.stop().await;
}

#[tokio::test]
async fn a_result_that_is_too_large_is_a_failure() {
    let place = Place::fresh();
    let small = haversack_jobs::JobOptions { max_result: 10, ..Default::default() };
    let jobs = Jobs::new(place.store.clone(), place.keys.clone(), &crate::OUT, small);
    let handlers = Handlers::new().on("work", || async { Ok("x".repeat(20)) });
    let worker = crate::AtWork::start(jobs.clone(), handlers, options());
    let outcome = caller("acme", "ada")
        .wrap(async move { submit_and_wait(&jobs, NewJob::new("work", &()).unwrap()).await })
        .await;
    assert!(matches!(outcome, Outcome::Failed { kind: FailureKind::Unstored, .. }), "{outcome:?}");
    worker.stop().await;
}
