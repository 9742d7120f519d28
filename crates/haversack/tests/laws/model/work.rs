//! Futures of both: steps that a poll takes up to the next `Await`, in the wrappers of the library, each with a mirror
//! inside that puts the model's frame under what it wraps.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as Waking, Poll, Waker};

use haversack::FutureExt;

use super::plain::{Bindings, Layer, Under};
use super::program::{Step, Wrapper};
use super::world::{VARIABLE, Value, World, visit};

pub(super) type Held = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What is inside of all wrappers.
struct Work {
    world: Arc<World>,
    steps: Vec<Step>,
    at: usize,
    /// Another future that this one awaits.
    child: Option<Held>,
}

impl Future for Work {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, waking: &mut Waking<'_>) -> Poll<()> {
        let this = &mut *self;
        this.world.compare("at a poll");
        loop {
            if let Some(child) = &mut this.child {
                if child.as_mut().poll(waking).is_pending() {
                    return Poll::Pending;
                }
                this.child = None;
                this.world.compare("after an await");
            }
            let Some(step) = this.steps.get(this.at).cloned() else { return Poll::Ready(()) };
            this.at += 1;
            match step {
                Step::Await => {
                    waking.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Step::Adopt { future } => this.child = this.world.withdraw(future),
                step => this.world.take(&step),
            }
        }
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        self.world.compare("at the drop of a future");
    }
}

/// Stands inside of one wrapper of the library, and does to the model what the wrapper does to the thread.
struct Mirror {
    world: Arc<World>,
    layer: Layer,
    inner: Option<Held>,
}

impl Future for Mirror {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, waking: &mut Waking<'_>) -> Poll<()> {
        let this = &mut *self;
        let inner = this.inner.as_mut().expect("it is there until the drop");
        this.world.in_layer(this.layer, || inner.as_mut().poll(waking))
    }
}

impl Drop for Mirror {
    fn drop(&mut self) {
        let inner = self.inner.take();
        self.world.in_layer(self.layer, || drop(inner));
    }
}

#[cfg(feature = "stream")]
impl futures_util::Stream for Mirror {
    type Item = ();

    fn poll_next(self: Pin<&mut Self>, waking: &mut Waking<'_>) -> Poll<Option<()>> {
        match self.poll(waking) {
            Poll::Pending => Poll::Ready(Some(())),
            Poll::Ready(()) => Poll::Ready(None),
        }
    }
}

/// Stands outside of one wrapper of the library: tells the model that the wrapper is about to begin.
struct Outside {
    world: Arc<World>,
    layer: Layer,
    inner: Option<Held>,
}

impl Future for Outside {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, waking: &mut Waking<'_>) -> Poll<()> {
        let this = &mut *self;
        this.world.begin(this.layer);
        this.inner.as_mut().expect("it is there until the drop").as_mut().poll(waking)
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        self.world.begin(self.layer);
        drop(self.inner.take());
    }
}

/// Drains a stream, an item a poll.
#[cfg(feature = "stream")]
struct Items<S>(S);

#[cfg(feature = "stream")]
impl<S: futures_util::Stream<Item = ()> + Unpin> Future for Items<S> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, waking: &mut Waking<'_>) -> Poll<()> {
        match Pin::new(&mut self.0).poll_next(waking) {
            Poll::Ready(Some(())) => {
                waking.waker().wake_by_ref();
                Poll::Pending
            }
            Poll::Ready(None) => Poll::Ready(()),
            Poll::Pending => Poll::Pending,
        }
    }
}

/// Calls a closure at its first poll.
struct Call(Option<Box<dyn FnOnce() + Send>>);

impl Future for Call {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, _: &mut Waking<'_>) -> Poll<()> {
        if let Some(closure) = self.0.take() {
            closure();
        }
        Poll::Ready(())
    }
}

/// Polls a future to its end.
pub(super) fn finish(mut future: Held) {
    let mut waking = Waking::from_waker(Waker::noop());
    while future.as_mut().poll(&mut waking).is_pending() {}
}

/// A future of these steps in these wrappers, made here and now.
pub(super) fn make(world: &Arc<World>, wrappers: &[Wrapper], steps: &[Step]) -> Held {
    let work = Work { world: world.clone(), steps: steps.to_vec(), at: 0, child: None };
    wrappers.iter().fold(Box::pin(work), |inner, wrapper| wrap(world, *wrapper, inner))
}

/// As `haversack::block_on` puts the future that it is given under the context of the call.
#[cfg(feature = "tokio")]
pub(super) fn mirrored(world: &Arc<World>, under: Bindings, inner: Held) -> Held {
    let layer = world.layer(under);
    Box::pin(Mirror { world: world.clone(), layer, inner: Some(inner) })
}

fn wrap(world: &Arc<World>, wrapper: Wrapper, inner: Held) -> Held {
    let mirror =
        |layer: Layer, inner: Held| Box::pin(Mirror { world: world.clone(), layer, inner: Some(inner) });
    let current = world.bindings();
    match wrapper {
        Wrapper::Context(index) => {
            let (context, bindings) = world.context(index);
            Box::pin(mirror(world.layer(bindings), inner).with_context(context))
        }
        Wrapper::InCurrent => {
            Box::pin(FutureExt::in_current_context(mirror(world.layer(current.handed_over()), inner)))
        }
        Wrapper::Isolated => Box::pin(mirror(world.layer(current), inner).isolated()),
        Wrapper::Detached => Box::pin(haversack::detached(mirror(world.layer(Bindings::default()), inner))),
        Wrapper::Scope(variable) => {
            let (value, number) = Value::new(world, None);
            let layer = world.layer_of(Under::Scope { variable, value: number, made_in: current });
            let scope = Box::pin(VARIABLE[variable].scope(value, mirror(layer, inner)));
            Box::pin(Outside { world: world.clone(), layer, inner: Some(scope) })
        }
        Wrapper::Visit => {
            let (visit, bindings) = visit(world);
            Box::pin(visit.wrap(mirror(world.layer(bindings), inner)))
        }
        #[cfg(feature = "stream")]
        Wrapper::Stream => {
            let stream = mirror(world.layer(current.handed_over()), inner);
            Box::pin(Items(Box::pin(haversack::StreamExt::in_current_context(stream))))
        }
        #[cfg(not(feature = "stream"))]
        Wrapper::Stream => inner,
        Wrapper::Closure => {
            let body = mirror(world.layer(current.handed_over()), inner);
            Box::pin(Call(Some(Box::new(haversack::wrap(move || finish(body))))))
        }
    }
}
