//! The library and its model in step. Every step is taken on both, the model first, so that a destructor that the
//! library runs meanwhile finds the model as it will be. No lock is held while the library is called.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context as Waking, Waker};

use haversack::{AtDoor, Boundary, Context, ContextVar, Entry, Reason, Token, Visit};

use super::plain::{AT_DOOR, Bindings, Frame, Layer, Plain, Read, Under, Undo, VARIABLES};
use super::program::Step;
use super::work::{Held, make};

pub(super) static VARIABLE: [ContextVar<Value>; 3] =
    [ContextVar::new("zero"), ContextVar::new("one"), ContextVar::new("confined").confined()];
static DOOR_VARIABLE: ContextVar<Value, AtDoor> = ContextVar::new("at the door").at_door();
static DOOR: Boundary = Boundary::new("door of the model").requires(&[&DOOR_VARIABLE]);

thread_local! {
    /// Which thread of the model this is.
    static THREAD: Cell<usize> = const { Cell::new(0) };
}

/// What a `Throw` panics with.
struct Thrown;

/// A value that is counted, and that looks around when it is dropped.
#[derive(Clone)]
pub(super) struct Value(Arc<Tracked>);

struct Tracked {
    number: u32,
    then: Option<usize>,
    world: Arc<World>,
}

impl Value {
    pub(super) fn new(world: &Arc<World>, then: Option<usize>) -> (Self, u32) {
        let mut dropped = lock(&world.dropped);
        dropped.push(0);
        let number = dropped.len() as u32 - 1;
        (Self(Arc::new(Tracked { number, then, world: world.clone() })), number)
    }
}

impl Drop for Tracked {
    fn drop(&mut self) {
        lock(&self.world.dropped)[self.number as usize] += 1;
        self.world.compare("in the destructor of a value");
        if let Some(variable) = self.then {
            // The token is dropped: what a destructor sets stays.
            drop(self.world.set(variable, None));
            self.world.compare("after a set in the destructor of a value");
        }
    }
}

/// An arrival, and what the model says that it binds.
pub(super) fn visit(world: &Arc<World>) -> (Visit, Bindings) {
    let (value, number) = Value::new(world, None);
    let visit = DOOR.enter(|bindings| bindings.bind(&DOOR_VARIABLE, value)).unwrap();
    let bindings = Bindings::entered(visit.entry(), number);
    (visit, bindings)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Default)]
pub(super) struct World {
    plain: Mutex<Plain>,
    threads: AtomicUsize,
    tokens: Mutex<Vec<(Token<Value>, Undo)>>,
    contexts: Mutex<Vec<(Context, Bindings)>>,
    futures: Mutex<Vec<Held>>,
    #[cfg(feature = "tokio")]
    runtime: Mutex<Option<Arc<tokio::runtime::Runtime>>>,
    /// How often each value was dropped.
    dropped: Mutex<Vec<u32>>,
    /// The first difference.
    found: Mutex<Option<String>>,
}

impl World {
    /// Runs a program on both.
    pub(super) fn run(program: &[Step]) -> Result<(), String> {
        let world = Arc::new(Self::default());
        THREAD.set(0);
        world
            .take(&Step::Catch { inside: vec![Step::Run { context: usize::MAX, inside: program.to_vec() }] });
        // What is left is polled outside of any frame, and then let go of.
        for _ in 0..3 {
            let left = lock(&world.futures).len();
            (0..left).for_each(|future| world.take(&Step::Poll { future }));
        }
        world.end();
        let depth = lock(&world.plain).depth(0);
        if depth != 0 {
            world.differs("at the end", format!("the model is still in {depth} frames"));
        }
        for (number, times) in lock(&world.dropped).iter().enumerate() {
            if *times != 1 {
                world.differs("at the end", format!("the value {number} was dropped {times} times"));
            }
        }
        if Arc::strong_count(&world) != 1 {
            world.differs("at the end", "something of the program is left".to_owned());
        }
        let found = lock(&world.found).take();
        found.map_or(Ok(()), Err)
    }

    /// Lets go of everything that the program holds.
    fn end(&self) {
        #[cfg(feature = "tokio")]
        drop(lock(&self.runtime).take());
        // A destructor may not add to what it is dropped from.
        let (futures, tokens, contexts) = (
            std::mem::take(&mut *lock(&self.futures)),
            std::mem::take(&mut *lock(&self.tokens)),
            std::mem::take(&mut *lock(&self.contexts)),
        );
        drop(futures);
        drop(tokens);
        drop(contexts);
        self.compare("at the end");
    }

    fn differs(&self, place: &str, what: String) {
        lock(&self.found).get_or_insert(format!("{place}: {what}"));
    }

