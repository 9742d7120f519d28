//! A specialist: asks the model, runs the tools it asks for, until there is an answer.
//!
//! The loop is bounded by steps, by the token budget of each call, and by the turn's cancellation and
//! deadline. It reads nothing of its own: the material comes from whoever hands over, everything else from
//! tools. The supervisor hands turns over to it, and crews hand over tasks.

use std::collections::HashSet;
use std::sync::Arc;

use haversack::Entry;
use haversack::well_known::SessionId;
use haversack_memory::buffer::Manifest;

use crate::agent::LimitsConfig;
use crate::computing::Computing;
use crate::error::TurnError;
use crate::event::{EventSink, TurnEvent};
use crate::model::{
    Begun, ChatModel, ChatRequest, Completion, Message, ModelError, ToolCall, ToolChoice, in_time,
};
use crate::prompt::{Material, Prompt};
use crate::tool::Toolbox;
use crate::tool::dispatch::Dispatch;
use crate::turn::{MemoryReport, Reply, ToolUse, Turn, TurnId};

/// A configured specialist with its tools.
#[derive(Debug, Clone)]
pub(crate) struct Specialist {
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) prompt: String,
    pub(crate) tools: Toolbox,
}

/// The end of a reply that the provider cut at its length limit.
const CUT: &str = "\n\n[The answer was cut at the model's length limit.]";
/// The instruction for the last call of a turn that has used up its steps.
const LAST: &str =
    "No more tools can be called in this turn. Answer with what is known by now, and say what is missing.";

/// What every specialist works with. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Desk {
    pub(crate) model: Arc<dyn ChatModel>,
    pub(crate) dispatch: Dispatch,
    pub(crate) computing: Computing,
    pub(crate) limits: LimitsConfig,
}

/// What a specialist has found, and the way to it.
#[derive(Debug)]
pub(crate) struct Worked {
    pub(crate) text: String,
    tools: Vec<ToolUse>,
    manifest: Manifest,
    steps: Vec<Vec<Message>>,
}

/// A reply but for the turn's own names.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) agent: String,
    pub(crate) model: String,
    pub(crate) memory: MemoryReport,
    pub(crate) worked: Worked,
}

impl Answer {
    pub(crate) fn into_reply(self, turn: TurnId, session: &SessionId) -> (Reply, Vec<Vec<Message>>) {
        let Self { agent, model, memory, worked } = self;
        let Worked { text, tools, manifest, steps } = worked;
        let session = session.as_str().to_owned();
        let reply = Reply {
            turn,
            session,
            text,
            agent,
            model,
            tools,
            memory,
            manifest,
            replayed: false,
            added: false,
        };
        (reply, steps)
    }
}

impl Desk {
    /// Works until there is an answer or a limit is reached. What is added to `turn` meanwhile is heard before each call.
    pub(crate) async fn work(
        &self,
        entry: Entry,
        specialist: &Specialist,
        material: &Arc<Material>,
        events: &EventSink,
        turn: Option<&Turn>,
    ) -> Result<Worked, TurnError> {
        let limits = &self.limits;
        let (mut steps, mut tools) = (Arc::new(Vec::new()), Vec::new());
        // What this channel lacks makes the list shorter, and never ends the turn.
        let offered = specialist.tools.here().specs();
        let mut left = limits.steps;
        let mut empty = false;
        loop {
            if let Some(turn) = turn
                && turn.hear(Arc::make_mut(&mut steps)).await?
            {
                // Words are worth as many steps as they would have had in a turn of their own.
                left = limits.steps;
            }
            // With its steps used up, a turn still ends with an answer: one more call that may not use tools.
            let last = left == 0;
            let choice = if last { ToolChoice::Never } else { ToolChoice::Auto };
            let instructions =
                if last { format!("{}\n\n{LAST}", specialist.prompt) } else { specialist.prompt.clone() };
            left = left.saturating_sub(1);
            let (material, so_far) = (Arc::clone(material), Arc::clone(&steps));
            let (tools_of_it, budget) = (offered.clone(), limits.buffer_tokens);
            let prompt = move || {
                let prompt = Prompt {
                    instructions: &instructions,
                    material: &material,
                    steps: &so_far,
                    tools: tools_of_it,
                    choice,
                };
                prompt.assemble(entry, budget)
            };
            let tell = |text: &str| Ok(events.emit(TurnEvent::TextDelta { text: text.to_owned() })?);
            let (completion, manifest) = self.ask(prompt, tell).await?;
            let mut text = completion.text;
            if completion.calls.is_empty() {
                if text.trim().is_empty() {
                    if empty {
                        let why = "two answers in a row without text and without tool calls";
                        return Err(ModelError::Malformed(why).into());
                    }
                    // Models do that once in a while; the same question then gets an answer.
                    (empty, left) = (true, left.saturating_add(1));
                    continue;
                }
                if completion.cut {
                    text.push_str(CUT);
                    events.emit(TurnEvent::TextDelta { text: CUT.to_owned() })?;
                }
                return Ok(Worked { text, tools, manifest, steps: Arc::unwrap_or_clone(steps) });
            }
            if last {
                return Err(TurnError::Budget { steps: limits.steps });
            }
            let calls = with_unique_ids(completion.calls, &steps);
            let done = self.dispatch.run(entry, &specialist.tools, &calls, events).await?;
            let mut step = vec![Message::Assistant { text, calls, thoughts: completion.thoughts }];
            for one in done {
                step.push(one.message);
                tools.push(one.usage);
            }
            Arc::make_mut(&mut steps).push(step);
        }
    }

    /// Makes a prompt and begins the model's call on the blocking pool, in one of the tenant's places there, and reads the
    /// answer.
    pub(crate) async fn ask(
        &self,
        prompt: impl FnOnce() -> Result<(ChatRequest, Manifest), TurnError> + Send + 'static,
        on_text: impl FnMut(&str) -> Result<(), TurnError>,
    ) -> Result<(Completion, Manifest), TurnError> {
        let (model, span) = (Arc::clone(&self.model), tracing::Span::current());
        let begin = move || {
            let (request, manifest) = prompt()?;
            Ok::<_, TurnError>((Begun::new(&*model, request, &span), manifest))
        };
        let answered = async {
            let (begun, manifest) = self.computing.run(begin).await??;
            Ok((begun.finish(on_text).await?, manifest))
        };
        in_time(answered).await
    }
}

/// Some providers number the calls of each answer from zero; in a turn an id must mean one call.
fn with_unique_ids(mut calls: Vec<ToolCall>, steps: &[Vec<Message>]) -> Vec<ToolCall> {
    let earlier = steps.iter().flatten().flat_map(|message| match message {
        Message::Assistant { calls, .. } => calls.as_slice(),
        _ => &[],
    });
    let mut taken: HashSet<String> = earlier.map(|call| call.id.clone()).collect();
    for call in &mut calls {
        let mut id = call.id.clone();
        let mut number = 1;
        while !taken.insert(id.clone()) {
            number += 1;
            id = format!("{}_{number}", call.id);
        }
        call.id = id;
    }
    calls
}
