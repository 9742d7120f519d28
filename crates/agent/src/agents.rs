//! The agents of an installation: one configuration, one model, one toolbox, any number of turns.
//!
//! [`Agents`] holds no tenant and no session; a turn takes both from the context in which it is made. The
//! server makes one and shares it; everything else is reached through it.

use std::sync::Arc;
use std::time::Duration;

use haversack::Entry;
use haversack::well_known::TENANT_ID;
use haversack_memory::Memory;
use haversack_store::{Store, StoreError};

use crate::agent::{AgentConfig, ConfigError};
use crate::error::TurnError;
use crate::history::{Book, History};
use crate::model::ChatModel;
use crate::specialist::Specialist;
use crate::tool::dispatch::Dispatch;
use crate::tool::knowledge::Knowledge;
use crate::tool::{self, Tool, Toolbox};
use crate::turn::{Turn, TurnId, TurnRequest};

/// The agents. Cheap to clone.
#[derive(Clone)]
pub struct Agents {
    shared: Arc<Shared>,
}

struct Shared {
    config: AgentConfig,
    store: Store,
    memory: Memory,
    model: Arc<dyn ChatModel>,
    specialists: Vec<Specialist>,
    dispatch: Dispatch,
}

impl Agents {
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
        Self::with_tools(config, store, memory, model, Vec::new())
    }

    /// Agents with more tools, which specialists get when the configuration names them. A tool with the name
    /// of one of this crate replaces it.
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
        let knowledge = Knowledge::new(config.tools.knowledge.clone());
        let own: [Arc<dyn Tool>; 4] = [
            Arc::new(tool::remember(memory.clone())),
            Arc::new(tool::recall(memory.clone())),
            Arc::new(tool::note_attempt(memory.clone())),
            Arc::new(tool::search_knowledge(knowledge)),
        ];
        let toolbox = Toolbox::new(own.into_iter().chain(tools));
        config.check(&toolbox.names().collect::<Vec<_>>())?;
        let specialists = config.specialists.iter().map(|specialist| Specialist {
            name: specialist.name.clone(),
            description: specialist.description.clone(),
            prompt: specialist.prompt.clone(),
            tools: toolbox.pick(&specialist.tools),
        });
        let specialists = specialists.collect();
        let dispatch = Dispatch {
            parallel: config.tools.parallel,
            timeout: Duration::from_secs(config.tools.timeout_s),
            // Four characters a token, and half of the budget for the results of one step.
            output_chars: config.limits.buffer_tokens.saturating_mul(2),
        };
        let shared = Shared { config, store, memory, model, specialists, dispatch };
        Ok(Self { shared: Arc::new(shared) })
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
            agents: self.clone(),
            book,
            session: self.shared.memory.session()?,
            recall: self.shared.memory.recall()?,
        })
    }

    /// The history of the context's principal.
    ///
    /// # Errors
    /// [`StoreError::Unbound`] when tenant or principal are not bound.
    #[track_caller]
    pub fn history(&self) -> Result<History, StoreError> {
        History::open(&self.shared.store)
    }

    /// The configuration, with every default filled in.
    #[must_use]
    pub fn config(&self) -> &AgentConfig {
        &self.shared.config
    }

    /// The model that answers.
    #[must_use]
    pub fn model(&self) -> &dyn ChatModel {
        &*self.shared.model
    }

    pub(crate) fn specialists(&self) -> &[Specialist] {
        &self.shared.specialists
    }

    pub(crate) fn dispatch(&self) -> &Dispatch {
        &self.shared.dispatch
    }
}

impl std::fmt::Debug for Agents {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<&str> = self.specialists().iter().map(|s| s.name.as_str()).collect();
        f.debug_struct("Agents").field("model", &self.model().name()).field("specialists", &names).finish()
    }
}
