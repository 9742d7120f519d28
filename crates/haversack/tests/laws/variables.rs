//! Declaring and reading: what a variable is, and what its value goes through.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Barrier};

use haversack::{Context, ContextVar};

use crate::leaked::leaked;

static COUNT: ContextVar<u32> = ContextVar::new("count");
static FALLBACK: ContextVar<u32> = ContextVar::new("fallback").default(|| 7);

#[test]
fn missing_is_loud() {
    assert_eq!(COUNT.get().unwrap_err().variable(), "count");
    assert_eq!(COUNT.with(|_| ()).unwrap_err().variable(), "count");
    Context::empty().run(|| assert!(COUNT.get().is_err()));
}

#[test]
fn a_declared_default_is_read_where_nothing_is_bound() {
    assert_eq!(FALLBACK.get().unwrap(), 7);
    assert_eq!(FALLBACK.with(|value| *value).unwrap(), 7);
    assert!(!FALLBACK.is_bound(), "a default binds nothing");
    FALLBACK.sync_scope(8, || {
        assert_eq!(FALLBACK.get().unwrap(), 8);
        assert!(FALLBACK.is_bound());
    });
    assert_eq!(FALLBACK.get().unwrap(), 7);
}

#[test]
fn a_default_is_made_anew_at_each_read() {
    static MADE: AtomicU32 = AtomicU32::new(0);
    static NUMBERED: ContextVar<u32> =
        ContextVar::new("numbered").default(|| MADE.fetch_add(1, Ordering::Relaxed));
    let reads = [NUMBERED.get().unwrap(), NUMBERED.get().unwrap()];
    assert_eq!(reads, [0, 1]);
}

#[test]
fn with_borrows_and_needs_no_clone() {
    struct NoClone(u32);
    static HELD: ContextVar<NoClone> = ContextVar::new("held");
    assert_eq!(HELD.sync_scope(NoClone(3), || HELD.with(|held| held.0)).unwrap(), 3);
}

#[test]
fn two_variables_of_one_name_and_type_are_two_variables() {
    static LEFT: ContextVar<u32> = ContextVar::new("twin");
    static RIGHT: ContextVar<u32> = ContextVar::new("twin");
    LEFT.sync_scope(1, || {
        assert!(RIGHT.get().is_err());
        RIGHT.sync_scope(2, || {
            assert_eq!((LEFT.get().unwrap(), RIGHT.get().unwrap()), (1, 2));
        });
    });
}

#[test]
fn debug_prints_the_name_and_no_value() {
    static NAMED: ContextVar<&str> = ContextVar::new("named");
    NAMED.sync_scope("the value", || {
        let text = format!("{NAMED:?}");
        assert!(text.contains("named") && !text.contains("the value"), "{text}");
    });
}

#[test]
fn values_keep_their_alignment_and_their_zero_size() {
    #[derive(Clone, Copy)]
    #[repr(align(128))]
    struct Wide(u8);
    static WIDE: ContextVar<Wide> = ContextVar::new("wide");
    static UNIT: ContextVar<()> = ContextVar::new("unit");
    WIDE.sync_scope(Wide(9), || {
        let (address, value) = WIDE.with(|wide| (std::ptr::from_ref(wide).addr(), wide.0)).unwrap();
        assert_eq!((address % 128, value), (0, 9));
        assert_eq!(WIDE.get().unwrap().0, 9);
    });
    UNIT.sync_scope((), || UNIT.get().unwrap());
    assert!(UNIT.get().is_err());
}

#[test]
fn five_hundred_variables_are_told_apart() {
    let variables: Vec<_> = (0..500).map(|_| leaked::<usize>("many")).collect();
    let mut context = Context::empty();
    for (index, variable) in variables.iter().enumerate() {
        context = context.bind(variable, index);
        let last = context.clone().run(|| variable.get().unwrap());
        assert_eq!(last, index);
    }
    context.run(|| {
        for (index, variable) in variables.iter().enumerate() {
            assert_eq!(variable.get().unwrap(), index);
        }
        // Growth inside a frame, where the first ones already stand.
        let later = leaked::<usize>("later");
        let token = later.set(500).unwrap();
        assert_eq!((variables[0].get().unwrap(), later.get().unwrap()), (0, 500));
        token.reset().unwrap();
        assert!(later.get().is_err());
        assert_eq!(variables[499].get().unwrap(), 499);
    });
}

#[test]
fn threads_that_bind_a_variable_for_the_first_time_at_once_agree_on_it() {
    for _ in 0..50 {
        let variable = leaked::<usize>("raced");
        let start = Arc::new(Barrier::new(4));
        let bind = |index: usize| {
            let start = start.clone();
            std::thread::spawn(move || {
                start.wait();
                variable.sync_scope(index, Context::current)
            })
        };
        let threads: Vec<_> = (0..4).map(bind).collect();
        for (index, thread) in threads.into_iter().enumerate() {
            let context = thread.join().unwrap();
            assert_eq!(context.run(|| variable.get().unwrap()), index);
        }
    }
}
