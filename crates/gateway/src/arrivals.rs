//! Which messages were taken: a message is worked on once, however often its sender sends it, and however often we are killed.
//!
//! A row per message in the control file, by tenant, account and the hash of its id, with the process that works on it. Where the
//! answer can be said later the message lies sealed in its row until it is finished: what a dead process had taken, or an
//! orderly one left, is taken up by the next. The answer has the id of the message, so it is said once all the same. The
//! gateway takes, the runner finishes, [`resume`](crate::resume) takes up, and old rows are swept.

use std::collections::{HashMap, HashSet};

use haversack::Snapshot;
use haversack::well_known::TenantId;
use haversack_store::sqlite::{Error, OptionalExtension, Transaction, params};
use haversack_store::{KeyFile, Store, StoreError, now_millis};
use serde::{Deserialize, Serialize};

use crate::GatewayError;
use crate::deferred::{Captured, Sealer};
use crate::hooks::Presence;
use crate::message::Message;
use crate::turn::{hex, message_hash};

/// How long a message is remembered after it was taken, in milliseconds: a week. Signatures are too old long before.
const MEMORY: i64 = 7 * 24 * 3_600_000;

/// The messages of an installation. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Arrivals {
    store: Store,
    sealer: Sealer,
    presence: Presence,
}

/// A message that somebody took and did not finish; it is ours now.
pub(crate) struct Left {
    pub(crate) tenant: String,
    pub(crate) account: String,
    pub(crate) hash: [u8; 32],
    /// How often the work on it has begun, with this time.
    pub(crate) starts: u32,
    sealed: Vec<u8>,
}

/// What is sealed in a row.
#[derive(Serialize, Deserialize)]
struct Kept {
    message: Message,
}

impl Arrivals {
    pub(crate) fn new(store: Store, keys: KeyFile, presence: Presence) -> Self {
        Self { store, sealer: Sealer::new(keys, "gateway.arrivals"), presence }
    }

    /// Seals a message with the current context, for its row.
    #[track_caller]
    pub(crate) fn seal(&self, message: &Message) -> Result<Vec<u8>, GatewayError> {
        let Captured { snapshot, tenant, .. } = Captured::here()?;
        let id = hex(&message_hash(&message.account, &message.id));
        self.sealer.seal(&snapshot, tenant.as_str(), &id, &Kept { message: message.clone() })
    }

