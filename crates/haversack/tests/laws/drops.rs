//! Drops: a future that does not reach its end is dropped inside its own context, however that comes about, and
//! values are dropped with the cell free.

use std::future::{Future, pending};
use std::sync::{Arc, Mutex};
use std::task::{Context as Waking, Waker};

use futures_util::{future, pin_mut};
use haversack::{Context, ContextVar, FutureExt};
use tokio::sync::oneshot;

use crate::probe::{MARK, Probe, probe};
use crate::runtimes::{current_thread, limited, multi_thread, on_both};

fn marked(mark: u32) -> Context {
    Context::empty().bind(&MARK, mark)
}

/// A future that holds a probe, says that it runs, and never ends.
fn holding(probe: Probe) -> (impl Future<Output = ()> + Send, oneshot::Receiver<()>) {
    let (started, has_started) = oneshot::channel();
    let future = async move {
        let _probe = probe;
        let _ = started.send(());
        pending::<()>().await;
    };
    (future, has_started)
}

#[test]
fn an_aborted_task_is_dropped_inside_its_context() {
    on_both(|| async {
        let (probe, seen) = probe();
        let (future, has_started) = holding(probe);
        let task = tokio::spawn(future.with_context(marked(1)));
        has_started.await.unwrap();
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
        assert_eq!(seen.at_drop(), Some(1));
    });
}

#[test]
fn a_task_aborted_before_its_first_poll_is_dropped_inside_its_context() {
    // Nothing else runs on this thread between the spawn and the abort.
    current_thread().block_on(limited(async {
        let (probe, seen) = probe();
        let (future, mut has_started) = holding(probe);
        let task = tokio::spawn(future.with_context(marked(1)));
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
        assert!(has_started.try_recv().is_err(), "it was never polled");
        assert_eq!(seen.at_drop(), Some(1));
    }));
}

#[test]
fn what_a_future_set_is_still_there_when_it_is_dropped() {
    on_both(|| async {
        let (probe, seen) = probe();
        let (started, has_started) = oneshot::channel();
        let future = async move {
            let _probe = probe;
            drop(MARK.set(2).unwrap());
            started.send(()).unwrap();
            pending::<()>().await;
        };
        let task = tokio::spawn(future.with_context(marked(1)));
        has_started.await.unwrap();
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
        assert_eq!(seen.at_drop(), Some(2));
    });
}

#[test]
fn the_lost_branch_of_a_select_is_dropped_inside_its_context() {
    on_both(|| {
        async {
            let (probe, seen) = probe();
            let (loser, _) = holding(probe);
            let loser = loser.with_context(marked(1));
            tokio::select! {
                biased;
                () = loser => panic!("it never ends"),
                () = future::ready(()) => {}
            }
            assert_eq!(seen.at_drop(), Some(1));
            assert_eq!(MARK.get().unwrap(), 9);
        }
        .with_context(marked(9))
    });
}

#[test]
fn a_lost_branch_that_was_never_polled_is_dropped_inside_its_context() {
    on_both(|| {
        async {
            let (probe, seen) = probe();
            let (loser, _) = holding(probe);
            let loser = loser.with_context(marked(1));
            tokio::select! {
                biased;
                () = future::ready(()) => {}
                () = loser => panic!("it is not polled"),
            }
            assert_eq!(seen.at_drop(), Some(1));
        }
        .with_context(marked(9))
    });
}

#[test]
fn a_scope_is_dropped_with_its_binding_also_before_its_first_poll() {
    let (probe, seen) = probe();
    let (future, _) = holding(probe);
    let scope = MARK.scope(1, future);
    marked(9).run(|| drop(scope));
    assert_eq!(seen.at_drop(), Some(1));

    let (probe, seen) = crate::probe::probe();
    let (future, _has_started) = holding(probe);
    let mut scope = Box::pin(MARK.scope(1, future));
    let polled = scope.as_mut().poll(&mut Waking::from_waker(Waker::noop()));
    assert!(polled.is_pending());
    marked(9).run(|| drop(scope));
    assert_eq!(seen.at_drop(), Some(1));
}

#[test]
fn an_unpolled_future_is_dropped_inside_the_context_it_was_given() {
    let (probe, seen) = probe();
    let (future, _) = holding(probe);
    let wrapped = marked(1).run(|| future.in_current_context());
    marked(9).run(|| drop(wrapped));
    assert_eq!(seen.at_drop(), Some(1));
}

#[test]
fn a_detached_future_is_dropped_outside_of_every_context() {
    let (probe, seen) = probe();
    let (future, _) = holding(probe);
    marked(9).run(|| drop(haversack::detached(future)));
    assert_eq!(seen.at_drop(), None);
}

