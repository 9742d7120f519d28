//! Model Context Protocol endpoint on Haversack: the runtime's tools, each call in its own context.
//!
//! The one primary type is [`McpServer`]: it takes an [`Offer`] of the agents' tools and serves it over streamable HTTP and
//! over a pair of streams. rmcp speaks the protocol; this crate adds whose message it is. A protocol library runs handlers
//! in tasks of its own, where nothing is bound, and keeps one handler per connection. So the caller rides with each
//! message, and each message enters the door `mcp` as that caller: not as whoever began the connection.
//!
//! ```no_run
//! use haversack_agent::tool::Toolbox;
//! use haversack_jobs::{Handlers, Jobs};
//! use haversack_mcp::{JobTasks, McpOptions, McpServer, Offer, TaskMode};
//! use std::sync::Arc;
//!
//! # fn program(toolbox: &Toolbox, jobs: Jobs) -> Result<(), Box<dyn std::error::Error>> {
//! let offer = Offer::new().of(toolbox, ["recall", "search_knowledge"])?;
//! let offer = offer.in_background("search_knowledge", TaskMode::Optional)?;
//! // The worker performs what clients fetch later.
//! let handlers = JobTasks::on(Handlers::new(), &offer);
//! let mcp = McpServer::with_tasks(offer, McpOptions::default(), Arc::new(JobTasks::new(jobs)));
//! // Behind the layers that look up the key and enter the program's door:
//! let routes = axum::Router::<()>::new().nest("/mcp", mcp.router());
//! # let _ = (handlers, routes); Ok(()) }
//! ```
//!
//! # What is promised
//! * A tool sees tenant, principal, request, trace, headers and access token of *its* call, a session where one is named, a
//!   cancellation and a deadline of its own, and nothing of another call.
//! * A session of the transport belongs to the tenant and principal that began it; for anybody else it does not exist. So
//!   does a task.
//! * A message without a context is refused. Who calls is never read from the message.
//! * A failure of the house is masked; what the model can mend is said. No text quotes what is stored.
//! * A task is durable when its client hears of it.
//!
//! # The session of a call
//! It is the one that the door in front bound; else the one that the client names, in `_meta` under `haversack/session` or
//! in the header `haversack-session`; else that of the transport; else that of the connection, over a pair of streams, or of
//! the principal, over HTTP without sessions. A name is one within the principal, so nobody enters somebody else's
//! conversation by its name, nor a chat's. A tool that needs a variable which a call does not bind is not listed.
//!
//! # Map
//! - [`McpServer`], [`McpOptions`], [`Allowed`]: serving;
//! - [`Offer`], [`Hints`], [`TaskMode`], [`mcp_tool`], [`FromCall`]: what is offered, and tools made of functions;
//! - [`Tasks`], [`JobTasks`], [`task::perform`]: calls that are answered later;
//! - [`PROGRESS`], [`OWNER`]: the variables of this crate.
//!
//! # Revisions
//! Those of rmcp: 2024-11-05 to 2025-11-25 with sessions, and 2026-07-28 without. Tasks are those of the extension
//! `io.modelcontextprotocol/tasks` (SEP-2663), which has neither a list nor a separate fetch of the result. Only 2026-07-28
//! has the extension: a client of an older revision is answered at once, whatever it lists. Whether a tool answers through
//! tasks is in its `_meta` under `haversack/taskSupport`.
//!
//! # Lenient where clients differ
//! A missing `Mcp-Name` is filled in, wildcards and one form alone are accepted, and a message that cannot be read is answered
//! with its id where that can be read.
//!
//! # Not here
//! No prompts, resources, completions or elicitation, and no task that asks for input. No client, no proxy of other
//! servers, no mounts with namespaces, no JWT and no scopes: keys are checked in front. rmcp writes messages to the log at
//! its levels `debug` and `info`: a program that logs keeps its target `rmcp` at `error`.

#![forbid(unsafe_code)]

mod caller;
mod door;
mod options;
pub mod origin;
mod server;
pub mod task;
pub mod tool;

pub use options::{McpOptions, Withdrawn};
pub use origin::{Allowed, AllowedError};
pub use server::{McpServer, NoTasks, SESSION_HEADER, ServeError, SessionName};
pub use task::{Finished, JobTasks, OWNER, Task, TaskCall, TaskError, TaskState, Tasks};
pub use tool::{
    Args, Call, FromCall, Hints, McpTool, Offer, OfferError, PROGRESS, Progress, TaskMode, mcp_tool,
};
