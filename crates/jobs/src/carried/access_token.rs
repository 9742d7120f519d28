//! The credential with which a job may act for its submitter elsewhere.
//!
//! It is a secret with an end: redacted wherever a context is printed, sealed wherever it is stored, and shown to
//! nobody after it expired. The door that received it binds it; what happens to a job whose token expired is the
//! handler's declaration, see [`ExpiredToken`](crate::ExpiredToken).

use std::fmt;

use haversack::ContextVar;
use haversack_store::now_millis;
use serde::{Deserialize, Serialize};

/// The submitter's access token.
pub static ACCESS_TOKEN: ContextVar<AccessToken> = ContextVar::new("access_token").portable(1).secret();

/// A bearer secret, and when it ends.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessToken {
    secret: Option<String>,
    expires_at: Option<i64>,
}

/// Why there is no secret to be had.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NoToken {
    /// It was valid once. Get a new one; a job declares what then happens to it.
    #[error("the access token has expired")]
    Expired,
    /// The job runs without one, as its handler declared.
    #[error("the job runs without an access token, as its handler declared")]
    Anonymous,
}

impl AccessToken {
    /// A token that ends at `expires_at` (milliseconds since the Unix epoch, UTC), or never.
    #[must_use]
    pub fn new(secret: impl Into<String>, expires_at: Option<i64>) -> Self {
        Self { secret: Some(secret.into()), expires_at }
    }

    /// What stands in the place of an expired one where a handler declared that it can do without.
    pub(crate) const fn anonymous() -> Self {
        Self { secret: None, expires_at: None }
    }

    /// The secret, while it is valid.
    ///
    /// # Errors
    /// [`NoToken`] when it has expired or there is none.
    pub fn reveal(&self) -> Result<&str, NoToken> {
        let secret = self.secret.as_deref().ok_or(NoToken::Anonymous)?;
        if self.has_expired() { Err(NoToken::Expired) } else { Ok(secret) }
    }

    /// When it ends, in milliseconds since the Unix epoch, UTC.
    #[must_use]
    pub const fn expires_at(&self) -> Option<i64> {
        self.expires_at
    }

    /// Whether it has ended.
    #[must_use]
    pub fn has_expired(&self) -> bool {
        self.expires_at.is_some_and(|end| end <= now_millis())
    }
}

impl fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessToken").field("expires_at", &self.expires_at).finish_non_exhaustive()
    }
}
