//! Secrets by reference: the configuration holds `env:NAME` or `file:PATH`, never the secret. A reference is resolved where the
//! secret is used; this is the only place of the workspace that reads one. The server hands [`resolve`] to whoever needs a secret.

use haversack_agent::{Secret, SecretRef};

use super::ConfigError;

/// Reads a secret from the environment or a file; a trailing line break is not part of it.
///
/// # Errors
/// [`ConfigError::Secret`] when it is not there or empty. The message never holds the value.
pub fn resolve(reference: &SecretRef) -> Result<Secret, ConfigError> {
    let refused = |message: String| ConfigError::Secret { reference: reference.to_string(), message };
    let value = match reference {
        SecretRef::Env(name) => {
            std::env::var(name).map_err(|_| refused("the variable is not set, or not UTF-8".into()))?
        }
        SecretRef::File(path) => std::fs::read_to_string(path)
            .map_err(|error| refused(format!("the file cannot be read: {error}")))?,
    };
    let value = value.trim_end_matches(['\r', '\n']);
    if value.is_empty() {
        return Err(refused("it is empty".into()));
    }
    Ok(Secret::new(value))
}
