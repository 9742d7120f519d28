//! The sessions of the transport: each belongs to the tenant and principal that began it.
//!
//! Revisions before 2026-07-28 keep a session per client, named by an id in a header. rmcp's local manager holds them;
//! this one holds whose they are, and answers anybody else as if the id were unknown. A session ends when nothing was
//! served in it for a time. A principal has a bounded number: one more ends the one that is idle longest, and is refused
//! when none is idle. Only rmcp's HTTP service calls it, in the context of the request, except to close a session that
//! ended by itself.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_util::{Stream, StreamExt};
use rmcp::model::{ClientJsonRpcMessage, ServerJsonRpcMessage};
use rmcp::transport::WorkerTransport;
use rmcp::transport::streamable_http_server::session::local::{
    LocalSessionManager, LocalSessionManagerError as Error, LocalSessionWorker, SessionConfig,
};
use rmcp::transport::streamable_http_server::session::{ServerSseMessage, SessionId, SessionManager};

use crate::caller::Owner;

/// The shortest time between two looks for idle sessions.
const LOOK: Duration = Duration::from_millis(10);

pub(super) struct OwnedSessions {
    me: Weak<Self>,
    local: LocalSessionManager,
    owners: Arc<Owners>,
    per_owner: usize,
    idle: Duration,
    looking: AtomicBool,
}

#[derive(Default)]
struct Owners(Mutex<HashMap<SessionId, Owned>>);

struct Owned {
    owner: Owner,
    /// When it was begun, or when the last thing that was served in it ended.
    used: Instant,
    /// Requests and streams that are served in it now.
    serving: usize,
}

/// Something that is served in a session, which is not idle as long as this lives.
pub(super) struct Serving {
    owners: Arc<Owners>,
    id: SessionId,
}

impl Owners {
    fn all(&self) -> MutexGuard<'_, HashMap<SessionId, Owned>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        if let Some(owned) = self.owners.all().get_mut(&self.id) {
            owned.serving = owned.serving.saturating_sub(1);
            owned.used = Instant::now();
        }
    }
}

impl OwnedSessions {
    pub(super) fn new(per_owner: usize, idle: Duration) -> Arc<Self> {
        let mut config = SessionConfig::default();
        // rmcp counts the time since the last message, also while a stream is open.
        config.keep_alive = None;
        let mut local = LocalSessionManager::default();
        local.session_config = config;
        Arc::new_cyclic(|me| Self {
            me: me.clone(),
            local,
            owners: Arc::default(),
            per_owner: per_owner.max(1),
            idle,
            looking: AtomicBool::new(false),
        })
    }

    /// Keeps the session of this id from being idle; `None` where there is none.
    pub(super) fn serve(&self, id: &str) -> Option<Serving> {
        let id = SessionId::from(id);
        self.owners.all().get_mut(&id)?.serving += 1;
        Some(Serving { owners: Arc::clone(&self.owners), id })
    }

    /// Returns true if the current caller may begin one more session.
    pub(super) fn has_room(&self) -> bool {
        let Some(owner) = Owner::current() else { return false };
        let owners = self.owners.all();
        let theirs = || owners.values().filter(|owned| owned.owner == owner);
        theirs().count() < self.per_owner || theirs().any(|owned| owned.serving == 0)
    }

    /// Fails as for an unknown id when the session is somebody else's.
    fn check(&self, id: &SessionId) -> Result<(), Error> {
        if self.is_mine(id) { Ok(()) } else { Err(Error::SessionNotFound(id.clone())) }
    }

    fn is_mine(&self, id: &SessionId) -> bool {
        let Some(me) = Owner::current() else { return false };
        self.owners.all().get(id).is_some_and(|owned| owned.owner == me)
    }

    /// The stream of a session, which keeps it from being idle.
    fn served<S: Stream<Item = ServerSseMessage>>(&self, id: &SessionId, stream: S) -> Served<S> {
        Served { stream: Box::pin(stream), _serving: self.serve(id) }
    }

    async fn forget(&self, id: &SessionId) -> Result<(), Error> {
        self.owners.all().remove(id);
        self.local.close_session(id).await
    }

    /// Ends sessions that were idle for too long, for as long as there are any sessions at all.
    fn look_for_idle(&self) {
        if self.looking.swap(true, Ordering::Relaxed) {
            return;
        }
        let me = self.me.clone();
        haversack::spawn_detached(async move {
            while let Some(sessions) = me.upgrade() {
                let next = sessions.end_idle().await;
                drop(sessions);
                tokio::time::sleep(next).await;
            }
        });
    }

    /// Ends those whose time is up; says when the next one may be.
    async fn end_idle(&self) -> Duration {
        let (mut over, mut next) = (Vec::new(), self.idle);
        self.owners.all().retain(|id, owned| {
            let left = self.idle.saturating_sub(owned.used.elapsed());
            let stays = owned.serving > 0 || !left.is_zero();
            if !stays {
                over.push(id.clone());
            } else if owned.serving == 0 {
                next = next.min(left);
            }
            stays
        });
        for id in over {
            if let Err(error) = self.local.close_session(&id).await {
                tracing::debug!(%error, "an idle session had ended already");
            }
        }
        next.max(LOOK)
    }
}