    /// Every variable, and the entry, of both.
    pub(super) fn compare(&self, place: &str) {
        let thread = THREAD.get();
        for variable in 0..VARIABLES {
            let expected = lock(&self.plain).read(thread, variable);
            let read = read(variable);
            if read != expected {
                self.differs(place, format!("variable {variable} reads {read:?} instead of {expected:?}"));
            }
        }
        let (entry, expected) = (Entry::current().ok(), lock(&self.plain).entry(thread));
        if entry != expected {
            self.differs(place, format!("the entry is {entry:?} instead of {expected:?}"));
        }
    }

    fn steps(self: &Arc<Self>, steps: &[Step]) {
        steps.iter().for_each(|step| self.take(step));
    }

    pub(super) fn take(self: &Arc<Self>, step: &Step) {
        self.step(step);
        self.compare(&format!("after {}", step.kind()));
    }

    fn step(self: &Arc<Self>, step: &Step) {
        match step {
            Step::Set { variable, then } => {
                let token = self.set(*variable, *then);
                lock(&self.tokens).extend(token);
            }
            Step::Reset { token } => {
                let Some((token, undo)) = pick(&self.tokens, *token) else { return };
                let expected = lock(&self.plain).reset(THREAD.get(), &undo);
                let reset = token.reset();
                if reset != expected {
                    self.differs("at a reset", format!("{reset:?} instead of {expected:?}"));
                }
            }
            Step::Keep { token } => drop(pick(&self.tokens, *token)),
            Step::Capture => {
                let captured = (Context::current(), self.bindings());
                lock(&self.contexts).push(captured);
            }
            Step::Release { context } => drop(pick(&self.contexts, *context)),
            Step::Scope { variable, inside } => {
                let (value, number) = Value::new(self, None);
                let frame = self.frame(self.bindings().and(*variable, number));
                VARIABLE[*variable].sync_scope(value, || self.inside(Some(frame), || self.steps(inside)));
            }
            Step::Run { context, inside } => {
                let (context, bindings) = self.context(*context);
                let frame = self.frame(bindings);
                context.run(|| self.inside(Some(frame), || self.steps(inside)));
            }
            Step::Borrow { variable, inside } => self.borrow(*variable, inside),
            Step::Enter { inside } => {
                let (visit, bindings) = visit(self);
                let frame = self.frame(bindings);
                visit.run(|| self.inside(Some(frame), || self.steps(inside)));
            }
            Step::Thread { carried, inside } => self.thread(*carried, inside),
            Step::Catch { inside } => caught(|| self.steps(inside)),
            Step::Throw => resume_unwind(Box::new(Thrown)),
            Step::Make { wrappers, inside } => {
                let future = make(self, wrappers, inside);
                lock(&self.futures).push(future);
            }
            Step::Poll { future } | Step::Adopt { future } => self.poll(*future),
            Step::Drop { future } => drop(self.withdraw(*future)),
            Step::Await => {}
            Step::BlockOn { future } => self.block_on(*future),
            Step::Spawn { future } => self.spawn(*future),
        }
    }

    /// Sets on both. Each says whether there is a frame.
    fn set(self: &Arc<Self>, variable: usize, then: Option<usize>) -> Option<(Token<Value>, Undo)> {
        let (value, number) = Value::new(self, then);
        let undo = lock(&self.plain).set(THREAD.get(), variable, number);
        match (VARIABLE[variable].set(value), undo) {
            (Ok(token), Some(undo)) => Some((token, undo)),
            (Err(_), None) => None,
            (set, undo) => {
                self.differs("at a set", format!("{:?} instead of {:?}", set.err(), undo.is_some()));
                None
            }
        }
    }

    fn borrow(self: &Arc<Self>, variable: usize, inside: &[Step]) {
        let before = lock(&self.plain).read(THREAD.get(), variable);
        let borrowed = |value: &Value| {
            self.steps(inside);
            value.0.number
        };
        let after = match variable {
            AT_DOOR => DOOR_VARIABLE.with(borrowed),
            _ => VARIABLE[variable].with(borrowed),
        };
        let after = after.map_or_else(|error| missing(&error), Read::Value);
        if after != before {
            self.differs("at a borrow", format!("what is borrowed is {after:?} instead of {before:?}"));
        }
    }

    fn thread(self: &Arc<Self>, carried: bool, inside: &[Step]) {
        let thread = self.threads.fetch_add(1, Ordering::Relaxed) + 1;
        let frame = carried.then(|| self.frame(self.bindings().handed_over()));
        let run = || {
            THREAD.set(thread);
            match frame {
                Some(frame) => self.inside(Some(frame), || self.steps(inside)),
                None => self.steps(inside),
            }
        };
        let ended = if carried {
            haversack::thread::scope(|threads| threads.spawn(run).join())
        } else {
            std::thread::scope(|threads| threads.spawn(run).join())
        };
        if let Err(panic) = ended {
            resume_unwind(panic);
        }
    }

