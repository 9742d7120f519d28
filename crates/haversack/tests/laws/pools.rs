//! Rayon: each job sees the context of the moment of its hand-over, and a worker that waits shows its own to nobody.
//!
//! A pool of one worker makes the thefts certain: what lies on top of its queue is what it runs while it waits.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::mpsc::{Receiver, channel};

use haversack::rayon::{self as carried, ParallelIteratorExt};
use haversack::{Context, ContextVar, Crossing, Reason};
use rayon::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::probe::{MARK, probe};
use crate::runtimes::LIMIT;

static LANE: ContextVar<u32> = ContextVar::new("lane of a pool");
static OPEN: ContextVar<u32> = ContextVar::new("open in a pool").confined();

fn pool(workers: usize) -> ThreadPool {
    ThreadPoolBuilder::new().num_threads(workers).build().unwrap()
}

fn lane() -> Option<u32> {
    LANE.get().ok()
}

fn next<T>(receive: &Receiver<T>) -> T {
    receive.recv_timeout(LIMIT).expect("the job did not run")
}

/// Puts a job that knows nothing of the library on top of this worker's queue. It tells what it saw, and whether
/// it was in a frame at all.
fn foreign() -> Receiver<(Option<u32>, bool)> {
    let (send, receive) = channel();
    rayon::spawn(move || {
        let no_frame = LANE.get().is_err_and(|error| error.reason() == Reason::NoFrame);
        // Nobody listens where it ran too late.
        let _ = send.send((lane(), !no_frame));
    });
    receive
}

const NOTHING: (Option<u32>, bool) = (None, false);

#[test]
fn a_job_sees_the_moment_of_its_spawn_and_gives_nothing_back() {
    let pool = pool(2);
    let (send, receive) = channel();
    LANE.sync_scope(1, || {
        let (go, gone) = channel::<()>();
        let job = move || {
            gone.recv().unwrap();
            let seen = lane();
            drop(LANE.set(3).unwrap());
            send.send((seen, lane())).unwrap();
        };
        carried::spawn_on(job, &pool);
        drop(LANE.set(2).unwrap());
        go.send(()).unwrap();
        assert_eq!(next(&receive), (Some(1), Some(3)));
        assert_eq!(lane(), Some(2));
    });
}

#[test]
fn jobs_of_the_global_pool_and_of_both_orders_carry_their_context() {
    let (send, receive) = channel();
    for number in 0..20 {
        let (first, second) = (send.clone(), send.clone());
        LANE.sync_scope(number, || {
            carried::spawn(move || first.send((number, lane())).unwrap());
            carried::spawn_fifo(move || second.send((number, lane())).unwrap());
        });
    }
    for _ in 0..40 {
        let (number, seen) = next(&receive);
        assert_eq!(seen, Some(number));
    }
}

#[test]
fn both_sides_of_a_join_see_the_context_of_the_call_in_frames_of_their_own() {
    for workers in [1, 2] {
        let seen = LANE.sync_scope(1, || {
            let seen = carried::install(&pool(workers), || {
                let set = || {
                    let seen = lane();
                    drop(LANE.set(9).unwrap());
                    seen
                };
                (carried::join(set, set), lane())
            });
            (seen, lane())
        });
        assert_eq!(seen, (((Some(1), Some(1)), Some(1)), Some(1)));
    }
}

#[test]
fn a_job_stolen_while_a_join_waits_sees_nothing_of_it() {
    let pool = pool(1);
    LANE.sync_scope(1, || {
        carried::install(&pool, || {
            let (stolen, seen) = carried::join(foreign, lane);
            assert_eq!((next(&stolen), seen), (NOTHING, Some(1)));
            assert_eq!(lane(), Some(1), "and the frame is back");
        });
    });
}

#[test]
fn a_job_stolen_while_a_scope_waits_sees_nothing_of_it() {
    let pool = pool(1);
    LANE.sync_scope(1, || {
        carried::install(&pool, || {
            let mut seen = None;
            let stolen = carried::scope(|scope| {
                scope.spawn(|_| seen = lane());
                foreign()
            });
            assert_eq!((next(&stolen), seen), (NOTHING, Some(1)));
            let stolen = carried::in_place_scope(|scope| {
                scope.spawn(|_| seen = lane());
                foreign()
            });
            assert_eq!((next(&stolen), seen, lane()), (NOTHING, Some(1), Some(1)));
        });
    });
}