    /// Takes a message, with what is kept of it. False when it is being worked on, or was.
    pub(crate) async fn take(
        &self,
        tenant: &TenantId,
        message: &Message,
        sealed: Option<Vec<u8>>,
    ) -> Result<bool, StoreError> {
        let hash = message_hash(&message.account, &message.id);
        let (account, tenant, presence) =
            (message.account.clone(), tenant.as_str().to_owned(), self.presence.clone());
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
                Some((by, None)) if presence.is_alive(&by) => return Ok(false),
                _ => {}
            }
            tx.prepare_cached(
                "INSERT INTO gateway_arrivals (tenant, account, message, instance, sealed, arrived_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                 ON CONFLICT (tenant, account, message) DO UPDATE SET instance = excluded.instance, sealed = excluded.sealed",
            )?
            .execute(params![tenant, account, hash, presence.name(), sealed, now])?;
            Ok(true)
        });
        taken.await
    }

    /// The message was answered, or will not be. A failure is logged: at worst the message is taken once more.
    pub(crate) async fn finish(&self, tenant: &TenantId, message: &Message) {
        let hash = message_hash(&message.account, &message.id);
        self.end(tenant.as_str(), &message.account, hash).await;
    }

    /// As [`finish`](Self::finish), for a message that may not open.
    pub(crate) async fn end(&self, tenant: &str, account: &str, hash: [u8; 32]) {
        let row = (tenant.to_owned(), account.to_owned(), hash);
        let finished = self.change("finish a message", move |tx| {
            tx.prepare_cached(
                "UPDATE gateway_arrivals SET finished_at = ?4, sealed = NULL
                 WHERE tenant = ?1 AND account = ?2 AND message = ?3",
            )?
            .execute(params![row.0, row.1, row.2, now_millis()])
        });
        finished.await;
    }

    /// Gives a message back that was taken and not queued: its sender may send it again.
    pub(crate) async fn give_back(&self, tenant: &TenantId, message: &Message) {
        let hash = message_hash(&message.account, &message.id);
        let (account, tenant) = (message.account.clone(), tenant.as_str().to_owned());
        let given = self.change("give a message back", move |tx| {
            tx.prepare_cached(
                "DELETE FROM gateway_arrivals
                 WHERE tenant = ?1 AND account = ?2 AND message = ?3 AND finished_at IS NULL",
            )?
            .execute(params![tenant, account, hash])
        });
        given.await;
    }

    /// Claims what processes that are gone had taken and not finished, in the order in which it came: of each tenant as many
    /// messages as `room` says.
    pub(crate) async fn left(
        &self,
        room: impl Fn(&str) -> usize + Send + 'static,
    ) -> Result<Vec<Left>, StoreError> {
        let rows = self.rows_left().await?;
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let (engine, presence) = (self.store.control().engine(), self.presence.clone());
        let claimed = engine.write("take up messages that were left", move |tx| {
            let mut statement = tx.prepare_cached(
                "UPDATE gateway_arrivals SET instance = ?1, starts = starts + 1
                 WHERE number = ?2 AND instance = ?3 AND finished_at IS NULL AND sealed IS NOT NULL
                 RETURNING tenant, account, message, starts, sealed",
            )?;
            let mut left = Vec::new();
            let mut taken: HashMap<String, usize> = HashMap::new();
            for (number, by, tenant) in rows {
                let of_tenant = taken.entry(tenant).or_insert_with_key(|tenant| room(tenant));
                if *of_tenant == 0 {
                    continue;
                }
                *of_tenant -= 1;
                let row = statement.query_row(params![presence.name(), number, by], |row| {
                    Ok(Left {
                        tenant: row.get(0)?,
                        account: row.get(1)?,
                        hash: row.get(2)?,
                        starts: row.get(3)?,
                        sealed: row.get(4)?,
                    })
                });
                left.extend(row.optional()?);
            }
            Ok(left)
        });
        claimed.await
    }

    /// The tenants that have messages which processes that are gone had taken and not finished.
    pub(crate) async fn tenants_left(&self) -> Result<HashSet<String>, StoreError> {
        Ok(self.rows_left().await?.into_iter().map(|(.., tenant)| tenant).collect())
    }

    /// Number, process and tenant of what was left.
    async fn rows_left(&self) -> Result<Vec<(i64, String, String)>, StoreError> {
        let (engine, presence) = (self.store.control().engine(), self.presence.clone());
        let rows = engine.read("look for messages that were left", move |conn| {
            let mut statement = conn.prepare_cached(
                "SELECT number, instance, tenant FROM gateway_arrivals
                 WHERE finished_at IS NULL AND sealed IS NOT NULL AND instance <> ?1 ORDER BY number",
            )?;
            let rows =
                statement.query_map([presence.name()], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
            let mut rows = rows.collect::<Result<Vec<(i64, String, String)>, Error>>()?;
            rows.retain(|(_, by, _)| !presence.is_alive(by));
            Ok(rows)
        });
        rows.await
    }

    /// What was kept of a message.
    ///
    /// # Errors
    /// [`GatewayError::Sealed`] when it does not open.
    pub(crate) fn open(&self, left: &Left) -> Result<(Snapshot, Message), GatewayError> {
        let (snapshot, kept) = self.sealer.open::<Kept>(&left.sealed, &left.tenant, &hex(&left.hash))?;
        Ok((snapshot, kept.message))
    }

    /// Leaves a message, so that it is taken up again: by the next process, or by this one a while later.
    pub(crate) async fn leave(&self, left: &Left) {
        let row = (left.tenant.clone(), left.account.clone(), left.hash);
        let given = self.change("leave a message", move |tx| {
            tx.prepare_cached(
                "UPDATE gateway_arrivals SET instance = '', starts = max(starts - 1, 0)
                 WHERE tenant = ?1 AND account = ?2 AND message = ?3 AND finished_at IS NULL",
            )?
            .execute(params![row.0, row.1, row.2])
        });
        given.await;
    }

    /// Leaves everything that this process took and did not finish to the next one.
    pub(crate) async fn leave_all(&self) {
        let presence = self.presence.clone();
        let given = self.change("leave what was not finished", move |tx| {
            tx.execute(
                "UPDATE gateway_arrivals SET instance = '', starts = max(starts - 1, 0)
                 WHERE instance = ?1 AND finished_at IS NULL AND sealed IS NOT NULL",
                [presence.name()],
            )
        });
        given.await;
    }

    /// Forgets what is old.
    pub(crate) async fn sweep(&self) -> Result<usize, StoreError> {
        let swept = self.store.control().engine().write("sweep old messages", |tx| {
            Ok(tx.execute("DELETE FROM gateway_arrivals WHERE arrived_at < ?1", [now_millis() - MEMORY])?)
        });
        swept.await
    }

    async fn change(
        &self,
        what: &'static str,
        change: impl FnOnce(&Transaction<'_>) -> Result<usize, Error> + Send + 'static,
    ) {
        let changed = self.store.control().engine().write(what, move |tx| Ok(change(tx)?));
        if let Err(error) = changed.await {
            tracing::warn!(error = %error, "the row of a message could not be changed");
        }
    }
}
