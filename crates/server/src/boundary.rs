//! The doors: the only places of the product where a context begins. Each names what must be known before
//! work may start, and binds it from a source that the caller cannot choose. HTTP requests, turns, the
//! command line and the operator each have one.

use haversack::Boundary;
use haversack::well_known::{PRINCIPAL, SESSION_ID, TENANT_ID};

/// An authenticated HTTP request. Tenant and principal come from the API key alone.
pub static HTTP: Boundary = Boundary::new("http").requires(&[&TENANT_ID, &PRINCIPAL]);

/// One turn. It outlives the request that asked for it, so it has an entry of its own.
pub static TURN: Boundary = Boundary::new("turn").requires(&[&TENANT_ID, &PRINCIPAL, &SESSION_ID]);

/// A command that works in process, as `chat` without a server.
pub static CLI: Boundary = Boundary::new("cli").requires(&[&TENANT_ID, &PRINCIPAL]);

/// The operator, who alone may enter a tenant that is not the caller's. See [`crate::operator`].
pub static OPERATOR: Boundary = Boundary::new("operator").requires(&[&TENANT_ID, &PRINCIPAL]);
