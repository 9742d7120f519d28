//! The gateway: what comes in becomes an identity and a turn.
//!
//! It is the desk (what outlives a turn) and a runner of turns over the program's responder. Platforms hand messages in; the
//! order is fixed: sizes, account, sender, message not seen before, identity, door, lane. Nothing of a message reaches the
//! responder before all of it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use haversack::well_known::{Principal, TenantId};
use tokio::sync::oneshot;

use crate::GatewayError;
use crate::account::{Account, Accounts, Unknown};
use crate::approval::Decision;
use crate::desk::Desk;
use crate::door::GATEWAY;
use crate::ledger::Ledger;
use crate::message::{Message, MessageLimits};
use crate::platform::websocket::Connections;
use crate::resume::resume;
use crate::turn::{Identity, Lanes, Reply, Responder, Runner, Work};

/// The gateway of a program. Cheap to clone.
#[derive(Clone)]
pub struct Gateway {
    desk: Desk,
    runner: Runner,
    rate: Option<Rate>,
}

/// Takes one message from what a tenant may send, or says after how many seconds there will be one.
pub type Rate = Arc<dyn Fn(&TenantId) -> Result<(), u32> + Send + Sync>;

/// A message on its way in, from a platform that has done its own checks.
#[derive(Clone, Debug)]
pub struct Incoming {
    /// The platform.
    pub platform: &'static str,
    /// The message.
    pub message: Message,
    /// Whether the platform can be reached after the answer.
    pub deliver_later: bool,
}

/// What became of a message.
#[derive(Debug)]
pub enum Receipt {
    /// It has a turn, now or when its conversation is free.
    Taken(Taken),
    /// It was taken before.
    Duplicate,
    /// Its sender is not known. They can show this code to an operator.
    Pairing {
        /// The code.
        code: String,
    },
    /// It was an answer to a question of ours and has had its effect.
    Done {
        /// What its sender is told.
        text: String,
    },
}

/// A message that was taken.
#[derive(Debug)]
pub struct Taken {
    answered: oneshot::Receiver<Result<Reply, GatewayError>>,
}

impl Taken {
    /// The answer, for whoever holds the line. Where the platform can be reached later it is in the ledger by then, and need
    /// not be waited for.
    ///
    /// # Errors
    /// Why there is none; [`GatewayError::ShuttingDown`] when the gateway went away.
    ///
    /// # Cancellation
    /// The turn goes on.
    pub async fn answer(self) -> Result<Reply, GatewayError> {
        self.answered.await.unwrap_or(Err(GatewayError::ShuttingDown))
    }
}

impl Gateway {
    /// A gateway whose messages `responder` answers.
    #[must_use]
    pub fn new(desk: Desk, responder: Arc<dyn Responder>) -> Self {
        let options = desk.options();
        let lanes = Lanes::new(options.waiting);
        let runner =
            Runner::new(lanes, desk.ledger().clone(), desk.arrivals().clone(), responder, options.grace);
        Self { desk, runner, rate: None }
    }

    /// The same gateway, which asks `rate` for each message before anything is written for it. Without one, tenants may send as
    /// fast as they can.
    #[must_use]
    pub fn with_rate(mut self, rate: Rate) -> Self {
        self.rate = Some(rate);
        self
    }

    /// Takes a message in. Returns when it has its place in its conversation, and not when it is answered.
    ///
    /// # Errors
    /// What a sender can do better ([`GatewayError::is_refusal`]); the store's errors. Nothing was started then.
    pub async fn receive(&self, incoming: Incoming) -> Result<Receipt, GatewayError> {
        incoming.message.check(&self.limits())?;
        let account = self.accounts().get(incoming.platform, &incoming.message.account)?.clone();
        self.take_rate(&account.tenant)?;
        let sender = &incoming.message.sender;
        let principal = match account.users.get(&sender.id) {
            Some(principal) => principal.clone(),
            None => match self.desk.pairings().known(&account.name, &sender.id).await? {
                Some(principal) => principal,
                None if account.unknown == Unknown::Pair => {
                    let code = self.desk.pairings().code(&account.name, &sender.id, &sender.name).await?;
                    return Ok(Receipt::Pairing { code });
                }
                None => return Err(GatewayError::UnknownUser),
            },
        };
        self.receive_from(&account, principal, incoming).await
    }

    /// Counts one message of a tenant, before anything is read or written for it.
    pub(crate) fn take_rate(&self, tenant: &TenantId) -> Result<(), GatewayError> {
        let rate = self.rate.as_ref().map_or(Ok(()), |rate| rate(tenant));
        rate.map_err(|after_s| GatewayError::TooFast { after_s })
    }

