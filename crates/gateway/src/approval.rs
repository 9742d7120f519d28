//! Approvals: a tool asks, and one of the configured approvers answers, who is never the person that asked.
//!
//! A question is told to the conversation that asked and to each approver, and an answer counts from an approver of its tenant,
//! wherever they write it. Who else answers is told that there is no such question. Denied is the default: by time, where
//! nobody is named, and where nothing can be asked; that a question lapsed is told in the conversation. Tools ask; the gateway hands answers
//! in before they queue behind the turn that waits for them.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use haversack::well_known::{PRINCIPAL, Principal, TENANT_ID, TenantId};
use tokio::sync::oneshot;

use crate::account::{Accounts, Pairings};
use crate::ledger::{Ledger, Say, random_id};
use crate::platform::websocket::{WEBSOCKET, chat_of};
use crate::session::{CAN_DELIVER_LATER, PLATFORM, REPLY_ROUTE, SESSION_KEY, SOURCE, USER_ID};
use crate::{GatewayError, ReplyRoute};

/// How many questions one conversation may have open.
const MOST: usize = 8;

/// How many questions that lapsed are remembered, for whoever answers them late.
const LAPSED: usize = 1024;

/// The chat of an approver for whom no other is configured.
const APPROVALS: &str = "approvals";

/// What a person decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Once, for this question.
    Approve,
    /// No.
    Deny,
}

impl Decision {
    /// `/approve ID` or `/deny ID`, alone in a message.
    pub(crate) fn read(text: &str) -> Option<(&str, Self)> {
        let mut words = text.split_whitespace();
        let decision = match words.next()? {
            "/approve" => Self::Approve,
            "/deny" => Self::Deny,
            _ => return None,
        };
        let id = words.next()?;
        words.next().is_none().then_some((id, decision))
    }
}

/// Somebody who may approve, and where they are asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approver {
    /// Whose commands they approve.
    pub tenant: TenantId,
    /// Their principal.
    pub principal: Principal,
    /// The account on which they are asked; the sockets of the tenant without.
    pub account: Option<String>,
    /// The chat in which they are asked; `approvals` without.
    pub chat: Option<String>,
    /// On a webhook: where it is called.
    pub callback: Option<String>,
}

impl Approver {
    /// Somebody who is asked over a socket, in their chat `approvals`.
    #[must_use]
    pub fn new(tenant: TenantId, principal: Principal) -> Self {
        Self { tenant, principal, account: None, chat: None, callback: None }
    }

    fn route(&self, accounts: &Accounts) -> Result<ReplyRoute, GatewayError> {
        let chat = self.chat.as_deref().unwrap_or(APPROVALS);
        let account = match &self.account {
            None => accounts.of_tenant(WEBSOCKET, &self.tenant),
            Some(name) if name == WEBSOCKET && accounts.iter().all(|known| known.name != *name) => None,
            Some(name) => {
                let found = accounts.iter().find(|known| known.name == *name && known.tenant == self.tenant);
                Some(found.ok_or_else(|| {
                    GatewayError::Config(format!(
                        "an approver is asked by the account `{name}`, which their tenant does not have"
                    ))
                })?)
            }
        };
        Ok(match account {
            Some(account) if account.platform != WEBSOCKET => {
                ReplyRoute::new(&account.platform, &account.name, chat).by_callback(self.callback.as_deref())
            }
            socket => {
                let name = socket.map_or(WEBSOCKET, |account| &account.name);
                ReplyRoute::new(WEBSOCKET, name, &chat_of(&self.principal, chat))
            }
        })
    }
}

/// The outcome of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answered {
    /// It counts.
    Taken(Decision),
    /// The question had lapsed.
    Lapsed,
    /// The person who asked cannot approve.
    Own,
}

