//! The audit trail: who did what to which tenant, and when.
//!
//! Rows are added and never changed; triggers in the file refuse anything else. The operator door and the key
//! commands append; an operator lists the whole trail, and a tenant's admins list their tenant's part.

use std::future::Future;

use haversack::well_known::TENANT_ID;
use serde::Serialize;

use crate::sqlite::{Error, Row, params};
use crate::{ControlDb, StoreError};

/// One act of an operator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AuditRow {
    /// Who acted, as the operator door knows it.
    pub actor: String,
    /// What was done: a short fixed word such as `key.revoke`.
    pub action: String,
    /// The tenant that was entered or touched; none for acts on the whole installation.
    pub tenant: Option<String>,
    /// What the act was on, where it was on one thing: a key id, a folder, a session.
    pub subject: Option<String>,
    /// The role of an issued key, or the reason for which a tenant was entered.
    pub note: Option<String>,
    /// Milliseconds since the Unix epoch, UTC.
    pub at: i64,
}

/// The audit trail of an installation.
#[derive(Clone, Debug)]
pub struct Audit {
    control: ControlDb,
}

impl Audit {
    pub(super) fn new(control: ControlDb) -> Self {
        Self { control }
    }

    /// Adds a row. When the future resolves, it is committed.
    pub fn append(
        &self,
        row: AuditRow,
    ) -> impl Future<Output = Result<(), StoreError>> + Send + 'static + use<> {
        self.control.write("append to the audit trail", move |tx| {
            tx.execute(
                "INSERT INTO audit (at, actor, action, tenant, subject, note) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                params![row.at, row.actor, row.action, row.tenant, row.subject, row.note],
            )?;
            Ok(())
        })
    }

    /// The last `limit` rows, newest first.
    pub fn list(
        &self,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<AuditRow>, StoreError>> + Send + 'static + use<> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.control.read("list the audit trail", move |conn| {
            let mut statement = conn.prepare_cached(
                "SELECT actor, action, tenant, subject, at, note FROM audit ORDER BY number DESC LIMIT ?1",
            )?;
            let rows = statement.query_map([limit], audit_of_row)?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    /// The last `limit` rows about the current tenant, newest first.
    ///
    /// # Errors
    /// [`StoreError::Unbound`] where no tenant is bound; else what the file says.
    #[track_caller]
    pub fn of_tenant(
        &self,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<AuditRow>, StoreError>> + Send + 'static + use<> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let reading = TENANT_ID.get().map(|tenant| {
            self.control.read("list the audit trail of a tenant", move |conn| {
                let mut statement = conn.prepare_cached(
                    "SELECT actor, action, tenant, subject, at, note FROM audit WHERE tenant = ?1
                     ORDER BY number DESC LIMIT ?2",
                )?;
                let rows = statement.query_map(params![tenant.as_str(), limit], audit_of_row)?;
                Ok(rows.collect::<Result<_, _>>()?)
            })
        });
        async move { reading?.await }
    }
}

fn audit_of_row(row: &Row<'_>) -> Result<AuditRow, Error> {
    Ok(AuditRow {
        actor: row.get(0)?,
        action: row.get(1)?,
        tenant: row.get(2)?,
        subject: row.get(3)?,
        at: row.get(4)?,
        note: row.get(5)?,
    })
}
