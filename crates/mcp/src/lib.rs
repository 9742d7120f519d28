//! Model Context Protocol endpoint on Haversack: the runtime's tools, each call in its own context.

#![forbid(unsafe_code)]

mod caller;
mod door;
mod options;
pub mod origin;
mod server;
pub mod task;
pub mod tool;

pub use options::McpOptions;
pub use origin::{Allowed, AllowedError};
pub use server::{McpServer, NoTasks, SESSION_HEADER, ServeError};
pub use task::{Finished, JobTasks, OWNER, Task, TaskCall, TaskError, TaskState, Tasks};
pub use tool::{Args, Call, FromCall, McpTool, Offer, OfferError, PROGRESS, Progress, TaskMode, mcp_tool};
