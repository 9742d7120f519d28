//! The tools of a gateway: say something, schedule something, run something.
//!
//! Each reads where it is from the context, and nothing from the environment. What they may not do is told to the model in fixed
//! words; a missing or foreign context fails the turn. The program adds [`tools`] to its agents.

mod process;
mod schedule;
mod send_message;
mod target;
mod terminal;

use std::sync::Arc;

use haversack_agent::tool::{Tool, ToolError};

pub use process::{PROCESS, process};
pub use schedule::{SCHEDULE, schedule};
pub use send_message::{SEND_MESSAGE, send_message};
pub use terminal::{TERMINAL_TOOL, terminal};

use crate::GatewayError;
use crate::desk::Desk;

/// The tools of this desk: those for commands only when commands are configured.
#[must_use]
pub fn tools(desk: &Desk) -> Vec<Arc<dyn Tool>> {
    let mut tools: Vec<Arc<dyn Tool>> =
        vec![Arc::new(send_message(desk.clone())), Arc::new(schedule(desk.clone()))];
    if let Some(processes) = desk.processes() {
        tools.push(Arc::new(terminal(processes.clone(), desk.approvals().clone())));
        tools.push(Arc::new(process(processes.clone(), desk.approvals())));
    }
    tools
}

/// What those tools are called, before there is a desk: to check a configuration that names them.
#[must_use]
pub fn names(commands: bool) -> Vec<&'static str> {
    let mut names = vec![SEND_MESSAGE, SCHEDULE];
    if commands {
        names.extend([TERMINAL_TOOL, PROCESS]);
    }
    names
}

/// What a model is told: fixed words, because an error may hold what a tenant wrote.
fn told(error: GatewayError) -> ToolError {
    match error {
        GatewayError::Unbound(missing) => ToolError::Unbound(missing),
        GatewayError::Foreign(foreign) => ToolError::Foreign(foreign),
        GatewayError::Store(store) => ToolError::Store(store),
        GatewayError::CannotDeliverLater => ToolError::Refused(
            "this channel cannot be reached after its answer, so work in the background would end unheard; run it in \
             the foreground",
        ),
        GatewayError::NotFound { what: "schedule" } => ToolError::Refused("there is no such schedule"),
        GatewayError::NotFound { what: "process" } => {
            ToolError::Refused("there is no such process in this session")
        }
        GatewayError::NoGrant => ToolError::Refused("messages to another chat need a grant of the operator"),
        GatewayError::UnknownAccount => ToolError::Refused("there is no such account"),
        GatewayError::BadSchedule => ToolError::Refused(
            "this is no cron expression of five fields (minute hour day month weekday, UTC)",
        ),
        GatewayError::TooMany { what: "schedules" } => {
            ToolError::Refused("there are too many schedules; cancel one")
        }
        GatewayError::TooMany { what: "patterns" } => {
            ToolError::Refused("these are too many patterns to watch for")
        }
        GatewayError::TooMany { .. } => {
            ToolError::Refused("too many processes run in the background; end one first")
        }
        GatewayError::Io { source, .. } if source.kind() == std::io::ErrorKind::TimedOut => {
            ToolError::Refused("the command did not end in time and was killed; run it in the background")
        }
        GatewayError::Io { .. } => ToolError::Refused("the command could not be run"),
        _ => ToolError::Internal("the gateway could not do it"),
    }
}
