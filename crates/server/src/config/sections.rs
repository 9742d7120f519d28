//! The sections of the configuration that the server owns. Every key has a default and a unit in its name or
//! its text; numbers are checked against their range while they are read, so that the error has a line.
//! `[agent]` belongs to the crate `agent`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

use haversack_agent::agent::SecretRef;

/// `[server]`: where it listens and how it stops.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Server {
    /// Address and port; port 0 takes a free one.
    #[schemars(with = "String")]
    pub bind: SocketAddr,
    /// Make demo tenants with keys that are printed at each start. Unset: only when there is no configuration
    /// file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub demo_keys: Option<bool>,
    /// Seconds that running turns get to finish after a stop signal.
    #[serde(deserialize_with = "ranged::<_, _, 0, 3600>")]
    #[schemars(range(min = 0, max = 3600))]
    pub grace_s: u64,
    /// Address and port of a listener of its own for `/metrics`, which is then on no other; port 0 takes a free one. Unset: the
    /// metrics are on `bind`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub metrics_bind: Option<SocketAddr>,
    /// The token that `/metrics` demands as `Authorization: Bearer`, `env:NAME` or `file:PATH`. Unset: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metrics_token: Option<SecretRef>,
}

/// `[store]`: where data lives and how it is opened.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Store {
    /// The data folder; made with mode 0700 when it does not exist.
    pub path: PathBuf,
    /// How much a commit waits for the disk.
    pub synchronous: Synchronous,
    /// Tenant files that stay open; the least recently used is closed.
    #[serde(deserialize_with = "ranged::<_, _, 1, 10_000>")]
    #[schemars(range(min = 1, max = 10_000))]
    pub max_open_tenants: usize,
    /// Reading connections a tenant file.
    #[serde(deserialize_with = "ranged::<_, _, 1, 64>")]
    #[schemars(range(min = 1, max = 64))]
    pub readers_per_tenant: usize,
    /// Milliseconds to wait for a locked file.
    #[serde(deserialize_with = "ranged::<_, _, 1, 600_000>")]
    #[schemars(range(min = 1, max = 600_000))]
    pub busy_timeout_ms: u64,
}

/// How much a commit waits for the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Synchronous {
    /// Survives a killed process; the last commits may be lost when the machine loses power. Files are never
    /// damaged.
    Normal,
    /// Survives power loss; each commit waits for the disk.
    Full,
}

