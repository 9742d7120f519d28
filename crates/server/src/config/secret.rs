//! Secrets by reference: the configuration holds `env:NAME` or `file:PATH`, never the secret. A reference is
//! resolved where the secret is used; this is the only place of the workspace that reads one. The server
//! hands [`read`] to whoever needs a secret.

use haversack_agent::agent::{Secret, SecretRef};

use super::ConfigError;

/// Reads a secret from the environment or a file; a trailing line break is not part of it.
///
/// # Errors
/// Why it could not be read, or that it is empty. The text never holds the value.
pub fn read(reference: &SecretRef) -> Result<Secret, String> {
    let value = match reference {
        SecretRef::Env(name) => {
            let value = super::handed::variable(name).and_then(|value| value.into_string().ok());
            value.ok_or_else(|| "the variable is not set, or not UTF-8".to_owned())?
        }
        SecretRef::File(path) => {
            std::fs::read_to_string(path).map_err(|error| format!("the file cannot be read: {error}"))?
        }
    };
    let value = value.trim_end_matches(['\r', '\n']);
    if value.is_empty() { Err("it is empty".to_owned()) } else { Ok(Secret::new(value)) }
}

/// As [`read`], with an error that names the reference.
///
/// # Errors
/// [`ConfigError::Secret`].
pub fn resolve(reference: &SecretRef) -> Result<Secret, ConfigError> {
    read(reference).map_err(|message| ConfigError::Secret { reference: reference.to_string(), message })
}
