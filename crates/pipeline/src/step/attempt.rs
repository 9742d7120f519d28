//! One attempt of one task, from its secrets to its files.
//!
//! It finds the secrets, waits for a seat, makes the work folder, takes files from the catalog, lets the right runner work until it
//! ends, its time is up or the run is cancelled, and leaves files in the catalog whatever the end was. The executor
//! calls it inside the step's frame and writes down what comes back.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Write};
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use haversack::well_known::{CANCEL, Cancel};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use serde_json::Value;
use tokio::process::Command;

use super::seats::Seats;
use super::{Call, StepCall, StepFailure, StepFuture, StepLog, StepOutput, StepRunner, python, shell};
use crate::PipelineOptions;
use crate::catalog::{AttemptFolder, FileRecord, RunFolder};
use crate::environment::Environment;
use crate::node::{CommandType, Task};
use crate::parameters::{Values, size_within};
use crate::run::RunId;
use crate::secrets::SecretSet;

/// What one attempt may give back, in bytes of JSON: 1 MiB, and room for the names and the marks around it. Each later
/// reader of the run's log reads it again.
const RETURNS_LIMIT: usize = 1024 * 1024 + 64 * 1024;
const NO_RETURNS: &str = "the file of returns is no plain file of at most 1 MiB; return less, and put what is large into a \
                          file under `put`";
const UNREADABLE: &str = "the file of returns cannot be read";
/// How long a child that was told to end may take to be reaped.
const GRACE: Duration = Duration::from_secs(5);

/// What an attempt needs to know.
pub(crate) struct Attempt<'a> {
    pub(crate) settings: &'a PipelineOptions,
    pub(crate) seats: &'a Seats,
    /// Whose share of the seats it uses.
    pub(crate) owner: &'a str,
    pub(crate) folder: &'a RunFolder,
    pub(crate) run: &'a RunId,
    pub(crate) step: &'a str,
    pub(crate) task: &'a Task,
    pub(crate) values: &'a Values,
    /// The names that the pipeline's author wrote. What a caller adds beside them reaches no environment: it could be
    /// one that some program obeys.
    pub(crate) named: &'a BTreeSet<String>,
    /// From 1, for this step.
    pub(crate) number: u32,
    /// Unique in the run: the number of the event that says that it started.
    pub(crate) event: u64,
    pub(crate) traceparent: &'a str,
}

/// How an attempt ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) outcome: Outcome,
    pub(crate) got: Vec<FileRecord>,
    pub(crate) put: Vec<FileRecord>,
    /// How long it waited for its seat.
    pub(crate) waited: Duration,
    /// The last lines that it printed.
    pub(crate) last_lines: Option<String>,
}

impl Ended {
    /// One that needed no seat and no folder.
    pub(crate) fn at_once(outcome: Outcome) -> Self {
        Self { outcome, got: Vec::new(), put: Vec::new(), waited: Duration::ZERO, last_lines: None }
    }
}

#[derive(Debug)]
pub(crate) enum Outcome {
    Succeeded(BTreeMap<String, Value>),
    Failed(String),
    TimedOut(Duration),
    Cancelled,
    /// This program cannot run it.
    NotHere(String),
}

/// What the runners of child processes need.
pub(super) struct Prepared<'a> {
    pub(super) settings: &'a PipelineOptions,
    pub(super) task: &'a Task,
    pub(super) folder: &'a AttemptFolder,
    pub(super) log: StepLog,
    attempt: &'a Attempt<'a>,
    secrets: &'a SecretSet,
}

