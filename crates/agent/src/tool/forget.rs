//! `forget`: erases one fact from the tenant's recall store.
//!
//! A principal can erase what they told themselves. The tenant and the principal come from the context; an id of another
//! tenant is not found. Specialists that are given it may call it.

use haversack::well_known::{PRINCIPAL, TENANT_ID};
use haversack_memory::Memory;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Tool, ToolError, ToolOutput, tool};

/// The tool's name.
pub const FORGET: &str = "forget";

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Arguments {
    /// The id of the fact, as `recall` gives it.
    id: String,
}

#[derive(Serialize)]
struct Answer {
    forgotten: bool,
}

/// Makes the tool over these memory layers.
#[must_use]
pub fn forget(memory: Memory) -> impl Tool {
    let description =
        "Erases a fact for good, on the request of the one who told it. Find its id with `recall` first.";
    let run = move |arguments: Arguments| {
        let memory = memory.clone();
        async move {
            let asks = PRINCIPAL.get()?;
            let memories = memory.recall()?;
            let Some(fact) = memories.get(&arguments.id).await? else {
                return Err(ToolError::Refused("there is no fact with this id"));
            };
            if fact.principal.as_deref() != Some(asks.as_str()) {
                return Err(ToolError::Refused("only the one who told a fact can have it forgotten"));
            }
            ToolOutput::json(&Answer { forgotten: memories.forget(&arguments.id).await? })
        }
    };
    tool(FORGET, description, run).needing(&[&TENANT_ID, &PRINCIPAL])
}
