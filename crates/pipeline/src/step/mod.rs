//! What runs a task: functions, child processes, and what the program registers.
//!
//! Every kind of task is a [`StepRunner`]: it is given a [`StepCall`] and answers with a [`StepOutput`] or a
//! [`StepFailure`]. Commands and scripts run as children of their own; functions run in this process; agents, tools and
//! crews come in through runners that the program registers, so this crate knows none of them.

mod attempt;
mod child;
mod function;
mod log;
mod orphan;
pub(crate) mod printed;
mod python;
mod seats;
mod shell;

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;

use serde_json::Value;

pub(crate) use attempt::{Attempt, Ended, Outcome};
pub use function::{Function, Functions};
pub use log::StepLog;
pub(crate) use orphan::end as end_orphan;
pub use printed::{OutputPart, Printed};
pub(crate) use python::REDUCE;
pub(crate) use seats::Seats;

use crate::node::Return;
use crate::parameters::{Parameters, Values};
use crate::secrets::SecretSet;

/// Runs the steps of one kind, such as `agent`.
///
/// ```
/// use haversack_pipeline::{StepCall, StepFuture, StepOutput, StepRunner};
///
/// struct Shout;
///
/// impl StepRunner for Shout {
///     fn run(&self, call: StepCall) -> StepFuture {
///         Box::pin(async move { Ok(StepOutput::value(call.command().to_uppercase())) })
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` runs no steps",
    note = "implement `StepRunner`, or register a function with `Functions::on`"
)]
pub trait StepRunner: Send + Sync + 'static {
    /// Whether it knows this command, before anything runs.
    ///
    /// # Errors
    /// What is wrong with it, and what to do.
    fn check(&self, command: &str) -> Result<(), String> {
        let _ = command;
        Ok(())
    }

    /// Runs one attempt, in the context of its step: the variables [`RUN`](crate::run::RUN) and
    /// [`STEP`](crate::run::STEP) are bound, beside what the run's door bound.
    ///
    /// # Cancellation
    /// The future is dropped when the run is cancelled or the attempt's time is up. `CANCEL` of the context is
    /// cancelled before that.
    fn run(&self, call: StepCall) -> StepFuture;
}

/// The future of one attempt.
pub type StepFuture = Pin<Box<dyn Future<Output = Result<StepOutput, StepFailure>> + Send>>;

/// What one attempt is given.
#[derive(Clone, Debug)]
pub struct StepCall {
    pub(crate) inner: Arc<Call>,
}

#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) command: String,
    pub(crate) values: Values,
    pub(crate) returns: Vec<Return>,
    pub(crate) overrides: BTreeMap<String, Value>,
    pub(crate) secrets: SecretSet,
    pub(crate) attempt: u32,
    pub(crate) work: Option<PathBuf>,
    pub(crate) log: StepLog,
}

impl StepCall {
    /// What the step says under `command`.
    #[must_use]
    pub fn command(&self) -> &str {
        &self.inner.command
    }

    /// A copy of every parameter that the step sees. One at a time costs less, see [`parameter`](Self::parameter).
    #[must_use]
    pub fn parameters(&self) -> Parameters {
        self.inner.values.parameters()
    }

    /// The parameter of this name.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<&Value> {
        self.inner.values.get(name).map(|value| &**value)
    }

    /// The names that the result gives a value, in order.
    pub fn returns(&self) -> impl Iterator<Item = &str> {
        self.inner.returns.iter().map(|returned| returned.name.as_str())
    }

    /// A setting of the step for its runner.
    #[must_use]
    pub fn setting(&self, name: &str) -> Option<&Value> {
        self.inner.overrides.get(name)
    }

    /// The secrets that the step declares.
    #[must_use]
    pub fn secrets(&self) -> &SecretSet {
        &self.inner.secrets
    }

    /// The number of this attempt, from 1.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.inner.attempt
    }

    /// The work folder of this attempt, for a step that has catalog rules.
    #[must_use]
    pub fn work(&self) -> Option<&Path> {
        self.inner.work.as_deref()
    }

    /// Where the attempt's output goes.
    #[must_use]
    pub fn log(&self) -> &StepLog {
        &self.inner.log
    }
}

/// What a step gives back.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StepOutput(Given);

#[derive(Clone, Debug, Default, PartialEq)]
enum Given {
    #[default]
    Nothing,
    Named(BTreeMap<String, Value>),
    Value(Value),
}

impl StepOutput {
    /// Nothing: for a step without `returns`.
    #[must_use]
    pub fn nothing() -> Self {
        Self::default()
    }

    /// Values by name. Names that the step does not declare are left out.
    #[must_use]
    pub fn named(values: impl IntoIterator<Item = (String, Value)>) -> Self {
        Self(Given::Named(values.into_iter().collect()))
    }

    /// One value for a step with one name under `returns`; a list of as many values for a step with several.
    #[must_use]
    pub fn value(value: impl Into<Value>) -> Self {
        Self(Given::Value(value.into()))
    }

    /// The values of the declared names.
    pub(crate) fn take(self, declared: &[Return]) -> Result<BTreeMap<String, Value>, StepFailure> {
        let names = || declared.iter().map(|returned| returned.name.clone());
        match self.0 {
            Given::Nothing if declared.is_empty() => Ok(BTreeMap::new()),
            Given::Nothing => Err(StepFailure::missing(&declared[0].name)),
            Given::Named(mut values) => names()
                .map(|name| match values.remove(&name) {
                    Some(value) => Ok((name, value)),
                    None => Err(StepFailure::missing(&name)),
                })
                .collect(),
            Given::Value(value) => match (declared.len(), value) {
                (0, _) => Ok(BTreeMap::new()),
                (1, value) => Ok(names().zip([value]).collect()),
                (n, Value::Array(values)) if values.len() == n => Ok(names().zip(values).collect()),
                (n, _) => Err(StepFailure::new(format!(
                    "the step declares {n} returns; give back a list of {n} values"
                ))),
            },
        }
    }
}

/// Why an attempt failed, in words for the run's owner: no value and no secret stands in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepFailure {
    text: String,
    /// Whether this program lacks what the step needs.
    not_here: bool,
}

impl StepFailure {
    /// A failure with this text.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), not_here: false }
    }

    /// This program lacks what the step needs, and another one may have it. The step does not fail: its attempt is given
    /// up, and `execute` ends with [`PipelineError::NotHere`](crate::PipelineError::NotHere).
    #[must_use]
    pub fn not_here(text: impl Into<String>) -> Self {
        Self { text: text.into(), not_here: true }
    }

    pub(crate) fn is_not_here(&self) -> bool {
        self.not_here
    }

    fn missing(name: &str) -> Self {
        Self::new(format!(
            "the step declares the return `{name}` and did not give it; give it, or take it out of `returns`"
        ))
    }
}

impl fmt::Display for StepFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for StepFailure {}
