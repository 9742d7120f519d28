//! Pipelines of an installation: the files in their folder, the secrets of each tenant, runs as jobs, and pipelines that
//! agents may run as tools. A run is started where it is asked for and executed by a worker, which restores the context
//! of whoever asked.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;

use haversack::well_known::{SESSION_ID, TENANT_ID};
use haversack_agent::Agents;
use haversack_agent::tool::{Tool, ToolError, ToolOutput, tool};
use haversack_jobs::current::{ATTEMPT, JOB_ID};
use haversack_jobs::{Args, Failure, FailureKind, Finished, Handlers, NewJob, State};
use haversack_pipeline::run::{self, RunId, RunStatus, RunView};
use haversack_pipeline::secrets::{self, Secret};
use haversack_pipeline::{
    Parameters, Pipeline, PipelineError, PipelineOptions, Pipelines, StepCall, StepFailure, StepFuture,
    StepOutput, StepRunner,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::background::Results;
use super::step_progress::reported;
use super::{Work, posted};
use crate::auth::name::session_name;
use crate::code::Code;
use crate::config::{self, PipelineTool};
use crate::problem::Fault;
use crate::telemetry::Journal;
use crate::telemetry::Kind;

/// The handler of runs.
pub const RUN: &str = "pipeline";

/// What a job of [`RUN`] is given.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RunJob {
    /// The run.
    pub run: String,
    /// The number of the event that asked for this try.
    pub asked: u64,
}

/// The pipelines that are configured, by name. They are read anew at each use, so that a changed file is a changed
/// pipeline; a run keeps the definition that it was started with.
#[derive(Debug, Clone, Default)]
pub struct Catalogue {
    folder: Option<PathBuf>,
}

impl Catalogue {
    /// The pipelines in this folder, if there is one.
    pub fn new(folder: Option<PathBuf>) -> Self {
        Self { folder }
    }

    /// The names that there are, sorted.
    ///
    /// # Errors
    /// [`Code::PipelineNotFound`] when the folder cannot be listed.
    pub fn names(&self) -> Result<Vec<String>, Fault> {
        let Some(folder) = &self.folder else { return Ok(Vec::new()) };
        let entries = std::fs::read_dir(folder).map_err(|error| unreadable(folder, &error))?;
        let mut names = Vec::new();
        for entry in entries {
            let path = entry.map_err(|error| unreadable(folder, &error))?.path();
            if path.extension().is_some_and(|extension| extension == "yaml")
                && let Some(name) = path.file_stem().and_then(|name| name.to_str())
            {
                names.push(name.to_owned());
            }
        }
        names.sort();
        Ok(names)
    }

    /// The files of the pipelines, in the order of their names.
    ///
    /// # Errors
    /// As [`names`](Self::names).
    pub fn files(&self) -> Result<Vec<PathBuf>, Fault> {
        let Some(folder) = &self.folder else { return Ok(Vec::new()) };
        Ok(self.names()?.iter().map(|name| folder.join(format!("{name}.yaml"))).collect())
    }

    /// The pipeline of this name.
    ///
    /// # Errors
    /// [`Code::PipelineNotFound`], [`Code::PipelineInvalid`].
    pub fn get(&self, name: &str) -> Result<Pipeline, Fault> {
        // A name is one word, so it leads to no other folder.
        let plain = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b));
        let path = self.folder.as_ref().filter(|_| plain).map(|folder| folder.join(format!("{name}.yaml")));
        let path = path.filter(|path| path.is_file()).ok_or_else(|| {
            Fault::new(
                Code::PipelineNotFound,
                "There is no pipeline of this name; the list shows what there is.",
            )
        })?;
        read(&path)
    }
}

/// The pipeline in a file, named as the file.
///
/// # Errors
/// [`Code::PipelineNotFound`] when it cannot be read, [`Code::PipelineInvalid`].
pub fn read(path: &Path) -> Result<Pipeline, Fault> {
    let text = std::fs::read_to_string(path).map_err(|error| unreadable(path, &error))?;
    Pipeline::from_yaml(&name_of(path), &text).map_err(|error| {
        let place = path.file_name().unwrap_or_default().display();
        Fault::new(Code::PipelineInvalid, format!("{place}: {error}"))
    })
}

