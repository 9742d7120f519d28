//! What goes into a task and what comes out of it and of a crew.
//!
//! Plain data. Whoever starts a task alone makes its input; a crew makes the inputs of its tasks.

use serde::{Deserialize, Serialize};

/// What a task works on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TaskInput {
    /// What the caller of the crew asks.
    pub message: String,
    /// What earlier tasks gave: in the order of their definition, or of the task's own list.
    pub context: Vec<TaskOutput>,
    /// What is to be done. The task fills it in.
    pub description: String,
    /// What a good output looks like. The task fills it in.
    pub expected_output: String,
    /// Why the attempt before this one was not accepted.
    pub feedback: Option<String>,
}

impl TaskInput {
    /// An input of words alone.
    #[must_use]
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), ..Self::default() }
    }

    /// With the outputs of other tasks to read.
    #[must_use]
    pub fn with_context(mut self, context: Vec<TaskOutput>) -> Self {
        self.context = context;
        self
    }
}

/// What a task gave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskOutput {
    /// The task's name.
    pub task: String,
    /// The words, or JSON as text where a tool did the work.
    pub text: String,
    /// How many attempts it took until the guardrails accepted it.
    pub attempts: u32,
}

/// What a crew gave.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CrewOutput {
    /// The outputs of the tasks that ran, in the order of their definition.
    pub outputs: Vec<TaskOutput>,
    /// The conditional tasks that did not run.
    pub skipped: Vec<String>,
}

impl CrewOutput {
    /// The words of the last task that ran; empty when none did.
    #[must_use]
    pub fn text(&self) -> &str {
        self.outputs.last().map_or("", |output| &output.text)
    }

    /// The output of the task of this name, if it ran.
    #[must_use]
    pub fn of(&self, task: &str) -> Option<&TaskOutput> {
        self.outputs.iter().find(|output| output.task == task)
    }
}
