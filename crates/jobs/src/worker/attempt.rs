//! One attempt of one job: opened, entered, run, written down.
//!
//! It goes through the worker's door into the submitter's context, binds what is new of this attempt, and stays in that
//! context until the end is committed and the program's hook has run. What cannot be opened or entered never runs.

use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use haversack::well_known::{CANCEL, Cancel, DEADLINE, PRINCIPAL, TENANT_ID, TRACE_CONTEXT, TraceContext};
use haversack::{FutureExt as _, OpenError, RestoreError, SealedFor, Snapshot, Visit};
use haversack_store::{KeyUseError, now_millis};
use tracing::{Instrument, Span, field};

use super::door::WORKER;
use super::recorder::Recorder;
use super::running::{Holding, Stop};
use crate::backend::{Delivery, Ill, Report};
use crate::carried::{ACCESS_TOKEN, AccessToken};
use crate::current::{ATTEMPT, Attempt, JOB_ID};
use crate::extract::{CleanUps, Invocation, TimeLimit};
use crate::failure::Class;
use crate::handler::{Entry, Finished, Permitted};
use crate::policy::{ExpiredToken, Permission, millis, span};
use crate::progress::Progress;
use crate::sealed::{Said, seal};
use crate::{Failure, FailureKind, Handlers, JobError, Jobs, State, random};

/// How long a job waits whose keys or store are not to be had just now.
const HICCUP: Duration = Duration::from_secs(1);

/// What every attempt of a worker needs.
pub(super) struct Attempts {
    pub(super) jobs: Jobs,
    pub(super) handlers: Handlers,
    pub(super) recorder: Recorder,
    pub(super) cancel_grace: Duration,
    pub(super) parked: Duration,
    /// How long it may take to tell an end, before somebody else tells it.
    pub(super) tell_within: Duration,
}

/// How the handler's part ended.
enum End {
    Answered(Result<Vec<u8>, Failure>),
    Panicked,
    TimedOut,
    Stopped(Stop),
    /// Its credential was withdrawn, before it began or while it ran.
    Withdrawn,
    /// The permission is unknown at the moment.
    Untold,
}

/// Why a handler is asked to stop while its worker keeps the job.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    TimedOut,
    Cancelled,
    Withdrawn,
}

/// How often a running attempt is asked for its permission.
const PERMISSION: Duration = Duration::from_millis(500);

/// Everything of a job that its context is entered with.
pub(super) struct Opened {
    snapshot: Snapshot,
    pub(super) arguments: Arc<[u8]>,
    pub(super) limit: TimeLimit,
    submitted_in: Option<TraceContext>,
}

impl Attempts {
    /// Makes the attempt. It ends when its end is written down, or its lease is lost.
    pub(super) async fn attempt(&self, delivery: Delivery, holding: Holding) {
        let lease = delivery.lease.clone();
        let Some(entry) = self.handlers.named(&delivery.handler) else {
            tracing::warn!(job = %lease.id, handler = delivery.handler, "no such handler here; the job is parked");
            self.recorder.record(lease, self.park(FailureKind::NoHandler, None)).await;
            return;
        };
        let entered = match self.open(&delivery) {
            Ok(opened) => {
                self.enter(entry, &delivery, &holding.cancel, &opened).await.map(|visit| (opened, visit))
            }
            Err(report) => Err(report),
        };
        match entered {
            Ok((mut opened, (visit, refused))) => {
                // Read here: what is around the attempt may bind a trace of its own.
                opened.submitted_in = visit.run(|| TRACE_CONTEXT.bound());
                let id = delivery.lease.id.clone();
                let work = self.inside(entry, delivery, holding, opened, refused);
                match self.handlers.around_each() {
                    Some(around) => {
                        visit.wrap(async { around(&id, Box::pin(work)).await }).await;
                    }
                    None => visit.wrap(work).await,
                }
            }
            Err(report) => {
                if let Report::Failed(ill) | Report::Parked(ill, _) = &report {
                    let (kind, code) = (ill.kind, ill.code.as_deref());
                    tracing::warn!(job = %lease.id, %kind, code, "the job was not run");
                }
                let over = matches!(report, Report::Failed(_));
                if self.recorder.record(lease.clone(), report).await && over && self.handlers.hook().is_some()
                {
                    // There is no context to tell it in: a row alone says for nobody where an answer may go.
                    self.recorder.note(lease, Report::Told { drive: delivery.drive, lost: true });
                }
            }
        }
    }

