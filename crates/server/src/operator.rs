//! The operator door: the only code that names a tenant other than the caller's. It lists the tenants,
//! *enters* each one like any other work, and writes an audit row before anything is read. Checks and
//! maintenance over all tenants go through it.

use haversack::Visit;
use haversack::well_known::{PRINCIPAL, Principal, TENANT_ID, TRACE_CONTEXT, TenantId};
use haversack_store::{AuditRow, Store, now_millis};

use crate::boundary::OPERATOR;
use crate::problem::Fault;
use crate::telemetry::trace;

/// Somebody who runs the server, with a name for the audit.
#[derive(Debug, Clone)]
pub struct Operator {
    store: Store,
    actor: Principal,
}

impl Operator {
    /// The operator `actor` of a store.
    ///
    /// # Errors
    /// When `actor` is empty or over 4096 bytes.
    pub fn new(store: Store, actor: &str) -> Result<Self, Fault> {
        let actor = Principal::new(format!("operator:{actor}")).map_err(Fault::internal)?;
        Ok(Self { store, actor })
    }

    /// Every tenant that has a file.
    ///
    /// # Errors
    /// The store's faults.
    pub async fn tenants(&self) -> Result<Vec<TenantId>, Fault> {
        Ok(self.store.tenants().await?)
    }

    /// Enters a tenant for `action`, after the audit row is written. Without the row nobody enters.
    ///
    /// # Errors
    /// The store's faults; [`crate::code::Code::BoundaryRefused`].
    pub async fn enter(&self, tenant: &TenantId, action: &'static str) -> Result<Visit, Fault> {
        let row = AuditRow {
            actor: self.actor.as_str().to_owned(),
            action: action.to_owned(),
            tenant: Some(tenant.as_str().to_owned()),
            subject: None,
            at: now_millis(),
        };
        self.store.control().audit().append(row).await?;
        let trace = trace::mint().map_err(Fault::internal)?;
        Ok(OPERATOR.enter(|bind| {
            bind.bind(&TENANT_ID, tenant.clone())
                .bind(&PRINCIPAL, self.actor.clone())
                .bind(&TRACE_CONTEXT, trace)
        })?)
    }
}
