//! A specialist: asks the model, runs the tools it asks for, until there is an answer.
//!
//! The loop is bounded by steps, by the token budget of each call, and by the turn's cancellation and
//! deadline. It reads nothing of its own: the material comes from the supervisor, everything else from tools.
//! Only the supervisor hands over to it.

use std::collections::HashSet;

use haversack::well_known::SessionId;
use haversack_memory::buffer::Manifest;

use crate::error::TurnError;
use crate::event::{EventSink, TurnEvent};
use crate::model::{Message, ModelError, ToolCall, ToolChoice, complete};
use crate::prompt::{Material, Prompt};
use crate::tool::Toolbox;
use crate::turn::{MemoryReport, Reply, ToolUse, Turn, TurnId};

/// A configured specialist with its tools.
#[derive(Debug)]
pub(crate) struct Specialist {
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) prompt: String,
    pub(crate) tools: Toolbox,
}

/// What a specialist gives back: a reply but for the turn's own names, and the way to it.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) agent: String,
    model: String,
    text: String,
    tools: Vec<ToolUse>,
    memory: MemoryReport,
    manifest: Manifest,
    steps: Vec<Vec<Message>>,
}

impl Answer {
    pub(crate) fn into_reply(self, turn: TurnId, session: &SessionId) -> (Reply, Vec<Vec<Message>>) {
        let Self { agent, model, text, tools, memory, manifest, steps } = self;
        let session = session.as_str().to_owned();
        let reply = Reply { turn, session, text, agent, model, tools, memory, manifest, replayed: false };
        (reply, steps)
    }
}

/// Works on a turn until there is an answer or a limit is reached.
pub(crate) async fn answer(
    turn: &Turn,
    specialist: &Specialist,
    material: Material,
    memory: MemoryReport,
    events: &EventSink,
) -> Result<Answer, TurnError> {
    let agents = &turn.agents;
    let limits = &agents.config().limits;
    let (mut steps, mut used) = (Vec::new(), Vec::new());
    for _ in 0..limits.steps {
        let prompt = Prompt {
            instructions: &specialist.prompt,
            material: &material,
            steps: &steps,
            tools: specialist.tools.specs(),
            choice: ToolChoice::Auto,
        };
        let (request, manifest) = prompt.assemble(turn.entry, limits.buffer_tokens)?;
        let tell = |text: &str| Ok(events.emit(TurnEvent::TextDelta { text: text.to_owned() })?);
        let completion = complete(agents.model(), request, tell).await?;
        let text = completion.text;
        if completion.calls.is_empty() {
            if text.trim().is_empty() {
                return Err(ModelError::Malformed("an answer without text and without tool calls").into());
            }
            let (agent, model) = (specialist.name.clone(), agents.model().name().to_owned());
            return Ok(Answer { agent, model, text, tools: used, memory, manifest, steps });
        }
        let calls = with_unique_ids(completion.calls, &steps);
        let done = agents.dispatch().run(turn.entry, &specialist.tools, &calls, events).await?;
        let mut step = vec![Message::Assistant { text, calls }];
        for one in done {
            step.push(one.message);
            used.push(one.usage);
        }
        steps.push(step);
    }
    Err(TurnError::Budget { steps: limits.steps })
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
