//! Running the tool calls of one step: in parallel up to a cap, each with a time limit.
//!
//! Every call is a task of its own in the context of the turn, under its own `tool` span; a panic, a timeout
//! and a refused argument are results that the model reads. Only specialists dispatch. A cancelled turn starts no
//! more calls; those that run may end by themselves for a moment, and are dropped then, with the processes that they started.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use haversack::well_known::CANCEL;
use haversack::{Entry, JoinSet};
use haversack_memory::MemoryError;
use haversack_store::StoreError;
use tracing::Instrument;

use super::{BackgroundRunner, CAN_DELIVER_LATER, ToolError, ToolOutput, Toolbox, is_here};
use crate::clock::{CLOCK, Clock, out_of_time};
use crate::error::TurnError;
use crate::event::{EventSink, TurnEvent};
use crate::model::{Message, ToolCall, cancelled};
use crate::turn::ToolUse;

/// What spans and logs call a tool that does not exist.
const UNKNOWN: &str = "unknown";

/// The answer to a call of a tool that this channel cannot use.
const NOT_HERE: &str = "this tool cannot be used in this conversation; answer without it";

/// How long calls of a cancelled turn may take to end by themselves.
const STOPPING: Duration = Duration::from_millis(500);

/// How tools are run.
#[derive(Clone)]
pub(crate) struct Dispatch {
    /// Calls at the same time, at least one.
    pub(crate) parallel: usize,
    /// Time for each call.
    pub(crate) timeout: Duration,
    /// Characters that the results of one step may have together.
    pub(crate) output_chars: usize,
    /// Who starts what takes longer than a turn should wait.
    pub(crate) background: Option<Arc<dyn BackgroundRunner>>,
}

/// One finished call: what the model reads, and what the reply reports.
pub(crate) struct Done {
    pub(crate) message: Message,
    pub(crate) usage: ToolUse,
}

impl Dispatch {
    /// Runs every call and returns the results in the order of the calls.
    pub(crate) async fn run(
        &self,
        entry: Entry,
        tools: &Toolbox,
        calls: &[ToolCall],
        events: &EventSink,
    ) -> Result<Vec<Done>, TurnError> {
        let mut running = JoinSet::new();
        let mut waiting = calls.iter().enumerate();
        let mut done: Vec<Option<Done>> = calls.iter().map(|_| None).collect();
        let mut overdue = std::pin::pin!(async {
            cancelled().await;
            tokio::time::sleep(STOPPING).await;
        });
        loop {
            while running.len() < self.parallel.max(1) && !is_cancelled() {
                let Some((index, call)) = waiting.next() else { break };
                let (id, name) = (call.id.clone(), call.name.clone());
                events.emit(TurnEvent::ToolStarted { call: id, name })?;
                running.spawn(self.one(entry, tools, index, call));
            }
            let ended = tokio::select! {
                biased;
                ended = running.join_next() => ended,
                () = &mut overdue => {
                    running.shutdown().await;
                    break;
                }
            };
            let Some(ended) = ended else { break };
            // The task catches its own panics; what is left is a runtime that is going down.
            let (index, outcome, took) = ended.map_err(|_| TurnError::Cancelled)?;
            let finished = self.sort(&calls[index], outcome, took)?;
            let (call, name, ok) = (calls[index].id.clone(), calls[index].name.clone(), finished.usage.ok);
            events.emit(TurnEvent::ToolFinished { call, name, ok })?;
            done[index] = Some(finished);
        }
        if is_cancelled() {
            return Err(TurnError::Cancelled);
        }
        let mut done: Vec<Done> = done.into_iter().flatten().collect();
        fit(&mut done, self.output_chars);
        Ok(done)
    }

