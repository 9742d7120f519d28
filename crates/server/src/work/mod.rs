//! Work that outlives its request: jobs and what they do, pipelines, tools in the background, and the way their results
//! come home. The engine opens it, a worker does it, in this process or in another; whoever submits captures the context,
//! and whoever works restores it.

pub mod background;
pub mod manifest;
pub mod outbox;
pub mod pipelines;
pub mod posted;
pub mod sessions;
mod step_progress;
mod worker;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use haversack_agent::Agents;
use haversack_agent::tool::{BackgroundRunner, Tool};
use haversack_child::Confinement;
use haversack_gateway::ledger::Ledger;
use haversack_jobs::carried::CREDENTIAL;
use haversack_jobs::{Handlers, JobOptions, Jobs, NewJob, Permission, WorkerOptions};
use haversack_pipeline::{PipelineOptions, Pipelines};
use haversack_store::{KeyFile, Store};

use crate::auth::Keyring;
use crate::config::Config;
use crate::telemetry::Journal;
use background::{Results, Runner};
use pipelines::{Catalogue, Seat, ToolSteps};

pub use worker::{Work, Working};

/// What every job of this program is submitted with.
#[derive(Debug, Clone)]
pub(crate) struct Rules {
    timeout: Duration,
    max_attempts: u32,
    keep: Duration,
    of_tools: Arc<BTreeMap<String, Option<Duration>>>,
}

impl Rules {
    fn new(config: &Config) -> Self {
        let jobs = &config.jobs;
        Self {
            timeout: jobs.timeout(),
            max_attempts: jobs.max_attempts,
            keep: jobs.result_ttl(),
            of_tools: Arc::new(limits_of_tools(config)),
        }
    }

    pub(crate) fn apply(&self, job: NewJob) -> NewJob {
        job.timeout(self.timeout).max_attempts(self.max_attempts).keep(self.keep)
    }

    /// The rules of a job that executes a run. The steps have limits of their own; a limit of the job would kill a step and
    /// begin it again.
    pub(crate) fn apply_to_run(&self, job: NewJob) -> NewJob {
        self.apply(job).without_timeout()
    }

    /// The rules of a job that runs this tool. A tool with a limit of its own has that one.
    pub(crate) fn apply_to_tool(&self, tool: &str, job: NewJob) -> NewJob {
        let job = self.apply(job);
        match self.of_tools.get(tool) {
            Some(None) => job.without_timeout(),
            Some(Some(limit)) => job.timeout(*limit),
            None => job,
        }
    }
}

/// How much longer than the crew's own limit the job of a crew may take. The crew ends by itself before.
const AFTER_A_CREW: Duration = Duration::from_secs(30);

/// The limits of tools that have one of their own, in the place of `[jobs] timeout_s`: crews, and pipelines, which have
/// none (`None`), because their steps do.
pub(crate) fn limits_of_tools(config: &Config) -> BTreeMap<String, Option<Duration>> {
    let crews = config.agent.crews.iter().map(|crew| {
        let limit = Duration::from_secs(crew.timeout_s) + AFTER_A_CREW;
        (crew.name.clone(), Some(limit))
    });
    let pipelines = config.pipelines.tools.iter().map(|tool| (tool.name.clone(), None));
    crews.chain(pipelines).collect()
}

/// What agents need of the work before they are made.
pub(crate) struct Before {
    pub(crate) jobs: Jobs,
    rules: Rules,
    catalogue: Catalogue,
    seat: Seat,
    keys: KeyFile,
    confinement: Confinement,
}

impl Before {
    /// The jobs in a store, sealed with `keys`.
    pub(crate) fn new(config: &Config, store: &Store, keys: &KeyFile, confinement: Confinement) -> Self {
        let jobs = Jobs::new(store.clone(), keys.clone(), &manifest::JOB, JobOptions::default());
        let rules = Rules::new(config);
        Self {
            jobs,
            rules,
            catalogue: Catalogue::new(config.pipelines.folder.clone()),
            seat: Seat::default(),
            keys: keys.clone(),
            confinement,
        }
    }

    /// Who starts background tools.
    pub(crate) fn runner(&self) -> Arc<dyn BackgroundRunner> {
        Arc::new(Runner { jobs: self.jobs.clone(), rules: self.rules.clone() })
    }

    /// The configured pipelines, as tools.
    pub(crate) fn tools(&self, config: &Config) -> Vec<Arc<dyn Tool>> {
        pipelines::tools(&config.pipelines.tools, &self.catalogue, &self.seat)
    }

    /// The whole, when the agents are there.
    pub(crate) fn with(
        self,
        config: &Config,
        store: &Store,
        agents: &Agents,
        journal: &Journal,
        ledger: &Ledger,
        keyring: &Keyring,
    ) -> Work {
        let keys = self.keys;
        let runs = config.pipelines.runs.clone().unwrap_or_else(|| config.store.path.join("runs"));
        let options = options(config, &runs, agents).confinement(self.confinement);
        let pipelines = Pipelines::new(store.clone(), keys, options);
        self.seat.take(pipelines.clone(), journal.clone(), agents.clone());
        let results = Results { agents: agents.clone(), ledger: ledger.clone() };
        let recorder = journal.clone();
        let handlers = Handlers::new().around(move |job, attempt| {
            let unit = recorder.unit(crate::telemetry::Kind::Job, job.as_str(), attempt);
            Box::pin(unit)
        });
        let keyring = keyring.clone();
        let handlers = handlers.permitted(move || {
            let (keyring, key) = (keyring.clone(), CREDENTIAL.bound());
            async move {
                match key {
                    Some(key) => keyring.permission(&key).await,
                    // It was asked for by a signed message, a schedule or a command.
                    None => Some(Permission::Granted),
                }
            }
        });
        let handlers = background::handlers(handlers, agents.clone(), pipelines.clone(), results.clone());
        let handlers = sessions::handlers(handlers, agents.clone());
        let handlers = pipelines::handlers(handlers, pipelines.clone(), journal.clone(), results);
        let worker = WorkerOptions {
            concurrency: config.jobs.concurrency,
            share: Some(config.jobs.share()),
            lease: config.jobs.lease(),
            grace: config.server.grace(),
            ..WorkerOptions::default()
        };
        Work {
            jobs: self.jobs,
            rules: self.rules,
            pipelines,
            keep_runs: config.pipelines.keep(),
            catalogue: self.catalogue,
            handlers,
            worker,
        }
    }
}

fn options(config: &Config, runs: &Path, agents: &Agents) -> PipelineOptions {
    let options = PipelineOptions::new(runs)
        .secrets(pipelines::secrets(&config.pipelines))
        .path(config.pipelines.child_path.clone())
        .children(config.pipelines.children)
        .code(env!("CARGO_PKG_VERSION"))
        .runner(pipelines::TOOL_STEPS, Arc::new(ToolSteps(agents.clone())));
    match config.pipelines.children_per_tenant {
        Some(share) => options.children_per_tenant(share),
        None => options,
    }
}
