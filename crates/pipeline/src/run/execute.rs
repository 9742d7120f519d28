//! The executor: takes a run for a generation, walks its graph, and writes down what happens.
//!
//! There is one for each call of `execute`. It takes over whatever ran before, and everything it writes compares its
//! generation, so that of two executors the later one wins and the earlier one changes nothing more. The walk follows
//! `next` and `on_failure`; composites are walked by [`composite`](super::composite).

use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use haversack::well_known::{CANCEL, TRACE_CONTEXT, TraceContext};
use haversack_store::now_millis;
use tokio::sync::watch;
use tracing::Instrument;

use super::chain::Chain;
use super::past::Past;
use super::{RUN, RunId, RunStatus, RunView, STEP, StepPath, Stop};
use crate::PipelineError;
use crate::catalog::RunFolder;
use crate::check::join;
use crate::node::{Dag, Node, Step, Task};
use crate::parameters::{Values, digest, hex};
use crate::pipeline::Pipeline;
use crate::pipelines::Shared;
use crate::run_log::{
    AttemptStatus, Inputs, OwnRows, Standing, Taken, What, append, claim, find, opened, standing, taken,
};
use crate::step::{Attempt, Ended, Outcome, end_orphan};

/// Up to so many inputs are named each; of more, only those that the step declares.
const NAMED: usize = 32;
/// How often the run's row is looked at while a step works, if the control file changed.
const LOOK: Duration = Duration::from_millis(500);

/// What works on one run.
pub(crate) struct Executor {
    pub(super) shared: Arc<Shared>,
    pub(super) rows: OwnRows,
    pub(super) run: RunId,
    /// The run's own id: another run may be called as this one, before it and after it.
    pub(super) id: String,
    pub(super) generation: u64,
    pub(super) stop: Stop,
    pub(super) wrote: watch::Sender<u64>,
    pub(super) past: Past,
    folder: RunFolder,
    trace: String,
    /// The names that the pipeline's author wrote.
    named: BTreeSet<String>,
}

/// Why a walk stopped before its end.
pub(super) enum Halt {
    Cancelled,
    Error(PipelineError),
}

impl From<PipelineError> for Halt {
    fn from(error: PipelineError) -> Self {
        Self::Error(error)
    }
}

/// Where a walk ended.
pub(super) enum Walked {
    Succeeded,
    Failed(Why),
}

/// Why a step failed.
#[derive(Clone, Debug)]
pub(super) struct Why {
    /// Which step, and why.
    pub(super) reason: String,
    /// The last lines that it printed.
    pub(super) last_lines: Option<String>,
}

impl<S: Into<String>> From<S> for Why {
    fn from(reason: S) -> Self {
        Self { reason: reason.into(), last_lines: None }
    }
}

/// A walk of a graph inside a graph.
pub(super) type Walk<'a> = Pin<Box<dyn Future<Output = Result<Walked, Halt>> + Send + 'a>>;

impl Executor {
    /// Executes the run to its end, or says how it ended before.
    pub(crate) async fn run(
        shared: Arc<Shared>,
        rows: OwnRows,
        run: RunId,
    ) -> Result<RunView, PipelineError> {
        let (wanted, catalog) = (run.clone(), shared.settings.catalog.clone());
        let claimed = rows.write("take a run", move |tx, owner| {
            let claimed = claim(tx, owner, &wanted)?;
            if let Some(claimed) = claimed.as_ref().filter(|claimed| !claimed.status.is_ended()) {
                // A step that needs the folder says that it is not there.
                drop(RunFolder::of(&catalog, owner.scope(), &wanted, &claimed.id).make());
            }
            Ok(claimed)
        });
        let Standing { id, generation, status, .. } = claimed.await?.ok_or(PipelineError::UnknownRun)?;
        if status.is_ended() {
            return look(&rows, run).await;
        }
        // What it says is read beside the writers, and opened while nobody waits for it.
        let wanted = run.clone();
        let read = rows.read("read a run that was taken", move |conn, owner| taken(conn, owner, &wanted));
        let Taken { run: found, definition, events } = read.await?.ok_or(PipelineError::UnknownRun)?;
        if found.id != id || found.entry.generation != generation {
            return Err(PipelineError::TakenOver);
        }
        let opened = rows.apart(move |owner| {
            let id = found.id.clone();
            let view = found.view(owner)?;
            if view.unreadable {
                return Err(PipelineError::Sealed);
            }
            Ok((view, opened(events, &id, owner)?))
        });
        let (view, events) = match opened.await {
            Err(PipelineError::Sealed) => return unreadable(&rows, run, id, generation).await,
            opened => opened?,
        };
        if view.entry.status.is_ended() {
            return Ok(view);
        }
        let pipeline = Pipeline::stored(definition)?;
        let stop = Stop::under(&CANCEL.bound().unwrap_or_default());
        if view.entry.cancel_requested {
            stop.call_off();
        }
        let (wrote, hear) = watch::channel(view.entry.last_event);
        let seat_of = Arc::clone(&shared);
        let _seat = seat_of.live.enter(id.clone(), view.entry.generation, stop.clone(), hear);
        let folder = RunFolder::of(&shared.settings.catalog, rows.scope(), &run, &id);
        let past = Past::of(events);
        let trace = view.entry.trace.clone();
        let mut named: BTreeSet<String> =
            pipeline.parameters().iter().map(|(name, _)| name.to_owned()).collect();
        pipeline.dag().names(&mut named);
        let executor = Self { shared, rows, run, id, generation, stop, wrote, past, folder, trace, named };
        let executor = Arc::new(executor);
        let span = tracing::info_span!(
            "run", run = %executor.run, pipeline = pipeline.name(), trace_id = %executor.trace,
            status = tracing::field::Empty
        );
        let work = async {
            tokio::select! {
                biased;
                ended = executor.work(&pipeline, view) => ended,
                never = executor.watch() => match never {},
            }
        };
        let work = CANCEL.scope(executor.stop.cancel.clone(), work.instrument(span));
        RUN.scope(executor.run.clone(), work).await
    }