/// Everything that is wrong with the pipeline in a file, also what this program could not run; empty when it is as it must
/// be. Opens nothing but the file.
///
/// # Errors
/// [`Code::PipelineNotFound`] when it cannot be read.
pub fn check(path: &Path) -> Result<Vec<String>, Fault> {
    let text = std::fs::read_to_string(path).map_err(|error| unreadable(path, &error))?;
    Ok(match Pipeline::from_yaml(&name_of(path), &text) {
        Ok(pipeline) => {
            // Only the kind of a runner is looked at, so nobody needs to be there for it.
            let known = PipelineOptions::new("").runner(TOOL_STEPS, Arc::new(Absent));
            known.check(&pipeline).iter().map(ToString::to_string).collect()
        }
        Err(PipelineError::Invalid(findings)) => findings.iter().map(ToString::to_string).collect(),
        Err(error) => vec![error.to_string()],
    })
}

fn name_of(path: &Path) -> String {
    path.file_stem().and_then(|name| name.to_str()).unwrap_or("pipeline").to_owned()
}

fn unreadable(path: &Path, error: &std::io::Error) -> Fault {
    Fault::new(Code::PipelineNotFound, format!("{} cannot be read: {error}", path.display()))
}

/// The secrets of the tenant in whose context a run works, and of no other.
pub(super) fn secrets(config: &config::Pipelines) -> Arc<dyn secrets::Secrets> {
    let by_tenant: Arc<BTreeMap<_, _>> = Arc::new(config.secrets.clone());
    secrets::from_fn(move |name| {
        let reference = TENANT_ID
            .with(|tenant| by_tenant.get(tenant.as_str()).and_then(|secrets| secrets.get(&name)).cloned());
        async move {
            let reference = reference.map_err(|missing| secrets::SecretsError(missing.to_string()))?;
            let Some(reference) = reference else { return Ok(None) };
            match config::read_secret(&reference) {
                Ok(secret) => Ok(Some(Secret::new(secret.expose()))),
                Err(why) => {
                    // Where the secret should be is the operator's business; the run's log is the tenant's.
                    tracing::error!(%reference, why, "a secret of a pipeline cannot be read");
                    Err(secrets::SecretsError(
                        "it is configured and cannot be read; ask the operator".to_owned(),
                    ))
                }
            }
        }
    })
}

/// The kind of steps that run a tool of the agents.
pub(super) const TOOL_STEPS: &str = "tool";

/// Stands where a runner would, for a check.
#[derive(Debug)]
struct Absent;

impl StepRunner for Absent {
    fn run(&self, _: StepCall) -> StepFuture {
        Box::pin(async { Err(StepFailure::new("nothing runs in a check")) })
    }
}

/// Runs a tool of the agents as a step, `command_type: tool`: its arguments are the parameters that the step sees.
pub(super) struct ToolSteps(pub(super) Agents);

impl fmt::Debug for ToolSteps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ToolSteps").finish_non_exhaustive()
    }
}

impl StepRunner for ToolSteps {
    fn run(&self, call: StepCall) -> StepFuture {
        let arguments =
            call.parameters().iter().map(|(name, value)| (name.to_owned(), value.clone())).collect();
        let running = self.0.run_tool(call.command(), serde_json::Value::Object(arguments));
        Box::pin(async move {
            let output = running.await.map_err(|error| match &error {
                ToolError::Unknown | ToolError::NotHere(_) => StepFailure::not_here(error.for_model()),
                _ => StepFailure::new(error.for_model()),
            })?;
            let text = output.into_text();
            let value = serde_json::from_str(&text).unwrap_or(serde_json::Value::String(text));
            Ok(StepOutput::value(value))
        })
    }
}

/// Adds the handler of runs.
pub(super) fn handlers(
    handlers: Handlers,
    pipelines: Pipelines,
    journal: Journal,
    results: Results,
) -> Handlers {
    handlers.on(RUN, move |Args(job): Args<RunJob>| {
        let (pipelines, journal, results) = (pipelines.clone(), journal.clone(), results.clone());
        async move {
            let run = RunId::new(job.run)?;
            let id = run.as_str().to_owned();
            let ended = journal.unit(Kind::Run, &id, async { pipelines.execute(&run).await }).await;
            let ended = ended.map_err(failure)?;
            tracing::debug!(run = %id, status = ended.entry.status.name(), "a run was executed");
            results.bring(&ended.entry.pipeline, &told(&ended)).await?;
            match ended.entry.status {
                RunStatus::Succeeded => Ok(ended),
                _ => Err(Failure::permanent(told(&ended)).with_code(Code::RunFailed.id())),
            }
        }
    })
}

