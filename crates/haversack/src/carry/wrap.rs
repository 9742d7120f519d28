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

/// As [`wrap`], for a closure that is called many times: each call has a frame of its own.
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
    move || carried.call_once()
}

/// A closure and the context it was handed over with.
struct Carried<F> {
    // `None` once it was called.
    work: Option<(F, Context)>,
    hop: Hop,
    at: &'static Location<'static>,
}

impl<F> Carried<F> {
    fn new(f: F, hop: Hop, at: &'static Location<'static>) -> Self {
        Self { work: Some((f, Context::carried(at))), hop, at }
    }

    fn call_once<R>(mut self) -> R
    where
        F: FnOnce() -> R,
    {
        let Some((f, context)) = self.work.take() else { unreachable!("called once, by value") };
        context.run_as(self.hop, self.at, f)
    }

    fn call<A, R>(&self, argument: A) -> R
    where
        F: Fn(A) -> R,
    {
        let Some((f, context)) = &self.work else { unreachable!("taken only by value") };
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
