//! `terminal`: runs a command of the session, in the foreground or in the background.

use haversack::well_known::{PRINCIPAL, TENANT_ID, TenantId};
use haversack_agent::tool::{Tool, ToolError, ToolOutput, tool};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::told;
use crate::GatewayError;
use crate::approval::{Approvals, Decision};
use crate::process::{NewProcess, Processes};
use crate::session::{CAN_DELIVER_LATER, REPLY_ROUTE, SESSION_KEY};

/// The tool's name.
pub const TERMINAL_TOOL: &str = "terminal";

/// Longer commands are programs; they belong into a file.
const MAX_BYTES: usize = 16 * 1024;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Arguments {
    /// The command, for a POSIX shell.
    command: String,
    /// Whether to go on while it runs. Its end is told to this conversation.
    #[serde(default)]
    background: bool,
    /// For the background: whether its end is told. True when left out.
    #[serde(default)]
    notify: Option<bool>,
    /// For the background: lines that hold one of these texts are told at once.
    #[serde(default)]
    watch: Vec<String>,
}

#[derive(Serialize)]
struct Background {
    process: String,
}

/// Makes the tool over these processes.
#[must_use]
pub fn terminal(processes: Processes, approvals: Approvals) -> impl Tool {
    let description = "Runs a shell command in this customer's own folder. Long commands go to the background: you get the \
                       name of the process, and its end is told to this conversation.";
    let here = offered(&processes, &approvals);
    let run = move |arguments: Arguments| {
        let (processes, approvals) = (processes.clone(), approvals.clone());
        async move {
            let Arguments { command, background, notify, watch } = arguments;
            if command.trim().is_empty() || command.len() > MAX_BYTES {
                return Err(ToolError::Refused("a command has 1 to 16384 bytes"));
            }
            // A command works for a conversation: without one nothing is run, in the foreground either.
            SESSION_KEY.with(|_| ())?;
            let options = processes.options();
            if !options.serves(&TENANT_ID.get()?) {
                return Err(ToolError::Refused("commands are off here"));
            }
            let later = CAN_DELIVER_LATER.get()?;
            // The promise is not made where it cannot be kept, before anybody is asked or anything is run.
            if background && !later && !options.inline {
                return Err(told(GatewayError::CannotDeliverLater));
            }
            if options.ask && approvals.ask(&command).await.map_err(told)? == Decision::Deny {
                return Err(ToolError::Refused("the command was not approved"));
            }
            if background && later {
                let new = NewProcess { command, notify: notify.unwrap_or(true), watch };
                return ToolOutput::json(&Background { process: processes.start(new).await.map_err(told)? });
            }
            // Its own limit governs it, and not what other tools may take.
            let _own_limit = haversack_agent::clock::pause();
            ToolOutput::json(&processes.run(&command).await.map_err(told)?)
        }
    };
    tool(TERMINAL_TOOL, description, run)
        .needing(&[&TENANT_ID, &PRINCIPAL, &REPLY_ROUTE, &SESSION_KEY])
        .offered_where(here)
}

/// Returns a check that the current tenant may run commands and has an approver if one is required.
pub(super) fn offered(
    processes: &Processes,
    approvals: &Approvals,
) -> impl Fn() -> bool + Send + Sync + 'static {
    let (processes, approvals) = (processes.clone(), approvals.clone());
    move || {
        let options = processes.options();
        let on =
            |tenant: &TenantId| options.serves(tenant) && (!options.ask || approvals.has_approver(tenant));
        TENANT_ID.bound().is_some_and(|tenant| on(&tenant))
    }
}
