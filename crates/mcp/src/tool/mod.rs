//! The tools of an MCP server: which of the runtime's tools are shown, and how they answer.
//!
//! [`Offer`] is the list, made once by the program; [`mcp_tool`] makes further tools from functions whose arguments say
//! what they need. Which tenant a tool works for is never an argument of any of them.

pub mod extract;
mod offer;
pub mod progress;
mod typed;

pub use extract::{Args, Call, FromCall};
pub(crate) use offer::Offered;
pub use offer::{Hints, Offer, OfferError, TaskMode};
pub use progress::{PROGRESS, Progress};
pub use typed::{McpTool, ToolFn, mcp_tool};
