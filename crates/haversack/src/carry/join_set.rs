//! Tokio's `JoinSet`, with the context of the moment of each spawn.
//!
//! A type of its own, because the original's spawns are the bare ones. It has the original's whole surface, and
//! members are joined as they are: a result belongs to its receiver.
#![allow(clippy::disallowed_methods)] // this is the replacement

use std::future::Future;
use std::panic::Location;
use std::task::{Context as Waking, Poll};

use tokio::runtime::Handle;
use tokio::task::{self, AbortHandle, Id, JoinError, LocalSet};

use super::tokio::{Ours, spawned};
use super::wrap::carried;
use crate::origin::Hop;

/// As [`tokio::task::JoinSet`], with the context of the moment of each spawn. Dropping it aborts its tasks.
///
/// ```
/// use haversack::{ContextVar, JoinSet};
///
/// static USER: ContextVar<&str> = ContextVar::new("user");
///
/// # let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
/// # runtime.block_on(async {
/// let mut members = JoinSet::new();
/// for name in ["Ada", "Grace"] {
///     USER.sync_scope(name, || members.spawn(async { USER.get().unwrap() }));
/// }
/// let mut names = members.join_all().await;
/// names.sort_unstable();
/// assert_eq!(names, ["Ada", "Grace"]);
/// # });
/// ```
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
        let _ours = Ours::set();
        self.0.spawn(spawned(future, Location::caller()))
    }

    /// Starts a task on another runtime, in the context of this call.
    #[track_caller]
    pub fn spawn_on<F>(&mut self, future: F, handle: &Handle) -> AbortHandle
    where
        F: Future<Output = T> + Send + 'static,
        T: Send,
    {
        let _ours = Ours::set();
        self.0.spawn_on(spawned(future, Location::caller()), handle)
    }

    /// Starts a task on the current [`LocalSet`], in the context of this call.
    ///
    /// # Panics
    /// Outside of a `LocalSet`, like the original.
    #[track_caller]
    pub fn spawn_local<F>(&mut self, future: F) -> AbortHandle
    where
        F: Future<Output = T> + 'static,
    {
        let _ours = Ours::set();
        self.0.spawn_local(spawned(future, Location::caller()))
    }

    /// Starts a task on that [`LocalSet`], which need not run yet, in the context of this call.
    #[track_caller]
    pub fn spawn_local_on<F>(&mut self, future: F, local_set: &LocalSet) -> AbortHandle
    where
        F: Future<Output = T> + 'static,
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
    pub fn spawn_blocking<F>(&mut self, f: F) -> AbortHandle
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send,
    {
        self.0.spawn_blocking(carried(f, Hop::Spawned, Location::caller()))
    }

    /// Runs a closure on the blocking pool of another runtime, in the context of this call.
    ///
    /// Cancellation: as [`spawn_blocking`](crate::spawn_blocking).
    #[track_caller]
    pub fn spawn_blocking_on<F>(&mut self, f: F, handle: &Handle) -> AbortHandle
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send,
    {
        self.0.spawn_blocking_on(carried(f, Hop::Spawned, Location::caller()), handle)
    }

    /// The next task that ends, or `None` when the set is empty. Cancellation loses nothing.
    ///
    /// # Errors
    /// When that task panicked or was aborted.
    pub async fn join_next(&mut self) -> Option<Result<T, JoinError>> {
        self.0.join_next().await
    }

    /// As [`join_next`](Self::join_next), with the id of the task. Cancellation loses nothing.
    ///
    /// # Errors
    /// When that task panicked or was aborted; the error has its id.
    pub async fn join_next_with_id(&mut self) -> Option<Result<(Id, T), JoinError>> {
        self.0.join_next_with_id().await
    }

    /// A task that has ended already, or `None` where there is none.
    ///
    /// # Errors
    /// When that task panicked or was aborted.
    pub fn try_join_next(&mut self) -> Option<Result<T, JoinError>> {
        self.0.try_join_next()
    }

    /// As [`try_join_next`](Self::try_join_next), with the id of the task.
    ///
    /// # Errors
    /// When that task panicked or was aborted; the error has its id.
    pub fn try_join_next_with_id(&mut self) -> Option<Result<(Id, T), JoinError>> {
        self.0.try_join_next_with_id()
    }

    /// As [`tokio::task::JoinSet::poll_join_next`].
    ///
    /// # Errors
    /// When the task panicked or was aborted.
    pub fn poll_join_next(&mut self, waking: &mut Waking<'_>) -> Poll<Option<Result<T, JoinError>>> {
        self.0.poll_join_next(waking)
    }

    /// As [`tokio::task::JoinSet::poll_join_next_with_id`].
    ///
    /// # Errors
    /// When the task panicked or was aborted; the error has its id.
    pub fn poll_join_next_with_id(
        &mut self,
        waking: &mut Waking<'_>,
    ) -> Poll<Option<Result<(Id, T), JoinError>>> {
        self.0.poll_join_next_with_id(waking)
    }

    /// The results of all tasks, in the order in which they ended.
    ///
    /// Cancellation: dropping this aborts what has not ended.
    ///
    /// # Panics
    /// With the panic of a task that panicked, and when a task was aborted, like the original.
    pub async fn join_all(self) -> Vec<T> {
        self.0.join_all().await
    }

    /// Aborts every task; [`join_next`](Self::join_next) still reports them.
    pub fn abort_all(&mut self) {
        self.0.abort_all();
    }

    /// Lets every task go on by itself. The set is empty afterwards.
    pub fn detach_all(&mut self) {
        self.0.detach_all();
    }

    /// Aborts every task and waits until all are gone.
    pub async fn shutdown(&mut self) {
        self.0.shutdown().await;
    }
}

/// Spawns each future, in the context of the call. Errors name the place of this library as the hand-over,
/// because `collect` does not tell its own; [`JoinSet::spawn`] names the caller's.
///
/// # Panics
/// Outside of a tokio runtime, like the original.
impl<T, F> FromIterator<F> for JoinSet<T>
where
    F: Future<Output = T> + Send + 'static,
    T: Send + 'static,
{
    fn from_iter<I: IntoIterator<Item = F>>(futures: I) -> Self {
        let mut set = Self::new();
        for future in futures {
            set.spawn(future);
        }
        set
    }
}