    fn one(
        &self,
        entry: Entry,
        tools: &Toolbox,
        index: usize,
        call: &ToolCall,
    ) -> impl Future<Output = (usize, Result<ToolOutput, ToolError>, Duration)> + Send + 'static {
        let tool = tools.get(&call.name).cloned();
        // A name that no tool has is text of the model, which no span and no log may hold.
        let name = if tool.is_some() { call.name.as_str() } else { UNKNOWN };
        let span = tracing::info_span!("tool", name, ok = tracing::field::Empty);
        let call = call.clone();
        let limit = tool.as_ref().and_then(|tool| tool.time_limit()).unwrap_or(self.timeout);
        let runner = self.background.clone();
        let work = async move {
            let begun = Instant::now();
            let run = async {
                entry.check("tool call")?;
                let tool = tool.ok_or(ToolError::Unknown)?;
                // The model was not offered it, and calls it all the same.
                if !is_here(&*tool) {
                    return Err(ToolError::Refused(NOT_HERE));
                }
                let later = tool.background().is_some() && CAN_DELIVER_LATER.get()?;
                if let Some(runner) = runner.filter(|_| later) {
                    // Without a limit: what was handed over and is called late is started a second time.
                    let started = runner.start(&call.name, &call).await?;
                    return ToolOutput::json(&started.for_model());
                }
                let clock = Clock::of_a_call();
                // The call itself may panic as well as its future, so it is made inside.
                let called = CLOCK.scope(clock.clone(), async { tool.call(call.arguments).await });
                tokio::select! {
                    biased;
                    done = called => done,
                    () = clock.pass(limit) => Err(ToolError::TimedOut(limit)),
                    () = out_of_time() => Err(ToolError::TimedOut(limit)),
                }
            };
            let outcome = caught(run).await;
            tracing::Span::current().record("ok", outcome.is_ok());
            (index, outcome, begun.elapsed())
        };
        work.instrument(span)
    }

    /// A failure of the context fails the turn; every other one is the model's to read.
    fn sort(
        &self,
        call: &ToolCall,
        outcome: Result<ToolOutput, ToolError>,
        took: Duration,
    ) -> Result<Done, TurnError> {
        let (ok, content) = match outcome {
            Ok(output) => (true, output.into_text()),
            Err(ToolError::Unbound(missing)) => return Err(missing.into()),
            Err(ToolError::Foreign(foreign)) => return Err(foreign.into()),
            Err(ToolError::Store(e @ (StoreError::Unbound(_) | StoreError::Foreign(_)))) => {
                return Err(e.into());
            }
            Err(ToolError::Memory(e @ (MemoryError::Unbound(_) | MemoryError::Foreign(_)))) => {
                return Err(e.into());
            }
            Err(ToolError::Crew(error)) if error.context_code().is_some() => {
                return Err(TurnError::Crew(error));
            }
            Err(error) => {
                let name = if matches!(error, ToolError::Unknown) { UNKNOWN } else { call.name.as_str() };
                tracing::warn!(tool = name, error = %error, "a tool call failed");
                (false, error.for_model())
            }
        };
        let (call_id, name) = (call.id.clone(), call.name.clone());
        let ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let usage = ToolUse { name: name.clone(), ok, ms };
        Ok(Done { message: Message::Tool { call: call_id, name, ok, content }, usage })
    }
}

pub(crate) fn is_cancelled() -> bool {
    CANCEL.bound().is_some_and(|cancel| cancel.is_cancelled())
}

/// Makes a panic of a call an error. Its payload may hold anything, stored text included, so it is dropped here.
pub(crate) async fn caught(
    call: impl Future<Output = Result<ToolOutput, ToolError>>,
) -> Result<ToolOutput, ToolError> {
    AssertUnwindSafe(call).catch_unwind().await.unwrap_or(Err(ToolError::Panicked))
}

/// Cuts the longest results until all together fit the prompt, and says so where one was cut.
fn fit(done: &mut [Done], limit: usize) {
    let length =
        |d: &Done| if let Message::Tool { content, .. } = &d.message { content.chars().count() } else { 0 };
    let mut lengths: Vec<usize> = done.iter().map(length).collect();
    lengths.sort_unstable();
    // Short results are kept whole; what they leave is shared among the longer ones.
    let mut left = limit;
    let mut cap = usize::MAX;
    for (at, length) in lengths.iter().enumerate() {
        let share = left / (lengths.len() - at);
        if *length > share {
            cap = share;
            break;
        }
        left -= length;
    }
    for one in done {
        if let Message::Tool { content, .. } = &mut one.message
            && let Some((at, _)) = content.char_indices().nth(cap)
        {
            content.truncate(at);
            content.push_str(" [cut: the result was longer]");
        }
    }
}
