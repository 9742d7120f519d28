//! Readers and writers in a context: a connection that one task opened and another one serves does its reading,
//! writing and closing under the context it was wrapped in.
//!
//! One wrapper for both families of traits: tokio's with the feature `io`, those of the crate `futures-io` with
//! the feature `futures-io`. Each call and the drop run inside the frame, and nothing in between.

use std::fmt;
use std::panic::Location;

use pin_project_lite::pin_project;

use crate::Context;
use crate::in_frame::InFrame;
use crate::origin::{Hop, Origin};

#[cfg(feature = "futures-io")]
mod futures;
#[cfg(feature = "io")]
mod tokio;

pin_project! {
    /// A reader or writer in a context.
    ///
    /// ```
    /// # #[cfg(feature = "io")] {
    /// use haversack::{ContextVar, io::ContextIo};
    /// use tokio::io::AsyncReadExt;
    ///
    /// static USER: ContextVar<&str> = ContextVar::new("user");
    ///
    /// # let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    /// # runtime.block_on(async {
    /// let mut reader = USER.sync_scope("Ada", || ContextIo::in_current_context(&b"read under Ada"[..]));
    /// let mut text = String::new();
    /// reader.read_to_string(&mut text).await.unwrap();
    /// assert_eq!(text, "read under Ada");
    /// # });
    /// # }
    /// ```
    #[must_use = "a reader or writer does nothing unless it is used"]
    pub struct ContextIo<T> {
        #[pin]
        inner: InFrame<T>,
    }
}

impl<T> ContextIo<T> {
    /// Puts a reader or writer into `context`; it is dropped there too.
    #[track_caller]
    pub fn with_context(io: T, context: Context) -> Self {
        Self::new(io, context, Location::caller())
    }

    /// Puts a reader or writer into the context that is current at this call, without what is confined.
    #[track_caller]
    pub fn in_current_context(io: T) -> Self {
        let at = Location::caller();
        Self::new(io, Context::carried(at), at)
    }

    fn new(io: T, context: Context, at: &'static Location<'static>) -> Self {
        let (slots, span) = context.into_parts();
        Self { inner: InFrame::new(io, slots, span, Origin::new(Hop::Wrapped, at)) }
    }
}

impl<T> fmt::Debug for ContextIo<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ContextIo").finish_non_exhaustive()
    }
}
