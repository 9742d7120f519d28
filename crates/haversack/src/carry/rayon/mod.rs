//! Rayon's pools, with the context of the moment of the hand-over.
//!
//! A worker that waits for its part of a `join` or a `scope` runs whatever job lies around, also somebody else's.
//! So each job here has a frame of its own, also when its context is empty, and whoever waits has left its own
//! frame first: a bare job that is stolen meanwhile sees nobody's.
//!
//! A bare `join`, `scope` or iterator inside a job of ours waits in that job's frame, and a bare job that it steals sees
//! it: both have to be bare, and no library can see the wait. Jobs that go through here are safe in it.
#![allow(clippy::disallowed_methods)] // this is the replacement

use std::fmt;
use std::panic::Location;

use rayon::ThreadPool;

use super::wrap::{Carried, carried};
use crate::cell;
use crate::origin::Hop;

mod parallel;

pub use parallel::{InContext, ParallelIteratorExt};

/// As [`rayon::spawn`], in the context of this call.
///
/// ```
/// use haversack::{ContextVar, rayon};
///
/// static USER: ContextVar<&str> = ContextVar::new("user");
///
/// let (send, receive) = std::sync::mpsc::channel();
/// USER.sync_scope("Ada", || rayon::spawn(move || send.send(USER.get().unwrap()).unwrap()));
/// assert_eq!(receive.recv().unwrap(), "Ada");
/// ```
#[track_caller]
pub fn spawn(f: impl FnOnce() + Send + 'static) {
    rayon::spawn(carried(f, Hop::Spawned, Location::caller()));
}

/// As [`rayon::spawn_fifo`], in the context of this call.
#[track_caller]
pub fn spawn_fifo(f: impl FnOnce() + Send + 'static) {
    rayon::spawn_fifo(carried(f, Hop::Spawned, Location::caller()));
}

/// As [`ThreadPool::spawn`], in the context of this call.
#[track_caller]
pub fn spawn_on(f: impl FnOnce() + Send + 'static, pool: &ThreadPool) {
    pool.spawn(carried(f, Hop::Spawned, Location::caller()));
}

/// As [`ThreadPool::install`], in the context of this call.
///
/// ```
/// use haversack::{ContextVar, rayon::install};
///
/// static USER: ContextVar<&str> = ContextVar::new("user");
///
/// let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
/// let seen = USER.sync_scope("Ada", || install(&pool, || USER.get().unwrap()));
/// assert_eq!(seen, "Ada");
/// ```
///
/// # Panics
/// With the panic of `f`, like the original.
#[track_caller]
pub fn install<R: Send>(pool: &ThreadPool, f: impl FnOnce() -> R + Send) -> R {
    let f = carried(f, Hop::Spawned, Location::caller());
    cell::leave(|| pool.install(f))
}

/// As [`rayon::join`], both sides in the context of this call, each in a frame of its own.
///
/// ```
/// use haversack::{ContextVar, rayon};
///
/// static USER: ContextVar<&str> = ContextVar::new("user");
///
/// let both = USER.sync_scope("Ada", || rayon::join(|| USER.get().unwrap(), || USER.get().unwrap().len()));
/// assert_eq!(both, ("Ada", 3));
/// ```
///
/// # Panics
/// With the panic of a side, after both have ended, like the original.
#[track_caller]
pub fn join<A: Send, B: Send>(a: impl FnOnce() -> A + Send, b: impl FnOnce() -> B + Send) -> (A, B) {
    let at = Location::caller();
    let (a, b) = (carried(a, Hop::Spawned, at), carried(b, Hop::Spawned, at));
    cell::leave(|| rayon::join(a, b))
}

/// As [`rayon::scope`]: jobs that may borrow. `f` runs in the context of this call, and each job in that of the
/// moment of its spawn.
///
/// ```
/// use haversack::{ContextVar, rayon};
///
/// static USER: ContextVar<&str> = ContextVar::new("user");
///
/// let mut names = ["", ""];
/// USER.sync_scope("Ada", || {
///     rayon::scope(|scope| {
///         for name in &mut names {
///             scope.spawn(|_| *name = USER.get().unwrap());
///         }
///     });
/// });
/// assert_eq!(names, ["Ada", "Ada"]);
/// ```
///
/// # Panics
/// With the panic of `f` or of a job, after all have ended, like the original.
#[track_caller]
pub fn scope<'scope, R: Send>(f: impl for<'a> FnOnce(Scope<'a, 'scope>) -> R + Send) -> R {
    let f = Carried::new(f, Hop::Spawned, Location::caller());
    cell::leave(|| rayon::scope(|scope| f.call_once(|f| f(Scope(scope)))))
}

/// As [`rayon::in_place_scope`]: as [`scope`], with `f` on this very thread, so it need not be `Send`.
///
/// # Panics
/// With the panic of `f` or of a job, after all have ended, like the original.
#[track_caller]
pub fn in_place_scope<'scope, R>(f: impl for<'a> FnOnce(Scope<'a, 'scope>) -> R) -> R {
    let f = Carried::new(f, Hop::Spawned, Location::caller());
    cell::leave(|| rayon::in_place_scope(|scope| f.call_once(|f| f(Scope(scope)))))
}

/// As [`rayon::Scope`].
#[derive(Clone, Copy)]
pub struct Scope<'a, 'scope>(&'a rayon::Scope<'scope>);

impl<'scope> Scope<'_, 'scope> {
    /// Starts a job in the context of this call.
    #[track_caller]
    pub fn spawn(self, f: impl for<'a> FnOnce(Scope<'a, 'scope>) + Send + 'scope) {
        let f = Carried::new(f, Hop::Spawned, Location::caller());
        self.0.spawn(|scope| f.call_once(|f| f(Scope(scope))));
    }
}

impl fmt::Debug for Scope<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
