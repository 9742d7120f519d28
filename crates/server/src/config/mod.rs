//! The configuration: one TOML file, overridden by the environment. Each section is a struct that refuses
//! unknown keys and values out of range, so an error names its line and column or its variable. The command
//! line loads it, and nothing else in the workspace reads the process environment.

mod environment;
mod gateway;
mod handed;
mod place;
pub mod process;
mod sandbox;
mod secret;
mod sections;
mod work;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

pub use gateway::{Account, Approver, Command, Gateway};
pub use handed::leave as leave_environment;
pub use haversack_agent::agent::{Secret, SecretRef};
pub use sandbox::{Sandbox, SandboxMode};
pub use secret::{read as read_secret, resolve};
pub use sections::{Limits, LogFormat, Memory, Otlp, Server, Store, Synchronous, Telemetry};
pub use work::{Jobs, Keys, Mcp, PipelineTool, Pipelines};

use haversack_agent::AgentConfig;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::auth::name::check_name;

/// The name of the file that is read when none is given.
pub const FILE: &str = "haversack.toml";

/// Everything that can be configured; each section has a default.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where the server listens and how it stops.
    pub server: Server,
    /// Where data lives and how it is opened.
    pub store: Store,
    /// What one request, one session and one tenant may take.
    pub limits: Limits,
    /// The memory layers.
    pub memory: Memory,
    /// The key ring that seals what leaves the process.
    pub keys: Keys,
    /// Background jobs.
    pub jobs: Jobs,
    /// Pipelines.
    pub pipelines: Pipelines,
    /// Messages from other platforms.
    pub gateway: Gateway,
    /// Restrictions on the children of this program.
    #[serde(deserialize_with = "sandbox::written")]
    #[schemars(with = "sandbox::Written")]
    pub sandbox: Sandbox,
    /// The MCP endpoint.
    pub mcp: Mcp,
    /// Logs, the ring of recent turns, and export.
    pub telemetry: Telemetry,
    /// Agents: model, supervisor, specialists, tools, budgets.
    pub agent: AgentConfig,
}

/// A configuration and where it came from.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The configuration, with the environment's overrides applied.
    pub config: Config,
    /// The file it was read from; `None` when there was none and every key has its default.
    pub file: Option<PathBuf>,
}

/// Why a configuration was refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The reason of the operating system.
        source: std::io::Error,
    },
    /// The file does not parse, or a key is unknown, or a value is outside its range.
    #[error("{}:{line}:{column}: {message}", path.display())]
    At {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// Column in characters, from 1.
        column: usize,
        /// What is wrong.
        message: String,
    },
    /// An environment variable overrides with a value that is not allowed.
    #[error("environment variable {variable}: {message}")]
    Variable {
        /// The variable.
        variable: String,
        /// What is wrong.
        message: String,
    },
    /// Values that are each allowed do not go together, or the agents are not as they must be.
    #[error("{message}")]
    Invalid {
        /// What is wrong.
        message: String,
    },
    /// A secret is referred to that does not exist.
    #[error("secret {reference}: {message}")]
    Secret {
        /// The reference, never the secret.
        reference: String,
        /// What is wrong.
        message: String,
    },
}

impl Config {
    /// Reads `file`, or [`FILE`] in the working folder when it exists, and applies the process environment.
    ///
    /// # Errors
    /// [`ConfigError`] with the place of the first mistake. A file that is named must exist.
    pub fn load(file: Option<&Path>) -> Result<Loaded, ConfigError> {
        let file =
            file.map(Path::to_owned).or_else(|| Some(PathBuf::from(FILE)).filter(|path| path.exists()));
        let text = match &file {
            Some(path) => std::fs::read_to_string(path)
                .map_err(|source| ConfigError::Unreadable { path: path.clone(), source })?,
            None => String::new(),
        };
        let path = file.as_deref().unwrap_or(Path::new(FILE));
        Ok(Loaded { config: Self::parse(path, &text, handed::variables())?, file })
    }

    /// Parses the text of `path` and applies `environment`, a list of variables as [`std::env::vars_os`]
    /// gives it.
    ///
    /// # Errors
    /// [`ConfigError`] with the place of the first mistake.
    pub fn parse(
        path: &Path,
        text: &str,
        environment: impl IntoIterator<Item = (std::ffi::OsString, std::ffi::OsString)>,
    ) -> Result<Self, ConfigError> {
        // The file is checked by itself first: only then an error has a line and a column.
        let config: Config = toml::from_str(text).map_err(|error| place::locate(path, text, &error))?;
        let overrides = environment::overrides(environment)?;
        if overrides.is_empty() {
            return Ok(config);
        }
        let table = toml::from_str(text).map_err(|error| place::locate(path, text, &error))?;
        environment::apply(table, &overrides)
    }

    /// Checks what the shape of the file does not: the agents, the limits against each other, and that every
    /// secret is there.
    ///
    /// # Errors
    /// [`ConfigError::Invalid`], [`ConfigError::Secret`].
    pub fn check(&self) -> Result<(), ConfigError> {
        let invalid = |message: String| ConfigError::Invalid { message };
        // The tools that the engine gives to its agents.
        let mut tools = haversack_agent::tool::NAMES.to_vec();
        tools.extend(haversack_gateway::tool::names(self.gateway.commands.is_some()));
        tools.extend(self.pipelines.tools.iter().map(|tool| tool.name.as_str()));
        self.agent.check(&tools).map_err(|error| invalid(error.to_string()))?;
        if self.limits.message_bytes > self.limits.body_bytes {
            return Err(invalid("`limits.message_bytes` is larger than `limits.body_bytes`".into()));
        }
        self.mcp.allowed().map_err(|error| invalid(format!("[mcp] {error}")))?;
        for trusted in &self.telemetry.trusted {
            let names = trusted.split_once('/').ok_or("expected `tenant/principal`".to_owned()).and_then(
                |(tenant, principal)| {
                    let of = |what, name| check_name(what, name).map_err(|fault| fault.to_string());
                    of("tenant", tenant).and(of("principal", principal))
                },
            );
            names.map_err(|error| invalid(format!("`telemetry.trusted`: {error}")))?;
        }
        let headers = self.telemetry.otlp.iter().flat_map(|otlp| otlp.headers.values());
        let secrets = self.pipelines.secrets.values().flat_map(BTreeMap::values);
        let signing = self.gateway.accounts.iter().flat_map(|account| &account.secrets);
        for reference in headers
            .chain(secrets)
            .chain(signing)
            .chain(&self.agent.model.api_key)
            .chain(&self.server.metrics_token)
        {
            resolve(reference)?;
        }
        Ok(())
    }

    /// The JSON schema of the file.
    pub fn schema() -> serde_json::Value {
        schemars::schema_for!(Config).to_value()
    }
}
