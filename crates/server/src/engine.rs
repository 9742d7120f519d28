//! The engine: store, memory, agents and live turns, opened from one configuration. It has no network; the
//! server puts the HTTP boundary in front of it, and `chat` without a server drives it directly. Whoever
//! opens it closes it.

use std::sync::Arc;
use std::time::Duration;

use haversack_agent::Agents;
use haversack_agent::model::ChatModel;
use haversack_gateway::Desk;
use haversack_memory::{Memory, MemoryOptions};
use haversack_store::{KeyFile, Store, StoreOptions, Synchronous};

use crate::auth::Keyring;
use crate::code::Code;
use crate::config::{self, Config};
use crate::gateway;
use crate::mcp::Mcp;
use crate::problem::Fault;
use crate::telemetry::journal::Keep;
use crate::telemetry::{Journal, Telemetry};
use crate::turns::Turns;
use crate::work::sessions::LongSessions;
use crate::work::{self, Work};

/// Everything behind the boundary. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Engine(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    store: Store,
    memory: Memory,
    agents: Agents,
    turns: Turns,
    keys: KeyFile,
    desk: Desk,
    work: Work,
    mcp: Mcp,
    journal: Journal,
    telemetry: Telemetry,
    keyring: Keyring,
}

/// What this process is to the data folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The one server, which holds the folder.
    Server,
    /// A worker beside it, or alone.
    Worker,
    /// A command that works in process while no server runs.
    Command,
}

impl Role {
    /// What the journal calls it.
    fn name(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Worker => "worker",
            Self::Command => "cli",
        }
    }
}

/// The key file, which is made at the first start. Where what waits was sealed with another, making one would be the end
/// of that.
fn keys(config: &Config, store: &Store) -> Result<KeyFile, Fault> {
    let (path, data) = (config.keys.path(&config.store.path), &config.store.path);
    if !path.exists() && store.control().waits_sealed()? {
        let detail = format!(
            "The key file {} is not there, and what waits in {} was sealed with it. Put it back from its copy; if it is \
             lost for good, run `haversack context keys make`, and what waits stays closed.",
            path.display(),
            data.display()
        );
        return Err(Fault::new(Code::KeyFileUnusable, detail));
    }
    Ok(KeyFile::open(&path, data)?)
}

/// How long the last rows of the journal may take when the store is to be closed.
const LAST_ROWS: Duration = Duration::from_secs(3);

impl Engine {
    /// Opens the data folder and builds the agents. `model` replaces the configured one, for tests. `role`
    /// is what the journal calls this process. Blocks.
    ///
    /// # Errors
    /// The store's faults; [`crate::code::Code::ConfigInvalid`] and
    /// [`crate::code::Code::ModelMisconfigured`].
    pub fn open(
        config: &Config,
        telemetry: Telemetry,
        model: Option<Arc<dyn ChatModel>>,
        role: Role,
    ) -> Result<Self, Fault> {
        let model = match model {
            Some(model) => model,
            None => haversack_agent::model::from_config(&config.agent.model, &config::read_secret)?,
        };
        let options = store_options(&config.store);
        let store = match role {
            Role::Worker => Store::join(&config.store.path, options)?,
            Role::Server | Role::Command => Store::open(&config.store.path, options)?,
        };
        let keys = keys(config, &store)?;
        let memory = Memory::new(store.clone(), memory_options(&config.memory));
        let journal =
            Journal::open(store.clone(), telemetry.ring().clone(), role.name(), keep(&config.telemetry));
        let desk = gateway::desk(config, &store, &keys, &journal)?;
        let before = work::Before::new(config, &store, &keys, crate::confine::steps(config)?);
        let agents = Agents::builder(config.agent.clone(), store.clone(), memory.clone(), model)
            .tools(before.tools(config))
            .tools(haversack_gateway::tool::tools(&desk))
            .background(before.runner())
            .build()?;
        let keyring = Keyring::new(store.clone());
        let mut work = before.with(config, &store, &agents, &journal, desk.ledger(), &keyring);
        let mcp = Mcp::new(config, &agents, work.jobs(), &keyring)?;
        work.handlers(|handlers| mcp.handlers(handlers));
        let metrics = telemetry.metrics().clone();
        let long = LongSessions::new(agents.clone(), work.clone(), config.memory.summarise_after_turns);
        let turns = Turns::new(
            agents.clone(),
            config.limits.clone(),
            metrics,
            journal.clone(),
            long,
            keyring.clone(),
        );
        Ok(Self(Arc::new(Parts {
            store,
            memory,
            agents,
            turns,
            keys,
            desk,
            work,
            mcp,
            journal,
            telemetry,
            keyring,
        })))
    }

    /// The open data folder.
    pub fn store(&self) -> &Store {
        &self.0.store
    }

    /// The memory layers.
    pub fn memory(&self) -> &Memory {
        &self.0.memory
    }

    /// The agents and their history.
    pub fn agents(&self) -> &Agents {
        &self.0.agents
    }

    /// The live turns.
    pub fn turns(&self) -> &Turns {
        &self.0.turns
    }

    /// The key ring that seals what leaves the process.
    pub fn keys(&self) -> &KeyFile {
        &self.0.keys
    }

    /// What of the gateway outlives a turn.
    pub fn desk(&self) -> &Desk {
        &self.0.desk
    }

    /// Jobs, pipelines, and the worker that does them.
    pub fn work(&self) -> &Work {
        &self.0.work
    }

    /// The API keys.
    pub fn keyring(&self) -> &Keyring {
        &self.0.keyring
    }

    /// What is offered to MCP clients.
    pub fn mcp(&self) -> &Mcp {
        &self.0.mcp
    }

    /// What was done, and where each piece of it hangs.
    pub fn journal(&self) -> &Journal {
        &self.0.journal
    }

    /// Spans, metrics, log.
    pub fn telemetry(&self) -> &Telemetry {
        &self.0.telemetry
    }

    /// Lets running turns finish for `grace`, cancels the rest, and closes the store.
    ///
    /// # Errors
    /// The store's faults while it closes; every answered turn is stored all the same.
    pub async fn close(&self, grace: Duration) -> Result<(), Fault> {
        self.0.turns.drain(grace).await;
        self.0.journal.settle(LAST_ROWS).await;
        Ok(self.0.store.close().await?)
    }
}

/// The options of the store as the configuration says them.
pub fn store_options(config: &config::Store) -> StoreOptions {
    StoreOptions {
        synchronous: match config.synchronous {
            config::Synchronous::Normal => Synchronous::Normal,
            config::Synchronous::Full => Synchronous::Full,
        },
        max_open_tenants: config.max_open_tenants,
        readers_per_tenant: config.readers_per_tenant,
        busy_timeout: Duration::from_millis(config.busy_timeout_ms),
    }
}

fn keep(config: &config::Telemetry) -> Keep {
    let days = Duration::from_secs(24 * 3600);
    Keep { units: config.journal_units, age: days * config.journal_days }
}

fn memory_options(config: &config::Memory) -> MemoryOptions {
    MemoryOptions {
        attempt_ttl: Duration::from_secs(config.attempt_ttl_s),
        max_attempts: config.max_attempts,
        max_hits: config.max_hits,
    }
}
