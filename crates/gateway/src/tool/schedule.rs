//! `schedule`: has the agent told something again and again, and the answers sent where it was asked for.

use haversack::well_known::{PRINCIPAL, TENANT_ID};
use haversack_agent::tool::{Tool, ToolError, ToolOutput, tool};
use schemars::JsonSchema;
use serde::Deserialize;

use super::target::{Target, route};
use super::told;
use crate::GatewayError;
use crate::cron::NewSchedule;
use crate::desk::Desk;
use crate::session::{CAN_DELIVER_LATER, REPLY_ROUTE, SESSION_KEY};

/// The tool's name.
pub const SCHEDULE: &str = "schedule";

/// Longer prompts are documents.
const MAX_CHARS: usize = 8_000;

#[derive(Deserialize, JsonSchema)]
#[serde(tag = "action", rename_all = "snake_case", deny_unknown_fields)]
enum Arguments {
    /// Makes a schedule.
    Create {
        /// When, as five cron fields in UTC: minute, hour, day of month, month, day of week.
        expression: String,
        /// What to do each time, in words that can be understood alone.
        prompt: String,
        /// Where the answers go. Leave it out for this conversation.
        #[serde(default)]
        deliver_to: Option<Target>,
    },
    /// Lists the schedules of this person.
    List,
    /// Ends a schedule.
    Cancel {
        /// The schedule.
        id: String,
    },
}

/// Makes the tool over this desk.
#[must_use]
pub fn schedule(desk: Desk) -> impl Tool {
    let description = "Does something at set times: creates, lists or cancels schedules. A schedule runs by itself, with \
                       nobody there to ask, and sends its answers to this conversation unless another place is given.";
    let run = move |arguments: Arguments| {
        let desk = desk.clone();
        async move {
            let schedules = desk.schedules();
            match arguments {
                Arguments::Create { expression, prompt, deliver_to } => {
                    if prompt.trim().is_empty() || prompt.chars().count() > MAX_CHARS {
                        return Err(ToolError::Refused("a prompt has 1 to 8000 characters"));
                    }
                    let to = route(&desk, deliver_to).map_err(told)?;
                    if to.same_place(&REPLY_ROUTE.get()?) && !CAN_DELIVER_LATER.get()? {
                        return Err(told(GatewayError::CannotDeliverLater));
                    }
                    let new = NewSchedule { expression, prompt, to: Some(to) };
                    ToolOutput::json(&schedules.create(new).await.map_err(told)?)
                }
                Arguments::List => ToolOutput::json(&schedules.list().await.map_err(told)?),
                Arguments::Cancel { id } => {
                    schedules.cancel(&id).await.map_err(told)?;
                    ToolOutput::json(&"cancelled")
                }
            }
        }
    };
    tool(SCHEDULE, description, run).needing(&[&TENANT_ID, &PRINCIPAL, &REPLY_ROUTE, &SESSION_KEY])
}
