//! Which `Host` and `Origin` headers are let in.
//!
//! A page in a browser can reach a server on the same machine by pointing a name of its own at the loopback address
//! (DNS rebinding). The `Host` and `Origin` headers then name that page, so both are compared with allow-lists before
//! anything else is read. The lists are configuration; the default lets in loopback names only.

use rmcp::transport::StreamableHttpServerConfig;

const LOOPBACK: [&str; 3] = ["localhost", "127.0.0.1", "::1"];
const LOOPBACK_ORIGINS: [&str; 3] = ["http://localhost:*", "http://127.0.0.1:*", "http://[::1]:*"];

/// The hosts and origins that a client may name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allowed {
    hosts: Vec<String>,
    origins: Vec<String>,
}

impl Default for Allowed {
    /// Loopback names with any port.
    fn default() -> Self {
        let own = |names: [&str; 3]| names.into_iter().map(str::to_owned).collect();
        Self { hosts: own(LOOPBACK), origins: own(LOOPBACK_ORIGINS) }
    }
}

/// An entry of an allow-list that would match nothing, or everything.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AllowedError {
    /// Without a host nobody could come in, and an empty list must not mean everybody.
    #[error("the list of allowed hosts is empty; name the hosts under which this server is reached")]
    NoHost,
    /// The entry is no host, with or without a port.
    #[error("`{0}` is no host; write a name such as `mcp.example.com` or `mcp.example.com:8443`")]
    Host(String),
    /// The entry is no origin.
    #[error(
        "`{0}` is no origin; write scheme and host, such as `https://app.example.com` or `http://localhost:*`"
    )]
    Origin(String),
}

impl Allowed {
    /// These hosts, with or without a port, and these origins. A request without an `Origin` header is no browser's and
    /// passes; one with a header that is not listed is refused, also when the list is empty. An origin without a port
    /// means the port of its scheme; `:*` means any.
    ///
    /// # Errors
    /// [`AllowedError`] names the first entry that is none, so that a typing error is no silent refusal.
    pub fn new<H: Into<String>, O: Into<String>>(
        hosts: impl IntoIterator<Item = H>,
        origins: impl IntoIterator<Item = O>,
    ) -> Result<Self, AllowedError> {
        let hosts = hosts.into_iter().map(|host| checked_host(host.into())).collect::<Result<Vec<_>, _>>()?;
        if hosts.is_empty() {
            return Err(AllowedError::NoHost);
        }
        let origins = origins.into_iter().map(|origin| checked_origin(origin.into()));
        Ok(Self { hosts, origins: origins.collect::<Result<_, _>>()? })
    }

    /// As [`new`](Self::new), and loopback names as well.
    ///
    /// # Errors
    /// As [`new`](Self::new), except that both lists may be empty.
    pub fn besides_loopback<H: Into<String>, O: Into<String>>(
        hosts: impl IntoIterator<Item = H>,
        origins: impl IntoIterator<Item = O>,
    ) -> Result<Self, AllowedError> {
        let hosts = hosts.into_iter().map(Into::into).chain(LOOPBACK.map(str::to_owned));
        let origins = origins.into_iter().map(Into::into).chain(LOOPBACK_ORIGINS.map(str::to_owned));
        Self::new(hosts, origins)
    }

    /// Returns true if pages of this origin, as the browser writes it, are allowed. The caller then sets the headers by which
    /// the browser lets the page read the answer.
    #[must_use]
    pub fn lets_in(&self, origin: &str) -> bool {
        // A browser never writes the star of a list.
        let Some(Ok(whole)) = (!origin.contains('*')).then(|| checked_origin(origin.to_ascii_lowercase()))
        else {
            return false;
        };
        let any_port = whole.rsplit_once(':').map(|(base, _)| format!("{base}:*"));
        self.origins
            .iter()
            .map(|listed| listed.to_ascii_lowercase())
            .any(|listed| listed == whole || Some(&listed) == any_port.as_ref())
    }

    /// The settings of the transport, which compares.
    pub(crate) fn apply(&self, config: StreamableHttpServerConfig) -> StreamableHttpServerConfig {
        config
            .with_allowed_hosts(self.hosts.iter().cloned())
            .with_allowed_origins(self.origins.iter().cloned())
            .enforce_origin_validation()
    }
}

fn checked_host(host: String) -> Result<String, AllowedError> {
    let bare_ipv6 = host.parse::<std::net::Ipv6Addr>().is_ok();
    let fits = http::uri::Authority::try_from(host.as_str()).is_ok_and(|parsed| !parsed.host().is_empty());
    if (fits || bare_ipv6) && !host.contains(['*', '@']) { Ok(host) } else { Err(AllowedError::Host(host)) }
}

fn checked_origin(origin: String) -> Result<String, AllowedError> {
    if origin == "null" {
        return Ok(origin);
    }
    let (base, any_port) = origin.strip_suffix(":*").map_or((origin.as_str(), false), |base| (base, true));
    let Ok(uri) = http::Uri::try_from(base) else { return Err(AllowedError::Origin(origin)) };
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return Err(AllowedError::Origin(origin));
    };
    let plain = uri.path().trim_start_matches('/').is_empty() && uri.query().is_none();
    let standard = match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    };
    match (any_port, authority.port_u16(), standard) {
        _ if !plain || authority.as_str().contains('@') => Err(AllowedError::Origin(origin)),
        (true, None, _) => Ok(origin),
        (false, Some(port), _) | (false, None, Some(port)) => {
            Ok(format!("{scheme}://{}:{port}", authority.host()))
        }
        (true, Some(_), _) | (false, None, None) => Err(AllowedError::Origin(origin)),
    }
}

#[cfg(test)]
mod tests {
    use super::{Allowed, AllowedError};

    fn refused(host: &str, origin: Option<&str>) -> AllowedError {
        Allowed::new([host], origin).unwrap_err()
    }

    #[test]
    fn an_entry_that_would_match_nothing_is_an_error() {
        let nobody = Allowed::new(Vec::<String>::new(), Vec::<String>::new());
        assert_eq!(nobody.unwrap_err(), AllowedError::NoHost);
        for host in ["", "https://example.com", "*", "*.example.com", "me@example.com", "example.com/mcp"] {
            assert_eq!(refused(host, None), AllowedError::Host(host.to_owned()));
        }
        for origin in ["example.com", "https://example.com/app", "https://example.com:443:*", "app://x", "*"]
        {
            assert_eq!(refused("localhost", Some(origin)), AllowedError::Origin(origin.to_owned()));
        }
    }

    #[test]
    fn an_origin_is_let_in_with_the_port_that_is_listed() {
        let allowed = Allowed::new(["a"], ["https://app.example.com", "http://localhost:*"]).unwrap();
        for origin in ["https://app.example.com", "https://App.example.com:443", "http://localhost:5173"] {
            assert!(allowed.lets_in(origin), "{origin}");
        }
        for origin in
            ["http://app.example.com", "https://app.example.com:8443", "null", "http://localhost:*", ""]
        {
            assert!(!allowed.lets_in(origin), "{origin}");
        }
    }

    #[test]
    fn an_origin_without_a_port_means_that_of_its_scheme() {
        let origins = ["https://app.example.com", "http://[::1]:8080", "http://localhost:*", "null"];
        let allowed = Allowed::new(["mcp.example.com:8443", "::1"], origins).unwrap();
        assert_eq!(
            allowed.origins,
            ["https://app.example.com:443", "http://[::1]:8080", "http://localhost:*", "null"]
        );
    }
}
