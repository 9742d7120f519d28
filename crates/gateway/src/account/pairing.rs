//! Pairing: a stranger shows a code to an operator, who says which principal they are.
//!
//! A row per stranger in the control file, with a code that ends after an hour and a bound on how many wait. The gateway
//! hands codes out; the commands confirm and revoke. Confirming names the principal, and no operator's can be named.

use std::fmt;

use haversack::well_known::Principal;
use haversack_store::sqlite::{OptionalExtension, params};
use haversack_store::{Store, StoreError, now_millis};
use serde::Serialize;

use super::is_reserved;
use crate::GatewayError;

/// A code is good for an hour, in milliseconds.
const LIFE: i64 = 3_600_000;

/// How many strangers of one account may wait. More would let anybody fill the file.
const WAITING: i64 = 64;

/// Letters that nobody takes for another when they are read out.
const LETTERS: &[u8; 32] = b"ABCDEFGHJKLMNPQRSTUVWXYZ23456789";

/// One stranger. Times in milliseconds since the Unix epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PairingRow {
    /// The account that they wrote to.
    pub account: String,
    /// Their id on the platform.
    pub user: String,
    /// What they call themselves there; it proves nothing.
    pub name: String,
    /// The code; none once it is confirmed.
    pub code: Option<String>,
    /// The principal that they are; none until it is confirmed.
    pub principal: Option<String>,
    /// When they first wrote.
    pub created_at: i64,
}

/// The strangers of an installation.
#[derive(Clone)]
pub struct Pairings {
    store: Store,
}

impl Pairings {
    /// Those of a store.
    #[must_use]
    pub fn new(store: Store) -> Self {
        Self { store }
    }

    /// Who this sender is, if it was confirmed.
    pub(crate) async fn known(&self, account: &str, user: &str) -> Result<Option<Principal>, GatewayError> {
        let (account, user) = (account.to_owned(), user.to_owned());
        let found = self.store.control().engine().read("look a sender up", move |conn| {
            let mut statement =
                conn.prepare_cached("SELECT principal FROM gateway_pairings WHERE account = ?1 AND user = ?2")?;
            let found: Option<Option<String>> =
                statement.query_row(params![account, user], |row| row.get(0)).optional()?;
            Ok(found.flatten())
        });
        Ok(found.await?.and_then(|principal| Principal::new(principal).ok()))
    }

    /// The code of a stranger: the one they have while it is good, or a new one.
    pub(crate) async fn code(&self, account: &str, user: &str, name: &str) -> Result<String, GatewayError> {
        let (account, user, name) = (account.to_owned(), user.to_owned(), name.to_owned());
        let fresh = new_code()?;
        let code = self.store.control().engine().write("pair a sender", move |tx| {
            let now = now_millis();
            tx.execute(
                "DELETE FROM gateway_pairings WHERE principal IS NULL AND created_at < ?1",
                [now - LIFE],
            )?;
            let there: Option<String> = tx
                .query_row(
                    "SELECT code FROM gateway_pairings WHERE account = ?1 AND user = ?2 AND principal IS NULL",
                    params![account, user],
                    |row| row.get(0),
                )
                .optional()?;
            if there.is_some() {
                return Ok(there);
            }
            let waiting: i64 = tx.query_row(
                "SELECT count(*) FROM gateway_pairings WHERE account = ?1 AND principal IS NULL",
                [&account],
                |row| row.get(0),
            )?;
            if waiting >= WAITING {
                return Ok(None);
            }
            tx.execute(
                "INSERT INTO gateway_pairings (account, user, name, code, created_at) VALUES (?1, ?2, ?3, ?4, ?5)",
                params![account, user, name, fresh, now],
            )?;
            Ok(Some(fresh))
        });
        code.await?.ok_or(GatewayError::PairingFull)
    }

    /// Confirms a code: its stranger is `principal` from now on. For the operator.
    ///
    /// # Errors
    /// [`GatewayError::NotFound`] when no such code waits; [`GatewayError::Config`] for a principal that nobody is mapped
    /// onto.
    pub async fn confirm(&self, code: &str, principal: &Principal) -> Result<(), GatewayError> {
        if is_reserved(principal) {
            return Err(GatewayError::Config("nobody is mapped onto an operator, a schedule or a group".to_owned()));
        }
        let (code, principal) = (code.trim().to_uppercase(), principal.as_str().to_owned());
        let changed = self.store.control().engine().write("confirm a pairing", move |tx| {
            Ok(tx.execute(
                "UPDATE gateway_pairings SET principal = ?2, code = NULL
                 WHERE code = ?1 AND principal IS NULL AND created_at >= ?3",
                params![code, principal, now_millis() - LIFE],
            )?)
        });
        found(changed.await?)
    }

    /// Forgets a sender: they are a stranger again. For the operator.
    ///
    /// # Errors
    /// [`GatewayError::NotFound`].
    pub async fn revoke(&self, account: &str, user: &str) -> Result<(), GatewayError> {
        let (account, user) = (account.to_owned(), user.to_owned());
        let changed = self.store.control().engine().write("revoke a pairing", move |tx| {
            Ok(tx.execute("DELETE FROM gateway_pairings WHERE account = ?1 AND user = ?2", params![account, user])?)
        });
        found(changed.await?)
    }

    /// Everybody who is paired or waits, oldest first. For the operator.
    ///
    /// # Errors
    /// The store's.
    pub async fn list(&self) -> Result<Vec<PairingRow>, StoreError> {
        let rows = self.store.control().engine().read("list pairings", |conn| {
            let mut statement = conn.prepare_cached(
                "SELECT account, user, name, code, principal, created_at FROM gateway_pairings
                 ORDER BY created_at, account, user",
            )?;
            let rows = statement.query_map([], |row| {
                Ok(PairingRow {
                    account: row.get(0)?,
                    user: row.get(1)?,
                    name: row.get(2)?,
                    code: row.get(3)?,
                    principal: row.get(4)?,
                    created_at: row.get(5)?,
                })
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        });
        rows.await
    }
}

impl fmt::Debug for Pairings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pairings").finish_non_exhaustive()
    }
}

fn found(changed: usize) -> Result<(), GatewayError> {
    if changed == 0 { Err(GatewayError::NotFound { what: "pairing" }) } else { Ok(()) }
}

/// Eight letters: 40 bits, within an hour and for 64 strangers at most.
fn new_code() -> Result<String, GatewayError> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(|source| GatewayError::Io {
        what: "draw a pairing code",
        source: std::io::Error::other(source.to_string()),
    })?;
    Ok(bytes.iter().map(|byte| char::from(LETTERS[usize::from(byte % 32)])).collect())
}
