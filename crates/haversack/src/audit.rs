//! The spawn auditor: for a test build, it lists each task that was spawned past this crate while something was bound.
//!
//! Such a task loses its context, or shows whoever polls it somebody else's, and nothing says so where it is spawned. The
//! lint of a project finds it in the project's own code; an [`Auditor`] also finds it inside dependencies, with its
//! source line, because tokio tells it of every task. Tests install one on a runtime, drive the program, and demand an
//! empty [`report`](Auditor::report).
//!
//! Telling is an unstable hook of tokio: `Auditor::install` exists in builds with
//! `RUSTFLAGS="--cfg tokio_unstable"` only. Nothing else changes in such a build; without it, this module costs nothing.
//!
//! ```
//! use haversack::audit::Auditor;
//! use haversack::ContextVar;
//!
//! static USER: ContextVar<&str> = ContextVar::new("user");
//!
//! let auditor = Auditor::new().allow("/hyper-util-", "its connections outlive every request, and bind nothing");
//! let mut builder = tokio::runtime::Builder::new_multi_thread();
//! # #[cfg(tokio_unstable)]
//! auditor.install(&mut builder);
//! let runtime = builder.build()?;
//! haversack::block_on(&runtime, USER.scope("Ada", async {
//!     haversack::spawn(async { assert_eq!(USER.get().unwrap(), "Ada") }).await
//! }))?;
//! let report = auditor.report();
//! assert!(report.raw.is_empty(), "{report}");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What it does not see
//!
//! Closures on the blocking pool, threads, and tasks of a `LocalSet`: tokio tells of none of them. A future that was wrapped by hand before a bare
//! spawn ([`in_current_context`](crate::FutureExt::in_current_context)) has its context; it is listed all the same,
//! because the next one at that line may not be wrapped.

#[cfg(tokio_unstable)]
use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt;
use std::panic::Location;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

#[cfg(tokio_unstable)]
use crate::Context;

/// Watches the runtimes that it is installed on. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Auditor {
    allowed: Vec<(&'static str, &'static str)>,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Debug, Default)]
struct Seen {
    tasks: u64,
    /// By file, line and column.
    raw: BTreeMap<(&'static str, u32, u32), RawSpawn>,
}

/// One source line that spawned past this crate while something was bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawSpawn {
    /// The line, also when it is a dependency's.
    pub at: &'static Location<'static>,
    /// How often.
    pub times: u64,
    /// The last boundary of the context that the first one happened in.
    pub boundary: Option<&'static str>,
    /// The variables that were bound in it.
    pub variables: Vec<&'static str>,
}

/// What an [`Auditor`] saw. `Display` lists it, a line each.
#[derive(Clone, Debug)]
#[must_use = "a report that nobody looks at finds nothing"]
pub struct Report {
    /// Every task that was spawned, by whomever: an audit that saw none shows nothing.
    pub tasks: u64,
    /// The lines that nobody allowed.
    pub raw: Vec<RawSpawn>,
    /// The lines that were allowed, each with the reason that was given.
    pub allowed: Vec<(RawSpawn, &'static str)>,
}

impl Auditor {
    /// One that allows nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Allows spawns of files whose path contains `part`: infrastructure that is known to outlive requests and to bind
    /// nothing. `reason` stands in the report.
    #[must_use]
    pub fn allow(mut self, part: &'static str, reason: &'static str) -> Self {
        self.allowed.push((part, reason));
        self
    }

    /// Watches the runtime that this builder makes. It takes the place of another
    /// [`on_task_spawn`](tokio::runtime::Builder::on_task_spawn).
    #[cfg(tokio_unstable)]
    pub fn install(&self, runtime: &mut tokio::runtime::Builder) {
        let seen = Arc::clone(&self.seen);
        runtime.on_task_spawn(move |task| see(&seen, task.spawned_at()));
    }

    /// What was seen so far.
    pub fn report(&self) -> Report {
        let seen = lock(&self.seen);
        let mut report = Report { tasks: seen.tasks, raw: Vec::new(), allowed: Vec::new() };
        for spawn in seen.raw.values().cloned() {
            match self.allowed.iter().find(|(part, _)| spawn.at.file().contains(part)) {
                Some((_, reason)) => report.allowed.push((spawn, reason)),
                None => report.raw.push(spawn),
            }
        }
        report
    }
}

/// One task is being spawned, on this thread.
#[cfg(tokio_unstable)]
fn see(seen: &Mutex<Seen>, at: &'static Location<'static>) {
    let ours = Mark::take();
    let here = Context::current().describe();
    let mut seen = lock(seen);
    seen.tasks += 1;
    let nothing = here.bindings.is_empty() && here.entry.is_none();
    if ours || nothing {
        return;
    }
    let spawn = seen.raw.entry((at.file(), at.line(), at.column())).or_insert_with(|| RawSpawn {
        at,
        times: 0,
        boundary: here.boundary,
        variables: here.bindings.iter().map(|binding| binding.name).collect(),
    });
    spawn.times += 1;
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(tokio_unstable)]
thread_local! {
    static MARKED: Cell<bool> = const { Cell::new(false) };
}

/// Stands on a thread while a carry module hands a task to tokio: this task is ours. It goes with the call, also where
/// nobody is told of the task: a `LocalSet` and an unwatched runtime tell nobody, and a call outside of a runtime panics.
#[cfg(tokio_unstable)]
pub(crate) struct Mark(());

#[cfg(tokio_unstable)]
impl Mark {
    pub(crate) fn set() -> Self {
        MARKED.set(true);
        Self(())
    }

    /// Whether the task that tokio tells of is ours. One mark is for one task.
    fn take() -> bool {
        MARKED.replace(false)
    }
}

#[cfg(tokio_unstable)]
impl Drop for Mark {
    fn drop(&mut self) {
        MARKED.set(false);
    }
}

impl fmt::Display for RawSpawn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at, times, boundary, variables } = self;
        write!(f, "{at}: {times} times, past `{}`", boundary.unwrap_or("no boundary"))?;
        write!(f, ", with {} bound", variables.join(", "))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} tasks were spawned", self.tasks)?;
        for spawn in &self.raw {
            write!(f, "\n  raw      {spawn}")?;
        }
        for (spawn, reason) in &self.allowed {
            write!(f, "\n  allowed  {spawn} ({reason})")?;
        }
        Ok(())
    }
}
