//! The sections about work that outlives its request: the key ring that seals it, jobs and their worker, pipelines, and
//! the MCP endpoint. As in the other sections, every key has a default and a unit, and a number out of its range is
//! refused where it stands.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use haversack_agent::agent::SecretRef;

use super::sections::{ranged, some_ranged};

/// `[keys]`: the ring that seals what leaves the process.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Keys {
    /// The key file; made with mode 0600 when it does not exist. Unset: beside the data folder, with `.keys` behind its
    /// name. It must not lie inside the data folder, where a stolen copy would open itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
}

/// `[jobs]`: background jobs.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Jobs {
    /// Whether `serve` works on jobs itself; `haversack worker` does so either way.
    pub embedded_worker: bool,
    /// Jobs that one worker runs at a time.
    #[serde(deserialize_with = "ranged::<_, _, 1, 1_000>")]
    #[schemars(range(min = 1, max = 1_000))]
    pub concurrency: usize,
    /// Jobs of one tenant that one worker runs at a time. Unset: all but one, so that one tenant's long jobs leave a place
    /// for the others.
    #[serde(deserialize_with = "some_ranged::<_, _, 1, 1_000>", skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000))]
    pub per_tenant: Option<usize>,
    /// Seconds after which the job of a worker that died is given to another.
    #[serde(deserialize_with = "ranged::<_, _, 1, 3_600>")]
    #[schemars(range(min = 1, max = 3_600))]
    pub lease_s: u64,
    /// Seconds that one attempt may take. A crew has its own `timeout_s` instead. A run of a pipeline has no limit: each of
    /// its steps has its own `timeout`.
    #[serde(deserialize_with = "ranged::<_, _, 1, 86_400>")]
    #[schemars(range(min = 1, max = 86_400))]
    pub timeout_s: u64,
    /// Attempts of a job whose handler fails.
    #[serde(deserialize_with = "ranged::<_, _, 1, 100>")]
    #[schemars(range(min = 1, max = 100))]
    pub max_attempts: u32,
    /// Seconds that results are kept.
    #[serde(deserialize_with = "ranged::<_, _, 1, 31_536_000>")]
    #[schemars(range(min = 1, max = 31_536_000))]
    pub result_ttl_s: u64,
    /// Headers of a request that its jobs take along. Credentials are never among them, whatever stands here.
    pub headers: Vec<String>,
    /// Tools that may be posted as jobs, besides those that are declared for the background.
    pub tools: Vec<String>,
}

/// `[pipelines]`: pipelines, and what their steps may see.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Pipelines {
    /// The folder with one YAML file a pipeline. Without it there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub folder: Option<PathBuf>,
    /// The folder for the work and the catalog of runs. Unset: `runs` in the data folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runs: Option<PathBuf>,
    /// `PATH` of the children of steps. Nothing else of the server's environment reaches them.
    pub child_path: String,
    /// Child processes of steps at a time, of all tenants; further ones wait, and the time of their steps has not begun.
    #[serde(deserialize_with = "ranged::<_, _, 1, 1_000>")]
    #[schemars(range(min = 1, max = 1_000))]
    pub children: usize,
    /// Those of one tenant. Unset: three quarters, so that one tenant's long steps leave room for the others.
    #[serde(deserialize_with = "some_ranged::<_, _, 1, 1_000>", skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000))]
    pub children_per_tenant: Option<usize>,
    /// Days that a run that has ended is kept, with its folder. Not longer than keys that were replaced still open, which is
    /// 30 days where `context keys rotate` is not told otherwise.
    #[serde(deserialize_with = "ranged::<_, _, 1, 3_650>")]
    #[schemars(range(min = 1, max = 3_650))]
    pub keep_days: u32,
    /// Secrets by tenant and name, each by reference. A step gets those that it names, in its child's environment alone.
    pub secrets: BTreeMap<String, BTreeMap<String, SecretRef>>,
    /// Pipelines that agents may run as tools.
    pub tools: Vec<PipelineTool>,
}

