//! The agents of an installation: one configuration, one model, one toolbox, any number of turns.
//!
//! [`Agents`] holds no tenant and no session; a turn takes both from the context in which it is made. The
//! server makes one and shares it; everything else is reached through it.

use std::sync::Arc;
use std::time::Duration;

use haversack::well_known::TENANT_ID;
use haversack::{Entry, FutureExt};
use haversack_memory::Memory;
use haversack_store::{Store, StoreError};
use serde_json::Value;
use tracing::Instrument;

use crate::agent::{AgentConfig, ConfigError, SpecialistConfig};
use crate::computing::Computing;
use crate::crew::{self, Members};
use crate::error::TurnError;
use crate::history::{Book, History, TenantHistory};
use crate::model::ChatModel;
use crate::specialist::{Desk, Specialist};
use crate::tool::dispatch::{Dispatch, caught};
use crate::tool::knowledge::Knowledge;
use crate::tool::{self, BackgroundRunner, Tool, ToolError, ToolOutput, Toolbox, missing_for};
use crate::turn::{FurtherWords, Turn, TurnId, TurnRequest};

/// The agents. Cheap to clone.
#[derive(Clone)]
pub struct Agents {
    shared: Arc<Shared>,
}

struct Shared {
    config: AgentConfig,
    store: Store,
    memory: Memory,
    /// Every tool, the crews included.
    tools: Toolbox,
    specialists: Vec<Specialist>,
    desk: Desk,
}

/// Agents that are being put together. Made by [`Agents::builder`].
#[must_use = "the agents are there when they are built"]
pub struct AgentsBuilder {
    config: AgentConfig,
    store: Store,
    memory: Memory,
    model: Arc<dyn ChatModel>,
    tools: Vec<Arc<dyn Tool>>,
    background: Option<Arc<dyn BackgroundRunner>>,
}

impl AgentsBuilder {
    /// More tools, which specialists get when the configuration names them. A tool with the name of one of this
    /// crate replaces it.
    pub fn tools(mut self, tools: impl IntoIterator<Item = Arc<dyn Tool>>) -> Self {
        self.tools.extend(tools);
        self
    }

    /// Who starts background tools. Without a runner they run as any other.
    pub fn background(mut self, runner: Arc<dyn BackgroundRunner>) -> Self {
        self.background = Some(runner);
        self
    }

    /// Checks the configuration and makes the agents.
    ///
    /// # Errors
    /// What is wrong with the configuration.
    pub fn build(self) -> Result<Agents, ConfigError> {
        let Self { config, store, memory, model, tools, background } = self;
        let computing = Computing::new();
        let knowledge = Knowledge::new(config.tools.knowledge.clone());
        let own: [Arc<dyn Tool>; 5] = [
            Arc::new(tool::remember(memory.clone())),
            Arc::new(tool::recall(memory.clone())),
            Arc::new(tool::note_attempt(memory.clone())),
            Arc::new(tool::forget(memory.clone())),
            Arc::new(tool::search_knowledge_in(knowledge, computing.clone())),
        ];
        let tools = Toolbox::new(own.into_iter().chain(tools));
        config.check(&tools.names().collect::<Vec<_>>())?;
        let dispatch = Dispatch {
            parallel: config.tools.parallel,
            timeout: Duration::from_secs(config.tools.timeout_s),
            // Four characters a token, and half of the budget for the results of one step.
            output_chars: config.limits.buffer_tokens.saturating_mul(2),
            background: None,
        };
        let mut desk = Desk { model, dispatch, computing, limits: config.limits.clone() };
        let members = specialists(&config, &tools);
        let members = Members { desk: &desk, memory: &memory, tools: &tools, specialists: &members };
        let crews = crew::crews(&config, &members)?;
        let tools = tools.with(crews.into_iter().map(|crew| Arc::new(crew) as Arc<dyn Tool>));
        let specialists = specialists(&config, &tools);
        // What a crew starts ends with the crew, so only a turn hands calls to the runner.
        desk.dispatch.background = background;
        Ok(Agents { shared: Arc::new(Shared { config, store, memory, tools, specialists, desk }) })
    }
}

/// The configured specialists, with those of their tools that are in the box.
fn specialists(config: &AgentConfig, tools: &Toolbox) -> Vec<Specialist> {
    let with_tools = |specialist: &SpecialistConfig| Specialist {
        name: specialist.name.clone(),
        description: specialist.description.clone(),
        prompt: specialist.prompt.clone(),
        tools: tools.pick(&specialist.tools),
    };
    config.specialists.iter().map(with_tools).collect()
}

impl Agents {
    /// Begins agents with the tools of this crate.
    pub fn builder(
        config: AgentConfig,
        store: Store,
        memory: Memory,
        model: Arc<dyn ChatModel>,
    ) -> AgentsBuilder {
        AgentsBuilder { config, store, memory, model, tools: Vec::new(), background: None }
    }

