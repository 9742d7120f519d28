//! From a message to its answer: the order of turns, and the context that each runs in.
//!
//! Turns of one conversation run one after the other in a lane; lanes run beside each other. A turn is an identity that was
//! settled at arrival and is bound again, whole, where the turn is run, in a task and under an entry of its own. The gateway
//! submits; the program's [`Responder`] answers.

mod arrival;
mod identity;
mod lane;
mod run;

use std::future::Future;
use std::pin::Pin;

pub use arrival::Arrival;
pub(crate) use arrival::{hex, message_hash, reply_id};
pub(crate) use identity::{Identity, Scheduled};
pub(crate) use lane::{Lanes, Work};
pub(crate) use run::Runner;

/// Who answers messages: the program, with its agents.
///
/// It is called inside the door `gateway` or `cron`, with tenant, principal, session and every variable of
/// [`crate::session`] bound. A turn that is given a door of its own takes the variables along with
/// [`crate::session::along`].
pub trait Responder: Send + Sync + 'static {
    /// Answers one message. The same message may come again after a crash, with the same
    /// [`Arrival::idempotency_key`].
    ///
    /// # Cancellation
    /// When the work is no longer wanted `CANCEL` is cancelled; a while later the future is dropped.
    fn respond(&self, arrival: Arrival) -> Responding;
}

/// The future of one answer.
pub type Responding = Pin<Box<dyn Future<Output = Result<Reply, Unanswered>> + Send>>;

/// An answer. An empty text is not sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reply {
    /// The words, of any length.
    pub text: String,
}

impl Reply {
    /// These words.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into() }
    }
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unanswered {
    /// The work was stopped. Nothing is sent.
    Stopped,
    /// The program goes down and did not work on it. It comes again after the next start, where it can be answered later.
    ShuttingDown,
    /// It failed.
    Failed {
        /// What the sender is told. It quotes nothing.
        told: String,
    },
}
