//! A job is shown to its owner, tenant and principal, and to nobody else.

use std::time::Duration;

use haversack::testing::Isolated;
use haversack_jobs::{Cursor, Handlers, JobError, JobId, NewJob, State};

use crate::{Place, caller, submit};

fn later() -> NewJob {
    NewJob::new("work", &()).unwrap().delay(Duration::from_secs(3600))
}

async fn sees(place: &Place, tenant: &str, principal: &str, id: &JobId) -> bool {
    let (jobs, id) = (place.jobs.clone(), id.clone());
    caller(tenant, principal)
        .wrap(async move {
            let listed = jobs.list(None, 100).await.unwrap().jobs.iter().any(|job| job.id == id);
            match jobs.get(&id).await {
                Ok(_) => {
                    assert!(listed);
                    true
                }
                Err(JobError::Unknown) => {
                    assert!(!listed);
                    assert!(matches!(jobs.result(&id).await, Err(JobError::Unknown)));
                    assert!(matches!(jobs.cancel(&id).await, Err(JobError::Unknown)));
                    assert!(matches!(jobs.redrive(&id).await, Err(JobError::Unknown)));
                    assert!(matches!(jobs.watch(&id).unwrap().next().await, Err(JobError::Unknown)));
                    false
                }
                Err(other) => panic!("{other}"),
            }
        })
        .await
}

#[tokio::test]
async fn another_owners_job_looks_like_one_that_does_not_exist() {
    let place = Place::fresh();
    let jobs = place.jobs.clone();
    let id = caller("acme", "ada").wrap(async { submit(&jobs, later()).await }).await;
    assert!(sees(&place, "acme", "ada", &id).await);
    for (tenant, principal) in
        [("acme", "bob"), ("evil", "ada"), ("acme ", "ada"), ("ACME", "ada"), ("a%", "ada")]
    {
        assert!(!sees(&place, tenant, principal, &id).await, "{tenant} {principal}");
    }
    assert!(sees(&place, "acme", "ada", &id).await, "nobody could cancel it");
    let nobodys: JobId = "job_00000000000000000000000000000000".parse().unwrap();
    assert!(!sees(&place, "acme", "ada", &nobodys).await);
}

#[tokio::test]
async fn ids_with_colons_bars_and_percents_are_opaque() {
    let place = Place::fresh();
    let owners = [
        ("a:b", "c"),
        ("a", "b:c"),
        ("a|b", "c"),
        ("a", "b|c"),
        ("%", "_"),
        ("a", "anon"),
        ("a", "anonymous"),
    ];
    let mut ids = Vec::new();
    for (tenant, principal) in owners {
        let jobs = place.jobs.clone();
        // The same key for all of them: it collides only within a tenant.
        let job = later().key(format!("{tenant}/{principal}"));
        ids.push(caller(tenant, principal).wrap(async move { submit(&jobs, job).await }).await);
    }
    for (owner, (tenant, principal)) in owners.iter().enumerate() {
        for (job, id) in ids.iter().enumerate() {
            assert_eq!(sees(&place, tenant, principal, id).await, owner == job, "{tenant} {principal} {job}");
        }
    }
}

/// Somebody of whom only the tenant is known is nobody's principal, whatever a principal may be called.
#[tokio::test]
async fn a_caller_without_a_principal_is_not_the_one_who_is_called_anon() {
    let place = Place::fresh();
    let mut ids = Vec::new();
    for principal in ["anon", "anonymous", "none", "null", "_"] {
        let jobs = place.jobs.clone();
        ids.push(caller("a", principal).wrap(async move { submit(&jobs, later()).await }).await);
    }
    let jobs = place.jobs.clone();
    let asked = ids.clone();
    Isolated::new()
        .tenant("a")
        .wrap(async move {
            let loud = |error: JobError| {
                assert!(matches!(error, JobError::Unbound(_)), "{error:?}");
                assert!(error.to_string().contains("principal"), "{error}");
            };
            for id in &asked {
                loud(jobs.get(id).await.unwrap_err());
                loud(jobs.result(id).await.unwrap_err());
                loud(jobs.wait(id).await.unwrap_err());
                loud(jobs.cancel(id).await.unwrap_err());
                loud(jobs.redrive(id).await.unwrap_err());
                loud(jobs.watch(id).err().unwrap());
            }
            loud(jobs.list(None, 100).await.unwrap_err());
            loud(jobs.forget_session().await.unwrap_err());
            loud(jobs.submit(later()).await.unwrap_err());
        })
        .await;
    let stored = place.store.control().engine().read("count jobs", |conn| {
        let count = "SELECT count(*), sum(state = 'queued'), sum(cancel_requested) FROM jobs";
        Ok(conn.query_row(count, [], |row| Ok([row.get::<_, i64>(0)?, row.get(1)?, row.get(2)?]))?)
    });
    assert_eq!(stored.await.unwrap(), [5, 5, 0], "nothing came of it");
    for (principal, id) in ["anon", "anonymous", "none", "null", "_"].into_iter().zip(&ids) {
        assert!(sees(&place, "a", principal, id).await, "{principal}");
    }
}

