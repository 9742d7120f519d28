//! The doors: the only places of the product where a context begins. Each names what must be known before
//! work may start, and binds it from a source that the caller cannot choose. HTTP requests, turns, the
//! command line and the operator each have one.

use haversack::well_known::{PRINCIPAL, REQUEST_ID, SESSION_ID, SessionId, TENANT_ID, TRACE_CONTEXT};
use haversack::{Bindings, Boundary, Refused, Visit};
use haversack_jobs::carried::{CREDENTIAL, HEADERS};

use crate::telemetry::trace::{LINK, TRACE_STATE};

/// An authenticated HTTP request. Tenant and principal come from the API key alone.
pub static HTTP: Boundary = Boundary::new("http").requires(&[&TENANT_ID, &PRINCIPAL]);

/// One turn. It outlives the request that asked for it, so it has an entry of its own.
pub static TURN: Boundary = Boundary::new("turn").requires(&[&TENANT_ID, &PRINCIPAL, &SESSION_ID]);

/// What is asked for in a session without saying anything in it: a job, its end. It comes from a request, whose tenant
/// and principal it has, and the session was looked for among theirs.
pub static SESSION: Boundary = Boundary::new("session").requires(&[&TENANT_ID, &PRINCIPAL, &SESSION_ID]);

/// A command that works in process, as `chat` without a server.
pub static CLI: Boundary = Boundary::new("cli").requires(&[&TENANT_ID, &PRINCIPAL]);

/// The operator, who alone may enter a tenant that is not the caller's. See [`crate::operator`].
pub static OPERATOR: Boundary = Boundary::new("operator").requires(&[&TENANT_ID, &PRINCIPAL]);

/// Takes along, through a door within, what is known about the request and the message that asked. What is unbound here
/// stays unbound there.
#[track_caller]
pub(crate) fn along(bindings: Bindings) -> Bindings {
    haversack_gateway::session::along(bindings)
        .keep(&REQUEST_ID)
        .keep(&TRACE_CONTEXT)
        .keep(&LINK)
        .keep(&TRACE_STATE)
        .keep(&CREDENTIAL)
        .keep(&HEADERS)
}

/// Enters a session of the current tenant and principal. Whether it is theirs was asked before.
///
/// # Errors
/// [`Refused`] outside any door.
#[track_caller]
pub(crate) fn in_session(session: SessionId) -> Result<Visit, Refused> {
    SESSION.enter(|bind| along(bind).keep(&TENANT_ID).keep(&PRINCIPAL).bind(&SESSION_ID, session))
}
