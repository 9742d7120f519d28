//! The operator's status: facts and counts of the installation. Names of tenants and accounts are in it, and nothing that
//! anybody said.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use haversack::well_known::TenantId;
use haversack_store::TenantCounts;
use serde::Serialize;
use utoipa::ToSchema;

use super::App;
use super::schema::Refused;
use crate::problem::Fault;

/// The installation at one moment.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Status {
    /// The program's version.
    version: &'static str,
    /// Seconds since the server started.
    uptime_s: u64,
    /// True if the server takes no new turns because it is stopping.
    draining: bool,
    /// Processes of this installation that are alive, such as `server-4711-9f2c51d8`.
    processes: Vec<String>,
    /// File descriptors that the server has open; absent where the system does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    descriptors: Option<u64>,
    /// Each tenant that has data, by its name.
    tenants: BTreeMap<String, TenantStatus>,
    /// The configured accounts of the gateway.
    accounts: Vec<AccountStatus>,
}

/// Counts of one tenant.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(super) struct TenantStatus {
    /// Stored sessions.
    sessions: u64,
    /// Bytes of its file and its write-ahead log.
    bytes: u64,
    /// Jobs by state.
    jobs: BTreeMap<String, u64>,
    /// Pipeline runs by status.
    runs: BTreeMap<String, u64>,
    /// Deliveries by state.
    deliveries: BTreeMap<String, u64>,
    /// Open sockets of the gateway.
    sockets: usize,
}

/// An account of the gateway.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AccountStatus {
    /// Its name.
    name: String,
    /// Its platform.
    platform: String,
    /// Whose it is.
    tenant: String,
}

/// Facts and counts of the installation: tenants, jobs, runs, processes, accounts and sockets. It opens the file of each tenant.
#[utoipa::path(get, path = "/v1/operator/status", tag = "operator", security(("api_key" = ["operator"])),
    responses(Refused, (status = 200, description = "The installation now.", body = Status)))]
pub(super) async fn show(State(app): State<App>) -> Result<Json<Status>, Fault> {
    let counted = app.engine.store().counts().await?;
    let mut sockets = app.engine.desk().open_sockets();
    let of = |(tenant, counts): (TenantId, TenantCounts)| {
        let TenantCounts { sessions, bytes, jobs, runs, deliveries, .. } = counts;
        let sockets = sockets.remove(&tenant).unwrap_or_default();
        (tenant.as_str().to_owned(), TenantStatus { sessions, bytes, jobs, runs, deliveries, sockets })
    };
    let mut tenants: BTreeMap<_, _> = counted.into_iter().map(of).collect();
    for (tenant, sockets) in sockets {
        tenants.insert(tenant.as_str().to_owned(), TenantStatus { sockets, ..TenantStatus::default() });
    }
    let accounts = app.engine.desk().accounts().iter().map(|account| AccountStatus {
        name: account.name.clone(),
        platform: account.platform.clone(),
        tenant: account.tenant.as_str().to_owned(),
    });
    let journal = app.engine.journal().clone();
    let local = haversack::spawn_blocking(move || (journal.alive(), descriptors()));
    let (processes, descriptors) = local.await.map_err(Fault::internal)?;
    Ok(Json(Status {
        version: env!("CARGO_PKG_VERSION"),
        uptime_s: app.started.elapsed().as_secs(),
        draining: app.engine.turns().is_draining(),
        processes,
        descriptors,
        tenants,
        accounts: accounts.collect(),
    }))
}

/// How many file descriptors this process has open.
fn descriptors() -> Option<u64> {
    let listed = std::fs::read_dir("/proc/self/fd").ok()?.count();
    // The listing itself is one of them.
    u64::try_from(listed).ok().map(|listed| listed.saturating_sub(1))
}