    pub(super) fn open(&self, delivery: &Delivery) -> Result<Opened, Report> {
        let bound_to =
            SealedFor { tenant: &delivery.tenant, queue: &delivery.queue, id: delivery.lease.id.as_str() };
        match self.jobs.shared.keys.unseal(&delivery.sealed, &bound_to) {
            Ok((snapshot, arguments)) => {
                let left = delivery.deadline.map(|at| span(at.saturating_sub(now_millis())));
                let limit = TimeLimit::new(span(delivery.timeout_ms), left);
                Ok(Opened { snapshot, arguments: arguments.into(), limit, submitted_in: None })
            }
            Err(KeyUseError::Envelope(error)) => {
                let code = Some(open_code(&error).to_owned());
                Err(if error.parks() {
                    self.park(FailureKind::Unopened, code)
                } else {
                    failed(FailureKind::Unopened, code)
                })
            }
            Err(KeyUseError::Keys(error)) => {
                tracing::warn!(%error, "a job waits, because the keys cannot be read");
                Err(Report::Released(millis(HICCUP)))
            }
        }
    }

    /// Enters the job's context, with a token that is valid or a reason not to run.
    async fn enter(
        &self,
        entry: &Entry,
        delivery: &Delivery,
        cancel: &Cancel,
        opened: &Opened,
    ) -> Result<(Visit, Option<Failure>), Report> {
        let restored = self.restore(delivery, cancel, opened, None)?;
        let token = restored.run(|| ACCESS_TOKEN.bound());
        let Some(expired) = token.filter(AccessToken::has_expired) else { return Ok((restored, None)) };
        match &entry.options.expired_token {
            ExpiredToken::Fail => {
                let text = "the access token expired before the job ran";
                Ok((restored, Some(Failure::of(FailureKind::TokenExpired, text))))
            }
            ExpiredToken::Anonymous => self
                .restore(delivery, cancel, opened, Some(AccessToken::anonymous()))
                .map(|visit| (visit, None)),
            ExpiredToken::Mint(mint) => {
                let mint = AssertUnwindSafe(async { mint(expired).await }.with_context(restored.context()));
                let minted = tokio::time::timeout(span(delivery.timeout_ms), mint.catch_unwind()).await;
                match minted {
                    Ok(Ok(Ok(fresh))) => {
                        self.restore(delivery, cancel, opened, Some(fresh)).map(|visit| (visit, None))
                    }
                    Ok(Ok(Err(mut failure))) => {
                        failure.kind = FailureKind::TokenExpired;
                        Ok((restored, Some(failure)))
                    }
                    Ok(Err(_)) | Err(_) => {
                        let mut failure = Failure::retry("no new access token could be made");
                        failure.kind = FailureKind::TokenExpired;
                        Ok((restored, Some(failure)))
                    }
                }
            }
        }
    }

    pub(super) fn restore(
        &self,
        delivery: &Delivery,
        cancel: &Cancel,
        opened: &Opened,
        token: Option<AccessToken>,
    ) -> Result<Visit, Report> {
        let lease = &delivery.lease;
        let attempt = Attempt {
            number: delivery.attempt,
            max: delivery.max_attempts,
            generation: lease.generation,
            drive: delivery.drive,
        };
        let visit = opened.snapshot.restore(self.jobs.shared.manifest, &WORKER, |bindings| {
            bindings
                .bind(&JOB_ID, lease.id.clone())
                .bind(&ATTEMPT, attempt)
                .bind(&CANCEL, cancel.clone())
                .bind(&DEADLINE, opened.limit.deadline())
                .bind_some(&ACCESS_TOKEN, token)
        });
        let visit = visit.map_err(|error| {
            let code = Some(restore_code(&error).to_owned());
            if error.parks() {
                self.park(FailureKind::Unrestored, code)
            } else {
                failed(FailureKind::Unrestored, code)
            }
        })?;
        // The seal is bound to the row's tenant; what is inside must say the same, of the principal too.
        let same = visit.run(|| {
            TENANT_ID.bound().is_some_and(|tenant| tenant.as_str() == delivery.tenant)
                && PRINCIPAL.bound().is_some_and(|principal| principal.as_str() == delivery.principal)
        });
        if same { Ok(visit) } else { Err(failed(FailureKind::ForeignOwner, None)) }
    }

