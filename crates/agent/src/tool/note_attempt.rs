//! `note_attempt`: writes down what was tried in this session and how it went.
//!
//! It feeds the session-learning cache, which the supervisor reads before each turn, so that nobody is told
//! twice to do what already failed. Specialists that are given it may call it.

use haversack::well_known::{SESSION_ID, TENANT_ID};
use haversack_memory::Memory;
use haversack_memory::session::{NewAttempt, Outcome};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Tool, ToolError, ToolOutput, tool};

/// The tool's name.
pub const NOTE_ATTEMPT: &str = "note_attempt";

const MAX_CHARS: usize = 500;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Arguments {
    /// What was tried, in a few words, such as `restarting the scanner`.
    action: String,
    /// How it went.
    outcome: Went,
    /// Anything worth knowing about it.
    #[serde(default)]
    detail: Option<String>,
}

#[derive(Deserialize, JsonSchema, Clone, Copy)]
#[serde(rename_all = "snake_case")]
enum Went {
    Worked,
    Failed,
    Unknown,
}

#[derive(Serialize)]
struct Answer {
    noted: bool,
}

/// Makes the tool over these memory layers.
#[must_use]
pub fn note_attempt(memory: Memory) -> impl Tool {
    let description = "Notes what the customer already tried in this conversation and whether it helped.";
    let run = move |arguments: Arguments| {
        let memory = memory.clone();
        async move {
            let action = arguments.action.trim().to_owned();
            if action.is_empty() {
                return Err(ToolError::Refused("there is no action to note"));
            }
            if action.chars().count() > MAX_CHARS {
                return Err(ToolError::Refused("the action is too long; keep it under 500 characters"));
            }
            let outcome = match arguments.outcome {
                Went::Worked => Outcome::Worked,
                Went::Failed => Outcome::Failed,
                Went::Unknown => Outcome::Unknown,
            };
            memory.session()?.note(NewAttempt { action, outcome, detail: arguments.detail }).await?;
            ToolOutput::json(&Answer { noted: true })
        }
    };
    tool(NOTE_ATTEMPT, description, run).needing(&[&TENANT_ID, &SESSION_ID])
}