#[test]
fn a_job_stolen_while_a_parallel_iterator_waits_sees_nothing_of_it() {
    let pool = pool(1);
    LANE.sync_scope(1, || {
        carried::install(&pool, || {
            let thefts: Vec<_> =
                (0..8).into_par_iter().in_current_context().map(|_| (foreign(), lane())).collect();
            assert!(thefts.iter().all(|(_, seen)| *seen == Some(1)));
            // Those of the last items lie there still.
            let during: Vec<_> = thefts.iter().filter_map(|(stolen, _)| stolen.try_recv().ok()).collect();
            assert!(!during.is_empty() && during.iter().all(|seen| *seen == NOTHING), "{during:?}");
            assert_eq!(lane(), Some(1));
        });
    });
}

#[test]
fn a_job_stolen_while_another_pool_is_waited_for_sees_nothing_of_it() {
    let (one, other) = (pool(1), pool(1));
    let seen = LANE.sync_scope(1, || {
        carried::install(&one, || {
            let stolen = foreign();
            let seen = carried::install(&other, move || (next(&stolen), lane()));
            (seen, lane())
        })
    });
    assert_eq!(seen, ((NOTHING, Some(1)), Some(1)));
}

#[test]
fn a_stolen_job_of_another_sees_its_own_also_when_its_own_is_empty() {
    let pool = pool(1);
    let (send, receive) = channel();
    LANE.sync_scope(1, || {
        carried::install(&pool, move || {
            let others = || {
                for (name, own) in [("two", Context::empty().bind(&LANE, 2)), ("none", Context::empty())] {
                    let send = send.clone();
                    own.run(|| carried::spawn(move || send.send((name, lane())).unwrap()));
                }
            };
            let ((), seen) = carried::join(others, lane);
            assert_eq!(seen, Some(1));
            // The only worker is here, so what has run by now has run while the join waited.
            let mut seen: Vec<_> = receive.try_iter().collect();
            seen.sort_unstable();
            assert_eq!(seen, [("none", None), ("two", Some(2))]);
        });
    });
}

#[test]
fn a_bare_join_inside_a_carried_job_shows_its_frame_to_the_bare_jobs_that_it_steals() {
    // As a dependency does it. No library can see this wait; it is the control of the laws above, and why jobs go through
    // the library: one of ours that is stolen sees its own.
    let pool = pool(1);
    let (send, receive) = channel();
    LANE.sync_scope(1, || {
        carried::install(&pool, move || {
            let others = || {
                Context::empty().run(|| carried::spawn(move || send.send(lane()).unwrap()));
                foreign()
            };
            let (bare, _) = rayon::join(others, lane);
            assert_eq!(bare.try_recv(), Ok((Some(1), true)));
            assert_eq!(receive.try_recv(), Ok(None));
        });
    });
}

#[test]
fn a_worker_shows_nothing_of_a_job_afterwards() {
    let pool = pool(1);
    for number in 0..20 {
        LANE.sync_scope(number, || carried::install(&pool, || assert_eq!(lane(), Some(number))));
        assert_eq!(pool.install(lane), None);
    }
}

#[test]
fn jobs_of_a_scope_borrow_and_each_sees_the_moment_of_its_spawn() {
    let pool = pool(2);
    let mut seen = [None; 16];
    LANE.sync_scope(99, || {
        carried::install(&pool, || {
            carried::scope(|scope| {
                for (number, seen) in (0..).zip(&mut seen) {
                    let token = LANE.set(number).unwrap();
                    scope.spawn(move |inner| {
                        let own = lane();
                        inner.spawn(move |_| *seen = own.and(lane()));
                    });
                    token.reset().unwrap();
                }
            });
        });
    });
    assert_eq!(seen.to_vec(), (0..16).map(Some).collect::<Vec<_>>());
}

