//! Contexts as values: captured in constant time, never changed, run as often as wanted.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use haversack::{Context, ContextVar};

static STOP: ContextVar<u32> = ContextVar::new("stop");

#[test]
fn later_changes_on_either_side_are_invisible_to_the_other() {
    STOP.sync_scope(1, || {
        let captured = Context::current();
        let _kept = STOP.set(2).unwrap();
        captured.clone().run(|| {
            assert_eq!(STOP.get().unwrap(), 1, "the capture does not see the later set");
            let _kept = STOP.set(3).unwrap();
        });
        assert_eq!(STOP.get().unwrap(), 2, "nor the other way round");
        assert_eq!(captured.run(|| STOP.get().unwrap()), 1);
    });
}

#[test]
fn a_capture_copies_no_value() {
    struct Counted(Arc<AtomicUsize>);
    impl Clone for Counted {
        fn clone(&self) -> Self {
            self.0.fetch_add(1, Ordering::Relaxed);
            Self(self.0.clone())
        }
    }
    static COUNTED: ContextVar<Counted> = ContextVar::new("counted");
    static OTHER: ContextVar<u32> = ContextVar::new("other");

    let clones = Arc::new(AtomicUsize::new(0));
    COUNTED.sync_scope(Counted(clones.clone()), || {
        let captured: Vec<Context> = (0..100).map(|_| Context::current()).collect();
        // A change copies the array of bindings, and still no value.
        let _kept = OTHER.set(1).unwrap();
        captured[0].clone().run(|| COUNTED.with(|_| ()).unwrap());
    });
    assert_eq!(clones.load(Ordering::Relaxed), 0);
}

#[test]
fn values_live_as_long_as_the_last_context_that_holds_them() {
    static HELD: ContextVar<Arc<()>> = ContextVar::new("held");
    let value = Arc::new(());
    let captured = HELD.sync_scope(value.clone(), Context::current);
    let inside = HELD.sync_scope(value.clone(), || {
        let captured = Context::current();
        drop(HELD.set(Arc::new(())).unwrap());
        captured
    });
    assert_eq!(Arc::strong_count(&value), 3, "each capture holds it, no ended frame does");
    drop(captured);
    assert_eq!(Arc::strong_count(&value), 2);
    drop(inside);
    assert_eq!(Arc::strong_count(&value), 1);
}

#[test]
fn bind_leaves_the_original_as_it_is() {
    let one = Context::empty().bind(&STOP, 1);
    let two = one.clone().bind(&STOP, 2);
    assert_eq!(one.run(|| STOP.get().unwrap()), 1);
    assert_eq!(two.run(|| STOP.get().unwrap()), 2);
}

#[test]
fn outside_of_any_frame_the_context_is_empty() {
    let context = Context::current();
    assert!(context.describe().bindings.is_empty());
    assert_eq!(context.entry(), None);
}

#[test]
fn a_context_may_run_inside_itself_and_on_many_threads_at_once() {
    let context = Context::empty().bind(&STOP, 7);
    context.clone().run(|| {
        context.clone().run(|| {
            let _kept = STOP.set(8).unwrap();
        });
        assert_eq!(STOP.get().unwrap(), 7);
    });
    std::thread::scope(|threads| {
        for _ in 0..4 {
            threads.spawn(|| {
                for round in 0..200 {
                    context.clone().run(|| {
                        assert_eq!(STOP.get().unwrap(), 7);
                        let _kept = STOP.set(round).unwrap();
                        assert_eq!(STOP.get().unwrap(), round);
                    });
                }
            });
        }
    });
}

/// More of them than a first context has room for.
static MANY: [ContextVar<usize>; 90] = [const { ContextVar::new("one of many") }; 90];

fn bound_in(context: &Context) -> Vec<Option<usize>> {
    context.clone().run(|| MANY.iter().map(|variable| variable.get().ok()).collect())
}

#[test]
fn a_context_grows_alike_whether_it_is_shared_or_not() {
    let (mut alone, mut shared, mut held) = (Context::empty(), Context::empty(), Vec::new());
    for (value, variable) in MANY.iter().enumerate() {
        alone = alone.bind(variable, value);
        held.push(shared.clone());
        shared = shared.bind(variable, value);
    }
    let up_to = |n: usize| (0..MANY.len()).map(|value| (value < n).then_some(value)).collect::<Vec<_>>();
    assert_eq!(bound_in(&alone), up_to(MANY.len()));
    assert_eq!(bound_in(&shared), up_to(MANY.len()));
    for (n, held) in held.iter().enumerate() {
        assert_eq!(bound_in(held), up_to(n), "what was captured before is as it was");
    }
}

#[test]
fn a_frame_grows_by_sets_and_shrinks_by_resets_whether_it_is_shared_or_not() {
    for shares in [false, true] {
        Context::empty().run(|| {
            let mut held = Vec::new();
            // From the last to the first, so that the first set makes the longest way.
            let tokens = MANY.iter().enumerate().rev().map(|(value, variable)| {
                held.extend(shares.then(Context::current));
                variable.set(value).unwrap()
            });
            let tokens = tokens.collect::<Vec<_>>();
            assert_eq!(bound_in(&Context::current()), (0..MANY.len()).map(Some).collect::<Vec<_>>());
            tokens.into_iter().rev().for_each(|token| token.reset().unwrap());
            assert_eq!(bound_in(&Context::current()), vec![None; MANY.len()]);
            for (n, held) in held.iter().enumerate() {
                assert_eq!(bound_in(held).iter().flatten().count(), n);
            }
        });
    }
}

#[test]
fn a_context_in_a_context_is_dropped_on_a_small_stack_however_deep() {
    struct Counted(Arc<AtomicUsize>);
    impl Drop for Counted {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    static INSIDE: ContextVar<(Context, Counted)> = ContextVar::new("inside");

    let dropped = Arc::new(AtomicUsize::new(0));
    let count = dropped.clone();
    let chain = move || {
        let nest = |inside, _| Context::empty().bind(&INSIDE, (inside, Counted(count.clone())));
        drop((0..100_000).fold(Context::empty(), nest));
        count.load(Ordering::Relaxed)
    };
    let thread = std::thread::Builder::new().stack_size(512 * 1024).spawn(chain).unwrap();
    assert_eq!(thread.join().unwrap(), 100_000, "all of it is gone when the drop returns");
    assert_eq!(Arc::strong_count(&dropped), 1);
}
