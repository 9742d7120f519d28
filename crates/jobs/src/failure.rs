//! How an attempt fails: whether trying again makes sense, and in what words.
//!
//! A handler answers a [`Failure`]; `?` makes one of any error, to be retried, except that a missing or foreign context
//! is final: no repetition binds a variable. The text is stored sealed and read by the job's owner alone; the code is
//! the part that operators and logs see.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use haversack::{ForeignContext, MissingContext};

use crate::FailureKind;

/// What a handler answers when it could not do its work.
pub struct Failure {
    pub(crate) kind: FailureKind,
    pub(crate) class: Class,
    pub(crate) code: Option<&'static str>,
    pub(crate) text: String,
}

/// What follows a failure.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Class {
    /// Another attempt, after the job's backoff, while it has any left.
    Retry,
    /// Another attempt, not before this much time: what a server said in `Retry-After`.
    RetryAfter(Duration),
    /// No other attempt.
    Permanent,
    /// Not by this worker: the job is parked and offered again, to this one or to another. No attempt is used up.
    NotHere,
}

/// The longest text that is kept, in bytes.
const LONGEST: usize = 16 * 1024;

impl Failure {
    /// It may work next time.
    #[must_use]
    pub fn retry(text: impl Into<String>) -> Self {
        Self::new(Class::Retry, text.into())
    }

    /// It may work after `wait`, and not before.
    #[must_use]
    pub fn retry_after(wait: Duration, text: impl Into<String>) -> Self {
        Self::new(Class::RetryAfter(wait), text.into())
    }

    /// It will not work however often it is tried.
    #[must_use]
    pub fn permanent(text: impl Into<String>) -> Self {
        Self::new(Class::Permanent, text.into())
    }

    /// This worker lacks what the job needs, such as a tool that a newer program has. The job is parked as if no handler
    /// had its name, and offered again later.
    #[must_use]
    pub fn not_here(text: impl Into<String>) -> Self {
        Self { kind: FailureKind::NoHandler, ..Self::new(Class::NotHere, text.into()) }
    }

    fn new(class: Class, text: String) -> Self {
        Self { kind: FailureKind::Handler, class, code: None, text }
    }

    /// The words as they are stored.
    pub(crate) fn kept(&self) -> &[u8] {
        &self.text.as_bytes()[..self.text.floor_char_boundary(LONGEST)]
    }

    /// For what the worker itself finds wrong around a handler.
    pub(crate) fn of(kind: FailureKind, text: impl Into<String>) -> Self {
        Self { kind, class: Class::Permanent, code: None, text: text.into() }
    }

    /// Names the failure for those who may not read its text. A constant of the program, so it holds nothing of a job.
    #[must_use]
    pub const fn with_code(mut self, code: &'static str) -> Self {
        self.code = Some(code);
        self
    }

    /// What follows.
    #[must_use]
    pub const fn class(&self) -> Class {
        self.class
    }

    /// The name given by [`with_code`](Self::with_code).
    #[must_use]
    pub const fn code(&self) -> Option<&'static str> {
        self.code
    }

    /// The words for the job's owner.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl<E: Error + Send + Sync + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        let of_context = is_of_context(&error);
        let class = if of_context { Class::Permanent } else { Class::Retry };
        let kind = if of_context { FailureKind::Context } else { FailureKind::Handler };
        Self { kind, class, code: None, text: error.to_string() }
    }
}

/// Whether a missing or foreign context is at the bottom of it.
fn is_of_context(error: &(dyn Error + 'static)) -> bool {
    error.is::<MissingContext>() || error.is::<ForeignContext>() || error.source().is_some_and(is_of_context)
}

impl fmt::Debug for Failure {
    /// Without the text, which may quote anything.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Failure")
            .field("class", &self.class)
            .field("code", &self.code)
            .finish_non_exhaustive()
    }
}
