//! The desk: what outlives a turn. Deliveries, schedules, background processes and questions that wait for a person.
//!
//! It is made before the agents, because their tools work on it, and the gateway is made over it when the agents are there.
//! Everything in it reads its tenant from the context; the loops that serve all tenants run detached.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use haversack::well_known::TenantId;
use haversack_store::{KeyFile, Store};
use tokio::sync::watch;

use crate::GatewayError;
use crate::account::{Accounts, Pairings};
use crate::approval::{Approvals, Approver};
use crate::arrivals::Arrivals;
use crate::cron::Schedules;
use crate::hooks::{Hooks, Presence};
use crate::ledger::{Ledger, LedgerOptions, random_id};
use crate::message::MessageLimits;
use crate::platform::websocket::Connections;
use crate::platform::{Platform, Platforms, webhook, websocket};
use crate::process::{ProcessOptions, Processes};
use crate::resume::{Resuming, resume};
use crate::turn::Runner;

/// How a gateway works.
#[derive(Clone, Debug)]
pub struct GatewayOptions {
    /// What a message may bring.
    pub limits: MessageLimits,
    /// How many sockets of one tenant may be open.
    pub sockets: usize,
    /// How often it is asked of a silent socket whether its client lives, and is still known.
    pub heartbeat: Duration,
    /// How many messages of one conversation may wait.
    pub waiting: usize,
    /// How long a turn that was stopped may take to notice.
    pub grace: Duration,
    /// How deliveries are made.
    pub ledger: LedgerOptions,
    /// How long a question waits for a person before it counts as denied.
    pub patience: Duration,
    /// The approvers of commands. Commands that need an approval are off for a tenant without an approver.
    pub approvers: Vec<Approver>,
    /// How many schedules one principal may have.
    pub schedules: usize,
    /// How often schedules and old processes are looked at.
    pub tick: Duration,
    /// Commands. Without it there are none.
    pub processes: Option<ProcessOptions>,
    /// What the program adds.
    pub hooks: Hooks,
}

impl Default for GatewayOptions {
    /// 64 sockets a tenant with a heartbeat of 15 seconds, 32 messages wait, 10 seconds of grace, 5 minutes of patience, 32
    /// schedules, a look each second, no commands.
    fn default() -> Self {
        Self {
            limits: MessageLimits::default(),
            sockets: 64,
            heartbeat: Duration::from_secs(15),
            waiting: 32,
            grace: Duration::from_secs(10),
            ledger: LedgerOptions::default(),
            patience: Duration::from_secs(300),
            approvers: Vec::new(),
            schedules: 32,
            tick: Duration::from_secs(1),
            processes: None,
            hooks: Hooks::default(),
        }
    }
}

/// What outlives a turn. Cheap to clone.
#[derive(Clone)]
pub struct Desk {
    inner: Arc<Inner>,
}

struct Inner {
    options: GatewayOptions,
    accounts: Accounts,
    pairings: Pairings,
    resuming: Resuming,
    arrivals: Arrivals,
    ledger: Ledger,
    schedules: Schedules,
    processes: Option<Processes>,
    approvals: Approvals,
    connections: Connections,
}

/// How often old rows are swept.
const SWEEP: Duration = Duration::from_secs(600);

