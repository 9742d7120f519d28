//! One job for a key, fair shares for tenants, and a queue that does not wedge.

use std::time::Duration;

use haversack_jobs::{
    Args, Handlers, JobError, JobOptions, Jobs, NewJob, OnExisting, State, Submitted, WorkerOptions,
};
use haversack_store::now_millis;

use crate::{Notes, Place, caller, options, submit, submit_and_wait, succeeded};

fn keyed(handler: &str, existing: OnExisting) -> NewJob {
    NewJob::new(handler, &()).unwrap().key("k").on_existing(existing).delay(Duration::from_secs(3600))
}

#[tokio::test]
async fn the_same_key_three_times_is_one_job() {
    let place = Place::fresh();
    let jobs = place.jobs.clone();
    caller("acme", "ada")
        .wrap(async {
            let first = jobs.submit(keyed("work", OnExisting::Keep)).await.unwrap();
            let Submitted::Scheduled(id) = first else { panic!("{first:?}") };
            for _ in 0..2 {
                let again = jobs.submit(keyed("work", OnExisting::Keep)).await.unwrap();
                assert_eq!(again, Submitted::AlreadyScheduled(id.clone()));
            }
            assert_eq!(jobs.submit(keyed("work", OnExisting::Block)).await.unwrap(), Submitted::Blocked);
            assert_eq!(jobs.list(None, 100).await.unwrap().jobs.len(), 1);
            // Another handler is another thing.
            assert!(matches!(
                jobs.submit(keyed("other", OnExisting::Keep)).await.unwrap(),
                Submitted::Scheduled(_)
            ));

            let replaced = jobs.submit(keyed("work", OnExisting::Replace)).await.unwrap();
            let Submitted::Replaced(new) = replaced else { panic!("{replaced:?}") };
            assert_ne!(new, id);
            assert_eq!(jobs.get(&id).await.unwrap().state, State::Cancelled);
            // Over is over: the key is free again.
            jobs.cancel(&new).await.unwrap();
            assert!(matches!(
                jobs.submit(keyed("work", OnExisting::Block)).await.unwrap(),
                Submitted::Scheduled(_)
            ));
        })
        .await;
    let jobs = place.jobs.clone();
    caller("acme", "bob")
        .wrap(async {
            let theirs = jobs.submit(keyed("work", OnExisting::Replace)).await.unwrap();
            assert!(matches!(theirs, Submitted::AlreadyScheduled(_)), "nobody replaces another's job");
        })
        .await;
    let jobs = place.jobs.clone();
    caller("other", "ada")
        .wrap(async {
            let theirs = jobs.submit(keyed("work", OnExisting::Block)).await.unwrap();
            assert!(matches!(theirs, Submitted::Scheduled(_)), "a key belongs to its tenant");
        })
        .await;
}

#[tokio::test]
async fn one_that_has_begun_is_not_replaced() {
    let place = Place::fresh();
    let (notes, mut heard) = Notes::new();
    let work = move || {
        notes.add("begun");
        async { std::future::pending::<Result<(), haversack_jobs::Failure>>().await }
    };
    let worker = place.work(Handlers::new().on("work", work));
    let jobs = place.jobs.clone();
    caller("acme", "ada")
        .wrap(async {
            let id = submit(&jobs, NewJob::new("work", &()).unwrap().key("k")).await;
            heard.recv().await.unwrap();
            let second = jobs.submit(keyed("work", OnExisting::Replace)).await.unwrap();
            assert_eq!(second, Submitted::AlreadyScheduled(id.clone()));
            jobs.cancel(&id).await.unwrap();
            jobs.wait(&id).await.unwrap();
        })
        .await;
    worker.stop().await;
}

