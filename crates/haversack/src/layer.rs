//! A tower layer that is a door: each request enters a boundary, and its call, its future and its response
//! body run under that entry.
//!
//! The door is a function from the request to a [`Visit`], or to the response that refuses. What a handler
//! sets is seen by the body it returns; what a synchronous `call` sets before it returns its future is not
//! seen by that future, which has a frame of its own.

use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context as Waking, Poll, ready};

use http::{Request, Response};
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use crate::body::ContextBody;
use crate::in_frame::InFrame;
use crate::origin::{Hop, Origin};
use crate::{Context, Visit};

/// Makes every request enter a boundary.
///
/// `door` is `Fn(&Request<B>) -> Result<Visit, Response<R>>`; it reads what authentication left in the request
/// and refuses with a response of its own.
#[derive(Clone)]
pub struct ContextLayer<D> {
    door: D,
    at: &'static Location<'static>,
}

impl<D> ContextLayer<D> {
    /// A layer with this door.
    #[track_caller]
    pub fn new(door: D) -> Self {
        Self { door, at: Location::caller() }
    }
}

impl<D> fmt::Debug for ContextLayer<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ContextLayer").field("at", &self.at).finish_non_exhaustive()
    }
}

impl<S, D: Clone> Layer<S> for ContextLayer<D> {
    type Service = ContextService<S, D>;

    fn layer(&self, inner: S) -> Self::Service {
        ContextService { inner, door: self.door.clone(), at: self.at }
    }
}

/// A service behind a door. Made by [`ContextLayer`].
#[derive(Clone)]
pub struct ContextService<S, D> {
    inner: S,
    door: D,
    at: &'static Location<'static>,
}

impl<S, D> fmt::Debug for ContextService<S, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ContextService").field("at", &self.at).finish_non_exhaustive()
    }
}

impl<S, D, B, R> Service<Request<B>> for ContextService<S, D>
where
    S: Service<Request<B>, Response = Response<R>>,
    D: Fn(&Request<B>) -> Result<Visit, Response<R>>,
{
    type Response = Response<ContextBody<R>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, R>;

    fn poll_ready(&mut self, waking: &mut Waking<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(waking)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let at = self.at;
        match (self.door)(&request) {
            Err(response) => ResponseFuture { state: State::Refused { response: Some(response) }, at },
            Ok(visit) => {
                let future = visit.run(|| self.inner.call(request));
                let (slots, span) = visit.context().into_parts();
                let inner = InFrame::new(future, slots, span, Origin::new(Hop::Boundary, at));
                ResponseFuture { state: State::Entered { inner, visit: Some(visit) }, at }
            }
        }
    }
}

pin_project! {
    /// The response of a [`ContextService`].
    ///
    /// Cancellation: dropping it drops the handler inside its context and closes the entry.
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<F, R> {
        #[pin]
        state: State<F, R>,
        at: &'static Location<'static>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<F, R> {
        Refused { response: Option<Response<R>> },
        Entered { #[pin] inner: InFrame<F>, visit: Option<Visit> },
    }
}

impl<F, R, E> Future for ResponseFuture<F, R>
where
    F: Future<Output = Result<Response<R>, E>>,
{
    type Output = Result<Response<ContextBody<R>>, E>;

    fn poll(self: Pin<&mut Self>, waking: &mut Waking<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let at = *this.at;
        match this.state.project() {
            StateProj::Refused { response } => {
                let Some(response) = response.take() else { return Poll::Pending }; // polled after completion
                Poll::Ready(Ok(response.map(|body| ContextBody::new(body, Context::empty(), None, at))))
            }
            StateProj::Entered { inner, visit } => {
                // The body is wrapped inside the response's own frame, so that it sees what the handler set.
                let (response, context) = ready!(inner.enter(|future| {
                    future.poll(waking).map(|response| (response, Context::carried(at)))
                }));
                // An error has no body to keep the entry open; this future does, until it is dropped.
                Poll::Ready(
                    response.map(|response| {
                        response.map(|body| ContextBody::new(body, context, visit.take(), at))
                    }),
                )
            }
        }
    }
}

impl<F, R> fmt::Debug for ResponseFuture<F, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
