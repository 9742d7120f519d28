//! The tool contract: a name, a schema, the context variables it needs, and one call.
//!
//! A tool is a [`Tool`]; [`tool`] makes one from a function with typed arguments. Tools read the tenant, the
//! session and the principal from the context, never from their arguments, so that no model can name another
//! tenant. Specialists call tools through the dispatcher of this module; users may add their own to
//! [`crate::Agents`].

mod background;
pub(crate) mod dispatch;
mod error;
mod forget;
pub mod knowledge;
mod note_attempt;
mod one_text;
mod recall;
mod registry;
mod remember;
mod search_knowledge;
mod typed;

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use haversack::Variable;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use background::{Background, BackgroundRunner, CAN_DELIVER_LATER, Started, Starting};
pub use error::ToolError;
pub use forget::{FORGET, forget};
pub use note_attempt::{NOTE_ATTEMPT, note_attempt};
pub(crate) use one_text::arguments_for;
pub(crate) use recall::{Answer as RecallAnswer, Fact as RecalledFact};
pub use recall::{RECALL, recall};
pub(crate) use registry::missing_for;
pub use registry::{Toolbox, is_here};
pub use remember::{REMEMBER, remember};
pub(crate) use search_knowledge::search_knowledge_in;
pub use search_knowledge::{SEARCH_KNOWLEDGE, search_knowledge};
pub use typed::{TypedTool, parameters_of, tool};

/// The names of the tools of this crate.
pub const NAMES: [&str; 5] = [FORGET, NOTE_ATTEMPT, RECALL, REMEMBER, SEARCH_KNOWLEDGE];

/// Something that a model can ask for.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a tool",
    note = "make one of an async function and its typed arguments with `haversack_agent::tool::tool`"
)]
pub trait Tool: Send + Sync + 'static {
    /// What the model is told about it.
    fn spec(&self) -> &ToolSpec;

    /// The context variables without which it cannot run. Where one is not bound, the model is not offered the tool.
    fn needs(&self) -> &[&'static dyn Variable] {
        &[]
    }

    /// Returns true if the tool is offered in the current context. Bound variables are checked apart; this decides the rest,
    /// such as a list of tenants.
    fn is_offered(&self) -> bool {
        true
    }

    /// How long one call may take, where that is not what the configuration says for every tool.
    fn time_limit(&self) -> Option<Duration> {
        None
    }

    /// Declares that it takes longer than a turn should wait. Where the agents have a [`BackgroundRunner`] and
    /// [`CAN_DELIVER_LATER`] allows it, the call is handed to the runner; elsewhere it runs as any other.
    fn background(&self) -> Option<Background> {
        None
    }

    /// Runs it once, in the context of the turn. The arguments are what the model wrote, of any shape.
    ///
    /// # Cancellation
    /// The future is dropped when the tool's time is up. Work that it left on the blocking pool runs to its
    /// end.
    fn call(&self, arguments: Value) -> ToolFuture;
}

/// The future of one tool call.
pub type ToolFuture = Pin<Box<dyn Future<Output = Result<ToolOutput, ToolError>> + Send>>;

/// What a model is told about a tool.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ToolSpec {
    /// Unique among the tools of a specialist; letters, digits and `_`.
    pub name: String,
    /// What it does and when to use it, in words for a model.
    pub description: String,
    /// JSON schema of the arguments: always an object.
    pub parameters: Value,
}

/// What a tool gives back to the model.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolOutput(Value);

impl ToolOutput {
    /// An output from anything that serialises to JSON.
    ///
    /// # Errors
    /// [`ToolError::Internal`] when it does not.
    pub fn json(value: &impl Serialize) -> Result<Self, ToolError> {
        let value = serde_json::to_value(value);
        value.map(Self).map_err(|_| ToolError::Internal("the output is not JSON"))
    }

    /// The output as JSON.
    #[must_use]
    pub fn into_json(self) -> Value {
        self.0
    }

    /// The output as the JSON text that the model reads.
    #[must_use]
    pub fn into_text(self) -> String {
        match self.0 {
            Value::String(text) => text,
            other => other.to_string(),
        }
    }
}
