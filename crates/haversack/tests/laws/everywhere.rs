//! One program, in every kind of runtime and nested in each other: it sees the same everywhere.

use haversack::{Context, ContextVar, FutureExt};
use tokio::runtime::Handle;
use tokio::task::{LocalSet, block_in_place};

use crate::runtimes::{current_thread, limited, multi_thread};

static PLACE: ContextVar<&str> = ContextVar::new("place");
static LEVEL: ContextVar<u32> = ContextVar::new("level");

/// What the program saw: before, in a task, on the pool, after its own set, and in a bare task.
type Seen = (Option<u32>, u32, u32, u32, Option<u32>);

const EXPECTED: Seen = (Some(1), 1, 1, 2, None);

fn at_level_one() -> Context {
    Context::empty().bind(&PLACE, "everywhere").bind(&LEVEL, 1)
}

/// It awaits, spawns, blocks and sets. Where the thread is in no frame it asks a bare task too.
async fn program(bare: bool) -> Seen {
    let before = LEVEL.get().ok();
    tokio::task::yield_now().await;
    let task = haversack::spawn(async {
        tokio::task::yield_now().await;
        LEVEL.get().unwrap()
    });
    let task = task.await.unwrap();
    let pool = haversack::spawn_blocking(|| LEVEL.get().unwrap()).await.unwrap();
    let token = LEVEL.set(2).unwrap();
    tokio::task::yield_now().await;
    let own = LEVEL.get().unwrap();
    token.reset().unwrap();
    let bare = if bare { tokio::spawn(async { LEVEL.get().ok() }).await.unwrap() } else { None };
    assert_eq!(PLACE.get().unwrap(), "everywhere");
    (before, task, pool, own, bare)
}

#[test]
fn at_the_root_and_in_a_task() {
    for runtime in [current_thread(), multi_thread()] {
        let seen = runtime.block_on(limited(program(true).with_context(at_level_one())));
        assert_eq!(seen, EXPECTED);
        let task = runtime.spawn(program(true).with_context(at_level_one()));
        assert_eq!(runtime.block_on(limited(task)).unwrap(), EXPECTED);
        let ours = at_level_one().run(|| haversack::block_on(&runtime, program(true)));
        assert_eq!(ours, EXPECTED);
    }
}

#[test]
fn through_a_handle_on_a_thread_that_is_not_the_runtimes() {
    for runtime in [current_thread(), multi_thread()] {
        let handle = runtime.handle().clone();
        let thread = at_level_one().run(|| {
            // The frame of the thread stays while it blocks, so a bare task that it polls would see it.
            haversack::thread::spawn(move || handle.block_on(limited(program(false))))
        });
        // A current-thread runtime does its work only while somebody blocks on it.
        let (ended, has_ended) = tokio::sync::oneshot::channel();
        let waits = std::thread::spawn(move || {
            let seen = thread.join().unwrap();
            ended.send(()).unwrap();
            seen
        });
        runtime.block_on(limited(has_ended)).unwrap();
        assert_eq!(waits.join().unwrap(), EXPECTED);
    }
}

#[test]
fn in_a_runtime_nested_in_a_blocking_job_of_another() {
    for outer in [current_thread(), multi_thread()] {
        let nested = || {
            let [one, two] = [current_thread(), multi_thread()]
                .map(|inner| haversack::block_on(&inner, limited(program(true))));
            let own = Handle::current().block_on(limited(program(false)));
            [one, two, own]
        };
        let job = async { haversack::spawn_blocking(nested).await.unwrap() };
        assert_eq!(outer.block_on(limited(job.with_context(at_level_one()))), [EXPECTED; 3]);
    }
}

#[test]
fn where_a_worker_blocks_in_place() {
    let runtime = multi_thread();
    let task = runtime.spawn(
        async {
            let inside = block_in_place(|| Handle::current().block_on(limited(program(true))));
            (inside, program(true).await)
        }
        .with_context(at_level_one()),
    );
    assert_eq!(runtime.block_on(limited(task)).unwrap(), (EXPECTED, EXPECTED));
}

#[test]
fn in_a_local_set() {
    for runtime in [current_thread(), multi_thread()] {
        let local = LocalSet::new();
        let task = local.spawn_local(program(true).with_context(at_level_one()));
        assert_eq!(local.block_on(&runtime, limited(task)).unwrap(), EXPECTED);
        let until = local.run_until(limited(program(true).with_context(at_level_one())));
        assert_eq!(runtime.block_on(until), EXPECTED);
    }
}

#[test]
fn and_every_thread_is_left_as_it_was() {
    assert!(LEVEL.get().is_err());
    at_level_one().run(|| {
        for runtime in [current_thread(), multi_thread()] {
            assert_eq!(haversack::block_on(&runtime, limited(program(true))), EXPECTED);
            assert_eq!(LEVEL.get().unwrap(), 1);
        }
    });
    assert!(LEVEL.get().is_err());
}
