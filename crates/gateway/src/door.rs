//! The doors of the gateway: where the context of a message, of a schedule and of deferred work begins.
//!
//! Each starts from the empty context and demands the reply route, so no work of this crate runs without knowing
//! where its answer goes. Tenant and principal come from the configured account, or from a sealed snapshot that was
//! taken behind one of these doors; nobody else enters here.

use haversack::Boundary;
use haversack::well_known::{PRINCIPAL, SESSION_ID, TENANT_ID};

use crate::session::{MESSAGE_ID, PLATFORM, REPLY_ROUTE, SESSION_KEY};

/// A message that arrived, and once more the turn that answers it.
pub static GATEWAY: Boundary = Boundary::new("gateway").requires(&[
    &TENANT_ID,
    &PRINCIPAL,
    &SESSION_ID,
    &SESSION_KEY,
    &PLATFORM,
    &MESSAGE_ID,
    &REPLY_ROUTE,
]);

/// A schedule that is due. It runs as itself: whoever made it is not there.
pub static CRON: Boundary = Boundary::new("cron").requires(&[
    &TENANT_ID,
    &PRINCIPAL,
    &SESSION_ID,
    &SESSION_KEY,
    &PLATFORM,
    &REPLY_ROUTE,
]);

/// Something said after its turn: a delivery, or the end of a background process. Bound from a sealed snapshot.
pub static DEFERRED: Boundary = Boundary::new("deferred").requires(&[&TENANT_ID, &PRINCIPAL, &REPLY_ROUTE]);
