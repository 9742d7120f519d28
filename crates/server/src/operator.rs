//! The operator door: the only code that names a tenant other than the caller's. It lists the tenants,
//! *enters* each one like any other work, and writes an audit row before anything is read. Checks and
//! maintenance over all tenants go through it as an [`Operator`]; a key of an operator, and that of a tenant admin in its own
//! tenant, as an [`Overseer`].

use haversack::Visit;
use haversack::well_known::{PRINCIPAL, Principal, TENANT_ID, TRACE_CONTEXT, TenantId};
use haversack_agent::history::{TENANT_WIDE, TenantWide};
use haversack_store::{AuditRow, Store, now_millis};

use crate::auth::{Caller, KeyRole, OperatorKey};
use crate::boundary::OPERATOR;
use crate::code::Code;
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
            note: None,
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

/// Somebody whose key lets them see what everybody in one tenant has. Each look is written down before it happens.
#[derive(Debug, Clone)]
pub struct Overseer {
    store: Store,
    tenant: TenantId,
    actor: Principal,
    reason: Option<String>,
}

impl Overseer {
    /// A tenant admin, in the tenant of the key.
    ///
    /// # Errors
    /// [`Code::RoleRequired`] for a key of another role.
    pub fn admin(store: Store, caller: &Caller) -> Result<Self, Fault> {
        caller.demand(KeyRole::TenantAdmin)?;
        let actor = Principal::new(format!("tenant-admin:{}@{}", caller.principal, caller.key));
        let actor = actor.map_err(Fault::internal)?;
        Ok(Self { store, tenant: caller.tenant.clone(), actor, reason: None })
    }

    /// An operator, in any tenant that has data, for a reason that the audit keeps.
    ///
    /// # Errors
    /// [`Code::TenantNotFound`]; the store's faults.
    pub fn operator(store: Store, key: &OperatorKey, tenant: &str, reason: String) -> Result<Self, Fault> {
        let unknown = || Fault::new(Code::TenantNotFound, "No tenant of this name has data here.");
        let tenant = TenantId::new(tenant).map_err(|_| unknown())?;
        if !store.has(&tenant) {
            return Err(unknown());
        }
        let actor = Principal::new(format!("operator:{}@{}", key.name, key.key)).map_err(Fault::internal)?;
        Ok(Self { store, tenant, actor, reason: Some(reason) })
    }

    /// Enters the tenant for `action` on `subject`, after the audit row is written. Inside, [`TENANT_WIDE`] is bound.
    ///
    /// # Errors
    /// The store's faults; [`Code::BoundaryRefused`].
    pub async fn enter(&self, action: &'static str, subject: Option<&str>) -> Result<Visit, Fault> {
        let row = AuditRow {
            actor: self.actor.as_str().to_owned(),
            action: action.to_owned(),
            tenant: Some(self.tenant.as_str().to_owned()),
            subject: subject.map(str::to_owned),
            note: self.reason.clone(),
            at: now_millis(),
        };
        self.store.control().audit().append(row).await?;
        let trace = trace::mint().map_err(Fault::internal)?;
        Ok(OPERATOR.enter(|bind| {
            bind.bind(&TENANT_ID, self.tenant.clone())
                .bind(&PRINCIPAL, self.actor.clone())
                .bind(&TENANT_WIDE, TenantWide::new())
                .bind(&TRACE_CONTEXT, trace)
        })?)
    }

    /// Enters the tenant as `owner`, to erase what that principal has. The entry that found the owner was written down.
    ///
    /// # Errors
    /// [`Code::BoundaryRefused`].
    pub(crate) fn on_behalf_of(&self, owner: Principal) -> Result<Visit, Fault> {
        let trace = trace::mint().map_err(Fault::internal)?;
        Ok(OPERATOR.enter(|bind| {
            bind.bind(&TENANT_ID, self.tenant.clone()).bind(&PRINCIPAL, owner).bind(&TRACE_CONTEXT, trace)
        })?)
    }
}
