//! The bridge to `tracing`: the current span moves in the same swap as the context.
//!
//! With the `tracing` feature a captured context holds the span it was captured in and enters it around each
//! poll or call. Without the feature this is nothing, in size and in time. A context captured outside of any
//! span does not hide the span of whoever polls: `tracing` has no way to say so.

#[cfg(feature = "tracing")]
mod imp {
    #[derive(Clone, Debug)]
    pub(crate) struct Captured(tracing::Span);

    impl Captured {
        pub(crate) const NONE: Self = Self(tracing::Span::none());

        #[inline]
        pub(crate) fn current() -> Self {
            Self(tracing::Span::current())
        }

        #[inline]
        pub(crate) fn enter<R>(&self, f: impl FnOnce() -> R) -> R {
            let _entered = self.0.enter();
            f()
        }
    }
}

#[cfg(not(feature = "tracing"))]
mod imp {
    #[derive(Clone, Debug)]
    pub(crate) struct Captured;

    impl Captured {
        pub(crate) const NONE: Self = Self;

        #[inline]
        pub(crate) fn current() -> Self {
            Self
        }

        #[inline]
        pub(crate) fn enter<R>(&self, f: impl FnOnce() -> R) -> R {
            f()
        }
    }
}

pub(crate) use imp::Captured;
