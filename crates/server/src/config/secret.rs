//! Secrets by reference: the configuration holds `env:NAME` or `file:PATH`, never the secret. A reference is resolved where the
//! secret is used, and the value prints as `<hidden>`. The server hands the resolver to whoever needs a secret.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ConfigError;

/// A reference to a secret: `env:NAME` or `file:PATH`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
pub struct SecretRef(#[schemars(regex(pattern = "^(env|file):.+$"))] String);

/// A secret's value. It has no `Display`, and `Debug` hides it.
#[derive(Clone)]
pub struct Secret(String);

impl SecretRef {
    /// The reference as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Reads the secret from the environment or the file; a trailing line break is not part of it.
    ///
    /// # Errors
    /// [`ConfigError::Secret`] when it is not there or empty. The message never holds the value.
    pub fn resolve(&self) -> Result<Secret, ConfigError> {
        let refused = |message: String| ConfigError::Secret { reference: self.0.clone(), message };
        let value = match self.0.split_once(':') {
            Some(("env", name)) => {
                std::env::var(name).map_err(|_| refused("the variable is not set, or not UTF-8".into()))?
            }
            Some(("file", path)) => std::fs::read_to_string(path)
                .map_err(|error| refused(format!("the file cannot be read: {error}")))?,
            _ => return Err(refused("write env:NAME or file:PATH".into())),
        };
        let value = value.trim_end_matches(['\r', '\n']);
        if value.is_empty() {
            return Err(refused("it is empty".into()));
        }
        Ok(Secret(value.to_owned()))
    }
}

impl Secret {
    /// The value. Pass it on; do not store or print it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<hidden>")
    }
}

impl TryFrom<String> for SecretRef {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        // The text is not repeated: whoever wrote the secret itself here must not read it again in a log.
        match text.split_once(':') {
            Some(("env" | "file", name)) if !name.is_empty() => Ok(Self(text)),
            _ => Err("a secret is a reference: write env:NAME or file:PATH"),
        }
    }
}

impl From<SecretRef> for String {
    fn from(reference: SecretRef) -> Self {
        reference.0
    }
}
