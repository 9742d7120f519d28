//! With one of its required variables not bound at the worker's door, a job fails there and its handler never runs.

use haversack::testing::missing_paths_at;
use haversack_jobs::{Handlers, NewJob, Outcome};

use crate::{Notes, Place, caller, submit_and_wait};

#[tokio::test]
async fn a_job_without_a_required_variable_fails_at_the_workers_door() {
    let place = Place::fresh();
    let (notes, _heard) = Notes::new();
    let noted = notes.clone();
    let work = move || {
        let noted = noted.clone();
        async move {
            noted.add("ran");
            Ok(())
        }
    };
    let worker = place.work(Handlers::new().on("work", work));
    let job = || {
        let jobs = place.jobs.clone();
        caller("acme", "ada").wrap(async move {
            match submit_and_wait(&jobs, NewJob::new("work", &()).unwrap()).await {
                Outcome::Succeeded { .. } => Ok(()),
                other => Err(other),
            }
        })
    };
    let report = missing_paths_at("worker").run(job).await;
    report.assert_loud();
    assert_eq!(report.variables(), ["tenant", "principal"]);
    assert_eq!(notes.all(), ["ran"], "once, with everything bound");
    worker.stop().await;
}