/// `[limits]`: what one request, one session and one tenant may take.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Bytes of a request body.
    #[serde(deserialize_with = "ranged::<_, _, 1024, 16_777_216>")]
    #[schemars(range(min = 1024, max = 16_777_216))]
    pub body_bytes: usize,
    /// Bytes of a message, UTF-8.
    #[serde(deserialize_with = "ranged::<_, _, 1, 16_777_216>")]
    #[schemars(range(min = 1, max = 16_777_216))]
    pub message_bytes: usize,
    /// Seconds for a request's head, and again for its body, to arrive.
    #[serde(deserialize_with = "ranged::<_, _, 1, 600>")]
    #[schemars(range(min = 1, max = 600))]
    pub body_timeout_s: u64,
    /// Open connections at a time. For one more, the connection that has been silent longest is closed. The limit of file
    /// descriptors may allow fewer.
    #[serde(deserialize_with = "ranged::<_, _, 1, 1_000_000>")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub connections: usize,
    /// Open connections of one address. Unset: half of them, and at least 64. A reverse proxy is one address.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "some_ranged::<_, _, 1, 1_000_000>")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub connections_per_address: Option<usize>,
    /// Bytes of heads and bodies that are under way at a time; one more is refused with 503.
    #[serde(deserialize_with = "ranged::<_, _, 1_048_576, 68_719_476_736>")]
    #[schemars(range(min = 1_048_576, max = 68_719_476_736_u64))]
    pub request_bytes: usize,
    /// Bytes of them of one address. Unset: a quarter of them. A reverse proxy is one address.
    #[serde(
        skip_serializing_if = "Option::is_none",
        deserialize_with = "some_ranged::<_, _, 1_048_576, 68_719_476_736>"
    )]
    #[schemars(range(min = 1_048_576, max = 68_719_476_736_u64))]
    pub request_bytes_per_address: Option<usize>,
    /// Turns of one session that may wait; one more is refused.
    #[serde(deserialize_with = "ranged::<_, _, 0, 1000>")]
    #[schemars(range(min = 0, max = 1000))]
    pub session_queue: usize,
    /// Seconds that a turn may run.
    #[serde(deserialize_with = "ranged::<_, _, 1, 3600>")]
    #[schemars(range(min = 1, max = 3600))]
    pub turn_timeout_s: u64,
    /// Requests a second that a tenant may send over time.
    #[serde(deserialize_with = "ranged::<_, _, 1, 1_000_000>")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub requests_per_second: u32,
    /// Requests that a tenant may send at once after a pause.
    #[serde(deserialize_with = "ranged::<_, _, 1, 1_000_000>")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub burst: u32,
    /// Turns of a tenant that may run or wait at a time; and as many calls over MCP.
    #[serde(deserialize_with = "ranged::<_, _, 1, 100_000>")]
    #[schemars(range(min = 1, max = 100_000))]
    pub concurrent_turns: usize,
    /// Event streams of a tenant that may be open at a time.
    #[serde(deserialize_with = "ranged::<_, _, 1, 100_000>")]
    #[schemars(range(min = 1, max = 100_000))]
    pub event_streams: usize,
    /// Seconds after which a silent event stream or socket shows that it lives. One whose key was revoked ends then.
    #[serde(deserialize_with = "ranged::<_, _, 1, 600>")]
    #[schemars(range(min = 1, max = 600))]
    pub heartbeat_s: u64,
    /// Seconds that a turn whose event stream broke waits for its client to come back before it is cancelled.
    #[serde(deserialize_with = "ranged::<_, _, 0, 600>")]
    #[schemars(range(min = 0, max = 600))]
    pub reconnect_s: u64,
    /// Finished turns whose events are kept for clients that come back.
    #[serde(deserialize_with = "ranged::<_, _, 0, 100_000>")]
    #[schemars(range(min = 0, max = 100_000))]
    pub kept_turns: usize,
}

/// `[memory]`: the memory layers.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Memory {
    /// Seconds that a session remembers what was tried in it.
    #[serde(deserialize_with = "ranged::<_, _, 1, 31_536_000>")]
    #[schemars(range(min = 1, max = 31_536_000))]
    pub attempt_ttl_s: u64,
    /// Attempts that a session remembers; the oldest goes first.
    #[serde(deserialize_with = "ranged::<_, _, 1, 10_000>")]
    #[schemars(range(min = 1, max = 10_000))]
    pub max_attempts: usize,
    /// Memories that one recall returns at most.
    #[serde(deserialize_with = "ranged::<_, _, 1, 1000>")]
    #[schemars(range(min = 1, max = 1000))]
    pub max_hits: usize,
    /// Turns of a session after which a summary takes the place of the older ones, and again after as many; 0: never.
    #[serde(deserialize_with = "ranged::<_, _, 0, 100_000>")]
    #[schemars(range(min = 0, max = 100_000))]
    pub summarise_after_turns: u64,
}

