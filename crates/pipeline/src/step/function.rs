//! Rust functions as steps.
//!
//! A program registers functions by name before it makes its pipelines; a step of `command_type: function` names one. An
//! async function runs in the step's task, a sync one on the blocking pool, both in the step's context.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::sync::Arc;

use super::{StepCall, StepFailure, StepFuture, StepOutput, StepRunner};

/// A registered function.
pub type Function = Arc<dyn Fn(StepCall) -> StepFuture + Send + Sync>;

/// Functions by name. Cheap to clone.
#[derive(Clone, Default)]
pub struct Functions {
    known: BTreeMap<String, Function>,
}

impl Functions {
    /// None.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// With an async function. A later one of the same name replaces an earlier one.
    #[must_use]
    pub fn on<F, Fut>(mut self, name: impl Into<String>, function: F) -> Self
    where
        F: Fn(StepCall) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<StepOutput, StepFailure>> + Send + 'static,
    {
        self.known.insert(name.into(), Arc::new(move |call| Box::pin(function(call))));
        self
    }

    /// With a sync function, which runs on the blocking pool. It cannot be interrupted: when its run is cancelled or its
    /// time is up, the step ends and the function runs on to its end, unheard.
    #[must_use]
    pub fn on_blocking<F>(self, name: impl Into<String>, function: F) -> Self
    where
        F: Fn(StepCall) -> Result<StepOutput, StepFailure> + Send + Sync + 'static,
    {
        let function = Arc::new(function);
        self.on(name, move |call| {
            let function = Arc::clone(&function);
            async move {
                match haversack::spawn_blocking(move || function(call)).await {
                    Ok(outcome) => outcome,
                    // The payload of a panic may hold anything, so it is dropped here.
                    Err(end) if end.is_panic() => Err(StepFailure::new("the function panicked")),
                    Err(_) => Err(StepFailure::new("the program is shutting down")),
                }
            }
        })
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Function> {
        self.known.get(name)
    }
}

impl StepRunner for Functions {
    fn check(&self, command: &str) -> Result<(), String> {
        if self.known.contains_key(command) {
            return Ok(());
        }
        let known: Vec<&str> = self.known.keys().map(String::as_str).collect();
        Err(match known.len() {
            0 => format!("no function is registered; register `{command}` in the program"),
            _ => format!("no function `{command}` is registered; there are {}", known.join(", ")),
        })
    }

    fn run(&self, call: StepCall) -> StepFuture {
        match self.get(call.command()) {
            Some(function) => function(call),
            None => Box::pin(std::future::ready(Err(StepFailure::not_here(
                "the function of this step is not registered in this program",
            )))),
        }
    }
}

impl fmt::Debug for Functions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.known.keys()).finish()
    }
}
