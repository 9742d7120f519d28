//! Which task is running: a name and a number, bound for as long as it runs.
//!
//! The id says nothing about tenant or session. The worker binds it; tools, logs and traces read it.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};

use haversack::ContextVar;

/// The task that is running here. Unbound outside of tasks.
pub static TASK_ID: ContextVar<TaskId> = ContextVar::new("task").shown();

static NEXT: AtomicU64 = AtomicU64::new(1);

/// Hides how many there were.
static KEY: LazyLock<RandomState> = LazyLock::new(RandomState::new);

/// One run of a task: the task's name, and a number that is unique in this process. It counts nothing: tenants see it, and a
/// count would tell them what others do.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct TaskId {
    name: Arc<str>,
    number: u64,
}

impl TaskId {
    pub(super) fn next(name: &Arc<str>) -> Self {
        Self { name: Arc::clone(name), number: KEY.hash_one(NEXT.fetch_add(1, Ordering::Relaxed)) }
    }

    /// The task's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{:016x}", self.name, self.number)
    }
}

impl fmt::Debug for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