    /// The attempt inside its context.
    async fn inside(
        &self,
        entry: &Entry,
        delivery: Delivery,
        mut holding: Holding,
        opened: Opened,
        refused: Option<Failure>,
    ) {
        let span = job_span(&delivery, opened.submitted_in.as_ref());
        let told = span.clone();
        let work = async {
            let arguments = Arc::clone(&opened.arguments);
            let end = match refused {
                Some(failure) => End::Answered(Err(failure)),
                None => match self.permission(entry).await {
                    Some(Permission::Granted) => self.handle(entry, &mut holding, opened).await,
                    Some(Permission::Expired) => {
                        let text = "the credential that it was submitted with expired before the job ran";
                        End::Answered(Err(Failure::of(FailureKind::TokenExpired, text)))
                    }
                    Some(Permission::Withdrawn) => End::Withdrawn,
                    None => End::Untold,
                },
            };
            let said = match &end {
                End::Answered(Ok(answer)) => Some(Arc::from(answer.as_slice())),
                End::Answered(Err(failure)) => Some(Arc::from(failure.kept())),
                _ => None,
            };
            let Some(report) = self.report(&delivery, &mut holding, end).await else {
                told.record("outcome", "lost");
                return;
            };
            let outcome = outcome(&report);
            if !self.recorder.record(delivery.lease.clone(), report.clone()).await {
                told.record("outcome", "lost");
                tracing::warn!(job = %delivery.lease.id, "the lease was lost; nothing of this attempt was written");
                return;
            }
            holding.written();
            told.record("outcome", outcome);
            self.finish(&delivery, &report, arguments, said).await;
        };
        work.instrument(span).await;
    }

    async fn handle(&self, entry: &Entry, holding: &mut Holding, opened: Opened) -> End {
        if opened.limit.deadline().expired() {
            return End::TimedOut;
        }
        let clean_ups = CleanUps::default();
        let invocation = Invocation {
            arguments: opened.arguments,
            progress: Progress {
                lease: holding.lease.clone(),
                recorder: self.recorder.clone(),
                jobs: self.jobs.clone(),
            },
            limit: opened.limit.clone(),
            clean_ups: clean_ups.clone(),
        };
        let run = Arc::clone(&entry.run);
        // A frame of its own: what the handler sets is seen by its clean-ups and the hook as little as by anybody else.
        let work = async move { run(invocation).await }.isolated();
        let mut work = Box::pin(AssertUnwindSafe(work).catch_unwind());
        let end = self.drive(entry, work.as_mut(), holding, &opened.limit).await;
        // Dropped here, in its context, before anything is taken down under it.
        drop(work);
        while let Some(clean_up) = clean_ups.next() {
            let clean_up = AssertUnwindSafe(clean_up.isolated()).catch_unwind();
            if !matches!(tokio::time::timeout(self.cancel_grace, clean_up).await, Ok(Ok(()))) {
                tracing::warn!(job = %holding.lease.id, "a dependency could not be taken down");
            }
        }
        end
    }

    /// Runs the handler until it answers or has to stop: first by asking, then by no longer polling it.
    async fn drive<W>(
        &self,
        entry: &Entry,
        mut work: Pin<&mut W>,
        holding: &mut Holding,
        limit: &TimeLimit,
    ) -> End
    where
        W: Future<Output = std::thread::Result<Result<Vec<u8>, Failure>>>,
    {
        let asked = tokio::select! {
            biased;
            stop = holding.stopped() => match stop {
                Stop::Cancelled => Asked::Cancelled,
                at_once => return End::Stopped(at_once),
            },
            answer = work.as_mut() => return answered(answer),
            () = limit.passed() => Asked::TimedOut,
            () = self.withdrawn(entry) => Asked::Withdrawn,
        };
        holding.cancel.cancel();
        let end = match asked {
            Asked::TimedOut => End::TimedOut,
            Asked::Cancelled => End::Stopped(Stop::Cancelled),
            Asked::Withdrawn => End::Withdrawn,
        };
        tokio::select! {
            biased;
            stop = holding.stopped_at_once() => End::Stopped(stop),
            answer = work => match answer {
                // What was done in time to be heard counts, unless its owner no longer wants it or may have it.
                Ok(Ok(answer)) if asked == Asked::TimedOut => End::Answered(Ok(answer)),
                _ => end,
            },
            () = tokio::time::sleep(self.cancel_grace) => end,
        }
    }

