//! One live turn: its events so far, its outcome, and who listens. Events are numbered from 1 and kept until
//! the turn leaves the book, so a client that comes back continues behind the last one it saw. The turn's
//! task writes, any number of requests of the owner read.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use futures_util::Stream;
use haversack::well_known::{Cancel, SessionId};
use haversack_agent::{Reply, TurnEvent};
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;

use super::Owner;
use crate::code::Code;
use crate::problem::Fault;

/// How a turn ended.
pub type Outcome = Result<Arc<Reply>, Fault>;

/// Where a turn stands.
#[derive(Debug, Clone)]
pub enum Status {
    /// It waits for earlier turns of its session.
    Queued,
    /// It runs.
    Running,
    /// It ended.
    Ended(Outcome),
}

/// One event of a turn, ready to be sent.
#[derive(Debug)]
pub struct Event {
    /// Position in the turn, from 1.
    pub number: u64,
    /// The kind of event, as in its data.
    pub name: String,
    /// The event as JSON.
    pub data: String,
}

/// How long a turn waits for a client that went away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// Not at all: the client cannot come back for the rest.
    None,
    /// The configured time: the client can continue its event stream.
    Reconnect,
}

/// A turn that waits, runs, or ended a moment ago.
pub struct LiveTurn {
    id: String,
    owner: Owner,
    session: SessionId,
    /// The idempotency key, and the hash of the request that it stands for.
    key: Option<(String, [u8; 32])>,
    cancel: Cancel,
    reconnect: Duration,
    go: Notify,
    task: OnceLock<AbortHandle>,
    log: Mutex<Log>,
    /// Changes whenever the log does; holds the number of events.
    news: watch::Sender<u64>,
    listeners: Mutex<Listeners>,
    outlives_clients: AtomicBool,
}

struct Log {
    events: Vec<Arc<Event>>,
    status: Status,
}

#[derive(Default)]
struct Listeners {
    attached: usize,
    /// How often the last client went away; tells a client that came back from one that did not.
    departures: u64,
}

impl LiveTurn {
    pub(super) fn new(
        id: String,
        owner: Owner,
        session: SessionId,
        key: Option<(String, [u8; 32])>,
        cancel: Cancel,
        reconnect: Duration,
    ) -> Self {
        Self {
            id,
            owner,
            session,
            key,
            cancel,
            reconnect,
            go: Notify::new(),
            task: OnceLock::new(),
            log: Mutex::new(Log { events: Vec::new(), status: Status::Queued }),
            news: watch::Sender::new(0),
            listeners: Mutex::default(),
            outlives_clients: AtomicBool::new(false),
        }
    }

    /// The turn's id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The session that it belongs to.
    pub fn session(&self) -> &SessionId {
        &self.session
    }

    /// Where it stands.
    pub fn status(&self) -> Status {
        self.log().status.clone()
    }

    /// Waits for its end.
    pub async fn outcome(&self) -> Outcome {
        let mut news = self.news.subscribe();
        loop {
            news.borrow_and_update();
            if let Status::Ended(outcome) = self.status() {
                return outcome;
            }
            // The sender lives in `self`, so this cannot fail.
            let _ = news.changed().await;
        }
    }

    /// Tells the turn to stop, with the tools that run.
    pub fn cancel(&self) {
        self.cancel.cancel();
    }

    pub(super) fn is_cancelled(&self) -> bool {
        self.cancel.is_cancelled()
    }

    /// Lets the turn go on when its clients have gone.
    pub fn outlive_clients(&self) {
        self.outlives_clients.store(true, Ordering::Relaxed);
    }

    /// Counts a client. When the last one is dropped before the end, the turn is cancelled: at once, or after
    /// the time to reconnect.
    pub fn attach(self: &Arc<Self>, patience: Patience) -> Attached {
        lock(&self.listeners).attached += 1;
        Attached { turn: self.clone(), patience }
    }

    /// The events behind number `after`, as they come, up to the end.
    pub fn events(self: &Arc<Self>, after: u64) -> Events {
        let news = self.news.subscribe();
        let state = (self.clone(), news, after);
        Box::pin(futures_util::stream::unfold(state, async |(turn, mut news, after)| {
            loop {
                news.borrow_and_update();
                let (next, ended) = turn.event_behind(after);
                if let Some(event) = next {
                    let number = event.number;
                    return Some((event, (turn, news, number)));
                }
                if ended || news.changed().await.is_err() {
                    return None;
                }
            }
        }))
    }

    /// The number of the last event, once the turn has ended.
    pub fn last_event(&self) -> Option<u64> {
        let log = self.log();
        matches!(log.status, Status::Ended(_)).then(|| log.events.last().map_or(0, |event| event.number))
    }

    fn event_behind(&self, after: u64) -> (Option<Arc<Event>>, bool) {
        let log = self.log();
        let position = usize::try_from(after).unwrap_or(usize::MAX);
        (log.events.get(position).cloned(), matches!(log.status, Status::Ended(_)))
    }

