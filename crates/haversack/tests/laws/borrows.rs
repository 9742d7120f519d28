//! Borrows: what `with` and a clone hand out stays alive, whatever is set, reset or entered meanwhile.
//!
//! Under AddressSanitizer these read the borrowed memory after the moment at which it would be freed if borrows
//! were not counted. With the fault planted that does not count them they must end in a report.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use haversack::{Context, ContextVar};

use crate::leaked::leaked;

static TEXT: ContextVar<String> = ContextVar::new("borrowed text");
static SIDE: ContextVar<String> = ContextVar::new("side");

fn long(word: &str) -> String {
    word.repeat(40)
}

#[test]
fn a_borrow_outlives_a_set_in_the_same_frame() {
    TEXT.sync_scope(long("first "), || {
        drop(TEXT.set(long("second ")).unwrap());
        TEXT.with(|second| {
            // The token is dropped with the value that it would restore: the one that is borrowed.
            drop(TEXT.set(long("third ")).unwrap());
            assert_eq!(*second, long("second "));
            assert_eq!(TEXT.get().unwrap(), long("third "));
            assert_eq!(*second, long("second "));
        })
        .unwrap();
        assert_eq!(TEXT.get().unwrap(), long("third "));
    });
}

#[test]
fn a_borrow_outlives_the_reset_of_its_own_binding() {
    TEXT.sync_scope(long("first "), || {
        let token = TEXT.set(long("second ")).unwrap();
        TEXT.with(|second| {
            token.reset().unwrap();
            assert_eq!(TEXT.get().unwrap(), long("first "));
            assert_eq!(*second, long("second "));
        })
        .unwrap();
        assert_eq!(TEXT.get().unwrap(), long("first "));
    });
}

#[test]
fn a_borrow_outlives_many_sets_and_the_growth_of_its_frame() {
    Context::empty().run(|| {
        drop(TEXT.set(long("kept ")).unwrap());
        TEXT.with(|kept| {
            for round in 0..20 {
                drop(TEXT.set(format!("{round}")).unwrap());
                let grown = leaked::<String>("grown");
                drop(grown.set(long("grown ")).unwrap());
            }
            assert_eq!(*kept, long("kept "));
        })
        .unwrap();
        assert_eq!(TEXT.get().unwrap(), "19");
    });
}

#[test]
fn a_borrow_outlives_frames_entered_and_left_meanwhile() {
    TEXT.sync_scope(long("outer "), || {
        drop(TEXT.set(long("borrowed ")).unwrap());
        TEXT.with(|borrowed| {
            Context::current().run(|| {
                drop(TEXT.set(long("inner ")).unwrap());
                drop(TEXT.set(long("inner again ")).unwrap());
            });
            TEXT.sync_scope(long("scope "), || assert_eq!(*borrowed, long("borrowed ")));
            drop(TEXT.set(long("over ")).unwrap());
            Context::empty().run(|| assert_eq!(*borrowed, long("borrowed ")));
        })
        .unwrap();
    });
}

#[test]
fn two_borrows_of_one_variable_each_keep_what_they_saw() {
    Context::empty().run(|| {
        drop(TEXT.set(long("one ")).unwrap());
        TEXT.with(|one| {
            drop(TEXT.set(long("two ")).unwrap());
            TEXT.with(|two| {
                drop(TEXT.set(long("three ")).unwrap());
                assert_eq!((one, two), (&long("one "), &long("two ")));
            })
            .unwrap();
            // The inner borrow ended; the outer one still counts.
            drop(TEXT.set(long("four ")).unwrap());
            assert_eq!(*one, long("one "));
        })
        .unwrap();
    });
}

#[test]
fn a_clone_that_sets_its_own_variable_reads_its_own_memory_to_the_end() {
    struct Restless(String);
    static RESTLESS: ContextVar<Restless> = ContextVar::new("restless");
    impl Clone for Restless {
        fn clone(&self) -> Self {
            drop(RESTLESS.set(Restless("replaced".to_owned())).unwrap());
            Self(self.0.clone())
        }
    }
    Context::empty().run(|| {
        drop(RESTLESS.set(Restless(long("cloned "))).unwrap());
        assert_eq!(RESTLESS.get().unwrap().0, long("cloned "));
        assert_eq!(RESTLESS.with(|restless| restless.0.clone()).unwrap(), "replaced");
    });
}

