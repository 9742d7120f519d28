//! The pool of open tenant files.
//!
//! It is modelled as a map from tenant to [`TenantFile`], bounded by closing the one that was used longest ago and
//! is used by nobody now. [`TenantDb`](crate::TenantDb), backup and close may ask it for a file; every other way
//! to a tenant's data is shut.

mod file;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use haversack::well_known::TenantId;

pub(crate) use file::{Pass, TenantFile, open_checked, read_stamp};

use crate::folder::tenant_file_name;
use crate::mutex::hold;
use crate::{StoreError, StoreOptions};

/// All tenant files of one store.
pub(crate) struct TenantFiles {
    folder: PathBuf,
    options: StoreOptions,
    open: Mutex<Open>,
    /// Files taken out of the map, waiting for a thread that may block to close them.
    retired: Mutex<Vec<Arc<TenantFile>>>,
}

#[derive(Default)]
struct Open {
    by_tenant: HashMap<TenantId, Used>,
    uses: u64,
    closed: bool,
}

struct Used {
    file: Arc<TenantFile>,
    last: u64,
}

impl TenantFiles {
    pub(crate) fn new(folder: PathBuf, options: StoreOptions) -> Self {
        Self { folder, options, open: Mutex::default(), retired: Mutex::default() }
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The file of `tenant`. No I/O: it is opened by the first operation on it. Holding the `Arc` keeps it open.
    pub(crate) fn get(&self, tenant: &TenantId) -> Result<Arc<TenantFile>, StoreError> {
        let mut open = hold(&self.open);
        if open.closed {
            return Err(StoreError::Closed);
        }
        open.uses += 1;
        let now = open.uses;
        if let Some(used) = open.by_tenant.get_mut(tenant) {
            used.last = now;
            return Ok(Arc::clone(&used.file));
        }
        while open.by_tenant.len() >= self.options.max_open_tenants
            && let Some(idle) = longest_idle(&open.by_tenant)
            && let Some(used) = open.by_tenant.remove(&idle)
        {
            hold(&self.retired).push(used.file);
        }
        let path = self.folder.join(tenant_file_name(tenant));
        let file = Arc::new(TenantFile::new(tenant.clone(), path, self.options.clone()));
        open.by_tenant.insert(tenant.clone(), Used { file: Arc::clone(&file), last: now });
        Ok(file)
    }

    /// Closes what was taken out of the map. Blocks; call it where blocking is allowed.
    pub(crate) fn close_retired(&self) {
        let retired = std::mem::take(&mut *hold(&self.retired));
        drop(retired);
    }

    /// Refuses all further use and gives out what was open.
    pub(crate) fn shut(&self) -> Vec<Arc<TenantFile>> {
        let mut open = hold(&self.open);
        open.closed = true;
        let mut files: Vec<_> =
            std::mem::take(&mut open.by_tenant).into_values().map(|used| used.file).collect();
        files.append(&mut hold(&self.retired));
        files
    }

    pub(crate) fn is_shut(&self) -> bool {
        hold(&self.open).closed
    }

    /// How many files the map holds.
    pub(crate) fn len(&self) -> usize {
        hold(&self.open).by_tenant.len()
    }
}

/// The tenant whose file nobody uses, for the longest time. An operation that runs or waits holds an `Arc`, and
/// new ones are given out only under the lock that the caller holds.
fn longest_idle(open: &HashMap<TenantId, Used>) -> Option<TenantId> {
    open.iter()
        .filter(|(_, used)| Arc::strong_count(&used.file) == 1)
        .min_by_key(|(_, used)| used.last)
        .map(|(tenant, _)| tenant.clone())
}
