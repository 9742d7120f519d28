//! What a handler asks for by the types of its parameters.
//!
//! Each parameter is a [`FromJob`], made afresh for every invocation, inside the job's context; nothing of one invocation
//! is shared with another. Handlers name them in any order and number up to six; a program may add its own.

use std::any::type_name;
use std::fmt;
use std::future::Future;
use std::ops::Deref;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use haversack::well_known::{CANCEL, Cancel, DEADLINE, Deadline};
use haversack::{ContextVar, MissingContext, Reason};
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::carried::{ACCESS_TOKEN, AccessToken, HEADERS, Headers};
use crate::current::{ATTEMPT, Attempt, JOB_ID};
use crate::progress::Progress;
use crate::{Failure, FailureKind, JobId};

/// One invocation of a handler: what its parameters are made of.
#[derive(Clone)]
pub struct Invocation {
    pub(crate) arguments: Arc<[u8]>,
    pub(crate) progress: Progress,
    pub(crate) limit: TimeLimit,
    pub(crate) clean_ups: CleanUps,
}

impl Invocation {
    /// The arguments, as the JSON in which they were submitted.
    #[must_use]
    pub fn arguments(&self) -> &[u8] {
        &self.arguments
    }
}

impl fmt::Debug for Invocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Invocation").finish_non_exhaustive()
    }
}

/// A parameter of a handler.
#[diagnostic::on_unimplemented(
    message = "a job handler cannot take a `{Self}`",
    label = "not something that a job provides",
    note = "handlers take `Args<T>`, `Progress`, `Attempt`, `TimeLimit`, `Headers`, `AccessToken`, `Cancel`, `JobId` and \
            `Depends<T>`, each by value; wrap the job's own arguments in `Args<T>` and what it needs to be made in \
            `Depends<T>`"
)]
pub trait FromJob: Sized + Send {
    /// Makes it for one invocation, in the job's context.
    ///
    /// # Errors
    /// A [`Failure`], which is the invocation's: the handler is not called.
    fn from_job(job: &Invocation) -> impl Future<Output = Result<Self, Failure>> + Send;
}

/// The job's arguments.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Args<T>(pub T);

impl<T: DeserializeOwned + Send> FromJob for Args<T> {
    async fn from_job(job: &Invocation) -> Result<Self, Failure> {
        decode(&job.arguments).map(Self)
    }
}

pub(crate) fn decode<T: DeserializeOwned>(arguments: &[u8]) -> Result<T, Failure> {
    // The text may quote an argument; it is sealed and its owner's, like every text of a failure.
    serde_json::from_slice(arguments).map_err(|error| Failure::of(FailureKind::Arguments, error.to_string()))
}

impl FromJob for Progress {
    async fn from_job(job: &Invocation) -> Result<Self, Failure> {
        Ok(job.progress.clone())
    }
}

impl FromJob for JobId {
    async fn from_job(_: &Invocation) -> Result<Self, Failure> {
        Ok(JOB_ID.get()?)
    }
}

impl FromJob for Attempt {
    async fn from_job(_: &Invocation) -> Result<Self, Failure> {
        Ok(ATTEMPT.get()?)
    }
}

/// The headers that were carried; none where none were. Where some were that this program cannot read, the handler is not
/// called.
impl FromJob for Headers {
    async fn from_job(_: &Invocation) -> Result<Self, Failure> {
        Ok(carried(&HEADERS)?.unwrap_or_default())
    }
}

/// The submitter's token; without one the handler is not called.
impl FromJob for AccessToken {
    async fn from_job(_: &Invocation) -> Result<Self, Failure> {
        Ok(ACCESS_TOKEN.get()?)
    }
}

/// Nothing where the submitter had none. Where they had one that this program cannot read, the handler is not called: it
/// would run anonymously.
impl FromJob for Option<AccessToken> {
    async fn from_job(_: &Invocation) -> Result<Self, Failure> {
        Ok(carried(&ACCESS_TOKEN)?.filter(|token| *token != AccessToken::anonymous()))
    }
}

