//! Which messages were taken: a message is worked on once, however often its sender sends it.
//!
//! A row per message in the control file, by tenant, account and the hash of its id, with the gateway that works on it. A message
//! that an earlier gateway took and did not finish may be taken again; the answer has the id of the message, so it is said
//! once all the same. The gateway takes, the runner finishes, and old rows are swept.

use haversack::well_known::TenantId;
use haversack_store::sqlite::{OptionalExtension, params};
use haversack_store::{Store, StoreError, now_millis};

use crate::message::Message;
use crate::turn::message_hash;

/// How long a message is remembered after it was taken, in milliseconds: a week. Signatures are too old long before.
const MEMORY: i64 = 7 * 24 * 3_600_000;

/// The messages of an installation. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Arrivals {
    store: Store,
    instance: String,
}

impl Arrivals {
    pub(crate) fn new(store: Store, instance: String) -> Self {
        Self { store, instance }
    }

    /// Takes a message. False when it is being worked on, or was.
    pub(crate) async fn take(&self, tenant: &TenantId, message: &Message) -> Result<bool, StoreError> {
        let hash = message_hash(&message.account, &message.id);
        let (account, tenant, instance) =
            (message.account.clone(), tenant.as_str().to_owned(), self.instance.clone());
        let taken = self.store.control().engine().write("take a message", move |tx| {
            let now = now_millis();
            let before: Option<(String, Option<i64>)> = tx
                .prepare_cached(
                    "SELECT instance, finished_at FROM gateway_arrivals
                     WHERE tenant = ?1 AND account = ?2 AND message = ?3",
                )?
                .query_row(params![tenant, account, hash], |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()?;
            match before {
                Some((_, Some(_))) => return Ok(false),
                Some((by, None)) if by == instance => return Ok(false),
                _ => {}
            }
            tx.prepare_cached(
                "INSERT INTO gateway_arrivals (tenant, account, message, instance, arrived_at) VALUES (?1, ?2, ?3, ?4, ?5)
                 ON CONFLICT (tenant, account, message) DO UPDATE SET instance = excluded.instance",
            )?
            .execute(params![tenant, account, hash, instance, now])?;
            Ok(true)
        });
        taken.await
    }

    /// The message was answered, or will not be. A failure is logged: at worst the message is taken once more.
    pub(crate) async fn finish(&self, tenant: &TenantId, message: &Message) {
        let hash = message_hash(&message.account, &message.id);
        let (account, tenant) = (message.account.clone(), tenant.as_str().to_owned());
        let finished = self.store.control().engine().write("finish a message", move |tx| {
            tx.prepare_cached(
                "UPDATE gateway_arrivals SET finished_at = ?4 WHERE tenant = ?1 AND account = ?2 AND message = ?3",
            )?
            .execute(params![tenant, account, hash, now_millis()])?;
            Ok(())
        });
        if let Err(error) = finished.await {
            tracing::warn!(error = %error, "the end of a message could not be recorded");
        }
    }

    /// Gives a message back that was taken and not queued: its sender may send it again.
    pub(crate) async fn give_back(&self, tenant: &TenantId, message: &Message) {
        let hash = message_hash(&message.account, &message.id);
        let (account, tenant) = (message.account.clone(), tenant.as_str().to_owned());
        let given = self.store.control().engine().write("give a message back", move |tx| {
            tx.prepare_cached(
                "DELETE FROM gateway_arrivals
                 WHERE tenant = ?1 AND account = ?2 AND message = ?3 AND finished_at IS NULL",
            )?
            .execute(params![tenant, account, hash])?;
            Ok(())
        });
        if let Err(error) = given.await {
            tracing::warn!(error = %error, "a message could not be given back");
        }
    }

    /// Forgets what is old.
    pub(crate) async fn sweep(&self) -> Result<usize, StoreError> {
        let swept = self.store.control().engine().write("sweep old messages", |tx| {
            Ok(tx.execute("DELETE FROM gateway_arrivals WHERE arrived_at < ?1", [now_millis() - MEMORY])?)
        });
        swept.await
    }
}
