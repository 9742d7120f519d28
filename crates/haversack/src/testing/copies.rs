//! Copies: one async function many times at once, each with values of its own, and no copy may read another's.
//!
//! Each copy runs at the test's door as a tenant of its own. It says where it is by [`Own::step`], which looks at the
//! context and gives way, and what it got from elsewhere by [`Own::reads`]. The rounds run it on one thread, on several
//! workers, and polled by one driver that belongs to somebody else; at each poll a copy may be passed over, so that
//! the copies get between each other's steps.

use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context as Waking, Poll};

use tokio::runtime::{Builder, Runtime};

use super::Isolated;
use crate::well_known::TENANT_ID;
use crate::{ContextVar, Entry, JoinSet};

/// Which copy the context belongs to.
static COPY: ContextVar<usize> = ContextVar::new("copy");

/// Runs `n` copies of `function` at once, on several runtimes, and demands that each reads only its own.
///
/// ```
/// use haversack::testing::assert_isolated;
/// use haversack::well_known::TENANT_ID;
///
/// async fn greet() -> String {
///     haversack::spawn(async { TENANT_ID.with(|tenant| format!("hello {tenant}")).unwrap() }).await.unwrap()
/// }
///
/// assert_isolated(20, |own| async move {
///     own.step("before").await;
///     let greeting = greet().await;
///     own.reads("the greeting", &greeting);
///     own.step("after").await;
/// });
/// ```
///
/// # Panics
/// With the first [`Crossing`], when there is one, and when a copy panics.
#[track_caller]
pub fn assert_isolated<F, R>(n: usize, function: F)
where
    F: Fn(Own) -> R + Send + Sync + 'static,
    R: Future<Output = ()> + Send + 'static,
{
    Copies::new(n).assert_isolated(function);
}

type Bind = dyn Fn(&Own, Isolated) -> Isolated + Send + Sync;
type Function = dyn Fn(Own) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync;

/// So many copies of a function, with what each of them has bound.
///
/// ```
/// use haversack::ContextVar;
/// use haversack::testing::Copies;
///
/// static LOCALE: ContextVar<String> = ContextVar::new("locale");
///
/// Copies::new(8).bind(|own, context| context.bind(&LOCALE, own.value())).assert_isolated(|own| async move {
///     own.step("translate").await;
///     own.reads("the locale", &LOCALE.get().unwrap());
/// });
/// ```
#[must_use = "nothing runs until it is asked for"]
pub struct Copies {
    n: usize,
    bind: Arc<Bind>,
}

impl Copies {
    /// `n` copies, each a tenant of its own.
    pub fn new(n: usize) -> Self {
        Self { n, bind: Arc::new(|_, context| context) }
    }

    /// What else each copy has bound.
    pub fn bind(mut self, bind: impl Fn(&Own, Isolated) -> Isolated + Send + Sync + 'static) -> Self {
        self.bind = Arc::new(bind);
        self
    }

    /// As [`assert_isolated`].
    ///
    /// # Panics
    /// With the first [`Crossing`], when there is one, and when a copy panics.
    #[track_caller]
    pub fn assert_isolated<F, R>(self, function: F)
    where
        F: Fn(Own) -> R + Send + Sync + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        if let Some(crossing) = self.first_crossing(function) {
            panic!("{crossing}");
        }
    }

    /// Runs the copies on one runtime after the other, until one reads what is not its own.
    ///
    /// It blocks its thread, and may be called inside of a runtime.
    ///
    /// ```
    /// use std::sync::Mutex;
    ///
    /// use haversack::testing::Copies;
    ///
    /// static LAST: Mutex<String> = Mutex::new(String::new());
    ///
    /// let crossing = Copies::new(2).first_crossing(|own| async move {
    ///     *LAST.lock().unwrap() = own.value();
    ///     own.step("written").await;
    ///     own.reads("the last one", &LAST.lock().unwrap());
    /// });
    /// assert_eq!(crossing.unwrap().place(), "the last one");
    /// ```
    ///
    /// # Panics
    /// When a copy panics, with what it panicked with, or a runtime cannot be made.
    pub fn first_crossing<F, R>(self, function: F) -> Option<Crossing>
    where
        F: Fn(Own) -> R + Send + Sync + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        let function: Arc<Function> = Arc::new(move |own| Box::pin(function(own)));
        // A thread of its own, because a runtime cannot be started inside of another.
        let rounds = crate::thread::Builder::new().name("copies".to_owned()).spawn_detached(move || {
            Round::ALL.into_iter().find_map(|round| {
                let found: Found = Arc::default();
                round.run(self.n, &self.bind, &function, &found);
                lock(&found).take()
            })
        });
        match rounds.expect("a thread for the copies").join() {
            Ok(crossing) => crossing,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

impl fmt::Debug for Copies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Copies").field("n", &self.n).finish_non_exhaustive()
    }
}