    pub(super) fn owner(&self) -> &Owner {
        &self.owner
    }

    /// Whether `other` carries the same idempotency key of the same owner.
    pub(super) fn repeats(&self, other: &LiveTurn) -> bool {
        match (&self.key, &other.key) {
            (Some((own, _)), Some((others, _))) => own == others && self.owner.is(&other.owner),
            _ => false,
        }
    }

    /// Whether `other` is the same request, given that it repeats this one.
    pub(super) fn same_request(&self, other: &LiveTurn) -> bool {
        self.key == other.key
    }

    pub(super) fn go(&self) {
        self.go.notify_one();
    }

    pub(super) async fn may_go(&self) {
        self.go.notified().await;
    }

    pub(super) async fn cancelled(&self) {
        self.cancel.cancelled().await;
    }

    pub(super) fn task_is(&self, task: AbortHandle) {
        let _ = self.task.set(task);
    }

    pub(super) fn abort(&self) {
        if let Some(task) = self.task.get() {
            task.abort();
        }
    }

    pub(super) fn runs(&self) {
        self.log().status = Status::Running;
    }

    /// Records an event of the turn. Its end is not among them: that is [`ends`](Self::ends), once, whatever
    /// ended it.
    pub(super) fn tell(&self, event: &TurnEvent) {
        if matches!(event, TurnEvent::Finished { .. } | TurnEvent::Failed { .. }) {
            return;
        }
        let number = self.log().push(event);
        self.news.send_replace(number);
    }

    /// Records the end. The first one counts.
    pub(super) fn ends(&self, outcome: Outcome) {
        let event = match &outcome {
            Ok(reply) => TurnEvent::Finished { reply: Box::new(Reply::clone(reply)) },
            Err(fault) => {
                TurnEvent::Failed { code: fault.code().id().to_owned(), detail: fault.detail().to_owned() }
            }
        };
        let mut log = self.log();
        if matches!(log.status, Status::Ended(_)) {
            return;
        }
        let number = log.push(&event);
        log.status = Status::Ended(outcome);
        drop(log);
        self.news.send_replace(number);
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        lock(&self.log)
    }

    /// The client of departure number `departure` did not come back.
    fn abandon(&self, departure: u64) {
        let listeners = lock(&self.listeners);
        if listeners.attached == 0 && listeners.departures == departure {
            self.cancel();
        }
    }
}

impl Log {
    fn push(&mut self, event: &TurnEvent) -> u64 {
        let number = self.events.len() as u64 + 1;
        let value = serde_json::to_value(event).unwrap_or_default();
        let name = value.get("event").and_then(|name| name.as_str()).unwrap_or("event").to_owned();
        self.events.push(Arc::new(Event { number, name, data: value.to_string() }));
        number
    }
}

/// The events of a turn.
pub type Events = std::pin::Pin<Box<dyn Stream<Item = Arc<Event>> + Send>>;

/// A client that waits for a turn. Dropping it tells the turn that the client has gone.
#[must_use = "the turn is cancelled when its last client is dropped"]
pub struct Attached {
    turn: Arc<LiveTurn>,
    patience: Patience,
}

impl Drop for Attached {
    fn drop(&mut self) {
        let departure = {
            let mut listeners = lock(&self.turn.listeners);
            listeners.attached -= 1;
            if listeners.attached > 0 {
                return;
            }
            listeners.departures += 1;
            listeners.departures
        };
        if self.turn.outlives_clients.load(Ordering::Relaxed)
            || matches!(self.turn.status(), Status::Ended(_))
        {
            return;
        }
        let wait = self.turn.reconnect;
        // Without a runtime the process is ending, and there is nothing left to wait for.
        if self.patience == Patience::None || wait.is_zero() || tokio::runtime::Handle::try_current().is_err()
        {
            return self.turn.abandon(departure);
        }
        let turn = self.turn.clone();
        haversack::spawn_detached(async move {
            tokio::select! {
                () = tokio::time::sleep(wait) => turn.abandon(departure),
                _ = turn.outcome() => {}
            }
        });
    }
}

impl Status {
    /// The word for it: `queued`, `running`, `finished`, `failed`, `cancelled`, `timed_out`.
    pub fn outcome_name(&self) -> &'static str {
        match self {
            Status::Queued => "queued",
            Status::Running => "running",
            Status::Ended(Ok(_)) => "finished",
            Status::Ended(Err(fault)) => match fault.code() {
                Code::TurnCancelled => "cancelled",
                Code::TurnTimedOut => "timed_out",
                _ => "failed",
            },
        }
    }
}

impl std::fmt::Debug for LiveTurn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LiveTurn").field("id", &self.id).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Attached {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Attached").field("turn", &self.turn).finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
