//! Closures with their context, for any pool that this crate has no adapter for.

use std::panic::Location;

use crate::Context;
use crate::origin::Hop;

/// A closure that runs in the context of this call, wherever and whenever it is called.
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
    let at = Location::caller();
    let context = Context::carried(at);
    move || context.run_as(Hop::Wrapped, at, f)
}

/// As [`wrap`], for a closure that is called many times: each call has a frame of its own.
#[track_caller]
pub fn wrap_fn<A, R>(f: impl Fn(A) -> R) -> impl Fn(A) -> R {
    let at = Location::caller();
    let context = Context::carried(at);
    move |argument| context.clone().run_as(Hop::Wrapped, at, || f(argument))
}
