//! Tokio's tasks and pools, with the context of the moment of the spawn.
//!
//! The functions mirror tokio's and return its own handles, so nothing is lost: abort, ids, names of places.
#![allow(clippy::disallowed_methods)] // this is the replacement

use std::future::Future;
use std::panic::Location;

use tokio::runtime::{Handle, Runtime};
use tokio::task::{self, JoinHandle};

use super::wrap::carried;
use crate::cell;
use crate::future::WithContext;
use crate::origin::Hop;
use crate::{Context, FutureExt};

/// As [`tokio::spawn`], in the context of this call. Later changes on either side are invisible to the other.
///
/// ```
/// use haversack::ContextVar;
///
/// static USER: ContextVar<&str> = ContextVar::new("user");
///
/// # let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
/// # runtime.block_on(async {
/// let task = USER.sync_scope("Ada", || haversack::spawn(async { USER.get() }));
/// assert_eq!(task.await.unwrap().unwrap(), "Ada");
/// # });
/// ```
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
    let _ours = Ours::set();
    tokio::spawn(spawned(future, Location::caller()))
}

/// As [`Handle::spawn`], in the context of this call: for a caller that is in no runtime itself.
#[track_caller]
pub fn spawn_on<F>(future: F, handle: &Handle) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    let _ours = Ours::set();
    handle.spawn(spawned(future, Location::caller()))
}

/// A task with nothing bound: for pools, timers and connections, which outlive every request.
///
/// ```
/// # use haversack::ContextVar;
/// # static USER: ContextVar<&str> = ContextVar::new("user");
/// # let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
/// # runtime.block_on(async {
/// let timer = USER.sync_scope("Ada", || haversack::spawn_detached(async { USER.get() }));
/// assert!(timer.await.unwrap().is_err());
/// # });
/// ```
///
/// # Panics
/// Outside of a tokio runtime, like [`tokio::spawn`].
#[track_caller]
pub fn spawn_detached<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    let _ours = Ours::set();
    tokio::spawn(crate::detached(future))
}

/// As [`tokio::task::spawn_blocking`], in the context of this call.
///
/// ```
/// # use haversack::ContextVar;
/// # static USER: ContextVar<&str> = ContextVar::new("user");
/// # let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
/// # runtime.block_on(async {
/// let job = USER.sync_scope("Ada", || haversack::spawn_blocking(|| USER.get()));
/// assert_eq!(job.await.unwrap().unwrap(), "Ada");
/// # });
/// ```
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

/// As [`Handle::spawn_blocking`], in the context of this call: for a caller that is in no runtime itself.
///
/// Cancellation: as [`spawn_blocking`].
#[track_caller]
pub fn spawn_blocking_on<T, F>(f: F, handle: &Handle) -> JoinHandle<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    handle.spawn_blocking(carried(f, Hop::Spawned, Location::caller()))
}

/// As [`tokio::task::spawn_local`], in the context of this call.
///
/// ```
/// # use haversack::ContextVar;
/// # static USER: ContextVar<&str> = ContextVar::new("user");
/// # let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
/// # runtime.block_on(tokio::task::LocalSet::new().run_until(async {
/// let not_send = std::rc::Rc::new(1);
/// let task = USER.sync_scope("Ada", || haversack::spawn_local(async move { (USER.get(), *not_send) }));
/// assert_eq!(task.await.unwrap().0.unwrap(), "Ada");
/// # }));
/// ```
///
/// # Panics
/// Outside of a `LocalSet`, like the original.
#[track_caller]
pub fn spawn_local<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + 'static,
    F::Output: 'static,
{
    let _ours = Ours::set();
    task::spawn_local(spawned(future, Location::caller()))
}

/// What a runtime is given in the place of `future`.
#[inline]
pub(crate) fn spawned<F: Future>(future: F, at: &'static Location<'static>) -> WithContext<F> {
    WithContext::new(future, Context::carried(at), Hop::Spawned, at)
}

/// Stands while a task is given to a runtime, and tells the auditor, where there is one, that it is ours.
#[cfg(all(feature = "audit", tokio_unstable))]
pub(crate) use crate::audit::Mark as Ours;
#[cfg(not(all(feature = "audit", tokio_unstable)))]
pub(crate) struct Ours;

#[cfg(not(all(feature = "audit", tokio_unstable)))]
impl Ours {
    #[inline]
    pub(crate) fn set() -> Self {
        Self
    }
}

/// As [`Runtime::block_on`], with the context of this call for `future`.
///
/// The thread leaves its own frame first, so a bare task that the runtime polls meanwhile does not see it.
///
/// ```
/// # use haversack::ContextVar;
/// # static USER: ContextVar<&str> = ContextVar::new("user");
/// let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
/// let (own, bare) = USER.sync_scope("Ada", || {
///     haversack::block_on(&runtime, async { (USER.get(), tokio::spawn(async { USER.get() }).await.unwrap()) })
/// });
/// assert_eq!(own.unwrap(), "Ada");
/// assert!(bare.is_err());
/// ```
///
/// # Panics
/// Inside of an async context, like the original.
#[track_caller]
pub fn block_on<F: Future>(runtime: &Runtime, future: F) -> F::Output {
    let future = future.in_current_context();
    cell::leave(|| runtime.block_on(future))
}