impl Attempt<'_> {
    /// Runs it. `stop` is cancelled when the run is.
    pub(crate) async fn run(self, stop: &Cancel) -> Ended {
        let secrets = match self.secrets().await {
            Ok(secrets) => secrets,
            Err(failure) => return failed(failure),
        };
        let log =
            StepLog::new(self.folder.attempt_path(self.event).join(crate::catalog::OUTPUT), secrets.clone());
        let is_child = matches!(self.task.command_type, CommandType::Shell | CommandType::Python);
        let mut got = Vec::new();
        let needs_folder = is_child || !self.task.catalog.is_empty();
        let asked = Instant::now();
        // Before anything is opened, and before its time begins: whoever waits holds nothing and uses up nothing.
        let seat = async {
            if needs_folder { self.seats.take(self.owner, is_child).await.map(Some) } else { Ok(None) }
        };
        let _seat = tokio::select! {
            biased;
            () = stop.cancelled() => return Ended::at_once(Outcome::Cancelled),
            seat = seat => match seat {
                Ok(seat) => seat,
                Err(_) => return failed(StepFailure::new("the program is shutting down")),
            },
        };
        let waited = asked.elapsed();
        let folder = if needs_folder {
            match self.open().await {
                Ok((folder, files)) => {
                    got = files;
                    Some(folder)
                }
                Err(failure) => return Ended { waited, ..failed(failure) },
            }
        } else {
            None
        };
        let cancel = stop.child();
        let work = self.work(folder.clone(), &secrets, &log);
        let outcome = within(self.limit(), is_child, &cancel, CANCEL.scope(cancel.clone(), work)).await;
        log.finish();
        let mut outcome = self.settle(outcome, stop, &secrets);
        let mut put = Vec::new();
        if let Some(folder) = folder {
            match self.close(folder, &secrets).await {
                Ok(files) => put = files,
                Err(failure) if matches!(outcome, Outcome::Succeeded(_)) => {
                    outcome = Outcome::Failed(failure.to_string());
                }
                // It failed already, and the first reason is the one to know.
                Err(_) => {}
            }
        }
        Ended { outcome, got, put, waited, last_lines: log.last_lines() }
    }

    async fn secrets(&self) -> Result<SecretSet, StepFailure> {
        let mut known = BTreeMap::new();
        for name in &self.task.secrets {
            match self.settings.secrets.find(name).await {
                Ok(Some(secret)) => {
                    known.insert(name.clone(), secret);
                }
                Ok(None) => {
                    return Err(StepFailure::new(format!(
                        "nobody knows the secret `{name}`; give it to the program"
                    )));
                }
                Err(error) => {
                    return Err(StepFailure::new(format!("the secret `{name}` was not found: {error}")));
                }
            }
        }
        Ok(SecretSet::new(known))
    }

    /// Makes the folder and fills it.
    async fn open(&self) -> Result<(Arc<AttemptFolder>, Vec<FileRecord>), StepFailure> {
        let (folder, number, get) = (self.folder.clone(), self.event, self.task.catalog.get.clone());
        let is_child = matches!(self.task.command_type, CommandType::Shell | CommandType::Python);
        let values = is_child.then(|| self.values.branch());
        on_the_pool(move || {
            let unusable = |error: std::io::Error| {
                StepFailure::new(format!("the work folder could not be made: {}", error.kind()))
            };
            let folder = folder.attempt(number).map_err(unusable)?;
            if let Some(values) = values {
                let given: BTreeMap<&str, &Value> =
                    values.iter().map(|(name, bound)| (name, &*bound.value)).collect();
                let text = serde_json::to_vec(&given)
                    .map_err(|_| StepFailure::new("the parameters are not JSON"))?;
                write_private(&folder.parameters(), &text).map_err(unusable)?;
            }
            let files = folder.get(&get)?;
            Ok((Arc::new(folder), files))
        })
        .await
    }

    /// Takes the files that the step leaves, if none of them holds a secret, and clears up.
    async fn close(
        &self,
        folder: Arc<AttemptFolder>,
        secrets: &SecretSet,
    ) -> Result<Vec<FileRecord>, StepFailure> {
        let (rules, secrets) = (self.task.catalog.clone(), secrets.clone());
        on_the_pool(move || {
            let files = folder.put(&rules.put, rules.no_copy, &secrets);
            folder.clear();
            files
        })
        .await
    }

    async fn work(
        &self,
        folder: Option<Arc<AttemptFolder>>,
        secrets: &SecretSet,
        log: &StepLog,
    ) -> Result<BTreeMap<String, Value>, StepFailure> {
        let given = match (&self.task.command_type, &folder) {
            (CommandType::Shell | CommandType::Python, Some(folder)) => {
                let (settings, task, log) = (self.settings, self.task, log.clone());
                let prepared = Prepared { settings, task, folder, log, attempt: self, secrets };
                match self.task.command_type {
                    CommandType::Shell => shell::run(&prepared).await?,
                    _ => python::run(&prepared).await?,
                }
            }
            (kind, folder) => {
                // The call itself may panic as well as its future, so it is made inside.
                let call = async { self.call(kind, folder.as_deref(), secrets, log).await };
                // The payload of a panic may hold anything, so it is dropped here.
                match AssertUnwindSafe(call).catch_unwind().await {
                    Ok(outcome) => outcome?,
                    Err(_) => return Err(StepFailure::new("the code of the step panicked")),
                }
            }
        };
        let values = given.take(&self.task.returns)?;
        if size_within(&values, RETURNS_LIMIT).is_none() {
            return Err(StepFailure::new(
                "the step returns more than 1 MiB; return less, and put what is large into a file under `put`",
            ));
        }
        Ok(values)
    }

    /// A function or a registered runner.
    fn call(
        &self,
        kind: &CommandType,
        folder: Option<&AttemptFolder>,
        secrets: &SecretSet,
        log: &StepLog,
    ) -> StepFuture {
        let call = StepCall {
            inner: Arc::new(Call {
                command: self.task.command.clone(),
                values: self.values.branch(),
                returns: self.task.returns.clone(),
                overrides: self.task.overrides.clone(),
                secrets: secrets.clone(),
                attempt: self.number,
                work: folder.map(AttemptFolder::work),
                log: log.clone(),
            }),
        };
        match kind {
            CommandType::Runner(name) => match self.settings.runners.get(name) {
                Some(runner) => runner.run(call),
                None => Box::pin(std::future::ready(Err(StepFailure::not_here(
                    "what runs this kind of step is not registered in this program",
                )))),
            },
            _ => self.settings.functions.run(call),
        }
    }

    fn limit(&self) -> Option<Duration> {
        self.task.timeout_ms.map(Duration::from_millis)
    }

    fn settle(
        &self,
        outcome: Option<Result<BTreeMap<String, Value>, StepFailure>>,
        stop: &Cancel,
        secrets: &SecretSet,
    ) -> Outcome {
        match outcome {
            _ if stop.is_cancelled() => Outcome::Cancelled,
            None => Outcome::TimedOut(self.limit().unwrap_or_default()),
            Some(Err(failure)) if failure.is_not_here() => {
                Outcome::NotHere(secrets.redact(&failure.to_string()))
            }
            Some(Err(failure)) => Outcome::Failed(secrets.redact(&failure.to_string())),
            Some(Ok(values)) => {
                let holds = |value: &Value| {
                    let text = value.to_string();
                    secrets.redact(&text) != text
                };
                match values.iter().find(|(_, value)| holds(value)) {
                    Some((name, _)) => Outcome::Failed(format!(
                        "the return `{name}` holds a secret of the step; secrets are written nowhere, so take it out"
                    )),
                    None => Outcome::Succeeded(values),
                }
            }
        }
    }
}

