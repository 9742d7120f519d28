//! Set and reset: a token takes one binding back, in the frame that made it and in order.

use haversack::{Context, ContextVar, ResetError};

static CITY: ContextVar<&str> = ContextVar::new("city");
static RIVER: ContextVar<&str> = ContextVar::new("river");

#[test]
fn reset_restores_the_prior_value() {
    CITY.sync_scope("Basel", || {
        let token = CITY.set("Bern").unwrap();
        assert_eq!(CITY.get().unwrap(), "Bern");
        token.reset().unwrap();
        assert_eq!(CITY.get().unwrap(), "Basel");
    });
}

#[test]
fn reset_restores_unbound_where_there_was_nothing() {
    Context::empty().run(|| {
        let token = CITY.set("Bern").unwrap();
        token.reset().unwrap();
        assert!(CITY.get().is_err());
        assert!(!CITY.is_bound());
    });
}

#[test]
fn a_dropped_token_keeps_the_binding_until_its_frame_ends() {
    Context::empty().run(|| {
        Context::current().run(|| {
            drop(CITY.set("Bern").unwrap());
            assert_eq!(CITY.get().unwrap(), "Bern");
        });
        assert!(CITY.get().is_err());
    });
}

#[test]
fn reset_works_while_the_context_is_shared() {
    CITY.sync_scope("Basel", || {
        let token = CITY.set("Bern").unwrap();
        let shared = Context::current();
        token.reset().unwrap();
        assert_eq!(CITY.get().unwrap(), "Basel");
        assert_eq!(shared.run(|| CITY.get().unwrap()), "Bern");
    });
}

#[test]
fn an_older_token_is_refused_and_no_stale_value_comes_back() {
    CITY.sync_scope("Basel", || {
        let older = CITY.set("Bern").unwrap();
        let newer = CITY.set("Biel").unwrap();
        assert_eq!(older.reset(), Err(ResetError::OutOfOrder));
        assert_eq!(CITY.get().unwrap(), "Biel", "a refused reset changes nothing");
        newer.reset().unwrap();
        assert_eq!(CITY.get().unwrap(), "Bern");
    });
}

#[test]
fn tokens_that_are_reset_in_order_leave_nothing() {
    Context::empty().run(|| {
        let first = CITY.set("Bern").unwrap();
        first.reset().unwrap();
        let second = CITY.set("Biel").unwrap();
        let third = CITY.set("Chur").unwrap();
        third.reset().unwrap();
        second.reset().unwrap();
        assert!(CITY.get().is_err());
    });
}

#[test]
fn tokens_of_two_variables_do_not_wait_for_each_other() {
    Context::empty().run(|| {
        let city = CITY.set("Bern").unwrap();
        let river = RIVER.set("Aare").unwrap();
        city.reset().unwrap();
        assert_eq!(RIVER.get().unwrap(), "Aare");
        river.reset().unwrap();
        assert!(CITY.get().is_err() && RIVER.get().is_err());
    });
}

#[test]
fn a_token_of_an_outer_frame_is_refused_inside_and_works_outside() {
    Context::empty().run(|| {
        let token = CITY.set("Bern").unwrap();
        let mut token = Some(token);
        Context::current().run(|| {
            let refused = token.take().unwrap().reset();
            assert_eq!(refused, Err(ResetError::OtherContext));
            assert_eq!(CITY.get().unwrap(), "Bern");
        });
        assert_eq!(CITY.get().unwrap(), "Bern", "nothing changed outside either");
    });
}

#[test]
fn a_token_of_an_ended_frame_is_refused() {
    Context::empty().run(|| {
        let inner = Context::current().run(|| CITY.set("Bern").unwrap());
        assert_eq!(inner.reset(), Err(ResetError::OtherContext));
        let outer = CITY.set("Biel").unwrap();
        assert_eq!(CITY.get().unwrap(), "Biel");
        outer.reset().unwrap();
    });
}

#[test]
fn a_token_outside_of_any_frame_is_refused() {
    let token = Context::empty().run(|| CITY.set("Bern").unwrap());
    assert_eq!(token.reset(), Err(ResetError::OtherContext));
}

#[test]
fn a_token_is_refused_by_a_thread_that_inherited_the_very_binding() {
    Context::empty().run(|| {
        let token = CITY.set("Bern").unwrap();
        let there = haversack::thread::spawn(move || (token.reset(), CITY.get().unwrap()));
        assert_eq!(there.join().unwrap(), (Err(ResetError::OtherContext), "Bern"));
        assert_eq!(CITY.get().unwrap(), "Bern");
    });
}

#[test]
fn a_binding_inherited_from_another_frame_is_not_taken_back_by_a_token_of_the_same_count() {
    // Both frames have made one set: the count alone would mistake one for the other.
    Context::empty().run(|| {
        let outer = CITY.set("Bern").unwrap();
        Context::current().run(|| {
            let _river = RIVER.set("Aare").unwrap();
            assert_eq!(outer.reset(), Err(ResetError::OtherContext));
            assert_eq!(CITY.get().unwrap(), "Bern");
        });
    });
}

#[test]
fn set_outside_of_any_frame_is_an_error() {
    let error = CITY.set("Bern").unwrap_err().to_string();
    assert!(error.contains("`city`") && error.contains("tokens.rs"), "{error}");
    assert!(CITY.get().is_err());
}

#[test]
fn a_token_goes_with_its_task_over_awaits_and_workers() {
    crate::runtimes::as_task_on_both(|| {
        haversack::FutureExt::with_context(
            async {
                let token = CITY.set("Bern").unwrap();
                for _ in 0..20 {
                    tokio::task::yield_now().await;
                    assert_eq!(CITY.get().unwrap(), "Bern");
                }
                token.reset().unwrap();
                assert!(CITY.get().is_err());
            },
            Context::empty(),
        )
    });
}
