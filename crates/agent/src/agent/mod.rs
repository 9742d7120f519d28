//! The configuration of the agents: model, supervisor, specialists, crews, tools, limits.
//!
//! It is the table `[agent]` of the configuration file, as plain data with a JSON schema; what the file
//! leaves out comes from the defaults compiled in. The server reads it, [`crate::Agents`] checks it once and
//! then only reads.

mod crews;
mod secret;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::LazyLock;

use schemars::{JsonSchema, schema_for};
use serde::{Deserialize, Serialize};

pub use crews::{CrewConfig, TaskConfig};
pub use secret::{Secret, SecretRef};

use crate::crew::OrderError;

/// The agents that run when nothing is configured, as TOML.
pub const DEFAULT_TOML: &str = include_str!("../../default.toml");

static DEFAULT: LazyLock<AgentConfig> = LazyLock::new(|| {
    #[allow(clippy::expect_used)] // compiled in, and a test reads it
    let file: File = toml::from_str(DEFAULT_TOML).expect("the embedded defaults are valid");
    file.agent
});

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    agent: AgentConfig,
}

/// The table `[agent]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AgentConfig {
    /// What answers.
    #[serde(default)]
    pub model: ModelConfig,
    /// Who chooses the specialist.
    #[serde(default)]
    pub supervisor: SupervisorConfig,
    /// Who answers; the default are three specialists for support.
    #[serde(default = "default_specialists")]
    pub specialists: Vec<SpecialistConfig>,
    /// Who works together; the default is one crew, which looks in the handbook and in what was told.
    #[serde(default = "default_crews")]
    pub crews: Vec<CrewConfig>,
    /// What specialists can use.
    #[serde(default)]
    pub tools: ToolsConfig,
    /// What a turn may cost.
    #[serde(default)]
    pub limits: LimitsConfig,
}

impl Default for AgentConfig {
    fn default() -> Self {
        DEFAULT.clone()
    }
}

fn default_specialists() -> Vec<SpecialistConfig> {
    DEFAULT.specialists.clone()
}

fn default_crews() -> Vec<CrewConfig> {
    DEFAULT.crews.clone()
}

/// The table `[agent.model]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ModelConfig {
    /// What answers: `offline` (rules and recall, no network) or `genai` (a provider over HTTP).
    pub provider: Provider,
    /// With `genai`: `provider::model`, or a model name that tells its provider.
    pub name: Option<String>,
    /// With `genai`: another endpoint than the provider's own, such as a gateway or a local server.
    pub base_url: Option<String>,
    /// With `genai`: where the key is, `env:NAME` or `file:PATH`.
    pub api_key: Option<SecretRef>,
    /// Seconds for one attempt of one call, from the request to the last word.
    #[schemars(range(min = 1, max = 3600))]
    pub timeout_s: u64,
    /// Attempts after the first, when the provider is overloaded or unreachable.
    #[schemars(range(max = 10))]
    pub retries: u32,
}

impl Default for ModelConfig {
    fn default() -> Self {
        let (name, base_url, api_key) = (None, None, None);
        Self { provider: Provider::Offline, name, base_url, api_key, timeout_s: 30, retries: 2 }
    }
}

/// What answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Provider {
    /// Rules and recall in this process; no network, no key.
    Offline,
    /// A provider over HTTP.
    Genai,
}

/// The table `[agent.supervisor]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SupervisorConfig {
    /// The instructions for choosing.
    pub prompt: String,
}

impl Default for SupervisorConfig {
    fn default() -> Self {
        let prompt = "Hand the turn to the specialist who can help best. Hand over exactly once, do not \
            answer yourself.";
        Self { prompt: prompt.to_owned() }
    }
}

/// One of `[[agent.specialists]]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SpecialistConfig {
    /// Unique; 1 to 40 of `a-z`, `0-9` and `_`.
    #[schemars(regex(pattern = "^[a-z0-9_]{1,40}$"))]
    pub name: String,
    /// What the supervisor reads to choose.
    pub description: String,
    /// The instructions for answering.
    pub prompt: String,
    /// The tools it may call, by name; crews are tools too.
    #[serde(default)]
    pub tools: Vec<String>,
}

/// The table `[agent.tools]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ToolsConfig {
    /// The folder with one folder of Markdown a tenant. Without it there is no knowledge.
    pub knowledge: Option<PathBuf>,
    /// Seconds for one tool call.
    #[schemars(range(min = 1, max = 3600))]
    pub timeout_s: u64,
    /// Tool calls of one turn at the same time.
    #[schemars(range(min = 1, max = 64))]
    pub parallel: usize,
}

impl Default for ToolsConfig {
    fn default() -> Self {
        Self { knowledge: None, timeout_s: 10, parallel: 4 }
    }
}

