//! How much there is of each tenant: counts, and nothing that anybody said.
//!
//! The control file is asked for jobs and runs, the tenant files for sessions and turns. Only the operator's status asks.

use std::collections::BTreeMap;
use std::future::Future;
use std::path::Path;
use std::sync::Arc;

use haversack::well_known::TenantId;

use crate::sqlite::{Access, Connection, open};
use crate::{ControlDb, Store, StoreError, StoreOptions, blocking, inspect};

/// Counts of one tenant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TenantCounts {
    /// Sessions that are stored.
    pub sessions: u64,
    /// Bytes of its file and its write-ahead log.
    pub bytes: u64,
    /// Jobs by state, as the states are called.
    pub jobs: BTreeMap<String, u64>,
    /// Pipeline runs by status.
    pub runs: BTreeMap<String, u64>,
    /// Deliveries by state.
    pub deliveries: BTreeMap<String, u64>,
}

/// By tenant.
type Counted = BTreeMap<TenantId, TenantCounts>;

impl Store {
    /// Counts what each tenant has. It opens each tenant file once, so it is meant for a person who looks, not for a probe.
    ///
    /// # Errors
    /// When the folder cannot be listed or the control file cannot be read; a tenant file that cannot be served is left
    /// out and reported in the log.
    pub fn counts(&self) -> impl Future<Output = Result<Counted, StoreError>> + Send + 'static + use<> {
        let (control, options) = (self.control().clone(), self.options().clone());
        let files = Arc::clone(self.files());
        let in_files = haversack::detached(blocking::run("count what tenants have", move || {
            of_files(files.folder(), &options)
        }));
        async move {
            let mut counted = in_files.await?;
            for (tenant, counts) in of_control(&control).await? {
                let of = counted.entry(tenant).or_default();
                (of.jobs, of.runs, of.deliveries) = (counts.jobs, counts.runs, counts.deliveries);
            }
            Ok(counted)
        }
    }
}

fn of_files(folder: &Path, options: &StoreOptions) -> Result<Counted, StoreError> {
    let mut counted = Counted::new();
    for report in inspect::tenant_files(folder, options, false)? {
        let (Some(tenant), None) = (report.tenant, report.problem) else { continue };
        let conn = open(&report.file, Access::Read, options)?;
        let sessions = conn.query_row("SELECT count(*) FROM sessions", [], |row| row.get::<_, i64>(0))?;
        let mut log = report.file.clone().into_os_string();
        log.push("-wal");
        let size = |path: &Path| std::fs::metadata(path).map_or(0, |found| found.len());
        let bytes = size(&report.file) + size(log.as_ref());
        counted.insert(
            tenant,
            TenantCounts { sessions: sessions.unsigned_abs(), bytes, ..TenantCounts::default() },
        );
    }
    Ok(counted)
}

async fn of_control(control: &ControlDb) -> Result<Counted, StoreError> {
    control
        .read("count what tenants have", |conn| {
            let mut counted = Counted::new();
            let mut add = |sql: &str, part: fn(&mut TenantCounts) -> &mut BTreeMap<String, u64>| {
                for (tenant, state, many) in groups(conn, sql)? {
                    // A row without a tenant's name is no tenant's.
                    let Ok(tenant) = TenantId::new(tenant) else { continue };
                    part(counted.entry(tenant).or_default()).insert(state, many);
                }
                Ok::<_, StoreError>(())
            };
            add("SELECT tenant, state, count(*) FROM jobs GROUP BY tenant, state", |of| &mut of.jobs)?;
            add("SELECT tenant, status, count(*) FROM pipeline_runs GROUP BY tenant, status", |of| {
                &mut of.runs
            })?;
            add("SELECT tenant, state, count(*) FROM gateway_deliveries GROUP BY tenant, state", |of| {
                &mut of.deliveries
            })?;
            Ok(counted)
        })
        .await
}

fn groups(conn: &Connection, sql: &str) -> Result<Vec<(String, String, u64)>, StoreError> {
    let mut statement = conn.prepare_cached(sql)?;
    let rows = statement
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get::<_, i64>(2)?.unsigned_abs())))?;
    Ok(rows.collect::<Result<_, _>>()?)
}
