//! The configuration of crews: tasks of the configured specialists and tools, in an order.
//!
//! Plain data, checked at start against the names of specialists and tools and against the orders that are
//! possible. [`crate::Agents`] makes a tool of each crew, which specialists get when they name it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{AgentConfig, ConfigError, in_range, is_plain_name};
use crate::crew::{Rules, Step, check_order};

/// One of `[[agent.crews]]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CrewConfig {
    /// Unique among crews and tools; 1 to 40 of `a-z`, `0-9` and `_`. Specialists name it among their tools.
    #[schemars(regex(pattern = "^[a-z0-9_]{1,40}$"))]
    pub name: String,
    /// What a model reads to choose it.
    pub description: String,
    /// Seconds for the whole crew.
    #[serde(default = "a_minute")]
    #[schemars(range(min = 1, max = 3600))]
    pub timeout_s: u64,
    /// Whether it may be started and answer later, where the program can do that.
    #[serde(default)]
    pub background: bool,
    /// Its tasks, in their order.
    pub tasks: Vec<TaskConfig>,
}

/// One of `[[agent.crews.tasks]]`. With a tool or a specialist it is theirs; with neither the model answers from
/// the description and from what earlier tasks gave.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TaskConfig {
    /// Unique in the crew; 1 to 40 of `a-z`, `0-9` and `_`.
    #[schemars(regex(pattern = "^[a-z0-9_]{1,40}$"))]
    pub name: String,
    /// What is to be done.
    #[serde(default)]
    pub description: String,
    /// What a good output looks like.
    #[serde(default)]
    pub expected_output: String,
    /// The tool that does it, called with the question. Only a tool that needs one text, or nothing.
    #[serde(default)]
    pub tool: Option<String>,
    /// The specialist who does it, with the tools that are no crews.
    #[serde(default)]
    pub specialist: Option<String>,
    /// Whether it runs beside its neighbours.
    #[serde(default)]
    pub background: bool,
    /// Whether it runs on a thread of its own.
    #[serde(default)]
    pub blocking: bool,
    /// The tasks whose outputs it reads. Left out: every output so far, or in the background the last of a task
    /// that was not.
    #[serde(default)]
    pub context: Option<Vec<String>>,
    /// Seconds for the task, all attempts together.
    #[serde(default)]
    #[schemars(range(min = 1, max = 3600))]
    pub timeout_s: Option<u64>,
    /// What its output must be like.
    #[serde(default)]
    pub guardrail: Option<Rules>,
    /// More attempts for an output that was refused.
    #[serde(default = "two")]
    #[schemars(range(max = 10))]
    pub retries: u32,
}

fn a_minute() -> u64 {
    60
}

fn two() -> u32 {
    2
}

impl TaskConfig {
    fn step(&self) -> Step<'_> {
        let context = self.context.as_deref();
        Step { name: &self.name, background: self.background, conditional: false, context }
    }
}

impl CrewConfig {
    pub(super) fn check(&self, config: &AgentConfig, tools: &[&str]) -> Result<(), ConfigError> {
        let crew = || self.name.clone();
        if !is_plain_name(&self.name) {
            return Err(ConfigError::CrewName(crew()));
        }
        let same = config.crews.iter().filter(|other| other.name == self.name).count();
        if same > 1 || tools.contains(&self.name.as_str()) {
            return Err(ConfigError::DuplicateCrew(crew()));
        }
        in_range(self.timeout_s, 1, 3_600, "agent.crews.timeout_s", "1 to 3600 seconds")?;
        let steps: Vec<Step<'_>> = self.tasks.iter().map(TaskConfig::step).collect();
        check_order(&steps).map_err(|why| ConfigError::CrewOrder { crew: crew(), why })?;
        for task in &self.tasks {
            let wrong =
                |what: String| Err(ConfigError::CrewTask { crew: crew(), task: task.name.clone(), what });
            if !is_plain_name(&task.name) {
                return wrong("its name is invalid; use 1 to 40 of a-z, 0-9 and _".to_owned());
            }
            in_range(
                task.timeout_s.unwrap_or(1),
                1,
                3_600,
                "agent.crews.tasks.timeout_s",
                "1 to 3600 seconds",
            )?;
            in_range(task.retries, 0, 10, "agent.crews.tasks.retries", "0 to 10")?;
            match (&task.tool, &task.specialist) {
                (Some(_), Some(_)) => {
                    return wrong("it names a tool and a specialist; name one of them".to_owned());
                }
                (Some(tool), None) if !tools.contains(&tool.as_str()) => {
                    return wrong(format!(
                        "it names the unknown tool `{tool}`; known are: {}",
                        tools.join(", ")
                    ));
                }
                (None, Some(name)) if !config.specialists.iter().any(|known| known.name == *name) => {
                    let known: Vec<_> = config.specialists.iter().map(|known| known.name.as_str()).collect();
                    let known = known.join(", ");
                    return wrong(format!("it names the unknown specialist `{name}`; known are: {known}"));
                }
                _ => {}
            }
        }
        Ok(())
    }
}