impl Answered {
    pub(crate) const fn told(self) -> &'static str {
        match self {
            Self::Taken(Decision::Approve) => "Approved.",
            Self::Taken(Decision::Deny) => "Denied.",
            Self::Lapsed => {
                "This question lapsed: its time was up, or the work that asked was stopped. Nothing was done."
            }
            Self::Own => "You asked for this yourself, so somebody else approves it.",
        }
    }
}

/// The questions of a gateway. Cheap to clone. They live as long as their turns.
#[derive(Clone)]
pub struct Approvals {
    shared: Arc<Shared>,
}

struct Shared {
    open: Mutex<Questions>,
    ledger: Ledger,
    accounts: Accounts,
    pairings: Pairings,
    approvers: Vec<(Approver, ReplyRoute)>,
    patience: Duration,
}

#[derive(Default)]
struct Questions {
    waiting: HashMap<String, Question>,
    /// With their tenants, the oldest first.
    lapsed: VecDeque<(String, TenantId)>,
}

struct Question {
    tenant: TenantId,
    key: String,
    asker: Principal,
    decided: oneshot::Sender<Decision>,
}

impl Approvals {
    pub(crate) fn new(
        ledger: Ledger,
        accounts: Accounts,
        pairings: Pairings,
        approvers: Vec<Approver>,
        patience: Duration,
    ) -> Result<Self, GatewayError> {
        let routed = approvers.into_iter().map(|approver| {
            let route = approver.route(&accounts)?;
            Ok((approver, route))
        });
        let approvers = routed.collect::<Result<_, GatewayError>>()?;
        let shared = Shared { open: Mutex::default(), ledger, accounts, pairings, approvers, patience };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Returns true if the tenant has an approver.
    pub(crate) fn has_approver(&self, tenant: &TenantId) -> bool {
        self.shared.approvers.iter().any(|(approver, _)| approver.tenant == *tenant)
    }

    /// Asks the approvers of the current tenant, tells the conversation, and waits for an answer. `what` is shown to both. The
    /// clock of the turn stands still meanwhile.
    ///
    /// # Errors
    /// [`GatewayError::Unbound`] outside a session; the ledger's errors. Nobody to ask, no way to ask and no answer in time
    /// are no errors: they are [`Decision::Deny`].
    ///
    /// # Cancellation
    /// The question lapses.
    pub async fn ask(&self, what: &str) -> Result<Decision, GatewayError> {
        let (tenant, key, user) = (TENANT_ID.get()?, SESSION_KEY.get()?, USER_ID.get()?);
        // A schedule has no sender, and a channel that cannot be reached cannot be asked.
        if user.is_empty() || !CAN_DELIVER_LATER.get()? {
            return Ok(Decision::Deny);
        }
        let asker = self.asker(&user).await?;
        let asked = self.shared.approvers.iter();
        let asked: Vec<_> = asked.filter(|(one, _)| one.tenant == tenant && one.principal != asker).collect();
        if asked.is_empty() {
            return Ok(Decision::Deny);
        }
        let id = random_id()?[..8].to_owned();
        let (decided, decision) = oneshot::channel();
        {
            let mut open = self.hold();
            let mine =
                open.waiting.values().filter(|question| question.tenant == tenant && question.key == key);
            if mine.count() >= MOST {
                return Ok(Decision::Deny);
            }
            let question = Question { tenant, key, asker: asker.clone(), decided };
            open.waiting.insert(id.clone(), question);
        }
        let _open = Open { approvals: self, id: &id };
        let _waiting = haversack_agent::clock::pause();
        self.tell(&id, what, &asker, &asked).await?;
        if let Ok(Ok(decision)) = tokio::time::timeout(self.shared.patience, decision).await {
            return Ok(decision);
        }
        let text = format!(
            "Nobody approved this in {}, so it was not done (question {id}):\n\n{what}",
            span(self.shared.patience)
        );
        self.shared.ledger.submit(Say { id: Some(format!("approval-{id}-lapsed")), text, to: None }).await?;
        Ok(Decision::Deny)
    }

    /// Tells the conversation that it waits, and each approver what for.
    async fn tell(
        &self,
        id: &str,
        what: &str,
        asker: &Principal,
        asked: &[&(Approver, ReplyRoute)],
    ) -> Result<(), GatewayError> {
        let here = REPLY_ROUTE.get()?;
        let names: Vec<&str> = asked.iter().map(|(approver, _)| approver.principal.as_str()).collect();
        let (names, patience) = (names.join(" or "), span(self.shared.patience));
        let how = format!("`/approve {id}` or `/deny {id}`");
        let text = format!("This waits for {names}, who may answer {how} within {patience}:\n\n{what}");
        let ledger = &self.shared.ledger;
        ledger.submit(Say { id: Some(format!("approval-{id}")), text, to: None }).await?;
        for (number, (_, route)) in
            asked.iter().enumerate().filter(|(_, (_, route))| !route.same_place(&here))
        {
            let text =
                format!("{asker} asks for leave to do this. Answer {how} within {patience}:\n\n{what}");
            let say = Say { id: Some(format!("approval-{id}-{number}")), text, to: Some(route.clone()) };
            ledger.submit(say).await?;
        }
        Ok(())
    }

    /// Answers a question, as `sender`, a person of the current tenant.
    ///
    /// # Errors
    /// [`GatewayError::NotFound`] also when the sender may not approve, or the question is another tenant's.
    #[track_caller]
    pub fn answer(&self, id: &str, decision: Decision, sender: &Principal) -> Result<Answered, GatewayError> {
        let tenant = TENANT_ID.get()?;
        let unknown = GatewayError::NotFound { what: "question" };
        let may = |(one, _): &(Approver, ReplyRoute)| one.tenant == tenant && one.principal == *sender;
        let may = self.shared.approvers.iter().any(may);
        let mut open = self.hold();
        let Some(question) = open.waiting.get(id).filter(|question| question.tenant == tenant) else {
            let lapsed = open.lapsed.iter().any(|(lapsed, of)| lapsed == id && *of == tenant);
            return if lapsed && may { Ok(Answered::Lapsed) } else { Err(unknown) };
        };
        if question.asker == *sender {
            return Ok(Answered::Own);
        }
        if !may {
            return Err(unknown);
        }
        let question = open.waiting.remove(id).ok_or(unknown)?;
        // The one who asked may have given up in this moment.
        Ok(match question.decided.send(decision) {
            Ok(()) => Answered::Taken(decision),
            Err(_) => Answered::Lapsed,
        })
    }

    /// The person behind the message that is worked on. In a conversation that people share the principal is nobody's own.
    async fn asker(&self, user: &str) -> Result<Principal, GatewayError> {
        let (platform, source, principal) = (PLATFORM.get()?, SOURCE.get()?, PRINCIPAL.get()?);
        if let Ok(account) = self.shared.accounts.get(&platform, &source)
            && let Some(person) = account.users.get(user)
        {
            return Ok(person.clone());
        }
        if platform == WEBSOCKET {
            return Ok(Principal::new(user).unwrap_or(principal));
        }
        Ok(self.shared.pairings.known(&source, user).await?.unwrap_or(principal))
    }

    fn hold(&self) -> MutexGuard<'_, Questions> {
        self.shared.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Lets a question lapse when nobody waits for its answer any more.
struct Open<'a> {
    approvals: &'a Approvals,
    id: &'a str,
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        let mut open = self.approvals.hold();
        if let Some(question) = open.waiting.remove(self.id) {
            open.lapsed.push_back((self.id.to_owned(), question.tenant));
            if open.lapsed.len() > LAPSED {
                open.lapsed.pop_front();
            }
        }
    }
}

fn span(span: Duration) -> String {
    match span.as_secs() {
        0 => format!("{} ms", span.as_millis()),
        seconds if seconds % 60 == 0 => format!("{} min", seconds / 60),
        seconds => format!("{seconds} s"),
    }
}

impl fmt::Debug for Approvals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Approvals").field("patience", &self.shared.patience).finish_non_exhaustive()
    }
}
