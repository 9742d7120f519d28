//! Driving a model's stream and putting its pieces together.
//!
//! Text is passed on as it arrives; the pieces of a tool call are collected by their index and parsed when
//! the stream has ended. The supervisor and the specialists begin a call on the blocking pool, each under its own `model`
//! span, and read its stream on the runtime.

use std::collections::BTreeMap;
use std::future::poll_fn;

use haversack::well_known::CANCEL;
use serde_json::Value;
use tracing::{Instrument, Span};

use super::{
    ChatModel, ChatRequest, ModelError, ModelEvent, ModelStream, Thoughts, ToolCall, ToolCallDelta, Usage,
};
use crate::clock::out_of_time;
use crate::error::TurnError;

/// A whole answer.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Completion {
    /// The text, possibly none.
    pub text: String,
    /// The tool calls, in the model's order.
    pub calls: Vec<ToolCall>,
    /// What the call cost, when the provider said so.
    pub usage: Option<Usage>,
    /// The reasoning that the provider wants back with this answer.
    pub thoughts: Option<Thoughts>,
    /// True if the provider cut the answer at its length limit.
    pub cut: bool,
}

/// Makes one call and assembles its answer; `on_text` sees each piece of text as it arrives.
///
/// # Errors
/// [`TurnError::Model`] for the model's own failures, [`TurnError::Cancelled`] as soon as `CANCEL` is called,
/// and [`TurnError::TimedOut`] at the turn's `DEADLINE`.
///
/// # Cancellation
/// Dropping the future drops the stream, which ends the call. Text that `on_text` has seen stays seen.
pub async fn complete(
    model: &dyn ChatModel,
    request: ChatRequest,
    on_text: impl FnMut(&str) -> Result<(), TurnError>,
) -> Result<Completion, TurnError> {
    in_time(async { Begun::new(model, request, &Span::current()).finish(on_text).await }).await
}

/// A call that has begun: its span and its stream.
pub(crate) struct Begun {
    span: Span,
    stream: ModelStream,
}

impl Begun {
    /// Begins a call below the span `parent`. A model may compute its whole answer here, so agents do it on the blocking pool.
    pub(crate) fn new(model: &dyn ChatModel, request: ChatRequest, parent: &Span) -> Self {
        let span = tracing::info_span!(
            parent: parent,
            "model",
            model = model.name(),
            messages = request.messages.len(),
            tools = request.tools.len(),
            input_tokens = tracing::field::Empty,
            output_tokens = tracing::field::Empty,
        );
        let stream = span.in_scope(|| model.chat(request));
        Self { span, stream }
    }

    /// Reads the stream to its end and assembles the answer.
    pub(crate) async fn finish(
        self,
        mut on_text: impl FnMut(&str) -> Result<(), TurnError>,
    ) -> Result<Completion, TurnError> {
        let completion = collect(self.stream, &mut on_text).instrument(self.span.clone()).await?;
        if let Some(usage) = completion.usage {
            self.span.record("input_tokens", usage.input);
            self.span.record("output_tokens", usage.output);
        }
        Ok(completion)
    }
}

/// The outcome of `work`, unless the turn is cancelled or runs out of time first; `work` is dropped then.
pub(crate) async fn in_time<T>(work: impl Future<Output = Result<T, TurnError>>) -> Result<T, TurnError> {
    tokio::select! {
        biased;
        () = cancelled() => Err(TurnError::Cancelled),
        () = out_of_time() => Err(TurnError::TimedOut),
        done = work => done,
    }
}

async fn collect(
    mut stream: ModelStream,
    on_text: &mut impl FnMut(&str) -> Result<(), TurnError>,
) -> Result<Completion, TurnError> {
    let mut whole = Completion::default();
    let mut pieces = BTreeMap::new();
    loop {
        match poll_fn(|cx| stream.as_mut().poll_next(cx)).await {
            Some(Ok(ModelEvent::Text(text))) => {
                on_text(&text)?;
                whole.text.push_str(&text);
            }
            Some(Ok(ModelEvent::ToolCall(piece))) => add(&mut pieces, piece),
            Some(Ok(ModelEvent::Usage(usage))) => whole.usage = Some(usage),
            Some(Ok(ModelEvent::Thoughts(thoughts))) => whole.thoughts = Some(thoughts),
            Some(Ok(ModelEvent::Cut)) => whole.cut = true,
            Some(Ok(ModelEvent::End)) => break,
            Some(Err(error)) => return Err(error.into()),
            None => return Err(ModelError::Malformed("the stream ended before its end mark").into()),
        }
    }
    for (index, piece) in pieces {
        whole.calls.push(finish(index, piece)?);
    }
    Ok(whole)
}

fn add(pieces: &mut BTreeMap<usize, ToolCallDelta>, piece: ToolCallDelta) {
    let call = pieces.entry(piece.index).or_default();
    if piece.id.is_some() {
        call.id = piece.id;
    }
    if piece.name.is_some() {
        call.name = piece.name;
    }
    call.arguments.push_str(&piece.arguments);
}

fn finish(index: usize, piece: ToolCallDelta) -> Result<ToolCall, ModelError> {
    let name = piece.name.filter(|name| !name.is_empty());
    let name = name.ok_or(ModelError::Malformed("a tool call without a name"))?;
    let id = piece.id.filter(|id| !id.is_empty()).unwrap_or_else(|| format!("call_{index}"));
    // Providers send nothing at all for a tool without parameters. Anything that is not JSON is kept as a
    // string: the tool refuses it, and the model gets a chance to do better.
    let arguments = match piece.arguments.trim() {
        "" => Value::Object(serde_json::Map::new()),
        text => serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned())),
    };
    Ok(ToolCall { id, name, arguments })
}

/// Resolves when the turn is cancelled; never where no `CANCEL` is bound.
pub(crate) async fn cancelled() {
    match CANCEL.get() {
        Ok(cancel) => cancel.cancelled().await,
        Err(_) => std::future::pending().await,
    }
}