    /// Returns the permission of the current job, or `None` if it is unknown at the moment.
    async fn permission(&self, entry: &Entry) -> Option<Permission> {
        match self.asked(entry) {
            Some(ask) => ask().await,
            None => Some(Permission::Granted),
        }
    }

    /// Returns the check for a handler's jobs; `None` if the handler declared that it needs no credential.
    fn asked(&self, entry: &Entry) -> Option<&Arc<Permitted>> {
        let needs_one = !matches!(entry.options.expired_token, ExpiredToken::Anonymous);
        self.handlers.permission().filter(|_| needs_one)
    }

    /// Waits until the job of the current context may not be done any more.
    async fn withdrawn(&self, entry: &Entry) {
        let Some(ask) = self.asked(entry) else { return std::future::pending().await };
        loop {
            tokio::time::sleep(PERMISSION).await;
            if ask().await == Some(Permission::Withdrawn) {
                return;
            }
        }
    }

    /// What is written down of an end; nothing when the lease is lost.
    async fn report(&self, delivery: &Delivery, holding: &mut Holding, end: End) -> Option<Report> {
        let failure = match end {
            End::Stopped(Stop::Cancelled) => return Some(Report::Cancelled(None)),
            End::Withdrawn => {
                tracing::warn!(job = %delivery.lease.id, "the credential of a job was withdrawn; it is cancelled");
                return Some(Report::Cancelled(Some(Ill {
                    kind: FailureKind::Withdrawn,
                    code: None,
                    text: None,
                })));
            }
            End::Untold => return Some(Report::Released(millis(HICCUP))),
            End::Stopped(Stop::Released) => return Some(Report::Released(0)),
            End::Stopped(Stop::Lost) => return None,
            End::Answered(Ok(answer)) if answer.len() > self.jobs.shared.options.max_result => {
                Failure::of(FailureKind::Unstored, "the result is larger than this program stores")
            }
            End::Answered(Ok(answer)) => {
                return match self.sealed(Said::Result, holding, &answer).await? {
                    Ok(outcome) => Some(Report::Succeeded { outcome }),
                    Err(_) => Some(failed(FailureKind::Unstored, None)),
                };
            }
            End::Answered(Err(failure)) => failure,
            End::Panicked => kind(Failure::retry("the handler panicked"), FailureKind::Panicked),
            End::TimedOut if delivery.deadline.is_some_and(|at| at <= now_millis()) => {
                Failure::of(FailureKind::Deadline, "its deadline passed before it was done")
            }
            End::TimedOut => kind(Failure::retry("the time of the attempt was up"), FailureKind::TimedOut),
        };
        let text = self.sealed(Said::Failure, holding, failure.kept()).await?.ok();
        let ill = Ill { kind: failure.kind, code: failure.code.map(str::to_owned), text };
        tracing::warn!(
            job = %delivery.lease.id, attempt = delivery.attempt, kind = %ill.kind, code = ill.code.as_deref(),
            "an attempt failed"
        );
        let again = delivery.attempt < delivery.max_attempts;
        let backoff = || delivery.backoff.after(delivery.attempt, random::spread());
        Some(match failure.class {
            Class::Retry if again => Report::Retry(ill, millis(backoff())),
            Class::RetryAfter(wait) if again => Report::Retry(ill, millis(wait.max(backoff()))),
            Class::NotHere => Report::Parked(ill, millis(self.parked)),
            _ => Report::Failed(ill),
        })
    }

