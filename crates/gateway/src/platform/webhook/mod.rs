//! Webhooks: a platform that speaks HTTP, signed both ways.
//!
//! Messages come in as `POST /gateway/webhook/{account}` and answers go out as a `POST` to the callback that the message
//! named, when the account allows its host. Both are signed as Standard Webhooks describes (HMAC-SHA256 over id, time and
//! body). The program mounts [`router`]; the ledger sends.

mod config;
mod receive;
mod send;
pub mod sign;

pub use config::{Callbacks, SigningSecret, WebhookConfig};
pub(crate) use receive::refused;
pub use receive::{check_head, router};
pub(crate) use send::Sender;
pub use send::client;

/// The name of the platform.
pub const WEBHOOK: &str = "webhook";