#[tokio::test]
async fn arguments_that_are_too_large_queue_nothing() {
    let place = Place::fresh();
    let small = JobOptions { max_arguments: 10, ..JobOptions::default() };
    let jobs = Jobs::new(place.store.clone(), place.keys.clone(), &crate::OUT, small);
    caller("acme", "ada")
        .wrap(async {
            let refused = jobs.submit(NewJob::new("work", &"x".repeat(9)).unwrap()).await;
            assert!(matches!(refused, Err(JobError::TooLarge { bytes: 11, limit: 10 })));
            assert_eq!(jobs.list(None, 1).await.unwrap().jobs, []);
        })
        .await;
}

#[tokio::test]
async fn a_submitted_job_wakes_an_idle_worker() {
    let place = Place::fresh();
    // It never looks by itself, and its nap is longer than the patience of this test.
    let never = WorkerOptions { poll: Duration::from_secs(3600), ..WorkerOptions::default() };
    let worker = place.work_with(Handlers::new().on("work", || async { Ok(1) }), never);
    let jobs = place.jobs.clone();
    caller("acme", "ada")
        .wrap(async {
            for _ in 0..20 {
                let done = submit_and_wait(&jobs, NewJob::new("work", &()).unwrap());
                assert_eq!(tokio::time::timeout(Duration::from_secs(20), done).await.unwrap(), succeeded(1));
            }
            // Not before its time, and then without anybody asking.
            let due = now_millis() + 200;
            let job = NewJob::new("work", &()).unwrap().delay(Duration::from_millis(200));
            let id = submit(&jobs, job).await;
            tokio::time::timeout(Duration::from_secs(20), jobs.wait(&id)).await.unwrap().unwrap();
            assert!(jobs.get(&id).await.unwrap().started_at.unwrap() >= due);
        })
        .await;
    drop(worker);
}

#[tokio::test]
async fn what_falls_due_while_a_crowd_is_looked_through_is_not_overlooked() {
    let place = Place::fresh();
    let crowd = place.store.control().engine().write("crowd", |tx| {
        tx.execute(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000)
             INSERT INTO jobs (id, tenant, principal, queue, handler, state, run_at, max_attempts, max_deliveries,
                               timeout_ms, backoff_first_ms, backoff_max_ms, keep_ms, created_at)
             SELECT printf('job_%032x', i), printf('tenant %04d', i), 'p', 'default', 'work', 'queued', ?1, 1, 1, 1000,
                    0, 0, 3600000, 1
             FROM n",
            [now_millis() + 3_600_000],
        )?;
        Ok(())
    });
    crowd.await.unwrap();
    // It never looks by itself, and its nap is longer than the patience of this test.
    let never = WorkerOptions { poll: Duration::from_secs(3600), ..WorkerOptions::default() };
    let worker = place.work_with(Handlers::new().on("work", || async { Ok(1) }), never);
    let tenants = ["a", "tenant 0500 b", "tenant 1000 b", "tenant 1500 b", "z"];
    for round in 0..20 {
        let mut waits = haversack::JoinSet::new();
        // One after the other, each time in another order; each wakes a worker that is somewhere on its way round.
        for turn in 0..tenants.len() {
            let (jobs, tenant) = (place.jobs.clone(), tenants[(turn * 3 + round * 2) % tenants.len()]);
            let pause = Duration::from_millis((turn * 30 + round).try_into().unwrap());
            waits.spawn(caller(tenant, "p").wrap(async move {
                // The pause is the law: each comes at another place of the way round.
                tokio::time::sleep(pause).await;
                submit_and_wait(&jobs, NewJob::new("work", &()).unwrap()).await
            }));
        }
        while let Some(done) = tokio::time::timeout(Duration::from_secs(20), waits.join_next()).await.unwrap()
        {
            assert_eq!(done.unwrap(), succeeded(1));
        }
    }
    worker.stop().await;
}