type Found = Arc<Mutex<Option<Crossing>>>;

fn lock(found: &Found) -> MutexGuard<'_, Option<Crossing>> {
    found.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How the copies are polled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Round {
    OneThread,
    Workers(usize),
    /// One task polls all of them, in a context of its own.
    OneDriver,
}

impl Round {
    const ALL: [Self; 4] = [Self::OneThread, Self::Workers(2), Self::Workers(4), Self::OneDriver];

    fn run(self, n: usize, bind: &Arc<Bind>, function: &Arc<Function>, found: &Found) {
        let copies = (0..n).map(|number| {
            let own = Own { number, round: self, found: found.clone() };
            let context = bind(&own, Isolated::new().tenant(&own.value()).principal("tester"));
            let copy = context.bind(&COPY, number).wrap(begin(own, function.clone()));
            Interleaved { copy: Box::pin(copy), random: number as u64 + 1 }
        });
        match self {
            Self::OneDriver => {
                let copies: Vec<_> = copies.collect();
                let driver = Isolated::new().tenant("the driver").bind(&COPY, n).wrap(drive(copies));
                crate::block_on(&self.runtime(), driver);
            }
            _ => crate::block_on(&self.runtime(), async move {
                let mut tasks = JoinSet::new();
                copies.for_each(|copy| drop(tasks.spawn(copy)));
                while let Some(ended) = tasks.join_next().await {
                    if let Err(error) = ended {
                        std::panic::resume_unwind(error.into_panic());
                    }
                }
            }),
        }
    }

    fn runtime(self) -> Runtime {
        let mut builder = match self {
            Self::Workers(workers) => {
                let mut builder = Builder::new_multi_thread();
                builder.worker_threads(workers);
                builder
            }
            Self::OneThread | Self::OneDriver => Builder::new_current_thread(),
        };
        builder.enable_all().build().expect("a runtime for the copies")
    }
}

impl fmt::Display for Round {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OneThread => f.write_str("on one thread"),
            Self::Workers(workers) => write!(f, "on {workers} workers"),
            Self::OneDriver => f.write_str("polled by one driver"),
        }
    }
}

async fn begin(own: Own, function: Arc<Function>) {
    let made_under = Entry::current().ok();
    let copy = function(own.clone());
    copy.await;
    // What the function left in its frame is its own; that it is still its own frame is not.
    if Entry::current().ok() != made_under {
        own.crossed("the end", "another entry".to_owned(), Location::caller());
    }
}

/// Polls all copies from one task, in turns, until each has ended.
async fn drive(copies: Vec<Interleaved>) {
    let mut copies: Vec<_> = copies.into_iter().map(Some).collect();
    std::future::poll_fn(move |waking| {
        let mut pending = false;
        for copy in &mut copies {
            let ended = copy.as_mut().is_some_and(|copy| Pin::new(copy).poll(waking).is_ready());
            if ended {
                *copy = None;
            }
            pending |= copy.is_some();
        }
        if pending { Poll::Pending } else { Poll::Ready(()) }
    })
    .await;
}

