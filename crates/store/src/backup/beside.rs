//! Backup of a data folder that another process holds.
//!
//! SQLite lets a second process read a consistent state of each file, so a running server need not stop. The `backup`
//! command calls it when the folder is in use; a process that holds the folder itself uses
//! [`Store::backup`](crate::Store::backup).

use std::path::Path;

use super::{BackupManifest, FORMAT, SkippedFile, below_data, copy_and_hash, prepare, write_manifest};
use crate::folder::{CONTROL_FILE, TENANTS};
use crate::sqlite::{Access, open};
use crate::tenant_files::open_checked;
use crate::{StoreError, StoreOptions, inspect, now_millis};

/// Copies the data folder `data` to `dest`, as [`Store::backup`](crate::Store::backup) does, without taking the
/// folder. Blocks. While a file is copied, an erasure in the other process may answer [`StoreError::LogHeld`].
///
/// # Errors
/// [`StoreError::BackupRefused`] when `dest` is not empty or lies in `data`, or `data` holds no control file; those of
/// the system.
pub fn backup_beside(data: &Path, dest: &Path, options: &StoreOptions) -> Result<BackupManifest, StoreError> {
    let data = data.canonicalize().map_err(|cause| StoreError::io(data, cause))?;
    let control = data.join(CONTROL_FILE);
    if !control.is_file() {
        return Err(StoreError::BackupRefused {
            path: data,
            why: "there is no control file; is this a data folder?",
        });
    }
    prepare(&data, dest)?;
    let mut manifest =
        BackupManifest { format: FORMAT, created_at: now_millis(), files: Vec::new(), skipped: Vec::new() };
    let conn = open(&control, Access::Write, options)?;
    manifest.files.push(copy_and_hash(&conn, dest, CONTROL_FILE.to_owned())?);
    drop(conn);
    for report in inspect::tenant_files(&data.join(TENANTS), options, false)? {
        let path = below_data(&report.file);
        let copied = match (report.tenant, report.problem) {
            (Some(tenant), None) => open_checked(&report.file, &tenant, Access::Write, options)
                .and_then(|conn| copy_and_hash(&conn, dest, path.clone())),
            (_, Some(problem)) => Err(problem),
            (None, None) => continue,
        };
        match copied {
            Ok(file) => manifest.files.push(file),
            Err(cause @ (StoreError::Full { .. } | StoreError::ReadOnly { .. })) => return Err(cause),
            Err(cause) => manifest.skipped.push(SkippedFile { path, why: cause.to_string() }),
        }
    }
    write_manifest(dest, &manifest)?;
    Ok(manifest)
}
