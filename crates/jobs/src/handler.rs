//! Handlers: async functions by name, and what is declared about each.
//!
//! A handler is any function whose parameters are [`FromJob`] and whose answer serialises; [`Handlers`] is the table of a
//! program, given to its worker. It is filled at the program's start and never changes.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::extract::{Invocation, decode};
use crate::policy::{ExpiredToken, Permission};
use crate::{Failure, FailureKind, FromJob, JobId, State};

/// A function that does jobs of one name. Implemented for async functions of up to six parameters that are each
/// [`FromJob`], and which answer `Result<R, Failure>` with an `R` that serialises.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a job handler",
    note = "a handler is an async function of at most six parameters, each `FromJob` (such as `Args<T>`), that answers \
            `Result<R, Failure>` with an `R: Serialize`"
)]
pub trait Handler<Parameters>: Send + Sync + 'static {
    /// Runs it once; the answer as JSON.
    fn call(&self, job: Invocation) -> Answer;
}

/// What a handler gives: its answer as JSON, or why there is none.
pub type Answer = Pin<Box<dyn Future<Output = Result<Vec<u8>, Failure>> + Send>>;

macro_rules! handler {
    ($($parameter:ident),*) => {
        #[allow(non_snake_case, unused_variables)] // named as their types; none for no parameters
        impl<F, Fut, R, $($parameter,)*> Handler<($($parameter,)*)> for F
        where
            F: Fn($($parameter),*) -> Fut + Clone + Send + Sync + 'static,
            Fut: Future<Output = Result<R, Failure>> + Send + 'static,
            R: Serialize + Send + 'static,
            $($parameter: FromJob + 'static,)*
        {
            fn call(&self, job: Invocation) -> Answer {
                let run = self.clone();
                Box::pin(async move {
                    $(let $parameter = $parameter::from_job(&job).await?;)*
                    drop(job);
                    json(&run($($parameter),*).await?)
                })
            }
        }
    };
}

handler!();
handler!(A);
handler!(A, B);
handler!(A, B, C);
handler!(A, B, C, D);
handler!(A, B, C, D, E);
handler!(A, B, C, D, E, G);

fn json(answer: &impl Serialize) -> Result<Vec<u8>, Failure> {
    serde_json::to_vec(answer).map_err(|error| Failure::of(FailureKind::Unstored, error.to_string()))
}

/// What a program's worker can do, by name.
///
/// ```
/// use haversack_jobs::{Args, Failure, Handlers, Progress};
///
/// async fn greet(Args(name): Args<String>, progress: Progress) -> Result<String, Failure> {
///     progress.report(1, Some(1)).await?;
///     Ok(format!("hello {name}"))
/// }
///
/// let handlers = Handlers::new()
///     .on("greet", greet)
///     .on_blocking("measure", |path: String| Ok(std::fs::metadata(path)?.len()));
/// # let _ = handlers;
/// ```
#[derive(Clone, Default)]
#[must_use = "handlers do nothing until a worker has them"]
pub struct Handlers {
    by_name: BTreeMap<String, Entry>,
    on_finished: Option<OnFinished>,
    around: Option<Arc<Around>>,
    permitted: Option<Arc<Permitted>>,
}

#[derive(Clone)]
pub(crate) struct Entry {
    pub(crate) run: Arc<dyn Fn(Invocation) -> Answer + Send + Sync>,
    pub(crate) options: HandlerOptions,
}

/// One attempt, for [`Handlers::around`].
pub type AttemptWork<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

pub(crate) type Around = dyn for<'a> Fn(&JobId, AttemptWork<'a>) -> AttemptWork<'a> + Send + Sync;

pub(crate) type Permitted =
    dyn Fn() -> Pin<Box<dyn Future<Output = Option<Permission>> + Send>> + Send + Sync;

pub(crate) type OnFinished =
    Arc<dyn Fn(Finished) -> Pin<Box<dyn Future<Output = Result<(), Failure>> + Send>> + Send + Sync>;

/// What is declared about a handler.
#[derive(Clone, Debug, Default)]
pub struct HandlerOptions {
    /// What happens to a job whose access token has expired when it is about to run.
    pub expired_token: ExpiredToken,
}

/// A job that is over, for [`Handlers::on_finished`].
#[derive(Clone)]
pub struct Finished {
    /// Its name.
    pub id: JobId,
    /// What did it.
    pub handler: String,
    /// How it ended: succeeded, failed, cancelled or in quarantine.
    pub state: State,
    /// Why, when it failed.
    pub failure: Option<FailureKind>,
    /// The code that its handler gave the failure.
    pub code: Option<String>,
    /// The handler's answer as JSON, or its words when it failed. It is the owner's: do not log it.
    pub said: Option<Arc<[u8]>>,
    /// What it was given, as JSON. It is the owner's too.
    pub arguments: Arc<[u8]>,
}

