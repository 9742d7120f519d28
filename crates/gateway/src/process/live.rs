//! Processes that this gateway runs: starting, polling, waiting, ending, and telling the end.
//!
//! A monitor owns the child, in the context that was captured when it started and under an entry of its own. The row is there
//! before the child, so that no crash leaves one that nobody knows of. Polling looks and consumes nothing; waiting takes the
//! end, which is then not told a second time.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

use haversack::JoinSet;
use haversack::well_known::{TENANT_ID, TenantId};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::sync::{Notify, watch};

use super::Processes;
use super::child::{Child, Finished, TEMPORARY, Tail};
use super::rows;
use super::watch::{Heard, Watch};
use crate::GatewayError;
use crate::deferred::Captured;
use crate::ledger::{Ledger, Say, random_id};
use crate::session::{CAN_DELIVER_LATER, SESSION_KEY};
use crate::turn::hex;

/// How many patterns one process may be watched for.
const MOST_PATTERNS: usize = 8;

/// A process that is about to run in the background.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewProcess {
    /// For the shell.
    pub command: String,
    /// Whether its end is told where it was started.
    pub notify: bool,
    /// Lines with one of these are told while there are few.
    pub watch: Vec<String>,
}

/// Where a process stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It runs.
    Running,
    /// It ended.
    Ended,
    /// The gateway was restarted and the process is gone: how it ended is not known.
    Lost,
}

impl State {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Ended => "ended",
            Self::Lost => "lost",
        }
    }

    pub(super) fn named(name: &str) -> Self {
        match name {
            "starting" | "running" => Self::Running,
            "ended" => Self::Ended,
            _ => Self::Lost,
        }
    }
}

/// What is known of a process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ProcessStatus {
    /// Its name.
    pub id: String,
    /// Where it stands.
    pub state: State,
    /// Its exit code; none while it runs, and when a signal ended it.
    pub code: Option<i32>,
    /// The end of what it wrote; empty when an earlier gateway ran it.
    pub output: String,
}

/// A process that this gateway runs, or ran.
pub(super) struct Live {
    pub(super) tenant: TenantId,
    pub(super) session: String,
    output: Tail,
    ended: watch::Sender<Option<End>>,
    waiters: AtomicUsize,
    notify: AtomicBool,
    kill: Notify,
}

/// The end of a process.
#[derive(Clone, Copy, Debug)]
pub(super) struct End {
    /// The exit code, if there is one.
    pub(super) code: Option<i32>,
    pub(super) at: Instant,
}

impl Live {
    /// Its end, when it has ended.
    pub(super) fn end(&self) -> Option<End> {
        *self.ended.borrow()
    }
}

/// What is sealed in a row.
#[derive(Serialize, Deserialize)]
pub(super) struct Sealed {
    pub(super) command: String,
}

impl Processes {
    /// Runs a command of the current session and waits for it. It is killed when its time is up.
    ///
    /// # Errors
    /// [`GatewayError::Io`] when it does not start or does not end in time.
    ///
    /// # Cancellation
    /// The command and everything that it started is killed.
    pub async fn run(&self, command: &str) -> Result<Finished, GatewayError> {
        let child =
            Child::start(&self.options, command, &self.folder()?, &self.options.environment.for_child())?;
        match tokio::time::timeout(self.options.foreground, child.finish(|_| {})).await {
            Ok(finished) => finished,
            Err(_) => Err(GatewayError::Io {
                what: "run a command",
                source: std::io::Error::new(
                    std::io::ErrorKind::TimedOut,
                    "it did not end in time and was killed",
                ),
            }),
        }
    }