#[tokio::test]
async fn outside_a_door_there_is_nobody_to_ask_for() {
    let place = Place::fresh();
    let id: JobId = "job_00000000000000000000000000000000".parse().unwrap();
    let loud = |error: JobError| assert!(error.to_string().contains("is not bound"), "{error}");
    loud(place.jobs.submit(later()).await.unwrap_err());
    loud(place.jobs.get(&id).await.unwrap_err());
    loud(place.jobs.list(None, 1).await.unwrap_err());
    loud(place.jobs.cancel(&id).await.unwrap_err());
    loud(place.jobs.result(&id).await.unwrap_err());
    loud(place.jobs.relay().await.unwrap_err());
    loud(place.jobs.watch(&id).err().unwrap());
}

#[tokio::test]
async fn a_watch_that_leaks_into_another_request_is_refused() {
    let place = Place::fresh();
    let jobs = place.jobs.clone();
    let mut watch = caller("acme", "ada")
        .wrap(async {
            let id = submit(&jobs, later()).await;
            jobs.watch(&id).unwrap()
        })
        .await;
    let leaked = caller("acme", "ada").wrap(async { watch.next().await }).await;
    assert!(matches!(leaked, Err(JobError::Store(haversack_store::StoreError::Foreign(_)))), "{leaked:?}");
}

#[tokio::test]
async fn a_list_is_read_page_by_page_and_holds_each_job_once() {
    let place = Place::fresh();
    let jobs = place.jobs.clone();
    caller("acme", "ada")
        .wrap(async {
            let mut submitted = Vec::new();
            for _ in 0..7 {
                submitted.push(submit(&jobs, later()).await);
            }
            submitted.reverse();
            let (mut listed, mut from): (Vec<JobId>, Option<Cursor>) = (Vec::new(), None);
            loop {
                let page = jobs.list(from, 3).await.unwrap();
                assert!(page.jobs.len() <= 3);
                listed.extend(page.jobs.into_iter().map(|job| job.id));
                from = page.next;
                if from.is_none() {
                    break;
                }
            }
            assert_eq!(listed, submitted);
        })
        .await;
}

#[tokio::test]
async fn progress_of_one_job_never_shows_in_another() {
    let place = Place::fresh();
    let work = |haversack_jobs::Args(n): haversack_jobs::Args<u64>, progress: haversack_jobs::Progress| async move {
        for step in 0..5 {
            progress.say(n * 100 + step, Some(n), &format!("note of {n}")).await?;
        }
        Ok(())
    };
    let worker = place.work(Handlers::new().on("work", work));
    let jobs = place.jobs.clone();
    caller("acme", "ada")
        .wrap(async {
            let mut follows = haversack::JoinSet::new();
            for n in 0..8_u64 {
                let id = submit(&jobs, NewJob::new("work", &n).unwrap()).await;
                let jobs = jobs.clone();
                follows.spawn(async move {
                    let mut watch = jobs.watch(&id).unwrap();
                    let mut last = (0, None);
                    while let Some(job) = watch.next().await.unwrap() {
                        assert!(job.change > last.0, "events are numbered upwards");
                        if let Some(step) = &job.progress {
                            assert_eq!(step.done / 100, n);
                            assert_eq!(step.note.as_deref(), Some(format!("note of {n}").as_str()));
                            assert!(last.1.is_none_or(|done| done <= step.done));
                            last.1 = Some(step.done);
                        }
                        last.0 = job.change;
                    }
                    assert_eq!(last.1, Some(n * 100 + 4), "the last one is never missed");
                    assert_eq!(jobs.get(&id).await.unwrap().state, State::Succeeded);
                });
            }
            while let Some(done) = follows.join_next().await {
                done.unwrap();
            }
        })
        .await;
    worker.stop().await;
}
