//! Tokio's tasks and pools, with the context of the moment of the spawn.
//!
//! The functions mirror tokio's and return its own handles, so nothing is lost: abort, ids, names of places.
#![allow(clippy::disallowed_methods)] // this is the replacement

use std::future::Future;
use std::panic::Location;

use tokio::runtime::Runtime;
use tokio::task::{self, AbortHandle, JoinError, JoinHandle};

use super::wrap::carried;
use crate::cell;
use crate::future::WithContext;
use crate::origin::Hop;
use crate::{Context, FutureExt};

/// As [`tokio::spawn`], in the context of this call. Later changes on either side are invisible to the other.
///
/// # Panics
/// Outside of a tokio runtime, like the original.
#[track_caller]
pub fn spawn<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    #[cfg(feature = "mutants")]
    if crate::mutants::active(crate::mutants::Mutant::SpawnWrapper) {
        return tokio::spawn(future);
    }
    tokio::spawn(spawned(future, Location::caller()))
}

/// A task with nothing bound: for pools, timers and connections, which outlive every request.
///
/// # Panics
/// Outside of a tokio runtime, like [`tokio::spawn`].
#[track_caller]
pub fn spawn_detached<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    tokio::spawn(crate::detached(future))
}

/// As [`tokio::task::spawn_blocking`], in the context of this call.
///
/// Cancellation: a closure that has started runs to its end, like the original; one that never starts is dropped
/// inside its context.
///
/// # Panics
/// Outside of a tokio runtime, like the original.
#[track_caller]
pub fn spawn_blocking<T, F>(f: F) -> JoinHandle<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    task::spawn_blocking(carried(f, Hop::Spawned, Location::caller()))
}

/// As [`tokio::task::spawn_local`], in the context of this call.
///
/// # Panics
/// Outside of a `LocalSet`, like the original.
#[track_caller]
pub fn spawn_local<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + 'static,
    F::Output: 'static,
{
    task::spawn_local(spawned(future, Location::caller()))
}

#[inline]
fn spawned<F: Future>(future: F, at: &'static Location<'static>) -> WithContext<F> {
    WithContext::new(future, Context::carried(at), Hop::Spawned, at)
}

/// As [`Runtime::block_on`], with the context of this call for `future`.
///
/// The thread leaves its own frame first, so a bare task that the runtime polls meanwhile does not see it.
///
/// # Panics
/// Inside of an async context, like the original.
#[track_caller]
pub fn block_on<F: Future>(runtime: &Runtime, future: F) -> F::Output {
    let future = future.in_current_context();
    cell::leave(|| runtime.block_on(future))
}

/// As [`tokio::task::JoinSet`], with the context of the moment of each spawn. Dropping it aborts its tasks.
#[derive(Debug)]
pub struct JoinSet<T>(task::JoinSet<T>);

impl<T> Default for JoinSet<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> JoinSet<T> {
    /// An empty set.
    #[must_use]
    pub fn new() -> Self {
        Self(task::JoinSet::new())
    }

    /// How many tasks have not been joined yet.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether every task has been joined.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<T: 'static> JoinSet<T> {
    /// Starts a task in the context of this call.
    ///
    /// # Panics
    /// Outside of a tokio runtime, like the original.
    #[track_caller]
    pub fn spawn<F>(&mut self, future: F) -> AbortHandle
    where
        F: Future<Output = T> + Send + 'static,
        T: Send,
    {
        #[cfg(feature = "mutants")]
        if crate::mutants::active(crate::mutants::Mutant::SpawnWrapper) {
            return self.0.spawn(future);
        }
        self.0.spawn(spawned(future, Location::caller()))
    }

    /// Runs a closure on the blocking pool, in the context of this call.
    ///
    /// # Panics
    /// Outside of a tokio runtime, like the original.
    #[track_caller]
    pub fn spawn_blocking<F>(&mut self, f: F) -> AbortHandle
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send,
    {
        self.0.spawn_blocking(carried(f, Hop::Spawned, Location::caller()))
    }

    /// The next task that ends, or `None` when the set is empty. Cancellation loses nothing.
    ///
    /// # Errors
    /// When that task panicked or was aborted.
    pub async fn join_next(&mut self) -> Option<Result<T, JoinError>> {
        self.0.join_next().await
    }

    /// Aborts every task; [`join_next`](Self::join_next) still reports them.
    pub fn abort_all(&mut self) {
        self.0.abort_all();
    }

    /// Aborts every task and waits until all are gone.
    pub async fn shutdown(&mut self) {
        self.0.shutdown().await;
    }
}
