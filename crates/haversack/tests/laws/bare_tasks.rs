//! Bare tasks: what a task that nobody wrapped sees of the frames around it. An executor that runs inside a
//! frame gives that frame to everything unwrapped that it polls; everywhere else a bare task is in no context.

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use haversack::{Context, ContextVar, FutureExt, MissingContext, Reason};
use tokio::runtime::Handle;
use tokio::task::LocalSet;

use crate::runtimes::{current_thread, limited, multi_thread, on_both};

static DESK: ContextVar<u32> = ContextVar::new("desk");

fn at_desk(desk: u32) -> Context {
    Context::empty().bind(&DESK, desk)
}

async fn read() -> Result<u32, MissingContext> {
    DESK.get()
}

#[test]
fn a_bare_task_on_a_driver_outside_of_any_frame_is_loud() {
    on_both(|| {
        // The root is wrapped; the runtime that polls its bare child is not inside it.
        async {
            let error = tokio::spawn(read()).await.unwrap().unwrap_err();
            assert_eq!(error.reason(), Reason::NoFrame);
        }
        .with_context(at_desk(1))
    });
}

#[test]
fn a_bare_task_beside_a_multi_thread_block_on_is_loud() {
    let runtime = multi_thread();
    at_desk(1).run(|| {
        let bare = runtime.block_on(async { tokio::spawn(read()).await.unwrap() });
        assert_eq!(bare.unwrap_err().reason(), Reason::NoFrame);
    });
}

#[test]
fn a_bare_task_beside_block_in_place_is_loud() {
    let runtime = multi_thread();
    let law = async {
        let bare =
            tokio::task::block_in_place(|| Handle::current().block_on(async { tokio::spawn(read()).await }));
        assert_eq!(bare.unwrap().unwrap_err().reason(), Reason::NoFrame);
    };
    runtime.block_on(limited(async { tokio::spawn(law.with_context(at_desk(1))).await.unwrap() }));
}

#[test]
fn a_bare_task_on_a_driver_inside_a_frame_is_in_that_frame() {
    // Bare `block_on` inside a frame; `haversack::block_on` leaves it.
    let runtime = current_thread();
    at_desk(1).run(|| {
        let bare = runtime.block_on(async {
            tokio::spawn(async {
                let read = DESK.get().unwrap();
                drop(DESK.set(2).unwrap());
                read
            })
            .await
            .unwrap()
        });
        assert_eq!((bare, DESK.get().unwrap()), (1, 2));
    });
}

#[test]
fn a_local_task_on_a_driver_inside_a_frame_is_in_that_frame_unless_it_is_carried() {
    on_both(|| {
        async {
            let local = LocalSet::new();
            local
                .run_until(async {
                    let carried = haversack::spawn_local(async {
                        drop(DESK.set(5).unwrap());
                        DESK.get().unwrap()
                    });
                    assert_eq!(carried.await.unwrap(), 5);
                    assert_eq!(DESK.get().unwrap(), 1, "a carried task has a frame of its own");
                    let bare = tokio::task::spawn_local(async {
                        drop(DESK.set(2).unwrap());
                    });
                    bare.await.unwrap();
                    assert_eq!(DESK.get().unwrap(), 2, "a bare one has not");
                })
                .await;
        }
        .with_context(at_desk(1))
    });
}

#[test]
fn a_bare_member_of_an_unordered_set_is_in_the_frame_that_polls_it() {
    on_both(|| {
        async {
            let member = async {
                drop(DESK.set(2).unwrap());
            };
            let mut members: FuturesUnordered<_> = [member].into_iter().collect();
            members.next().await.unwrap();
            assert_eq!(DESK.get().unwrap(), 2);
        }
        .with_context(at_desk(1))
    });
}
