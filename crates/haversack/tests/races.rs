//! Hand-overs between threads, for the thread sanitizer: a program with its own `main`, over std's threads alone.
//!
//! The sanitizer sees what this crate's code does and what std's generic code does, but not the inside of std, so
//! that it takes a test harness or a runtime in the program for a race. `cargo xtask test --deep` runs this under it,
//! and once more with a fault planted that it must find; without it this is a law like any other.
#![allow(clippy::disallowed_methods, reason = "the threads here are what the contexts are handed to")]
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs, reason = "a test with its own main")]

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context as Waking, Poll, Waker};

use haversack::{Context, ContextVar, FutureExt, wrap};

const LAW: &str = "what_threads_hand_over_is_freed_once_and_after_everybody";
const ROUNDS: usize = 200;

static NOTES: ContextVar<Notes> = ContextVar::new("notes");
static STEP: ContextVar<usize> = ContextVar::new("step");

static DROPPED: AtomicUsize = AtomicUsize::new(0);

/// A value with memory of its own, which its destructor reads and writes.
struct Notes(Vec<usize>);

impl Notes {
    fn context() -> Context {
        Context::empty().bind(&NOTES, Notes((0..8).collect()))
    }

    fn sum() -> usize {
        NOTES.with(|notes| notes.0.iter().sum()).unwrap()
    }
}

impl Drop for Notes {
    fn drop(&mut self) {
        assert_eq!(self.0.iter().sum::<usize>(), 28);
        self.0.iter_mut().for_each(|note| *note = 0);
        DROPPED.fetch_add(1, Ordering::Relaxed);
    }
}

fn main() {
    // What a test runner asks of a harness.
    let arguments: Vec<String> = std::env::args().collect();
    if arguments.iter().any(|argument| argument == "--list") {
        if !arguments.iter().any(|argument| argument == "--ignored") {
            println!("{LAW}: test");
        }
        return;
    }
    for round in 0..ROUNDS {
        whoever_lets_go_last_frees();
        what_is_shared_is_copied_and_what_is_not_is_changed_in_place(round);
        a_future_is_polled_by_turns();
    }
    assert_eq!(DROPPED.load(Ordering::Relaxed), 3 * ROUNDS);
    println!("test {LAW} ... ok");
}

fn whoever_lets_go_last_frees() {
    let context = Notes::context();
    let threads = [(); 3].map(|()| {
        let context = context.clone();
        std::thread::spawn(move || context.run(Notes::sum))
    });
    drop(context);
    threads.into_iter().for_each(|thread| assert_eq!(thread.join().unwrap(), 28));
}

fn what_is_shared_is_copied_and_what_is_not_is_changed_in_place(round: usize) {
    Notes::context().run(|| {
        drop(STEP.set(round).unwrap());
        // It reads, and lets go of the array and of the values at some moment of the sets below.
        let reader = std::thread::spawn(wrap(move || {
            assert_eq!((STEP.get().unwrap(), Notes::sum()), (round, 28));
        }));
        for step in 0..20 {
            let token = STEP.set(step).unwrap();
            assert_eq!(STEP.get().unwrap(), step);
            token.reset().unwrap();
        }
        assert_eq!((STEP.get().unwrap(), Notes::sum()), (round, 28));
        reader.join().unwrap();
    });
}

/// Sets at each poll, and is ready at the tenth.
struct Steps;

impl Future for Steps {
    type Output = usize;

    fn poll(self: Pin<&mut Self>, _: &mut Waking<'_>) -> Poll<usize> {
        let step = STEP.get().unwrap_or(0) + 1;
        drop(STEP.set(step).unwrap());
        if step == 10 { Poll::Ready(Notes::sum()) } else { Poll::Pending }
    }
}

fn a_future_is_polled_by_turns() {
    let mut future = Box::pin(Steps.with_context(Notes::context()));
    loop {
        let turn = std::thread::spawn(move || {
            let poll = future.as_mut().poll(&mut Waking::from_waker(Waker::noop()));
            (poll, future)
        });
        let (poll, back) = turn.join().unwrap();
        future = back;
        if let Poll::Ready(sum) = poll {
            assert_eq!(sum, 28);
            return;
        }
    }
}
