//! API keys as they are stored: an id to look up, a hash to compare, a tenant and a principal to bind.
//!
//! A key is a row that is inserted once and may be revoked once; the secret never comes here. The HTTP door looks
//! keys up, the key commands write them, and nobody else has a reason to.

use std::fmt;
use std::future::Future;

use haversack::well_known::{Principal, TenantId};

use crate::sqlite::{
    Error, FromSql, FromSqlError, FromSqlResult, OptionalExtension, Row, Transaction, ValueRef, params,
};
use crate::{ControlDb, StoreError, now_millis};

/// The rights of a key. A key that outranks another does everything that the other does, except that an operator's opens
/// no tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyRole {
    /// Works as its principal in its tenant.
    Member,
    /// As a member; also lists, reads and deletes the sessions of everybody in its tenant.
    TenantAdmin,
    /// Sees facts and counts of the installation. It belongs to no tenant.
    Operator,
}

impl KeyRole {
    /// Every role.
    pub const ALL: [Self; 3] = [Self::Member, Self::TenantAdmin, Self::Operator];

    /// The word under which it is stored and shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Member => "member",
            Self::TenantAdmin => "tenant-admin",
            Self::Operator => "operator",
        }
    }

    /// The role of this word.
    #[must_use]
    pub fn named(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == word)
    }

    /// Returns true if a key of this role has the rights of `needed`.
    #[must_use]
    pub fn covers(self, needed: Self) -> bool {
        self == needed || (self == Self::TenantAdmin && needed == Self::Member)
    }
}

impl fmt::Display for KeyRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromSql for KeyRole {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        Self::named(value.as_str()?).ok_or(FromSqlError::InvalidType)
    }
}

/// One API key. Times are milliseconds since the Unix epoch, UTC.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyRow {
    /// The public half, by which the key is looked up.
    pub id: String,
    /// Whose data the key opens; empty for an operator's, which opens nobody's.
    pub tenant: String,
    /// Who acts.
    pub principal: String,
    /// What the operator wrote to tell keys apart.
    pub label: String,
    /// SHA-256 of the secret half.
    pub secret_hash: [u8; 32],
    /// Made by a first start without configuration; refused on a public address.
    pub demo: bool,
    /// When it was issued.
    pub created_at: i64,
    /// When it stops working by itself.
    pub expires_at: Option<i64>,
    /// When it was revoked.
    pub revoked_at: Option<i64>,
    /// The key that took its place when it was rotated. What was asked for with this one goes on under that one.
    pub replaced_by: Option<String>,
    /// The role of the key.
    pub role: KeyRole,
}

impl KeyRow {
    /// Whether the key works at `now` (milliseconds since the Unix epoch, UTC).
    #[must_use]
    pub fn is_live(&self, now: i64) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|end| now < end)
    }
}

impl fmt::Debug for KeyRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyRow")
            .field("id", &self.id)
            .field("tenant", &self.tenant)
            .field("principal", &self.principal)
            .field("role", &self.role)
            .field("revoked_at", &self.revoked_at)
            .finish_non_exhaustive()
    }
}

/// The API keys of an installation. Each call is one hop to the blocking pool; a dropped future does not stop a
/// write that runs.
#[derive(Clone, Debug)]
pub struct Keys {
    control: ControlDb,
}

const COLUMNS: &str =
    "id, tenant, principal, label, secret_hash, demo, created_at, expires_at, revoked_at, replaced_by, role";

impl Keys {
    pub(super) fn new(control: ControlDb) -> Self {
        Self { control }
    }

