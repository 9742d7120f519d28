//! Live turns: those that wait, run, or ended a moment ago. A turn runs in a task of its own under a visit
//! that lives as long as the turn, so it can outlive the request that asked for it; turns of one session run
//! one after another. The HTTP boundary submits turns and listens to them; nobody else starts one in a
//! server.

mod book;
mod live;
mod run;
mod seat;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use haversack::well_known::{
    CANCEL, Cancel, PRINCIPAL, Principal, SESSION_ID, SessionId, TENANT_ID, TenantId,
};
use haversack_agent::{Agents, FurtherWords, TurnRequest};
use haversack_jobs::carried::CREDENTIAL;
use sha2::{Digest, Sha256};
use tokio::sync::watch;

pub use live::{Attached, Event, Events, LiveTurn, Outcome, Patience, Status};

use crate::auth::Keyring;
use crate::boundary::{self, TURN};
use crate::code::Code;
use crate::config::Limits;
use crate::problem::Fault;
use crate::telemetry::{Journal, Kind, Metrics};
use crate::work::sessions::LongSessions;
use book::{Book, LaneKey};
use seat::Seat;

/// How long cancelled turns get to notice when the grace period of a stop is over.
const LAST_WORD: Duration = Duration::from_secs(3);

/// The live turns of a server. Cheap to clone.
#[derive(Clone)]
pub struct Turns {
    inner: Arc<Inner>,
}

struct Inner {
    agents: Agents,
    limits: Limits,
    metrics: Metrics,
    journal: Journal,
    long: LongSessions,
    keyring: Keyring,
    book: Mutex<Book>,
    /// How many turns wait or run.
    live: watch::Sender<usize>,
}

/// What a caller asks for. Tenant and principal are not in it: they come from the context.
#[derive(Debug, Clone)]
pub struct NewTurn {
    /// The session.
    pub session: SessionId,
    /// What the person says.
    pub message: String,
    /// Names the request, so that a retry does not start a second turn.
    pub idempotency_key: Option<String>,
    /// What is added while the turn runs.
    pub further: FurtherWords,
}

/// Who a turn belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) tenant: TenantId,
    pub(crate) principal: Principal,
}

impl Owner {
    pub(crate) fn current() -> Result<Self, Fault> {
        Ok(Self { tenant: TENANT_ID.get()?, principal: PRINCIPAL.get()? })
    }

    /// Whether both are the same person of the same tenant. Principals of two tenants may have one name.
    fn is(&self, other: &Self) -> bool {
        #[cfg(feature = "mutants")]
        if haversack::mutants::active(haversack::mutants::Mutant::SessionKey) {
            return self.principal == other.principal;
        }
        self == other
    }
}

impl Turns {
    /// The turns of `agents`; after each of them `long` looks at its session.
    pub fn new(
        agents: Agents,
        limits: Limits,
        metrics: Metrics,
        journal: Journal,
        long: LongSessions,
        keyring: Keyring,
    ) -> Self {
        let live = watch::Sender::new(0);
        let book = Mutex::default();
        Self { inner: Arc::new(Inner { agents, limits, metrics, journal, long, keyring, book, live }) }
    }

    /// Starts a turn for the tenant and principal of the current context, or joins the live turn of the same
    /// session, owner and idempotency key. Returns at once; the turn goes on whoever listens, until
    /// [`Attached`] says that nobody does.
    ///
    /// # Errors
    /// [`Code::ShuttingDown`], [`Code::TenantLimit`], [`Code::QueueFull`], [`Code::IdempotencyConflict`] for
    /// a live turn of the same key and another message; [`Code::MissingContext`] outside a door. Nothing was
    /// started then.
    pub fn submit(&self, new: NewTurn) -> Result<Arc<LiveTurn>, Fault> {
        self.enter(new, false)
    }

    /// As [`submit`](Self::submit), for a message that was accepted before: while a stop gives running turns time to finish, it
    /// has its turn too.
    ///
    /// # Errors
    /// As [`submit`](Self::submit).
    pub fn submit_accepted(&self, new: NewTurn) -> Result<Arc<LiveTurn>, Fault> {
        self.enter(new, true)
    }

