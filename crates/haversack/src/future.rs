//! Futures in a context: installed at each poll and for the drop, taken out in between.
//!
//! [`FutureExt`] wraps a future in a context; [`Scope`] binds one variable for a future's length;
//! [`detached`] starts with nothing. Whoever polls, the future sees its own context.

use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context as Waking, Poll};

use pin_project_lite::pin_project;

use crate::cell::{Frame, Slots};
use crate::in_frame::InFrame;
use crate::origin::{Hop, Origin};
use crate::span::Captured;
use crate::{Context, ContextVar};

/// Puts futures into contexts. Implemented for every future.
///
/// ```
/// use haversack::{ContextVar, FutureExt};
///
/// static USER: ContextVar<&str> = ContextVar::new("user");
///
/// # let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
/// # runtime.block_on(async {
/// let work = USER.sync_scope("Ada", || async { USER.get().unwrap() }.in_current_context());
/// // Whoever polls it: a task that knows nothing of the library.
/// assert_eq!(tokio::spawn(work).await.unwrap(), "Ada");
/// # });
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no future, so it cannot be put into a context as one",
    label = "not a `Future`",
    note = "a closure is carried by `haversack::wrap`; a stream, sink or body has a trait or wrapper of its own"
)]
pub trait FutureExt: Future + Sized {
    /// Runs this future in `context`, whoever polls it.
    ///
    /// Cancellation: a dropped future is dropped inside `context`, also before its first poll.
    #[track_caller]
    fn with_context(self, context: Context) -> WithContext<Self> {
        WithContext::new(self, context, Hop::Wrapped, Location::caller())
    }

    /// Runs this future in the context that is current at this call. Bindings confined by their policy stay
    /// behind, because whoever polls may be another task.
    #[track_caller]
    fn in_current_context(self) -> WithContext<Self> {
        let at = Location::caller();
        WithContext::new(self, Context::carried(at), Hop::Wrapped, at)
    }

    /// Gives a branch of `join!` or `select!` a frame of its own over the current context, so that its
    /// siblings do not see what it sets. Confined bindings are kept: a branch is the same task.
    #[track_caller]
    fn isolated(self) -> WithContext<Self> {
        WithContext::new(self, Context::current(), Hop::Wrapped, Location::caller())
    }
}

impl<F: Future> FutureExt for F {}

/// Runs a future with nothing bound: for pools, timers and connection tasks, which outlive every request.
///
/// ```
/// use haversack::{ContextVar, detached};
///
/// static USER: ContextVar<&str> = ContextVar::new("user");
///
/// # let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
/// # runtime.block_on(async {
/// let timer = detached(async { USER.get() });
/// assert!(USER.scope("Ada", timer).await.is_err());
/// # });
/// ```
#[track_caller]
pub fn detached<F: Future>(future: F) -> WithContext<F> {
    WithContext::new(future, Context::empty(), Hop::Detached, Location::caller())
}

pin_project! {
    /// A future in a context. Made by [`FutureExt`] and [`detached`].
    #[must_use = "futures do nothing unless polled"]
    pub struct WithContext<F> {
        #[pin]
        inner: InFrame<F>,
    }
}

/// Wrapping makes a future, and so a task, larger by the frame alone: the future's own niche says that it is gone.
const _: () = {
    type Boxed = Pin<Box<dyn Future<Output = ()>>>;
    let frame = size_of::<Frame>() + size_of::<Captured>();
    assert!(size_of::<WithContext<Boxed>>() == frame + size_of::<Boxed>());
};

impl<F> WithContext<F> {
    pub(crate) fn new(future: F, context: Context, hop: Hop, at: &'static Location<'static>) -> Self {
        let (slots, span) = context.into_parts();
        Self { inner: InFrame::new(future, slots, span, Origin::new(hop, at)) }
    }
}

impl<F: Future> Future for WithContext<F> {
    type Output = F::Output;

    #[inline]
    fn poll(self: Pin<&mut Self>, waking: &mut Waking<'_>) -> Poll<F::Output> {
        self.project().inner.enter(|future| future.poll(waking))
    }
}

impl<F> fmt::Debug for WithContext<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WithContext").finish_non_exhaustive()
    }
}

pin_project! {
    /// A future with one variable bound over its context. Made by [`ContextVar::scope`].
    #[must_use = "a scope does nothing until it is polled"]
    pub struct Scope<T, F>
    where
        T: Send,
        T: Sync,
        T: 'static,
    {
        start: Option<Start<T>>,
        #[pin]
        inner: InFrame<F>,
    }

    impl<T, F> PinnedDrop for Scope<T, F>
    where
        T: Send,
        T: Sync,
        T: 'static,
    {
        fn drop(this: Pin<&mut Self>) {
            // Never polled: the future is dropped with its binding all the same.
            this.begin();
        }
    }
}

/// What a scope needs at its first poll, and no longer.
struct Start<T: 'static> {
    variable: &'static ContextVar<T>,
    value: T,
    made_in: Context,
    at: &'static Location<'static>,
}

impl<T: Send + Sync + 'static, F> Scope<T, F> {
    pub(crate) fn new(
        variable: &'static ContextVar<T>,
        value: T,
        future: F,
        at: &'static Location<'static>,
    ) -> Self {
        let start = Start { variable, value, made_in: Context::current(), at };
        let inner = InFrame::new(future, Slots::EMPTY, Captured::NONE, Origin::new(Hop::Scope, at));
        Self { start: Some(start), inner }
    }

    /// At the first poll, or at the drop before it: chooses the base and installs the binding.
    #[inline]
    fn begin(self: Pin<&mut Self>) {
        let this = self.project();
        let Some(Start { variable, value, made_in, at }) = this.start.take() else { return };
        let current = Context::current();
        // Made inside an entry and polled outside of it: a foreign driver, whose context is not ours. Ours was
        // handed over to it, so what is confined stays behind.
        let base = match made_in.entry() {
            Some(entry) if current.entry() != Some(entry) => made_in.handed_over(at),
            _ => current,
        };
        let (slots, span) = base.bind_at(variable, value, at).into_parts();
        this.inner.install(slots, span);
    }
}

impl<T: Send + Sync + 'static, F: Future> Future for Scope<T, F> {
    type Output = F::Output;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, waking: &mut Waking<'_>) -> Poll<F::Output> {
        self.as_mut().begin();
        self.project().inner.enter(|future| future.poll(waking))
    }
}

impl<T: Send + Sync + 'static, F> fmt::Debug for Scope<T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scope").field("started", &self.start.is_none()).finish_non_exhaustive()
    }
}
