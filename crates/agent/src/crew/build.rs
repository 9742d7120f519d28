//! A crew and how it is put together.
//!
//! The builder collects tasks and checks their order once; a crew that was built never changes and may be
//! executed any number of times, also at the same time. The configuration and programs build crews.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::error::GRACE;
use super::{OrderError, Task, order};

/// Tasks in an order that is possible. Cheap to clone.
#[derive(Clone)]
pub struct Crew {
    pub(super) shared: Arc<Shared>,
}

pub(super) struct Shared {
    pub(super) name: String,
    pub(super) tasks: Vec<Task>,
    /// For each task the places that its context list names, if it has one.
    pub(super) lists: Vec<Option<Vec<usize>>>,
    pub(super) grace: Duration,
}

impl Crew {
    /// Begins a crew.
    pub fn builder(name: impl Into<String>) -> CrewBuilder {
        CrewBuilder { name: name.into(), tasks: Vec::new(), grace: GRACE }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// Its tasks, in the order of their definition.
    #[must_use]
    pub fn tasks(&self) -> &[Task] {
        &self.shared.tasks
    }
}

impl fmt::Debug for Crew {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Crew").field("name", &self.name()).field("tasks", &self.tasks()).finish()
    }
}

/// A crew that is being put together. Made by [`Crew::builder`].
#[derive(Debug)]
#[must_use = "a crew is there when it is built"]
pub struct CrewBuilder {
    name: String,
    tasks: Vec<Task>,
    grace: Duration,
}

impl CrewBuilder {
    /// Adds a task behind the others.
    pub fn task(mut self, task: Task) -> Self {
        self.tasks.push(task);
        self
    }

    /// How long a cancelled task may take to end by itself before it is dropped; half a second unless said
    /// otherwise.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Checks the order and makes the crew.
    ///
    /// # Errors
    /// The first thing that makes the order impossible.
    pub fn build(self) -> Result<Crew, OrderError> {
        let lists = order::check(&self.tasks.iter().map(Task::step).collect::<Vec<_>>())?;
        let Self { name, tasks, grace } = self;
        Ok(Crew { shared: Arc::new(Shared { name, tasks, lists, grace }) })
    }
}
