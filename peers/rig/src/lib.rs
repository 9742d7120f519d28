//! Tools of rig under Haversack.
//!
//! rig runs a tool wherever its call is polled: it knows no context, and a call is an ordinary future. While one request
//! drives its own calls that is enough. As soon as somebody else polls it (a driver that many requests share, a batcher,
//! a queue with a limit), the tool runs in *that* task's context, and reads a tenant that is there and wrong.
//!
//! The repair needs nothing of rig: the call is wrapped where it is handed over, while the caller's context is current.
//!
//! ```
//! use haversack::{ContextVar, FutureExt};
//!
//! static TENANT: ContextVar<&str> = ContextVar::new("tenant");
//!
//! # async fn call_of_a_tool() -> &'static str { TENANT.get().unwrap() }
//! let handed_over = TENANT.sync_scope("acme", || call_of_a_tool().in_current_context());
//! let driver = TENANT.scope("somebody else", handed_over);
//! # let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
//! assert_eq!(haversack::block_on(&runtime, driver), "acme");
//! ```
//!
//! Where calls cannot be wrapped, because a library between makes them (rig's agent loop calls the tools itself), the
//! tool is: [`InContext`] is made per request, and calls the tool it holds in the context it was made in, whoever
//! drives the agent.

#![forbid(unsafe_code)]

use haversack::{Context, FutureExt};
use rig_core::serde_json::Value;
use rig_core::tool::{Tool, ToolContext, ToolExecutionError};

/// A tool that runs in the context in which this was made. For one request: register it in that request's tool set.
#[derive(Clone)]
pub struct InContext<T> {
    tool: T,
    context: Context,
}

impl<T> InContext<T> {
    /// The tool, in the context of this call, without what is confined to it.
    #[track_caller]
    pub fn here(tool: T) -> Self {
        // As a closure that is handed over sees it.
        Self { tool, context: haversack::wrap(Context::current)() }
    }
}

impl<T: Tool> Tool for InContext<T> {
    const NAME: &'static str = T::NAME;
    type Args = T::Args;
    type Output = T::Output;
    type Error = T::Error;

    fn description(&self) -> String {
        self.tool.description()
    }

    fn parameters(&self) -> Value {
        self.tool.parameters()
    }

    fn map_error(&self, error: T::Error) -> ToolExecutionError {
        self.tool.map_error(error)
    }

    async fn call(&self, context: &mut ToolContext, args: T::Args) -> Result<T::Output, T::Error> {
        self.tool.call(context, args).with_context(self.context.clone()).await
    }
}
