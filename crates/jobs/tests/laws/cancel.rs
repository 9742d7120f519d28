//! A job is called off in every state, from any process: by asking first, and then without asking.

use std::time::Duration;

use haversack::well_known::{CANCEL, Cancel};
use haversack_jobs::{Backoff, Failure, Handlers, NewJob, Outcome, State};

use crate::{AtWork, Notes, Place, caller, join, options, submit};

struct OnDrop(Notes);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.add("dropped");
    }
}

#[tokio::test]
async fn a_job_that_nobody_has_is_cancelled_at_once() {
    let place = Place::fresh();
    let (notes, _) = Notes::new();
    let noted = notes.clone();
    let fails = move || {
        noted.add("tried");
        async { Err::<(), _>(Failure::retry("again")) }
    };
    let worker = place.work(Handlers::new().on("fails", fails));
    let jobs = place.jobs.clone();
    caller("acme", "ada")
        .wrap(async {
            let later = Duration::from_secs(3600);
            let queued = submit(&jobs, NewJob::new("fails", &()).unwrap().delay(later)).await;
            let backoff = Backoff { first: later, max: later };
            let retrying = submit(&jobs, NewJob::new("fails", &()).unwrap().backoff(backoff)).await;
            let parked = submit(&jobs, NewJob::new("unknown", &()).unwrap()).await;
            for (id, state) in
                [(&queued, State::Queued), (&retrying, State::Retrying), (&parked, State::Parked)]
            {
                let mut watch = jobs.watch(id).unwrap();
                while watch.next().await.unwrap().unwrap().state != state {}
            }
            // The parked one is offered now and then, and may be with the worker in this moment.
            for id in [&queued, &retrying] {
                assert_eq!(jobs.cancel(id).await.unwrap(), State::Cancelled);
            }
            jobs.cancel(&parked).await.unwrap();
            for id in [&queued, &retrying, &parked] {
                assert_eq!(jobs.wait(id).await.unwrap(), Outcome::Cancelled);
                assert_eq!(jobs.cancel(id).await.unwrap(), State::Cancelled, "again changes nothing");
            }
        })
        .await;
    worker.stop().await;
    assert_eq!(notes.all(), ["tried"]);
}

#[tokio::test]
async fn a_running_job_is_asked_first() {
    let place = Place::fresh();
    let (notes, mut heard) = Notes::new();
    let noted = notes.clone();
    let work = move |cancel: Cancel| {
        let notes = noted.clone();
        async move {
            notes.add("begun");
            cancel.cancelled().await;
            assert!(CANCEL.get()?.is_cancelled(), "whoever reads it in the context sees it too");
            tokio::task::yield_now().await;
            notes.add("put away");
            Ok("too late")
        }
    };
    let patient = haversack_jobs::WorkerOptions { cancel_grace: Duration::from_secs(60), ..options() };
    let worker = place.work_with(Handlers::new().on("work", work), patient);
    let jobs = place.jobs.clone();
    caller("acme", "ada")
        .wrap(async {
            let id = submit(&jobs, NewJob::new("work", &()).unwrap()).await;
            heard.recv().await.unwrap();
            assert_eq!(jobs.cancel(&id).await.unwrap(), State::Running);
            assert_eq!(jobs.wait(&id).await.unwrap(), Outcome::Cancelled);
        })
        .await;
    worker.stop().await;
    assert_eq!(notes.all(), ["begun", "put away"]);
}

#[tokio::test]
async fn one_that_does_not_listen_is_stopped_also_from_another_process() {
    let place = Place::fresh();
    let (notes, mut heard) = Notes::new();
    let noted = notes.clone();
    let work = move || {
        let notes = noted.clone();
        async move {
            let _guard = OnDrop(notes.clone());
            notes.add("begun");
            std::future::pending::<Result<(), Failure>>().await
        }
    };
    // The worker stands beside: another store, as in another process.
    let (_store, theirs) = join(place.dir.path());
    let worker = AtWork::start(theirs, Handlers::new().on("work", work), options());
    let jobs = place.jobs.clone();
    caller("acme", "ada")
        .wrap(async {
            let id = submit(&jobs, NewJob::new("work", &()).unwrap()).await;
            assert_eq!(heard.recv().await.unwrap(), "begun");
            jobs.cancel(&id).await.unwrap();
            assert_eq!(heard.recv().await.unwrap(), "dropped");
            assert_eq!(jobs.wait(&id).await.unwrap(), Outcome::Cancelled);
        })
        .await;
    worker.stop().await;
}
