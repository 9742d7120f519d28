//! Response bodies in a context: a body is polled after the middleware returned, and still belongs to the
//! request.

use std::fmt;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context as Waking, Poll};

use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use crate::in_frame::InFrame;
use crate::origin::{Hop, Origin};
use crate::{Context, Visit};

pin_project! {
    /// A body in a context, and with the [`Visit`] that it keeps open, if it came out of one.
    ///
    /// `size_hint` and `is_end_stream` are those of the body inside, asked in its context.
    pub struct ContextBody<B> {
        #[pin]
        inner: InFrame<B>,
        _visit: Option<Visit>, // after `inner`: the entry is open while the body is dropped
    }
}

impl<B> ContextBody<B> {
    /// Puts a body into the context that is current at this call.
    #[track_caller]
    pub fn in_current_context(body: B) -> Self {
        let at = Location::caller();
        Self::new(body, Context::carried(at), None, at)
    }

    pub(crate) fn new(
        body: B,
        context: Context,
        visit: Option<Visit>,
        at: &'static Location<'static>,
    ) -> Self {
        let (slots, span) = context.into_parts();
        Self { inner: InFrame::new(body, slots, span, Origin::new(Hop::Wrapped, at)), _visit: visit }
    }
}

impl<B: Body> Body for ContextBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        waking: &mut Waking<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        self.project().inner.enter(|body| body.poll_frame(waking))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.look(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.look(Body::size_hint)
    }
}

impl<B> fmt::Debug for ContextBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ContextBody").finish_non_exhaustive()
    }
}