    fn enter(&self, new: NewTurn, accepted: bool) -> Result<Arc<LiveTurn>, Fault> {
        let owner = Owner::current()?;
        let request_hash = Sha256::digest(new.message.as_bytes()).into();
        let cancel = Cancel::new();
        let visit = TURN.enter(|bind| {
            boundary::along(bind)
                .bind(&TENANT_ID, owner.tenant.clone())
                .bind(&PRINCIPAL, owner.principal.clone())
                .bind(&SESSION_ID, new.session.clone())
                .bind(&CANCEL, cancel.clone())
        })?;
        let request = TurnRequest { message: new.message, idempotency_key: new.idempotency_key.clone() };
        let turn = visit.run(|| self.inner.agents.turn(request))?.with_further(new.further);
        let live = Arc::new(LiveTurn::new(
            turn.id().to_string(),
            owner,
            new.session,
            new.idempotency_key.map(|key| (key, request_hash)),
            cancel,
            Duration::from_secs(self.inner.limits.reconnect_s),
        ));
        if let Some(joined) = self.inner.book().enter(&live, &self.inner.limits, accepted)? {
            return Ok(joined);
        }
        self.inner.publish_counts();
        // From here on the seat is what takes the turn out of the book again, whatever happens to the task.
        let seat = Seat::new(self.inner.clone(), live.clone());
        let driven = run::drive(turn, live.clone(), seat);
        let unit = visit.run(|| self.inner.journal.unit(Kind::Turn, live.id(), driven));
        let task = haversack::spawn_detached(visit.wrap(unit));
        live.task_is(task.abort_handle());
        if let Some(key) = CREDENTIAL.bound() {
            let (keyring, turn) = (self.inner.keyring.clone(), live.clone());
            haversack::spawn_detached(async move {
                tokio::select! {
                    _ = turn.outcome() => {}
                    () = keyring.withdrawn(&key) => turn.cancel(),
                }
            });
        }
        Ok(live)
    }

    /// A live or recently ended turn of the current tenant and principal; `None` also for a turn of somebody
    /// else.
    ///
    /// # Errors
    /// [`Code::MissingContext`] outside a door.
    pub fn find(&self, id: &str) -> Result<Option<Arc<LiveTurn>>, Fault> {
        let reader = Owner::current()?;
        Ok(self.inner.book().find(id).filter(|turn| *turn.owner() == reader))
    }

    /// Forgets the ended turns of a session of the current tenant and principal; those that wait or run are
    /// cancelled, and waited for. Until the answer is dropped the session takes no turn, so what was said in it can be
    /// deleted without a turn that begins in between.
    ///
    /// # Errors
    /// [`Code::MissingContext`] outside a door.
    pub async fn forget(&self, session: &SessionId) -> Result<Shut, Fault> {
        let owner = Owner::current()?;
        let shut = Shut::new(&self.inner, LaneKey::new(&owner, session));
        let live = self.inner.book().forget(&owner, session);
        for turn in &live {
            turn.cancel();
        }
        for turn in &live {
            // The outcome is told after the turn has left the book.
            let _ = turn.outcome().await;
        }
        self.inner.book().forget(&owner, session);
        self.inner.journal.forget(session)?;
        Ok(shut)
    }

    /// Whether a stop has begun.
    pub fn is_draining(&self) -> bool {
        self.inner.book().draining
    }

    /// Refuses new turns from now on.
    pub fn stop_taking(&self) {
        self.inner.book().draining = true;
    }

    /// Waits until no turn is left: up to `grace` for them to finish, then cancels them, then ends their
    /// tasks. Call [`stop_taking`](Self::stop_taking) first.
    pub async fn drain(&self, grace: Duration) {
        self.stop_taking();
        if tokio::time::timeout(grace, self.idle()).await.is_ok() {
            return;
        }
        let left = {
            let mut book = self.inner.book();
            book.over = true;
            book.live()
        };
        tracing::warn!(turns = left.len(), "the grace period is over; cancelling what still runs");
        for turn in &left {
            turn.cancel();
        }
        if tokio::time::timeout(LAST_WORD, self.idle()).await.is_err() {
            for turn in self.inner.book().live() {
                turn.abort();
            }
            let _ = tokio::time::timeout(LAST_WORD, self.idle()).await;
        }
    }

    async fn idle(&self) {
        // The sender lives in `self`, so the wait ends only when the count is zero.
        let _ = self.inner.live.subscribe().wait_for(|live| *live == 0).await;
    }
}

/// A session that takes no turn. Dropping it opens the session again.
#[must_use = "the session takes turns again when this is dropped"]
pub struct Shut {
    inner: Arc<Inner>,
    key: LaneKey,
}

impl Shut {
    fn new(inner: &Arc<Inner>, key: LaneKey) -> Self {
        inner.book().shut(key.clone());
        Self { inner: inner.clone(), key }
    }
}

impl Drop for Shut {
    fn drop(&mut self) {
        self.inner.book().open(&self.key);
    }
}

impl std::fmt::Debug for Shut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shut").finish_non_exhaustive()
    }
}

impl Inner {
    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn publish_counts(&self) {
        let (live, waiting) = self.book().counts();
        self.metrics.turns_queued(waiting);
        self.live.send_replace(live);
    }
}

impl std::fmt::Debug for Turns {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Turns").field("live", &*self.inner.live.borrow()).finish_non_exhaustive()
    }
}

/// A turn that the limits refuse says so with the time after which it may be tried again.
fn busy(code: Code, detail: &'static str) -> Fault {
    Fault::retry(code, detail, 1)
}
