//! Branches of one task: `join!`, `select!` and unordered sets share a frame unless each is isolated.

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use futures_util::{future, pin_mut};
use haversack::{Context, ContextVar, FutureExt, ResetError};
use tokio::sync::Barrier;

use crate::runtimes::{as_task_on_both, on_both};

static BRANCH: ContextVar<u32> = ContextVar::new("branch");

/// Sets, meets the others, and tells what it sees then.
async fn set_meet_read(own: u32, meeting: &Barrier) -> u32 {
    let _kept = BRANCH.set(own).unwrap();
    meeting.wait().await;
    BRANCH.get().unwrap()
}

#[test]
fn isolated_branches_of_a_join_do_not_see_each_others_sets() {
    as_task_on_both(|| {
        async {
            let meeting = Barrier::new(2);
            let seen =
                future::join(set_meet_read(1, &meeting).isolated(), set_meet_read(2, &meeting).isolated())
                    .await;
            assert_eq!(seen, (1, 2));
            assert_eq!(BRANCH.get().unwrap(), 0, "nor does their parent");
        }
        .with_context(Context::empty().bind(&BRANCH, 0))
    });
}

#[test]
fn isolated_branches_of_a_select_do_not_see_each_others_sets() {
    on_both(|| {
        async {
            let setter = async {
                let _kept = BRANCH.set(1).unwrap();
                future::pending::<u32>().await
            }
            .isolated();
            let reader = async {
                tokio::task::yield_now().await;
                BRANCH.get().unwrap()
            }
            .isolated();
            pin_mut!(setter, reader);
            let future::Either::Right((seen, _)) = future::select(setter, reader).await else {
                panic!("the setter never ends")
            };
            assert_eq!(seen, 0);
        }
        .with_context(Context::empty().bind(&BRANCH, 0))
    });
}

#[test]
fn isolated_members_of_an_unordered_set_do_not_see_each_others_sets() {
    on_both(|| {
        async {
            let meeting = Barrier::new(8);
            let members: FuturesUnordered<_> =
                (1..=8).map(|own| set_meet_read(own, &meeting).isolated()).collect();
            let mut seen: Vec<u32> = members.collect().await;
            seen.sort_unstable();
            assert_eq!(seen, (1..=8).collect::<Vec<_>>());
            assert_eq!(BRANCH.get().unwrap(), 0);
        }
        .with_context(Context::empty().bind(&BRANCH, 0))
    });
}

#[test]
fn branches_that_share_a_frame_see_each_others_sets() {
    on_both(|| {
        async {
            let meeting = Barrier::new(2);
            let seen = future::join(set_meet_read(1, &meeting), set_meet_read(2, &meeting)).await;
            assert_eq!(seen, (2, 2));
        }
        .with_context(Context::empty())
    });
}

#[test]
fn crossed_resets_of_branches_that_share_a_frame_are_loud() {
    async fn set_and_reset(own: u32, meeting: &Barrier) -> Result<(), ResetError> {
        let token = BRANCH.set(own).unwrap();
        meeting.wait().await;
        token.reset()
    }
    on_both(|| {
        async {
            let (both_set, nobody) = (Barrier::new(2), Barrier::new(1));
            // The first branch resets first, under the set of the second.
            let first = async {
                let token = BRANCH.set(1).unwrap();
                both_set.wait().await;
                token.reset()
            };
            let second = async {
                let token = BRANCH.set(2).unwrap();
                both_set.wait().await;
                tokio::task::yield_now().await;
                token.reset()
            };
            assert_eq!(future::join(first, second).await, (Err(ResetError::OutOfOrder), Ok(())));
            assert_eq!(set_and_reset(3, &nobody).await, Ok(()), "alone it is in order");
        }
        .with_context(Context::empty())
    });
}

#[test]
fn an_isolated_branch_keeps_what_is_confined() {
    static OPEN: ContextVar<u32> = ContextVar::new("open").confined();
    on_both(|| {
        async { assert_eq!(async { OPEN.get().unwrap() }.isolated().await, 1) }
            .with_context(Context::empty().bind(&OPEN, 1))
    });
}
