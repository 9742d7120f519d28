//! The MCP endpoint: which tools clients see, and the server that speaks for them. Agents have further tools, for the
//! conversation that they are in; those are not offered here. The server shows the offer, and every worker performs those
//! calls of it that are answered later.

use std::sync::Arc;
use std::time::Duration;

use haversack_agent::{Agents, tool};
use haversack_jobs::carried::CREDENTIAL;
use haversack_jobs::{Handlers, Jobs};
use haversack_mcp::{Allowed, Hints, JobTasks, McpOptions, McpServer, Offer, TaskMode, Withdrawn};

use crate::auth::Keyring;
use crate::code::Code;
use crate::config::Config;
use crate::problem::Fault;

/// What is offered to MCP clients, and how. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Mcp {
    offer: Offer,
    tasks: Offer,
    store: JobTasks,
    options: McpOptions,
    enabled: bool,
}

impl Mcp {
    /// The tools that stand for themselves: those of memory and knowledge, crews, and pipelines.
    ///
    /// # Errors
    /// [`Code::ConfigInvalid`] for a host or an origin that is none.
    pub(crate) fn new(
        config: &Config,
        agents: &Agents,
        jobs: &Jobs,
        keyring: &Keyring,
    ) -> Result<Self, Fault> {
        let invalid =
            |error: &dyn std::fmt::Display| Fault::new(Code::ConfigInvalid, format!("[mcp] {error}"));
        let crews = config.agent.crews.iter().map(|crew| crew.name.as_str());
        let pipelines = config.pipelines.tools.iter().map(|tool| tool.name.as_str());
        let names: Vec<&str> = tool::NAMES.into_iter().chain(crews).chain(pipelines).collect();
        let toolbox = agents.toolbox();
        let mut offer = Offer::new().of(toolbox, names.iter().copied()).map_err(|error| invalid(&error))?;
        for name in &names {
            offer = offer.with_hints(name, hints(name)).map_err(|error| invalid(&error))?;
        }
        let long = |name: &&&str| {
            toolbox.get(name).is_some_and(|tool| tool.background().is_some() || tool.time_limit().is_some())
        };
        let mut tasks = offer.clone();
        for name in names.iter().filter(long) {
            tasks = tasks.in_background(name, TaskMode::Optional).map_err(|error| invalid(&error))?;
        }
        let options = McpOptions {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            allowed: config.mcp.allowed().map_err(|error| invalid(&error))?,
            call_timeout: config.jobs.timeout(),
            // A call may be a crew, which takes what a turn takes.
            calls: config.limits.concurrent_turns,
            heartbeat: config.limits.heartbeat(),
            message_bytes: config.limits.body_bytes,
            instructions: config.mcp.instructions.clone(),
            session_idle: Duration::from_secs(config.mcp.session_idle_s),
            sessions: config.mcp.sessions,
            task_ttl: Some(config.jobs.result_ttl()),
            task_poll: POLL,
            withdrawn: Some(withdrawn(keyring)),
            ..McpOptions::default()
        };
        let store = JobTasks::new(jobs.clone())
            .timeout(config.jobs.timeout())
            .timeouts_of_tools(crate::work::limits_of_tools(config))
            .keep(config.jobs.result_ttl());
        Ok(Self { offer, tasks, store, options, enabled: config.mcp.enabled })
    }

    /// Lets a worker with these handlers perform what clients fetch later.
    pub(crate) fn handlers(&self, handlers: Handlers) -> Handlers {
        JobTasks::on(handlers, &self.tasks)
    }

    /// The endpoint over HTTP; `None` when the configuration turns it off.
    pub(crate) fn endpoint(&self) -> Option<McpServer> {
        let store = Arc::new(self.store.clone());
        self.enabled.then(|| McpServer::with_tasks(self.tasks.clone(), self.options.clone(), store))
    }

    /// The origins that are answered.
    pub(crate) fn allowed(&self) -> &Allowed {
        &self.options.allowed
    }

    /// A server for one client of this process. It has no worker, so every call is answered at once.
    ///
    /// # Errors
    /// [`Code::Internal`], which cannot happen: nothing of the offer demands tasks.
    pub(crate) fn alone(&self) -> Result<McpServer, Fault> {
        McpServer::new(self.offer.clone(), self.options.clone()).map_err(Fault::internal)
    }
}

/// A call ends when the key that asked for it is revoked. A client of standard input has no key.
fn withdrawn(keyring: &Keyring) -> Withdrawn {
    let keyring = keyring.clone();
    Withdrawn::new(move || {
        let (keyring, key) = (keyring.clone(), CREDENTIAL.bound());
        async move {
            match key {
                Some(key) => keyring.withdrawn(&key).await,
                None => std::future::pending().await,
            }
        }
    })
}

/// Returns the hints for a tool. Memory and knowledge are the server's own; crews and pipelines may do anything.
fn hints(name: &str) -> Hints {
    let looks = |title: &str| Hints {
        title: Some(title.to_owned()),
        read_only: Some(true),
        open_world: Some(false),
        ..Hints::default()
    };
    let notes = |title: &str, idempotent| Hints {
        title: Some(title.to_owned()),
        read_only: Some(false),
        destructive: Some(false),
        idempotent: Some(idempotent),
        open_world: Some(false),
    };
    match name {
        tool::RECALL => looks("Recall from memory"),
        tool::SEARCH_KNOWLEDGE => looks("Search the knowledge folder"),
        // What is remembered may take the place of an older fact, which stays on record.
        tool::REMEMBER => notes("Remember a fact", true),
        tool::NOTE_ATTEMPT => notes("Note an attempt", false),
        name => {
            let mut title = name.replace('_', " ");
            if let Some(first) = title.get_mut(..1) {
                first.make_ascii_uppercase();
            }
            Hints { title: Some(title), read_only: Some(false), ..Hints::default() }
        }
    }
}

/// How often clients should ask for a task.
const POLL: Duration = Duration::from_millis(500);
