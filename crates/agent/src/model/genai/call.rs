//! One call: attempts until one speaks, then its events.
//!
//! An attempt that fails before its first word may be followed by another; after the first word it may not,
//! because a word cannot be taken back. The library's own log lines quote bodies, so they are switched off
//! while it runs.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use genai::chat::{
    ChatOptions, ChatRequest as TheirRequest, ChatStream, ChatStreamEvent, StopReason, StreamEnd,
};
use tokio::time::{Instant, sleep, timeout_at};
use tracing::instrument::WithSubscriber;

use super::fault::{Fault, sort};
use super::{Line, convert, think};
use crate::model::{ModelError, ModelEvent, ModelStream, ToolCallDelta, ToolChoice, Usage};

/// The longest wait between two attempts. If the provider asks for more, the call fails at once.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

pub(super) fn stream(
    line: Arc<Line>,
    (request, choice): (TheirRequest, ToolChoice),
    options: ChatOptions,
) -> ModelStream {
    let options = convert::with_choice(options, choice);
    let call = Call {
        line,
        request,
        options,
        attempts: 0,
        live: None,
        ready: VecDeque::new(),
        filter: think::Filter::default(),
        spoke: false,
        over: false,
    };
    Box::pin(stream::unfold(call, |mut call| async move {
        let event = call.next().await?;
        Some((event, call))
    }))
}

struct Call {
    line: Arc<Line>,
    request: TheirRequest,
    options: ChatOptions,
    attempts: u32,
    live: Option<(Pin<Box<ChatStream>>, Instant)>,
    ready: VecDeque<ModelEvent>,
    filter: think::Filter,
    /// Something of this call has been passed on.
    spoke: bool,
    over: bool,
}

impl Call {
    async fn next(&mut self) -> Option<Result<ModelEvent, ModelError>> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                self.spoke = true;
                return Some(Ok(event));
            }
            if self.over {
                return None;
            }
            if let Err(fault) = self.advance().await {
                self.live = None;
                let waits = fault.retry_after.is_none_or(|asked| asked <= LONGEST_WAIT);
                let again =
                    !self.spoke && waits && self.attempts <= self.line.retries && fault.error.is_transient();
                if !again {
                    self.over = true;
                    return Some(Err(fault.error));
                }
                let wait = self.wait(fault.retry_after);
                self.filter = think::Filter::default();
                tracing::info!(
                    attempt = self.attempts,
                    error = &fault.error as &dyn std::error::Error,
                    "a model call is retried"
                );
                sleep(wait).await;
            }
        }
    }

    /// Gets the next event of the current attempt, or makes an attempt.
    async fn advance(&mut self) -> Result<(), Fault> {
        let limit = self.line.timeout;
        let (stream, deadline) = match &mut self.live {
            Some(live) => live,
            None => {
                self.attempts += 1;
                let deadline = Instant::now() + limit;
                let (model, request) = (self.line.model.clone(), self.request.clone());
                let begun = self.line.client.exec_chat_stream(model, request, Some(&self.options));
                let begun = timeout_at(deadline, begun.with_subscriber(tracing::Dispatch::none())).await;
                let begun = begun.map_err(|_| ModelError::Timeout(limit))?;
                let response = begun.map_err(|error| sort(error, self.attempts, &self.line))?;
                self.live.insert((Box::pin(response.stream), deadline))
            }
        };
        let next = timeout_at(*deadline, stream.next().with_subscriber(tracing::Dispatch::none())).await;
        match next.map_err(|_| ModelError::Timeout(limit))? {
            Some(Ok(event)) => self.take(event),
            Some(Err(error)) => Err(sort(error, self.attempts, &self.line)),
            None => {
                let why =
                    "the stream ended before its end mark; check that `agent.model.base_url` is the API's";
                Err(ModelError::Malformed(why).into())
            }
        }
    }

    fn take(&mut self, event: ChatStreamEvent) -> Result<(), Fault> {
        match event {
            ChatStreamEvent::Chunk(chunk) => {
                let text = self.filter.push(&chunk.content);
                self.say(text);
            }
            ChatStreamEvent::End(end) => self.finish(end)?,
            // Pieces of tool calls and of reasoning are assembled by the library, which knows each provider's way of
            // cutting them. Both come with the end.
            _ => {}
        }
        Ok(())
    }

    fn finish(&mut self, mut end: StreamEnd) -> Result<(), Fault> {
        self.over = true;
        self.live = None;
        let text = self.filter.finish();
        self.say(text);
        let stop = end.captured_stop_reason.take();
        let usage = end.captured_usage.take();
        let reasoning = end.captured_reasoning_content.take();
        let thoughts = convert::thoughts(end.captured_content.as_ref(), reasoning);
        let calls = end.captured_into_tool_calls().unwrap_or_default();
        match stop {
            Some(StopReason::ContentFilter(_)) => {
                return Err(ModelError::Malformed("the provider's filter withheld it").into());
            }
            Some(StopReason::MaxTokens(_)) if !calls.is_empty() => {
                return Err(ModelError::Malformed("it was cut inside a tool call").into());
            }
            Some(StopReason::MaxTokens(_)) => self.ready.push_back(ModelEvent::Cut),
            _ => {}
        }
        for (index, call) in calls.into_iter().enumerate() {
            let arguments = match call.fn_arguments {
                serde_json::Value::String(text) => text,
                other => other.to_string(),
            };
            let piece = ToolCallDelta { index, id: Some(call.call_id), name: Some(call.fn_name), arguments };
            self.ready.push_back(ModelEvent::ToolCall(piece));
        }
        self.ready.extend(thoughts.map(ModelEvent::Thoughts));
        if let Some(usage) = usage {
            let count = |tokens: Option<i32>| tokens.and_then(|t| u64::try_from(t).ok()).unwrap_or_default();
            let (input, output) = (count(usage.prompt_tokens), count(usage.completion_tokens));
            self.ready.push_back(ModelEvent::Usage(Usage { input, output }));
        }
        self.ready.push_back(ModelEvent::End);
        Ok(())
    }

    fn say(&mut self, text: String) {
        if !text.is_empty() {
            self.ready.push_back(ModelEvent::Text(text));
        }
    }

    /// Doubles with each attempt, and spreads: many turns that failed together should not return together.
    fn wait(&self, asked: Option<Duration>) -> Duration {
        let doubled = self.line.first_wait.saturating_mul(1 << (self.attempts - 1).min(16));
        let mut byte = [0];
        let spread = getrandom::fill(&mut byte).map_or(1.0, |()| 1.0 + f64::from(byte[0]) / 1024.0);
        asked.unwrap_or_default().max(doubled.mul_f64(spread)).min(LONGEST_WAIT)
    }
}