    async fn work(self: &Arc<Self>, pipeline: &Pipeline, view: RunView) -> Result<RunView, PipelineError> {
        let mut chain = Chain::default();
        self.bury(&mut chain).await;
        let code = Some(self.shared.settings.code.as_str()).filter(|code| self.past.code() != Some(*code));
        chain.tell(What::Began { code: code.map(str::to_owned) });
        let mut values = Values::of(view.parameters);
        let (status, why) = match self.walk(pipeline.dag(), "", &mut values, &mut chain).await {
            Ok(Walked::Succeeded) => (RunStatus::Succeeded, None),
            Ok(Walked::Failed(why)) => (RunStatus::Failed, Some(why)),
            Err(Halt::Cancelled) if self.stop.is_overtaken() => return Err(PipelineError::TakenOver),
            Err(Halt::Cancelled) => {
                // How its attempts ended is told first, and with it comes whether the run's end was asked for meanwhile.
                match chain.flush(self).await {
                    Err(Halt::Error(error)) => return Err(error),
                    _ if !self.stop.is_called_off() => return Err(PipelineError::Stopped),
                    _ => (RunStatus::Cancelled, None),
                }
            }
            Err(Halt::Error(error)) => return Err(error),
        };
        tracing::Span::current().record("status", status.name());
        let outputs =
            values.changes().map(|(name, value)| (name.to_string(), serde_json::Value::clone(value)));
        let (reason, last_lines) = why.map_or((None, None), |why| (Some(why.reason), why.last_lines));
        chain.tell(What::Ended { status, outputs: outputs.collect(), reason, last_lines });
        match chain.flush(self).await {
            Ok(_) => {}
            Err(Halt::Error(error)) => return Err(error),
            Err(Halt::Cancelled) => return Err(PipelineError::TakenOver),
        }
        look(&self.rows, self.run.clone()).await
    }

    /// Writes down as lost what an earlier executor left without an end, and ends what it left running.
    async fn bury(&self, chain: &mut Chain) {
        let lost = self.past.lost();
        for one in &lost {
            let (folder, started) = (self.folder.clone(), one.started);
            let work = move || {
                end_orphan(&folder.attempt_path(started));
                folder.clear(started);
            };
            // A pool that is gone ends nothing, and neither will this run go on.
            drop(haversack::spawn_blocking(work).await);
        }
        for one in lost {
            chain.tell(What::AttemptEnded {
                step: one.step,
                attempt: one.attempt,
                started: one.started,
                status: AttemptStatus::Lost,
                ms: u64::try_from(now_millis() - one.at).unwrap_or(0),
                outputs: Default::default(),
                metrics: Vec::new(),
                got: Vec::new(),
                put: Vec::new(),
                reason: Some("its executor ended before it did".to_owned()),
                last_lines: None,
            });
        }
    }

    /// Looks for a cancellation, a deletion or a later executor by another process, for as long as it is polled.
    async fn watch(&self) -> std::convert::Infallible {
        let mut seen = None;
        loop {
            tokio::time::sleep(LOOK).await;
            let now = self.shared.store.control().generation().ok();
            if now.is_some() && now == seen {
                continue;
            }
            seen = now;
            let run = self.run.clone();
            let read = self.rows.read("watch a run", move |conn, owner| standing(conn, owner, &run));
            match read.await {
                Ok(None) => self.stop.overtake(),
                Ok(Some(found)) if found.id != self.id || found.generation != self.generation => {
                    self.stop.overtake();
                }
                Ok(Some(found)) if found.cancel_requested => self.stop.call_off(),
                // What the next write meets is told by that write.
                _ => {}
            }
        }
    }

