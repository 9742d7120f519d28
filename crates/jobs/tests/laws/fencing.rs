//! A worker that lost its lease without noticing can write nothing.

use haversack_jobs::{Attempt, Handlers, Progress};

use crate::child::{Second, job};
use crate::{Place, caller, submit, succeeded};

#[tokio::test]
async fn a_worker_that_slept_through_its_lease_is_not_heard_any_more() {
    let place = Place::fresh();
    let mut second = Second::start(place.dir.path());
    let jobs = place.jobs.clone();
    caller("acme", "ada")
        .wrap(async {
            let id = submit(&jobs, job("report", 1)).await;
            second.hears("begun");
            let mut watch = jobs.watch(&id).unwrap();
            while watch.next().await.unwrap().unwrap().progress.is_none_or(|step| step.done != 99) {}

            second.pause(place.dir.path());
            let here = |progress: Progress, attempt: Attempt| async move {
                progress.report(1, Some(1)).await?;
                Ok(attempt.generation())
            };
            let worker = place.work(Handlers::new().on("report", here));
            assert_eq!(jobs.wait(&id).await.unwrap(), succeeded(2));
            let before = jobs.get(&id).await.unwrap();

            second.signal("-CONT");
            // Its report is refused and its handler stopped, in whichever order.
            let (one, other) = (second.hear("").unwrap(), second.hear("").unwrap());
            let mut said = [one, other];
            said.sort();
            assert_eq!(said, ["said: dropped", "said: refused"]);
            let after = jobs.get(&id).await.unwrap();
            assert_eq!(after, before);
            assert_eq!(after.progress.unwrap().done, 1);
            assert_eq!(jobs.result(&id).await.unwrap(), succeeded(2));
            worker.stop().await;
        })
        .await;
}
