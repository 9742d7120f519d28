//! Groups of tasks: every way into a `JoinSet` and a `TaskTracker` carries the moment of the call.

use haversack::{Context, ContextVar, FutureExt, JoinSet, MissingContext, Reason, TaskTracker};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::{LocalSet, yield_now};

use crate::probe::{MARK, Probe, probe};
use crate::runtimes::{as_task_on_both, multi_thread, on_both};

static STEP: ContextVar<u32> = ContextVar::new("step of a group");
static OPEN: ContextVar<u32> = ContextVar::new("open beside a group").confined();

type Read = (u32, Option<u32>, Result<u32, MissingContext>);

/// What a member sees, beside the line it was handed over in.
fn read(line: u32) -> Read {
    let seen = STEP.get().ok();
    drop(STEP.set(99).unwrap());
    (line, seen, OPEN.get())
}

fn here() -> Context {
    Context::empty().bind(&STEP, 1).bind(&OPEN, 7)
}

/// It saw the moment of its hand-over, and what is confined stayed there and says so.
#[track_caller]
fn carried((line, step, open): Read) {
    assert_eq!(step, Some(1), "handed over in line {line}");
    let error = open.unwrap_err();
    let Reason::Withheld { at, .. } = error.reason() else { panic!("{error}") };
    assert!(at.file().ends_with("groups.rs") && at.line() == line, "{at} is not line {line}");
}

#[test]
fn every_way_into_a_join_set_carries_the_moment_of_the_call() {
    let elsewhere = multi_thread();
    let other = elsewhere.handle();
    on_both(|| async {
        let local = LocalSet::new();
        let law = async {
            let mut members = JoinSet::new();
            members.spawn(async { read(line!()) });
            members.spawn_on(async { read(line!()) }, other);
            members.spawn_local(async { read(line!()) });
            members.spawn_local_on(async { read(line!()) }, &local);
            members.spawn_blocking(|| read(line!()));
            members.spawn_blocking_on(|| read(line!()), other);
            drop(STEP.set(2).unwrap());
            assert_eq!(members.len(), 6);
            for _ in 0..3 {
                carried(members.join_next().await.unwrap().unwrap());
                carried(members.join_next_with_id().await.unwrap().unwrap().1);
            }
            assert!(members.join_next().await.is_none());
            assert_eq!((STEP.get().unwrap(), OPEN.get().unwrap()), (2, 7), "nothing comes back");
        };
        local.run_until(law.with_context(here())).await;
    });
    elsewhere.shutdown_background();
}

#[test]
fn every_way_into_a_tracker_carries_the_moment_of_the_call() {
    let elsewhere = multi_thread();
    let other = elsewhere.handle();
    on_both(|| async {
        let local = LocalSet::new();
        let law = async {
            let tracker = TaskTracker::new();
            let tasks = [
                tracker.spawn(async { read(line!()) }),
                tracker.spawn_on(async { read(line!()) }, other),
                tracker.spawn_local(async { read(line!()) }),
                tracker.spawn_local_on(async { read(line!()) }, &local),
                tracker.spawn_blocking(|| read(line!())),
                tracker.spawn_blocking_on(|| read(line!()), other),
            ];
            drop(STEP.set(2).unwrap());
            assert!(tracker.close());
            tracker.wait().await;
            for task in tasks {
                carried(task.await.unwrap());
            }
            assert_eq!((STEP.get().unwrap(), OPEN.get().unwrap()), (2, 7), "nothing comes back");
        };
        local.run_until(law.with_context(here())).await;
    });
    elsewhere.shutdown_background();
}

#[test]
fn a_task_of_another_runtime_carries_the_context_of_a_caller_that_is_in_none() {
    let elsewhere = multi_thread();
    here().run(|| {
        let (task, job) = (
            haversack::spawn_on(async { read(line!()) }, elsewhere.handle()),
            haversack::spawn_blocking_on(|| read(line!()), elsewhere.handle()),
        );
        for task in [task, job] {
            carried(elsewhere.block_on(task).unwrap());
        }
    });
}

#[test]
fn futures_collected_into_a_set_carry_the_context_of_the_call() {
    as_task_on_both(|| {
        async {
            let members: JoinSet<_> =
                (0..10).map(|number| async move { (number, STEP.get().ok()) }).collect();
            let mut seen = members.join_all().await;
            seen.sort_unstable();
            assert_eq!(seen, (0..10).map(|number| (number, Some(1))).collect::<Vec<_>>());
        }
        .with_context(here())
    });
}

