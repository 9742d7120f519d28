//! `remember`: keeps a fact in the tenant's recall store.
//!
//! A fact has a text and may have a subject; a newer fact of the same subject supersedes the older.
//! Specialists that are given it may call it; the tenant, the session and the principal come from the
//! context.

use haversack::well_known::{PRINCIPAL, SESSION_ID, TENANT_ID};
use haversack_memory::Memory;
use haversack_memory::recall::{NewMemory, Outcome, Source};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Tool, ToolError, ToolOutput, tool};

/// The tool's name.
pub const REMEMBER: &str = "remember";

/// Longer texts are documents, not facts.
const MAX_CHARS: usize = 2_000;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Arguments {
    /// The fact, one sentence that can be understood alone.
    text: String,
    /// What the fact is about, such as `delivery address`. A newer fact of the same subject replaces the
    /// older.
    #[serde(default)]
    subject: Option<String>,
}

#[derive(Serialize)]
struct Answer {
    outcome: &'static str,
    replaced: usize,
}

/// Makes the tool over these memory layers.
#[must_use]
pub fn remember(memory: Memory) -> impl Tool {
    let description =
        "Keeps a fact about this customer for later conversations. Use it for every lasting fact.";
    let run = move |arguments: Arguments| {
        let memory = memory.clone();
        async move {
            let text = arguments.text.trim().to_owned();
            if text.is_empty() {
                return Err(ToolError::Refused("there is no text to remember"));
            }
            if text.chars().count() > MAX_CHARS {
                return Err(ToolError::Refused(
                    "the text is too long to remember; keep it under 2000 characters",
                ));
            }
            let subject = arguments.subject.map(|s| s.trim().to_lowercase()).filter(|s| !s.is_empty());
            let new = NewMemory { text, subject, source: Source::User };
            let remembered = memory.recall()?.remember(new).await?;
            let (outcome, replaced) = match remembered.outcome {
                Outcome::New => ("new", 0),
                Outcome::Duplicate => ("duplicate", 0),
                Outcome::Superseded(old) => ("superseded", old.len()),
            };
            ToolOutput::json(&Answer { outcome, replaced })
        }
    };
    tool(REMEMBER, description, run).needing(&[&TENANT_ID, &PRINCIPAL, &SESSION_ID])
}
