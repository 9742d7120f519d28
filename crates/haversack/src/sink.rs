//! Sinks in a context: each call and the drop run under the sink's own context, whoever feeds it.

use std::fmt;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context as Waking, Poll};

use futures_sink::Sink;
use pin_project_lite::pin_project;

use crate::Context;
use crate::in_frame::InFrame;
use crate::origin::{Hop, Origin};

/// Puts sinks into contexts. Implemented for every sink.
///
/// ```
/// use futures_util::{SinkExt as _, sink};
/// use haversack::{ContextVar, SinkExt};
///
/// static USER: ContextVar<&str> = ContextVar::new("user");
///
/// # let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
/// # runtime.block_on(async {
/// let writes = |_: (), number: u32| async move {
///     assert_eq!(USER.get().unwrap(), "Ada");
///     Ok::<_, std::convert::Infallible>(drop(number))
/// };
/// let sink = USER.sync_scope("Ada", || SinkExt::in_current_context(sink::unfold((), writes)));
/// Box::pin(sink).send(1).await.unwrap();
/// # });
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no sink of `{Item}`, so it cannot be put into a context as one",
    label = "not a `Sink<{Item}>`",
    note = "`haversack::SinkExt` is implemented for every `futures_sink::Sink`; a future, stream or body has a trait or wrapper of its own"
)]
pub trait SinkExt<Item>: Sink<Item> + Sized {
    /// Runs this sink in `context`, whoever feeds it; it is dropped there too.
    #[track_caller]
    fn with_context(self, context: Context) -> SinkWithContext<Self> {
        SinkWithContext::new(self, context, Location::caller())
    }

    /// Runs this sink in the context that is current at this call, without what is confined.
    #[track_caller]
    fn in_current_context(self) -> SinkWithContext<Self> {
        let at = Location::caller();
        SinkWithContext::new(self, Context::carried(at), at)
    }
}

impl<S: Sink<Item>, Item> SinkExt<Item> for S {}

pin_project! {
    /// A sink in a context. Made by [`SinkExt`]. A sink that is a stream too stays one, with the feature `stream`.
    #[must_use = "sinks do nothing unless polled"]
    pub struct SinkWithContext<S> {
        #[pin]
        inner: InFrame<S>,
    }
}

impl<S> SinkWithContext<S> {
    fn new(sink: S, context: Context, at: &'static Location<'static>) -> Self {
        let (slots, span) = context.into_parts();
        Self { inner: InFrame::new(sink, slots, span, Origin::new(Hop::Wrapped, at)) }
    }
}

impl<S: Sink<Item>, Item> Sink<Item> for SinkWithContext<S> {
    type Error = S::Error;

    fn poll_ready(self: Pin<&mut Self>, waking: &mut Waking<'_>) -> Poll<Result<(), S::Error>> {
        self.project().inner.enter(|sink| sink.poll_ready(waking))
    }

    fn start_send(self: Pin<&mut Self>, item: Item) -> Result<(), S::Error> {
        self.project().inner.enter(|sink| sink.start_send(item))
    }

    fn poll_flush(self: Pin<&mut Self>, waking: &mut Waking<'_>) -> Poll<Result<(), S::Error>> {
        self.project().inner.enter(|sink| sink.poll_flush(waking))
    }

    fn poll_close(self: Pin<&mut Self>, waking: &mut Waking<'_>) -> Poll<Result<(), S::Error>> {
        self.project().inner.enter(|sink| sink.poll_close(waking))
    }
}

#[cfg(feature = "stream")]
impl<S: futures_core::Stream> futures_core::Stream for SinkWithContext<S> {
    type Item = S::Item;

    fn poll_next(self: Pin<&mut Self>, waking: &mut Waking<'_>) -> Poll<Option<S::Item>> {
        self.project().inner.enter(|stream| stream.poll_next(waking))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.inner.look(futures_core::Stream::size_hint)
    }
}

impl<S> fmt::Debug for SinkWithContext<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SinkWithContext").finish_non_exhaustive()
    }
}