    fn poll(self: &Arc<Self>, future: usize) {
        let Some(mut future) = self.withdraw(future) else { return };
        let mut waking = Waking::from_waker(Waker::noop());
        let mut pending = false;
        caught(|| pending = future.as_mut().poll(&mut waking).is_pending());
        if pending {
            lock(&self.futures).push(future);
        }
    }

    #[cfg(feature = "tokio")]
    fn block_on(self: &Arc<Self>, future: usize) {
        // A runtime cannot be started inside of another.
        if tokio::runtime::Handle::try_current().is_ok() {
            return;
        }
        let Some(future) = self.withdraw(future) else { return };
        let runtime =
            lock(&self.runtime).get_or_insert_with(|| Arc::new(crate::runtimes::current_thread())).clone();
        let future = super::work::mirrored(self, self.bindings().handed_over(), future);
        caught(|| self.inside(None, || haversack::block_on(&runtime, future)));
    }

    #[cfg(not(feature = "tokio"))]
    fn block_on(self: &Arc<Self>, future: usize) {
        self.poll(future);
    }

    /// A task of a nested runtime: whoever drives the runtime polls it, in no frame but its own.
    fn spawn(&self, future: usize) {
        if tokio::runtime::Handle::try_current().is_ok() {
            if let Some(future) = self.withdraw(future) {
                drop(tokio::spawn(future));
            }
        }
    }

    /// One of the futures, for whoever will poll or drop it.
    pub(super) fn withdraw(&self, future: usize) -> Option<Held> {
        pick(&self.futures, future)
    }

    /// One of the contexts captured so far, or the empty one.
    pub(super) fn context(&self, index: usize) -> (Context, Bindings) {
        lock(&self.contexts).get(index).cloned().unwrap_or((Context::empty(), Bindings::default()))
    }

    /// What the model says is bound here.
    pub(super) fn bindings(&self) -> Bindings {
        lock(&self.plain).current(THREAD.get())
    }

    fn frame(&self, bindings: Bindings) -> Frame {
        lock(&self.plain).frame(bindings)
    }

    pub(super) fn layer(&self, bindings: Bindings) -> Layer {
        let frame = self.frame(bindings);
        self.layer_of(Under::Frame(frame))
    }

    pub(super) fn layer_of(&self, under: Under) -> Layer {
        lock(&self.plain).layer(under)
    }

    pub(super) fn begin(&self, layer: Layer) {
        lock(&self.plain).begin(THREAD.get(), layer);
    }

    pub(super) fn in_layer<R>(&self, layer: Layer, f: impl FnOnce() -> R) -> R {
        let frame = lock(&self.plain).frame_of(layer);
        self.inside(frame, f)
    }

    /// Calls `f` inside a frame of the model, or outside of all.
    fn inside<R>(&self, frame: Option<Frame>, f: impl FnOnce() -> R) -> R {
        struct Pop<'a>(&'a World);
        impl Drop for Pop<'_> {
            fn drop(&mut self) {
                lock(&self.0.plain).pop(THREAD.get());
            }
        }
        lock(&self.plain).push(THREAD.get(), frame);
        let _pop = Pop(self);
        f()
    }
}

fn read(variable: usize) -> Read {
    let number = |value: &Value| value.0.number;
    let (borrowed, cloned, bound) = match variable {
        AT_DOOR => (DOOR_VARIABLE.with(number), DOOR_VARIABLE.get(), DOOR_VARIABLE.bound()),
        _ => (VARIABLE[variable].with(number), VARIABLE[variable].get(), VARIABLE[variable].bound()),
    };
    assert_eq!(cloned.as_ref().ok().map(number), bound.as_ref().map(number), "get and bound");
    match (borrowed, cloned) {
        (Ok(borrowed), Ok(cloned)) if borrowed == cloned.0.number => Read::Value(borrowed),
        (Err(borrowed), Err(cloned)) if borrowed.reason() == cloned.reason() => missing(&cloned),
        (borrowed, cloned) => {
            panic!("{borrowed:?} borrowed, {:?} cloned", cloned.map(|value| value.0.number))
        }
    }
}

fn missing(error: &haversack::MissingContext) -> Read {
    match error.reason() {
        Reason::NoFrame => Read::NoFrame,
        Reason::NeverBound => Read::NeverBound,
        Reason::Withheld { .. } => Read::Withheld,
        other => panic!("no program does that: {other:?}"),
    }
}

/// Takes one out, so that nobody else has it meanwhile.
fn pick<T>(all: &Mutex<Vec<T>>, index: usize) -> Option<T> {
    let mut all = lock(all);
    let index = index.checked_rem(all.len())?;
    Some(all.swap_remove(index))
}

/// Calls `f`, and stops a `Throw` here.
fn caught(f: impl FnOnce()) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(f)) {
        if !panic.is::<Thrown>() {
            resume_unwind(panic);
        }
    }
}
