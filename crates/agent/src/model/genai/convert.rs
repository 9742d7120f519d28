//! Our requests in the words of `genai`.
//!
//! A mapping and nothing else: roles, tool calls, tool results, schemas, and the reasoning that goes back to the
//! provider. Only the model of this module's parent maps.

use std::time::Duration;

use genai::chat::{
    ChatMessage, ChatOptions, ChatRequest as TheirRequest, ContentPart, MessageContent, Tool,
    ToolCall as TheirCall, ToolChoice as TheirChoice, ToolResponse,
};
use serde::{Deserialize, Serialize};

use crate::model::{ChatRequest, Message, Thoughts, ToolCall, ToolChoice};

/// The form of [`Thoughts`] that this model writes and reads.
#[derive(Default, Serialize, Deserialize)]
struct Kept {
    /// Reasoning and signatures in front of the text.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    parts: Vec<ContentPart>,
    /// The signatures of each tool call, in the order of the calls.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    calls: Vec<Option<Vec<String>>>,
}

/// The request, and whether a tool must be called.
pub(super) fn request(ours: ChatRequest) -> (TheirRequest, ToolChoice) {
    let ChatRequest { system, messages, tools, choice } = ours;
    let mut theirs = TheirRequest::new(messages.into_iter().map(message).collect());
    if !system.is_empty() {
        theirs = theirs.with_system(system);
    }
    if !tools.is_empty() {
        let tools = tools.into_iter();
        theirs = theirs.with_tools(
            tools.map(|t| Tool::new(t.name).with_description(t.description).with_schema(t.parameters)),
        );
    }
    (theirs, choice)
}

/// Options for every call: everything that the end of a stream can tell is captured.
pub(super) fn options(timeout: Duration) -> ChatOptions {
    ChatOptions::default()
        .with_capture_usage(true)
        .with_capture_tool_calls(true)
        .with_capture_reasoning_content(true)
        .with_stream_header_timeout(timeout)
        .with_stream_read_timeout(timeout)
}

/// The option for a call that must name a tool.
pub(super) fn with_choice(options: ChatOptions, choice: ToolChoice) -> ChatOptions {
    match choice {
        ToolChoice::Auto => options,
        ToolChoice::Required => options.with_tool_choice(TheirChoice::Required),
        ToolChoice::Never => options.with_tool_choice(TheirChoice::None),
    }
}

fn message(ours: Message) -> ChatMessage {
    match ours {
        Message::User { text } => ChatMessage::user(text),
        Message::Assistant { text, calls, .. } if calls.is_empty() => ChatMessage::assistant(text),
        Message::Assistant { text, calls, thoughts } => {
            // Thoughts of another version or another model are left out; the provider then decides without them.
            let kept =
                thoughts.and_then(|kept| serde_json::from_value::<Kept>(kept.0).ok()).unwrap_or_default();
            let mut signatures = kept.calls.into_iter();
            let mut parts = kept.parts;
            parts.extend((!text.is_empty()).then_some(ContentPart::Text(text)));
            parts.extend(
                calls
                    .into_iter()
                    .map(|call| ContentPart::ToolCall(their_call(call, signatures.next().flatten()))),
            );
            ChatMessage::assistant(MessageContent::from_parts(parts))
        }
        Message::Tool { call, name, content, .. } => {
            let mut response = ToolResponse::new(call, content);
            response.fn_name = Some(name);
            ChatMessage::from(response)
        }
    }
}

fn their_call(ours: ToolCall, signatures: Option<Vec<String>>) -> TheirCall {
    let ToolCall { id, name, arguments } = ours;
    TheirCall { call_id: id, fn_name: name, fn_arguments: arguments, thought_signatures: signatures }
}

/// Returns the parts of an answer that must go back with it: reasoning, signatures, and those of its calls. `None` if there is
/// nothing of the kind.
pub(super) fn thoughts(content: Option<&MessageContent>, reasoning: Option<String>) -> Option<Thoughts> {
    let all = content.map(MessageContent::parts).into_iter().flatten();
    let mut kept = Kept::default();
    for part in all {
        match part {
            ContentPart::ToolCall(call) => kept.calls.push(call.thought_signatures.clone()),
            ContentPart::ThoughtSignature(_) | ContentPart::ReasoningContent(_) | ContentPart::Custom(_) => {
                kept.parts.push(part.clone());
            }
            _ => {}
        }
    }
    let has_reasoning = kept.parts.iter().any(|part| matches!(part, ContentPart::ReasoningContent(_)));
    if !has_reasoning {
        kept.parts.extend(reasoning.map(ContentPart::ReasoningContent));
    }
    if kept.calls.iter().all(Option::is_none) {
        kept.calls.clear();
    }
    if kept.parts.is_empty() && kept.calls.is_empty() {
        return None;
    }
    serde_json::to_value(kept).ok().map(Thoughts)
}