#[test]
fn a_group_filled_in_no_context_stays_in_none() {
    as_task_on_both(|| {
        let (mut members, tracker) = (JoinSet::new(), TaskTracker::new());
        let read = || async { STEP.get().ok() };
        async move {
            members.spawn(read());
            let tracked = tracker.spawn(read());
            let driven = async move { (members.join_next().await.unwrap().unwrap(), tracked.await.unwrap()) };
            assert_eq!(driven.with_context(here()).await, (None, None));
            let detached = haversack::detached(async move {
                let mut members = JoinSet::new();
                members.spawn(read());
                members.join_all().await
            });
            assert_eq!(detached.with_context(here()).await, [None]);
        }
    });
}

#[test]
fn members_that_are_aborted_or_abandoned_are_dropped_inside_their_contexts() {
    async fn holds(held: Probe) {
        let _held = held;
        std::future::pending::<()>().await;
    }
    on_both(|| async {
        let marked = |mark| Context::empty().bind(&MARK, mark);
        let mut members = JoinSet::new();
        let mut all = Vec::new();
        for mark in 1..=4 {
            let (held, seen) = probe();
            marked(mark).run(|| members.spawn(holds(held)));
            all.push((mark, seen));
        }
        yield_now().await;
        async move {
            members.abort_all();
            members.shutdown().await;
        }
        .with_context(marked(9))
        .await;
        for (mark, seen) in all {
            assert_eq!(seen.wait(), Some(mark));
        }

        let (held, seen) = probe();
        let mut members = JoinSet::new();
        marked(1).run(|| members.spawn(holds(held)));
        drop(members);
        assert_eq!(seen.soon().await, Some(1));

        let (held, seen) = probe();
        let task = marked(1).run(|| TaskTracker::new().spawn(holds(held)));
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
        assert_eq!(seen.wait(), Some(1));
    });
}

#[test]
fn detached_members_go_on_in_their_contexts() {
    as_task_on_both(|| {
        async {
            let (tell, told) = oneshot::channel();
            let (go, gone) = oneshot::channel::<()>();
            let mut members = JoinSet::new();
            members.spawn(async {
                gone.await.unwrap();
                tell.send(STEP.get().ok()).unwrap();
            });
            members.detach_all();
            assert!(members.is_empty());
            drop(members);
            go.send(()).unwrap();
            assert_eq!(told.await.unwrap(), Some(1));
        }
        .with_context(here())
    });
}

#[test]
fn what_has_ended_is_joined_without_waiting() {
    on_both(|| async {
        let mut members = JoinSet::new();
        assert!(members.try_join_next().is_none());
        let (go, gone) = oneshot::channel::<()>();
        members.spawn(async { gone.await.unwrap() });
        assert!(members.try_join_next().is_none() && members.try_join_next_with_id().is_none());
        go.send(()).unwrap();
        let joined = loop {
            match members.try_join_next_with_id() {
                Some(joined) => break joined,
                None => yield_now().await,
            }
        };
        joined.unwrap();
        let handle = members.spawn(async {});
        let joined = std::future::poll_fn(|waking| members.poll_join_next_with_id(waking)).await;
        assert_eq!(joined.unwrap().unwrap().0, handle.id());
        members.spawn(async {});
        std::future::poll_fn(|waking| members.poll_join_next(waking)).await.unwrap().unwrap();
    });
}

#[test]
fn a_tracker_counts_and_closes_like_the_original() {
    on_both(|| async {
        let tracker = TaskTracker::new();
        let same = tracker.clone();
        assert!(TaskTracker::ptr_eq(&tracker, &same) && !TaskTracker::ptr_eq(&tracker, &TaskTracker::new()));
        let token = same.token();
        let tracked = tracker.track_future(async { STEP.get().ok() });
        assert_eq!((tracker.len(), tracker.is_empty(), tracker.is_closed()), (2, false, false));
        let task = here().run(|| haversack::spawn(tracked));
        assert_eq!(task.await.unwrap(), Some(1), "whoever spawns it wraps it");
        drop(token);
        assert!(same.close() && tracker.is_closed() && tracker.reopen() && tracker.close());
        tracker.wait().await;
        assert!(tracker.is_empty());
    });
}

#[test]
fn a_handle_of_the_current_runtime_serves_too() {
    as_task_on_both(|| {
        async {
            let task = haversack::spawn_on(async { read(line!()) }, &Handle::current());
            carried(task.await.unwrap());
        }
        .with_context(here())
    });
}
