//! What a model is asked: instructions, messages, and the tools it may call.
//!
//! A request is plain data, made anew for each call from the working-context buffer; a tool result always
//! stands behind the assistant message that asked for it. The prompt module makes requests and every model
//! reads them.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::tool::ToolSpec;

/// One question to a model.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ChatRequest {
    /// Instructions, the attempts of the session, and recalled facts.
    pub system: String,
    /// The conversation, oldest first.
    pub messages: Vec<Message>,
    /// What the model may call.
    pub tools: Vec<ToolSpec>,
    /// Whether it must call one of them.
    pub choice: ToolChoice,
}

impl ChatRequest {
    /// The texts of the caller since the last answer: the message that began the turn, and those that were added.
    pub(crate) fn user_texts(&self) -> Vec<&str> {
        let ended =
            |message: &Message| matches!(message, Message::Assistant { calls, .. } if calls.is_empty());
        let begins = self.messages.iter().rposition(ended).map_or(0, |at| at + 1);
        let texts = self.messages.iter().skip(begins).filter_map(|message| match message {
            Message::User { text } => Some(text.as_str()),
            _ => None,
        });
        texts.collect()
    }

    /// The text of the newest user message; empty when there is none.
    #[must_use]
    pub fn last_user_text(&self) -> &str {
        let last = self.messages.iter().rev().find_map(|message| match message {
            Message::User { text } => Some(text.as_str()),
            _ => None,
        });
        last.unwrap_or_default()
    }
}

/// One message of a conversation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "role", rename_all = "snake_case")]
pub enum Message {
    /// What the caller said.
    User {
        /// The words.
        text: String,
    },
    /// What a model answered.
    Assistant {
        /// The words, possibly none.
        text: String,
        /// The tools it asked for.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        calls: Vec<ToolCall>,
        /// The reasoning that the provider wants back with this message.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        thoughts: Option<Thoughts>,
    },
    /// What a tool returned.
    Tool {
        /// The id of the call that this answers.
        call: String,
        /// The tool's name.
        name: String,
        /// False when the tool failed.
        ok: bool,
        /// The result as JSON text, or the failure in words.
        content: String,
    },
}

/// A complete tool call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ToolCall {
    /// The provider's id, unique within a turn.
    pub id: String,
    /// The tool's name.
    pub name: String,
    /// The arguments; a string when the model wrote something that is not JSON.
    pub arguments: Value,
}

/// The reasoning and signatures of an answer, in the form of the model that gave them. Providers that reason between
/// tool calls refuse the next call without them. Only that model reads them; no person is shown them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Thoughts(pub(crate) Value);

/// Whether a model must call a tool.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ToolChoice {
    /// The model decides.
    #[default]
    Auto,
    /// One of the tools must be called: the supervisor's hand-over.
    Required,
    /// No tool may be called: the last call of a turn that has used up its steps.
    Never,
}
