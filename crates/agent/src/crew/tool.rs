//! A crew as a tool that specialists may call.
//!
//! The model asks with one question and reads the words of the last task and who took part. What the tasks need
//! of the context is needed by the tool, so that it is not offered where they cannot run.

use std::fmt;
use std::time::Duration;

use haversack::Variable;
use haversack::well_known::DEADLINE;
use serde::Serialize;
use serde_json::{Value, json};

use super::error::GRACE;
use super::{Crew, worker};
use crate::tool::{Background, Tool, ToolError, ToolFuture, ToolOutput, ToolSpec};

/// The one argument.
const QUESTION: &str = "question";

/// Makes a tool of a crew. The description tells the model when to use it.
#[must_use]
pub fn tool(crew: Crew, description: impl Into<String>) -> CrewTool {
    let parameters = json!({
        "type": "object",
        "properties": {
            QUESTION: { "type": "string", "description": "What is to be found out, so that it can be understood alone." },
        },
        "required": [QUESTION],
        "additionalProperties": false,
    });
    let (name, description) = (crew.name().to_owned(), description.into());
    let spec = ToolSpec { name, description, parameters };
    CrewTool { crew, spec, needs: Vec::new(), time_limit: None, background: None }
}

/// A crew as a tool. Made by [`tool`].
pub struct CrewTool {
    crew: Crew,
    spec: ToolSpec,
    needs: Vec<&'static dyn Variable>,
    time_limit: Option<Duration>,
    background: Option<Background>,
}

impl CrewTool {
    /// Declares the context variables without which its tasks cannot run.
    #[must_use]
    pub fn needing(mut self, variables: &[&'static dyn Variable]) -> Self {
        self.needs.extend_from_slice(variables);
        self
    }

    /// How long the whole crew may take, where that is not what the configuration says for every tool.
    #[must_use]
    pub fn within(mut self, limit: Duration) -> Self {
        self.time_limit = Some(limit);
        self
    }

    /// Declares that the crew takes longer than a turn should wait.
    #[must_use]
    pub fn in_background(mut self) -> Self {
        self.background = Some(Background::new());
        self
    }
}

/// What the model reads.
#[derive(Serialize)]
struct Answer {
    text: String,
    /// Which tasks it comes from.
    source: String,
}

impl Tool for CrewTool {
    fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    fn needs(&self) -> &[&'static dyn Variable] {
        &self.needs
    }

    fn time_limit(&self) -> Option<Duration> {
        // At its limit the crew ends by itself and joins its tasks; the caller's patience is a little longer.
        self.time_limit.map(|limit| limit + 4 * GRACE)
    }

    fn background(&self) -> Option<Background> {
        self.background
    }

    fn call(&self, arguments: Value) -> ToolFuture {
        let question = arguments.get(QUESTION).and_then(Value::as_str).map(str::trim);
        let Some(question) = question.filter(|question| !question.is_empty()) else {
            let detail = format!("`{QUESTION}` must be a text");
            return Box::pin(std::future::ready(Err(ToolError::Arguments { detail })));
        };
        let execute = || self.crew.execute(question);
        let working = match worker::deadline(self.time_limit) {
            Some(deadline) => DEADLINE.sync_scope(deadline, execute),
            None => execute(),
        };
        let name = self.crew.name().to_owned();
        Box::pin(async move {
            let given = working.await?;
            let by: Vec<&str> = given.outputs.iter().map(|output| output.task.as_str()).collect();
            let source = format!("the crew {name}: {}", by.join(", "));
            ToolOutput::json(&Answer { text: given.text().to_owned(), source })
        })
    }
}

impl fmt::Debug for CrewTool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CrewTool").field("crew", &self.crew).finish_non_exhaustive()
    }
}