    /// A number that tells whether anything changed, see [`ControlDb::generation`]. It is ready at once.
    ///
    /// # Errors
    /// As [`ControlDb::generation`].
    pub fn generation(&self) -> impl Future<Output = Result<u64, StoreError>> + Send + 'static + use<> {
        std::future::ready(self.control.generation())
    }

    /// Adds a key.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`] when the id exists.
    pub fn insert(
        &self,
        key: KeyRow,
    ) -> impl Future<Output = Result<(), StoreError>> + Send + 'static + use<> {
        self.control.write("insert a key", move |tx| add(tx, &key))
    }

    /// The key with this id, also when it is revoked or expired.
    pub fn find(
        &self,
        id: &str,
    ) -> impl Future<Output = Result<Option<KeyRow>, StoreError>> + Send + 'static + use<> {
        let id = id.to_owned();
        self.control.read("find a key", move |conn| {
            let mut statement = conn.prepare_cached(&format!("SELECT {COLUMNS} FROM keys WHERE id = ?1"))?;
            Ok(statement.query_row([id], key_of_row).optional()?)
        })
    }

    /// All keys, oldest first.
    pub fn list(&self) -> impl Future<Output = Result<Vec<KeyRow>, StoreError>> + Send + 'static + use<> {
        self.control.read("list keys", |conn| {
            let mut statement =
                conn.prepare_cached(&format!("SELECT {COLUMNS} FROM keys ORDER BY created_at, id"))?;
            let rows = statement.query_map([], key_of_row)?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    /// Returns true if `principal` has a live key in `tenant` whose role covers `role`. Operators have no tenant, so the
    /// result for [`KeyRole::Operator`] is false.
    pub fn holds(
        &self,
        tenant: &TenantId,
        principal: &Principal,
        role: KeyRole,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send + 'static + use<> {
        let (tenant, principal) = (tenant.clone(), principal.clone());
        self.control.read("look up a role", move |conn| {
            let sql = format!("SELECT {COLUMNS} FROM keys WHERE tenant = ?1 AND principal = ?2");
            let mut statement = conn.prepare_cached(&sql)?;
            let rows = statement.query_map(params![tenant.as_str(), principal.as_str()], key_of_row)?;
            let (rows, now) = (rows.collect::<Result<Vec<_>, _>>()?, now_millis());
            Ok(rows.iter().any(|row| row.role.covers(role) && row.is_live(now)))
        })
    }

    /// Revokes a key at once, and with it what was asked for with it, even if it was rotated before. False when there is no
    /// such key or it was revoked before.
    pub fn revoke(
        &self,
        id: &str,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send + 'static + use<> {
        let id = id.to_owned();
        self.control.write("revoke a key", move |tx| {
            let changed = tx.execute(
                "UPDATE keys SET revoked_at = coalesce(revoked_at, ?2), replaced_by = NULL
                 WHERE id = ?1 AND (revoked_at IS NULL OR replaced_by IS NOT NULL)",
                params![id, now_millis()],
            )?;
            Ok(changed > 0)
        })
    }

    /// Ends the key `old` and adds `new`, both or neither: `old` is revoked at once, or, when `overlap_until` is a
    /// time in milliseconds since the Unix epoch, works until then or its own expiry, whichever is earlier. False,
    /// and nothing is added, when `old` is unknown or revoked.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`] when the new id exists.
    pub fn rotate(
        &self,
        old: &str,
        new: KeyRow,
        overlap_until: Option<i64>,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send + 'static + use<> {
        let old = old.to_owned();
        self.control.write("rotate a key", move |tx| {
            let ended = match overlap_until {
                Some(at) => expire(tx, &old, at)?,
                None => retire(tx, &old)?,
            };
            if !ended {
                return Ok(false);
            }
            add(tx, &new)?;
            tx.execute("UPDATE keys SET replaced_by = ?2 WHERE id = ?1", params![old, new.id])?;
            Ok(true)
        })
    }
}

fn add(tx: &Transaction<'_>, key: &KeyRow) -> Result<(), StoreError> {
    tx.execute(
        &format!("INSERT INTO keys ({COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)"),
        params![
            key.id,
            key.tenant,
            key.principal,
            key.label,
            key.secret_hash,
            key.demo,
            key.created_at,
            key.expires_at,
            key.revoked_at,
            key.replaced_by,
            key.role.as_str()
        ],
    )?;
    Ok(())
}

fn retire(tx: &Transaction<'_>, id: &str) -> Result<bool, StoreError> {
    let changed = tx.execute(
        "UPDATE keys SET revoked_at = ?2 WHERE id = ?1 AND revoked_at IS NULL",
        params![id, now_millis()],
    )?;
    Ok(changed > 0)
}

fn expire(tx: &Transaction<'_>, id: &str, at: i64) -> Result<bool, StoreError> {
    let changed = tx.execute(
        "UPDATE keys SET expires_at = min(coalesce(expires_at, ?2), ?2) WHERE id = ?1 AND revoked_at IS NULL",
        params![id, at],
    )?;
    Ok(changed > 0)
}

fn key_of_row(row: &Row<'_>) -> Result<KeyRow, Error> {
    Ok(KeyRow {
        id: row.get(0)?,
        tenant: row.get(1)?,
        principal: row.get(2)?,
        label: row.get(3)?,
        secret_hash: row.get(4)?,
        demo: row.get(5)?,
        created_at: row.get(6)?,
        expires_at: row.get(7)?,
        revoked_at: row.get(8)?,
        replaced_by: row.get(9)?,
        role: row.get(10)?,
    })
}
