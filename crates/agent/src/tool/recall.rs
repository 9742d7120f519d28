//! `recall`: searches the tenant's recall store.
//!
//! The answer says how it searched and what it could not see, so that "nothing found" is not mistaken for
//! "not searched". Specialists that are given it may call it; whose memories are searched comes from the
//! context.

use haversack::well_known::{PRINCIPAL, SESSION_ID, TENANT_ID};
use haversack_memory::{Memory, Mode, Query};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Tool, ToolOutput, tool};

/// The tool's name.
pub const RECALL: &str = "recall";

const DEFAULT_LIMIT: usize = 8;
const MAX_LIMIT: usize = 20;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Arguments {
    /// A few words to look for. Without it, the newest facts are listed.
    #[serde(default)]
    query: Option<String>,
    /// How many facts at most, 1 to 20; 8 when left out.
    #[serde(default)]
    limit: Option<usize>,
}

/// What the tool answers; the offline model reads it back.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Answer {
    /// The facts, best first.
    pub(crate) hits: Vec<Fact>,
    /// How the search worked, such as `lexical`.
    pub(crate) mode: Mode,
    /// Facts that were searched.
    pub(crate) rows_in_fence: u64,
    /// Facts that this kind of search cannot see.
    pub(crate) rows_outside: u64,
    /// Why the search was worse than configured, if it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) degraded: Option<String>,
}

/// One fact.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Fact {
    /// Names the fact, for `forget`.
    pub(crate) id: String,
    pub(crate) text: String,
    /// The principal who told it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) told_by: Option<String>,
    /// True if the caller told it.
    pub(crate) yours: bool,
    pub(crate) score: f64,
    /// Milliseconds since the Unix epoch, UTC.
    pub(crate) created_at: i64,
    /// Whether it was told in the session that asks.
    pub(crate) this_session: bool,
}

/// Makes the tool over these memory layers.
#[must_use]
pub fn recall(memory: Memory) -> impl Tool {
    let description =
        "Searches what this customer said before, in any conversation. Use it before asking again.";
    let run = move |arguments: Arguments| {
        let memory = memory.clone();
        async move {
            let limit = arguments.limit.unwrap_or(DEFAULT_LIMIT).clamp(1, MAX_LIMIT);
            let session = SESSION_ID.get()?;
            let asks = PRINCIPAL.bound();
            let memories = memory.recall()?;
            let found = match arguments.query {
                Some(text) => memories.search(Query { text, limit }).await?,
                None => memories.newest(limit).await?,
            };
            let facts = found.hits.into_iter().map(|hit| Fact {
                this_session: hit.session.as_deref() == Some(session.as_str()),
                id: hit.id,
                text: hit.text,
                yours: hit
                    .principal
                    .as_deref()
                    .is_some_and(|by| asks.as_ref().is_some_and(|asks| asks.as_str() == by)),
                told_by: hit.principal,
                score: hit.score,
                created_at: hit.created_at,
            });
            ToolOutput::json(&Answer {
                hits: facts.collect(),
                mode: found.mode,
                rows_in_fence: found.rows_in_fence,
                rows_outside: found.rows_outside,
                degraded: found.degraded.map(str::to_owned),
            })
        }
    };
    tool(RECALL, description, run).needing(&[&TENANT_ID, &SESSION_ID])
}
