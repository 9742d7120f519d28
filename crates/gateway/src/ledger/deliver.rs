//! The engine: claims what is due and sends it, each delivery in the context that asked for it.
//!
//! One loop, a bounded set of deliveries at a time, woken by submissions, by ends and by the next time that something is due.
//! A delivery opens its row, enters the door `deferred`, sends part by part and settles. The program runs it once.

use std::sync::PoisonError;
use std::time::Duration;

use haversack::{JoinSet, Snapshot};
use haversack_store::{StoreError, now_millis};

use super::rows::{self, Claimed, End, Places};
use super::{AGAIN, Ledger, Parcel};
use crate::deferred;
use crate::platform::{Part, SendError, chunk};

/// How long the loop sleeps at most: another process may have submitted.
const LONGEST_SLEEP: Duration = Duration::from_secs(5);

/// How long the loop waits after the store failed.
const PAUSE: Duration = Duration::from_secs(1);

impl Ledger {
    /// Delivers until `shutdown` is over, then what is due by then, and waits for what is being sent.
    pub(crate) async fn run(&self, shutdown: impl Future<Output = ()> + Send) {
        let mut shutdown = std::pin::pin!(shutdown);
        let mut running = JoinSet::new();
        loop {
            let sleep = match self.round(&mut running).await {
                Ok(sleep) => sleep,
                Err(StoreError::Closed) => break,
                Err(error) => {
                    tracing::error!(error = %error, "the delivery ledger could not be read");
                    PAUSE
                }
            };
            tokio::select! {
                () = &mut shutdown => break,
                () = self.wake.notified() => {}
                Some(_) = running.join_next() => {}
                () = tokio::time::sleep(sleep) => {}
            }
        }
        // What was said last is due now; what has failed is due later and stays.
        while self.round(&mut running).await.is_ok() && running.join_next().await.is_some() {}
        while running.join_next().await.is_some() {}
    }

    /// Gives up what is too old, and forgets what ended long ago.
    pub(crate) async fn sweep(&self) -> Result<usize, StoreError> {
        let options = self.options.clone();
        self.store.control().engine().write("sweep the ledger", move |tx| rows::sweep(tx, &options)).await
    }

    /// Claims what is due and starts it. Returns how long nothing more will be.
    async fn round(&self, running: &mut JoinSet<()>) -> Result<Duration, StoreError> {
        let engine = self.store.control().engine();
        let parallel = self.options.parallel.max(1);
        let after = self.served.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let places =
            Places { free: parallel.saturating_sub(running.len()), share: parallel.div_ceil(2), after };
        let (lease, asked) = (self.lease(), places.clone());
        let looked = engine.read("look for deliveries", move |conn| rows::look(conn, &asked)).await?;
        if looked.claim {
            let claimed = engine.write("claim deliveries", move |tx| {
                rows::recover(tx)?;
                rows::claim(tx, &places, lease)
            });
            for claimed in claimed.await? {
                *self.served.lock().unwrap_or_else(PoisonError::into_inner) = claimed.tenant.clone();
                let ledger = self.clone();
                running.spawn(haversack::detached(async move { ledger.deliver(claimed).await }));
            }
        }
        let wait = looked.next.map_or(LONGEST_SLEEP, |due| millis(due.saturating_sub(now_millis())));
        // A full house is woken by an end, and a place that is claimed by somebody else is none of our business for a while.
        Ok(wait.clamp(Duration::from_millis(5), LONGEST_SLEEP))
    }

    async fn deliver(&self, claimed: Claimed) {
        let end = self.attempt(&claimed).await;
        let Some(end) = end else {
            tracing::warn!(delivery = %claimed.id, "a delivery was taken over by another process");
            return;
        };
        let Claimed { number, id, target, attempts, fence, .. } = claimed;
        let options = self.options.clone();
        let settled = self.store.control().engine().write("settle a delivery", move |tx| {
            rows::settle(tx, (number, fence), &target, attempts, &end, &options)
        });
        match settled.await {
            Ok(true) => {}
            Ok(false) => tracing::warn!(delivery = %id, "a delivery was taken over by another process"),
            // Its lease lapses, and it is sent once more with the mark.
            Err(error) => tracing::error!(delivery = %id, error = %error, "a delivery could not be settled"),
        }
    }

