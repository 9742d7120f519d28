//! `process`: looks at, waits for and ends the background processes of the session.

use haversack::well_known::TENANT_ID;
use haversack_agent::tool::{Tool, ToolOutput, tool};
use schemars::JsonSchema;
use serde::Deserialize;

use super::told;
use crate::process::Processes;
use crate::session::SESSION_KEY;

/// The tool's name.
pub const PROCESS: &str = "process";

#[derive(Deserialize, JsonSchema)]
#[serde(tag = "action", rename_all = "snake_case", deny_unknown_fields)]
enum Arguments {
    /// Lists them.
    List,
    /// Looks at one. Its end is told to the conversation all the same.
    Poll {
        /// The process.
        id: String,
    },
    /// Waits for the end of one, which is then not told to the conversation.
    Wait {
        /// The process.
        id: String,
    },
    /// Ends one.
    Kill {
        /// The process.
        id: String,
    },
}

/// Makes the tool over these processes.
#[must_use]
pub fn process(processes: Processes) -> impl Tool {
    let description = "Lists, polls, waits for or kills the background processes of this conversation.";
    let run = move |arguments: Arguments| {
        let processes = processes.clone();
        async move {
            match arguments {
                Arguments::List => ToolOutput::json(&processes.list().map_err(told)?),
                Arguments::Poll { id } => ToolOutput::json(&processes.poll(&id).await.map_err(told)?),
                Arguments::Wait { id } => ToolOutput::json(&processes.wait(&id).await.map_err(told)?),
                Arguments::Kill { id } => ToolOutput::json(&processes.kill(&id).await.map_err(told)?),
            }
        }
    };
    tool(PROCESS, description, run).needing(&[&TENANT_ID, &SESSION_KEY])
}