/// What the submitter sent along; nothing where nothing was sent. What was sent and cannot be read here is not nothing.
fn carried<T: Clone + Send + Sync>(variable: &'static ContextVar<T>) -> Result<Option<T>, MissingContext> {
    match variable.get() {
        Ok(value) => Ok(Some(value)),
        Err(missing) => match missing.reason() {
            Reason::NewerVersion { .. } | Reason::Undecodable { .. } => Err(missing),
            _ => Ok(None),
        },
    }
}

impl FromJob for Cancel {
    async fn from_job(_: &Invocation) -> Result<Self, Failure> {
        Ok(CANCEL.get()?)
    }
}

impl FromJob for TimeLimit {
    async fn from_job(job: &Invocation) -> Result<Self, Failure> {
        Ok(job.limit.clone())
    }
}

/// When this attempt ends, and how it gets more time.
#[derive(Clone, Debug)]
pub struct TimeLimit {
    until: watch::Sender<Instant>,
    never_after: Option<Instant>,
}

impl TimeLimit {
    pub(crate) fn new(timeout: Duration, never_after: Option<Duration>) -> Self {
        let now = Instant::now();
        let far = now + Duration::from_secs(30 * 365 * 24 * 3600);
        let never_after = never_after.map(|left| now.checked_add(left).unwrap_or(far));
        let until = now.checked_add(timeout).unwrap_or(far);
        let until = never_after.map_or(until, |never| until.min(never));
        Self { until: watch::Sender::new(until), never_after }
    }

    /// The end of this attempt as a deadline.
    #[must_use]
    pub fn deadline(&self) -> Deadline {
        Deadline::at(self.until.borrow().into_std())
    }

    /// Gives the attempt `more` time from now, though never beyond the job's own deadline. The deadline in the context of
    /// the caller follows.
    pub fn extend(&self, more: Duration) {
        let now = Instant::now();
        let wanted = now.checked_add(more);
        self.until.send_modify(|until| {
            let later = wanted.unwrap_or(*until).max(*until);
            *until = self.never_after.map_or(later, |never| later.min(never));
        });
        // Outside of a frame there is no context whose deadline could follow.
        let _ = DEADLINE.set(self.deadline());
    }

    /// Waits until the time is up, however often it is extended meanwhile.
    pub(crate) async fn passed(&self) {
        let mut changes = self.until.subscribe();
        loop {
            let until = *changes.borrow_and_update();
            tokio::select! {
                () = tokio::time::sleep_until(until) => return,
                _ = changes.changed() => {}
            }
        }
    }
}

/// Something that a handler needs, made for each invocation and taken down after it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a `Dependency`, so a job handler cannot have a `Depends<{Self}>`",
    note = "implement `Dependency` for it: how it is made, and how it is taken down"
)]
pub trait Dependency: Sized + Send + Sync + 'static {
    /// Makes a new one, in the job's context.
    ///
    /// # Errors
    /// A [`Failure`], which is the invocation's.
    fn make() -> impl Future<Output = Result<Self, Failure>> + Send;

    /// Takes it down, in the job's context, after the handler ended in whatever way: answered, failed, panicked, was
    /// cancelled or ran out of time. It has as long as a cancelled handler has; by default nothing happens.
    fn clean_up(&self) -> impl Future<Output = ()> + Send {
        std::future::ready(())
    }
}

/// A [`Dependency`] of this invocation alone.
pub struct Depends<T>(Arc<T>);

impl<T> Deref for Depends<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> fmt::Debug for Depends<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Depends<{}>", type_name::<T>())
    }
}

impl<T: Dependency> FromJob for Depends<T> {
    async fn from_job(job: &Invocation) -> Result<Self, Failure> {
        let made = Arc::new(T::make().await?);
        let later = Arc::clone(&made);
        job.clean_ups.add(Box::pin(async move { later.clean_up().await }));
        Ok(Self(made))
    }
}

type CleanUp = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What is to be taken down after an invocation.
#[derive(Clone, Default)]
pub(crate) struct CleanUps(Arc<Mutex<Vec<CleanUp>>>);

impl CleanUps {
    fn add(&self, clean_up: CleanUp) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(clean_up);
    }

    /// The newest, which may need the older ones.
    pub(crate) fn next(&self) -> Option<CleanUp> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }
}
