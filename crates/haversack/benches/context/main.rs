//! What the library's operations cost, beside tokio's task-local in the same run.
//!
//! `cargo xtask bench context [-- ROUNDS]` prints one table: nanoseconds of the median round, the peer's, the
//! ratio, and whether the target holds. Rounds of all contestants of a row are interleaved, because the machine's
//! speed drifts; the ratio is the number to read.

#![allow(missing_docs, clippy::print_stdout, clippy::disallowed_methods)] // a program that prints, and the bare spawn is the peer

mod measure;
mod snapshots;
mod table;

use std::future::Future;
use std::hint::black_box;
use std::pin::{Pin, pin};
use std::task::{Context as Waking, Poll, Waker};

use haversack::{Context, ContextVar, FutureExt};
use measure::{Contestant, Rounds, measure};
use table::Table;

static VARS: [ContextVar<u64>; 64] = [const { ContextVar::new("bench") }; 64];
static UNBOUND: ContextVar<u64> = ContextVar::new("unbound");

tokio::task_local! {
    static PEER: u64;
}

/// A context with the first `n` variables bound.
fn bound(n: usize) -> Context {
    VARS[..n].iter().fold(Context::empty(), |context, var| context.bind(var, 7))
}

fn main() {
    let rounds = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(41);
    let rounds = Rounds(rounds);
    // Every variable gets its id in order, so that `n` bound means the first `n` ids.
    drop(bound(64));

    let mut table = Table::new("tokio");
    for n in [1, 4, 16, 64] {
        reads(&mut table, rounds, n);
    }
    for n in [1, 4, 16, 64] {
        sets(&mut table, rounds, n);
    }
    for n in [1, 4, 16, 64] {
        binds(&mut table, rounds, n);
    }
    captures(&mut table, rounds);
    polls(&mut table, rounds);
    for n in [0, 1, 16, 64] {
        spawns(&mut table, rounds, n);
    }
    snapshots::snapshots(&mut table, rounds);
    print!("{table}");
}

fn reads(table: &mut Table, rounds: Rounds, n: usize) {
    let var = &VARS[n - 1];
    let mut results = bound(n).run(|| {
        PEER.sync_scope(7, || {
            measure(
                rounds,
                &mut [
                    Contestant::new(|| {
                        black_box(var.get().ok());
                    }),
                    Contestant::new(|| {
                        black_box(var.with(|value| *value).ok());
                    }),
                    Contestant::new(|| {
                        black_box(PEER.try_with(|value| *value).ok());
                    }),
                    Contestant::new(|| drop(black_box(UNBOUND.get()))),
                ],
            )
        })
    });
    let (unbound, peer) = (results.remove(3), results.remove(2));
    table.row(format!("get, {n} bound"), results[0], Some(peer), Some(1.5));
    table.row(format!("with, {n} bound"), results[1], Some(peer), Some(1.5));
    if n == 1 {
        table.row("get, unbound, error built".to_owned(), unbound, None, None);
    }
}

fn sets(table: &mut Table, rounds: Rounds, n: usize) {
    let var = &VARS[n - 1];
    let set_and_reset = || {
        if let Ok(token) = var.set(black_box(8)) {
            let _ = black_box(token.reset());
        }
    };
    let alone = bound(n).run(|| {
        // The first set makes the frame's own copy.
        set_and_reset();
        measure(rounds, &mut [Contestant::new(set_and_reset)])[0]
    });
    let shared = bound(n).run(|| {
        measure(
            rounds,
            &mut [Contestant::new(|| {
                let held = Context::current();
                set_and_reset();
                drop(held);
            })],
        )[0]
    });
    let scope = bound(n).run(|| {
        measure(
            rounds,
            &mut [
                Contestant::new(|| var.sync_scope(black_box(8), || ())),
                Contestant::new(|| PEER.sync_scope(black_box(8), || ())),
            ],
        )
    });
    table.row(format!("set + reset, {n} bound, alone"), alone, None, (n == 16).then_some(15.0));
    table.row(format!("set + reset, {n} bound, shared"), shared, None, (n == 16).then_some(100.0));
    table.row(format!("sync_scope, {n} bound"), scope[0], Some(scope[1]), None);
}

fn binds(table: &mut Table, rounds: Rounds, n: usize) {
    let results = measure(rounds, &mut [Contestant::new(|| drop(black_box(bound(n))))]);
    let target = match n {
        4 => Some(60.0),
        16 => Some(220.0),
        _ => None,
    };
    table.row(format!("bind {n} at once + drop"), results[0], None, target);
}

fn captures(table: &mut Table, rounds: Rounds) {
    let results = bound(16).run(|| {
        measure(
            rounds,
            &mut [
                Contestant::new(|| drop(black_box(Context::current()))),
                Contestant::new(|| Context::current().run(|| black_box(()))),
            ],
        )
    });
    table.row("Context::current + drop".to_owned(), results[0], None, Some(4.0));
    table.row("Context::current + run".to_owned(), results[1], None, None);
}

/// Never ready: what remains is the cost of the poll.
struct Forever;

impl Future for Forever {
    type Output = ();

    fn poll(self: Pin<&mut Self>, waking: &mut Waking<'_>) -> Poll<()> {
        black_box(waking);
        Poll::Pending
    }
}

fn polls(table: &mut Table, rounds: Rounds) {
    let mut bare = pin!(Forever);
    let mut wrapped = pin!(Forever.with_context(bound(16)));
    let mut peer = pin!(PEER.scope(7, Forever));
    let poll = |future: Pin<&mut dyn Future<Output = ()>>| {
        let _ = black_box(future.poll(&mut Waking::from_waker(Waker::noop())));
    };
    let results = measure(
        rounds,
        &mut [
            Contestant::new(|| poll(bare.as_mut())),
            Contestant::new(|| poll(wrapped.as_mut())),
            Contestant::new(|| poll(peer.as_mut())),
        ],
    );
    table.row("poll, bare".to_owned(), results[0], None, None);
    table.row("poll of a wrapped future".to_owned(), results[1], Some(results[2]), Some(results[0] + 1.0));
}

fn spawns(table: &mut Table, rounds: Rounds, n: usize) {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().build() else {
        table.note("spawn + join: no runtime could be built here");
        return;
    };
    // A batch each, so that entering the runtime is not what is measured.
    const BATCH: u32 = 64;
    let results = bound(n).run(|| {
        measure(
            rounds,
            &mut [
                Contestant::batch(BATCH, || {
                    runtime.block_on(async {
                        for _ in 0..BATCH {
                            let _ = tokio::spawn(async {}).await;
                        }
                    });
                }),
                Contestant::batch(BATCH, || {
                    runtime.block_on(async {
                        for _ in 0..BATCH {
                            let _ = haversack::spawn(async {}).await;
                        }
                    });
                }),
                Contestant::batch(BATCH, || {
                    runtime.block_on(async {
                        for _ in 0..BATCH {
                            let _ = tokio::spawn(PEER.scope(7, async {})).await;
                        }
                    });
                }),
            ],
        )
    });
    if n == 0 {
        table.row("spawn + join, bare".to_owned(), results[0], None, None);
    }
    let name = format!("spawn + join, one thread, {n} bound");
    table.row(name, results[1], Some(results[2]), Some(results[0] + 10.0));
}