#[test]
fn what_stands_after_a_parallel_iterator_runs_in_its_context_on_every_worker() {
    let pool = pool(2);
    let context = Context::empty().bind(&LANE, 1);
    LANE.sync_scope(9, || {
        carried::install(&pool, || {
            let seen: Vec<_> = (0..1000_u32)
                .into_par_iter()
                .map(|number| (number, lane()))
                .with_context(context)
                .filter(|_| lane() == Some(1))
                .map(|(number, before)| (number, before, lane()))
                .collect();
            let expected = (0..1000).map(|number| (number, None, Some(1)));
            assert!(seen.into_iter().eq(expected), "in order, and before the call in no context");
            let sum = (0..1000_u32).into_par_iter().in_current_context().fold(
                || lane().unwrap(),
                |sum, _| {
                    drop(LANE.set(5).unwrap());
                    sum + 1
                },
            );
            let parts = sum.reduce(|| lane().unwrap(), |a, b| a + b - lane().unwrap());
            assert_eq!(parts, 1000 + 9, "identities and reductions run in it too, and no set comes through");
            let nested = (0..4_u32)
                .into_par_iter()
                .in_current_context()
                .flat_map(|_| (0..4_u32).into_par_iter().in_current_context().map(|_| lane()));
            assert!(nested.all(|seen| seen == Some(9)));
        });
    });
}

#[test]
fn a_wrapped_closure_may_be_given_to_a_parallel_iterator_too() {
    let pool = pool(2);
    let read = LANE.sync_scope(1, || haversack::wrap_fn(|number: u32| (number, lane())));
    let seen: Vec<_> = pool.install(|| (0..100_u32).into_par_iter().map(read).collect());
    assert!(seen.into_iter().eq((0..100).map(|number| (number, Some(1)))));
}

#[test]
fn a_job_that_panics_is_unwound_inside_its_context_and_leaves_nothing() {
    let pool = pool(1);
    let (first, seen) = probe();
    let panics = move || {
        let _held = first;
        resume_unwind(Box::new("thrown"))
    };
    let thrown = catch_unwind(AssertUnwindSafe(|| {
        MARK.sync_scope(1, || {
            carried::install(&pool, || {
                let ((), ()) = carried::join(panics, || ());
            });
        });
    }));
    assert_eq!(thrown.unwrap_err().downcast_ref::<&str>(), Some(&"thrown"));
    assert_eq!(seen.at_drop(), Some(1));
    assert_eq!(pool.install(|| MARK.get().ok()), None);
    assert!(MARK.get().is_err());
}

#[test]
fn a_confined_variable_does_not_cross_into_a_pool() {
    #[track_caller]
    fn stayed(read: Result<u32, haversack::MissingContext>, line: u32) {
        let error = read.unwrap_err();
        let Reason::Withheld { crossing: Crossing::Local, at } = error.reason() else { panic!("{error}") };
        assert!(at.file().ends_with("pools.rs") && at.line() == line, "{at}");
    }
    let pool = pool(2);
    Context::empty().bind(&OPEN, 1).bind(&LANE, 2).run(|| {
        let (send, receive) = channel();
        let job = move || send.send((OPEN.get(), lane())).unwrap();
        carried::spawn_on(job.clone(), &pool);
        let (open, lane_there) = next(&receive);
        stayed(open, line!() - 2);
        assert_eq!(lane_there, Some(2));
        carried::spawn(job.clone());
        stayed(next(&receive).0, line!() - 1);
        carried::spawn_fifo(job);
        stayed(next(&receive).0, line!() - 1);
        stayed(carried::install(&pool, || OPEN.get()), line!());
        let (a, b) = carried::join(|| OPEN.get(), || OPEN.get());
        stayed(a, line!() - 1);
        stayed(b, line!() - 2);
        stayed(carried::scope(|_| OPEN.get()), line!());
        stayed(carried::in_place_scope(|_| OPEN.get()), line!());
        let pages = [1].par_iter().in_current_context();
        stayed(pages.map(|_| OPEN.get()).reduce_with(|a, _| a).unwrap(), line!() - 1);
        assert_eq!(OPEN.get().unwrap(), 1, "it stays where it was");
    });
}

#[test]
fn a_pool_started_in_a_context_does_not_work_under_it() {
    let pool = LANE.sync_scope(1, || pool(1));
    assert_eq!(pool.install(lane), None);
    assert_eq!(carried::install(&pool, lane), None);
}
