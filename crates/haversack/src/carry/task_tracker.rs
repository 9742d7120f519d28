//! tokio-util's `TaskTracker`, with the context of the moment of each spawn.
//!
//! A type of its own, because the original's spawns are the bare ones. Clones track the same tasks.
#![allow(clippy::disallowed_methods)] // this is the replacement

use std::future::Future;
use std::panic::Location;

use tokio::runtime::Handle;
use tokio::task::{JoinHandle, LocalSet};
use tokio_util::task::task_tracker::{self, TaskTrackerToken, TaskTrackerWaitFuture, TrackedFuture};

use super::tokio::{Ours, spawned};
use super::wrap::carried;
use crate::origin::Hop;

/// As [`tokio_util::task::TaskTracker`], with the context of the moment of each spawn. Clones track the same tasks.
///
/// ```
/// use haversack::{ContextVar, TaskTracker};
///
/// static USER: ContextVar<&str> = ContextVar::new("user");
///
/// # let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
/// # runtime.block_on(async {
/// let tracker = TaskTracker::new();
/// let task = USER.sync_scope("Ada", || tracker.spawn(async { USER.get() }));
/// tracker.close();
/// tracker.wait().await;
/// assert_eq!(task.await.unwrap().unwrap(), "Ada");
/// # });
/// ```
#[derive(Clone, Debug, Default)]
pub struct TaskTracker(task_tracker::TaskTracker);

impl TaskTracker {
    /// A tracker of nothing yet, open.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts a task in the context of this call.
    ///
    /// # Panics
    /// Outside of a tokio runtime, like the original.
    #[track_caller]
    pub fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let _ours = Ours::set();
        self.0.spawn(spawned(future, Location::caller()))
    }

    /// Starts a task on another runtime, in the context of this call.
    #[track_caller]
    pub fn spawn_on<F>(&self, future: F, handle: &Handle) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let _ours = Ours::set();
        self.0.spawn_on(spawned(future, Location::caller()), handle)
    }

    /// Starts a task on the current [`LocalSet`], in the context of this call.
    ///
    /// # Panics
    /// Outside of a `LocalSet`, like the original.
    #[track_caller]
    pub fn spawn_local<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        let _ours = Ours::set();
        self.0.spawn_local(spawned(future, Location::caller()))
    }

    /// Starts a task on that [`LocalSet`], which need not run yet, in the context of this call.
    #[track_caller]
    pub fn spawn_local_on<F>(&self, future: F, local_set: &LocalSet) -> JoinHandle<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        let _ours = Ours::set();
        self.0.spawn_local_on(spawned(future, Location::caller()), local_set)
    }

    /// Runs a closure on the blocking pool, in the context of this call.
    ///
    /// Cancellation: as [`spawn_blocking`](crate::spawn_blocking).
    ///
    /// # Panics
    /// Outside of a tokio runtime, like the original.
    #[track_caller]
    pub fn spawn_blocking<T, F>(&self, f: F) -> JoinHandle<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        self.0.spawn_blocking(carried(f, Hop::Spawned, Location::caller()))
    }

    /// Runs a closure on the blocking pool of another runtime, in the context of this call.
    ///
    /// Cancellation: as [`spawn_blocking`](crate::spawn_blocking).
    #[track_caller]
    pub fn spawn_blocking_on<T, F>(&self, f: F, handle: &Handle) -> JoinHandle<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        self.0.spawn_blocking_on(carried(f, Hop::Spawned, Location::caller()), handle)
    }

    /// Tracks a future that somebody else spawns or polls. It is not wrapped: spawn it with
    /// [`haversack::spawn`](crate::spawn), or wrap it first.
    #[must_use = "a future does nothing unless polled"]
    pub fn track_future<F: Future>(&self, future: F) -> TrackedFuture<F> {
        self.0.track_future(future)
    }

    /// A token that counts as a task until it is dropped.
    #[must_use = "a token that is dropped at once tracks nothing"]
    pub fn token(&self) -> TaskTrackerToken {
        self.0.token()
    }

    /// Waits until the tracker is closed and empty. Cancellation loses nothing.
    pub fn wait(&self) -> TaskTrackerWaitFuture<'_> {
        self.0.wait()
    }

    /// Lets [`wait`](Self::wait) end once no task is left. Answers whether the tracker was open.
    pub fn close(&self) -> bool {
        self.0.close()
    }

    /// Takes [`close`](Self::close) back. Answers whether the tracker was closed.
    pub fn reopen(&self) -> bool {
        self.0.reopen()
    }

    /// Whether the tracker is closed. Tasks can be spawned all the same.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.0.is_closed()
    }

    /// How many tasks have not ended yet.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether every task has ended.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether both track the same tasks.
    #[must_use]
    pub fn ptr_eq(left: &Self, right: &Self) -> bool {
        task_tracker::TaskTracker::ptr_eq(&left.0, &right.0)
    }
}