#[test]
fn a_borrowed_value_is_dropped_once_nobody_borrows_it_and_its_frame_moves_on() {
    struct Tells(Arc<AtomicBool>);
    impl Drop for Tells {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    static TELLS: ContextVar<Tells> = ContextVar::new("tells");
    let dropped = Arc::new(AtomicBool::new(false));
    let is_dropped = || dropped.load(Ordering::Relaxed);
    let other = || Tells(Arc::default());
    Context::empty().run(|| {
        drop(TELLS.set(Tells(dropped.clone())).unwrap());
        TELLS
            .with(|_| {
                drop(TELLS.set(other()).unwrap());
                assert!(!is_dropped(), "it is borrowed");
            })
            .unwrap();
        drop(SIDE.set("moves on".to_owned()).unwrap());
        assert!(is_dropped(), "nothing but the next change of the frame is waited for");
    });
}

#[test]
fn what_was_kept_for_a_borrow_may_set_when_it_is_dropped() {
    struct Sets;
    static SETS: ContextVar<Sets> = ContextVar::new("sets");
    impl Drop for Sets {
        fn drop(&mut self) {
            if let Ok(token) = SIDE.set(long("by a destructor ")) {
                drop(token);
            }
        }
    }
    Context::empty().run(|| {
        drop(SETS.set(Sets).unwrap());
        SETS.with(|_| {
            TEXT.sync_scope(long("inner "), || ());
            drop(TEXT.set(long("one ")).unwrap());
            // The token keeps nothing: what stands now is kept for the borrow alone.
            drop(SETS.set(Sets).unwrap());
            drop(TEXT.set(long("two ")).unwrap());
        })
        .unwrap();
        assert!(SIDE.get().is_err(), "nothing was dropped yet");
        let token = TEXT.set(long("three ")).unwrap();
        assert_eq!(SIDE.get().unwrap(), long("by a destructor "));
        assert_eq!(TEXT.get().unwrap(), long("three "));
        token.reset().unwrap();
        assert_eq!(TEXT.get().unwrap(), long("two "));
    });
}

#[test]
fn a_frame_entered_under_a_borrow_keeps_nothing_for_it() {
    Context::empty().run(|| {
        drop(TEXT.set(long("borrowed ")).unwrap());
        TEXT.with(|borrowed| {
            let value = Arc::new(());
            static HELD: ContextVar<Arc<()>> = ContextVar::new("held under a borrow");
            let mut holders = 0;
            let inner = std::panic::AssertUnwindSafe(|| {
                Context::current().run(|| {
                    drop(HELD.set(value.clone()).unwrap());
                    drop(HELD.set(Arc::new(())).unwrap());
                    holders = Arc::strong_count(&value);
                    std::panic::resume_unwind(Box::new("thrown"));
                });
            });
            assert!(std::panic::catch_unwind(inner).is_err());
            assert_eq!(holders, 1, "nobody borrows from the inner frame");
            // The outer frame is still borrowed from.
            drop(TEXT.set(long("over ")).unwrap());
            assert_eq!(*borrowed, long("borrowed "));
        })
        .unwrap();
    });
}

#[test]
fn a_borrow_may_block_on_a_runtime_that_sets_meanwhile() {
    let runtime = crate::runtimes::current_thread();
    Context::empty().run(|| {
        drop(TEXT.set(long("borrowed ")).unwrap());
        TEXT.with(|borrowed| {
            runtime.block_on(async {
                drop(TEXT.set(long("by the future ")).unwrap());
                tokio::task::yield_now().await;
            });
            assert_eq!(*borrowed, long("borrowed "));
        })
        .unwrap();
        assert_eq!(TEXT.get().unwrap(), long("by the future "));
    });
}