/// A copy that is passed over at some of its polls.
struct Interleaved {
    copy: Pin<Box<dyn Future<Output = ()> + Send>>,
    random: u64,
}

impl Future for Interleaved {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, waking: &mut Waking<'_>) -> Poll<()> {
        // xorshift: the same at each run, different for each copy.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        if self.random % 3 == 0 {
            waking.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.copy.as_mut().poll(waking)
    }
}

/// What one copy is given, and whom it tells what it reads. Clones are of the same copy and may go anywhere.
#[derive(Clone)]
pub struct Own {
    number: usize,
    round: Round,
    found: Found,
}

impl Own {
    /// Which copy this is, from 0.
    #[must_use]
    pub fn number(&self) -> usize {
        self.number
    }

    /// The text of this copy: its tenant, and what it should plant wherever it writes. No copy's text is a part of
    /// another's.
    #[must_use]
    pub fn value(&self) -> String {
        value(self.number)
    }

    /// Says that this copy's work is at `step`: whoever calls this, the current context must be this copy's. Then it
    /// gives way, so that others get between two steps.
    #[track_caller]
    pub fn step(&self, step: &str) -> impl Future<Output = ()> + Send + use<> {
        let at = Location::caller();
        self.check(step, at);
        let (own, step, mut again) = (self.clone(), step.to_owned(), true);
        std::future::poll_fn(move |waking| {
            own.check(&step, at);
            if std::mem::take(&mut again) {
                waking.waker().wake_by_ref();
                return Poll::Pending;
            }
            Poll::Ready(())
        })
    }

    /// Says that this copy read `text` somewhere: a reply, a cache, a file. No other copy's value may be in it.
    #[track_caller]
    pub fn reads(&self, place: &str, text: &str) {
        if let Some(other) = others_in(text, self.number) {
            self.crossed(place, format!("copy {other}'s value"), Location::caller());
        }
    }

    fn check(&self, step: &str, at: &'static Location<'static>) {
        let reads = match (COPY.get(), TENANT_ID.get()) {
            (Ok(copy), Ok(tenant)) if copy == self.number && tenant.as_str() == self.value() => return,
            (Ok(copy), _) if copy != self.number => format!("the context of copy {copy}"),
            (Ok(_), Ok(tenant)) => format!("the tenant {tenant}"),
            (Err(_), _) | (_, Err(_)) => "no context".to_owned(),
        };
        self.crossed(step, reads, at);
    }

    fn crossed(&self, place: &str, read: String, at: &'static Location<'static>) {
        let Self { number, round, .. } = *self;
        let crossing = Crossing { number, place: place.to_owned(), read, round, at };
        lock(&self.found).get_or_insert(crossing);
    }
}

fn value(number: usize) -> String {
    format!("copy-{number}.")
}

/// The first copy but `own` whose value is in `text`.
fn others_in(text: &str, own: usize) -> Option<usize> {
    text.match_indices("copy-").find_map(|(at, prefix)| {
        let rest = &text[at + prefix.len()..];
        let number: usize = rest.split_once('.')?.0.parse().ok()?;
        (number != own).then_some(number)
    })
}

impl fmt::Debug for Own {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Own").field("number", &self.number).finish_non_exhaustive()
    }
}

/// A copy that read what is not its own.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Crossing {
    number: usize,
    place: String,
    read: String,
    round: Round,
    at: &'static Location<'static>,
}

impl Crossing {
    /// The copy that read it.
    #[must_use]
    pub fn copy(&self) -> usize {
        self.number
    }

    /// The step, or the place, as the function calls it.
    #[must_use]
    pub fn place(&self) -> &str {
        &self.place
    }

    /// The source line of the step or the read.
    #[must_use]
    pub fn at(&self) -> &'static Location<'static> {
        self.at
    }
}

impl fmt::Display for Crossing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { number, place, read, round, at } = self;
        write!(f, "copy {number} read {read} at `{place}`, at {at}, {round}")
    }
}
