//! How the store is opened: the few numbers that a deployment may want to change.
//!
//! They are plain values; the server reads them from the table `[store]` and nothing here reads the environment.
//! Anyone may build them; [`Store::open`](crate::Store::open) takes them once and keeps them.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Options of a [`Store`](crate::Store).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreOptions {
    /// When a commit is on the disk rather than in the system's page cache.
    pub synchronous: Synchronous,
    /// How many tenant files stay open at once. A file in use is never closed, so more may be open for a moment.
    /// One open file takes about seven file descriptors.
    pub max_open_tenants: usize,
    /// How many reads of one tenant run at the same time; at least 1.
    pub readers_per_tenant: usize,
    /// How long a statement waits for a lock that another process holds.
    pub busy_timeout: Duration,
}

impl Default for StoreOptions {
    /// Normal durability, 64 open tenants, 2 readers each, 5 seconds of patience.
    fn default() -> Self {
        Self {
            synchronous: Synchronous::Normal,
            max_open_tenants: 64,
            readers_per_tenant: 2,
            busy_timeout: Duration::from_secs(5),
        }
    }
}

/// What survives what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Synchronous {
    /// A commit survives the death of the process. The last ones before a power cut may be lost, whole.
    #[default]
    Normal,
    /// A commit survives a power cut, at the price of a disk flush each.
    Full,
}

impl Synchronous {
    pub(crate) fn pragma(self) -> &'static str {
        match self {
            Self::Normal => "NORMAL",
            Self::Full => "FULL",
        }
    }
}
