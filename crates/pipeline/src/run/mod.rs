//! A run: what names it, the variables its steps read, and what executes it.
//!
//! [`RUN`] and [`STEP`] are bound for the length of a run and of a step; everything else a step reads was bound by the
//! door in whose context the run is executed. The executor in here walks the graph and is reached through
//! [`Pipelines`](crate::Pipelines) alone.

mod chain;
mod composite;
mod execute;
mod live;
mod past;
mod reduce;
mod view;

use std::fmt;
use std::sync::Arc;

use haversack::ContextVar;
use serde::{Deserialize, Serialize};

pub(crate) use execute::Executor;
pub(crate) use live::{Live, Stop};
pub use view::{RunEntry, RunStatus, RunView};

use crate::PipelineError;

/// The run that the work belongs to.
pub static RUN: ContextVar<RunId> = ContextVar::new("run").portable(1).shown();

/// The step that the work belongs to, within its run.
pub static STEP: ContextVar<StepPath> = ContextVar::new("step").portable(1).shown();

/// The name of a run: the caller's key, unique within the tenant.
///
/// 1 to 128 letters, digits, `.`, `_` or `-`, the first one a letter or a digit, so that it is a name in a URL and in a
/// file system as it stands.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RunId(Arc<str>);

impl RunId {
    /// Takes a key.
    ///
    /// # Errors
    /// [`PipelineError::BadKey`].
    pub fn new(key: impl Into<Arc<str>>) -> Result<Self, PipelineError> {
        let key = key.into();
        let begins = key.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        if begins && key.len() <= 128 && key.bytes().all(plain) {
            Ok(Self(key))
        } else {
            Err(PipelineError::BadKey)
        }
    }

    /// The key.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl TryFrom<String> for RunId {
    type Error = PipelineError;

    fn try_from(key: String) -> Result<Self, PipelineError> {
        Self::new(key)
    }
}

impl From<RunId> for String {
    fn from(run: RunId) -> Self {
        run.as_str().to_owned()
    }
}

/// A step with the branches that lead to it: `load`, `spread/left/load`, `each/[2]/load`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct StepPath(Arc<str>);

impl StepPath {
    pub(crate) fn new(path: &str) -> Self {
        Self(path.into())
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for StepPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for StepPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl From<String> for StepPath {
    fn from(path: String) -> Self {
        Self(path.into())
    }
}

impl From<StepPath> for String {
    fn from(path: StepPath) -> Self {
        path.as_str().to_owned()
    }
}
