//! Our requests in the words of `genai`.
//!
//! A mapping and nothing else: roles, tool calls, tool results, schemas. Only the model of this module's
//! parent maps.

use std::time::Duration;

use genai::chat::{
    ChatMessage, ChatOptions, ChatRequest as TheirRequest, ContentPart, MessageContent, Tool,
    ToolCall as TheirCall, ToolChoice as TheirChoice, ToolResponse,
};

use crate::model::{ChatRequest, Message, ToolCall, ToolChoice};

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
        .with_stream_header_timeout(timeout)
        .with_stream_read_timeout(timeout)
}

/// The option for a call that must name a tool.
pub(super) fn with_choice(options: ChatOptions, choice: ToolChoice) -> ChatOptions {
    match choice {
        ToolChoice::Auto => options,
        ToolChoice::Required => options.with_tool_choice(TheirChoice::Required),
    }
}

fn message(ours: Message) -> ChatMessage {
    match ours {
        Message::User { text } => ChatMessage::user(text),
        Message::Assistant { text, calls } if calls.is_empty() => ChatMessage::assistant(text),
        Message::Assistant { text, calls } => {
            let text = (!text.is_empty()).then_some(ContentPart::Text(text));
            let parts =
                text.into_iter().chain(calls.into_iter().map(|call| ContentPart::ToolCall(their_call(call))));
            ChatMessage::assistant(MessageContent::from_parts(parts.collect::<Vec<_>>()))
        }
        Message::Tool { call, name, content, .. } => {
            let mut response = ToolResponse::new(call, content);
            response.fn_name = Some(name);
            ChatMessage::from(response)
        }
    }
}

fn their_call(ours: ToolCall) -> TheirCall {
    let ToolCall { id, name, arguments } = ours;
    TheirCall { call_id: id, fn_name: name, fn_arguments: arguments, thought_signatures: None }
}