    /// Seals what was said, waiting for the keys while the lease is held; nothing when it is lost meanwhile.
    async fn sealed(
        &self,
        what: Said,
        holding: &mut Holding,
        bytes: &[u8],
    ) -> Option<Result<Vec<u8>, JobError>> {
        loop {
            match seal(what, &holding.lease.id, bytes, &self.jobs.shared.keys) {
                Err(JobError::Keys(error)) => {
                    tracing::warn!(%error, "the end of a job waits, because the keys cannot be read");
                    tokio::select! {
                        _ = holding.stopped_at_once() => return None,
                        () = tokio::time::sleep(HICCUP) => {}
                    }
                }
                sealed => return Some(sealed),
            }
        }
    }

    /// The program's hook, once the end is committed. What it did not take is told again, by whoever comes to it.
    async fn finish(
        &self,
        delivery: &Delivery,
        report: &Report,
        arguments: Arc<[u8]>,
        said: Option<Arc<[u8]>>,
    ) {
        let (state, ill) = match report {
            Report::Succeeded { .. } => (State::Succeeded, None),
            Report::Failed(ill) => (State::Failed, Some(ill)),
            Report::Cancelled(ill) => (State::Cancelled, ill.as_ref()),
            _ => return,
        };
        let (failure, code) = (ill.map(|ill| ill.kind), ill.and_then(|ill| ill.code.clone()));
        let (id, handler) = (delivery.lease.id.clone(), delivery.handler.clone());
        let finished = Finished { id, handler, state, failure, code, said, arguments };
        self.tell(delivery, finished, 0).await;
    }

    fn park(&self, kind: FailureKind, code: Option<String>) -> Report {
        Report::Parked(Ill { kind, code, text: None }, millis(self.parked))
    }
}

fn failed(kind: FailureKind, code: Option<String>) -> Report {
    Report::Failed(Ill { kind, code, text: None })
}

fn kind(failure: Failure, kind: FailureKind) -> Failure {
    Failure { kind, ..failure }
}

/// The payload of a panic may hold anything, so it is dropped here.
fn answered(answer: std::thread::Result<Result<Vec<u8>, Failure>>) -> End {
    match answer {
        Ok(answer) => End::Answered(answer),
        Err(_) => End::Panicked,
    }
}

/// A trace of its own, linked to the one that submitted the job: it may run days later, and again.
fn job_span(delivery: &Delivery, submitted_in: Option<&TraceContext>) -> Span {
    let span = tracing::info_span!(
        parent: None,
        "job",
        job = %delivery.lease.id,
        handler = delivery.handler,
        queue = delivery.queue,
        attempt = delivery.attempt,
        queue_wait_ms = now_millis().saturating_sub(delivery.due_at),
        link.trace_id = field::Empty,
        link.span_id = field::Empty,
        outcome = field::Empty,
    );
    // Without a trace there is nothing to link to.
    if let Some(trace) = submitted_in {
        span.record("link.trace_id", trace.trace_id());
        span.record("link.span_id", trace.parent_id());
    }
    span
}

const fn outcome(report: &Report) -> &'static str {
    match report {
        Report::Succeeded { .. } => "succeeded",
        Report::Failed(_) => "failed",
        Report::Retry(..) => "retrying",
        Report::Parked(..) => "parked",
        Report::Cancelled(_) => "cancelled",
        Report::Released(_) => "released",
        Report::Progress { .. } | Report::Told { .. } => "running",
    }
}

const fn open_code(error: &OpenError) -> &'static str {
    match error {
        OpenError::NotSealed => "not_sealed",
        OpenError::Truncated => "truncated",
        OpenError::NewerFormat { .. } => "newer_format",
        OpenError::UnknownKey { .. } => "unknown_key",
        OpenError::RetiredKey { .. } => "retired_key",
        OpenError::Forged => "forged",
        _ => "damaged",
    }
}

const fn restore_code(error: &RestoreError) -> &'static str {
    match error {
        RestoreError::Expired { .. } => "expired",
        RestoreError::UnknownRequired { .. } => "unknown_required",
        RestoreError::NewerVersion { .. } => "newer_version",
        RestoreError::Undecodable { .. } => "undecodable",
        RestoreError::Missing { .. } => "missing",
        _ => "refused",
    }
}