#[tokio::test]
async fn one_tenants_backlog_of_a_hundred_thousand_keeps_nobody_waiting() {
    const BACKLOG: i64 = 100_000;
    let place = Place::fresh();
    // As they would stand there, but for the requests, without which each fails where it is met.
    let flood = place.store.control().engine().write("flood", |tx| {
        tx.execute(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)
             INSERT INTO jobs (id, tenant, principal, queue, handler, state, run_at, max_attempts, max_deliveries,
                               timeout_ms, backoff_first_ms, backoff_max_ms, keep_ms, created_at)
             SELECT printf('job_%032x', i), 'flood', 'f', 'default', 'work', 'queued', 1, 1, 1, 1000, 0, 0, 3600000, 1
             FROM n",
            [BACKLOG],
        )?;
        Ok(())
    });
    flood.await.unwrap();
    let few = WorkerOptions { concurrency: 2, ..options() };
    let worker = place.work_with(Handlers::new().on("work", || async { Ok("served") }), few);
    let jobs = place.jobs.clone();
    for tenant in ["a", "z"] {
        let jobs = jobs.clone();
        caller(tenant, "p")
            .wrap(async move {
                for _ in 0..10 {
                    assert_eq!(
                        submit_and_wait(&jobs, NewJob::new("work", &()).unwrap()).await,
                        succeeded("served")
                    );
                }
            })
            .await;
    }
    let left = place.store.control().engine().read("count", |conn| {
        Ok(conn.query_row("SELECT count(*) FROM jobs WHERE run_at IS NOT NULL", [], |row| {
            row.get::<_, i64>(0)
        })?)
    });
    let left = left.await.unwrap();
    assert!(left > BACKLOG / 2, "{left} of the backlog still wait");
    worker.stop().await;
}

#[tokio::test]
async fn slots_are_shared_out_by_how_many_each_tenant_has_running() {
    let place = Place::fresh();
    let jobs = place.jobs.clone();
    for (tenant, count) in [("flood", 6), ("small", 2)] {
        let jobs = jobs.clone();
        caller(tenant, "p")
            .wrap(async move {
                for _ in 0..count {
                    submit(&jobs, NewJob::new("work", &tenant).unwrap()).await;
                }
            })
            .await;
    }
    let (notes, mut heard) = Notes::new();
    let gate = std::sync::Arc::new(tokio::sync::Semaphore::new(0));
    let (noted, open) = (notes.clone(), gate.clone());
    let work = move |Args(tenant): Args<String>| {
        noted.add(tenant);
        let open = open.clone();
        async move {
            let _pass = open.acquire().await?;
            Ok(())
        }
    };
    // The flood came first, and has all the jobs that came first.
    let four = WorkerOptions { concurrency: 4, ..options() };
    let worker = place.work_with(Handlers::new().on("work", work), four);
    let mut begun = Vec::new();
    for _ in 0..4 {
        begun.push(heard.recv().await.unwrap());
    }
    begun.sort();
    assert_eq!(begun, ["flood", "flood", "small", "small"]);
    gate.add_permits(100);
    for _ in 0..4 {
        assert_eq!(heard.recv().await.unwrap(), "flood");
    }
    worker.stop().await;
    assert_eq!(notes.all().len(), 8, "each was begun once");
}

#[tokio::test]
async fn no_tenant_has_more_running_than_it_may() {
    let place = Place::fresh();
    let (notes, mut heard) = Notes::new();
    let (noted, gate) = (notes.clone(), std::sync::Arc::new(tokio::sync::Semaphore::new(0)));
    let open = gate.clone();
    let work = move |Args(tenant): Args<String>| {
        noted.add(tenant);
        let open = open.clone();
        async move {
            open.acquire().await?.forget();
            Ok(())
        }
    };
    let capped = WorkerOptions { concurrency: 8, per_tenant: Some(2), ..options() };
    let worker = place.work_with(Handlers::new().on("work", work), capped);
    for tenant in ["flood", "small"] {
        let jobs = place.jobs.clone();
        caller(tenant, "p")
            .wrap(async move {
                for _ in 0..4 {
                    submit(&jobs, NewJob::new("work", &tenant).unwrap()).await;
                }
            })
            .await;
    }
    let mut begun = Vec::new();
    for _ in 0..4 {
        begun.push(heard.recv().await.unwrap());
    }
    begun.sort();
    assert_eq!(begun, ["flood", "flood", "small", "small"]);
    assert_eq!(notes.all().len(), 4);
    for _ in 0..4 {
        gate.add_permits(1);
        heard.recv().await.unwrap();
    }
    gate.add_permits(100);
    worker.stop().await;
}

