//! Approvals: a tool asks, and the person who may answer is the one it works for, in the conversation and the place where
//! it was asked.
//!
//! A question keeps tenant, session key, sender and route, and an answer is compared with all four; whoever else answers is
//! told that there is no such question. Denied is the default: by time, where nobody is there to ask, and where nothing can
//! be asked. Tools ask; the gateway hands answers in before they queue behind the turn that waits for them.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use haversack::well_known::{TENANT_ID, TenantId};
use tokio::sync::oneshot;

use crate::ledger::{Ledger, Say, random_id};
use crate::session::{CAN_DELIVER_LATER, REPLY_ROUTE, SESSION_KEY, USER_ID};
use crate::{GatewayError, ReplyRoute};

/// How many questions one conversation may have open.
const MOST: usize = 8;

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

    pub(crate) const fn told(self) -> &'static str {
        match self {
            Self::Approve => "Approved.",
            Self::Deny => "Denied.",
        }
    }
}

/// The questions of a gateway. Cheap to clone. They live as long as their turns, so a restart denies them.
#[derive(Clone)]
pub struct Approvals {
    waiting: Arc<Mutex<HashMap<String, Question>>>,
    ledger: Ledger,
    patience: Duration,
}

struct Question {
    by: Asker,
    decided: oneshot::Sender<Decision>,
}

/// Whose question it is.
#[derive(Clone)]
struct Asker {
    tenant: TenantId,
    key: String,
    user: String,
    route: ReplyRoute,
}

impl Asker {
    #[track_caller]
    fn here() -> Result<Self, GatewayError> {
        Ok(Self {
            tenant: TENANT_ID.get()?,
            key: SESSION_KEY.get()?,
            user: USER_ID.get()?,
            route: REPLY_ROUTE.get()?,
        })
    }

    fn is(&self, other: &Self) -> bool {
        self.tenant == other.tenant
            && self.key == other.key
            && self.user == other.user
            && self.route.same_place(&other.route)
    }
}

impl Approvals {
    pub(crate) fn new(ledger: Ledger, patience: Duration) -> Self {
        Self { waiting: Arc::default(), ledger, patience }
    }

    /// Asks the person whom the current context works for, where they wrote, and waits for the answer. `what` is shown to them.
    ///
    /// # Errors
    /// [`GatewayError::Unbound`] outside a session; the ledger's errors. Nobody to ask, no way to ask and no answer in time
    /// are no errors: they are [`Decision::Deny`].
    ///
    /// # Cancellation
    /// The question is taken back.
    pub async fn ask(&self, what: &str) -> Result<Decision, GatewayError> {
        let by = Asker::here()?;
        // A schedule has no sender, and a channel that cannot be reached cannot be asked.
        if by.user.is_empty() || !CAN_DELIVER_LATER.get()? {
            return Ok(Decision::Deny);
        }
        let id = random_id()?[..8].to_owned();
        let (decided, decision) = oneshot::channel();
        {
            let mut waiting = self.hold();
            if waiting.values().filter(|question| question.by.is(&by)).count() >= MOST {
                return Ok(Decision::Deny);
            }
            waiting.insert(id.clone(), Question { by, decided });
        }
        let _open = Open { approvals: self, id: &id };
        let text = format!("May I do this?\n\n{what}\n\nAnswer `/approve {id}` or `/deny {id}`.");
        self.ledger.submit(Say { id: Some(format!("approval-{id}")), text, to: None }).await?;
        match tokio::time::timeout(self.patience, decision).await {
            Ok(Ok(decision)) => Ok(decision),
            _ => Ok(Decision::Deny),
        }
    }

    /// Answers a question, as the sender of the current context.
    ///
    /// # Errors
    /// [`GatewayError::NotFound`] also when the question is somebody else's, or was asked elsewhere.
    #[track_caller]
    pub fn answer(&self, id: &str, decision: Decision) -> Result<(), GatewayError> {
        let here = Asker::here()?;
        let mut waiting = self.hold();
        let question = match waiting.remove(id) {
            Some(question) if question.by.is(&here) => question,
            other => {
                // Somebody else's stays as it was.
                if let Some(question) = other {
                    waiting.insert(id.to_owned(), question);
                }
                return Err(GatewayError::NotFound { what: "question" });
            }
        };
        // The one who asked may have given up in this moment.
        let _ = question.decided.send(decision);
        Ok(())
    }

    fn hold(&self) -> MutexGuard<'_, HashMap<String, Question>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes a question back when nobody waits for its answer any more.
struct Open<'a> {
    approvals: &'a Approvals,
    id: &'a str,
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.approvals.hold().remove(self.id);
    }
}

impl fmt::Debug for Approvals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Approvals").field("patience", &self.patience).finish_non_exhaustive()
    }
}
