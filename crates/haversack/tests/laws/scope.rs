//! Scopes: one variable bound for the length of a future, over the right base.

use std::future::Future;
use std::pin::pin;
use std::task::{Context as Waking, Poll, Waker};

use futures_util::poll;
use haversack::{Context, ContextVar, FutureExt, Reason};

use crate::door::{arrive, tenant};
use crate::runtimes::on_both;

static USER: ContextVar<&str> = ContextVar::new("user");
static PLACE: ContextVar<&str> = ContextVar::new("place");

async fn user_and_place() -> (Option<&'static str>, Option<&'static str>) {
    (USER.get().ok(), PLACE.get().ok())
}

/// Polls once, with nobody to wake.
fn poll_once<F: Future>(future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Waking::from_waker(Waker::noop()))
}

#[test]
fn a_scope_binds_for_the_length_of_its_future() {
    on_both(|| async {
        let inside = USER.scope("ada", async {
            tokio::task::yield_now().await;
            USER.get().unwrap()
        });
        assert!(USER.get().is_err(), "making a scope binds nothing");
        assert_eq!(inside.await, "ada");
        assert!(USER.get().is_err());
    });
}

#[test]
fn a_scope_made_before_the_outer_one_sees_both() {
    on_both(|| async {
        let inner = PLACE.scope("bern", user_and_place());
        assert_eq!(USER.scope("ada", inner).await, (Some("ada"), Some("bern")));
    });
}

#[test]
fn the_innermost_scope_of_a_variable_wins() {
    on_both(|| async {
        let inner = USER.scope("inner", async { USER.get().unwrap() });
        assert_eq!(USER.scope("outer", inner).await, "inner");
    });
}

#[test]
fn a_scope_keeps_the_base_of_its_first_poll() {
    on_both(|| async {
        let mut work = pin!(USER.scope("ada", async {
            let first = user_and_place().await;
            futures_util::pending!();
            (first, user_and_place().await)
        }));
        let first = Context::empty().bind(&PLACE, "first");
        assert!(first.run(|| poll_once(work.as_mut())).is_pending());
        let second = Context::empty().bind(&PLACE, "second").bind(&USER, "other");
        let done = second.run(|| poll_once(work.as_mut()));
        let seen = (Some("ada"), Some("first"));
        assert_eq!(done, Poll::Ready((seen, seen)));
    });
}

#[test]
fn a_scope_lies_over_what_was_bound_later_in_the_same_entry() {
    on_both(|| {
        arrive("acme").wrap(async {
            let work = USER.scope("ada", async { (tenant(), PLACE.get().unwrap()) });
            let seen = PLACE.scope("bern", work).await;
            assert_eq!(seen, (Some("acme".to_owned()), "bern"));
        })
    });
}

#[test]
fn a_scope_made_in_an_entry_and_first_polled_by_a_foreign_driver_keeps_its_own_base() {
    let ours = arrive("ours");
    let theirs = arrive("theirs");
    let empty = Context::empty();
    let work = || {
        ours.run(|| {
            PLACE.sync_scope("bern", || USER.scope("ada", async { (tenant(), user_and_place().await) }))
        })
    };
    let expected = Poll::Ready((Some("ours".to_owned()), (Some("ada"), Some("bern"))));
    let driver = theirs.context().bind(&PLACE, "theirs");
    assert_eq!(driver.run(|| poll_once(pin!(work()))), expected);
    assert_eq!(empty.run(|| poll_once(pin!(work()))), expected, "nor does a driver outside of any entry");
    assert_eq!(poll_once(pin!(work())), expected, "nor one in no frame");
}

#[test]
fn a_scope_made_outside_of_any_entry_lies_over_its_driver() {
    // `let f = VAR.scope(..)` before the request is known: there is no identity that it could lose.
    let work = USER.scope("ada", async { (tenant(), USER.get().unwrap()) });
    let driver = arrive("theirs");
    assert_eq!(driver.run(|| poll_once(pin!(work))), Poll::Ready((Some("theirs".to_owned()), "ada")));
}

#[test]
fn a_scope_taken_to_a_foreign_driver_leaves_behind_what_is_confined() {
    static OPEN: ContextVar<u32> = ContextVar::new("open").confined();
    let ours = arrive("ours");
    let work = || ours.run(|| OPEN.sync_scope(1, || USER.scope("ada", async { OPEN.get() })));
    let theirs = arrive("theirs");
    let Poll::Ready(read) = theirs.run(|| poll_once(pin!(work()))) else { panic!("it awaits nothing") };
    assert!(matches!(read.unwrap_err().reason(), Reason::Withheld { .. }));
    // In its own entry nothing was handed over.
    let stays = ours.run(|| OPEN.sync_scope(1, || poll_once(pin!(USER.scope("ada", async { OPEN.get() })))));
    assert!(matches!(stays, Poll::Ready(Ok(1))));
}

#[test]
fn what_a_scoped_future_sets_survives_its_awaits_and_ends_with_it() {
    on_both(|| {
        async {
            USER.scope("ada", async {
                let _kept = PLACE.set("bern").unwrap();
                tokio::task::yield_now().await;
                assert_eq!(PLACE.get().unwrap(), "bern");
            })
            .await;
            assert!(PLACE.get().is_err());
        }
        .with_context(Context::empty())
    });
}

#[test]
fn a_future_in_its_context_does_not_touch_the_frame_that_polls_it() {
    on_both(|| {
        async {
            let mut inner = pin!(
                async {
                    let _kept = USER.set("inner").unwrap();
                    futures_util::pending!();
                    assert_eq!(USER.get().unwrap(), "inner");
                }
                .in_current_context()
            );
            assert!(poll!(inner.as_mut()).is_pending());
            assert_eq!(USER.get().unwrap(), "outer");
            let _kept = USER.set("outer, later").unwrap();
            assert!(poll!(inner.as_mut()).is_ready());
            assert_eq!(USER.get().unwrap(), "outer, later");
        }
        .with_context(Context::empty().bind(&USER, "outer"))
    });
}
