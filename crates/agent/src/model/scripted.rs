//! A model that says what a test wrote down for it.
//!
//! A script is a list of answers, one per call, or a function from request to answer; every request is
//! recorded. Tests of this crate and of its users make one; it exists only with the feature `testing`.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use futures_core::Stream;
use serde_json::Value;

use super::{ChatModel, ChatRequest, ModelError, ModelEvent, ModelStream, ToolCallDelta};

/// A scripted model. Clones share the script and the record.
#[derive(Clone)]
pub struct ScriptedModel {
    script: Arc<dyn Fn(&ChatRequest) -> Answer + Send + Sync>,
    seen: Arc<Mutex<Vec<ChatRequest>>>,
}

impl ScriptedModel {
    /// Answers call after call from a list; a call behind its end fails with [`ModelError::ScriptEnded`].
    #[must_use]
    pub fn new(answers: impl IntoIterator<Item = Answer>) -> Self {
        let left: Mutex<VecDeque<Answer>> = Mutex::new(answers.into_iter().collect());
        Self::by(move |_| {
            let next = left.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
            next.unwrap_or_else(|| Answer(vec![Item::Fail(ModelError::ScriptEnded)]))
        })
    }

    /// Answers each call by a function of its request.
    #[must_use]
    pub fn by(script: impl Fn(&ChatRequest) -> Answer + Send + Sync + 'static) -> Self {
        Self { script: Arc::new(script), seen: Arc::default() }
    }

    /// The requests so far, in the order of the calls.
    #[must_use]
    pub fn seen(&self) -> Vec<ChatRequest> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl ChatModel for ScriptedModel {
    fn name(&self) -> &str {
        "scripted"
    }

    fn chat(&self, request: ChatRequest) -> ModelStream {
        let answer = (self.script)(&request);
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).push(request);
        Box::pin(Playing(answer.0.into()))
    }
}

/// One answer of a script, built piece by piece; it ends properly unless it was cut, failed or hangs.
#[derive(Default)]
pub struct Answer(Vec<Item>);

enum Item {
    Event(ModelEvent),
    Fail(ModelError),
    Yield,
    Cut,
    Hang,
}

impl Answer {
    /// An answer of one text.
    #[must_use]
    pub fn text(text: &str) -> Self {
        Self::default().and_text(text)
    }

    /// An answer that calls one tool.
    #[must_use]
    pub fn call(name: &str, arguments: Value) -> Self {
        Self::default().and_call(name, arguments)
    }

    /// More text, as a piece of its own.
    #[must_use]
    pub fn and_text(mut self, text: &str) -> Self {
        self.0.push(Item::Event(ModelEvent::Text(text.to_owned())));
        self
    }

    /// One more tool call, in one piece.
    #[must_use]
    pub fn and_call(self, name: &str, arguments: Value) -> Self {
        let index = self.calls();
        let id = format!("call_{index}");
        self.and_piece(index, Some(&id), Some(name), &arguments.to_string())
    }

    /// One piece of a tool call, exactly as given.
    #[must_use]
    pub fn and_piece(mut self, index: usize, id: Option<&str>, name: Option<&str>, arguments: &str) -> Self {
        let (id, name) = (id.map(str::to_owned), name.map(str::to_owned));
        let piece = ToolCallDelta { index, id, name, arguments: arguments.to_owned() };
        self.0.push(Item::Event(ModelEvent::ToolCall(piece)));
        self
    }

    /// Gives the driver one `Pending` before the next piece, as a network would.
    #[must_use]
    pub fn and_wait(mut self) -> Self {
        self.0.push(Item::Yield);
        self
    }

    /// Ends with an error instead of the end mark.
    #[must_use]
    pub fn and_fail(mut self, error: ModelError) -> Self {
        self.0.push(Item::Fail(error));
        self
    }

    /// Stops without an end mark, as a broken connection does.
    #[must_use]
    pub fn and_cut(mut self) -> Self {
        self.0.push(Item::Cut);
        self
    }

    /// Never ends: for tests of cancellation and timeouts.
    #[must_use]
    pub fn and_hang(mut self) -> Self {
        self.0.push(Item::Hang);
        self
    }

    fn calls(&self) -> usize {
        let named = |item: &&Item| matches!(item, Item::Event(ModelEvent::ToolCall(p)) if p.name.is_some());
        self.0.iter().filter(named).count()
    }
}

struct Playing(VecDeque<Item>);

impl Stream for Playing {
    type Item = Result<ModelEvent, ModelError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match self.0.pop_front() {
            Some(Item::Event(event)) => Poll::Ready(Some(Ok(event))),
            Some(Item::Fail(error)) => {
                self.0 = VecDeque::from([Item::Cut]);
                Poll::Ready(Some(Err(error)))
            }
            Some(Item::Yield) => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Some(Item::Cut) => {
                self.0 = VecDeque::from([Item::Cut]);
                Poll::Ready(None)
            }
            Some(Item::Hang) => {
                self.0 = VecDeque::from([Item::Hang]);
                Poll::Pending
            }
            None => {
                self.0 = VecDeque::from([Item::Cut]);
                Poll::Ready(Some(Ok(ModelEvent::End)))
            }
        }
    }
}