/// `[telemetry]`: logs, the ring of recent work, the journal of what was done, and export.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Telemetry {
    /// How the log looks; it goes to standard error.
    pub log: LogFormat,
    /// Which events are logged, in the syntax of `tracing`: `info`, `warn,haversack_agent=debug`.
    pub filter: String,
    /// Units of work, such as turns, whose trees are kept in memory while they run and a while after.
    #[serde(deserialize_with = "ranged::<_, _, 0, 100_000>")]
    #[schemars(range(min = 0, max = 100_000))]
    pub ring_turns: usize,
    /// Units of work of one tenant that are kept in its file for `context show`; 0 keeps no journal.
    #[serde(deserialize_with = "ranged::<_, _, 0, 1_000_000>")]
    #[schemars(range(min = 0, max = 1_000_000))]
    pub journal_units: usize,
    /// Days that they are kept.
    #[serde(deserialize_with = "ranged::<_, _, 1, 3650>")]
    #[schemars(range(min = 1, max = 3650))]
    pub journal_days: u32,
    /// Callers whose traces go on here, as `tenant/principal`. Everybody else's `traceparent` is linked to a trace of ours.
    pub trusted: Vec<String>,
    /// Export of spans over OTLP; off when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub otlp: Option<Otlp>,
}

/// How the log looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people when standard error is a terminal, JSON otherwise.
    Auto,
    /// For people.
    Human,
    /// One JSON object a line.
    Json,
    /// No log.
    Off,
}

/// `[telemetry.otlp]`: where spans go.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Otlp {
    /// The collector's URL for traces over HTTP, as in `http://127.0.0.1:4318/v1/traces`.
    pub endpoint: String,
    /// Headers to send along; each value is a secret by reference.
    #[serde(default)]
    pub headers: BTreeMap<String, SecretRef>,
    /// The `service.name` under which the spans appear.
    #[serde(default = "service_name")]
    pub service_name: String,
}

fn service_name() -> String {
    "haversack".to_owned()
}

impl Server {
    /// How long running turns get to finish after a stop signal.
    pub fn grace(&self) -> Duration {
        Duration::from_secs(self.grace_s)
    }
}

impl Default for Server {
    fn default() -> Self {
        Self {
            bind: SocketAddr::from(([127, 0, 0, 1], 8787)),
            demo_keys: None,
            grace_s: 30,
            metrics_bind: None,
            metrics_token: None,
        }
    }
}

impl Default for Store {
    fn default() -> Self {
        Self {
            path: PathBuf::from("data"),
            synchronous: Synchronous::Normal,
            max_open_tenants: 64,
            readers_per_tenant: 2,
            busy_timeout_ms: 5_000,
        }
    }
}

impl Limits {
    /// How often a silent stream or socket shows that it lives.
    pub fn heartbeat(&self) -> Duration {
        Duration::from_secs(self.heartbeat_s)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: 256 * 1024,
            message_bytes: 64 * 1024,
            body_timeout_s: 15,
            connections: 4096,
            connections_per_address: None,
            request_bytes: 128 << 20,
            request_bytes_per_address: None,
            session_queue: 8,
            turn_timeout_s: 60,
            requests_per_second: 200,
            burst: 400,
            concurrent_turns: 128,
            event_streams: 128,
            heartbeat_s: 15,
            reconnect_s: 5,
            kept_turns: 1024,
        }
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self { attempt_ttl_s: 24 * 3600, max_attempts: 64, max_hits: 20, summarise_after_turns: 40 }
    }
}

impl Default for Telemetry {
    fn default() -> Self {
        Self {
            log: LogFormat::Auto,
            filter: "info".into(),
            ring_turns: 512,
            journal_units: 5_000,
            journal_days: 30,
            trusted: Vec::new(),
            otlp: None,
        }
    }
}

pub(super) fn ranged<'de, D, T, const MIN: u64, const MAX: u64>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: TryFrom<u64>,
{
    let out_of_range = || serde::de::Error::custom(format!("the value must be a number from {MIN} to {MAX}"));
    let value = u64::deserialize(deserializer)?;
    if !(MIN..=MAX).contains(&value) {
        return Err(out_of_range());
    }
    T::try_from(value).map_err(|_| out_of_range())
}

/// As [`ranged`], for a number that may be left out.
pub(super) fn some_ranged<'de, D, T, const MIN: u64, const MAX: u64>(
    deserializer: D,
) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: TryFrom<u64>,
{
    ranged::<D, T, MIN, MAX>(deserializer).map(Some)
}
