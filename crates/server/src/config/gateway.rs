//! The section `[gateway]`: accounts on other platforms, who may speak through each, and commands. Secrets are given by
//! reference; names and policies are checked where the gateway is built from it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use haversack_agent::agent::SecretRef;
use haversack_gateway::KeyPolicy;
use haversack_gateway::account::{Busy, Unknown};

use super::sections::ranged;

/// `[gateway]`: messages from other platforms.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Gateway {
    /// Bytes of one message of a webhook with its attachments, as it is sent: base64 in JSON.
    #[serde(deserialize_with = "ranged::<_, _, 1024, 16_777_216>")]
    #[schemars(range(min = 1024, max = 16_777_216))]
    pub body_bytes: usize,
    /// Sockets that one tenant may have open. They count among `connections` of `[limits]` too.
    #[serde(deserialize_with = "ranged::<_, _, 1, 1_000_000>")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub sockets_per_tenant: usize,
    /// The accounts. Without one no message is taken.
    pub accounts: Vec<Account>,
    /// Commands that agents may run. Without it there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commands: Option<Command>,
}

/// One of `[[gateway.accounts]]`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Account {
    /// Its name, by which platforms address it. Unique.
    pub name: String,
    /// `webhook`, `websocket` or `terminal`.
    pub platform: String,
    /// Whose it is.
    pub tenant: String,
    /// Who may speak: the platform's id of a sender, and the principal that they are.
    #[serde(default)]
    pub users: BTreeMap<String, String>,
    /// What happens to everybody else: `refuse`, or `pair` by a code that an operator confirms.
    #[serde(default)]
    #[schemars(with = "String")]
    pub unknown: Unknown,
    /// How conversations are told apart; `haversack gateway explain` says what it makes of a message.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, String>")]
    pub sessions: KeyPolicy,
    /// What a message does that arrives during a turn: `queue`, `steer` or `interrupt`.
    #[serde(default)]
    #[schemars(with = "String")]
    pub busy: Busy,
    /// The profile that the agent is asked to have.
    #[serde(default)]
    pub profile: String,
    /// Chats to which a tool may write although nobody wrote from there; `*` is every chat of the account.
    #[serde(default)]
    pub cross_post: Vec<String>,
    /// Webhooks: secrets that messages are signed with, by reference. The first one signs answers.
    #[serde(default)]
    pub secrets: Vec<SecretRef>,
    /// Webhooks: hosts to which answers may go, such as `hooks.example.com` or `*.example.com`.
    #[serde(default)]
    pub callbacks: Vec<String>,
    /// Webhooks: hosts of `callbacks` that are told the trace of an answer, as `traceparent`.
    #[serde(default)]
    pub traced: Vec<String>,
    /// Webhooks: seconds that the time of a signature may be from ours.
    #[serde(default = "window")]
    pub window_s: u32,
    /// Webhooks: characters of one part of an answer.
    #[serde(default = "chars")]
    pub max_chars: usize,
}

/// `[gateway.commands]`: commands that agents may run for whoever asks.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Command {
    /// The folder that they run in; each tenant has one of its own in it.
    pub folder: PathBuf,
    /// `PATH` of the commands. Nothing else of the server's environment reaches them but what is named here.
    #[serde(default = "path")]
    pub path: String,
    /// Requires an approval of each command. If false, `approvers` are not asked.
    #[serde(default = "yes")]
    pub ask: bool,
    /// Whose agents may run commands; without, those of every tenant, once somebody may approve there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenants: Option<Vec<String>>,
    /// The people who may approve a command, except the one who asked. Empty by default: commands that need an approval
    /// are off until somebody is named.
    #[serde(default)]
    pub approvers: Vec<Approver>,
    /// Seconds that an approval may take before it lapses.
    #[serde(default = "approval", deserialize_with = "ranged::<_, _, 1, 604_800>")]
    #[schemars(range(min = 1, max = 604_800))]
    pub approval_s: u64,
    /// Seconds that a command may run while its turn waits; longer ones belong in the background.
    #[serde(default = "foreground", deserialize_with = "ranged::<_, _, 1, 86_400>")]
    #[schemars(range(min = 1, max = 86_400))]
    pub foreground_s: u64,
}

/// One of `approvers`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Approver {
    /// Whose commands.
    pub tenant: String,
    /// The approver's principal.
    pub principal: String,
    /// The account on which they are asked; without, the sockets of the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// The chat in which they are asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chat: Option<String>,
    /// On a webhook: where it is called, within the account's `callbacks`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub callback: Option<String>,
}

impl Default for Gateway {
    fn default() -> Self {
        Self { body_bytes: 2 * 1024 * 1024, sockets_per_tenant: 64, accounts: Vec::new(), commands: None }
    }
}

fn window() -> u32 {
    300
}

fn chars() -> usize {
    4_000
}

fn path() -> String {
    "/usr/local/bin:/usr/bin:/bin".to_owned()
}

fn approval() -> u64 {
    300
}

fn foreground() -> u64 {
    60
}

fn yes() -> bool {
    true
}
