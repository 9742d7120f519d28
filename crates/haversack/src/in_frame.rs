//! A future, stream, sink, body, reader or writer together with the frame it runs in.
//!
//! The frame is entered for each poll and for the drop, and never in between; questions are asked in one beside it. The adapters (`future`,
//! `stream`, `sink`, `io`, `body`, `layer`) are thin wrappers around this one type.

use std::pin::Pin;

use pin_project_lite::pin_project;

use crate::cell::{Frame, Slots};
use crate::origin::Origin;
use crate::span::Captured;

pin_project! {
    /// Something that is polled, with its frame and its tracing span.
    pub(crate) struct InFrame<F> {
        // `None` only while this is dropped. A compiled future has a niche for it, so it costs no space.
        #[pin]
        inner: Option<F>,
        span: Captured,
        frame: Frame,
    }

    impl<F> PinnedDrop for InFrame<F> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            let (span, frame) = (this.span, this.frame);
            frame.enter(|| span.enter(|| this.inner.set(None)));
        }
    }
}

impl<F> InFrame<F> {
    pub(crate) fn new(inner: F, slots: Slots, span: Captured, origin: Origin) -> Self {
        Self { inner: Some(inner), span, frame: Frame::new(slots, origin) }
    }

    /// Calls `f` with a look at what is wrapped, inside its context and its span: its answer may be code that reads. The frame
    /// is one of its own, for a question may be asked again while it is answered, and a frame that is entered twice would
    /// forget who borrows from it. What is set for an answer is gone with it.
    #[cfg(any(feature = "stream", feature = "http-body", feature = "io"))]
    pub(crate) fn look<R>(&self, f: impl FnOnce(&F) -> R) -> R {
        let Some(inner) = &self.inner else { unreachable!("asked while it is dropped") };
        let frame = Frame::new(self.frame.share(), self.frame.origin());
        frame.enter(|| self.span.enter(|| f(inner)))
    }

    /// Gives the frame another context, before it is entered for the first time.
    pub(crate) fn install(self: Pin<&mut Self>, slots: Slots, span: Captured) {
        let this = self.project();
        this.frame.install(slots);
        *this.span = span;
    }

    /// Calls `f` with what is wrapped, inside its frame and its span.
    #[inline]
    pub(crate) fn enter<'a, R>(self: Pin<&'a mut Self>, f: impl FnOnce(Pin<&'a mut F>) -> R) -> R {
        let this = self.project();
        let Some(inner) = this.inner.as_pin_mut() else { unreachable!("polled while it is dropped") };
        let span = &*this.span;
        this.frame.enter(|| span.enter(|| f(inner)))
    }
}