    /// Agents with the tools of this crate.
    ///
    /// # Errors
    /// What is wrong with the configuration.
    pub fn new(
        config: AgentConfig,
        store: Store,
        memory: Memory,
        model: Arc<dyn ChatModel>,
    ) -> Result<Self, ConfigError> {
        Self::builder(config, store, memory, model).build()
    }

    /// Agents with more tools, see [`AgentsBuilder::tools`].
    ///
    /// # Errors
    /// What is wrong with the configuration.
    pub fn with_tools(
        config: AgentConfig,
        store: Store,
        memory: Memory,
        model: Arc<dyn ChatModel>,
        tools: Vec<Arc<dyn Tool>>,
    ) -> Result<Self, ConfigError> {
        Self::builder(config, store, memory, model).tools(tools).build()
    }

    /// Makes a turn under the current entry. Nothing is read or written yet.
    ///
    /// # Errors
    /// [`TurnError::Unbound`] when tenant, principal or session are not bound; [`TurnError::Empty`].
    #[track_caller]
    pub fn turn(&self, request: TurnRequest) -> Result<Turn, TurnError> {
        let entry = Entry::current()?;
        TENANT_ID.with(|_| ())?;
        let book = Book::open(&self.shared.store)?;
        if request.message.trim().is_empty() {
            return Err(TurnError::Empty);
        }
        Ok(Turn {
            id: TurnId::mint()?,
            entry,
            request,
            further: FurtherWords::none(),
            agents: self.clone(),
            book,
            session: self.shared.memory.session()?,
            recall: self.shared.memory.recall()?,
        })
    }

    /// Runs one tool of any specialist in the context of this call, to its end: what a job does for a background
    /// tool. A panic is an error; the time limit is the context's `DEADLINE`.
    ///
    /// # Errors
    /// [`ToolError::Unbound`] outside any entry, or where a variable that the tool needs is not bound;
    /// [`ToolError::Unknown`]; else what the tool says.
    ///
    /// # Cancellation
    /// Dropping the future drops the call.
    #[track_caller]
    pub fn run_tool(
        &self,
        name: &str,
        arguments: Value,
    ) -> impl Future<Output = Result<ToolOutput, ToolError>> + Send + 'static + use<> {
        let entry = Entry::current();
        let tool = self.shared.tools.get(name).cloned();
        let name = tool.as_ref().map_or("unknown", |tool| &tool.spec().name);
        let span = tracing::info_span!("tool", name, ok = tracing::field::Empty);
        let run = async move {
            entry?.check("tool call")?;
            let tool = tool.ok_or(ToolError::Unknown)?;
            if let Some(variable) = missing_for(&*tool) {
                return Err(ToolError::Needs { variable });
            }
            tool.call(arguments).await
        };
        let work = async move {
            let outcome = caught(run).await;
            tracing::Span::current().record("ok", outcome.is_ok());
            outcome
        };
        work.instrument(span).in_current_context()
    }

    /// The tool of this name, whichever specialist has it.
    #[must_use]
    pub fn tool(&self, name: &str) -> Option<&dyn Tool> {
        self.shared.tools.get(name).map(|tool| &**tool)
    }

    /// Every tool that there is, the crews included: for whoever offers them elsewhere.
    #[must_use]
    pub fn toolbox(&self) -> &Toolbox {
        &self.shared.tools
    }

    /// The history of the context's principal.
    ///
    /// # Errors
    /// [`StoreError::Unbound`] when tenant or principal are not bound.
    #[track_caller]
    pub fn history(&self) -> Result<History, StoreError> {
        History::open(&self.shared.store)
    }

    /// The history of the whole tenant, where a door allows it.
    ///
    /// # Errors
    /// [`StoreError::Unbound`] where [`crate::history::TENANT_WIDE`] is not bound.
    #[track_caller]
    pub fn tenant_history(&self) -> Result<TenantHistory, StoreError> {
        TenantHistory::open(&self.shared.store)
    }

    /// The configuration, with every default filled in.
    #[must_use]
    pub fn config(&self) -> &AgentConfig {
        &self.shared.config
    }

    /// The model that answers.
    #[must_use]
    pub fn model(&self) -> &dyn ChatModel {
        &*self.shared.desk.model
    }

    pub(crate) fn specialists(&self) -> &[Specialist] {
        &self.shared.specialists
    }

    pub(crate) fn desk(&self) -> &Desk {
        &self.shared.desk
    }

    pub(crate) fn memory(&self) -> &Memory {
        &self.shared.memory
    }
}

impl std::fmt::Debug for Agents {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<&str> = self.specialists().iter().map(|s| s.name.as_str()).collect();
        f.debug_struct("Agents").field("model", &self.model().name()).field("specialists", &names).finish()
    }
}
