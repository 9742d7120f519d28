//! Tools made of a function whose arguments say what it needs.
//!
//! A function with any number of [`FromCall`] arguments, in any order, is a tool of the agents' contract: the schema is
//! that of its [`Args`](super::Args), the rest is hidden. Agents may be given such a tool as well.

use std::future::Future;
use std::marker::PhantomData;

use haversack::Variable;
use haversack_agent::tool::{Tool, ToolError, ToolFuture, ToolOutput, ToolSpec};
use serde_json::{Value, json};

use super::extract::{Call, FromCall};

/// Makes a tool from a function.
///
/// ```
/// use haversack::well_known::TenantId;
/// use haversack_agent::tool::ToolOutput;
/// use haversack_mcp::{Args, Progress, mcp_tool};
///
/// #[derive(serde::Deserialize, schemars::JsonSchema)]
/// struct Report { months: u64 }
///
/// let report = mcp_tool("report", "Writes a report.", |tenant: TenantId, progress: Progress, Args(report): Args<Report>| {
///     async move {
///         for month in 1..=report.months {
///             progress.report(month, Some(report.months), None).await;
///         }
///         ToolOutput::json(&format!("the report of {tenant}"))
///     }
/// });
/// ```
pub fn mcp_tool<F, A>(name: &str, description: &str, run: F) -> McpTool<F, A>
where
    F: ToolFn<A>,
{
    let spec =
        ToolSpec { name: name.to_owned(), description: description.to_owned(), parameters: F::parameters() };
    McpTool { spec, needs: F::needs(), run, _arguments: PhantomData }
}

/// A tool made of a function. Made by [`mcp_tool`].
pub struct McpTool<F, A> {
    spec: ToolSpec,
    needs: Vec<&'static dyn Variable>,
    run: F,
    _arguments: PhantomData<fn(A)>,
}

impl<F, A> McpTool<F, A> {
    /// Declares variables that the function reads besides its arguments, and without which it cannot run.
    #[must_use]
    pub fn needing(mut self, variables: &[&'static dyn Variable]) -> Self {
        self.needs.extend_from_slice(variables);
        self
    }
}

impl<F: ToolFn<A>, A: 'static> Tool for McpTool<F, A> {
    fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    fn needs(&self) -> &[&'static dyn Variable] {
        &self.needs
    }

    fn call(&self, arguments: Value) -> ToolFuture {
        self.run.run(&Call::new(arguments))
    }
}

/// An async function whose arguments are all [`FromCall`]. Implemented for up to six of them.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no function that can be a tool",
    note = "it takes up to six arguments that are `FromCall` and returns a future of `Result<ToolOutput, ToolError>`"
)]
pub trait ToolFn<A>: Send + Sync + 'static {
    /// The schema of what the model writes.
    fn parameters() -> Value;
    /// The variables that its arguments need.
    fn needs() -> Vec<&'static dyn Variable>;
    /// Makes the arguments and calls it.
    fn run(&self, call: &Call) -> ToolFuture;
}

fn nothing_to_write() -> Value {
    json!({ "type": "object", "properties": {}, "additionalProperties": false })
}

macro_rules! tool_fn {
    ($($argument:ident),*) => {
        impl<F, R, $($argument,)*> ToolFn<($($argument,)*)> for F
        where
            F: Fn($($argument),*) -> R + Send + Sync + 'static,
            R: Future<Output = Result<ToolOutput, ToolError>> + Send + 'static,
            $($argument: FromCall,)*
        {
            fn parameters() -> Value {
                None$(.or_else($argument::schema))*.unwrap_or_else(nothing_to_write)
            }

            fn needs() -> Vec<&'static dyn Variable> {
                [$($argument::NEEDS,)*].concat()
            }

            fn run(&self, call: &Call) -> ToolFuture {
                let _ = call;
                let made = (|| Ok::<_, ToolError>(self($($argument::from_call(call)?),*)))();
                match made {
                    Ok(future) => Box::pin(future),
                    Err(error) => Box::pin(std::future::ready(Err(error))),
                }
            }
        }
    };
}

tool_fn!(A1);
tool_fn!(A1, A2);
tool_fn!(A1, A2, A3);
tool_fn!(A1, A2, A3, A4);
tool_fn!(A1, A2, A3, A4, A5);
tool_fn!(A1, A2, A3, A4, A5, A6);
