//! Pools of threads: each job sees its submitter's context, and the thread shows nothing of it afterwards.

use std::sync::mpsc;
use std::thread::{self, ThreadId};

use haversack::{Context, ContextVar};
use tokio::runtime::Builder;
use tokio::task;

use crate::runtimes::{as_task_on_both, limited};

static JOB: ContextVar<u32> = ContextVar::new("job");

fn seen() -> (ThreadId, Option<u32>) {
    (thread::current().id(), JOB.get().ok())
}

#[test]
fn the_blocking_pool_sees_the_submitter() {
    as_task_on_both(|| {
        haversack::FutureExt::with_context(
            async {
                let job = haversack::spawn_blocking(|| {
                    let before = JOB.get().unwrap();
                    let _kept = JOB.set(2).unwrap();
                    (before, JOB.get().unwrap())
                });
                assert_eq!(job.await.unwrap(), (1, 2));
                assert_eq!(JOB.get().unwrap(), 1);
            },
            Context::empty().bind(&JOB, 1),
        )
    });
}

#[test]
fn the_thread_of_a_pool_shows_nothing_of_a_job_afterwards() {
    for mut builder in [Builder::new_current_thread(), Builder::new_multi_thread()] {
        let runtime = builder.worker_threads(1).max_blocking_threads(1).enable_all().build().unwrap();
        runtime.block_on(limited(async {
            let submit = |job| Context::empty().bind(&JOB, job).run(|| haversack::spawn_blocking(seen));
            let (first, one) = submit(1).await.unwrap();
            let (second, bare) = task::spawn_blocking(seen).await.unwrap();
            let (third, empty) = Context::empty().run(|| haversack::spawn_blocking(seen)).await.unwrap();
            let (fourth, two) = submit(2).await.unwrap();
            assert_eq!((first, second, third), (second, third, fourth), "the pool has one thread");
            assert_eq!((one, bare, empty, two), (Some(1), None, None, Some(2)));
        }));
    }
}

#[test]
fn a_job_that_panics_leaves_nothing_on_its_thread() {
    let runtime = Builder::new_current_thread().max_blocking_threads(1).enable_all().build().unwrap();
    runtime.block_on(limited(async {
        let job = Context::empty().bind(&JOB, 1).run(|| {
            haversack::spawn_blocking(|| {
                let _kept = JOB.set(2).unwrap();
                std::panic::resume_unwind(Box::new("thrown"))
            })
        });
        let failed: Result<(), task::JoinError> = job.await;
        assert!(failed.unwrap_err().is_panic());
        assert_eq!(task::spawn_blocking(seen).await.unwrap().1, None);
    }));
}

#[test]
fn a_pool_without_an_adapter_is_served_by_wrap() {
    type Work = Box<dyn FnOnce() -> Option<u32> + Send>;
    let (submit, work) = mpsc::channel::<Work>();
    let (answer, answers) = mpsc::channel();
    let pool = thread::spawn(move || {
        for work in work {
            answer.send(work()).unwrap();
        }
    });
    let read = || JOB.get().ok();
    for job in [1, 2] {
        Context::empty().bind(&JOB, job).run(|| {
            submit.send(Box::new(haversack::wrap(read))).unwrap();
            submit.send(Box::new(read)).unwrap();
        });
    }
    // A job whose own context is empty sees that, and not the one before it.
    submit.send(Box::new(haversack::wrap(read))).unwrap();
    drop(submit);
    pool.join().unwrap();
    assert_eq!(answers.iter().collect::<Vec<_>>(), [Some(1), None, Some(2), None, None]);
}

#[test]
fn a_closure_that_is_called_many_times_has_a_frame_a_call() {
    let call = Context::empty().bind(&JOB, 1).run(|| {
        haversack::wrap_fn(|job: u32| {
            let before = JOB.get().unwrap();
            let _kept = JOB.set(job).unwrap();
            (before, JOB.get().unwrap())
        })
    });
    assert_eq!((call(5), call(6)), ((1, 5), (1, 6)));
    assert!(JOB.get().is_err());
}
