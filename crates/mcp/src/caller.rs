//! Who calls: what the door in front had bound, as values.
//!
//! It is modelled as a copy of the few variables that a call begins with, because the entry in front ends with its HTTP
//! exchange and a call may go on. The front of the server takes it from the current context and puts it into the
//! request's extensions, which travel with the message into the handler; nobody makes one from anything else.

use haversack::MissingContext;
use haversack::well_known::{
    CANCEL, Cancel, DEADLINE, Deadline, PRINCIPAL, Principal, REQUEST_ID, RequestId, SESSION_ID, SessionId,
    TENANT_ID, TRACE_CONTEXT, TenantId, TraceContext,
};
use haversack_jobs::carried::{ACCESS_TOKEN, AccessToken, CREDENTIAL, Credential, HEADERS, Headers};
use sha2::{Digest, Sha256};

/// The caller of one message.
#[derive(Clone)]
pub(crate) struct Caller {
    pub(crate) tenant: TenantId,
    pub(crate) principal: Principal,
    pub(crate) session: Option<SessionId>,
    pub(crate) request: Option<RequestId>,
    pub(crate) trace: Option<TraceContext>,
    pub(crate) deadline: Option<Deadline>,
    pub(crate) cancel: Option<Cancel>,
    pub(crate) headers: Option<Headers>,
    pub(crate) token: Option<AccessToken>,
    pub(crate) credential: Option<Credential>,
    pub(crate) span: tracing::Span,
}

impl Caller {
    /// The caller that the current context speaks for.
    pub(crate) fn current() -> Result<Self, MissingContext> {
        Ok(Self {
            tenant: TENANT_ID.get()?,
            principal: PRINCIPAL.get()?,
            session: SESSION_ID.bound(),
            request: REQUEST_ID.bound(),
            trace: TRACE_CONTEXT.bound(),
            deadline: DEADLINE.bound(),
            cancel: CANCEL.bound(),
            headers: HEADERS.bound(),
            token: ACCESS_TOKEN.bound(),
            credential: CREDENTIAL.bound(),
            span: tracing::Span::current(),
        })
    }

    /// Binds the session of this name where the door in front bound none. The name is the client's choice, so it is one
    /// within the principal: the same name of another principal is another session. None of them is a session of the
    /// chat: those have no `/` in their names.
    pub(crate) fn in_session(&mut self, name: &str) {
        if self.session.is_some() {
            return;
        }
        let principal = self.principal.as_str();
        let mut hash = Sha256::new();
        // The length comes first, so that no two pairs run together into the same bytes.
        hash.update(principal.len().to_be_bytes());
        hash.update(principal);
        hash.update(name);
        let digits: String = hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        self.session = SessionId::new(format!("mcp/{digits}")).ok();
    }
}

/// Whose something is: a session of the transport belongs to a tenant and a principal.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct Owner {
    tenant: TenantId,
    principal: Principal,
}

impl Owner {
    /// Who asks now; `None` where no door was passed.
    pub(crate) fn current() -> Option<Self> {
        Some(Self { tenant: TENANT_ID.bound()?, principal: PRINCIPAL.bound()? })
    }
}
