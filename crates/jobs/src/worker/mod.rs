//! The worker: takes due jobs, runs each in its submitter's context, and writes down what came of it.
//!
//! One loop claims as many as there are free slots and sleeps until something falls due, is submitted or is freed. Beside
//! it the pulse keeps the leases and the recorder writes the ends. A program starts one with its handlers; it is
//! infrastructure, inherits nothing, and ends only when it is told to.

mod attempt;
mod door;
mod outage;
mod pulse;
pub(crate) mod recorder;
mod running;
mod tell;

use std::collections::HashMap;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use haversack_store::now_millis;
use tokio::sync::watch;
use tokio::time::Instant;

use self::attempt::Attempts;
use self::outage::Outage;
use self::pulse::Pulse;
use self::recorder::recorder;
use self::running::{Running, Stop};
use crate::backend::{Ask, Backend, Claimed};
use crate::policy::{millis, span};
use crate::{DEFAULT_QUEUE, Handlers, JobError, Jobs, random};

/// The longest sleep of an idle worker. It is woken by what happens; this is for clocks that jump.
const NAP: Duration = Duration::from_secs(30);

/// The pause between two looks at more tenants than one look goes through, when the last one found nothing due.
const BREATH: Duration = Duration::from_millis(20);

/// How a worker works.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerOptions {
    /// The queues it takes jobs from; each is the first in its turn.
    pub queues: Vec<String>,
    /// How many jobs it runs at the same time; at least one.
    pub concurrency: usize,
    /// How many jobs of one tenant may run at the same time, over all workers; no limit by default. Slots are shared out
    /// fairly either way.
    pub per_tenant: Option<usize>,
    /// How many of this worker's slots one tenant may have at the same time; all of them by default. With less, one
    /// tenant's long jobs leave a slot for the others.
    pub share: Option<usize>,
    /// How long after its death another worker takes its jobs over. Leases are renewed three times as often.
    pub lease: Duration,
    /// How long running jobs have to end when the worker is told to stop. The rest is given back.
    pub grace: Duration,
    /// How long the handler of a job that was cancelled, or whose time is up, has to come to an end.
    pub cancel_grace: Duration,
    /// How often it looks for what other processes changed.
    pub poll: Duration,
    /// How long a job that this program cannot read stays parked before it is offered again.
    pub parked: Duration,
    /// How often rows whose time is up are deleted.
    pub sweep: Duration,
}

impl Default for WorkerOptions {
    /// Ten jobs of the queue `default` at the same time, a lease of 30 seconds, 30 seconds of grace, a look every 20
    /// milliseconds, a sweep every minute.
    fn default() -> Self {
        Self {
            queues: vec![DEFAULT_QUEUE.to_owned()],
            concurrency: 10,
            per_tenant: None,
            share: None,
            lease: Duration::from_secs(30),
            grace: Duration::from_secs(30),
            cancel_grace: Duration::from_secs(5),
            poll: Duration::from_millis(20),
            parked: Duration::from_secs(30),
            sweep: Duration::from_secs(60),
        }
    }
}

/// Does jobs.
#[derive(Debug)]
#[must_use = "a worker does nothing until it runs"]
pub struct Worker {
    jobs: Jobs,
    handlers: Handlers,
    options: WorkerOptions,
}

impl Worker {
    /// A worker with these handlers. Several may run, in this process and in others.
    pub fn new(jobs: Jobs, handlers: Handlers, options: WorkerOptions) -> Self {
        Self { jobs, handlers, options }
    }

    /// Works until `shutdown` resolves; then it claims no more, lets running jobs end within the grace, gives the rest
    /// back, to be begun again elsewhere without losing an attempt, and returns. Errors of the store are waited out.
    ///
    /// # Errors
    /// Only at its start: when the control file cannot be opened, or the system gives no random bits.
    ///
    /// # Cancellation
    /// Dropping the future stops every handler at once; their leases run out and others take over.
    ///
    /// # Panics
    /// When it is polled outside a tokio runtime with timers.
    pub fn run(
        self,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> impl Future<Output = Result<(), JobError>> + Send + 'static {
        haversack::detached(self.work(shutdown))
    }