/// The session of this owner that is idle longest, when there are too many for one more; an error when none is idle.
fn in_the_way(
    owners: &HashMap<SessionId, Owned>,
    owner: &Owner,
    most: usize,
) -> Result<Option<SessionId>, ()> {
    let theirs = || owners.iter().filter(|(_, owned)| owned.owner == *owner);
    if theirs().count() < most {
        return Ok(None);
    }
    let idle = theirs().filter(|(_, owned)| owned.serving == 0).min_by_key(|(_, owned)| owned.used);
    idle.map(|(id, _)| Some(id.clone())).ok_or(())
}

/// A stream of a session.
struct Served<S> {
    stream: Pin<Box<S>>,
    _serving: Option<Serving>,
}

impl<S: Stream> Stream for Served<S> {
    type Item = S::Item;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<S::Item>> {
        self.stream.poll_next_unpin(context)
    }
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
        let idle = {
            let mut owners = self.owners.all();
            let idle = in_the_way(&owners, &owner, self.per_owner);
            if let Ok(idle) = &idle {
                if let Some(idle) = idle {
                    owners.remove(idle);
                }
                owners.insert(id.clone(), Owned { owner, used: Instant::now(), serving: 0 });
            }
            idle
        };
        match idle {
            Ok(None) => {}
            Ok(Some(idle)) => self.local.close_session(&idle).await?,
            Err(()) => {
                self.local.close_session(&id).await?;
                return Err(Error::SessionNotFound(id));
            }
        }
        self.look_for_idle();
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
        Ok(self.served(id, self.local.create_stream(id, message).await?))
    }

    async fn accept_message(&self, id: &SessionId, message: ClientJsonRpcMessage) -> Result<(), Error> {
        self.check(id)?;
        drop(self.serve(id));
        self.local.accept_message(id, message).await
    }

    async fn create_standalone_stream(
        &self,
        id: &SessionId,
    ) -> Result<impl Stream<Item = ServerSseMessage> + Send + Sync + 'static, Error> {
        self.check(id)?;
        Ok(self.served(id, self.local.create_standalone_stream(id).await?))
    }

    async fn resume(
        &self,
        id: &SessionId,
        last_event_id: String,
    ) -> Result<impl Stream<Item = ServerSseMessage> + Send + Sync + 'static, Error> {
        self.check(id)?;
        Ok(self.served(id, self.local.resume(id, last_event_id).await?))
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // `#[tokio::test]` blocks on its runtime where no frame is
mod tests {
    use haversack::well_known::{PRINCIPAL, Principal, TENANT_ID, TenantId};

    use super::*;

    fn visit() -> haversack::Visit {
        let (tenant, kim) = (TenantId::new("acme").unwrap(), Principal::new("kim").unwrap());
        haversack::testing::enter(|bind| bind.bind(&TENANT_ID, tenant).bind(&PRINCIPAL, kim))
    }

    #[tokio::test]
    async fn sessions_that_begin_at_once_do_not_pass_the_bound_together() {
        let sessions = OwnedSessions::new(2, Duration::from_secs(60));
        let begin = || visit().wrap(sessions.create_session());
        // All of them get as far as they come while nobody may enter a session.
        let held = sessions.local.sessions.read().await;
        let mut all = futures_util::future::join_all((0..8).map(|_| begin()));
        assert!(futures_util::poll!(&mut all).is_pending());
        drop(held);
        let begun = all.await;
        assert!(begun.iter().all(Result::is_ok));
        assert_eq!(sessions.owners.all().len(), 2);
        assert_eq!(sessions.local.sessions.read().await.len(), 2, "and the others are closed");
    }

    #[tokio::test]
    async fn the_longest_idle_session_makes_room_and_one_that_serves_never_does() {
        let sessions = OwnedSessions::new(2, Duration::from_secs(60));
        let begin = async || visit().wrap(sessions.create_session()).await.map(|(id, _)| id);
        let (first, second) = (begin().await.unwrap(), begin().await.unwrap());
        drop(sessions.serve(&first));
        let third = begin().await.unwrap();
        let known = |id: &SessionId| sessions.owners.all().contains_key(id);
        assert_eq!((known(&first), known(&second), known(&third)), (true, false, true));
        let serving = (sessions.serve(&first), sessions.serve(&third));
        assert!(!visit().run(|| sessions.has_room()));
        assert!(begin().await.is_err());
        assert!(known(&first) && known(&third));
        drop(serving);
        assert!(visit().run(|| sessions.has_room()));
        assert!(begin().await.is_ok());
    }

    #[tokio::test]
    async fn a_session_ends_when_it_is_idle_and_not_while_it_serves() {
        let sessions = OwnedSessions::new(8, Duration::ZERO);
        let (id, _transport) = visit().wrap(sessions.create_session()).await.unwrap();
        let Some(serving) = sessions.serve(&id) else { panic!("it had no chance to be idle") };
        sessions.end_idle().await;
        assert!(sessions.owners.all().contains_key(&id));
        drop(serving);
        sessions.end_idle().await;
        assert!(!sessions.owners.all().contains_key(&id));
        assert_eq!(sessions.local.sessions.read().await.len(), 0);
    }
}
