//! The server: the runtime's tools over MCP, each message in the context of its own caller.
//!
//! [`McpServer`] is made once, from an [`Offer`] and options, and serves both transports: [`router`](McpServer::router)
//! is mounted behind the program's keys and door, [`serve`](McpServer::serve) speaks over a pair of streams such as
//! standard input and output. Neither authenticates anybody: who calls is what the door in front bound.

mod accept;
mod answer;
mod call;
mod handler;
mod id;
mod lines;
mod message;
mod places;
mod sessions;
mod stream;
mod web;

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

pub(crate) use answer::no_context;
pub(crate) use call::{CallError, run};
pub use stream::{ServeError, SessionName};
pub use web::SESSION_HEADER;

use crate::options::McpOptions;
use crate::task::Tasks;
use crate::tool::{Offer, Offered, TaskMode};
use places::Places;

/// Decides, in the context of a call, whether a tool is there for its caller.
type Gate = Arc<dyn Fn(&str) -> bool + Send + Sync>;

/// An MCP server. Cheap to clone.
#[derive(Clone)]
pub struct McpServer {
    parts: Arc<Parts>,
}

pub(crate) struct Parts {
    pub(crate) offer: Offer,
    pub(crate) options: McpOptions,
    pub(crate) tasks: Option<Arc<dyn Tasks>>,
    pub(crate) closing: CancellationToken,
    pub(crate) places: Places,
    gate: Option<Gate>,
}

/// The parts of a server do not fit together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the tool `{0}` answers through tasks only, and there is no store of tasks; configure one or change its mode"
)]
pub struct NoTasks(String);

impl McpServer {
    /// A server of these tools that answer at once.
    ///
    /// # Errors
    /// [`NoTasks`] when a tool demands tasks; see [`with_tasks`](Self::with_tasks).
    pub fn new(offer: Offer, options: McpOptions) -> Result<Self, NoTasks> {
        let demanding = offer.iter().find(|offered| offered.mode == TaskMode::Required);
        match demanding {
            Some(offered) => Err(NoTasks(offered.tool.spec().name.clone())),
            None => Ok(Self::made(offer, options, None)),
        }
    }

    /// A server of these tools, those that may answer through tasks of this store.
    #[must_use]
    pub fn with_tasks(offer: Offer, options: McpOptions, tasks: Arc<dyn Tasks>) -> Self {
        Self::made(offer, options, Some(tasks))
    }

    fn made(offer: Offer, options: McpOptions, tasks: Option<Arc<dyn Tasks>>) -> Self {
        let (closing, places) = (CancellationToken::new(), Places::new(options.calls));
        Self { parts: Arc::new(Parts { offer, options, tasks, closing, places, gate: None }) }
    }

    /// Shows a tool only where `gate` says so. It is asked for each message, inside the context of the call, and must not
    /// block; a tool that it hides looks like one that does not exist.
    #[must_use]
    pub fn gated(self, gate: impl Fn(&str) -> bool + Send + Sync + 'static) -> Self {
        let Parts { offer, options, tasks, closing, places, .. } = &*self.parts;
        let (offer, options, tasks, closing) =
            (offer.clone(), options.clone(), tasks.clone(), closing.clone());
        let (places, gate) = (places.clone(), Some(Arc::new(gate) as Gate));
        Self { parts: Arc::new(Parts { offer, options, tasks, closing, places, gate }) }
    }

    /// Ends every session and stream, so that a listener can drain. Calls that run are cancelled. It cannot be taken back.
    pub fn close(&self) {
        self.parts.closing.cancel();
    }
}

impl Parts {
    /// The tool of this name, for the caller of the current context.
    pub(crate) fn shown(&self, name: &str) -> Option<&Offered> {
        self.offer.get(name).filter(|offered| self.shows(offered))
    }

    pub(crate) fn shows(&self, offered: &Offered) -> bool {
        self.gate.as_ref().is_none_or(|gate| gate(&offered.tool.spec().name))
    }
}

impl std::fmt::Debug for McpServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("McpServer").field("offer", &self.parts.offer).finish_non_exhaustive()
    }
}