    /// Sends what is left of a delivery. `None` when the claim was lost meanwhile.
    async fn attempt(&self, claimed: &Claimed) -> Option<End> {
        let Claimed { id, tenant, sealed, .. } = claimed;
        let (snapshot, parcel) = match self.sealer.open::<Parcel>(sealed, tenant, id) {
            Ok(opened) => opened,
            Err(error) => {
                tracing::error!(delivery = %id, error = %error, "a delivery could not be opened");
                return Some(End::Failed("sealed"));
            }
        };
        let visit = match deferred::enter(&snapshot) {
            Ok(visit) => visit,
            Err(error) => {
                tracing::error!(delivery = %id, error = %error, "the context of a delivery could not be restored");
                return Some(End::Failed("context"));
            }
        };
        // Dropped by whoever wraps it: what was sent is not known.
        let mut end = Some(End::Later(None, true));
        let work = Box::pin(async { end = self.send(claimed, &snapshot, parcel).await });
        let wrapped = visit.run(|| self.hooks.wrap(id, work));
        visit.wrap(wrapped).await;
        end
    }

    async fn send(&self, claimed: &Claimed, snapshot: &Snapshot, parcel: Parcel) -> Option<End> {
        let Claimed { number, id, parts_done, again, fence, .. } = claimed;
        let Parcel { text, to } = parcel;
        let Some(platform) = self.platforms.get(to.platform()) else {
            return Some(End::Failed("no platform"));
        };
        let parts = chunk::parts(&text, platform.max_chars().saturating_sub(AGAIN.chars().count()));
        for (index, part) in parts.iter().enumerate().skip(*parts_done) {
            let again = *again && index == *parts_done;
            let text = if again { format!("{AGAIN}{part}") } else { (*part).to_owned() };
            let part =
                Part { id: format!("{id}.{}", index + 1), text, number: index + 1, of: parts.len(), again };
            // Each part enters anew, so that nothing of one is there for the next. What it causes is caused by the delivery.
            let visit = match deferred::enter_within(snapshot) {
                Ok(visit) => visit,
                Err(error) => {
                    tracing::error!(delivery = %id, error = %error, "the context of a delivery could not be restored");
                    return Some(End::Failed("context"));
                }
            };
            let sending = visit.run(|| platform.send(to.clone(), part));
            let sent = tokio::time::timeout(self.options.part_timeout, visit.wrap(sending)).await;
            match sent.unwrap_or(Err(SendError::Unsure)) {
                Ok(()) => {}
                Err(SendError::Later { after }) => {
                    let after = after.map(|after| i64::try_from(after.as_millis()).unwrap_or(i64::MAX));
                    return Some(End::Later(after, false));
                }
                Err(SendError::Unsure) => return Some(End::Later(None, true)),
                Err(SendError::Away) => return Some(End::Away),
                Err(SendError::Gone) => return Some(End::Gone),
                Err(SendError::Refused) => return Some(End::Failed("refused")),
            }
            if index + 1 < parts.len() {
                let (claim, lease) = ((*number, *fence), self.lease());
                let engine = self.store.control().engine();
                match engine
                    .write("advance a delivery", move |tx| rows::advance(tx, claim, index + 1, lease))
                    .await
                {
                    Ok(true) => {}
                    Ok(false) => return None,
                    Err(_) => return Some(End::Later(None, true)),
                }
            }
        }
        Some(End::Delivered)
    }

    fn lease(&self) -> i64 {
        i64::try_from(self.options.part_timeout.as_millis() * 2).unwrap_or(i64::MAX)
    }
}

fn millis(span: i64) -> Duration {
    Duration::from_millis(u64::try_from(span).unwrap_or_default())
}
