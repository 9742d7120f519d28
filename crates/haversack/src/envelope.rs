//! Envelopes: a value together with the context of whoever sent it.
//!
//! A channel carries values and no contexts, so an actor or a queue works for its senders under nobody's context,
//! or under its own. An [`Enveloped`] value is captured where it is sent and opened where it is received; what is
//! never opened is dropped in its sender's context.

use std::fmt;
use std::future::Future;
use std::panic::Location;

use crate::carry::wrap::Carried;
use crate::origin::Hop;
use crate::{Context, Entry, WithContext};

/// A value and the context it was sent with.
///
/// ```
/// use haversack::{ContextVar, Enveloped};
///
/// static USER: ContextVar<&str> = ContextVar::new("user");
///
/// let (send, receive) = std::sync::mpsc::channel();
/// let actor = std::thread::spawn(move || {
///     let handled = receive.iter().map(|message: Enveloped<u32>| {
///         message.open(|number| format!("{number} for {}", USER.get().unwrap()))
///     });
///     handled.collect::<Vec<_>>()
/// });
/// USER.sync_scope("Ada", || send.send(Enveloped::new(1)).unwrap());
/// USER.sync_scope("Grace", || send.send(Enveloped::new(2)).unwrap());
/// drop(send);
/// assert_eq!(actor.join().unwrap(), ["1 for Ada", "2 for Grace"]);
/// ```
///
/// What is confined stays with the sender, as at every hand-over.
#[must_use = "the work for which this was sent is done by opening it"]
pub struct Enveloped<T> {
    carried: Carried<T>,
    at: &'static Location<'static>,
}

impl<T> Enveloped<T> {
    /// Puts `value` into an envelope, with the context that is current at this call.
    #[track_caller]
    pub fn new(value: T) -> Self {
        let at = Location::caller();
        Self { carried: Carried::new(value, Hop::Wrapped, at), at }
    }

    /// Puts `value` into an envelope with this context.
    #[track_caller]
    pub fn with_context(value: T, context: Context) -> Self {
        let at = Location::caller();
        Self { carried: Carried::within(value, context, Hop::Wrapped, at), at }
    }

    /// Calls `f` with the value, in the sender's context.
    pub fn open<R>(self, f: impl FnOnce(T) -> R) -> R {
        self.carried.call_once(f)
    }

    /// The future that `f` makes of the value. Both the call and the future run in the sender's context, in one
    /// frame, whoever polls.
    ///
    /// Cancellation: a dropped future, also one that was never polled, is dropped with its value in the sender's
    /// context.
    ///
    /// ```
    /// # use haversack::{ContextVar, Enveloped};
    /// # static USER: ContextVar<&str> = ContextVar::new("user");
    /// # let message = USER.sync_scope("Ada", || Enveloped::new(1));
    /// let reply = message.open_async(|number| async move { format!("{number} for {}", USER.get().unwrap()) });
    /// # let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    /// # assert_eq!(runtime.block_on(reply), "1 for Ada");
    /// ```
    pub fn open_async<F>(self, f: impl FnOnce(T) -> F) -> WithContext<impl Future<Output = F::Output>>
    where
        F: Future,
    {
        let at = self.at;
        let (value, context) = self.carried.into_parts();
        WithContext::new(async move { f(value).await }, context, Hop::Wrapped, at)
    }

    /// The context it was sent with.
    #[must_use]
    pub fn context(&self) -> &Context {
        self.carried.parts().1
    }

    /// The entry it was sent under: what a receiver that works in batches groups by.
    #[must_use]
    pub fn entry(&self) -> Option<Entry> {
        self.context().entry()
    }

    /// A look at the value, for routing. It runs no code in the sender's context.
    #[must_use]
    pub fn value(&self) -> &T {
        self.carried.parts().0
    }

    /// The value and its context, to be joined again by the caller.
    #[must_use = "the value is out of its context now: run the work under it"]
    pub fn into_parts(self) -> (T, Context) {
        self.carried.into_parts()
    }

    /// An envelope of the same sender with what `f` makes of the value, in the sender's context.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Enveloped<U> {
        let at = self.at;
        let context = self.context().clone();
        Enveloped { carried: Carried::within(self.open(f), context, Hop::Wrapped, at), at }
    }
}

impl<T> fmt::Debug for Enveloped<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Enveloped").field("sent_at", &self.at).finish_non_exhaustive()
    }
}