/// The table `[agent.limits]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsConfig {
    /// Model calls of a specialist in one turn.
    #[schemars(range(min = 1, max = 100))]
    pub steps: u32,
    /// Tokens that a model reads in one call, estimated.
    #[schemars(range(min = 500))]
    pub buffer_tokens: usize,
    /// Earlier turns of the session that a model may read.
    pub history_turns: usize,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self { steps: 6, buffer_tokens: 16_000, history_turns: 10 }
    }
}

/// Why a configuration of agents is refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Nobody could answer.
    #[error("`agent.specialists` is empty; name at least one specialist")]
    NoSpecialists,
    /// The name would not do as a tool name.
    #[error("the specialist name `{0}` is invalid; use 1 to 40 of a-z, 0-9 and _")]
    SpecialistName(String),
    /// Two specialists with one name.
    #[error("two specialists are named `{0}`; names must be unique")]
    DuplicateSpecialist(String),
    /// A specialist names a tool that does not exist.
    #[error("the specialist `{specialist}` names the unknown tool `{tool}`; known are: {known}")]
    UnknownTool {
        /// The specialist.
        specialist: String,
        /// The name that is not known.
        tool: String,
        /// Every known name.
        known: String,
    },
    /// The name would not do as a tool name.
    #[error("the crew name `{0}` is invalid; use 1 to 40 of a-z, 0-9 and _")]
    CrewName(String),
    /// Two crews with one name, or a crew named as a tool.
    #[error("the crew name `{0}` is taken by another crew or by a tool; names must be unique")]
    DuplicateCrew(String),
    /// The tasks of a crew are in an order that is impossible.
    #[error("the crew `{crew}` cannot run: {why}")]
    CrewOrder {
        /// The crew.
        crew: String,
        /// What makes it impossible.
        #[source]
        why: OrderError,
    },
    /// A task of a crew is configured wrongly.
    #[error("the task `{task}` of the crew `{crew}` is wrong: {what}")]
    CrewTask {
        /// The crew.
        crew: String,
        /// The task.
        task: String,
        /// What is wrong, and what to do.
        what: String,
    },
    /// A number out of its range.
    #[error("`{key}` must be {must}")]
    Range {
        /// The key in the configuration.
        key: &'static str,
        /// What is allowed.
        must: &'static str,
    },
    /// The model cannot be made from this configuration.
    #[error("`agent.model`: {0}")]
    Model(String),
    /// A secret could not be read.
    #[error("the secret `{reference}` could not be read: {why}")]
    Secret {
        /// Where it should be; the reference, never the value.
        reference: String,
        /// What went wrong.
        why: String,
    },
}

impl AgentConfig {
    /// The JSON schema of the table.
    #[must_use]
    pub fn json_schema() -> serde_json::Value {
        schema_for!(Self).to_value()
    }

    /// Checks what a schema cannot say, against the names of the tools that there are:
    /// [`tool::NAMES`](crate::tool::NAMES) without tools of one's own.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn check(&self, tools: &[&str]) -> Result<(), ConfigError> {
        in_range(self.model.timeout_s, 1, 3_600, "agent.model.timeout_s", "1 to 3600 seconds")?;
        in_range(self.model.retries, 0, 10, "agent.model.retries", "0 to 10")?;
        in_range(self.tools.timeout_s, 1, 3_600, "agent.tools.timeout_s", "1 to 3600 seconds")?;
        in_range(self.tools.parallel, 1, 64, "agent.tools.parallel", "1 to 64")?;
        in_range(self.limits.steps, 1, 100, "agent.limits.steps", "1 to 100")?;
        in_range(self.limits.buffer_tokens, 500, usize::MAX, "agent.limits.buffer_tokens", "at least 500")?;
        if self.specialists.is_empty() {
            return Err(ConfigError::NoSpecialists);
        }
        let crews = self.crews.iter().map(|crew| crew.name.as_str());
        let with_crews: Vec<&str> = tools.iter().copied().chain(crews).collect();
        let mut names = BTreeSet::new();
        for specialist in &self.specialists {
            let name = &specialist.name;
            if !is_plain_name(name) {
                return Err(ConfigError::SpecialistName(name.clone()));
            }
            if !names.insert(name) {
                return Err(ConfigError::DuplicateSpecialist(name.clone()));
            }
            if let Some(tool) = specialist.tools.iter().find(|tool| !with_crews.contains(&tool.as_str())) {
                let known = with_crews.join(", ");
                return Err(ConfigError::UnknownTool { specialist: name.clone(), tool: tool.clone(), known });
            }
        }
        self.crews.iter().try_for_each(|crew| crew.check(self, tools))
    }
}

/// What does as the name of a tool.
fn is_plain_name(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    (1..=40).contains(&name.len()) && name.bytes().all(plain)
}

fn in_range<N: PartialOrd>(
    value: N,
    least: N,
    most: N,
    key: &'static str,
    must: &'static str,
) -> Result<(), ConfigError> {
    if value < least || value > most { Err(ConfigError::Range { key, must }) } else { Ok(()) }
}