impl Prepared<'_> {
    /// The command that runs a program confined to what is the attempt's own.
    pub(super) fn command(&self, program: &str) -> Result<Command, StepFailure> {
        let mut own = self.folder.access();
        own.read.extend(self.settings.python_path.iter().cloned());
        let command = self.settings.confinement.command(program, own);
        command.map(Command::from).map_err(|error| StepFailure::new(error.to_string()))
    }

    /// Gives the command its folder and its environment.
    pub(super) fn install(&self, command: &mut Command, parameters: bool) -> Result<(), StepFailure> {
        let (settings, attempt) = (self.settings, self.attempt);
        let mut environment = Environment::new(
            &settings.path,
            &settings.language,
            &self.folder.work(),
            &self.folder.temporary(),
        );
        let chosen = self.task.parameters.as_deref();
        for (name, bound) in attempt.values.iter() {
            let wanted = chosen.map_or(parameters && attempt.named.contains(name), |chosen| {
                chosen.iter().any(|one| one == name)
            });
            if wanted {
                match &*bound.value {
                    Value::String(text) => environment.bind(name, text)?,
                    other => environment.bind(name, &other.to_string())?,
                }
            }
        }
        for (name, secret) in self.secrets.iter() {
            environment.bind(name, secret.expose())?;
        }
        environment.put("HAVERSACK_RUN_ID", attempt.run.as_str());
        environment.put("HAVERSACK_STEP", attempt.step);
        environment.put("HAVERSACK_ATTEMPT", attempt.number.to_string());
        environment.put("HAVERSACK_PARAMETERS", self.folder.parameters());
        environment.put("HAVERSACK_RETURNS", self.folder.returns());
        environment.put("TRACEPARENT", attempt.traceparent);
        environment.install(command);
        command.current_dir(self.folder.work());
        Ok(())
    }

    /// What the child wrote into its results file.
    pub(super) async fn returned(&self) -> Result<StepOutput, StepFailure> {
        let path = self.folder.returns();
        on_the_pool(move || {
            // What is measured is what is read: nothing is known of a path that something of the child may still change.
            let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
            let file = match rustix::fs::open(&path, flags, Mode::empty()) {
                Ok(file) => std::fs::File::from(file),
                Err(Errno::NOENT) => return Ok(StepOutput::nothing()),
                Err(Errno::LOOP | Errno::NXIO) => return Err(StepFailure::new(NO_RETURNS)),
                Err(_) => return Err(StepFailure::new(UNREADABLE)),
            };
            match file.metadata() {
                Ok(found) if found.is_file() => {}
                _ => return Err(StepFailure::new(NO_RETURNS)),
            }
            let bytes = within_limit(file).map_err(|_| StepFailure::new(UNREADABLE))?;
            let bytes = bytes.ok_or(StepFailure::new(NO_RETURNS))?;
            let named: BTreeMap<String, Value> = serde_json::from_slice(&bytes).map_err(|error| {
                let (line, column) = (error.line(), error.column());
                StepFailure::new(format!(
                    "the file of returns is no JSON object (line {line}, column {column})"
                ))
            })?;
            Ok(StepOutput::named(named))
        })
        .await
    }
}

