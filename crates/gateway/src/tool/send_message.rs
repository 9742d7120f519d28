//! `send_message`: says something before the answer, here or where a grant allows it.

use haversack::well_known::{PRINCIPAL, TENANT_ID};
use haversack_agent::tool::{Tool, ToolError, ToolOutput, tool};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::target::{Target, route};
use super::told;
use crate::GatewayError;
use crate::desk::Desk;
use crate::ledger::Say;
use crate::session::{CAN_DELIVER_LATER, REPLY_ROUTE};

/// The tool's name.
pub const SEND_MESSAGE: &str = "send_message";

/// Longer texts are documents.
const MAX_CHARS: usize = 16_000;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Arguments {
    /// What to say.
    text: String,
    /// Another chat. Leave it out to speak in this conversation.
    #[serde(default)]
    to: Option<Target>,
}

#[derive(Serialize)]
struct Answer {
    delivery: String,
}

/// Makes the tool over this desk.
#[must_use]
pub fn send_message(desk: Desk) -> impl Tool {
    let description = "Sends a message now, before your answer: to this conversation, or to another chat that you were \
                       given leave for. Your answer itself is sent without this tool.";
    let run = move |arguments: Arguments| {
        let desk = desk.clone();
        async move {
            let Arguments { text, to } = arguments;
            if text.trim().is_empty() {
                return Err(ToolError::Refused("there is no text to send"));
            }
            if text.chars().count() > MAX_CHARS {
                return Err(ToolError::Refused("the text is too long to send; keep it under 16000 characters"));
            }
            let to = route(&desk, to).map_err(told)?;
            if to.same_place(&REPLY_ROUTE.get()?) && !CAN_DELIVER_LATER.get()? {
                return Err(told(GatewayError::CannotDeliverLater));
            }
            let delivery = desk.ledger().submit(Say { id: None, text, to: Some(to) }).await.map_err(told)?;
            ToolOutput::json(&Answer { delivery })
        }
    };
    tool(SEND_MESSAGE, description, run).needing(&[&TENANT_ID, &PRINCIPAL, &REPLY_ROUTE])
}
