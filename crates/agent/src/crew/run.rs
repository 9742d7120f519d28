//! Executing a crew: task by task, background tasks together, and nothing left behind.
//!
//! The first failure cancels what runs, and everything is waited for before the error is returned. Only
//! [`Crew::execute`] enters here.

use std::panic::AssertUnwindSafe;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use haversack::FutureExt;
use haversack::well_known::{CANCEL, Cancel};
use tracing::Instrument;

use super::build::{Crew, Shared};
use super::{CrewError, CrewOutput, Task, TaskError, TaskHandle, TaskInput, TaskOutput, worker};

impl Crew {
    /// Executes the tasks in the context of this call, whoever polls it. Each task runs in a frame and under a
    /// span `task` of its own, below the span `crew`.
    ///
    /// A task without a context list reads: in the background the output of the last task before it that was
    /// not; else every output so far, in the order of definition.
    ///
    /// # Errors
    /// The first failure, with its task. What ran beside it was asked to stop, dropped if it did not, and has
    /// ended: nothing of the crew runs when this returns.
    ///
    /// # Cancellation
    /// The caller's `CANCEL` ends it like a failure. Dropping the future aborts the tasks that run; blocking
    /// ones are asked to stop and not waited for.
    #[track_caller]
    pub fn execute(
        &self,
        message: &str,
    ) -> impl Future<Output = Result<CrewOutput, CrewError>> + Send + 'static + use<> {
        let (crew, message) = (self.clone(), message.to_owned());
        let span = tracing::info_span!("crew", name = %self.name(), outcome = tracing::field::Empty);
        let work = async move {
            let outcome = Execution::new(&crew.shared, message).run().await;
            tracing::Span::current().record("outcome", if outcome.is_ok() { "ok" } else { "failed" });
            outcome
        };
        work.instrument(span).in_current_context()
    }
}

/// One execution. Dropping it aborts what runs.
struct Execution<'c> {
    crew: &'c Shared,
    message: String,
    /// Cancelled with the caller's, and at the first failure.
    cancel: Cancel,
    outputs: Vec<Option<TaskOutput>>,
    running: Vec<(usize, TaskHandle)>,
    /// The last task that ran outside of the background.
    last: Option<usize>,
}

impl<'c> Execution<'c> {
    fn new(crew: &'c Shared, message: String) -> Self {
        let cancel = CANCEL.get().map(|callers| callers.child()).unwrap_or_default();
        let outputs = crew.tasks.iter().map(|_| None).collect();
        Self { crew, message, cancel, outputs, running: Vec::new(), last: None }
    }

    async fn run(mut self) -> Result<CrewOutput, CrewError> {
        let mut skipped = Vec::new();
        for (at, task) in self.crew.tasks.iter().enumerate() {
            if task.step().waits() {
                self.join().await?;
            }
            if !self.wanted(task)? {
                skipped.push(task.name().to_owned());
                continue;
            }
            let input = TaskInput::new(self.message.clone()).with_context(self.context_of(at));
            let handle = worker::start(task, input, Some(&self.cancel), self.crew.grace);
            self.running.push((at, handle));
            if !task.background {
                self.join().await?;
                self.last = Some(at);
            }
        }
        self.join().await?;
        let outputs = std::mem::take(&mut self.outputs);
        Ok(CrewOutput { outputs: outputs.into_iter().flatten().collect(), skipped })
    }

    /// Waits for everything that runs. The first failure cancels the rest, which is waited for all the same.
    async fn join(&mut self) -> Result<(), CrewError> {
        let wait = |(at, handle): &(usize, TaskHandle)| {
            let (at, output) = (*at, handle.output());
            async move { (at, output.await) }
        };
        let mut waiting: FuturesUnordered<_> = self.running.iter().map(wait).collect();
        let mut first = None;
        while let Some((at, outcome)) = waiting.next().await {
            match outcome {
                Ok(output) => self.outputs[at] = Some(output),
                Err(error) if first.is_none() => {
                    self.cancel.cancel();
                    first = Some(self.failed(at, error));
                }
                Err(_) => {}
            }
        }
        self.running.clear();
        first.map_or(Ok(()), Err)
    }

    fn wanted(&self, task: &Task) -> Result<bool, CrewError> {
        let Some(condition) = &task.condition else { return Ok(true) };
        let so_far = self.so_far();
        let asked = std::panic::catch_unwind(AssertUnwindSafe(|| condition(&so_far)));
        asked.map_err(|_| CrewError { task: task.name().to_owned(), error: TaskError::Panicked })
    }

    fn context_of(&self, at: usize) -> Vec<TaskOutput> {
        let of = |places: &[usize]| places.iter().filter_map(|place| self.outputs[*place].clone()).collect();
        match &self.crew.lists[at] {
            Some(list) => of(list),
            None if self.crew.tasks[at].background => of(self.last.as_slice()),
            None => self.so_far(),
        }
    }

    fn so_far(&self) -> Vec<TaskOutput> {
        self.outputs.iter().flatten().cloned().collect()
    }

    fn failed(&self, at: usize, error: TaskError) -> CrewError {
        CrewError { task: self.crew.tasks[at].name().to_owned(), error }
    }
}

impl Drop for Execution<'_> {
    fn drop(&mut self) {
        for (_, handle) in &self.running {
            handle.abort();
        }
    }
}
