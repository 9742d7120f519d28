//! One program, wherever it runs: every way to drive a future gives the same transcript of what it read.

use std::future::Future;
use std::pin::pin;
use std::task::{Context as Waking, Poll, Waker};

use haversack::well_known::TENANT_ID;
use haversack::{Context, ContextVar, Entry, FutureExt, Reason, ResetError};
use tokio::runtime::Handle;
use tokio::task::LocalSet;

use crate::door::arrive;
use crate::runtimes::{current_thread, multi_thread};

static STEP: ContextVar<u32> = ContextVar::new("step everywhere");
static OPEN: ContextVar<u32> = ContextVar::new("open everywhere").confined();

/// Not ready at its first poll, on any executor.
async fn give_way() {
    let mut ready = false;
    std::future::poll_fn(move |waking| {
        waking.waker().wake_by_ref();
        if std::mem::replace(&mut ready, true) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

type Read = (Option<String>, Result<u32, Reason>, Result<u32, Reason>);

fn read() -> Read {
    let reason = |error: haversack::MissingContext| error.reason();
    let tenant = TENANT_ID.get().ok().map(|tenant| tenant.to_string());
    let open = match OPEN.get().map_err(reason) {
        // The place of the crossing is where it is, and no part of the transcript.
        Err(Reason::Withheld { .. }) => Err(Reason::NeverBound),
        open => open,
    };
    (tenant, STEP.get().map_err(reason), open)
}

/// Sets, awaits, scopes, hands over, isolates and resets, and writes down what it reads.
async fn program() -> (Vec<Read>, Vec<Result<(), ResetError>>) {
    let mut reads = vec![read()];
    let first = STEP.set(1).unwrap();
    give_way().await;
    reads.push(read());
    let handed_over = async {
        give_way().await;
        let _kept = STEP.set(2).unwrap();
        read()
    }
    .in_current_context();
    let second = STEP.set(3).unwrap();
    reads.push(handed_over.await);
    reads.push(OPEN.scope(4, async { read() }.isolated()).await);
    reads.push(haversack::wrap(read)());
    reads.push(async { read() }.with_context(Context::empty()).await);
    reads.push(read());
    let resets = vec![first.reset(), second.reset()];
    reads.push(read());
    (reads, resets)
}

/// The program as one arrival of `acme`.
fn arrival() -> impl Future<Output = (Vec<Read>, Vec<Result<(), ResetError>>)> + Send {
    let visit = arrive("acme");
    let context = visit.context().bind(&STEP, 0).bind(&OPEN, 9);
    async move {
        let _open_until_here = visit;
        let entry = Entry::current().unwrap();
        let transcript = program().await;
        assert_eq!(Entry::current().unwrap(), entry);
        transcript
    }
    .with_context(context)
}

#[test]
fn every_way_to_drive_a_future_gives_the_same_transcript() {
    let by_hand = || {
        let mut future = pin!(arrival());
        loop {
            if let Poll::Ready(transcript) = future.as_mut().poll(&mut Waking::from_waker(Waker::noop())) {
                break transcript;
            }
        }
    };
    let expected = by_hand();
    assert_eq!((expected.0.len(), expected.0[1].1), (8, Ok(1)));
    assert_eq!(expected.1, [Err(ResetError::OutOfOrder), Ok(())]);

    let (one, many) = (current_thread(), multi_thread());
    let inside = |what: &mut dyn FnMut() -> (Vec<Read>, Vec<Result<(), ResetError>>)| {
        // In a frame of somebody else.
        arrive("somebody else").run(|| STEP.sync_scope(77, what))
    };
    assert_eq!(inside(&mut || by_hand()), expected, "polled by hand inside a frame");
    for runtime in [&one, &many] {
        let flavour = runtime.handle().runtime_flavor();
        let same = |how: &str, transcript| assert_eq!(transcript, expected, "{how}, {flavour:?}");
        same("block_on", runtime.block_on(arrival()));
        same("our block_on", haversack::block_on(runtime, arrival()));
        same("our block_on inside a frame", inside(&mut || haversack::block_on(runtime, arrival())));
        same("a bare task", runtime.block_on(async { tokio::spawn(arrival()).await.unwrap() }));
        same(
            "a carried task",
            runtime.block_on(
                async { haversack::spawn(arrival()).await.unwrap() }.with_context(Context::empty()),
            ),
        );
        same("a handle", runtime.handle().block_on(arrival()));
        let local = LocalSet::new();
        same(
            "a local set",
            local.block_on(runtime, async { haversack::spawn_local(arrival()).await.unwrap() }),
        );
        same(
            "the handle on the blocking pool",
            runtime.block_on(async {
                haversack::spawn_blocking(|| Handle::current().block_on(arrival())).await.unwrap()
            }),
        );
        same(
            "a runtime on a thread of its own",
            runtime.block_on(async {
                haversack::thread::spawn(|| haversack::block_on(&current_thread(), arrival())).join().unwrap()
            }),
        );
    }
    let in_place = async { tokio::task::block_in_place(|| Handle::current().block_on(arrival())) };
    assert_eq!(many.block_on(async { tokio::spawn(in_place).await.unwrap() }), expected, "block_in_place");
    assert!(STEP.get().is_err() && TENANT_ID.get().is_err());
}
