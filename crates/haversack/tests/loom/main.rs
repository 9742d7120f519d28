//! Models of the reference count: loom runs them in every interleaving of their threads, and under every value that
//! a load may see by its ordering.
//!
//! The file under test is the library's own, compiled once more over loom's atomics. Each fault that is planted in
//! those must be found, or a green model would say nothing.
#![cfg(loom)]
#![allow(missing_docs)] // a test

#[path = "../../src/cell/refs.rs"]
mod refs;

mod atomic;
mod planted;

use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;

use loom::cell::UnsafeCell;
use loom::thread;

use refs::Refs;

/// What is counted. Loom ends the model where two threads touch the cell, one of them to change it, and nothing
/// orders them; what is in the cell does not matter.
struct Block {
    refs: Refs,
    value: UnsafeCell<()>,
    /// Std's, of which loom knows nothing: it orders nothing.
    freed: AtomicU32,
}

/// A holder, as `Binding` and `Slots` are: shares at a clone, gives back at its drop, and the last one frees.
struct Holder(Arc<Block>);

impl Holder {
    fn new() -> Self {
        let block = Block { refs: Refs::one(), value: UnsafeCell::new(()), freed: AtomicU32::new(0) };
        Self(Arc::new(block)) // not loom's either: this is the memory
    }

    fn read(&self) {
        self.0.value.with(|_| ());
    }

    /// As a `set` in place: only a sole holder may.
    fn change(&mut self) {
        if self.0.refs.is_sole() {
            self.0.value.with_mut(|_| ());
        }
    }
}

impl Clone for Holder {
    fn clone(&self) -> Self {
        self.0.refs.share();
        Self(self.0.clone())
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        if self.0.refs.give_back() {
            self.0.value.with_mut(|_| ());
            self.0.freed.fetch_add(1, Relaxed);
        }
    }
}

/// Two threads read and let go, while a third lets go too: memory is freed once, after every read.
fn let_go() {
    loom::model(|| {
        let holder = Holder::new();
        let block = holder.0.clone();
        let threads = [holder.clone(), holder.clone()].map(|mine| thread::spawn(move || mine.read()));
        drop(holder);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(block.freed.load(Relaxed), 1);
    });
}

/// One thread reads and lets go, while the other changes in place as soon as it finds itself alone.
fn change_in_place() {
    loom::model(|| {
        let mut holder = Holder::new();
        let block = holder.0.clone();
        let mine = holder.clone();
        let reader = thread::spawn(move || mine.read());
        holder.change();
        drop(holder);
        reader.join().unwrap();
        assert_eq!(block.freed.load(Relaxed), 1);
    });
}

/// One thread shares what it was given while the other asks whether it is alone: it is not, and nobody changes what
/// a third one reads.
fn share_meanwhile() {
    loom::model(|| {
        let mut holder = Holder::new();
        let block = holder.0.clone();
        let mine = holder.clone();
        let sharer = thread::spawn(move || {
            let more = mine.clone();
            drop(mine);
            more.read();
        });
        holder.change();
        drop(holder);
        sharer.join().unwrap();
        assert_eq!(block.freed.load(Relaxed), 1);
    });
}

#[test]
fn the_last_holder_frees_once_and_after_everybody() {
    let_go();
}

#[test]
fn a_sole_holder_changes_in_place_and_disturbs_nobody() {
    change_in_place();
}

#[test]
fn a_reference_made_meanwhile_is_counted() {
    share_meanwhile();
}