#[tokio::test]
async fn one_tenants_long_jobs_leave_a_slot_for_another_tenants() {
    let place = Place::fresh();
    let (notes, mut heard) = Notes::new();
    let (noted, gate) = (notes.clone(), std::sync::Arc::new(tokio::sync::Semaphore::new(0)));
    let open = gate.clone();
    let work = move |Args(tenant): Args<String>| {
        noted.add(tenant.clone());
        let open = open.clone();
        async move {
            if tenant == "flood" {
                open.acquire().await?.forget();
            }
            Ok(tenant)
        }
    };
    // It never looks by itself.
    let never = Duration::from_secs(3600);
    let shared = WorkerOptions { concurrency: 4, share: Some(3), poll: never, lease: never, ..options() };
    let worker = place.work_with(Handlers::new().on("work", work), shared);
    let post = async |tenant: &'static str| {
        let jobs = place.jobs.clone();
        caller(tenant, "p")
            .wrap(async move { submit(&jobs, NewJob::new("work", &tenant).unwrap()).await })
            .await
    };
    for _ in 0..8 {
        post("flood").await;
    }
    for _ in 0..3 {
        assert_eq!(heard.recv().await.unwrap(), "flood");
    }
    // None of those ends, and yet the others are served, one after the other.
    for tenant in ["small", "other", "small"] {
        let (jobs, id) = (place.jobs.clone(), post(tenant).await);
        let done = caller(tenant, "p").wrap(async move { jobs.wait(&id).await.unwrap() }).await;
        assert_eq!(done, succeeded(tenant));
        assert_eq!(heard.recv().await.unwrap(), tenant);
    }
    assert_eq!(notes.all().iter().filter(|tenant| *tenant == "flood").count(), 3);
    // A slot that is freed goes to the flood again.
    gate.add_permits(1);
    assert_eq!(heard.recv().await.unwrap(), "flood");
    gate.add_permits(100);
    for _ in 0..4 {
        assert_eq!(heard.recv().await.unwrap(), "flood");
    }
    worker.stop().await;
}

#[tokio::test]
async fn what_is_over_is_swept_when_its_time_is_up() {
    let place = Place::fresh();
    let often = WorkerOptions { sweep: Duration::from_millis(20), ..options() };
    let worker = place.work_with(Handlers::new().on("work", || async { Ok(()) }), often);
    let jobs = place.jobs.clone();
    caller("acme", "ada")
        .wrap(async {
            let kept = submit(&jobs, NewJob::new("work", &()).unwrap()).await;
            let id = submit(&jobs, NewJob::new("work", &()).unwrap().keep(Duration::ZERO)).await;
            while jobs.get(&id).await.is_ok() {
                tokio::task::yield_now().await;
            }
            jobs.wait(&kept).await.unwrap();
            assert_eq!(jobs.list(None, 100).await.unwrap().jobs.len(), 1);
        })
        .await;
    worker.stop().await;
    let orphans = place.store.control().engine().read("look for orphans", |conn| {
        Ok(conn.query_row(
            "SELECT (SELECT count(*) FROM job_requests) + (SELECT count(*) FROM jobs WHERE finished_at IS NOT NULL
                                                           AND expires_at IS NULL)",
            [],
            |row| row.get::<_, i64>(0),
        )?)
    });
    assert_eq!(orphans.await.unwrap(), 0, "every row has an owner or an expiry");
}
