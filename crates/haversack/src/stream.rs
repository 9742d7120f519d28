//! Streams in a context: each poll, the size hint and the drop run under the stream's own context, whoever consumes it.

use std::fmt;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context as Waking, Poll};

use futures_core::Stream;
use pin_project_lite::pin_project;

use crate::Context;
use crate::in_frame::InFrame;
use crate::origin::{Hop, Origin};

/// Puts streams into contexts. Implemented for every stream.
///
/// ```
/// use futures_util::stream::{self, StreamExt as _};
/// use haversack::{ContextVar, StreamExt};
///
/// static USER: ContextVar<&str> = ContextVar::new("user");
///
/// # let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
/// # runtime.block_on(async {
/// let names = stream::iter(0..2).map(|_| USER.get().unwrap());
/// let names = USER.sync_scope("Ada", || StreamExt::in_current_context(names));
/// assert_eq!(names.collect::<Vec<_>>().await, ["Ada", "Ada"]);
/// # });
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no stream, so it cannot be put into a context as one",
    label = "not a `Stream`",
    note = "`haversack::StreamExt` is implemented for every `futures_core::Stream`; a future, sink or body has a trait or wrapper of its own"
)]
pub trait StreamExt: Stream + Sized {
    /// Runs this stream in `context`, whoever polls it; it is dropped there too.
    #[track_caller]
    fn with_context(self, context: Context) -> StreamWithContext<Self> {
        StreamWithContext::new(self, context, Location::caller())
    }

    /// Runs this stream in the context that is current at this call, without what is confined.
    #[track_caller]
    fn in_current_context(self) -> StreamWithContext<Self> {
        let at = Location::caller();
        StreamWithContext::new(self, Context::carried(at), at)
    }
}

impl<S: Stream> StreamExt for S {}

pin_project! {
    /// A stream in a context. Made by [`StreamExt`]. A stream that is a sink too (a socket of messages) stays one,
    /// with the feature `sink`.
    #[must_use = "streams do nothing unless polled"]
    pub struct StreamWithContext<S> {
        #[pin]
        inner: InFrame<S>,
    }
}

impl<S> StreamWithContext<S> {
    fn new(stream: S, context: Context, at: &'static Location<'static>) -> Self {
        let (slots, span) = context.into_parts();
        Self { inner: InFrame::new(stream, slots, span, Origin::new(Hop::Wrapped, at)) }
    }
}

impl<S: Stream> Stream for StreamWithContext<S> {
    type Item = S::Item;

    #[inline]
    fn poll_next(self: Pin<&mut Self>, waking: &mut Waking<'_>) -> Poll<Option<S::Item>> {
        self.project().inner.enter(|stream| stream.poll_next(waking))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.inner.look(Stream::size_hint)
    }
}

#[cfg(feature = "sink")]
impl<S: futures_sink::Sink<Item>, Item> futures_sink::Sink<Item> for StreamWithContext<S> {
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

impl<S> fmt::Debug for StreamWithContext<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamWithContext").finish_non_exhaustive()
    }
}
