//! Closures with their context, for any pool that this crate has no adapter for.
//!
//! A carried closure runs in the context of the moment of its hand-over, and one that is never called is dropped
//! there too. The adapters for threads and pools hand over the same way.

use std::panic::Location;

use crate::Context;
use crate::origin::Hop;

/// A closure that runs in the context of this call, wherever and whenever it is called. One that is never called
/// is dropped in it.
///
/// ```
/// use haversack::{ContextVar, wrap};
///
/// static USER: ContextVar<&str> = ContextVar::new("user");
///
/// let greet = USER.sync_scope("Ada", || wrap(|| format!("hello {}", USER.get().unwrap())));
/// assert_eq!(std::thread::spawn(greet).join().unwrap(), "hello Ada");
/// ```
#[track_caller]
pub fn wrap<R>(f: impl FnOnce() -> R) -> impl FnOnce() -> R {
    carried(f, Hop::Wrapped, Location::caller())
}

/// As [`wrap`], for a closure that takes an argument: a callback that is called once.
///
/// ```
/// use haversack::{ContextVar, wrap_once};
///
/// static USER: ContextVar<&str> = ContextVar::new("user");
///
/// let done = USER.sync_scope("Ada", || wrap_once(|code: u8| format!("{}: {code}", USER.get().unwrap())));
/// assert_eq!(done(7), "Ada: 7");
/// ```
#[track_caller]
pub fn wrap_once<A, R>(f: impl FnOnce(A) -> R) -> impl FnOnce(A) -> R {
    let carried = Carried::new(f, Hop::Wrapped, Location::caller());
    move |argument| carried.call_once(|f| f(argument))
}

/// As [`wrap`], for a closure that is called many times and changes what it holds: each call has a frame of its
/// own, so what one call sets the next does not see.
///
/// ```
/// use haversack::{ContextVar, wrap_mut};
///
/// static USER: ContextVar<&str> = ContextVar::new("user");
///
/// let mut lines = Vec::new();
/// USER.sync_scope("Ada", || wrap_mut(|n| lines.push(format!("{} {n}", USER.get().unwrap()))))(1);
/// assert_eq!(lines, ["Ada 1"]);
/// ```
#[track_caller]
pub fn wrap_mut<A, R>(f: impl FnMut(A) -> R) -> impl FnMut(A) -> R {
    let mut carried = Carried::new(f, Hop::Wrapped, Location::caller());
    move |argument| carried.call_mut(argument)
}

/// As [`wrap`], for a closure that is called many times: each call has a frame of its own.
///
/// ```
/// use haversack::{ContextVar, wrap_fn};
///
/// static USER: ContextVar<&str> = ContextVar::new("user");
///
/// let greet = USER.sync_scope("Ada", || wrap_fn(|word| format!("{word} {}", USER.get().unwrap())));
/// assert_eq!((greet("hello"), greet("bye")), ("hello Ada".to_owned(), "bye Ada".to_owned()));
/// ```
#[track_caller]
pub fn wrap_fn<A, R>(f: impl Fn(A) -> R) -> impl Fn(A) -> R {
    let carried = Carried::new(f, Hop::Wrapped, Location::caller());
    move |argument| carried.call(argument)
}

/// What a thread or a pool is given in the place of `f`.
pub(crate) fn carried<R>(
    f: impl FnOnce() -> R,
    hop: Hop,
    at: &'static Location<'static>,
) -> impl FnOnce() -> R {
    let carried = Carried::new(f, hop, at);
    move || carried.call_once(|f| f())
}

/// A closure, or any value that is used once, and the context it was handed over with.
pub(crate) struct Carried<F> {
    // `None` once it was called.
    work: Option<(F, Context)>,
    hop: Hop,
    at: &'static Location<'static>,
}

impl<F> Carried<F> {
    pub(crate) fn new(f: F, hop: Hop, at: &'static Location<'static>) -> Self {
        Self::within(f, Context::carried(at), hop, at)
    }

    pub(crate) fn within(f: F, context: Context, hop: Hop, at: &'static Location<'static>) -> Self {
        Self { work: Some((f, context)), hop, at }
    }

    /// Calls `using` with what is carried, in its context.
    pub(crate) fn call_once<R>(mut self, using: impl FnOnce(F) -> R) -> R {
        let Some((f, context)) = self.work.take() else { unreachable!("called once, by value") };
        context.run_as(self.hop, self.at, || using(f))
    }

    /// What is carried, out of its context.
    pub(crate) fn into_parts(mut self) -> (F, Context) {
        let Some(parts) = self.work.take() else { unreachable!("called once, by value") };
        parts
    }

    /// What is carried, and where to.
    pub(crate) fn parts(&self) -> (&F, &Context) {
        let Some((f, context)) = &self.work else { unreachable!("taken only by value") };
        (f, context)
    }

    fn call<A, R>(&self, argument: A) -> R
    where
        F: Fn(A) -> R,
    {
        let (f, context) = self.parts();
        context.clone().run_as(self.hop, self.at, || f(argument))
    }

    fn call_mut<A, R>(&mut self, argument: A) -> R
    where
        F: FnMut(A) -> R,
    {
        let Some((f, context)) = &mut self.work else { unreachable!("taken only by value") };
        context.clone().run_as(self.hop, self.at, || f(argument))
    }
}

impl<F> Drop for Carried<F> {
    fn drop(&mut self) {
        if let Some((f, context)) = self.work.take() {
            context.run_as(self.hop, self.at, || drop(f));
        }
    }
}
