//! The settings of an MCP server.
//!
//! They are plain data with defaults that are safe on a developer's machine. The program fills them from its
//! configuration; this crate reads neither files nor the environment.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use crate::origin::Allowed;

/// The settings of a [`McpServer`](crate::McpServer).
#[derive(Debug, Clone)]
pub struct McpOptions {
    /// What the server calls itself.
    pub name: String,
    /// Its version, which clients are told and tasks are stamped with.
    pub version: String,
    /// What a model should know about the tools as a whole.
    pub instructions: Option<String>,
    /// Who may name this server. HTTP only.
    pub allowed: Allowed,
    /// Headers of a request that tools and tasks may read, where the door in front bound none. Credentials never are among
    /// them. HTTP only.
    pub headers: Vec<String>,
    /// Time for one call. The deadline of the door in front counts too, whichever comes first.
    pub call_timeout: Duration,
    /// Time that a cancelled call has to end by itself, before its future is dropped.
    pub cancel_grace: Duration,
    /// Calls of one tenant that may be under way at a time; one more is refused.
    pub calls: usize,
    /// The longest message of a client, in bytes. HTTP only.
    pub message_bytes: usize,
    /// The longest line of a client, in bytes. Streams only.
    pub line_bytes: usize,
    /// Sessions of the transport that one principal may have open. For one more, the one that is idle longest ends; when
    /// none is idle, the new one is refused. HTTP only.
    pub sessions: usize,
    /// How often a silent stream shows that it lives. HTTP only.
    pub heartbeat: Duration,
    /// How long nothing may be served in a session before it ends. A request that is answered and a stream that is open are
    /// served. HTTP only.
    pub session_idle: Duration,
    /// How long a task is kept from its end; `None` keeps it as long as the store of tasks does.
    pub task_ttl: Option<Duration>,
    /// How often a client should ask for a task.
    pub task_poll: Duration,
    /// Ends calls whose caller may not be served any more; `None` where that cannot happen.
    pub withdrawn: Option<Withdrawn>,
}

/// Waits until the caller of the current context may not be served any more, such as when its key is revoked. The call that
/// runs is cancelled then.
#[derive(Clone)]
pub struct Withdrawn(Arc<dyn Fn() -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>);

impl Withdrawn {
    /// Made of a function that is called in the context of each call. Its future is dropped when the call ends.
    pub fn new<F, R>(wait: F) -> Self
    where
        F: Fn() -> R + Send + Sync + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        Self(Arc::new(move || Box::pin(wait())))
    }

    pub(crate) fn wait(&self) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        (self.0)()
    }
}

impl fmt::Debug for Withdrawn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Withdrawn").finish_non_exhaustive()
    }
}

impl Default for McpOptions {
    fn default() -> Self {
        Self {
            name: "haversack".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            instructions: None,
            allowed: Allowed::default(),
            headers: Vec::new(),
            call_timeout: Duration::from_secs(60),
            cancel_grace: Duration::from_secs(2),
            calls: 128,
            message_bytes: 1 << 20,
            line_bytes: 4 << 20,
            sessions: 1_000,
            heartbeat: Duration::from_secs(15),
            session_idle: Duration::from_secs(30 * 60),
            task_ttl: Some(Duration::from_secs(24 * 3600)),
            task_poll: Duration::from_secs(1),
            withdrawn: None,
        }
    }
}