    /// Walks a graph from its start to one of its ends.
    pub(super) fn walk<'a>(
        self: &'a Arc<Self>,
        dag: &'a Dag,
        path: &'a str,
        values: &'a mut Values,
        chain: &'a mut Chain,
    ) -> Walk<'a> {
        Box::pin(async move {
            let mut name = dag.start_at.as_str();
            let mut why = None;
            loop {
                let missing = PipelineError::Internal("a stored graph names a step that it does not have");
                let step = dag.step(name).ok_or(missing)?;
                let path = join(path, &step.name);
                match &step.node {
                    Node::Success => return Ok(Walked::Succeeded),
                    Node::Fail => {
                        let why = why.unwrap_or_else(|| format!("{path}: the graph fails here").into());
                        return Ok(Walked::Failed(why));
                    }
                    _ => {}
                }
                if self.stop.cancel.is_cancelled() {
                    return Err(Halt::Cancelled);
                }
                let span = tracing::info_span!("step", step = %path, kind = step.node.kind());
                let failure = self.step(step, &path, values, chain).instrument(span).await?;
                let leads = match (&failure, &step.on_failure) {
                    (None, _) => &step.next,
                    (Some(_), handler) => handler,
                };
                if let Some(failure) = failure {
                    why = Some(failure);
                }
                match (leads, why.take()) {
                    (Some(leads), kept) => {
                        name = leads;
                        why = kept;
                    }
                    (None, Some(why)) => return Ok(Walked::Failed(why)),
                    (None, None) => return Err(PipelineError::Internal("a stored step leads nowhere").into()),
                }
            }
        })
    }

    /// Runs one step; why it failed, if it did.
    async fn step(
        self: &Arc<Self>,
        step: &Step,
        path: &str,
        values: &mut Values,
        chain: &mut Chain,
    ) -> Result<Option<Why>, Halt> {
        let failure = match &step.node {
            Node::Task(task) => self.task(path, Some(task), values, chain).await?,
            Node::Stub => self.task(path, None, values, chain).await?,
            composite => self.composite(composite, path, values, chain).await?,
        };
        Ok(failure.map(|why| match why.reason.starts_with(path) {
            true => why,
            false => Why { reason: format!("{path}: {}", why.reason), ..why },
        }))
    }

    /// Runs a task, or a stub, as often as it may be tried.
    pub(super) async fn task(
        &self,
        path: &str,
        task: Option<&Task>,
        values: &mut Values,
        chain: &mut Chain,
    ) -> Result<Option<Why>, Halt> {
        let hash = hex(values.hash());
        if let Some(outputs) = self.past.outputs(path, &hash) {
            for (name, value) in outputs {
                values.set(name, Arc::new(value.clone()));
            }
            return Ok(None);
        }
        let retry = task.map(|task| task.retry).unwrap_or_default();
        let seen = self.past.seen(path);
        let mut number = seen.map_or(0, |seen| seen.attempts);
        let mut failed = seen.map_or(0, |seen| seen.failed);
        if failed >= retry.attempts {
            let reason = seen.and_then(|seen| seen.reason.clone()).unwrap_or_else(|| "it failed".to_owned());
            return Ok(Some(Why { reason, last_lines: seen.and_then(|seen| seen.last_lines.clone()) }));
        }
        loop {
            number += 1;
            let inputs = inputs(task, values, &hash);
            let kind = task.map_or("stub", |task| task.command_type.name()).to_owned();
            chain.tell(What::AttemptStarted { step: path.to_owned(), attempt: number, kind, inputs });
            let started = chain.flush(self).await?;
            let begun = Instant::now();
            let ended = match task {
                Some(task) => self.attempt(path, task, values, number, started).await,
                None => Ended::at_once(Outcome::Succeeded(Default::default())),
            };
            let Ended { outcome, got, put, waited, last_lines } = ended;
            let took = begun.elapsed().saturating_sub(waited);
            let ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
            let lacks = match &outcome {
                Outcome::NotHere(lacks) => Some(format!("{path}: {lacks}")),
                _ => None,
            };
            let (status, outputs, reason) = match outcome {
                Outcome::Succeeded(outputs) => (AttemptStatus::Succeeded, outputs, None),
                Outcome::Failed(reason) => (AttemptStatus::Failed, Default::default(), Some(reason)),
                Outcome::TimedOut(limit) => {
                    let reason = format!("it took longer than its {} ms", limit.as_millis());
                    (AttemptStatus::TimedOut, Default::default(), Some(reason))
                }
                Outcome::Cancelled => (AttemptStatus::Cancelled, Default::default(), None),
                Outcome::NotHere(lacks) => (AttemptStatus::Cancelled, Default::default(), Some(lacks)),
            };
            for (name, value) in &outputs {
                values.set(name, Arc::new(value.clone()));
            }
            let figures = task.map_or(&[][..], |task| &task.returns).iter().filter(|one| one.metric);
            let metrics = figures.map(|one| one.name.clone()).collect();
            let last_lines = last_lines.filter(|_| reason.is_some());
            let (step, attempt, told) = (path.to_owned(), number, reason.clone());
            let ended = What::AttemptEnded {
                step,
                attempt,
                started,
                status,
                ms,
                outputs,
                metrics,
                got,
                put,
                reason: told,
                last_lines: last_lines.clone(),
            };
            chain.tell(ended);
            if let Some(lacks) = lacks {
                chain.flush(self).await?;
                return Err(PipelineError::NotHere(lacks).into());
            }
            match status {
                AttemptStatus::Succeeded => return Ok(None),
                AttemptStatus::Cancelled | AttemptStatus::Lost => return Err(Halt::Cancelled),
                AttemptStatus::Failed | AttemptStatus::TimedOut => failed += 1,
            }
            if failed >= retry.attempts {
                return Ok(reason.map(|reason| Why { reason, last_lines }));
            }
            chain.flush(self).await?;
            tokio::select! {
                () = tokio::time::sleep(retry.pause(failed)) => {}
                () = self.stop.cancel.cancelled() => return Err(Halt::Cancelled),
            }
        }
    }

    /// Runs one attempt in a frame of its own, under its own span.
    async fn attempt(&self, path: &str, task: &Task, values: &Values, number: u32, started: u64) -> Ended {
        // Where the door is in the run's trace already, what the step causes hangs under the door's unit of work.
        let given = TRACE_CONTEXT.bound().filter(|trace| trace.trace_id() == self.trace);
        let trace = given.or_else(|| TraceContext::parse(&self.traceparent(started)).ok());
        let traceparent = trace.as_ref().map_or("", TraceContext::as_str);
        let span = tracing::info_span!(
            "attempt", step = path, attempt = number, kind = task.command_type.name(), trace_id = %self.trace
        );
        let attempt = Attempt {
            settings: &self.shared.settings,
            seats: &self.shared.seats,
            owner: self.rows.scope().tenant().as_str(),
            folder: &self.folder,
            run: &self.run,
            step: path,
            task,
            values,
            named: &self.named,
            number,
            event: started,
            traceparent,
        };
        let work = attempt.run(&self.stop.cancel).instrument(span);
        let step = StepPath::new(path);
        match trace.clone() {
            Some(trace) => STEP.scope(step, TRACE_CONTEXT.scope(trace, work)).await,
            None => STEP.scope(step, work).await,
        }
    }

    /// The trace of the run, and a span id that no other attempt of the run has.
    fn traceparent(&self, started: u64) -> String {
        let span = digest(format!("{}/{}/{started}", self.trace, self.run).as_bytes());
        format!("00-{}-{}-01", self.trace, hex(&span[..8]))
    }
}

