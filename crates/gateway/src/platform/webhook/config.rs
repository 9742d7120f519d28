//! What a webhook account needs besides its users: secrets, and the hosts that may be called back.
//!
//! Secrets are values that the program has resolved; they print as nothing. A callback is allowed by host, and by scheme and
//! port where the pattern names them; without a scheme the pattern means HTTPS. Accounts hold it, and both directions read it.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::Url;
use serde::Deserialize;

use super::WEBHOOK;
use crate::GatewayError;
use crate::account::Account;

/// The shortest secret, in bytes.
const MIN_SECRET: usize = 16;

/// The part of an account that only webhooks have.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WebhookConfig {
    /// Secrets that a message may be signed with. The first one signs answers. Given by the program, never in the file.
    #[serde(skip)]
    pub secrets: Vec<SigningSecret>,
    /// Where answers may go.
    pub callbacks: Callbacks,
    /// Which of them are told the trace of an answer, in the headers `traceparent` and `tracestate`. By default none: a
    /// trace tells its reader which answers belong together.
    pub traced: Callbacks,
    /// How far the time of a signature may be from ours, in seconds.
    pub window_s: u32,
    /// The longest part of an answer, in characters.
    pub max_chars: usize,
}

impl Default for WebhookConfig {
    /// No secret, no callback, nobody who is told a trace, five minutes, 4000 characters.
    fn default() -> Self {
        let (callbacks, traced) = (Callbacks::default(), Callbacks::default());
        Self { secrets: Vec::new(), callbacks, traced, window_s: 300, max_chars: 4000 }
    }
}

impl WebhookConfig {
    pub(crate) fn check(&self, account: &Account) -> Result<(), GatewayError> {
        let name = &account.name;
        if account.platform == WEBHOOK && self.secrets.is_empty() {
            return Err(GatewayError::Config(format!("account `{name}`: a webhook needs a signing secret")));
        }
        if self.secrets.iter().any(|secret| secret.bytes().len() < MIN_SECRET) {
            return Err(GatewayError::Config(format!(
                "account `{name}`: a signing secret has at least {MIN_SECRET} bytes"
            )));
        }
        Ok(())
    }
}

/// A signing secret. It prints as nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct SigningSecret(Vec<u8>);

impl SigningSecret {
    /// Takes `whsec_` and base64, as Standard Webhooks writes secrets, or any other text as its bytes.
    ///
    /// # Errors
    /// [`GatewayError::Config`] when `whsec_` is not followed by base64.
    pub fn parse(text: &str) -> Result<Self, GatewayError> {
        match text.strip_prefix("whsec_") {
            Some(encoded) => STANDARD.decode(encoded).map(Self).map_err(|_| {
                GatewayError::Config("a signing secret is not base64 after `whsec_`".to_owned())
            }),
            None => Ok(Self(text.as_bytes().to_vec())),
        }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for SigningSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningSecret")
    }
}

/// Hosts that may be called back: `hooks.example.com`, `*.example.com`, `http://127.0.0.1:8080`, and with any port
/// `http://127.0.0.1:*`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Vec<String>")]
pub struct Callbacks(Vec<Pattern>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Pattern {
    scheme: String,
    host: String,
    below: bool,
    port: Port,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Port {
    Any,
    /// This one; without a number that of the scheme.
    Is(Option<u16>),
}

impl Callbacks {
    /// These patterns.
    ///
    /// # Errors
    /// [`GatewayError::Config`] for a pattern that is no host.
    pub fn new<T: AsRef<str>>(patterns: impl IntoIterator<Item = T>) -> Result<Self, GatewayError> {
        patterns
            .into_iter()
            .map(|pattern| Pattern::parse(pattern.as_ref()))
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// The URL, when it may be called: allowed host, no credentials in it.
    ///
    /// # Errors
    /// [`GatewayError::CallbackNotAllowed`].
    pub fn allow(&self, callback: &str) -> Result<Url, GatewayError> {
        let url = Url::parse(callback).map_err(|_| GatewayError::CallbackNotAllowed)?;
        let plain = url.username().is_empty() && url.password().is_none();
        match plain && self.0.iter().any(|pattern| pattern.fits(&url)) {
            true => Ok(url),
            false => Err(GatewayError::CallbackNotAllowed),
        }
    }
}

impl TryFrom<Vec<String>> for Callbacks {
    type Error = GatewayError;

    fn try_from(patterns: Vec<String>) -> Result<Self, GatewayError> {
        Self::new(patterns)
    }
}

impl Pattern {
    fn parse(text: &str) -> Result<Self, GatewayError> {
        let bad = || GatewayError::Config(format!("`{text}` is no host that can be called back"));
        let (scheme, rest) = text.split_once("://").unwrap_or(("https", text));
        let (below, rest) = rest.strip_prefix("*.").map_or((false, rest), |rest| (true, rest));
        let (any_port, rest) = rest.strip_suffix(":*").map_or((false, rest), |rest| (true, rest));
        // What is not a bare host with a port would be a pattern that means something else than it says.
        let url = Url::parse(&format!("{scheme}://{rest}/")).map_err(|_| bad())?;
        let bare =
            url.path() == "/" && url.query().is_none() && url.username().is_empty() && !rest.contains('*');
        let host = url.host_str().filter(|_| bare && matches!(scheme, "http" | "https")).ok_or_else(bad)?;
        let port = if any_port { Port::Any } else { Port::Is(url.port()) };
        Ok(Self { scheme: scheme.to_owned(), host: host.to_owned(), below, port })
    }

    fn fits(&self, url: &Url) -> bool {
        let Some(host) = url.host_str() else { return false };
        let host_fits = match self.below {
            true => {
                host.strip_suffix(&self.host).is_some_and(|label| label.len() > 1 && label.ends_with('.'))
            }
            false => host == self.host,
        };
        let port_fits = match self.port {
            Port::Any => true,
            Port::Is(port) => url.port() == port,
        };
        host_fits && url.scheme() == self.scheme && port_fits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_callback_is_allowed_by_host_scheme_and_port() {
        let callbacks =
            Callbacks::new(["hooks.example.com", "*.example.org", "http://127.0.0.1:8080"]).unwrap();
        for good in ["https://hooks.example.com/a?b=c", "https://eu.example.org/", "http://127.0.0.1:8080/x"]
        {
            assert!(callbacks.allow(good).is_ok(), "{good}");
        }
        for bad in [
            "http://hooks.example.com/",
            "https://hooks.example.com:444/",
            "https://hooks.example.com.evil.net/",
            "https://example.org/",
            "https://evilexample.org/",
            "https://user:pass@hooks.example.com/",
            "http://127.0.0.1:8081/",
            "http://169.254.169.254/latest",
            "file:///etc/passwd",
            "nothing",
        ] {
            assert!(callbacks.allow(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn any_port_of_a_host_may_be_allowed() {
        let callbacks = Callbacks::new(["http://127.0.0.1:*"]).unwrap();
        assert!(
            callbacks.allow("http://127.0.0.1:4711/x").is_ok()
                && callbacks.allow("http://127.0.0.1/").is_ok()
        );
        assert!(callbacks.allow("http://127.0.0.2:4711/x").is_err());
        assert!(callbacks.allow("https://127.0.0.1:4711/x").is_err());
    }

    #[test]
    fn a_pattern_that_is_no_host_is_refused() {
        for bad in ["", "*", "ftp://example.com", "example.com/path", "a.*.com", "https://a@b.com"] {
            assert!(Callbacks::new([bad]).is_err(), "{bad}");
        }
    }
}
