//! Tools that take longer than a turn should wait.
//!
//! A tool declares it, a runner starts it (as a job, say), and the model reads that it was started instead of
//! what it gives; the result comes later, as a notice in the session. The dispatcher asks the runner; the
//! program that builds the agents brings one, and its jobs call [`crate::Agents::run_tool`].

use std::pin::Pin;

use haversack::{AtDoor, ContextVar};

use super::ToolError;
use crate::model::ToolCall;

/// Whether something that ends later can still be delivered to whoever asks here. True where nobody says
/// otherwise; a door that gives one answer and forgets the caller binds false, and tools run to their end. It goes where
/// the work goes, also into another process.
pub static CAN_DELIVER_LATER: ContextVar<bool, AtDoor> = ContextVar::new("can-deliver-later")
    .default(|| true)
    .portable(1)
    .shown()
    .env("HAVERSACK_SESSION_CAN_DELIVER_LATER")
    .at_door();

/// The declaration of a background tool.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Background {}

impl Background {
    /// The declaration; there is nothing to say yet but that it is one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

/// A call that was started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Started {
    /// Under which name it can be asked for, such as a job's id.
    pub id: String,
}

impl Started {
    /// What the model reads in the place of an output.
    #[must_use]
    pub fn for_model(&self) -> String {
        format!("started as {}; the result comes later", self.id)
    }
}

/// The future of a start.
pub type Starting = Pin<Box<dyn Future<Output = Result<Started, ToolError>> + Send>>;

/// Starts background tools.
pub trait BackgroundRunner: Send + Sync + 'static {
    /// Starts one call, in the context of the turn that asks, and returns when it is certain to run. The context
    /// is to be captured at this call.
    fn start(&self, tool: &str, call: &ToolCall) -> Starting;
}