#[test]
fn a_panicking_task_is_dropped_inside_its_context_and_leaves_nothing_on_its_worker() {
    on_both(|| async {
        for _ in 0..20 {
            let (probe, seen) = probe();
            let victim = async move {
                let _probe = probe;
                tokio::task::yield_now().await;
                std::panic::resume_unwind(Box::new("thrown"))
            };
            let victim: tokio::task::JoinHandle<()> = tokio::spawn(victim.with_context(marked(1)));
            assert!(victim.await.unwrap_err().is_panic());
            assert_eq!(seen.at_drop(), Some(1));
            // As many bystanders as there are workers, so that the victim's worker gets one.
            let bystanders: Vec<_> = (0..4).map(|_| tokio::spawn(async { MARK.get().ok() })).collect();
            for bystander in bystanders {
                assert_eq!(bystander.await.unwrap(), None);
            }
        }
    });
}

#[test]
fn a_runtime_that_shuts_down_drops_its_pending_tasks_inside_their_contexts() {
    for runtime in [current_thread(), multi_thread()] {
        let seen: Vec<_> = (0..8)
            .map(|mark| {
                let (probe, seen) = probe();
                let (future, has_started) = holding(probe);
                let task = runtime.spawn(future.with_context(marked(mark)));
                if mark % 2 == 0 {
                    runtime.block_on(limited(has_started)).unwrap();
                }
                drop(task);
                (mark, seen)
            })
            .collect();
        marked(99).run(|| drop(runtime));
        for (mark, seen) in seen {
            assert_eq!(seen.wait(), Some(mark));
        }
    }
}

#[test]
fn a_runtime_that_is_shut_down_without_waiting_drops_its_pending_tasks_inside_their_contexts() {
    type Shutdown = fn(tokio::runtime::Runtime);
    let shutdowns: [Shutdown; 2] =
        [|runtime| runtime.shutdown_background(), |runtime| runtime.shutdown_timeout(crate::runtimes::LIMIT)];
    for shutdown in shutdowns {
        for runtime in [current_thread(), multi_thread()] {
            let (probe, seen) = probe();
            let (future, has_started) = holding(probe);
            runtime.spawn(future.with_context(marked(1)));
            runtime.block_on(limited(has_started)).unwrap();
            marked(99).run(|| shutdown(runtime));
            assert_eq!(seen.wait(), Some(1));
        }
    }
}

#[test]
fn a_local_set_that_is_dropped_drops_its_pending_tasks_inside_their_contexts() {
    let local = tokio::task::LocalSet::new();
    let (polled, seen_polled) = probe();
    let (unpolled, seen_unpolled) = probe();
    current_thread().block_on(limited(local.run_until(async {
        let (future, has_started) = holding(polled);
        drop(tokio::task::spawn_local(future.with_context(marked(1))));
        has_started.await.unwrap();
        let (future, _) = holding(unpolled);
        drop(tokio::task::spawn_local(future.with_context(marked(2))));
    })));
    marked(99).run(|| drop(local));
    assert_eq!((seen_polled.at_drop(), seen_unpolled.at_drop()), (Some(1), Some(2)));
}

#[test]
fn the_output_of_a_finished_task_belongs_to_its_receiver() {
    on_both(|| async {
        let (probe, seen) = probe();
        let task = tokio::spawn(async move { probe }.with_context(marked(1)));
        let output = task.await.unwrap();
        assert!(seen.not_yet());
        marked(2).run(|| drop(output));
        assert_eq!(seen.at_drop(), Some(2));
    });
}

#[test]
fn a_closure_that_is_never_called_is_dropped_inside_its_context() {
    let (one, seen_one) = probe();
    let (two, seen_two) = probe();
    let (once, many) = marked(1).run(|| {
        (haversack::wrap(move || drop(one)), haversack::wrap_fn(move |()| std::ptr::from_ref(&two).addr()))
    });
    marked(9).run(|| drop((once, many)));
    assert_eq!((seen_one.at_drop(), seen_two.at_drop()), (Some(1), Some(1)));
}

#[test]
#[cfg(feature = "tokio")]
fn a_blocking_job_that_never_starts_is_dropped_inside_its_context() {
    let runtime =
        tokio::runtime::Builder::new_current_thread().max_blocking_threads(1).enable_all().build().unwrap();
    let (probe, seen) = probe();
    let (started, has_started) = std::sync::mpsc::channel();
    let (end, ended) = std::sync::mpsc::channel::<()>();
    let (call, called) = std::sync::mpsc::channel();
    runtime.block_on(async {
        haversack::spawn_blocking(move || {
            started.send(()).unwrap();
            let _ = ended.recv();
        });
        has_started.recv().unwrap();
        // The pool has one thread, so this one waits in the queue.
        let waits = marked(1).run(|| {
            haversack::spawn_blocking(move || {
                let _probe = probe;
                call.send(()).unwrap();
            })
        });
        waits.abort();
    });
    assert!(seen.not_yet());
    drop(end);
    marked(9).run(|| drop(runtime));
    assert_eq!(seen.wait(), Some(1));
    assert!(called.try_recv().is_err(), "it never ran");
}

