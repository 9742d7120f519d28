//! The environment of a child: an allow-list of what we have, and the session that it works for.
//!
//! It is built from nothing. Names on the list are taken over; names that look like secrets are never, also when they are on
//! the list. The session's variables come from the context alone: a bound value wins, also when it is empty, and a name
//! that is not bound is not there, whatever the environment of the gateway says.

use std::collections::BTreeMap;

use crate::GatewayError;
use crate::session;

/// Parts of names that nobody should pass on.
const SECRET: [&str; 7] = ["KEY", "TOKEN", "SECRET", "PASSWORD", "PASSWD", "CREDENTIAL", "AUTH"];

/// What children may inherit. Made once, by the program, which alone reads the environment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environment {
    inherited: BTreeMap<String, String>,
}

impl Environment {
    /// Those of `variables` that `allowed` names.
    ///
    /// # Errors
    /// [`GatewayError::Config`] when the list names what looks like a secret.
    pub fn new(
        variables: impl IntoIterator<Item = (String, String)>,
        allowed: &[String],
    ) -> Result<Self, GatewayError> {
        if let Some(name) = allowed.iter().find(|name| is_secret(name)) {
            return Err(GatewayError::Config(format!("`{name}` looks like a secret: no child process gets it")));
        }
        let inherited = variables.into_iter().filter(|(name, _)| allowed.contains(name)).collect();
        Ok(Self { inherited })
    }

    /// The environment of a child that works for the current context.
    pub(super) fn for_child(&self) -> BTreeMap<String, String> {
        let mut child = self.inherited.clone();
        for (name, value) in session::for_child() {
            match value {
                Some(value) => child.insert(name.to_owned(), value),
                None => child.remove(name),
            };
        }
        child
    }
}

fn is_secret(name: &str) -> bool {
    let name = name.to_uppercase();
    SECRET.iter().any(|part| name.contains(part))
}