    async fn work(self, shutdown: impl Future<Output = ()> + Send) -> Result<(), JobError> {
        let Self { jobs, handlers, options } = self;
        let running = Arc::new(Running::default());
        let owner: [u8; 8] = random::bytes()?;
        let owner: Arc<str> = format!("{}-{:016x}", std::process::id(), u64::from_le_bytes(owner)).into();
        let opening = {
            let (jobs, running) = (jobs.clone(), Arc::clone(&running));
            haversack::spawn_blocking(move || Pulse::start(jobs, running, options.lease, options.poll))
        };
        let pulse = opening.await.map_err(|_| haversack_store::StoreError::Closed)??;
        // Whatever ends this future, the handlers are stopped.
        let _stopped = StopOnDrop(Arc::clone(&running));
        let (recorder, records) = recorder();
        // Who hears of an end hears it from the worker that wrote it, which has as long as a lease.
        let tell_in = handlers.hook().map(|_| millis(options.lease));
        let writer = haversack::spawn_detached(records.write(jobs.clone(), tell_in));
        let (end, ended) = watch::channel(false);
        let sweeper = haversack::spawn_detached(sweep(jobs.clone(), options.sweep, ended.clone()));

        let attempts = Arc::new(Attempts {
            jobs: jobs.clone(),
            handlers,
            recorder,
            cancel_grace: options.cancel_grace,
            parked: options.parked,
            tell_within: options.lease,
        });
        let teller = haversack::spawn_detached(tell::untold(Arc::clone(&attempts), ended));
        let ask = Ask {
            queues: options.queues.into(),
            turn: 0,
            slots: 0,
            owner,
            lease_ms: millis(options.lease),
            per_tenant: options.per_tenant,
            share: options.share,
            places: HashMap::new(),
        };
        let claims = Claims { jobs, running: Arc::clone(&running), attempts, ask };
        claims.run(options.concurrency.max(1), shutdown).await;

        // Claiming has stopped; what runs may end, what does not is given back.
        if tokio::time::timeout(options.grace, all_ended(&running)).await.is_err() {
            running.stop_all(Stop::Released);
            // The handlers are dropped at once; this waits for the store to take them back.
            let _ =
                tokio::time::timeout(options.grace.max(Duration::from_secs(1)), all_ended(&running)).await;
        }
        pulse.stop().await;
        end.send_replace(true);
        let _ = sweeper.await;
        let _ = teller.await;
        // Its senders are gone with the attempts. What a failing store did not take by now is left to the leases.
        let _ = tokio::time::timeout(Duration::from_secs(1), writer).await;
        Ok(())
    }
}

struct StopOnDrop(Arc<Running>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.stop_all(Stop::Lost);
    }
}

async fn all_ended(running: &Running) {
    while running.count() > 0 {
        running.freed().await;
    }
}

/// The loop that takes jobs.
struct Claims {
    jobs: Jobs,
    running: Arc<Running>,
    attempts: Arc<Attempts>,
    ask: Ask,
}

impl Claims {
    async fn run(mut self, concurrency: usize, shutdown: impl Future<Output = ()>) {
        let mut shutdown = pin!(shutdown);
        let mut due = self.jobs.due();
        let mut outage = Outage::default();
        // Whether a lap over many tenants is under way. What falls due behind it is looked at in the next lap.
        let mut under_way = false;
        loop {
            if !under_way {
                due.mark_unchanged();
                self.ask.places.values_mut().for_each(|place| place.lap = None);
            }
            under_way = false;
            let free = concurrency.saturating_sub(self.running.count());
            let mut next = Instant::now() + NAP;
            // Whether slots are left because nothing more is due: then a freed slot is no news.
            let mut idle = false;
            if free > 0 {
                // A claim that was begun is finished: its jobs are ours.
                match self.claim(free).await {
                    Ok(Taken { count, next_at, more, held_back }) => {
                        outage.over("claim jobs");
                        if more {
                            under_way = true;
                            // Between the parts of a long lap a stop is heard; and where a part had nothing that is
                            // due, others may write before the next one.
                            let pause = if count == 0 { BREATH } else { Duration::ZERO };
                            tokio::select! {
                                biased;
                                () = &mut shutdown => return,
                                () = tokio::time::sleep(pause) => continue,
                            }
                        }
                        idle = count < free && !held_back;
                        if let Some(at) = next_at {
                            next = next.min(Instant::now() + span(at.saturating_sub(now_millis())));
                        }
                    }
                    Err(error) => {
                        tokio::select! {
                            () = outage.wait("claim jobs", &error) => continue,
                            () = &mut shutdown => return,
                        }
                    }
                }
            }
            tokio::select! {
                () = &mut shutdown => return,
                _ = due.changed(), if free > 0 => {}
                () = tokio::time::sleep_until(next), if free > 0 => {}
                () = self.running.freed(), if !idle => {}
            }
        }
    }

    async fn claim(&mut self, free: usize) -> Result<Taken, haversack_store::StoreError> {
        self.ask.slots = free;
        self.ask.turn = self.ask.turn.wrapping_add(1);
        let mut claimed = self.jobs.shared.backend.claim(self.ask.clone()).await?;
        self.ask.places = std::mem::take(&mut claimed.places);
        let count = claimed.jobs.len();
        if count > 0 {
            self.jobs.have_changed(claimed.jobs.iter().map(|delivery| &delivery.lease.id));
        }
        for delivery in std::mem::take(&mut claimed.jobs) {
            let holding = self.running.hold(delivery.lease.clone());
            let attempts = Arc::clone(&self.attempts);
            haversack::spawn_detached(async move { attempts.attempt(delivery, holding).await });
        }
        let Claimed { next_at, more, held_back, .. } = claimed;
        Ok(Taken { count, next_at, more, held_back })
    }
}

struct Taken {
    count: usize,
    next_at: Option<i64>,
    more: bool,
    held_back: bool,
}

/// Deletes rows whose time is up, a few at a time.
async fn sweep(jobs: Jobs, every: Duration, mut ended: watch::Receiver<bool>) {
    loop {
        match jobs.shared.backend.sweep().await {
            Ok(0) => {}
            Ok(_) => continue,
            Err(error) => {
                tracing::warn!(%error, "rows of finished jobs could not be deleted; trying again later");
            }
        }
        tokio::select! {
            _ = ended.wait_for(|ended| *ended) => return,
            () = tokio::time::sleep(every) => {}
        }
    }
}