fn inputs(task: Option<&Task>, values: &Values, hash: &str) -> Inputs {
    let declared = task.and_then(|task| task.parameters.as_deref());
    let named = |name: &str| {
        declared.map_or(values.len() <= NAMED, |declared| declared.iter().any(|one| one == name))
    };
    let parameters = if declared.is_some() || values.len() <= NAMED {
        values
            .iter()
            .filter(|(name, _)| named(name))
            .map(|(name, bound)| (name.to_owned(), hex(&bound.hash)))
            .collect()
    } else {
        Default::default()
    };
    let secrets = task.map_or_else(Vec::new, |task| task.secrets.clone());
    Inputs { hash: hash.to_owned(), count: values.len(), parameters, secrets }
}

/// The run as it stands.
async fn look(rows: &OwnRows, run: RunId) -> Result<RunView, PipelineError> {
    let read = rows.read("read a run", move |conn, owner| find(conn, owner, &run));
    let found = read.await?.ok_or(PipelineError::UnknownRun)?;
    rows.apart(|owner| found.view(owner)).await
}

/// Ends a run whose words cannot be opened any more: nobody can go on with it.
async fn unreadable(
    rows: &OwnRows,
    run: RunId,
    id: String,
    generation: u64,
) -> Result<RunView, PipelineError> {
    let reason = Some("what it was started with cannot be opened any more".to_owned());
    let ended =
        What::Ended { status: RunStatus::Failed, outputs: Default::default(), reason, last_lines: None };
    let wanted = run.clone();
    let write = rows.write("end a run that cannot be opened", move |tx, owner| {
        append(tx, owner, &wanted, &id, generation, &[(now_millis(), ended)])
    });
    match write.await? {
        Some(_) => look(rows, run).await,
        None => Err(PipelineError::TakenOver),
    }
}