    /// Starts a command of the current session in the background. Its row is committed before it runs: its end will be told also
    /// when this gateway is gone.
    ///
    /// # Errors
    /// [`GatewayError::CannotDeliverLater`] on a channel that cannot be reached later, whether or not the end is to be told;
    /// [`GatewayError::TooMany`]; [`GatewayError::Io`].
    ///
    /// # Cancellation
    /// The command is killed, and nothing is told of it.
    pub async fn start(&self, new: NewProcess) -> Result<String, GatewayError> {
        if !CAN_DELIVER_LATER.get()? {
            return Err(GatewayError::CannotDeliverLater);
        }
        if new.watch.len() > MOST_PATTERNS {
            return Err(GatewayError::TooMany { what: "patterns" });
        }
        let NewProcess { command, notify, watch } = new;
        let captured = Captured::here()?;
        let (tenant, session) = (captured.tenant.clone(), SESSION_KEY.get()?);
        let id = random_id()?[..12].to_owned();
        let live = Arc::new(Live {
            tenant: tenant.clone(),
            session: session.clone(),
            output: Tail::new(self.options.output),
            ended: watch::Sender::new(None),
            waiters: AtomicUsize::new(0),
            notify: AtomicBool::new(notify),
            kill: Notify::new(),
        });
        self.forget();
        let place = self.roll.reserve(&id, &live, self.options.most);
        let place = place.ok_or(GatewayError::TooMany { what: "background processes" })?;
        let visit = captured.enter()?;
        let sealed = Sealed { command: command.clone() };
        let sealed = self.sealer.seal(&captured.snapshot, tenant.as_str(), &id, &sealed)?;
        let row = rows::NewRow {
            id: id.clone(),
            principal: captured.principal.as_str().to_owned(),
            session: session.clone(),
            instance: self.presence.name().to_owned(),
            notify,
            sealed,
        };
        let written = self
            .store
            .rows()?
            .write("record a process", move |tx, scope| rows::insert(tx, scope.tenant(), &row));
        written.await?;
        // A row without a child is taken away by `look_after`, where this does not come to its end.
        let environment = self.options.environment.for_child();
        let mut child = Child::start(&self.options, &command, &self.folder()?, &environment)?;
        child.keep_output_in(live.output.clone());
        let (named, pid) = (id.clone(), child.pid());
        let runs = self.store.rows()?.write("record that a process runs", move |tx, scope| {
            rows::runs(tx, scope.tenant(), &named, pid, &rows::born(pid))
        });
        runs.await?;
        place.keep();
        let watch = Watch::new(watch, self.options.watch_most, self.options.watch_window);
        let monitor = Monitor { processes: self.clone(), id: id.clone(), command, live };
        haversack::spawn_detached(visit.wrap(monitor.watch(child, watch)));
        Ok(id)
    }

    /// How a process of the current session stands. Nothing is consumed: its end is told all the same.
    ///
    /// # Errors
    /// [`GatewayError::NotFound`] also for one of another session.
    pub async fn poll(&self, id: &str) -> Result<ProcessStatus, GatewayError> {
        if let Some(live) = self.mine(id)? {
            return Ok(status(id, &live, live.end()));
        }
        let (session, asked) = (SESSION_KEY.get()?, id.to_owned());
        let found = self
            .store
            .rows()?
            .read("find a process", move |conn, scope| rows::find(conn, scope.tenant(), &session, &asked));
        found.await?.ok_or(GatewayError::NotFound { what: "process" })
    }

    /// Waits for the end of a process of the current session, and takes it: it is not told once more.
    ///
    /// # Errors
    /// As [`poll`](Self::poll).
    ///
    /// # Cancellation
    /// The end is told as if nobody had waited.
    pub async fn wait(&self, id: &str) -> Result<ProcessStatus, GatewayError> {
        let Some(live) = self.mine(id)? else { return self.poll(id).await };
        let end = {
            let _waiter = Waiter::of(&live);
            let mut ended = live.ended.subscribe();
            // The sender lives in `live`.
            ended.wait_for(Option::is_some).await.map(|end| *end).unwrap_or_default()
        };
        // The end may be on its way already: then it is taken back, if nobody has begun to send it.
        let told = told(id);
        let withdrawn = self.store.rows()?.write("take back a notice", move |tx, scope| {
            Ledger::withdraw(tx, scope.tenant().as_str(), &told)
        });
        withdrawn.await?;
        Ok(status(id, &live, end))
    }

    /// Ends a process of the current session with everything that it started. Its end is not told.
    ///
    /// # Errors
    /// [`GatewayError::NotFound`] also when it has ended, or belongs to another session.
    pub async fn kill(&self, id: &str) -> Result<ProcessStatus, GatewayError> {
        let live = self.mine(id)?.filter(|live| live.end().is_none());
        let live = live.ok_or(GatewayError::NotFound { what: "process" })?;
        live.notify.store(false, Ordering::Release);
        live.kill.notify_one();
        self.wait(id).await
    }

    /// The processes of the current session that this gateway knows: those that run, and the last ones that ended.
    ///
    /// # Errors
    /// [`GatewayError::Unbound`] outside a session.
    #[track_caller]
    pub fn list(&self) -> Result<Vec<ProcessStatus>, GatewayError> {
        let (tenant, session) = (TENANT_ID.get()?, SESSION_KEY.get()?);
        self.forget();
        let mine = self.roll.of(&tenant, &session);
        Ok(mine.iter().map(|(id, live)| status(id, live, live.end())).collect())
    }

    /// The folder of the current tenant. Its name is a number, so that no tenant's id is a path.
    fn folder(&self) -> Result<PathBuf, GatewayError> {
        let name = TENANT_ID.with(|tenant| hex(&Sha256::digest(tenant.as_str().as_bytes())))?;
        // A child starts in it, where a relative path would mean something else.
        let folder = std::path::absolute(&self.options.folder)
            .map_err(|source| GatewayError::Io { what: "find the folder of a tenant", source })?
            .join(name);
        let mut make = std::fs::DirBuilder::new();
        make.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut make, 0o700);
        make.create(folder.join(TEMPORARY))
            .map_err(|source| GatewayError::Io { what: "make the folder of a tenant", source })?;
        Ok(folder)
    }

    fn mine(&self, id: &str) -> Result<Option<Arc<Live>>, GatewayError> {
        let (tenant, session) = (TENANT_ID.get()?, SESSION_KEY.get()?);
        Ok(self.roll.find(id).filter(|live| live.tenant == tenant && live.session == session))
    }
}

