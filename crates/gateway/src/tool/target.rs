//! Where a tool may speak: where it was asked, or where the account grants it.
//!
//! The route of the current context needs no grant. Any other place must be on an account of the same tenant that grants the
//! chat. Sending and scheduling ask.

use haversack::well_known::TENANT_ID;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::desk::Desk;
use crate::session::REPLY_ROUTE;
use crate::{GatewayError, ReplyRoute};

/// Another place, as a model names it.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Target {
    /// The chat.
    chat: String,
    /// The thread within it.
    #[serde(default)]
    thread: Option<String>,
    /// The account, when it is another one than that of this conversation.
    #[serde(default)]
    account: Option<String>,
}

/// The route to a place; without one, where the current context's answer goes.
#[track_caller]
pub(super) fn route(desk: &Desk, target: Option<Target>) -> Result<ReplyRoute, GatewayError> {
    let here = REPLY_ROUTE.get()?;
    let Some(Target { chat, thread, account }) = target else { return Ok(here) };
    let name = account.as_deref().unwrap_or(here.account());
    let found = desk.accounts().iter().find(|known| known.name == name);
    let tenant = TENANT_ID.get()?;
    // An account of another tenant is as unknown as one that does not exist.
    let found = found.filter(|known| known.tenant == tenant).ok_or(GatewayError::UnknownAccount)?;
    let callback = here.callback().filter(|_| found.name == here.account());
    let there = ReplyRoute::new(&found.platform, &found.name, &chat)
        .in_thread(thread.as_deref())
        .by_callback(callback);
    match there.same_place(&here) || found.grants(&chat) {
        true => Ok(there),
        false => Err(GatewayError::NoGrant),
    }
}
