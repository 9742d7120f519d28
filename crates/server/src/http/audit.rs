//! The audit trail of the caller's tenant: who entered it and why, and which of its keys were made, rotated or revoked. Only
//! tenant admins read it; reading it adds no row.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use haversack_store::AuditRow;
use serde::Serialize;
use utoipa::ToSchema;

use super::App;
use super::deliveries::{self, Asked};
use super::schema::Refused;
use crate::problem::{Fault, Problem};

/// The audit trail of a tenant, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AuditTrail {
    /// The entries.
    entries: Vec<AuditEntry>,
}

/// One act on a tenant.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AuditEntry {
    /// The actor: `operator:NAME@KEY`, `tenant-admin:NAME@KEY`, or a command with its user.
    actor: String,
    /// The action, such as `session.read`, `session.delete` or `key.revoke`.
    action: String,
    /// The session or the key that was acted on.
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<String>,
    /// An operator's reason, or the role of a key.
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
    /// Milliseconds since the Unix epoch, UTC.
    at: i64,
}

impl From<AuditRow> for AuditEntry {
    fn from(row: AuditRow) -> Self {
        let AuditRow { actor, action, subject, note, at, .. } = row;
        Self { actor, action, subject, note, at }
    }
}

/// List who entered your tenant and why, and what happened to its keys, newest first.
#[utoipa::path(get, path = "/v1/admin/audit", tag = "admin", security(("api_key" = ["tenant-admin"])),
    params(("limit" = Option<u32>, Query, minimum = 1, maximum = 500, description = "How many; 50 when absent.")),
    responses(
        Refused,
        (status = 200, description = "The newest entries.", body = AuditTrail),
        (status = 422, description = "HV0212", body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn list(
    State(app): State<App>,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Result<Json<AuditTrail>, Fault> {
    let limit = deliveries::limit(asked)?;
    let rows = app.engine.store().control().audit().of_tenant(limit).await?;
    Ok(Json(AuditTrail { entries: rows.into_iter().map(AuditEntry::from).collect() }))
}
