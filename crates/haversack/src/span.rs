//! What else moves in the swap: the current `tracing` span, and the current OpenTelemetry context.
//!
//! With the feature `tracing` a captured context holds the span it was captured in, with `opentelemetry` the context
//! that OpenTelemetry had current, and enters both around each poll or call. Without the features this is nothing, in
//! size and in time. A context captured outside of any span does not hide the span of whoever polls: `tracing` has no
//! way to say so. OpenTelemetry has: one captured where nothing was current shows nothing.

/// What was current beside the bindings.
#[derive(Clone, Debug)]
pub(crate) struct Captured {
    span: imp::Span,
    otel: otel::Otel,
}

impl Captured {
    pub(crate) const NONE: Self = Self { span: imp::Span::NONE, otel: otel::Otel::NONE };

    #[inline]
    pub(crate) fn current() -> Self {
        Self { span: imp::Span::current(), otel: otel::Otel::current() }
    }

    /// The span first: a subscriber may bring an OpenTelemetry context of its own along with it, and what was captured
    /// lies over that.
    #[inline]
    pub(crate) fn enter<R>(&self, f: impl FnOnce() -> R) -> R {
        self.span.enter(|| self.otel.enter(f))
    }
}

#[cfg(feature = "tracing")]
mod imp {
    #[derive(Clone, Debug)]
    pub(super) struct Span(tracing::Span);

    impl Span {
        pub(super) const NONE: Self = Self(tracing::Span::none());

        #[inline]
        pub(super) fn current() -> Self {
            Self(tracing::Span::current())
        }

        #[inline]
        pub(super) fn enter<R>(&self, f: impl FnOnce() -> R) -> R {
            let _entered = self.0.enter();
            f()
        }
    }
}

#[cfg(not(feature = "tracing"))]
mod imp {
    #[derive(Clone, Debug)]
    pub(super) struct Span;

    impl Span {
        pub(super) const NONE: Self = Self;

        #[inline]
        pub(super) fn current() -> Self {
            Self
        }

        #[inline]
        pub(super) fn enter<R>(&self, f: impl FnOnce() -> R) -> R {
            f()
        }
    }
}

#[cfg(feature = "opentelemetry")]
mod otel {
    use opentelemetry::Context;

    /// `None` is the empty context, which cannot be made at compile time.
    #[derive(Clone, Debug)]
    pub(super) struct Otel(Option<Context>);

    impl Otel {
        pub(super) const NONE: Self = Self(None);

        #[inline]
        pub(super) fn current() -> Self {
            Self(alive().then(Context::current))
        }

        #[inline]
        pub(super) fn enter<R>(&self, f: impl FnOnce() -> R) -> R {
            let _attached = alive().then(|| self.0.clone().unwrap_or_default().attach());
            f()
        }
    }

    /// Whether the thread still has a current context of OpenTelemetry. That is a thread-local with a destructor: at
    /// the exit of a thread, where we run in other destructors, it may be gone, and whoever asks it then panics.
    #[inline]
    fn alive() -> bool {
        struct Sentinel;
        impl Drop for Sentinel {
            fn drop(&mut self) {} // a thread-local without a destructor would never be gone
        }
        thread_local! {
            // Made after theirs, so destroyed before it.
            static SENTINEL: Sentinel = {
                Context::map_current(|_| ());
                Sentinel
            };
        }
        SENTINEL.try_with(|_| ()).is_ok()
    }
}

#[cfg(not(feature = "opentelemetry"))]
mod otel {
    #[derive(Clone, Debug)]
    pub(super) struct Otel;

    impl Otel {
        pub(super) const NONE: Self = Self;

        #[inline]
        pub(super) fn current() -> Self {
            Self
        }

        #[inline]
        pub(super) fn enter<R>(&self, f: impl FnOnce() -> R) -> R {
            f()
        }
    }
}
