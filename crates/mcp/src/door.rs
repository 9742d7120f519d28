//! The door of a call: where the context of one MCP request begins.
//!
//! It is modelled as a boundary of its own, because a call outlives the HTTP request that brought it: the client of a
//! session may go away and fetch the answer later. Only the handler of this crate enters, with what the door in front
//! had bound for *this* message; what was bound when the connection began has no say.

use haversack::well_known::{
    CANCEL, Cancel, DEADLINE, Deadline, PRINCIPAL, REQUEST_ID, SESSION_ID, TENANT_ID, TRACE_CONTEXT,
};
use haversack::{Boundary, Refused, Visit};
use haversack_jobs::carried::{ACCESS_TOKEN, CREDENTIAL, HEADERS};

use crate::caller::Caller;
use crate::tool::progress::{PROGRESS, Progress};

/// One message of an MCP client. Tenant and principal come from the door in front and from nowhere else.
static MCP: Boundary = Boundary::new("mcp").requires(&[&TENANT_ID, &PRINCIPAL]);

/// What belongs to this message alone.
pub(crate) struct Message {
    pub(crate) cancel: Cancel,
    pub(crate) deadline: Deadline,
    pub(crate) progress: Progress,
}

/// Enters as this caller, for this message.
pub(crate) fn enter(caller: &Caller, message: Message) -> Result<Visit, Refused> {
    MCP.enter(|bindings| {
        let bindings = bindings
            .bind(&TENANT_ID, caller.tenant.clone())
            .bind(&PRINCIPAL, caller.principal.clone())
            .bind_some(&SESSION_ID, caller.session.clone())
            .bind_some(&REQUEST_ID, caller.request.clone())
            .bind_some(&TRACE_CONTEXT, caller.trace.clone())
            .bind_some(&HEADERS, caller.headers.clone())
            .bind_some(&ACCESS_TOKEN, caller.token.clone())
            .bind_some(&CREDENTIAL, caller.credential.clone());
        bindings
            .bind(&CANCEL, message.cancel)
            .bind(&DEADLINE, message.deadline)
            .bind(&PROGRESS, message.progress)
    })
}