fn failure(error: PipelineError) -> Failure {
    match error {
        // Whoever took over goes on; this attempt has nothing left to do.
        PipelineError::TakenOver | PipelineError::UnknownRun => {
            Failure::permanent(error.to_string()).with_code(Code::RunRefused.id())
        }
        PipelineError::NotHere(_) => Failure::not_here(error.to_string()),
        other => other.into(),
    }
}

/// Whether a job failed of what it did: its run has ended and says so, it was refused, or another executor has its run. Of
/// all else, like a store that could not be written, the handler gives no code.
pub(super) fn said_so(finished: &Finished) -> bool {
    finished.failure == Some(FailureKind::Handler) && finished.code.is_some()
}

/// Ends the run of a job that came to no end of its own, so that it is not `running` for ever: its worker died over it, its
/// time was up at the last attempt, it was called off, or the handler met something that is not the run's.
pub(super) async fn give_up(pipelines: &Pipelines, finished: &Finished) -> Result<(), Failure> {
    if said_so(finished) {
        return Ok(());
    }
    let reason = match (finished.state, finished.failure) {
        (State::Succeeded, _) => return Ok(()),
        (State::Cancelled, Some(FailureKind::Withdrawn)) => {
            "the key that it was started with was revoked; a retry goes on where it stopped"
        }
        (State::Cancelled, _) => "its job was called off; a retry goes on where it stopped",
        (State::Quarantined, _) => {
            "its worker died over it again and again; see what its last step takes, a retry goes on where it stopped"
        }
        (_, Some(FailureKind::TimedOut | FailureKind::Deadline)) => {
            "the time of its job was up; a retry goes on where it stopped, and has no such limit"
        }
        _ => "its job failed before it had ended; a retry goes on where it stopped",
    };
    let (run, asked) = match finished.handler.as_str() {
        RUN => match serde_json::from_slice::<RunJob>(&finished.arguments) {
            Ok(job) => (job.run, job.asked),
            Err(_) => return Ok(()),
        },
        // The run of a background tool. Redriving the job retries the run, so whichever try stands is the job's.
        _ => {
            let run = RunId::new(of_job(finished.id.as_str()))?;
            match pipelines.entry(&run).await {
                Ok(entry) => (String::from(run), entry.asked),
                Err(PipelineError::UnknownRun) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    };
    let cancelled = finished.state == State::Cancelled;
    Ok(pipelines.give_up(&RunId::new(run)?, asked, cancelled, reason).await?)
}

/// The name of the run that a background tool's job starts.
fn of_job(job: &str) -> String {
    format!("run-{job}")
}

/// The name of a run that is started now, by a job or by a step of a run of that job: a job has one run of its own, and each
/// step another.
fn of_work(job: &str) -> String {
    match (run::RUN.bound(), run::STEP.bound()) {
        (Some(outer), Some(step)) => {
            let asked = format!("{job}\n{outer}\n{step}");
            format!("run-step-{}", crate::auth::key::hex(&Sha256::digest(asked)[..16]))
        }
        _ => of_job(job),
    }
}

/// The longest text of an output, and how many outputs are named, in what is told of a run. The run has them whole.
const LONGEST: usize = 400;
const MOST: usize = 20;

/// The end of a run in words, for whoever asked for it, with the last lines that a failed step printed.
pub fn told(run: &RunView) -> String {
    let name = &run.entry.pipeline;
    match (run.entry.status, &run.reason) {
        (RunStatus::Succeeded, _) => {
            let given =
                run.outputs.iter().take(MOST).map(|(name, value)| format!(" {name}: {}", short(value)));
            let given = given.collect::<Vec<_>>().join(",");
            format!("The pipeline {name} succeeded.{given}")
        }
        (status, Some(reason)) => {
            let printed =
                run.last_lines.as_ref().map(|lines| format!("\nThe last lines of its output:\n{lines}"));
            format!("The pipeline {name} ended as {}: {reason}{}", status.name(), printed.unwrap_or_default())
        }
        (status, None) => format!("The pipeline {name} ended as {}.", status.name()),
    }
}

fn short(value: &serde_json::Value) -> String {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{} [...]", &text[..end]),
        None => text,
    }
}

/// Starts a run and submits the job that executes it; a run that was started before is left as it is. In the context of
/// this call.
///
/// # Errors
/// The pipeline's and the jobs' faults. A run that was started and not submitted is executed by a later call of the same
/// key.
pub async fn start(
    work: &Work,
    pipeline: &Pipeline,
    parameters: Parameters,
    key: RunId,
) -> Result<haversack_pipeline::Started, Fault> {
    let started = begin(work, pipeline, parameters, key).await?;
    submit(work, &started.run).await?;
    Ok(started)
}

/// Executes a run here and now, as a unit of the journal; a run that has ended is told as it ended. In the
/// context of this call.
///
/// # Errors
/// The pipeline's faults. A run that fails is none: its view says so.
///
/// # Cancellation
/// Dropping the future ends what the run started; the next call of the same key goes on with it.
pub async fn execute(work: &Work, journal: &Journal, run: &RunId) -> Result<RunView, Fault> {
    let (id, pipelines) = (run.as_str().to_owned(), work.pipelines());
    match journal.unit(Kind::Run, &id, async { pipelines.execute(run).await }).await {
        Err(error @ PipelineError::NotHere(_)) => {
            // No other worker looks for it.
            let asked = pipelines.entry(run).await?.asked;
            pipelines.give_up(run, asked, false, &error.to_string()).await?;
            Ok(pipelines.get(run).await?)
        }
        ended => Ok(ended?),
    }
}

/// Writes a run down without submitting anything. A key that names a run of another pipeline is refused.
///
/// # Errors
/// The pipeline's faults; [`Code::RunRefused`].
pub async fn begin(
    work: &Work,
    pipeline: &Pipeline,
    parameters: Parameters,
    key: RunId,
) -> Result<haversack_pipeline::Started, Fault> {
    let started = work.pipelines().start(pipeline, parameters, key).await?;
    if started.run.entry.pipeline != pipeline.name() {
        return Err(Fault::new(
            Code::RunRefused,
            "This key names a run of another pipeline; choose another key.",
        ));
    }
    Ok(started)
}

/// Submits the job that executes a run, unless the run has ended or has a job that is not over: so one whose job failed for
/// good, or whose executor died with nobody to follow it, is driven again.
///
/// # Errors
/// The jobs' faults.
pub async fn submit(work: &Work, run: &RunView) -> Result<(), Fault> {
    if run.entry.status.is_ended() {
        return Ok(());
    }
    let job = RunJob { run: run.entry.run.as_str().to_owned(), asked: run.entry.asked };
    // What asked for it tells one try from the next: the job of the one before may still be at its last words, and would
    // take this one for itself.
    let key = posted::own(&run.entry.principal, &format!("{}.{}", run.entry.run, run.entry.asked));
    work.submit_run(NewJob::new(RUN, &job)?.key(key)).await?;
    Ok(())
}

#[derive(Deserialize, JsonSchema)]
struct Asked {
    /// What was asked for, in the words of whoever asked.
    request: String,
}

/// The pipelines that agents may run, as tools. Each starts a run in the context of the turn and says that it did; the end
/// comes later.
pub(super) fn tools(tools: &[PipelineTool], catalogue: &Catalogue, seat: &Seat) -> Vec<Arc<dyn Tool>> {
    let made = tools.iter().map(|config| {
        let (pipeline, catalogue, seat) = (config.pipeline.clone(), catalogue.clone(), seat.clone());
        let run = move |asked: Asked| {
            let (pipeline, catalogue, seat) = (pipeline.clone(), catalogue.clone(), seat.clone());
            async move {
                let pipeline = catalogue.get(&pipeline).map_err(absent)?;
                let parameters = Parameters::new().with("request", asked.request);
                let ended = seat.execute(&pipeline, parameters).await?;
                match ended.entry.status {
                    RunStatus::Succeeded => ToolOutput::json(&told(&ended)),
                    _ => Err(ToolError::Failed(told(&ended))),
                }
            }
        };
        let tool = tool(&config.name, &config.description, run).in_background();
        Arc::new(tool) as Arc<dyn Tool>
    });
    made.collect()
}

/// Where tools find the pipelines, which are made after the agents that have the tools.
#[derive(Clone, Default)]
pub(super) struct Seat(Arc<std::sync::OnceLock<(Pipelines, Journal, Agents)>>);

impl Seat {
    pub(super) fn take(&self, pipelines: Pipelines, journal: Journal, agents: Agents) {
        // Filled once, by the engine that made it.
        let _ = self.0.set((pipelines, journal, agents));
    }

    /// Runs a pipeline to its end, under the name of the job that does it and of the step that asked, so that a second
    /// delivery goes on with the first one's run. If the job was redriven, or the step is tried again, a run that failed
    /// before is retried: what succeeded is kept. A run whose session was deleted is not begun anew.
    async fn execute(&self, pipeline: &Pipeline, parameters: Parameters) -> Result<RunView, ToolError> {
        let (pipelines, journal, agents) = self.0.get().ok_or(ToolError::NotStarted(None))?;
        let key = JOB_ID.bound().map_or_else(fresh, |job| Ok(of_work(job.as_str()))).map_err(not_started)?;
        let key = RunId::new(key).map_err(not_started)?;
        // Sessions of other doors have no history, and names that none of the chat can have.
        if let Some(session) = SESSION_ID.bound()
            && session_name(session.as_str()).is_ok()
            && !agents.history()?.has(&session).await?
        {
            return Err(ToolError::Refused("the session that asked for it is deleted"));
        }
        let started = pipelines.start(pipeline, parameters, key).await.map_err(not_started)?;
        let (run, status) = (started.run.entry.run, started.run.entry.status);
        let mut asked = started.run.entry.asked;
        let redriven = ATTEMPT.bound().is_some_and(|attempt| attempt.drive() > 1);
        let again = match status {
            RunStatus::Failed => redriven || run::STEP.bound().is_some(),
            RunStatus::Cancelled => redriven,
            _ => false,
        };
        if started.existing && again {
            asked = pipelines.retry(&run).await.map_err(not_started)?.entry.asked;
        }
        let id = run.as_str().to_owned();
        // Outside a job its name is known to nobody, so no later call goes on with it.
        let alone = JOB_ID.bound().is_none();
        let mut abandon = alone.then(|| {
            let reason = "the call that asked for it ended before it did";
            Abandon(Some(Box::pin(pipelines.give_up(&run, asked, true, reason))))
        });
        let executed = async { reported(pipelines, &run, pipelines.execute(&run)).await };
        let ended = journal.unit(Kind::Run, &id, executed).await;
        if let Some(abandon) = &mut abandon {
            abandon.0 = None;
        }
        match ended {
            Ok(ended) => Ok(ended),
            Err(PipelineError::TakenOver | PipelineError::UnknownRun) => {
                Err(ToolError::Refused("the run was deleted, or another executor has it"))
            }
            Err(error @ (PipelineError::Stopped | PipelineError::NotHere(_))) if alone => {
                let stopped = matches!(error, PipelineError::Stopped);
                let reason = match stopped {
                    true => "the call that asked for it was cancelled".to_owned(),
                    false => error.to_string(),
                };
                pipelines.give_up(&run, asked, stopped, &reason).await.map_err(not_started)?;
                Err(ToolError::Failed(reason))
            }
            Err(error @ PipelineError::NotHere(_)) => Err(ToolError::NotHere(error.to_string())),
            Err(other) => Err(not_started(other)),
        }
    }
}

/// Gives up the run of a call that is dropped before the run has ended: its time was up, or its caller went away.
struct Abandon(Option<GivingUp>);

type GivingUp = Pin<Box<dyn Future<Output = Result<(), PipelineError>> + Send>>;

impl Drop for Abandon {
    fn drop(&mut self) {
        // Without a runtime the process ends, and so does everything that it runs.
        if let Some(giving_up) = self.0.take()
            && tokio::runtime::Handle::try_current().is_ok()
        {
            haversack::spawn_detached(async move {
                if let Err(error) = giving_up.await {
                    tracing::warn!(%error, "a run that nobody waits for could not be given up");
                }
            });
        }
    }
}

/// A name for a run that nobody names.
pub(crate) fn fresh() -> Result<String, getrandom::Error> {
    let mut bytes = [0_u8; 16];
    getrandom::fill(&mut bytes)?;
    Ok(format!("run-{}", crate::auth::key::hex(&bytes)))
}

/// A pipeline that this process does not have may be on another machine's disk.
fn absent(fault: Fault) -> ToolError {
    match fault.code() {
        Code::PipelineNotFound => ToolError::NotHere("the pipeline of this tool is not here".to_owned()),
        Code::PipelineInvalid => ToolError::Failed(fault.detail().to_owned()),
        _ => not_started(fault),
    }
}

fn not_started(error: impl std::error::Error + Send + Sync + 'static) -> ToolError {
    ToolError::NotStarted(Some(Box::new(error)))
}