impl fmt::Debug for Finished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Finished")
            .field("id", &self.id)
            .field("handler", &self.handler)
            .field("state", &self.state)
            .field("failure", &self.failure)
            .field("code", &self.code)
            .finish_non_exhaustive()
    }
}

impl Handlers {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a handler. A second one of the same name takes its place.
    pub fn on<P, H: Handler<P>>(self, name: &str, handler: H) -> Self {
        self.on_with(name, HandlerOptions::default(), handler)
    }

    /// Adds a handler with declarations of its own.
    pub fn on_with<P, H: Handler<P>>(mut self, name: &str, options: HandlerOptions, handler: H) -> Self {
        let entry = Entry { run: Arc::new(move |job| handler.call(job)), options };
        self.by_name.insert(name.to_owned(), entry);
        self
    }

    /// Adds a function that blocks. It runs on a thread of the pool, in the job's context, and reads variables as any
    /// other code. It cannot be stopped: when its job is cancelled, its time is up or its lease is lost, the job ends and
    /// the call goes on until it returns, without being heard.
    pub fn on_blocking<T, R, F>(mut self, name: &str, run: F) -> Self
    where
        T: DeserializeOwned + Send + 'static,
        R: Serialize + Send + 'static,
        F: Fn(T) -> Result<R, Failure> + Send + Sync + 'static,
    {
        let run = Arc::new(run);
        let call = move |job: Invocation| -> Answer {
            let run = Arc::clone(&run);
            Box::pin(async move {
                let arguments = decode(&job.arguments)?;
                match haversack::spawn_blocking(move || json(&run(arguments)?)).await {
                    Ok(answer) => answer,
                    Err(end) if end.is_panic() => {
                        Err(Failure::of(FailureKind::Panicked, "the handler panicked"))
                    }
                    Err(_) => Err(Failure::retry("the runtime is shutting down")),
                }
            })
        };
        self.by_name
            .insert(name.to_owned(), Entry { run: Arc::new(call), options: HandlerOptions::default() });
        self
    }

    /// What is done after each job has ended, however it did and whoever wrote that down: it runs in the job's restored
    /// context, after the final state is committed. It has as long as a lease. When it fails, takes longer, or its worker
    /// dies over it, another one follows, so an end is told at least once; job and [`Attempt::drive`](crate::Attempt::drive)
    /// name it. A failure that is permanent, and one that comes again and again, is given up. Nothing is told of a job that
    /// cannot be opened or restored, because there is no context to tell it in; [`Job::untold`](crate::Job::untold) says so.
    pub fn on_finished<F, R>(mut self, hook: F) -> Self
    where
        F: Fn(Finished) -> R + Send + Sync + 'static,
        R: Future<Output = Result<(), Failure>> + Send + 'static,
    {
        self.on_finished = Some(Arc::new(move |finished| Box::pin(hook(finished))));
        self
    }

    /// What is around each attempt, inside its restored context: it is given the job and the attempt from its first step
    /// to the end of the hook, and gives back what is run in its place. For records of what was done; it is to run the
    /// attempt to its end.
    pub fn around(
        mut self,
        around: impl for<'a> Fn(&JobId, AttemptWork<'a>) -> AttemptWork<'a> + Send + Sync + 'static,
    ) -> Self {
        self.around = Some(Arc::new(around));
        self
    }

    /// Sets the check that a job may still be done. It runs inside the job's restored context, before each attempt and twice
    /// a second while one runs. `None` says that it cannot be told now: a job that has not begun waits a moment then, and one that runs goes on.
    /// Handlers that declared [`ExpiredToken::Anonymous`] are not asked about.
    pub fn permitted<F, R>(mut self, ask: F) -> Self
    where
        F: Fn() -> R + Send + Sync + 'static,
        R: Future<Output = Option<Permission>> + Send + 'static,
    {
        self.permitted = Some(Arc::new(move || Box::pin(ask())));
        self
    }

    pub(crate) fn permission(&self) -> Option<&Arc<Permitted>> {
        self.permitted.as_ref()
    }

    pub(crate) fn around_each(&self) -> Option<&Arc<Around>> {
        self.around.as_ref()
    }

    pub(crate) fn named(&self, name: &str) -> Option<&Entry> {
        self.by_name.get(name)
    }

    pub(crate) fn hook(&self) -> Option<&OnFinished> {
        self.on_finished.as_ref()
    }
}

impl fmt::Debug for Handlers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.by_name.keys()).finish()
    }
}
