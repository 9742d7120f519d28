//! Which credential the work was asked for with, such as an API key: a reference, never the secret.
//!
//! The door that checked the credential binds it, and it travels with what outlives the request. A program that can look
//! the credential up ends the work when it is withdrawn, see [`Handlers::permitted`](crate::Handlers::permitted).

use std::fmt;
use std::sync::Arc;

use haversack::ContextVar;
use serde::{Deserialize, Serialize};

/// The credential of the submitter.
pub static CREDENTIAL: ContextVar<Credential> = ContextVar::new("credential").portable(1);

/// The name of a credential, such as the public id of an API key.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Credential(Arc<str>);

impl Credential {
    /// The credential of this name. The name is no secret.
    #[must_use]
    pub fn new(id: impl Into<Arc<str>>) -> Self {
        Self(id.into())
    }

    /// The name.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}
