//! The supervisor: reads what the session has learnt, recalls, and hands the turn to a specialist.
//!
//! It takes neither tenant nor session: both layers of memory are handles of the turn, made from the context.
//! The choice is a model call like any other, with one `transfer_to_<name>` tool for each specialist. Only a
//! running turn calls it.

use std::sync::Arc;

use haversack_memory::{Query, Recalled};
use serde_json::json;
use tracing::Instrument;

use crate::error::TurnError;
use crate::event::{EventSink, TurnEvent};
use crate::history::Past;
use crate::model::ToolChoice;
use crate::prompt::{Material, Prompt};
use crate::specialist::{Answer, Specialist};
use crate::tool::ToolSpec;
use crate::turn::{MemoryReport, Turn};

/// Facts that are recalled for every message, whatever it says.
const RECALLED: usize = 8;

/// What a hand-over tool is called: this, and the specialist's name.
pub(crate) const TRANSFER_TO: &str = "transfer_to_";

/// Leads a turn from its message to an answer.
pub(crate) async fn lead(turn: &Turn, past: Past, events: &EventSink) -> Result<Answer, TurnError> {
    let prepared = prepare(turn, past).instrument(tracing::info_span!("supervisor"));
    let (material, memory, specialist) = prepared.await?;
    events.emit(TurnEvent::Agent { name: specialist.name.clone() })?;
    let span = tracing::info_span!("specialist", name = %specialist.name);
    let desk = turn.agents.desk();
    let worked = desk.work(turn.entry, specialist, &material, events, Some(turn)).instrument(span).await?;
    Ok(Answer {
        agent: specialist.name.clone(),
        model: turn.agents.model().name().to_owned(),
        memory,
        worked,
    })
}

async fn prepare(turn: &Turn, past: Past) -> Result<(Arc<Material>, MemoryReport, &Specialist), TurnError> {
    let message = turn.request.message.clone();
    let recall = turn.recall.search(Query { text: message.clone(), limit: RECALLED });
    let (attempts, recalled) = tokio::join!(turn.session.attempts(), recall);
    let (attempts, recalled): (_, Recalled) = (attempts?, recalled?);
    let memory = MemoryReport::from(&recalled);
    let material = Material { attempts, facts: recalled.hits, past, message, ..Material::default() };
    let material = Arc::new(material);
    let specialist = choose(turn, &material).await?;
    Ok((material, memory, specialist))
}

async fn choose<'t>(turn: &'t Turn, material: &Arc<Material>) -> Result<&'t Specialist, TurnError> {
    let agents = &turn.agents;
    let first = agents.specialists().first().ok_or(TurnError::Internal("there are no specialists"))?;
    if agents.specialists().len() == 1 {
        return Ok(first);
    }
    let tools: Vec<ToolSpec> = agents.specialists().iter().map(handover).collect();
    let (instructions, budget) =
        (agents.config().supervisor.prompt.clone(), agents.config().limits.buffer_tokens);
    let (material, entry) = (Arc::clone(material), turn.entry);
    let prompt = move || {
        let (instructions, material) = (instructions.as_str(), &*material);
        let prompt = Prompt { instructions, material, steps: &[], tools, choice: ToolChoice::Required };
        prompt.assemble(entry, budget)
    };
    let (completion, _) = agents.desk().ask(prompt, |_| Ok(())).await?;
    let named = completion.calls.iter().find_map(|call| {
        let name = call.name.strip_prefix(TRANSFER_TO)?;
        agents.specialists().iter().find(|specialist| specialist.name == name)
    });
    if named.is_none() {
        tracing::info!("the model named no specialist; the first one takes the turn");
    }
    Ok(named.unwrap_or(first))
}

fn handover(specialist: &Specialist) -> ToolSpec {
    ToolSpec {
        name: format!("{TRANSFER_TO}{}", specialist.name),
        description: specialist.description.clone(),
        parameters: json!({ "type": "object", "properties": {}, "additionalProperties": false }),
    }
}
