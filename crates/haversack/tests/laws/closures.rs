//! Closures: each kind runs in the context of its hand-over and is dropped there, called or not.

use haversack::{Context, ContextVar, wrap, wrap_fn, wrap_mut, wrap_once};

use crate::probe::{MARK, probe};

static LANE: ContextVar<u32> = ContextVar::new("lane of a closure");

fn lane() -> Option<u32> {
    LANE.get().ok()
}

#[test]
fn every_kind_sees_the_moment_of_its_hand_over() {
    let (once, with_argument, mut changing, shared) = LANE.sync_scope(1, || {
        let mut calls = 0;
        let kinds = (
            wrap(lane),
            wrap_once(|add: u32| lane().map(|lane| lane + add)),
            wrap_mut(move |add: u32| {
                calls += 1;
                lane().map(|lane| lane + add + calls)
            }),
            wrap_fn(|add: u32| lane().map(|lane| lane + add)),
        );
        drop(LANE.set(50).unwrap());
        kinds
    });
    LANE.sync_scope(9, || {
        assert_eq!((once(), with_argument(10)), (Some(1), Some(11)));
        assert_eq!((changing(10), changing(10)), (Some(12), Some(13)));
        assert_eq!((shared(10), shared(20)), (Some(11), Some(21)));
        assert_eq!(lane(), Some(9));
    });
}

#[test]
fn a_call_has_a_frame_of_its_own_and_nothing_comes_back() {
    let set = |_: ()| {
        let seen = lane();
        drop(LANE.set(5).unwrap());
        seen
    };
    let (mut changing, shared) = LANE.sync_scope(1, || (wrap_mut(set), wrap_fn(set)));
    for _ in 0..3 {
        assert_eq!((changing(()), shared(()), lane()), (Some(1), Some(1), None));
    }
}

#[test]
fn every_kind_is_dropped_inside_its_context_called_or_not() {
    let marked = || Context::empty().bind(&MARK, 1);
    for called in [false, true] {
        let (held, seen) = probe();
        let once = marked().run(|| wrap_once(|()| drop(held)));
        if called {
            once(());
        } else {
            drop(once);
        }
        assert_eq!(seen.at_drop(), Some(1));

        let (held, seen) = probe();
        let mut changing = marked().run(|| {
            wrap_mut(move |()| {
                let _ = &held;
            })
        });
        if called {
            changing(());
        }
        assert!(seen.not_yet());
        MARK.sync_scope(9, || drop(changing));
        assert_eq!(seen.at_drop(), Some(1));
    }
}

#[test]
fn a_closure_wrapped_in_no_context_stays_in_none() {
    let (mut changing, once) = (wrap_mut(|()| lane()), wrap_once(|()| lane()));
    LANE.sync_scope(9, || assert_eq!((changing(()), once(())), (None, None)));
}

#[test]
fn a_call_that_panics_restores_the_caller() {
    let mut panics = LANE.sync_scope(1, || wrap_mut(|()| std::panic::resume_unwind(Box::new("thrown"))));
    LANE.sync_scope(9, || {
        let thrown = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| panics(())));
        let thrown: Box<dyn std::any::Any + Send> = thrown.map(|(): ()| ()).unwrap_err();
        assert_eq!((thrown.downcast_ref::<&str>(), lane()), (Some(&"thrown"), Some(9)));
    });
}