/// One of `[[pipelines.tools]]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PipelineTool {
    /// The tool's name: 1 to 40 of `a-z`, `0-9` and `_`.
    pub name: String,
    /// The pipeline that it runs, in the background.
    pub pipeline: String,
    /// What it does and when to use it, in words for a model.
    pub description: String,
}

/// `[mcp]`: the MCP endpoint at `/mcp`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Mcp {
    /// Whether the endpoint is there.
    pub enabled: bool,
    /// Values of `Host` that are answered besides loopback names, against DNS rebinding.
    pub hosts: Vec<String>,
    /// Values of `Origin` that are answered besides loopback ones, so that pages of these origins can read the answers; a
    /// request without one is answered.
    pub origins: Vec<String>,
    /// Instructions for models about the tools as a whole. Clients receive them when they connect.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instructions: Option<String>,
    /// Seconds after which a session of the transport ends when nothing was served in it. An open stream and a call under
    /// way are served.
    #[serde(deserialize_with = "ranged::<_, _, 1, 604_800>")]
    #[schemars(range(min = 1, max = 604_800))]
    pub session_idle_s: u64,
    /// Sessions of the transport that one principal may have. For one more, the one that is idle longest ends.
    #[serde(deserialize_with = "ranged::<_, _, 1, 100_000>")]
    #[schemars(range(min = 1, max = 100_000))]
    pub sessions: usize,
}

impl Mcp {
    /// Who may name this server.
    ///
    /// # Errors
    /// The first entry that is no host or no origin.
    pub fn allowed(&self) -> Result<haversack_mcp::Allowed, haversack_mcp::AllowedError> {
        haversack_mcp::Allowed::besides_loopback(self.hosts.iter().cloned(), self.origins.iter().cloned())
    }
}

impl Keys {
    /// Where the key file is, for the data folder `data`.
    pub fn path(&self, data: &Path) -> PathBuf {
        self.path.clone().unwrap_or_else(|| {
            let mut name = data.as_os_str().to_owned();
            name.push(".keys");
            PathBuf::from(name)
        })
    }
}

impl Jobs {
    /// How many places of a worker one tenant may have.
    pub fn share(&self) -> usize {
        self.per_tenant.unwrap_or(self.concurrency.saturating_sub(1)).max(1)
    }

    /// After how long the job of a worker that died is given to another.
    pub fn lease(&self) -> Duration {
        Duration::from_secs(self.lease_s)
    }

    /// How long one attempt may take.
    pub fn timeout(&self) -> Duration {
        Duration::from_secs(self.timeout_s)
    }

    /// How long results are kept.
    pub fn result_ttl(&self) -> Duration {
        Duration::from_secs(self.result_ttl_s)
    }
}

impl Pipelines {
    /// How long a run that has ended is kept.
    pub fn keep(&self) -> Duration {
        Duration::from_secs(24 * 3600) * self.keep_days
    }
}

impl Default for Jobs {
    fn default() -> Self {
        Self {
            embedded_worker: true,
            concurrency: 8,
            per_tenant: None,
            lease_s: 30,
            timeout_s: 600,
            max_attempts: 5,
            result_ttl_s: 24 * 3600,
            headers: vec!["user-agent".to_owned(), "accept-language".to_owned()],
            tools: Vec::new(),
        }
    }
}

impl Default for Pipelines {
    fn default() -> Self {
        Self {
            folder: None,
            runs: None,
            child_path: "/usr/local/bin:/usr/bin:/bin".to_owned(),
            children: 32,
            children_per_tenant: None,
            keep_days: 14,
            secrets: BTreeMap::new(),
            tools: Vec::new(),
        }
    }
}

impl Default for Mcp {
    fn default() -> Self {
        Self {
            enabled: true,
            hosts: Vec::new(),
            origins: Vec::new(),
            instructions: None,
            session_idle_s: 30 * 60,
            sessions: 1_000,
        }
    }
}
