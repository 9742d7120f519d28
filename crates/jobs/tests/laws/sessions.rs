//! A session that is deleted takes its jobs along, and no other's.

use std::time::Duration;

use haversack::Visit;
use haversack::well_known::{PRINCIPAL, Principal, SESSION_ID, SessionId, TENANT_ID, TenantId};
use haversack_jobs::{Failure, Handlers, JobError, NewJob, State, WorkerOptions};

use crate::{Notes, Place, caller, on_disk, options, submit};

fn speaker(tenant: &str, principal: &str, session: &str) -> Visit {
    let (tenant, principal) = (TenantId::new(tenant).unwrap(), Principal::new(principal).unwrap());
    let session = SessionId::new(session).unwrap();
    haversack::testing::enter(|bindings| {
        bindings.bind(&TENANT_ID, tenant).bind(&PRINCIPAL, principal).bind(&SESSION_ID, session)
    })
}

fn later() -> NewJob {
    NewJob::new("work", &()).unwrap().delay(Duration::from_secs(3600))
}

#[tokio::test]
async fn a_deleted_session_takes_its_own_jobs_along() {
    let place = Place::fresh();
    let jobs = place.jobs.clone();
    let others =
        [("acme", "ada", "other"), ("acme", "bob", "canary-session"), ("evil", "ada", "canary-session")];
    let mut kept = Vec::new();
    for (tenant, principal, session) in others {
        let id = speaker(tenant, principal, session).wrap(async { submit(&jobs, later()).await }).await;
        kept.push((tenant, principal, id));
    }
    let nowhere = caller("acme", "ada").wrap(async { submit(&jobs, later()).await }).await;
    kept.push(("acme", "ada", nowhere));

    let (notes, mut heard) = Notes::new();
    let noted = notes.clone();
    let run = move || {
        noted.add("begun");
        async { std::future::pending::<Result<(), Failure>>().await }
    };
    let often = WorkerOptions { sweep: Duration::from_millis(20), ..options() };
    let handlers = Handlers::new().on("run", run).on("done", || async { Ok("said") });
    let worker = place.work_with(handlers, often);
    let own = speaker("acme", "ada", "canary-session")
        .wrap(async {
            let running = submit(&jobs, NewJob::new("run", &()).unwrap()).await;
            heard.recv().await.unwrap();
            let done = submit(&jobs, NewJob::new("done", &()).unwrap()).await;
            jobs.wait(&done).await.unwrap();
            let waits = submit(&jobs, later()).await;
            let tenant = place.store.tenant().unwrap();
            let outbox = jobs.clone();
            let left = tenant.write("leave a job", move |tx| Ok(outbox.enqueue(tx, later())?)).await.unwrap();
            assert_eq!(jobs.forget_session().await.unwrap(), 4);
            for id in [&done, &waits, &left] {
                assert!(matches!(jobs.get(id).await, Err(JobError::Unknown)), "{id}");
            }
            assert_eq!(jobs.relay().await.unwrap(), 0);
            // The one that runs is called off and goes when it has stopped.
            while !matches!(jobs.get(&running).await, Err(JobError::Unknown)) {
                // A row that goes tells nobody.
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            [running, done, waits, left]
        })
        .await;
    assert!(own.iter().all(|id| kept.iter().all(|(_, _, other)| other != id)));
    for (tenant, principal, id) in kept {
        let jobs = place.jobs.clone();
        let job = caller(tenant, principal).wrap(async move { jobs.get(&id).await.unwrap() }).await;
        assert_eq!(job.state, State::Queued, "{tenant} {principal}");
    }
    worker.stop().await;
    assert_eq!(on_disk(&place.dir.path().join("data"), "canary-session"), Vec::<std::path::PathBuf>::new());
}

#[tokio::test]
async fn outside_of_a_session_there_is_none_to_forget() {
    let place = Place::fresh();
    let jobs = place.jobs.clone();
    let refused = caller("acme", "ada").wrap(async move { jobs.forget_session().await }).await.unwrap_err();
    assert!(refused.to_string().contains("is not bound"), "{refused}");
}
