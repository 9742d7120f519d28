//! Where an answer goes: captured when a message arrives, and never changed.
//!
//! A route is platform, account, chat, thread, the message it answers and, where the sender gave one, a callback. Its
//! fields are private and it has no setter. Adapters make one for each arrival; everything that speaks later carries it
//! along. A "last channel" does not exist here: there is no function that answers where somebody was last seen.

use std::fmt;

use haversack::well_known::TenantId;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The address of an answer. Immutable.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReplyRoute {
    platform: String,
    account: String,
    chat: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    thread: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    callback: Option<String>,
}

impl ReplyRoute {
    /// A route into a chat, by the account that the platform knows us under.
    #[must_use]
    pub fn new(platform: &str, account: &str, chat: &str) -> Self {
        Self {
            platform: platform.to_owned(),
            account: account.to_owned(),
            chat: chat.to_owned(),
            thread: None,
            message: None,
            callback: None,
        }
    }

    /// Into this thread of the chat.
    #[must_use]
    pub fn in_thread(mut self, thread: Option<&str>) -> Self {
        self.thread = thread.map(str::to_owned);
        self
    }

    /// As an answer to this message.
    #[must_use]
    pub fn answering(mut self, message: &str) -> Self {
        self.message = Some(message.to_owned());
        self
    }

    /// By this URL, where the platform is one that is called back.
    #[must_use]
    pub fn by_callback(mut self, callback: Option<&str>) -> Self {
        self.callback = callback.map(str::to_owned);
        self
    }

    /// The platform.
    #[must_use]
    pub fn platform(&self) -> &str {
        &self.platform
    }

    /// The configured account.
    #[must_use]
    pub fn account(&self) -> &str {
        &self.account
    }

    /// The chat.
    #[must_use]
    pub fn chat(&self) -> &str {
        &self.chat
    }

    /// The thread, where there is one.
    #[must_use]
    pub fn thread(&self) -> Option<&str> {
        self.thread.as_deref()
    }

    /// The message that is answered.
    #[must_use]
    pub fn message(&self) -> Option<&str> {
        self.message.as_deref()
    }

    /// The URL that is called.
    #[must_use]
    pub fn callback(&self) -> Option<&str> {
        self.callback.as_deref()
    }

    /// Whether both lead to the same place, whichever message they answer.
    #[must_use]
    pub fn same_place(&self, other: &Self) -> bool {
        self.place() == other.place()
    }

    /// The place of a tenant as one opaque number: the ledger remembers dead ones without knowing their names. Two tenants
    /// may use one name for two places.
    pub(crate) fn fingerprint(&self, tenant: &TenantId) -> [u8; 32] {
        let (platform, account, chat, thread, callback) = self.place();
        let mut hash = Sha256::new();
        let tenant = tenant.as_str();
        for part in [tenant, platform, account, chat, thread.unwrap_or_default(), callback.unwrap_or_default()] {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part.as_bytes());
        }
        hash.finalize().into()
    }

    fn place(&self) -> (&str, &str, &str, Option<&str>, Option<&str>) {
        (&self.platform, &self.account, &self.chat, self.thread(), self.callback())
    }
}

/// Names the platform alone: chats and callbacks are people's addresses and belong in no log.
impl fmt::Debug for ReplyRoute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReplyRoute").field("platform", &self.platform).finish_non_exhaustive()
    }
}
