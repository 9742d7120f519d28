//! Taking up messages that were accepted and not answered: their process was killed, or had to stop before their turn came.
//!
//! Each row opens into the context that its message arrived in and the message itself, and becomes work like any other: the
//! identity, the route and the trace are those of the arrival. The idempotency key of the turn and the id of the answer are
//! the message's too, so what was answered in the last moment is not answered twice. A bounded number of messages is taken up
//! at once, and a new message of a tenant waits a moment for those before it. The desk calls it at each tick.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use haversack::well_known::TenantId;
use tokio::sync::{Notify, oneshot, watch};

use crate::GatewayError;
use crate::account::Busy;
use crate::arrivals::Left;
use crate::deferred;
use crate::desk::Desk;
use crate::door::GATEWAY;
use crate::ledger::Say;
use crate::platform::websocket::WEBSOCKET;
use crate::turn::{Identity, Runner, Work, reply_id};

/// How often the work on one message may begin: one that kills whoever works on it would be begun at each start for ever.
const MOST_STARTS: u32 = 3;

/// What is told then.
const GIVEN_UP: &str = "The work on your message was interrupted again and again, and it was given up.";

/// Messages of one tenant that were taken up and are worked on at once, or wait for their turn.
const PER_TENANT: usize = 16;

/// Messages of all tenants, likewise.
const ALL: usize = 256;

/// How long a new message waits at most until those are taken up that were left before it.
const CATCH_UP: Duration = Duration::from_secs(5);

/// What is being taken up: how many messages of each tenant, and which tenants still have some. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Resuming {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    under_way: Mutex<HashMap<String, usize>>,
    /// Tenants with messages that no process works on yet.
    behind: watch::Sender<HashSet<String>>,
    freed: Notify,
}

/// The place of one message that was taken up. It is free when this is dropped.
pub(crate) struct Place {
    shared: Arc<Shared>,
    tenant: String,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut under_way = hold(&self.shared.under_way);
        let Some(count) = under_way.get_mut(&self.tenant) else { return };
        *count -= 1;
        // A look at the rows for several places at once.
        let look = *count <= PER_TENANT / 2 && self.shared.behind.borrow().contains(&self.tenant);
        if *count == 0 {
            under_way.remove(&self.tenant);
        }
        if look {
            self.shared.freed.notify_one();
        }
    }
}

impl Resuming {
    fn take(&self, tenant: &str) -> Place {
        *hold(&self.shared.under_way).entry(tenant.to_owned()).or_default() += 1;
        Place { shared: Arc::clone(&self.shared), tenant: tenant.to_owned() }
    }

    /// How many more messages of each tenant may be taken up.
    fn room(&self) -> impl Fn(&str) -> usize + Send + 'static + use<> {
        let under_way = hold(&self.shared.under_way).clone();
        let left = Mutex::new(ALL.saturating_sub(under_way.values().sum()));
        move |tenant| {
            let mut left = hold(&left);
            let own =
                PER_TENANT.saturating_sub(under_way.get(tenant).copied().unwrap_or_default()).min(*left);
            *left -= own;
            own
        }
    }

    /// Sets which tenants have messages that are not taken up yet.
    pub(crate) fn behind(&self, tenants: HashSet<String>) {
        self.shared.behind.send_replace(tenants);
    }

    /// Waits until what the tenant had before is taken up, or for [`CATCH_UP`].
    pub(crate) async fn caught_up(&self, tenant: &TenantId) {
        let mut behind = self.shared.behind.subscribe();
        let caught_up = behind.wait_for(|behind| !behind.contains(tenant.as_str()));
        // Later it has its turn beside them.
        let _ = tokio::time::timeout(CATCH_UP, caught_up).await;
    }

    /// Waits until a message ends whose tenant has more of them.
    pub(crate) async fn has_room(&self) {
        self.shared.freed.notified().await;
    }
}

/// Takes up what was left, within the places that there are; how many messages have their turn again.
pub(crate) async fn resume(desk: &Desk, runner: &Runner) -> Result<usize, GatewayError> {
    let mut taken_up = 0;
    for left in desk.arrivals().left(desk.resuming().room()).await? {
        match take_up(desk, runner, &left).await {
            Ok(()) => taken_up += 1,
            // There is no room for it now.
            Err(GatewayError::QueueFull | GatewayError::ShuttingDown) => desk.arrivals().leave(&left).await,
            Err(GatewayError::Store(error)) => {
                desk.arrivals().leave(&left).await;
                return Err(error.into());
            }
            Err(error) => {
                tracing::error!(
                    code = error.code(), error = %error,
                    "a message that was accepted cannot be taken up again and is lost"
                );
                desk.arrivals().end(&left.tenant, &left.account, left.hash).await;
            }
        }
    }
    desk.resuming().behind(desk.arrivals().tenants_left().await?);
    if taken_up > 0 {
        tracing::info!(
            messages = taken_up,
            "messages that were accepted before the last stop have their turn now"
        );
    }
    Ok(taken_up)
}

/// A lock that outlives a panic: what it guards is whole between statements.
fn hold<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn take_up(desk: &Desk, runner: &Runner, left: &Left) -> Result<(), GatewayError> {
    let (snapshot, message) = desk.arrivals().open(left)?;
    let visit = deferred::enter(&snapshot)?;
    let identity = visit.run(Identity::here)?;
    still_configured(desk, &identity)?;
    if left.starts > MOST_STARTS {
        let id = Some(reply_id(&message.account, &message.id));
        let told = visit.run(|| desk.ledger().submit(Say { id, text: GIVEN_UP.to_owned(), to: None }));
        visit.wrap(told).await?;
        desk.arrivals().end(&left.tenant, &left.account, left.hash).await;
        return Ok(());
    }
    let work = Work {
        identity: Arc::new(identity),
        message,
        // What it would have stopped or steered is over.
        busy: Busy::Queue,
        door: &GATEWAY,
        // Nobody waits on the line any more.
        answered: oneshot::channel().0,
        place: Some(desk.resuming().take(&left.tenant)),
    };
    runner.submit(work)
}

/// An account that was taken away, or given to somebody else, answers nobody.
fn still_configured(desk: &Desk, identity: &Identity) -> Result<(), GatewayError> {
    let (platform, name) = (identity.facts.platform.as_str(), identity.facts.source.as_str());
    match desk.accounts().get(platform, name) {
        Ok(account) if account.tenant == identity.tenant => Ok(()),
        // A tenant that configured none has this one.
        Err(_) if platform == WEBSOCKET && name == WEBSOCKET => Ok(()),
        _ => Err(GatewayError::UnknownAccount),
    }
}
