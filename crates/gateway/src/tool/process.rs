//! `process`: looks at, waits for and ends the background processes of the session.

use haversack::well_known::TENANT_ID;
use haversack_agent::tool::{Tool, ToolOutput, tool};
use schemars::JsonSchema;
use serde::Deserialize;

use super::terminal::offered;
use super::told;
use crate::approval::Approvals;
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
    /// Waits a few minutes for the end of one, which is then not told to the conversation. Says that it runs when it does not end.
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
pub fn process(processes: Processes, approvals: &Approvals) -> impl Tool {
    let description = "Lists, polls, waits for or kills the background processes of this conversation.";
    let here = offered(&processes, approvals);
    let run = move |arguments: Arguments| {
        let processes = processes.clone();
        async move {
            match arguments {
                Arguments::List => ToolOutput::json(&processes.list().map_err(told)?),
                Arguments::Poll { id } => ToolOutput::json(&processes.poll(&id).await.map_err(told)?),
                Arguments::Wait { id } => {
                    // Its own limit governs it, and not what other tools may take.
                    let _own_limit = haversack_agent::clock::pause();
                    let waited = tokio::time::timeout(processes.options().wait, processes.wait(&id)).await;
                    let status = match waited {
                        Ok(ended) => ended,
                        Err(_) => processes.poll(&id).await,
                    };
                    ToolOutput::json(&status.map_err(told)?)
                }
                Arguments::Kill { id } => ToolOutput::json(&processes.kill(&id).await.map_err(told)?),
            }
        }
    };
    tool(PROCESS, description, run).needing(&[&TENANT_ID, &SESSION_KEY]).offered_where(here)
}
