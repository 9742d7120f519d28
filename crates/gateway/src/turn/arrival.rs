//! What a responder holds: one message, for as long as its handler runs.
//!
//! It keeps the entry it was made under and the key it was queued for, and compares both with the context at each use: a
//! message is never read, and never answered, as somebody else. When the handler ends it says so to whoever kept it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use haversack::Entry;
use sha2::{Digest, Sha256};

use super::lane::Steering;
use crate::GatewayError;
use crate::message::Message;
use crate::session::SESSION_KEY;

/// One message, in the hands of its responder.
#[derive(Clone)]
pub struct Arrival {
    entry: Entry,
    shared: Arc<Shared>,
}

struct Shared {
    key: String,
    message: Message,
    steering: Steering,
    ended: AtomicBool,
}

impl Arrival {
    /// Inside the door of the turn.
    #[track_caller]
    pub(crate) fn new(key: String, message: Message, steering: Steering) -> Result<Self, GatewayError> {
        let shared = Shared { key, message, steering, ended: AtomicBool::new(false) };
        Ok(Self { entry: Entry::current()?, shared: Arc::new(shared) })
    }

    /// Demands that this message is what the current context is about, and that its handler still runs.
    ///
    /// # Errors
    /// [`GatewayError::HandlerEnded`]; [`GatewayError::Foreign`] under another entry; [`GatewayError::KeyMismatch`] when
    /// entry and session key do not go together.
    #[track_caller]
    pub fn check(&self) -> Result<(), GatewayError> {
        if self.shared.ended.load(Ordering::Acquire) {
            return Err(GatewayError::HandlerEnded);
        }
        self.entry.check("a message")?;
        match SESSION_KEY.with(|key| *key == self.shared.key)? {
            true => Ok(()),
            false => Err(GatewayError::KeyMismatch),
        }
    }

    /// The message.
    ///
    /// # Errors
    /// As [`check`](Self::check).
    #[track_caller]
    pub fn message(&self) -> Result<&Message, GatewayError> {
        self.check()?;
        Ok(&self.shared.message)
    }

    /// Names the message for a store that must not answer it twice: the same for the same message of the same account.
    #[must_use]
    pub fn idempotency_key(&self) -> String {
        let Message { account, id, .. } = &self.shared.message;
        idempotency_key(account, id)
    }

    /// As [`idempotency_key`](Self::idempotency_key), for a message that was [taken](Self::take_steering).
    #[must_use]
    pub fn idempotency_key_of(&self, taken: &Message) -> String {
        idempotency_key(&taken.account, &taken.id)
    }

    /// Names the answer in the ledger.
    pub(crate) fn reply_id(&self) -> String {
        let Message { account, id, .. } = &self.shared.message;
        reply_id(account, id)
    }

    /// The oldest message that its sender added since and that nobody took, where the account steers. Taking it answers it: it
    /// gets no turn of its own and ends as this message does, with its reply or without one. What a crash or a shutdown
    /// interrupts comes again, each message by itself.
    ///
    /// # Errors
    /// As [`check`](Self::check).
    #[track_caller]
    pub fn take_steering(&self) -> Result<Option<Message>, GatewayError> {
        self.check()?;
        Ok(self.shared.steering.take())
    }

    /// The handler is over.
    pub(crate) fn end(&self) {
        self.shared.ended.store(true, Ordering::Release);
    }
}

impl fmt::Debug for Arrival {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Arrival").field("entry", &self.entry).finish_non_exhaustive()
    }
}

fn idempotency_key(account: &str, id: &str) -> String {
    hex(&message_hash(account, id)[..16])
}

/// The name of the one answer to a message.
pub(crate) fn reply_id(account: &str, id: &str) -> String {
    format!("reply-{}", idempotency_key(account, id))
}

/// One message of one account, as a number.
pub(crate) fn message_hash(account: &str, id: &str) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update((account.len() as u64).to_le_bytes());
    hash.update(account.as_bytes());
    hash.update(id.as_bytes());
    hash.finalize().into()
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a broken law ends its test")]
mod tests {
    use haversack_store::now_millis;

    use super::*;
    use crate::message::{Chat, ChatKind, Sender};

    fn message() -> Message {
        Message {
            account: "shop".to_owned(),
            id: format!("m{}", now_millis()),
            chat: Chat { id: "c1".to_owned(), name: String::new(), kind: ChatKind::Direct },
            thread: None,
            scope: String::new(),
            sender: Sender { id: "u-kim".to_owned(), name: String::new() },
            text: "hello".to_owned(),
            attachments: Vec::new(),
            callback: None,
        }
    }

    /// Keys have no `set`, so no code outside of this crate can bring a message and another key under one entry.
    #[test]
    fn a_turn_that_runs_under_another_key_than_its_message_was_queued_for_is_refused() {
        let visit = haversack::testing::enter(|bind| bind.bind(&SESSION_KEY, "key of c1".to_owned()));
        let arrival = |key: &str| Arrival::new(key.to_owned(), message(), Steering::default()).unwrap();
        visit.run(|| {
            assert!(arrival("key of c1").check().is_ok());
            let other = arrival("key of c2");
            assert!(matches!(other.check(), Err(GatewayError::KeyMismatch)));
            assert!(matches!(other.message(), Err(GatewayError::KeyMismatch)));
            assert!(matches!(other.take_steering(), Err(GatewayError::KeyMismatch)));
        });
    }
}