impl Desk {
    /// A desk over a store. `client` sends to callbacks; make it with [`webhook::client`]. `more` are platforms of the program.
    ///
    /// # Errors
    /// [`GatewayError::Io`] when the system gives no random bits; [`GatewayError::Config`] when an approver is asked where
    /// their tenant has no account.
    pub fn new(
        store: Store,
        keys: KeyFile,
        accounts: Accounts,
        client: reqwest::Client,
        more: impl IntoIterator<Item = Arc<dyn Platform>>,
        options: GatewayOptions,
    ) -> Result<Self, GatewayError> {
        let connections = Connections::default();
        let own: [Arc<dyn Platform>; 2] = [
            Arc::new(webhook::Sender::new(accounts.clone(), client)),
            Arc::new(websocket::Sender::new(connections.clone())),
        ];
        let platforms = Platforms::new(own.into_iter().chain(more));
        // What an earlier gateway left is told from what this one and its neighbours work on.
        let presence = match options.hooks.presence() {
            Some(presence) => presence,
            None => Presence::alone(&random_id()?),
        };
        let ledger = Ledger::new(
            store.clone(),
            keys.clone(),
            platforms,
            options.ledger.clone(),
            options.hooks.clone(),
        );
        let processes = options.processes.clone().map(|processes| {
            Processes::new(store.clone(), keys.clone(), ledger.clone(), presence.clone(), processes)
        });
        let pairings = Pairings::new(store.clone());
        let approvals = Approvals::new(
            ledger.clone(),
            accounts.clone(),
            pairings.clone(),
            options.approvers.clone(),
            options.patience,
        )?;
        let inner = Inner {
            pairings,
            resuming: Resuming::default(),
            arrivals: Arrivals::new(store.clone(), keys.clone(), presence),
            schedules: Schedules::new(store, keys, options.schedules, options.hooks.clone()),
            approvals,
            ledger,
            processes,
            accounts,
            connections,
            options,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The accounts.
    #[must_use]
    pub fn accounts(&self) -> &Accounts {
        &self.inner.accounts
    }

    /// Senders whom the configuration does not know. For the operator.
    #[must_use]
    pub fn pairings(&self) -> &Pairings {
        &self.inner.pairings
    }

    /// What is to be said.
    #[must_use]
    pub fn ledger(&self) -> &Ledger {
        &self.inner.ledger
    }

    /// What is to be done at its time.
    #[must_use]
    pub fn schedules(&self) -> &Schedules {
        &self.inner.schedules
    }

    /// Commands; none unless configured.
    #[must_use]
    pub fn processes(&self) -> Option<&Processes> {
        self.inner.processes.as_ref()
    }

    /// Questions that wait for a person.
    #[must_use]
    pub fn approvals(&self) -> &Approvals {
        &self.inner.approvals
    }

    pub(crate) fn options(&self) -> &GatewayOptions {
        &self.inner.options
    }

    pub(crate) fn resuming(&self) -> &Resuming {
        &self.inner.resuming
    }

    pub(crate) fn arrivals(&self) -> &Arrivals {
        &self.inner.arrivals
    }

    /// How many sockets each tenant has open.
    #[must_use]
    pub fn open_sockets(&self) -> BTreeMap<TenantId, usize> {
        self.connections().counts()
    }

    pub(crate) fn connections(&self) -> &Connections {
        &self.inner.connections
    }

    /// The loops, until `shutdown` is over.
    pub(crate) async fn run(&self, runner: &Runner, shutdown: impl Future<Output = ()> + Send) {
        let (stop, stopped) = watch::channel(false);
        let over = |mut stopped: watch::Receiver<bool>| async move {
            let _ = stopped.wait_for(|stopped| *stopped).await;
        };
        let deliver = self.inner.ledger.run(over(stopped.clone()));
        let tick = self.tick(runner, over(stopped.clone()));
        let sweep = self.sweep(over(stopped));
        let wait = async move {
            shutdown.await;
            let _ = stop.send(true);
        };
        haversack::detached(async { tokio::join!(deliver, tick, sweep, wait) }).await;
    }

    async fn tick(&self, runner: &Runner, shutdown: impl Future<Output = ()> + Send) {
        let mut shutdown = std::pin::pin!(shutdown);
        loop {
            if let Err(error) = resume(self, runner).await {
                tracing::error!(error = %error, "messages that were left could not be taken up");
            }
            if let Err(error) = self.inner.schedules.tick(runner).await {
                tracing::error!(error = %error, "schedules could not be looked at");
            }
            if let Some(processes) = &self.inner.processes
                && let Err(error) = processes.look_after().await
            {
                tracing::error!(error = %error, "processes of an earlier gateway could not be looked at");
            }
            tokio::select! {
                () = &mut shutdown => return,
                () = self.inner.resuming.has_room() => {}
                () = tokio::time::sleep(self.inner.options.tick) => {}
            }
        }
    }

    async fn sweep(&self, shutdown: impl Future<Output = ()> + Send) {
        let mut shutdown = std::pin::pin!(shutdown);
        loop {
            if let Err(error) = self.inner.ledger.sweep().await {
                tracing::error!(error = %error, "the ledger could not be swept");
            }
            if let Some(processes) = &self.inner.processes
                && let Err(error) = processes.sweep().await
            {
                tracing::error!(error = %error, "old processes could not be swept");
            }
            if let Err(error) = self.inner.arrivals.sweep().await {
                tracing::error!(error = %error, "old messages could not be swept");
            }
            tokio::select! {
                () = &mut shutdown => return,
                () = tokio::time::sleep(SWEEP) => {}
            }
        }
    }
}

impl fmt::Debug for Desk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Desk").field("ledger", &self.inner.ledger).finish_non_exhaustive()
    }
}
