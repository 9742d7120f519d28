//! The model contract: one streaming call, answered with text and tool calls.
//!
//! A model is a [`ChatModel`]: it gets a [`ChatRequest`] and returns a stream of [`ModelEvent`]s, in which a
//! tool call may arrive in pieces. [`complete`] drives such a stream and assembles the whole [`Completion`].
//! The supervisor and the specialists call models, and nothing else does; a model sees only its request and
//! never reads a context variable, so that a shared driver cannot give it another tenant's data.

mod assemble;
#[cfg(feature = "genai")]
pub mod genai;
pub mod offline;
mod request;
#[cfg(feature = "testing")]
pub mod scripted;

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_core::Stream;

use crate::agent::{ConfigError, ModelConfig, Provider, Secret, SecretRef};

pub(crate) use assemble::{Begun, cancelled, in_time};
pub use assemble::{Completion, complete};
pub use offline::Offline;
pub use request::{ChatRequest, Message, Thoughts, ToolCall, ToolChoice};
#[cfg(feature = "testing")]
pub use scripted::ScriptedModel;

/// A chat model: the offline rules, a provider over HTTP, or a script in a test.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a chat model",
    note = "implement `ChatModel::chat`: it gets a request and returns a stream of `ModelEvent`s"
)]
pub trait ChatModel: Send + Sync + 'static {
    /// What answered, as users see it in a reply: `offline`, or provider and model name.
    fn name(&self) -> &str;

    /// Starts one call; dropping the stream ends it.
    ///
    /// Agents call this on the blocking pool, so a model may compute its answer here. A tenant has a bounded number of places
    /// there, and a turn that is cancelled meanwhile does not wait for the call. Polling the stream never computes for long.
    ///
    /// A well-behaved stream ends with [`ModelEvent::End`] or with an error. One that just stops was cut off.
    fn chat(&self, request: ChatRequest) -> ModelStream;
}

/// The answer of a model, as it arrives.
pub type ModelStream = Pin<Box<dyn Stream<Item = Result<ModelEvent, ModelError>> + Send>>;

/// One piece of an answer.
#[derive(Debug, Clone, PartialEq)]
pub enum ModelEvent {
    /// More text of the answer.
    Text(String),
    /// A piece of a tool call.
    ToolCall(ToolCallDelta),
    /// The reasoning behind the answer, whole, when the provider wants it back.
    Thoughts(Thoughts),
    /// What the call cost, when the provider says so.
    Usage(Usage),
    /// The provider cut the answer at its length limit.
    Cut,
    /// The answer is complete.
    End,
}

/// A piece of a tool call: pieces with the same index belong together, in the order of arrival.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ToolCallDelta {
    /// Which call of this answer the piece belongs to, counted from zero.
    pub index: usize,
    /// The provider's id of the call, once.
    pub id: Option<String>,
    /// The tool's name, once.
    pub name: Option<String>,
    /// More characters of the JSON arguments.
    pub arguments: String,
}

/// Tokens of a call, as counted by the provider.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Usage {
    /// Tokens read.
    pub input: u64,
    /// Tokens written.
    pub output: u64,
}

/// Why a model call failed. The texts name the place and the next step, never the prompt or a provider's
/// body.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// The provider did not answer within the configured time.
    #[error("the model did not answer within {0:?}; raise `agent.model.timeout_s` or check the provider")]
    Timeout(Duration),
    /// The provider could not be reached: no route, refused, or the connection broke.
    #[error("the model's endpoint could not be reached; check `agent.model.base_url` and the network")]
    Unreachable(#[source] Option<Box<dyn std::error::Error + Send + Sync>>),
    /// The provider answered with a failure status, after the configured retries.
    #[error("the model's endpoint answered with status {status}{}", hint(*status))]
    Status {
        /// The HTTP status of the last attempt.
        status: u16,
        /// The number of calls that were made.
        attempts: u32,
        /// The provider's own words, for the operator.
        #[source]
        said: Option<Box<Said>>,
    },
    /// The provider refused the credentials.
    #[error("the model's endpoint refused the credentials (status {status}); check `agent.model.api_key`")]
    Refused {
        /// 401 or 403.
        status: u16,
        /// The provider's own words, for the operator.
        #[source]
        said: Option<Box<Said>>,
    },
    /// The provider said in the middle of its answer that it failed.
    #[error("the model's endpoint reported an error while it answered")]
    Reported(#[source] Option<Box<Said>>),
    /// The answer was not what the protocol says, or ended in the middle.
    #[error("the model's answer was malformed: {0}")]
    Malformed(&'static str),
    /// The configuration names no usable model.
    #[error("the model is misconfigured: {0}")]
    Misconfigured(String),
    /// A script had no answer left; only scripted models of tests say this.
    #[error("the script has no answer for this call")]
    ScriptEnded,
}

/// An error text of a provider, with the host and the model that it came from. It is the source of a [`ModelError`], so
/// that logs, `doctor` and the command line show it, and replies to clients do not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{model} at {host} said: {text}")]
pub struct Said {
    /// The model's name, with its provider.
    pub model: String,
    /// The host of the endpoint; `the provider` where the configuration names none.
    pub host: String,
    /// At most 300 characters on one line, without secrets.
    pub text: String,
}

fn hint(status: u16) -> &'static str {
    match status {
        404 => "; check `agent.model.name` and `agent.model.base_url`",
        429 => "; the provider's rate or quota is used up",
        _ => "",
    }
}

impl ModelError {
    /// True when the same call may succeed later: timeouts, overload, a broken connection.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Timeout(_) | Self::Unreachable(_) | Self::Reported(_) => true,
            Self::Status { status, .. } => *status == 429 || *status >= 500,
            Self::Refused { .. } | Self::Malformed(_) | Self::Misconfigured(_) | Self::ScriptEnded => false,
        }
    }
}

/// Makes the configured model. `read` is asked for the secret, if the configuration names one; this crate
/// itself reads neither the environment nor files for it.
///
/// # Errors
/// [`ConfigError`] when the configuration names no usable model or the secret cannot be read.
pub fn from_config(
    config: &ModelConfig,
    read: &dyn Fn(&SecretRef) -> Result<Secret, String>,
) -> Result<Arc<dyn ChatModel>, ConfigError> {
    match config.provider {
        Provider::Offline => Ok(Arc::new(Offline)),
        #[cfg(feature = "genai")]
        Provider::Genai => {
            let key = config.api_key.as_ref().map(|reference| {
                read(reference).map_err(|why| ConfigError::Secret { reference: reference.to_string(), why })
            });
            Ok(Arc::new(genai::Genai::new(config, key.transpose()?)?))
        }
        #[cfg(not(feature = "genai"))]
        Provider::Genai => {
            let _ = read;
            Err(ConfigError::Model(
                "this build has no network models; build with the feature `genai`".to_owned(),
            ))
        }
    }
}
