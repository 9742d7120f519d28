//! Accounts: under which name a platform knows us, whose they are, and who may speak.
//!
//! An account maps what a platform says to a tenant, and a sender's id to a principal, as configured data. A sender who is
//! in no list is refused, or gets a code that an operator must confirm; nobody becomes anybody by default, and no account
//! maps a sender onto an operator. The gateway asks at each arrival; senders of replies ask whose an account is.

mod pairing;

use std::collections::BTreeMap;
use std::sync::Arc;

use haversack::well_known::{Principal, TenantId};
use serde::{Deserialize, Serialize};

pub use pairing::{PairingRow, Pairings};

use crate::platform::webhook::WebhookConfig;
use crate::{GatewayError, KeyPolicy};

/// One account, as it is configured.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Account {
    /// Its name, by which routes and messages refer to it. Unique.
    pub name: String,
    /// The platform: `webhook`, `websocket`, `terminal`, or the name of one that the program added.
    pub platform: String,
    /// Whose it is.
    pub tenant: TenantId,
    /// Who may speak: the platform's id of a sender, and the principal that they are.
    #[serde(default)]
    pub users: BTreeMap<String, Principal>,
    /// What happens to everybody else.
    #[serde(default)]
    pub unknown: Unknown,
    /// How conversations are told apart.
    #[serde(default)]
    pub sessions: KeyPolicy,
    /// What a message does that arrives during a turn.
    #[serde(default)]
    pub busy: Busy,
    /// The profile that the agent is asked to have; empty for its own.
    #[serde(default)]
    pub profile: String,
    /// Chats of this account to which a tool may write although nobody wrote from there.
    #[serde(default)]
    pub cross_post: Vec<Grant>,
    /// What a webhook needs besides.
    #[serde(default)]
    pub webhook: WebhookConfig,
}

/// What happens to a sender whom the account does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unknown {
    /// They are refused.
    #[default]
    Refuse,
    /// They get a code. When an operator confirms it, naming the principal, they are known.
    Pair,
}

/// What a message does that arrives while a turn of its conversation runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Busy {
    /// It waits.
    #[default]
    Queue,
    /// It is given to the turn that runs, when its sender is the one whom the turn works for; otherwise it waits. What a turn
    /// did not take has a turn of its own.
    Steer,
    /// The turn is stopped and the message has the next one.
    Interrupt,
}

/// Leave to write into a chat, or into every chat of the account with `*`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    /// The chat, or `*`.
    pub chat: String,
}

impl Account {
    /// An account with the defaults: nobody may speak yet. Programs read theirs from their configuration.
    pub(crate) fn new(name: &str, platform: &str, tenant: TenantId) -> Self {
        Self {
            name: name.to_owned(),
            platform: platform.to_owned(),
            tenant,
            users: BTreeMap::new(),
            unknown: Unknown::default(),
            sessions: KeyPolicy::default(),
            busy: Busy::default(),
            profile: String::new(),
            cross_post: Vec::new(),
            webhook: WebhookConfig::default(),
        }
    }

    /// Lets a sender in, as this principal.
    #[must_use]
    pub fn with_user(mut self, user: &str, principal: Principal) -> Self {
        self.users.insert(user.to_owned(), principal);
        self
    }

    /// Whether a tool may write into `chat` unasked.
    #[must_use]
    pub fn grants(&self, chat: &str) -> bool {
        self.cross_post.iter().any(|grant| grant.chat == "*" || grant.chat == chat)
    }

    fn check(&self) -> Result<(), GatewayError> {
        let name = &self.name;
        let plain = |text: &str| {
            (1..=128).contains(&text.len())
                && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
        };
        if !plain(name) || !plain(&self.platform) {
            return Err(GatewayError::Config(
                "an account has a name and a platform of letters, digits, `-`, `_` and `.`".to_owned(),
            ));
        }
        if self.users.values().any(is_reserved) {
            return Err(GatewayError::Config(format!(
                "account `{name}`: nobody is mapped onto an operator, a schedule or a group"
            )));
        }
        self.webhook.check(self)
    }
}

/// Every account of an installation. Cheap to clone; made once, at start.
#[derive(Clone, Debug, Default)]
pub struct Accounts {
    by_name: Arc<BTreeMap<String, Arc<Account>>>,
}

impl Accounts {
    /// These accounts.
    ///
    /// # Errors
    /// [`GatewayError::Config`] when a name is used twice or an account contradicts itself.
    pub fn new(accounts: impl IntoIterator<Item = Account>) -> Result<Self, GatewayError> {
        let mut by_name = BTreeMap::new();
        for account in accounts {
            account.check()?;
            let name = account.name.clone();
            if by_name.insert(name.clone(), Arc::new(account)).is_some() {
                return Err(GatewayError::Config(format!("two accounts are named `{name}`")));
            }
        }
        Ok(Self { by_name: Arc::new(by_name) })
    }

    /// The account of this name on this platform.
    ///
    /// # Errors
    /// [`GatewayError::UnknownAccount`].
    pub fn get(&self, platform: &str, name: &str) -> Result<&Arc<Account>, GatewayError> {
        self.by_name
            .get(name)
            .filter(|account| account.platform == platform)
            .ok_or(GatewayError::UnknownAccount)
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Account>> {
        self.by_name.values()
    }

    /// The first account of the platform that belongs to the tenant of the current context: for platforms on which a caller
    /// is known before an account is named.
    pub(crate) fn of_tenant(&self, platform: &str, tenant: &TenantId) -> Option<&Arc<Account>> {
        self.iter().find(|account| account.platform == platform && account.tenant == *tenant)
    }
}

/// Principals that nobody is mapped onto, neither by configuration nor by pairing: those who act for the installation, and
/// those that are no person.
pub(crate) fn is_reserved(principal: &Principal) -> bool {
    ["operator:", "cron:", "group:"].iter().any(|reserved| principal.as_str().starts_with(reserved))
}
