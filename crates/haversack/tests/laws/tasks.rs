//! Tasks: each sees the context of the moment of its spawn, on both flavours of the runtime.

use haversack::{Context, ContextVar, FutureExt, JoinSet};
use tokio::sync::oneshot;
use tokio::task::LocalSet;

use crate::door::{arrive, tenant};
use crate::runtimes::{as_task_on_both, current_thread, multi_thread, on_both};

static STEP: ContextVar<u32> = ContextVar::new("step");

fn at_step(step: u32) -> Context {
    Context::empty().bind(&STEP, step)
}

#[test]
fn a_task_sees_the_moment_of_its_spawn_and_gives_nothing_back() {
    as_task_on_both(|| {
        async {
            let (go, gone) = oneshot::channel();
            let child = haversack::spawn(async {
                gone.await.unwrap();
                let seen = STEP.get().unwrap();
                let _kept = STEP.set(3).unwrap();
                tokio::task::yield_now().await;
                (seen, STEP.get().unwrap())
            });
            let _kept = STEP.set(2).unwrap();
            go.send(()).unwrap();
            assert_eq!(child.await.unwrap(), (1, 3), "not the parent's later set");
            assert_eq!(STEP.get().unwrap(), 2, "nor does the child's come back");
        }
        .with_context(at_step(1))
    });
}

#[test]
fn a_set_before_the_spawn_is_seen_and_one_after_is_not() {
    as_task_on_both(|| {
        async {
            let _kept = STEP.set(1).unwrap();
            let before = haversack::spawn(async { STEP.get().ok() });
            assert_eq!(before.await.unwrap(), Some(1));
        }
        .with_context(Context::empty())
    });
}

#[test]
fn members_of_a_join_set_see_the_moment_of_their_spawn() {
    as_task_on_both(|| {
        async {
            let mut members = JoinSet::new();
            for step in 0..10 {
                let token = STEP.set(step).unwrap();
                members.spawn(async move { (step, STEP.get().unwrap()) });
                members.spawn_blocking(move || (step, STEP.get().unwrap()));
                token.reset().unwrap();
            }
            assert_eq!(members.len(), 20);
            while let Some(member) = members.join_next().await {
                let (expected, seen) = member.unwrap();
                assert_eq!(seen, expected);
            }
            assert!(members.is_empty());
        }
        .with_context(Context::empty())
    });
}

#[test]
fn a_join_set_reports_panics_and_aborts_like_the_original() {
    on_both(|| async {
        let mut members: JoinSet<()> = JoinSet::default();
        members.spawn(async { std::panic::resume_unwind(Box::new("thrown")) });
        assert!(members.join_next().await.unwrap().unwrap_err().is_panic());
        let handle = members.spawn(std::future::pending());
        handle.abort();
        assert!(members.join_next().await.unwrap().unwrap_err().is_cancelled());
        members.spawn(std::future::pending());
        members.abort_all();
        assert!(members.join_next().await.unwrap().unwrap_err().is_cancelled());
        members.spawn(std::future::pending());
        members.shutdown().await;
        assert!(members.is_empty());
    });
}

#[test]
fn local_tasks_see_the_moment_of_their_spawn() {
    on_both(|| async {
        let local = LocalSet::new();
        let driver = async {
            let _kept = STEP.set(1).unwrap();
            let not_send = std::rc::Rc::new(());
            let first = haversack::spawn_local(async move {
                drop(not_send);
                STEP.get().unwrap()
            });
            let _kept = STEP.set(2).unwrap();
            let second = haversack::spawn_local(async { STEP.get().unwrap() });
            let _kept = STEP.set(3).unwrap();
            assert_eq!((first.await.unwrap(), second.await.unwrap()), (1, 2));
        };
        local.run_until(driver.with_context(Context::empty())).await;
        assert!(STEP.get().is_err());
    });
}