/// All of a file of returns; `None` when it is too large, however large it was when it was opened.
fn within_limit(from: impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    from.take(RETURNS_LIMIT as u64 + 1).read_to_end(&mut bytes)?;
    Ok((bytes.len() <= RETURNS_LIMIT).then_some(bytes))
}

/// Writes a file that only our user reads.
fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    std::fs::File::options().write(true).create_new(true).mode(0o600).open(path)?.write_all(bytes)
}

fn failed(failure: StepFailure) -> Ended {
    Ended::at_once(Outcome::Failed(failure.to_string()))
}

/// Lets the work go on until its time is up or it is told to stop; `None` then. A child gets a moment to be reaped,
/// everything else is dropped.
async fn within<T>(
    limit: Option<Duration>,
    is_child: bool,
    cancel: &Cancel,
    work: impl Future<Output = T>,
) -> Option<T> {
    let mut work = std::pin::pin!(work);
    let time_is_up = async {
        match limit {
            Some(limit) => tokio::time::sleep(limit).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        done = &mut work => return Some(done),
        () = time_is_up => cancel.cancel(),
        () = cancel.cancelled() => {}
    }
    if is_child {
        // Its group has been killed by now, or is at the next poll.
        drop(tokio::time::timeout(GRACE, work).await);
    }
    None
}

async fn on_the_pool<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StepFailure> + Send + 'static,
) -> Result<T, StepFailure> {
    match haversack::spawn_blocking(work).await {
        Ok(outcome) => outcome,
        Err(_) => Err(StepFailure::new("the program is shutting down")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_returns_that_grows_while_it_is_read_is_refused() {
        let of =
            |bytes: usize| within_limit(io::repeat(b' ').take(bytes as u64)).unwrap().map(|read| read.len());
        assert_eq!(of(RETURNS_LIMIT), Some(RETURNS_LIMIT));
        assert_eq!(of(RETURNS_LIMIT + 1), None);
        // Never more than that is held.
        assert!(within_limit(io::repeat(b' ')).unwrap().is_none());
    }
}
