//! A task: a name, the work, and what is wanted of it.
//!
//! The work is an async function, or a blocking one that runs on a pool thread or on a thread of its own. A
//! task can be started alone by [`Task::execute_async`], or be given to a crew, which starts it when its turn
//! comes.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use super::error::{Failure, GRACE};
use super::guardrail::Guardrail;
use super::handle::TaskHandle;
use super::order::Step;
use super::{TaskInput, TaskOutput, worker};

type Working = Pin<Box<dyn Future<Output = Result<String, Failure>> + Send>>;

/// What does the work, and where.
#[derive(Clone)]
pub(super) enum Work {
    Async(Arc<dyn Fn(TaskInput) -> Working + Send + Sync>),
    Blocking(Arc<dyn Fn(TaskInput) -> Result<String, Failure> + Send + Sync>, Place),
}

/// Where blocking work runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Pool,
    Thread,
}

type Condition = dyn Fn(&[TaskOutput]) -> bool + Send + Sync;

/// A task. Cheap to clone.
#[derive(Clone)]
pub struct Task {
    pub(super) name: Arc<str>,
    pub(super) description: String,
    pub(super) expected_output: String,
    pub(super) work: Work,
    pub(super) background: bool,
    pub(super) context: Option<Vec<String>>,
    pub(super) condition: Option<Arc<Condition>>,
    pub(super) guardrails: Vec<Guardrail>,
    pub(super) retries: u32,
    pub(super) time_limit: Option<Duration>,
}

impl Task {
    /// A task whose work is an async function.
    pub fn new<F, R>(name: impl Into<Arc<str>>, work: F) -> Self
    where
        F: Fn(TaskInput) -> R + Send + Sync + 'static,
        R: Future<Output = Result<String, Failure>> + Send + 'static,
    {
        let work = move |input| -> Working { Box::pin(work(input)) };
        Self::of(name.into(), Work::Async(Arc::new(work)))
    }

    /// A task whose work blocks: it runs on the blocking pool, in the same context, with the same promises. It
    /// cannot be dropped half-way, so it should look at `CANCEL` where it takes long.
    pub fn blocking<F>(name: impl Into<Arc<str>>, work: F) -> Self
    where
        F: Fn(TaskInput) -> Result<String, Failure> + Send + Sync + 'static,
    {
        Self::of(name.into(), Work::Blocking(Arc::new(work), Place::Pool))
    }

    /// As [`Task::blocking`], on a thread of its own: for work that would hold a pool thread for long.
    pub fn threaded<F>(name: impl Into<Arc<str>>, work: F) -> Self
    where
        F: Fn(TaskInput) -> Result<String, Failure> + Send + Sync + 'static,
    {
        Self::of(name.into(), Work::Blocking(Arc::new(work), Place::Thread))
    }

    fn of(name: Arc<str>, work: Work) -> Self {
        Self {
            name,
            description: String::new(),
            expected_output: String::new(),
            work,
            background: false,
            context: None,
            condition: None,
            guardrails: Vec::new(),
            retries: 2,
            time_limit: None,
        }
    }

    /// The name, unique in a crew.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What is to be done, as the work reads it.
    #[must_use]
    pub fn describe(mut self, description: impl Into<String>) -> Self {
        self.description = description.into();
        self
    }

    /// What a good output looks like, as the work reads it.
    #[must_use]
    pub fn expect(mut self, expected_output: impl Into<String>) -> Self {
        self.expected_output = expected_output.into();
        self
    }

    /// In a crew: runs beside its neighbours, and the next task that is not in the background waits for it.
    #[must_use]
    pub fn in_background(mut self) -> Self {
        self.background = true;
        self
    }

    /// In a crew: reads the outputs of exactly these tasks, in this order. One that was skipped gives none.
    #[must_use]
    pub fn with_context<N: Into<String>>(mut self, tasks: impl IntoIterator<Item = N>) -> Self {
        self.context = Some(tasks.into_iter().map(Into::into).collect());
        self
    }

    /// In a crew: runs only when this says yes to the outputs so far, in the order of their definition. Tasks
    /// that run in the background are waited for first, and their outputs are kept either way.
    #[must_use]
    pub fn only_if(mut self, condition: impl Fn(&[TaskOutput]) -> bool + Send + Sync + 'static) -> Self {
        self.condition = Some(Arc::new(condition));
        self
    }

    /// Looks at the output after each attempt; an error is feedback, which the next attempt reads. Guardrails
    /// are asked in the order in which they were given, where the work ran.
    #[must_use]
    pub fn guardrail(mut self, check: impl Fn(&str) -> Result<(), String> + Send + Sync + 'static) -> Self {
        self.guardrails.push(Guardrail::new(check));
        self
    }

    /// How many more attempts a refused output gets; 2 unless said otherwise. An error is not retried.
    #[must_use]
    pub fn retries(mut self, retries: u32) -> Self {
        self.retries = retries;
        self
    }

    /// How long the task may take, all attempts together. The caller's `DEADLINE` counts too, if it is nearer.
    #[must_use]
    pub fn time_limit(mut self, limit: Duration) -> Self {
        self.time_limit = Some(limit);
        self
    }

    /// Starts the task in the context of this call and gives its handle. What is bound before the call is
    /// visible to the work, what is bound after it is not, and nothing that the work sets comes back.
    ///
    /// # Cancellation
    /// Nothing waits for the task but its handle: cancel it there, or by the caller's `CANCEL`.
    pub fn execute_async(&self, input: TaskInput) -> TaskHandle {
        worker::start(self, input, None, GRACE)
    }

    /// The task as the order of a crew sees it.
    pub(super) fn step(&self) -> Step<'_> {
        Step {
            name: &self.name,
            background: self.background,
            conditional: self.condition.is_some(),
            context: self.context.as_deref(),
        }
    }
}

impl fmt::Debug for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Task").field("name", &self.name).field("background", &self.background).finish()
    }
}
