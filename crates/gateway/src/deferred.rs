//! What is said or done later carries the context that asked for it, sealed.
//!
//! One manifest lists what goes along: whose it is, where the answer goes, and the session. A row of the control file holds it
//! with its payload, encrypted for its tenant, table and id, so that neither words nor addresses stand in the clear in a
//! file that all tenants share, and no row can be passed off as another. The ledger, the schedules and the processes use it.

use haversack::well_known::{
    PRINCIPAL, Principal, REQUEST_ID, SESSION_ID, TENANT_ID, TRACE_CONTEXT, TenantId,
};
use haversack::{Manifest, SealedFor, Snapshot, Visit, manifest};
use haversack_store::KeyFile;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::GatewayError;
use crate::door::DEFERRED;
use crate::session::{
    CAN_DELIVER_LATER, CHAT_ID, CHAT_NAME, CHAT_TYPE, MESSAGE_ID, PLATFORM, PROFILE, REPLY_ROUTE, SCOPE_ID,
    SESSION_KEY, SOURCE, THREAD_ID, USER_ID, USER_NAME,
};

/// What deferred work takes along. The reply route is required: work that cannot be answered is not deferred.
static CARRIED: Manifest = manifest![
    TENANT_ID, PRINCIPAL, REPLY_ROUTE;
    SESSION_ID, REQUEST_ID, TRACE_CONTEXT, PLATFORM, SOURCE, CHAT_ID, CHAT_NAME, CHAT_TYPE, THREAD_ID, SCOPE_ID, USER_ID,
    USER_NAME, MESSAGE_ID, SESSION_KEY, PROFILE, CAN_DELIVER_LATER,
];

/// A context that was captured, with whose it is.
pub(crate) struct Captured {
    pub(crate) snapshot: Snapshot,
    pub(crate) tenant: TenantId,
    pub(crate) principal: Principal,
}

impl Captured {
    /// The current context.
    ///
    /// # Errors
    /// [`GatewayError::Unbound`] without a tenant, a principal or a reply route.
    #[track_caller]
    pub(crate) fn here() -> Result<Self, GatewayError> {
        let (tenant, principal) = (TENANT_ID.get()?, PRINCIPAL.get()?);
        REPLY_ROUTE.with(|_| ())?;
        let snapshot = CARRIED.capture().map_err(|error| sealed("capture the context", &error))?;
        Ok(Self { snapshot, tenant, principal })
    }

    /// Enters the door of deferred work with it.
    #[track_caller]
    pub(crate) fn enter(&self) -> Result<Visit, GatewayError> {
        enter(&self.snapshot)
    }
}

/// Enters the door of deferred work with a snapshot.
#[track_caller]
pub(crate) fn enter(snapshot: &Snapshot) -> Result<Visit, GatewayError> {
    snapshot
        .restore(&CARRIED, &DEFERRED, |bindings| bindings)
        .map_err(|error| sealed("restore a context", &error))
}

/// Enters the door anew for a piece of work that runs already: only its place in the trace comes along, which whoever runs it
/// has bound around it.
#[track_caller]
pub(crate) fn enter_within(snapshot: &Snapshot) -> Result<Visit, GatewayError> {
    snapshot
        .restore(&CARRIED, &DEFERRED, |bindings| bindings.keep(&TRACE_CONTEXT))
        .map_err(|error| sealed("restore a context", &error))
}

/// Seals payloads with their contexts, for one table.
#[derive(Clone, Debug)]
pub(crate) struct Sealer {
    keys: KeyFile,
    queue: &'static str,
}

impl Sealer {
    pub(crate) fn new(keys: KeyFile, queue: &'static str) -> Self {
        Self { keys, queue }
    }

    pub(crate) fn seal(
        &self,
        snapshot: &Snapshot,
        tenant: &str,
        id: &str,
        payload: &impl Serialize,
    ) -> Result<Vec<u8>, GatewayError> {
        let payload = serde_json::to_vec(payload).map_err(|error| sealed("write a payload", &error))?;
        let bound_to = SealedFor { tenant, queue: self.queue, id };
        self.keys.seal(snapshot, &payload, &bound_to).map_err(|error| sealed("seal", &error))
    }

    pub(crate) fn open<T: DeserializeOwned>(
        &self,
        envelope: &[u8],
        tenant: &str,
        id: &str,
    ) -> Result<(Snapshot, T), GatewayError> {
        let bound_to = SealedFor { tenant, queue: self.queue, id };
        let (snapshot, payload) =
            self.keys.unseal(envelope, &bound_to).map_err(|error| sealed("open what was sealed", &error))?;
        // The cause of a parse error may quote, and the payload is somebody's words.
        let payload = serde_json::from_slice(&payload)
            .map_err(|_| sealed("read a payload", &"it is not what this release writes"))?;
        Ok((snapshot, payload))
    }
}

fn sealed(what: &'static str, why: &dyn std::fmt::Display) -> GatewayError {
    GatewayError::Sealed { what, why: why.to_string() }
}