#[test]
fn a_future_that_is_moved_to_another_thread_is_dropped_inside_its_context() {
    let (probe, seen) = probe();
    let (future, _) = holding(probe);
    let wrapped = future.with_context(marked(1));
    std::thread::spawn(move || drop(wrapped)).join().unwrap();
    assert_eq!(seen.at_drop(), Some(1));
}

// ---------------------------------------------------------------------------------------------- values

/// A value whose destructor reads a variable and sets it.
struct Reads(Arc<Mutex<Vec<Option<u32>>>>);

impl Drop for Reads {
    fn drop(&mut self) {
        self.0.lock().unwrap().push(MARK.get().ok());
        if let Ok(token) = MARK.set(77) {
            token.reset().unwrap();
        }
    }
}

static READS: ContextVar<Reads> = ContextVar::new("reads");

#[test]
fn the_destructor_of_a_value_may_read_and_set() {
    let log = Arc::new(Mutex::default());
    marked(1).run(|| {
        // At a reset the cell is free and the frame is current.
        READS.set(Reads(log.clone())).unwrap().reset().unwrap();
        assert_eq!(*log.lock().unwrap(), [Some(1)]);
        // At the end of a frame the enclosing one is current.
        marked(2).bind(&READS, Reads(log.clone())).run(|| ());
        assert_eq!(*log.lock().unwrap(), [Some(1), Some(1)]);
        assert_eq!(MARK.get().unwrap(), 1);
    });
    // The last context, outside of every frame.
    drop(Context::empty().bind(&READS, Reads(log.clone())));
    assert_eq!(*log.lock().unwrap(), [Some(1), Some(1), None]);
}

#[test]
fn the_destructor_of_the_very_value_that_is_replaced_may_set_its_variable_again() {
    struct SetsAgain(u32);
    static CHAIN: ContextVar<SetsAgain> = ContextVar::new("chain");
    impl Drop for SetsAgain {
        fn drop(&mut self) {
            if self.0 > 0 {
                drop(CHAIN.set(SetsAgain(self.0 - 1)));
            }
        }
    }
    Context::empty().run(|| {
        drop(CHAIN.set(SetsAgain(5)).unwrap());
        drop(CHAIN.set(SetsAgain(0)).unwrap());
        let last = CHAIN.with(|chain| chain.0).unwrap();
        assert_eq!(last, 4, "the destructor ran after the new value stood, and set over it");
    });
}

#[test]
fn a_destructor_that_panics_leaves_the_frame_as_it_was_meant_to_be() {
    struct Throws;
    impl Drop for Throws {
        fn drop(&mut self) {
            if !std::thread::panicking() {
                std::panic::resume_unwind(Box::new("thrown by a destructor"));
            }
        }
    }
    static THROWS: ContextVar<Throws> = ContextVar::new("throws");
    marked(1).run(|| {
        let token = THROWS.set(Throws).unwrap();
        let thrown = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| token.reset()));
        assert!(thrown.is_err());
        assert!(!THROWS.is_bound());
        assert_eq!(MARK.get().unwrap(), 1);
    });
    assert!(MARK.get().is_err());
}

#[test]
fn a_value_is_dropped_once_on_whichever_thread_lets_go_last() {
    static HELD: ContextVar<Arc<()>> = ContextVar::new("held");
    let value = Arc::new(());
    let context = Context::empty().bind(&HELD, value.clone());
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let context = context.clone();
            std::thread::spawn(move || {
                for _ in 0..500 {
                    context.clone().run(|| {
                        let shared = Context::current();
                        drop(HELD.set(HELD.get().unwrap()).unwrap());
                        drop(shared);
                    });
                }
            })
        })
        .collect();
    drop(context);
    for thread in threads {
        thread.join().unwrap();
    }
    assert_eq!(Arc::strong_count(&value), 1);
}

#[test]
fn a_branch_that_is_dropped_inside_another_context_keeps_to_its_own() {
    on_both(|| {
        async {
            let (probe, seen) = probe();
            let (inner, has_started) = holding(probe);
            let inner = inner.with_context(marked(1));
            let driver = async {
                pin_mut!(inner);
                tokio::select! {
                    () = inner => {}
                    started = has_started => started.unwrap(),
                }
                // `inner` is dropped here, inside the driver's context.
            };
            driver.with_context(marked(2)).await;
            assert_eq!(seen.at_drop(), Some(1));
        }
        .with_context(marked(9))
    });
}
