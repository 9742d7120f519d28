//! What leaves the process: the one list of variables that travel into jobs, sealed. Whoever wants another variable to be
//! there in a worker adds it here, where it is reviewed; what is not listed is left behind, and a read of it says so.

use haversack::well_known::{PRINCIPAL, REQUEST_ID, SESSION_ID, TENANT_ID, TRACE_CONTEXT};
use haversack::{Manifest, manifest};
use haversack_gateway::session::{
    CAN_DELIVER_LATER, CHAT_ID, CHAT_NAME, CHAT_TYPE, MESSAGE_ID, PLATFORM, PROFILE, REPLY_ROUTE, SCOPE_ID,
    SESSION_KEY, SOURCE, THREAD_ID, USER_ID, USER_NAME,
};
use haversack_jobs::carried::{CREDENTIAL, HEADERS};

use crate::telemetry::trace::{LINK, TRACE_STATE};

/// What a job takes along. Without tenant and principal nothing is submitted.
pub static JOB: Manifest = manifest![
    TENANT_ID, PRINCIPAL;
    SESSION_ID, REQUEST_ID, TRACE_CONTEXT, LINK, TRACE_STATE,
    // The key that asked, by its id, and facts of the request. The key itself never leaves the door.
    CREDENTIAL, HEADERS,
    // Where the answer goes, and for whom.
    REPLY_ROUTE, PLATFORM, SOURCE, CHAT_ID, CHAT_NAME, CHAT_TYPE, THREAD_ID, SCOPE_ID, USER_ID, USER_NAME, MESSAGE_ID,
    SESSION_KEY, PROFILE, CAN_DELIVER_LATER,
];