    /// As [`receive`](Self::receive), from somebody whom the platform has recognised, and whose message is counted.
    pub(crate) async fn receive_from(
        &self,
        account: &Account,
        principal: Principal,
        incoming: Incoming,
    ) -> Result<Receipt, GatewayError> {
        let Incoming { platform: _, message, deliver_later } = incoming;
        message.check(&self.limits())?;
        self.desk.resuming().caught_up(&account.tenant).await;
        let trace = self.desk.options().hooks.begin();
        let sender = principal.clone();
        let identity = Identity::of_message(account, &message, principal, deliver_later, trace)?;
        self.desk.ledger().note_arrival(&identity.route);
        let visit = GATEWAY.enter(|bind| identity.bind(bind))?;
        let (desk, runner, busy) = (self.desk.clone(), self.runner.clone(), account.busy);
        let arrive = async move {
            let decision = Decision::read(&message.text);
            // What is answered later outlives us; who waits on the line sends it again, and a question ends with its process.
            let kept = identity.facts.later && decision.is_none();
            let kept = kept.then(|| desk.arrivals().seal(&message)).transpose()?;
            if !desk.arrivals().take(&identity.tenant, &message, kept).await? {
                return Ok(Receipt::Duplicate);
            }
            // Answers to our own questions overtake the turn that waits for them.
            if let Some((id, decision)) = decision {
                let text = match desk.approvals().answer(id, decision, &sender) {
                    Ok(answered) => answered.told().to_owned(),
                    Err(error) => error.to_string(),
                };
                desk.arrivals().finish(&identity.tenant, &message).await;
                return Ok(Receipt::Done { text });
            }
            let (answered, answer) = oneshot::channel();
            let tenant = identity.tenant.clone();
            let work = Work {
                identity: Arc::new(identity),
                message: message.clone(),
                busy,
                door: &GATEWAY,
                answered,
                place: None,
            };
            if let Err(error) = runner.submit(work) {
                desk.arrivals().give_back(&tenant, &message).await;
                return Err(error);
            }
            Ok(Receipt::Taken(Taken { answered: answer }))
        };
        // Whole, also when whoever sent it goes away: what was taken has its place in a conversation.
        haversack::spawn_detached(visit.wrap(arrive)).await.unwrap_or(Err(GatewayError::NotAnswered))
    }

    /// Delivers, runs schedules and watches what an earlier gateway left, until `shutdown` is over. Without it nothing leaves
    /// the ledger.
    pub async fn run(&self, shutdown: impl Future<Output = ()> + Send) {
        self.desk.run(&self.runner, shutdown).await;
    }

    /// Notes which tenants have messages that an earlier gateway accepted and did not answer. A message that arrives for one of
    /// them waits a few seconds at most until [`run`](Self::run) has taken those up. It reads one index and starts no work, so a
    /// program calls it before it serves.
    ///
    /// # Errors
    /// The store's errors. New messages then do not wait.
    pub async fn look_back(&self) -> Result<(), GatewayError> {
        let tenants = haversack::detached(self.desk.arrivals().tenants_left()).await?;
        self.desk.resuming().behind(tenants);
        Ok(())
    }

    /// Gives messages their turn that an earlier gateway accepted and did not answer, as many as there are places for; how many.
    /// [`run`](Self::run) does so until none is left.
    ///
    /// # Errors
    /// The store's errors. What was not taken up yet is taken up later.
    pub async fn resume(&self) -> Result<usize, GatewayError> {
        haversack::detached(resume(&self.desk, &self.runner)).await
    }

    /// Takes no more messages, waits up to `grace` for turns that run or wait, then stops them. What was accepted, is not answered
    /// and can be answered later is left to the next gateway.
    pub async fn drain(&self, grace: Duration) {
        let lanes = self.runner.lanes();
        lanes.stop_taking();
        if tokio::time::timeout(grace, lanes.idle()).await.is_err() {
            lanes.cancel_all();
            let _ = tokio::time::timeout(self.desk.options().grace * 2, lanes.idle()).await;
        }
        self.desk.arrivals().leave_all().await;
    }

    /// What outlives a turn.
    #[must_use]
    pub fn desk(&self) -> &Desk {
        &self.desk
    }

    pub(crate) fn accounts(&self) -> &Accounts {
        self.desk.accounts()
    }

    pub(crate) fn ledger(&self) -> &Ledger {
        self.desk.ledger()
    }

    pub(crate) fn connections(&self) -> &Connections {
        self.desk.connections()
    }

    /// How many sockets of one tenant may be open.
    pub(crate) fn sockets(&self) -> usize {
        self.desk.options().sockets
    }

    /// How often a silent socket is looked at.
    pub(crate) fn heartbeat(&self) -> Duration {
        self.desk.options().heartbeat
    }

    pub(crate) fn limits(&self) -> MessageLimits {
        self.desk.options().limits
    }
}

impl fmt::Debug for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gateway").finish_non_exhaustive()
    }
}
