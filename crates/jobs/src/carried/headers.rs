//! A few headers of the request that submitted a job, chosen by name.
//!
//! They are a small sorted map. Whoever receives a request names the headers worth keeping; credentials are never
//! among them, whatever the list says, also not when a snapshot of another program claims to hold some.

use std::collections::BTreeMap;

use haversack::ContextVar;
use serde::{Deserialize, Serialize};

/// The headers that travel with the work.
pub static HEADERS: ContextVar<Headers> = ContextVar::new("headers").portable(1);

/// What must not be readable as a mere fact. A credential travels as [`AccessToken`](super::AccessToken) or not at all.
const NEVER: &[&str] = &["authorization", "cookie", "proxy-authorization", "set-cookie", "x-api-key"];

/// The most text that they may have together, in bytes.
const MOST: usize = 8 * 1024;

/// Headers by lower-case name.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "BTreeMap<String, String>", into = "BTreeMap<String, String>")]
pub struct Headers(BTreeMap<String, String>);

impl Headers {
    /// Takes the headers named in `allowed` out of a request's. Never taken: credentials, and what goes beyond 8 KiB
    /// together.
    #[must_use]
    pub fn allowed<'a>(allowed: &[&str], headers: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let named = |name: &str| allowed.iter().any(|allowed| allowed.eq_ignore_ascii_case(name));
        let taken = headers.into_iter().filter(|(name, _)| named(name));
        Self::without_credentials(taken.map(|(name, value)| (name.to_owned(), value.to_owned())))
    }

    fn without_credentials(headers: impl IntoIterator<Item = (String, String)>) -> Self {
        let mut left = MOST;
        let mut kept = BTreeMap::new();
        for (name, value) in headers {
            let name = name.to_ascii_lowercase();
            let size = name.len() + value.len();
            if NEVER.contains(&name.as_str()) || size > left {
                continue;
            }
            left -= size;
            kept.insert(name, value);
        }
        Self(kept)
    }

    /// The value of a header; case does not matter.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(&name.to_ascii_lowercase()).map(String::as_str)
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

impl From<BTreeMap<String, String>> for Headers {
    fn from(headers: BTreeMap<String, String>) -> Self {
        Self::without_credentials(headers)
    }
}

impl From<Headers> for BTreeMap<String, String> {
    fn from(headers: Headers) -> Self {
        headers.0
    }
}

impl std::fmt::Debug for Headers {
    /// Names only: a value may be anything.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_never_among_them() {
        let request =
            [("Authorization", "Bearer s"), ("COOKIE", "a=b"), ("X-Tracking", "7"), ("Accept", "*/*")];
        let headers = Headers::allowed(&["authorization", "cookie", "x-tracking"], request);
        assert_eq!(headers.iter().collect::<Vec<_>>(), [("x-tracking", "7")]);
        let claimed: Headers = serde_json::from_str(r#"{"Cookie":"a=b","x-tracking":"7"}"#).unwrap();
        assert_eq!(claimed, headers);
        assert_eq!(headers.get("X-TRACKING"), Some("7"));
        assert_eq!(headers.get("accept"), None, "nobody asked for it");
    }

    #[test]
    fn they_stay_small() {
        let long = "x".repeat(MOST);
        assert_eq!(Headers::allowed(&["a", "b"], [("a", long.as_str()), ("b", "1")]).iter().count(), 1);
    }
}