/// Owns one child, in the context that was captured when it started.
struct Monitor {
    processes: Processes,
    id: String,
    command: String,
    live: Arc<Live>,
}

impl Monitor {
    async fn watch(self, child: Child, mut watch: Watch) {
        let mut notices = JoinSet::new();
        let mut number = 0;
        let heard = |line: &str| {
            let heard = watch.hear(line, Instant::now());
            let text = match heard {
                Heard::Nothing => return,
                Heard::Tell => format!("Background process {} says: {line}", self.id),
                Heard::Flood => {
                    format!("Background process {} says too much; you will hear of its end.", self.id)
                }
            };
            number += 1;
            notices.spawn(self.notice(number, text, heard == Heard::Flood));
        };
        let finished = tokio::select! {
            finished = child.finish(heard) => finished,
            () = self.live.kill.notified() => Ok(Finished { code: None, output: String::new() }),
        };
        while let Some(noticed) = notices.join_next().await {
            if let Ok(Err(error)) = noticed {
                tracing::error!(process = %self.id, error = %error, "a watched line could not be told");
            }
        }
        let code = finished.ok().and_then(|finished| finished.code);
        if let Err(error) = self.tell(code).await {
            tracing::error!(process = %self.id, error = %error, "the end of a process could not be told");
        }
        self.live.ended.send_replace(Some(End { code, at: Instant::now() }));
    }

    /// Tells a line. A flood promises the end, also for the case that this gateway does not live to see it.
    fn notice(
        &self,
        number: u32,
        text: String,
        flood: bool,
    ) -> impl Future<Output = Result<(), GatewayError>> + Send + 'static + use<> {
        if flood {
            self.live.notify.store(true, Ordering::Release);
        }
        let id = self.id.clone();
        let promised = self.processes.store.rows().map(|rows| {
            rows.write("promise the end of a process", move |tx, scope| {
                rows::promise(tx, scope.tenant(), &id)
            })
        });
        let name = format!("process-{}-line-{number}", self.id);
        let told = self.processes.ledger.submit(Say { id: Some(name), text, to: None });
        async move {
            if flood {
                promised?.await?;
            }
            told.await.map(|_| ())
        }
    }

    /// Records the end, and tells it in the same transaction unless somebody takes it.
    async fn tell(&self, code: Option<i32>) -> Result<(), GatewayError> {
        let taken = self.live.waiters.load(Ordering::Acquire) > 0;
        let tell = self.live.notify.load(Ordering::Acquire) && !taken;
        let how = match code {
            Some(code) => format!("ended with exit code {code}"),
            None => "was ended by a signal".to_owned(),
        };
        let output = self.live.output.text();
        let text = format!(
            "Background process {} {how}.\n\n{}\n{}",
            self.id,
            shown(&self.command),
            output.trim_end()
        );
        let notice = self.processes.ledger.prepare(Say { id: Some(told(&self.id)), text, to: None })?;
        let (id, session, keep) =
            (self.id.clone(), self.live.session.clone(), self.processes.options.keep_most);
        let ended = self.processes.store.rows()?.write("end a process", move |tx, scope| {
            if rows::end(tx, scope.tenant().as_str(), &id, State::Ended, code)? && tell {
                notice.insert(tx, scope.tenant())?;
            }
            rows::forget_beyond(tx, scope.tenant(), &session, keep)
        });
        ended.await?;
        self.processes.ledger.wake();
        Ok(())
    }
}

/// Somebody who takes the end of a process, for as long as they wait.
struct Waiter<'a>(&'a Live);

impl<'a> Waiter<'a> {
    fn of(live: &'a Live) -> Self {
        live.waiters.fetch_add(1, Ordering::AcqRel);
        Self(live)
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        self.0.waiters.fetch_sub(1, Ordering::AcqRel);
    }
}

fn status(id: &str, live: &Live, end: Option<End>) -> ProcessStatus {
    let state = if end.is_some() { State::Ended } else { State::Running };
    ProcessStatus { id: id.to_owned(), state, code: end.and_then(|end| end.code), output: live.output.text() }
}

/// The name of the delivery that tells an end: one a process.
pub(super) fn told(id: &str) -> String {
    format!("process-{id}")
}

/// A command in a few words.
pub(super) fn shown(command: &str) -> String {
    let line: String = command.chars().take(200).collect();
    format!("$ {line}")
}
