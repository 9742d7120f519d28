//! A store, a memory and agents in a folder of their own, and callers at the door.

use std::path::Path;
use std::sync::{Arc, Mutex};

use haversack::Visit;
use haversack::testing::Isolated;
use haversack_agent::agent::SpecialistConfig;
use haversack_agent::model::{ChatModel, Offline};
use haversack_agent::tool::Tool;
use haversack_agent::{
    AgentConfig, Agents, AgentsBuilder, EventSink, Reply, TurnError, TurnEvent, TurnRequest,
};
use haversack_memory::{Memory, MemoryOptions};
use haversack_store::{Store, StoreOptions};
use tempfile::TempDir;

/// Everything that a turn needs. The folder goes with it.
pub(crate) struct House {
    pub(crate) folder: TempDir,
    pub(crate) store: Store,
    pub(crate) memory: Memory,
    pub(crate) agents: Agents,
}

impl House {
    /// The defaults, with the offline model and a knowledge folder inside the house.
    pub(crate) fn offline() -> Self {
        Self::with(AgentConfig::default(), Arc::new(Offline), Vec::new())
    }

    /// One specialist named `solo` with these tools, so that every model call is its own.
    pub(crate) fn solo(model: impl ChatModel, tools: &[&str], extra: Vec<Arc<dyn Tool>>) -> Self {
        Self::with(solo(tools), Arc::new(model), extra)
    }

    pub(crate) fn with(config: AgentConfig, model: Arc<dyn ChatModel>, tools: Vec<Arc<dyn Tool>>) -> Self {
        Self::built(config, model, |builder| builder.tools(tools))
    }

    /// As the builder says.
    pub(crate) fn built(
        mut config: AgentConfig,
        model: Arc<dyn ChatModel>,
        with: impl FnOnce(AgentsBuilder) -> AgentsBuilder,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("data"), StoreOptions::default()).unwrap();
        let memory = Memory::new(store.clone(), MemoryOptions::default());
        config.tools.knowledge.get_or_insert_with(|| folder.path().join("knowledge"));
        let agents = with(Agents::builder(config, store.clone(), memory.clone(), model)).build().unwrap();
        Self { folder, store, memory, agents }
    }

    /// Writes a knowledge file of a tenant.
    pub(crate) fn knows(&self, tenant: &str, file: &str, text: &str) {
        let path = self.folder.path().join("knowledge").join(tenant).join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// One turn at a door of its own.
    pub(crate) async fn say(&self, tenant: &str, session: &str, message: &str) -> Result<Reply, TurnError> {
        self.ask(door(tenant, "kim", session), request(message), None).await
    }

    /// As [`say`](Self::say), by another principal than the usual one.
    pub(crate) async fn say_as(
        &self,
        tenant: &str,
        principal: &str,
        session: &str,
        message: &str,
    ) -> Result<Reply, TurnError> {
        self.ask(door(tenant, principal, session), request(message), None).await
    }

    /// One turn behind this door; the events go to `heard`.
    pub(crate) async fn ask(
        &self,
        visit: Visit,
        request: TurnRequest,
        heard: Option<&Heard>,
    ) -> Result<Reply, TurnError> {
        let agents = self.agents.clone();
        let heard = heard.cloned();
        let work = async move {
            let events = heard.map_or(EventSink::none(), |heard| heard.sink());
            agents.turn(request)?.run(events).await
        };
        visit.wrap(work).await
    }
}

pub(crate) fn solo(tools: &[&str]) -> AgentConfig {
    let specialist = SpecialistConfig {
        name: "solo".to_owned(),
        description: "Everything.".to_owned(),
        prompt: "Answer.".to_owned(),
        tools: tools.iter().map(|name| (*name).to_owned()).collect(),
    };
    AgentConfig { specialists: vec![specialist], ..AgentConfig::default() }
}

pub(crate) fn door(tenant: &str, principal: &str, session: &str) -> Visit {
    Isolated::new().tenant(tenant).principal(principal).session(session).visit()
}

pub(crate) fn request(message: &str) -> TurnRequest {
    TurnRequest { message: message.to_owned(), idempotency_key: None }
}

pub(crate) fn keyed(message: &str, key: &str) -> TurnRequest {
    TurnRequest { message: message.to_owned(), idempotency_key: Some(key.to_owned()) }
}

/// What a sink heard, as JSON.
#[derive(Clone, Default)]
pub(crate) struct Heard(Arc<Mutex<Vec<serde_json::Value>>>);

impl Heard {
    /// A sink of the current entry.
    pub(crate) fn sink(&self) -> EventSink {
        let heard = self.0.clone();
        EventSink::new(move |event: TurnEvent| {
            heard.lock().unwrap().push(serde_json::to_value(event).unwrap());
        })
        .unwrap()
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.0.lock().unwrap().iter().map(|event| event["event"].as_str().unwrap().to_owned()).collect()
    }

    pub(crate) fn all(&self) -> Vec<serde_json::Value> {
        self.0.lock().unwrap().clone()
    }
}

/// Names of the tenant files of a store, to see whether anything was opened.
pub(crate) fn tenant_files(folder: &Path) -> usize {
    let tenants = folder.join("data").join("tenants");
    std::fs::read_dir(tenants).map_or(0, Iterator::count)
}
