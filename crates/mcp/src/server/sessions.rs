//! The sessions of the transport: each belongs to the tenant and principal that began it.
//!
//! Revisions before 2026-07-28 keep a session per client, named by an id in a header. rmcp's local manager holds them;
//! this one holds whose they are, and answers anybody else as if the id were unknown. A principal has a bounded number:
//! one more closes the oldest. Only rmcp's HTTP service calls it, in the context of the request, except to close a session
//! that ended by itself.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::Stream;
use rmcp::model::{ClientJsonRpcMessage, ServerJsonRpcMessage};
use rmcp::transport::WorkerTransport;
use rmcp::transport::streamable_http_server::session::local::{
    LocalSessionManager, LocalSessionManagerError as Error, LocalSessionWorker, SessionConfig,
};
use rmcp::transport::streamable_http_server::session::{ServerSseMessage, SessionId, SessionManager};

use crate::caller::Owner;

pub(super) struct OwnedSessions {
    local: LocalSessionManager,
    owners: Mutex<HashMap<SessionId, Owned>>,
    per_owner: usize,
}

struct Owned {
    owner: Owner,
    /// Grows from session to session, so the least is the oldest.
    number: u64,
}

impl OwnedSessions {
    pub(super) fn new(per_owner: usize, idle: Duration) -> Self {
        let mut config = SessionConfig::default();
        config.keep_alive = Some(idle);
        let mut local = LocalSessionManager::default();
        local.session_config = config;
        Self { local, owners: Mutex::default(), per_owner: per_owner.max(1) }
    }

    /// Fails as for an unknown id when the session is somebody else's.
    fn check(&self, id: &SessionId) -> Result<(), Error> {
        if self.is_mine(id) { Ok(()) } else { Err(Error::SessionNotFound(id.clone())) }
    }

    fn is_mine(&self, id: &SessionId) -> bool {
        let Some(me) = Owner::current() else { return false };
        self.owners().get(id).is_some_and(|owned| owned.owner == me)
    }

    fn owners(&self) -> std::sync::MutexGuard<'_, HashMap<SessionId, Owned>> {
        self.owners.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn forget(&self, id: &SessionId) -> Result<(), Error> {
        self.owners().remove(id);
        self.local.close_session(id).await
    }
}

/// The oldest session of this owner when there are too many for one more.
fn in_the_way(owners: &HashMap<SessionId, Owned>, owner: &Owner, most: usize) -> Option<SessionId> {
    let theirs = || owners.iter().filter(|(_, owned)| owned.owner == *owner);
    if theirs().count() < most {
        return None;
    }
    theirs().min_by_key(|(_, owned)| owned.number).map(|(id, _)| id.clone())
}

impl SessionManager for OwnedSessions {
    type Error = Error;
    type Transport = WorkerTransport<LocalSessionWorker>;

    async fn create_session(&self) -> Result<(SessionId, Self::Transport), Error> {
        let Some(owner) = Owner::current() else {
            return Err(Error::SessionNotFound(SessionId::from("")));
        };
        let (id, transport) = self.local.create_session().await?;
        // Counted, made room for and entered at once: sessions that begin together do not pass the bound together.
        let oldest = {
            let mut owners = self.owners();
            let number = owners.values().map(|owned| owned.number).max().map_or(0, |last| last + 1);
            let oldest = in_the_way(&owners, &owner, self.per_owner);
            if let Some(oldest) = &oldest {
                owners.remove(oldest);
            }
            owners.insert(id.clone(), Owned { owner, number });
            oldest
        };
        if let Some(oldest) = oldest {
            self.local.close_session(&oldest).await?;
        }
        Ok((id, transport))
    }

    async fn initialize_session(
        &self,
        id: &SessionId,
        message: ClientJsonRpcMessage,
    ) -> Result<ServerJsonRpcMessage, Error> {
        self.check(id)?;
        self.local.initialize_session(id, message).await
    }

    async fn has_session(&self, id: &SessionId) -> Result<bool, Error> {
        Ok(self.is_mine(id) && self.local.has_session(id).await?)
    }

    async fn close_session(&self, id: &SessionId) -> Result<(), Error> {
        // In a context a client asks, and what is not its own looks unknown: closing that is no error. Outside of any it is
        // rmcp's own task, after the session has ended.
        if Owner::current().is_some() && !self.is_mine(id) {
            return Ok(());
        }
        self.forget(id).await
    }

    async fn create_stream(
        &self,
        id: &SessionId,
        message: ClientJsonRpcMessage,
    ) -> Result<impl Stream<Item = ServerSseMessage> + Send + Sync + 'static, Error> {
        self.check(id)?;
        self.local.create_stream(id, message).await
    }

    async fn accept_message(&self, id: &SessionId, message: ClientJsonRpcMessage) -> Result<(), Error> {
        self.check(id)?;
        self.local.accept_message(id, message).await
    }

    async fn create_standalone_stream(
        &self,
        id: &SessionId,
    ) -> Result<impl Stream<Item = ServerSseMessage> + Send + Sync + 'static, Error> {
        self.check(id)?;
        self.local.create_standalone_stream(id).await
    }

    async fn resume(
        &self,
        id: &SessionId,
        last_event_id: String,
    ) -> Result<impl Stream<Item = ServerSseMessage> + Send + Sync + 'static, Error> {
        self.check(id)?;
        self.local.resume(id, last_event_id).await
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // `#[tokio::test]` blocks on its runtime where no frame is
mod tests {
    use haversack::well_known::{PRINCIPAL, Principal, TENANT_ID, TenantId};

    use super::*;

    #[tokio::test]
    async fn sessions_that_begin_at_once_do_not_pass_the_bound_together() {
        let sessions = OwnedSessions::new(2, Duration::from_secs(60));
        let (tenant, kim) = (TenantId::new("acme").unwrap(), Principal::new("kim").unwrap());
        let begin = || {
            let visit = haversack::testing::enter(|bind| {
                bind.bind(&TENANT_ID, tenant.clone()).bind(&PRINCIPAL, kim.clone())
            });
            visit.wrap(sessions.create_session())
        };
        // All of them get as far as they come while nobody may enter a session.
        let held = sessions.local.sessions.read().await;
        let mut all = futures_util::future::join_all((0..8).map(|_| begin()));
        assert!(futures_util::poll!(&mut all).is_pending());
        drop(held);
        let begun = all.await;
        assert!(begun.iter().all(Result::is_ok));
        assert_eq!(sessions.owners().len(), 2);
        assert_eq!(sessions.local.sessions.read().await.len(), 2, "and the others are closed");
    }
}
