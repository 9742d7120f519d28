//! What a handler may know about the job that it is: its id and its attempt.
//!
//! Both are bound anew for each attempt by the worker's door, and nothing else binds them. Any code that a handler
//! calls may read them; outside a job they are unbound.

use haversack::ContextVar;

use crate::JobId;

/// The job that this work is.
pub static JOB_ID: ContextVar<JobId> = ContextVar::new("job");

/// Which attempt of it.
pub static ATTEMPT: ContextVar<Attempt> = ContextVar::new("attempt");

/// One attempt of a job.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Attempt {
    pub(crate) number: u32,
    pub(crate) max: u32,
    pub(crate) generation: u64,
    pub(crate) drive: u32,
}

impl Attempt {
    /// From 1. An attempt that a dead worker left, or that a shutdown gave back, is begun again under its number.
    #[must_use]
    pub const fn number(self) -> u32 {
        self.number
    }

    /// How many there are at most.
    #[must_use]
    pub const fn max(self) -> u32 {
        self.max
    }

    /// Whether no other follows this one.
    #[must_use]
    pub const fn is_last(self) -> bool {
        self.number >= self.max
    }

    /// The fencing token: grows each time the job is handed to a worker. A system that keeps the largest one it has
    /// seen and refuses smaller ones cannot be written to by a worker that lost the job without noticing.
    #[must_use]
    pub const fn generation(self) -> u64 {
        self.generation
    }
    /// Counts from 1 how often the job was begun from its first attempt: driving it again adds one. Job and drive together
    /// name one end, for those who want to hear of each end once.
    #[must_use]
    pub const fn drive(self) -> u32 {
        self.drive
    }
}
