//! Telling ends: the program's hook, run in the job's context for each end, whoever wrote that down.
//!
//! The worker that records an end tells it at once. What it did not come to, and what ended without a worker (called off
//! while it waited, put into quarantine, parked for too long), stands in the store as untold, and every worker looks for
//! that. A job that cannot be opened has no context to tell it in, and its row says so.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::join_all;
use haversack::FutureExt as _;
use haversack::well_known::Cancel;
use haversack_store::now_millis;
use tokio::sync::watch;

use super::attempt::Attempts;
use super::outage::Outage;
use crate::State;
use crate::backend::{Backend, Delivery, Ended, Report};
use crate::failure::Class;
use crate::handler::Finished;
use crate::policy::{millis, span};
use crate::sealed::{Said, open};

/// How many are told at the same time.
const TOGETHER: usize = 8;

/// How often one is tried. The waits double, so that the last try is hours after the first.
const TRIES: u32 = 10;

/// The longest sleep, for clocks that jump, and the shortest, so that a busy store is not asked at each of its changes.
const NAP: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(50);

/// Tells what others left untold, until `ended`.
pub(super) async fn untold(attempts: Arc<Attempts>, mut ended: watch::Receiver<bool>) {
    let telling = async {
        let mut changed = attempts.jobs.changed();
        let mut outage = Outage::default();
        loop {
            changed.mark_unchanged();
            let found = attempts.jobs.shared.backend.untold(TOGETHER, millis(attempts.tell_within)).await;
            let found = match found {
                Ok(found) => found,
                Err(error) => {
                    outage.wait("tell of jobs", &error).await;
                    continue;
                }
            };
            outage.over("tell of jobs");
            join_all(found.jobs.into_iter().map(|ended| attempts.tell_untold(ended))).await;
            let wait = found.next_at.map_or(NAP, |at| span(at.saturating_sub(now_millis())).min(NAP));
            tokio::time::sleep(PAUSE).await;
            tokio::select! {
                _ = changed.changed() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    };
    tokio::select! {
        _ = ended.wait_for(|ended| *ended) => {}
        () = telling => {}
    }
}

impl Attempts {
    /// Tells an end that somebody else wrote down, in the context that the job was submitted in.
    async fn tell_untold(&self, ended: Ended) {
        let Ended { mut delivery, state, failure, code, outcome, tries } = ended;
        if self.handlers.hook().is_none() {
            self.told(&delivery, false);
            return;
        }
        // Whatever time the job had is over; telling has its own.
        (delivery.deadline, delivery.timeout_ms) = (None, millis(self.tell_within));
        let visit = self.open(&delivery).and_then(|opened| {
            Ok((self.restore(&delivery, &Cancel::new(), &opened, None)?, opened.arguments))
        });
        match visit {
            Ok((visit, arguments)) => {
                let what = if state == State::Succeeded { Said::Result } else { Said::Failure };
                let keys = &self.jobs.shared.keys;
                let said = outcome
                    .and_then(|said| open(what, &delivery.tenant, &delivery.lease.id, &said, keys).ok())
                    .map(Arc::from);
                let (id, handler) = (delivery.lease.id.clone(), delivery.handler.clone());
                let finished = Finished { id, handler, state, failure, code, said, arguments };
                visit.wrap(self.tell(&delivery, finished, tries)).await;
            }
            Err(Report::Failed(_)) => self.give_up(&delivery),
            // A newer program may be able to, or the keys are there again later.
            Err(_) if tries < TRIES => {}
            Err(_) => self.give_up(&delivery),
        }
    }

    /// Runs the hook in the current context, which is the job's, and notes that the end was told when it was.
    pub(super) async fn tell(&self, delivery: &Delivery, finished: Finished, tries: u32) {
        let Some(hook) = self.handlers.hook() else { return };
        let hook = AssertUnwindSafe(async { hook(finished).await }.isolated()).catch_unwind();
        let again = match tokio::time::timeout(self.tell_within, hook).await {
            Ok(Ok(Ok(()))) => return self.told(delivery, false),
            Ok(Ok(Err(failure))) => failure.class() != Class::Permanent,
            Ok(Err(_)) => {
                tracing::error!(job = %delivery.lease.id, "the hook for finished jobs panicked");
                true
            }
            Err(_) => true,
        };
        if !again || tries >= TRIES {
            self.give_up(delivery);
        }
    }

    fn give_up(&self, delivery: &Delivery) {
        tracing::warn!(job = %delivery.lease.id, "nobody could be told that a job ended; its row says so");
        self.told(delivery, true);
    }

    fn told(&self, delivery: &Delivery, lost: bool) {
        self.recorder.note(delivery.lease.clone(), Report::Told { drive: delivery.drive, lost });
    }
}
