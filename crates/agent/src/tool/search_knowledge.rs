//! `search_knowledge`: searches the tenant's own folder of Markdown.
//!
//! The search reads files, so it runs on the blocking pool, in the context and under the span of its caller.
//! Specialists that are given it may call it; which folder is searched comes from the context.

use haversack::well_known::TENANT_ID;
use haversack_store::Scope;
use schemars::JsonSchema;
use serde::Deserialize;

use super::knowledge::Knowledge;
use super::{Tool, ToolOutput, tool};
use crate::computing::Computing;

/// The tool's name.
pub const SEARCH_KNOWLEDGE: &str = "search_knowledge";

const DEFAULT_LIMIT: usize = 4;
const MAX_LIMIT: usize = 10;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Arguments {
    /// What to look for, in a few words.
    query: String,
    /// How many sections at most, 1 to 10; 4 when left out.
    #[serde(default)]
    limit: Option<usize>,
}

/// Makes the tool over this knowledge.
#[must_use]
pub fn search_knowledge(knowledge: Knowledge) -> impl Tool {
    search_knowledge_in(knowledge, Computing::new())
}

/// As [`search_knowledge`], in places that other work of the tenant uses too.
pub(crate) fn search_knowledge_in(knowledge: Knowledge, computing: Computing) -> impl Tool {
    let description =
        "Searches the customer's own handbook: policies, opening times, instructions, troubleshooting.";
    let run = move |arguments: Arguments| {
        let (knowledge, computing) = (knowledge.clone(), computing.clone());
        async move {
            let limit = arguments.limit.unwrap_or(DEFAULT_LIMIT).clamp(1, MAX_LIMIT);
            let scope = Scope::current()?;
            let search = computing.run(move || {
                let _span = tracing::info_span!("blocking", what = "search_knowledge").entered();
                knowledge.search(&scope, &arguments.query, limit)
            });
            let found = search.await??;
            ToolOutput::json(&found)
        }
    };
    tool(SEARCH_KNOWLEDGE, description, run).needing(&[&TENANT_ID])
}
