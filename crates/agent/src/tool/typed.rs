//! Tools with typed arguments: a function, and a schema derived from its argument.
//!
//! The JSON of the model is parsed into the argument type before the function runs, and what does not fit is
//! an error for the model. Every tool of this crate is made here; so should be every tool of its users.

use std::future::Future;
use std::marker::PhantomData;

use haversack::Variable;
use schemars::{JsonSchema, generate::SchemaSettings};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Background, Tool, ToolError, ToolFuture, ToolOutput, ToolSpec};

/// Makes a tool from a function. The schema of `A` tells the model what to write.
///
/// ```
/// use haversack_agent::tool::{tool, ToolOutput};
///
/// #[derive(serde::Deserialize, schemars::JsonSchema)]
/// struct Sum { a: i64, b: i64 }
///
/// let sum = tool("sum", "Adds two numbers.", |args: Sum| async move { ToolOutput::json(&(args.a + args.b)) });
/// ```
pub fn tool<A, F, R>(name: &str, description: &str, run: F) -> TypedTool<A, F>
where
    A: DeserializeOwned + JsonSchema + Send + 'static,
    F: Fn(A) -> R + Send + Sync + 'static,
    R: Future<Output = Result<ToolOutput, ToolError>> + Send + 'static,
{
    let spec = ToolSpec {
        name: name.to_owned(),
        description: description.to_owned(),
        parameters: parameters_of::<A>(),
    };
    TypedTool { spec, needs: Vec::new(), offered: None, background: None, run, _arguments: PhantomData }
}

/// The JSON schema of an argument type, as [`tool`] writes it: draft 7, without references.
#[must_use]
pub fn parameters_of<A: JsonSchema>() -> Value {
    let mut settings = SchemaSettings::draft07();
    settings.inline_subschemas = true;
    settings.meta_schema = None;
    settings.into_generator().into_root_schema_for::<A>().to_value()
}

/// A tool made of a function. Made by [`tool`].
pub struct TypedTool<A, F> {
    spec: ToolSpec,
    needs: Vec<&'static dyn Variable>,
    offered: Option<Box<dyn Fn() -> bool + Send + Sync>>,
    background: Option<Background>,
    run: F,
    _arguments: PhantomData<fn(A)>,
}

impl<A, F> TypedTool<A, F> {
    /// Declares the context variables without which the tool cannot run.
    #[must_use]
    pub fn needing(mut self, variables: &[&'static dyn Variable]) -> Self {
        self.needs.extend_from_slice(variables);
        self
    }

    /// Declares where it is offered besides: `here` is asked in the context of each turn.
    #[must_use]
    pub fn offered_where(mut self, here: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        self.offered = Some(Box::new(here));
        self
    }

    /// Declares that the tool takes longer than a turn should wait.
    #[must_use]
    pub fn in_background(mut self) -> Self {
        self.background = Some(Background::new());
        self
    }
}

impl<A, F, R> Tool for TypedTool<A, F>
where
    A: DeserializeOwned + JsonSchema + Send + 'static,
    F: Fn(A) -> R + Send + Sync + 'static,
    R: Future<Output = Result<ToolOutput, ToolError>> + Send + 'static,
{
    fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    fn needs(&self) -> &[&'static dyn Variable] {
        &self.needs
    }

    fn is_offered(&self) -> bool {
        self.offered.as_ref().is_none_or(|here| here())
    }

    fn background(&self) -> Option<Background> {
        self.background
    }

    fn call(&self, arguments: Value) -> ToolFuture {
        match serde_json::from_value::<A>(arguments) {
            Ok(arguments) => Box::pin((self.run)(arguments)),
            Err(error) => {
                let detail = error.to_string();
                Box::pin(std::future::ready(Err(ToolError::Arguments { detail })))
            }
        }
    }
}
