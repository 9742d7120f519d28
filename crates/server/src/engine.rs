//! The engine: store, memory, agents and live turns, opened from one configuration. It has no network; the
//! server puts the HTTP boundary in front of it, and `chat` without a server drives it directly. Whoever
//! opens it closes it.

use std::sync::Arc;
use std::time::Duration;

use haversack_agent::Agents;
use haversack_agent::model::ChatModel;
use haversack_memory::{Memory, MemoryOptions};
use haversack_store::{Store, StoreOptions, Synchronous};

use crate::config::{self, Config};
use crate::problem::Fault;
use crate::telemetry::journal::Keep;
use crate::telemetry::{Journal, Telemetry};
use crate::turns::Turns;

/// Everything behind the boundary. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Engine {
    store: Store,
    memory: Memory,
    agents: Agents,
    turns: Turns,
    journal: Journal,
    telemetry: Telemetry,
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
        role: &str,
    ) -> Result<Self, Fault> {
        let model = match model {
            Some(model) => model,
            None => haversack_agent::model::from_config(&config.agent.model, &config::read_secret)?,
        };
        let store = Store::open(&config.store.path, store_options(&config.store))?;
        let memory = Memory::new(store.clone(), memory_options(&config.memory));
        let agents = Agents::new(config.agent.clone(), store.clone(), memory.clone(), model)?;
        let journal = Journal::open(store.clone(), telemetry.ring().clone(), role, keep(&config.telemetry));
        let metrics = telemetry.metrics().clone();
        let turns = Turns::new(agents.clone(), config.limits.clone(), metrics, journal.clone());
        Ok(Self { store, memory, agents, turns, journal, telemetry })
    }

    /// The open data folder.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The memory layers.
    pub fn memory(&self) -> &Memory {
        &self.memory
    }

    /// The agents and their history.
    pub fn agents(&self) -> &Agents {
        &self.agents
    }

    /// The live turns.
    pub fn turns(&self) -> &Turns {
        &self.turns
    }

    /// What was done, and where each piece of it hangs.
    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    /// Spans, metrics, log.
    pub fn telemetry(&self) -> &Telemetry {
        &self.telemetry
    }

    /// Lets running turns finish for `grace`, cancels the rest, and closes the store.
    ///
    /// # Errors
    /// The store's faults while it closes; every answered turn is stored all the same.
    pub async fn close(&self, grace: Duration) -> Result<(), Fault> {
        self.turns.drain(grace).await;
        self.journal.settle(LAST_ROWS).await;
        Ok(self.store.close().await?)
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