#[test]
fn block_on_carries_the_context_of_the_call() {
    for runtime in [current_thread(), multi_thread()] {
        at_step(1).run(|| {
            let seen = haversack::block_on(&runtime, async {
                let child = haversack::spawn(async { STEP.get().unwrap() }).await.unwrap();
                let _kept = STEP.set(2).unwrap();
                (child, STEP.get().unwrap())
            });
            assert_eq!(seen, (1, 2));
            assert_eq!(STEP.get().unwrap(), 1, "the thread is in its own frame again");
        });
    }
}

#[test]
fn block_on_leaves_the_frame_of_its_thread() {
    for runtime in [current_thread(), multi_thread()] {
        at_step(1).run(|| {
            let seen = haversack::block_on(&runtime, async {
                let bare = tokio::spawn(async { (STEP.get().ok(), STEP.set(9).is_ok()) });
                bare.await.unwrap()
            });
            assert_eq!(seen, (None, false), "a bare task that it polls sees no frame");
            assert_eq!(STEP.get().unwrap(), 1);
        });
    }
}

#[test]
fn a_handle_and_a_nested_runtime_carry_on_alike() {
    // Inside a blocking closure, through the handle of its own runtime and through another runtime.
    as_task_on_both(|| {
        async {
            let nested = haversack::spawn_blocking(|| {
                let handle = tokio::runtime::Handle::current();
                let own =
                    handle.block_on(async { haversack::spawn(async { STEP.get().unwrap() }).await.unwrap() });
                let other = haversack::block_on(&current_thread(), async {
                    haversack::spawn(async { STEP.get().unwrap() }).await.unwrap()
                });
                (own, other)
            });
            assert_eq!(nested.await.unwrap(), (1, 1));
        }
        .with_context(at_step(1))
    });
}

#[test]
fn block_in_place_keeps_the_frame() {
    // Only the multi-thread runtime has it; the law runs as a task, which gives its worker away.
    let law = async {
        let seen = tokio::task::block_in_place(|| {
            let handle = tokio::runtime::Handle::current();
            let inner =
                handle.block_on(async { haversack::spawn(async { STEP.get().unwrap() }).await.unwrap() });
            (STEP.get().unwrap(), inner)
        });
        assert_eq!(seen, (1, 1));
        tokio::task::yield_now().await;
        assert_eq!(STEP.get().unwrap(), 1);
    };
    let runtime = multi_thread();
    runtime.block_on(crate::runtimes::limited(async {
        let task = tokio::spawn(law.with_context(at_step(1)));
        task.await.unwrap();
        assert_eq!(tokio::spawn(async { STEP.get().ok() }).await.unwrap(), None);
    }));
}

#[test]
fn a_worker_shows_nothing_of_a_task_afterwards() {
    on_both(|| async {
        for step in 0..50 {
            let wrapped = tokio::spawn(
                async {
                    tokio::task::yield_now().await;
                    STEP.get().unwrap()
                }
                .with_context(at_step(step)),
            );
            let bare = tokio::spawn(async { STEP.get().ok() });
            assert_eq!((wrapped.await.unwrap(), bare.await.unwrap()), (step, None));
        }
    });
}

#[test]
fn a_task_inherits_the_entry() {
    as_task_on_both(|| {
        let visit = arrive("acme");
        let entry = visit.entry();
        visit.wrap(async move {
            let child = haversack::spawn(async { (tenant(), haversack::Entry::current().unwrap()) });
            assert_eq!(child.await.unwrap(), (Some("acme".to_owned()), entry));
        })
    });
}

#[test]
fn spawn_returns_the_handle_of_tokio() {
    on_both(|| async {
        let handle: tokio::task::JoinHandle<()> = haversack::spawn(std::future::pending());
        let id = handle.id();
        handle.abort();
        let error = handle.await.unwrap_err();
        assert!(error.is_cancelled());
        assert_eq!(error.id(), id);
        let panicked = haversack::spawn(async { std::panic::resume_unwind(Box::new("thrown")) });
        let error: tokio::task::JoinError = {
            let r: Result<(), _> = panicked.await;
            r.unwrap_err()
        };
        assert!(error.is_panic());
    });
}
