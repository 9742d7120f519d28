//! A crowd: ten thousand tasks at once, each with values of its own.

use std::sync::Arc;

use haversack::{Context, ContextVar, FutureExt, JoinSet};
use tokio::sync::Barrier;

use crate::runtimes::on_both;

static OWN: ContextVar<u32> = ContextVar::new("own");
static DOUBLE: ContextVar<u64> = ContextVar::new("double");
static TEXT: ContextVar<String> = ContextVar::new("text");

const TASKS: u32 = 10_000;

#[test]
fn ten_thousand_tasks_see_their_own_and_leave_nothing() {
    on_both(|| async {
        let mut crowd = JoinSet::new();
        // All are there at once, in the middle of their work, before any of them ends.
        let together = Arc::new(Barrier::new(TASKS as usize));
        for own in 0..TASKS {
            let (here, together) = (Context::empty().bind(&OWN, own), together.clone());
            crowd.spawn(
                async move {
                    let mut right = true;
                    for round in 0..5_u64 {
                        let token = DOUBLE.set(u64::from(own) * 2 + round).unwrap();
                        let kept = TEXT.set(format!("{own}/{round}")).unwrap();
                        if round == 2 {
                            together.wait().await;
                        }
                        tokio::task::yield_now().await;
                        right &= OWN.get().unwrap() == own;
                        right &= DOUBLE.get().unwrap() == u64::from(own) * 2 + round;
                        right &= TEXT.with(|text| *text == format!("{own}/{round}")).unwrap();
                        token.reset().unwrap();
                        drop(kept);
                        right &= DOUBLE.get().is_err();
                    }
                    right
                }
                .with_context(here),
            );
        }
        let mut right = 0;
        while let Some(task) = crowd.join_next().await {
            right += u32::from(task.unwrap());
        }
        assert_eq!(right, TASKS);
        // As many bare tasks as reach every worker: none shows anything.
        let after: Vec<_> = (0..64).map(|_| tokio::spawn(async { OWN.get().ok() })).collect();
        for after in after {
            assert_eq!(after.await.unwrap(), None);
        }
        assert!(OWN.get().is_err());
    });
}
