//! Threads of the standard library, with the context of the moment of the spawn.
//!
//! The functions mirror those of [`std::thread`] and return its own handles.
#![allow(clippy::disallowed_methods)] // this is the replacement

use std::io;
use std::panic::Location;
use std::thread::{self, JoinHandle, ScopedJoinHandle};

use super::wrap::carried;
use crate::origin::Hop;

/// As [`std::thread::spawn`], in the context of this call.
///
/// ```
/// use haversack::{ContextVar, thread};
///
/// static USER: ContextVar<&str> = ContextVar::new("user");
///
/// let child = USER.sync_scope("Ada", || thread::spawn(|| USER.get().unwrap()));
/// assert_eq!(child.join().unwrap(), "Ada");
/// ```
///
/// # Panics
/// When the system cannot start a thread, like the original; [`Builder::spawn`] gives an error instead.
#[track_caller]
pub fn spawn<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    #[cfg(feature = "mutants")]
    if crate::mutants::active(crate::mutants::Mutant::ThreadCarriage) {
        return thread::spawn(f);
    }
    thread::spawn(carried(f, Hop::Thread, Location::caller()))
}

/// As [`std::thread::Builder`].
///
/// ```
/// use haversack::{ContextVar, thread};
///
/// static USER: ContextVar<&str> = ContextVar::new("user");
///
/// let builder = thread::Builder::new().name("greeter".to_owned());
/// let child = USER.sync_scope("Ada", || builder.spawn(|| USER.get().unwrap()));
/// assert_eq!(child.unwrap().join().unwrap(), "Ada");
/// ```
#[derive(Debug, Default)]
#[must_use = "a builder does nothing until it spawns"]
pub struct Builder(Settings);

#[derive(Debug, Default)]
struct Settings {
    name: Option<String>,
    stack_size: Option<usize>,
}

impl Builder {
    /// A builder for an unnamed thread of the usual stack size.
    pub fn new() -> Self {
        Self::default()
    }

    /// Names the thread.
    pub fn name(mut self, name: String) -> Self {
        self.0.name = Some(name);
        self
    }

    /// The size of the stack, in bytes.
    pub fn stack_size(mut self, size: usize) -> Self {
        self.0.stack_size = Some(size);
        self
    }

    /// Starts the thread in the context of this call.
    ///
    /// # Errors
    /// When the system cannot start a thread.
    #[track_caller]
    pub fn spawn<T: Send + 'static>(
        self,
        f: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<JoinHandle<T>> {
        #[cfg(feature = "mutants")]
        if crate::mutants::active(crate::mutants::Mutant::ThreadCarriage) {
            return self.spawn_detached(f);
        }
        self.builder().spawn(carried(f, Hop::Thread, Location::caller()))
    }

    /// Starts the thread with nothing bound: for infrastructure, which outlives every request.
    ///
    /// # Errors
    /// When the system cannot start a thread.
    pub fn spawn_detached<T: Send + 'static>(
        self,
        f: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<JoinHandle<T>> {
        self.builder().spawn(f)
    }

    /// As [`std::thread::Builder::spawn_scoped`], in the context of this call.
    ///
    /// # Errors
    /// When the system cannot start a thread.
    #[track_caller]
    pub fn spawn_scoped<'scope, 'env, T: Send + 'scope>(
        self,
        scope: Scope<'scope, 'env>,
        f: impl FnOnce() -> T + Send + 'scope,
    ) -> io::Result<ScopedJoinHandle<'scope, T>> {
        self.builder().spawn_scoped(scope.0, carried(f, Hop::Thread, Location::caller()))
    }

    fn builder(self) -> thread::Builder {
        let Settings { name, stack_size } = self.0;
        let builder = match name {
            Some(name) => thread::Builder::new().name(name),
            None => thread::Builder::new(),
        };
        match stack_size {
            Some(size) => builder.stack_size(size),
            None => builder,
        }
    }
}

/// As [`std::thread::scope`]: threads that may borrow, each with the context of the moment of its spawn.
///
/// ```
/// use haversack::{ContextVar, thread};
///
/// static USER: ContextVar<&str> = ContextVar::new("user");
///
/// let borrowed = [1, 2];
/// USER.sync_scope("Ada", || {
///     thread::scope(|scope| {
///         scope.spawn(|| assert_eq!((borrowed.len(), USER.get().unwrap()), (2, "Ada")));
///     });
/// });
/// ```
pub fn scope<'env, T>(f: impl for<'scope> FnOnce(Scope<'scope, 'env>) -> T) -> T {
    thread::scope(|scope| f(Scope(scope)))
}

/// As [`std::thread::Scope`].
#[derive(Clone, Copy, Debug)]
pub struct Scope<'scope, 'env: 'scope>(&'scope thread::Scope<'scope, 'env>);

impl<'scope> Scope<'scope, '_> {
    /// Starts a thread in the context of this call.
    ///
    /// # Panics
    /// When the system cannot start a thread, like the original.
    #[track_caller]
    pub fn spawn<T: Send + 'scope>(
        self,
        f: impl FnOnce() -> T + Send + 'scope,
    ) -> ScopedJoinHandle<'scope, T> {
        self.0.spawn(carried(f, Hop::Thread, Location::caller()))
    }
}
