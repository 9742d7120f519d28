//! Frames: what is set inside stays inside, and everything else passes through.

use std::panic::{AssertUnwindSafe, catch_unwind};

use haversack::{Context, ContextVar};

static DEPTH: ContextVar<u32> = ContextVar::new("depth");

#[test]
fn what_is_set_inside_stays_inside() {
    DEPTH.sync_scope(1, || {
        Context::current().run(|| {
            let _kept = DEPTH.set(2).unwrap();
            assert_eq!(DEPTH.get().unwrap(), 2);
        });
        assert_eq!(DEPTH.get().unwrap(), 1);
    });
    assert!(DEPTH.get().is_err());
}

#[test]
fn results_and_errors_pass_through() {
    let context = Context::empty();
    assert_eq!(context.clone().run(|| 5), 5);
    assert!(context.clone().run(|| "x".parse::<u8>()).is_err());
    let moved = String::from("moved in and out");
    assert_eq!(context.run(move || moved), "moved in and out");
}

#[test]
fn a_panic_passes_through_and_the_former_frame_is_back() {
    DEPTH.sync_scope(1, || {
        let caught = catch_unwind(AssertUnwindSafe(|| {
            DEPTH.sync_scope(2, || {
                let _kept = DEPTH.set(3).unwrap();
                std::panic::resume_unwind(Box::new("thrown"));
            });
        }));
        assert_eq!(caught.unwrap_err().downcast_ref::<&str>(), Some(&"thrown"));
        assert_eq!(DEPTH.get().unwrap(), 1);
        DEPTH.set(4).unwrap().reset().unwrap();
    });
    assert!(DEPTH.get().is_err());
}

#[test]
fn a_panic_inside_a_borrow_leaves_the_frame_usable() {
    DEPTH.sync_scope(1, || {
        let caught = catch_unwind(AssertUnwindSafe(|| {
            let _ = DEPTH.with(|_| std::panic::resume_unwind(Box::new("thrown")));
        }));
        assert!(caught.is_err());
        // Were the borrow still counted, every later set would keep what it replaces.
        let (probe, seen) = crate::probe::probe();
        static HOLDER: ContextVar<crate::probe::Probe> = ContextVar::new("holder");
        HOLDER.set(probe).unwrap().reset().unwrap();
        assert!(!seen.not_yet(), "the value is dropped at the reset");
    });
}

#[test]
fn nested_runs_restore_each_level() {
    fn nest(level: u32) {
        if level == 50 {
            return;
        }
        DEPTH.sync_scope(level, || {
            nest(level + 1);
            assert_eq!(DEPTH.get().unwrap(), level);
        });
    }
    nest(0);
    assert!(DEPTH.get().is_err());
}

#[test]
fn a_context_is_installed_wholesale_also_when_it_is_empty() {
    DEPTH.sync_scope(1, || {
        Context::empty().run(|| assert!(DEPTH.get().is_err()));
        assert_eq!(DEPTH.get().unwrap(), 1);
    });
}
