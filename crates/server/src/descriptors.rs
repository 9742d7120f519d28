//! File descriptors: the soft limit is raised to the hard one at start, and a reserve is kept for files, so that connections never
//! keep the store from opening one. `serve` and `worker` raise it; the listener and `doctor` ask how many connections fit.

use rustix::process::{Resource, getrlimit, setrlimit};

use crate::config::Config;

/// Files besides connections and tenants: the control file, logs, the runtime, children, callbacks.
const OWN: usize = 128;

/// How many descriptors there are, and what they are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Descriptors {
    /// All of them.
    pub(crate) limit: usize,
    /// Those that are kept for files.
    pub(crate) files: usize,
    /// Connections that may be open.
    pub(crate) connections: usize,
}

/// Raises the soft limit to the hard one. Where the system refuses, the soft limit stays; [`Descriptors`] counts with it.
pub(crate) fn raise() {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current == limit.maximum {
        return;
    }
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::warn!(%error, "the limit of file descriptors could not be raised");
    }
}

impl Descriptors {
    /// With the soft limit as it is.
    pub(crate) fn now(config: &Config) -> Self {
        Self::of(getrlimit(Resource::Nofile).current, config)
    }

    /// With the hard limit, to which `serve` raises it.
    pub(crate) fn raised(config: &Config) -> Self {
        Self::of(getrlimit(Resource::Nofile).maximum, config)
    }

    fn of(limit: Option<u64>, config: &Config) -> Self {
        let limit = limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX);
        // A database is three files, and each connection to it opens them.
        let of_tenant = 3 * (1 + config.store.readers_per_tenant);
        let files =
            OWN.saturating_add(config.store.max_open_tenants.saturating_mul(of_tenant)).min(limit / 2);
        let connections = config.limits.connections.min(limit - files).max(1);
        Self { limit, files, connections }
    }

    /// Returns true if the configured number of connections fits.
    pub(crate) fn suffice(self, config: &Config) -> bool {
        self.connections >= config.limits.connections
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_a_reserve_for_files() {
        let config = Config::default();
        let few = Descriptors::of(Some(1024), &config);
        assert_eq!((few.files, few.connections), (512, 512));
        assert!(!few.suffice(&config));
        let many = Descriptors::of(Some(100_000), &config);
        assert_eq!((many.files, many.connections), (128 + 64 * 9, 4096));
        assert!(many.suffice(&config) && Descriptors::of(None, &config).suffice(&config));
        assert_eq!(Descriptors::of(Some(0), &config).connections, 1);
    }
}
