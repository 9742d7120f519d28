//! Copies of one function at once: what keeps apart passes, and each planted crossing is found and named.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use haversack::testing::{Copies, Own, assert_isolated};
use haversack::well_known::TENANT_ID;
use haversack::{ContextVar, FutureExt, JoinSet};

static LOCALE: ContextVar<String> = ContextVar::new("locale of a copy");

#[test]
fn what_keeps_apart_passes() {
    Copies::new(20).bind(|own, context| context.bind(&LOCALE, own.value())).assert_isolated(
        |own| async move {
            own.step("begin").await;
            let mut tasks = JoinSet::new();
            for _ in 0..3 {
                let own = own.clone();
                tasks.spawn(async move {
                    own.step("a task").await;
                    own.reads("the locale", &LOCALE.get().unwrap());
                });
            }
            while let Some(ended) = tasks.join_next().await {
                ended.unwrap();
            }
            let on_pool = own.clone();
            haversack::spawn_blocking(move || drop(on_pool.step("the pool"))).await.unwrap();
            own.step("end").await;
        },
    );
}

/// A queue that whoever holds it drains: bare, it runs each future under its driver.
async fn through_a_shared_driver(
    own: Own,
    queue: &Mutex<VecDeque<BoxFuture<'static, ()>>>,
    hand_over: fn(BoxFuture<'static, ()>) -> BoxFuture<'static, ()>,
) {
    let work = own.clone();
    let work = async move {
        for _ in 0..3 {
            work.step("in the driver").await;
        }
    };
    queue.lock().unwrap().push_back(hand_over(work.boxed()));
    // It is submitted and not driven yet: the next one comes in between.
    own.step("submitted").await;
    loop {
        let next = queue.lock().unwrap().pop_front();
        let Some(next) = next else { break };
        next.await;
    }
}

#[test]
fn a_shared_driver_that_polls_bare_work_is_found() {
    static QUEUE: Mutex<VecDeque<BoxFuture<'static, ()>>> = Mutex::new(VecDeque::new());
    let crossing = Copies::new(20)
        .first_crossing(|own| through_a_shared_driver(own, &QUEUE, |work| work))
        .expect("bare work runs under its driver");
    assert_eq!((crossing.place(), crossing.at().file()), ("in the driver", file!()));
    let text = crossing.to_string();
    let named = format!("copy {} read the context of copy ", crossing.copy());
    assert!(text.starts_with(&named) && text.ends_with("on one thread"), "{text}");
}

#[test]
fn a_shared_driver_of_wrapped_work_passes() {
    static QUEUE: Mutex<VecDeque<BoxFuture<'static, ()>>> = Mutex::new(VecDeque::new());
    assert_isolated(20, |own| through_a_shared_driver(own, &QUEUE, |work| work.in_current_context().boxed()));
}

#[test]
fn a_global_that_all_copies_write_is_found() {
    static LAST: Mutex<String> = Mutex::new(String::new());
    let crossing = Copies::new(5).first_crossing(|own| async move {
        *LAST.lock().unwrap() = own.value();
        own.step("written").await;
        own.reads("the last", &LAST.lock().unwrap());
    });
    let crossing = crossing.expect("the last one wins");
    assert_eq!(crossing.place(), "the last");
    assert!(crossing.to_string().contains("'s value at `the last`"), "{crossing}");
}

#[test]
fn a_cache_that_forgets_its_tenant_is_found_only_where_it_is_shared() {
    static CACHE: Mutex<Option<String>> = Mutex::new(None);
    let greet = |own: Own| async move {
        own.step("before").await;
        let cached =
            CACHE.lock().unwrap().get_or_insert_with(|| TENANT_ID.get().unwrap().to_string()).clone();
        own.reads("the cache", &cached);
    };
    assert_eq!(Copies::new(1).first_crossing(greet), None);
    *CACHE.lock().unwrap() = None;
    assert_eq!(Copies::new(2).first_crossing(greet).expect("the first one stays").place(), "the cache");
}

#[test]
fn a_bare_task_is_found() {
    let crossing = Copies::new(2).first_crossing(|own| async move {
        let own = own.clone();
        tokio::spawn(async move { own.step("a bare task").await }).await.unwrap();
    });
    let text = crossing.expect("a bare task has no context").to_string();
    assert!(text.contains("read no context at `a bare task`"), "{text}");
}

#[test]
fn a_crossing_ends_the_test_and_a_panic_passes_through() {
    let message = |function: fn(Own) -> BoxFuture<'static, ()>| {
        let caught = catch_unwind(AssertUnwindSafe(|| assert_isolated(3, function))).unwrap_err();
        caught.downcast_ref::<String>().cloned().or(caught.downcast_ref::<&str>().map(ToString::to_string))
    };
    let crossed = message(|own| async move { own.reads("a reply", "sent to copy-7.") }.boxed()).unwrap();
    assert!(crossed.contains("copy 7's value at `a reply`"), "{crossed}");
    let panicked = message(|_| async { std::panic::resume_unwind(Box::new("its own")) }.boxed()).unwrap();
    assert_eq!(panicked, "its own");
}

#[test]
fn it_may_be_called_inside_of_a_runtime() {
    crate::runtimes::on_both(|| async {
        assert_isolated(3, |own| async move { own.step("inside").await });
    });
}
