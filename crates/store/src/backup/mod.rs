//! Backup of a running store, and the description of what a backup holds.
//!
//! A backup is a folder with one compact, self-contained copy of each file and `manifest.json`, written last, with
//! a SHA-256 of each copy; a folder without manifest is not a backup. The operator's commands take backups and
//! restore them; a backup holds every tenant's data in clear, so it deserves the care of the data folder.

mod beside;
mod restore;

use std::fs::File;
use std::future::Future;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

pub use beside::backup_beside;
pub use restore::restore;

use crate::folder::{self, CONTROL_FILE, TENANTS, hex};
use crate::sqlite::{Access, Connection, make_private, open};
use crate::tenant_files::open_checked;
use crate::{Store, StoreError, StoreOptions, blocking, inspect, now_millis};

/// The name of the description in a backup folder.
pub const MANIFEST_FILE: &str = "manifest.json";

/// The format that this release writes and reads.
pub const FORMAT: u32 = 1;

/// What a backup holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupManifest {
    /// The version of this description.
    pub format: u32,
    /// When the backup began: milliseconds since the Unix epoch, UTC.
    pub created_at: i64,
    /// The copies.
    pub files: Vec<BackupFile>,
    /// Files that could not be copied. Not empty means: one or more tenants are missing from this backup.
    pub skipped: Vec<SkippedFile>,
}

/// One copy in a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupFile {
    /// Path below the backup folder, with `/`.
    pub path: String,
    /// Length in bytes.
    pub bytes: u64,
    /// SHA-256 of the content, in lower-case hexadecimal.
    pub sha256: String,
}

/// One file that a backup does not hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SkippedFile {
    /// Path below the data folder, with `/`.
    pub path: String,
    /// Why.
    pub why: String,
}

impl Store {
    /// Copies everything to `dest`, which is made or must be empty, while the store goes on working. Each file is
    /// one consistent state of its own; different tenants may be some moments apart. A file that cannot be read
    /// is skipped and named in the manifest, so that one bad file stops one tenant's backup.
    ///
    /// # Errors
    /// [`StoreError::BackupRefused`] when `dest` is not empty or lies in the data folder; those of the system. A
    /// failed or dropped backup leaves a folder without manifest, which no restore accepts.
    pub fn backup(
        &self,
        dest: &Path,
    ) -> impl Future<Output = Result<BackupManifest, StoreError>> + Send + 'static + use<> {
        let store = self.clone();
        let dest = dest.to_path_buf();
        haversack::detached(async move {
            let created_at = now_millis();
            let prepare = {
                let (store, dest) = (store.clone(), dest.clone());
                move || {
                    prepare(store.path(), &dest)?;
                    inspect::tenant_files(store.files().folder(), store.options(), false)
                }
            };
            let reports = blocking::run("prepare the backup", prepare).await?;
            let mut manifest =
                BackupManifest { format: FORMAT, created_at, files: Vec::new(), skipped: Vec::new() };

            let control = {
                let (store, dest) = (store.clone(), dest.clone());
                move || {
                    let conn = open(&store.control_path(), Access::Write, store.options())?;
                    copy_and_hash(&conn, &dest, CONTROL_FILE.to_owned())
                }
            };
            manifest.files.push(blocking::run("back up the control file", control).await?);

            for report in reports {
                let path = below_data(&report.file);
                let copied = match (report.tenant, report.problem) {
                    (Some(tenant), None) => copy_tenant(&store, &dest, tenant, path.clone()).await,
                    (_, Some(problem)) => Err(problem),
                    (None, None) => continue,
                };
                match copied {
                    Ok(file) => manifest.files.push(file),
                    // A full disk or a closed store concerns all files, so going on would only repeat it.
                    Err(
                        cause @ (StoreError::Full { .. } | StoreError::Closed | StoreError::ReadOnly { .. }),
                    ) => {
                        return Err(cause);
                    }
                    Err(cause) => manifest.skipped.push(SkippedFile { path, why: cause.to_string() }),
                }
            }
            let written = manifest.clone();
            blocking::run("write the manifest", move || write_manifest(&dest, &written)).await?;
            Ok(manifest)
        })
    }
}

/// Copies an open database into a new file `dest`: compact, without a log, on the disk when it returns. Blocks.
pub(crate) fn copy_into(conn: &Connection, dest: &Path) -> Result<(), StoreError> {
    let text = dest.to_str().ok_or_else(|| StoreError::BackupRefused {
        path: dest.to_path_buf(),
        why: "the path is not Unicode; choose another folder",
    })?;
    // Made before it is filled, so that nobody but the owner ever reads it.
    make_private(dest)?;
    conn.execute("VACUUM INTO ?1", [text]).map_err(|cause| StoreError::from(cause).located("copy", dest))?;
    // VACUUM INTO leaves the flush to us.
    File::open(dest).and_then(|file| file.sync_all()).map_err(|cause| StoreError::io(dest, cause))
}

/// Length and SHA-256 of a file.
pub(crate) fn digest(path: &Path) -> Result<(u64, String), StoreError> {
    let failed = |cause| StoreError::io(path, cause);
    let mut file = File::open(path).map_err(failed)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    let mut bytes = 0_u64;
    loop {
        let n = file.read(&mut buffer).map_err(failed)?;
        let Some(read) = buffer.get(..n).filter(|read| !read.is_empty()) else { break };
        hash.update(read);
        bytes += n as u64;
    }
    Ok((bytes, hex(hash.finalize().as_slice())))
}

async fn copy_tenant(
    store: &Store,
    dest: &Path,
    tenant: haversack::well_known::TenantId,
    path: String,
) -> Result<BackupFile, StoreError> {
    let file = store.files().get(&tenant)?;
    // As a reader of this file we keep an erasure waiting, instead of keeping deleted text in its log.
    let pass = file.may_read().await?;
    let files = Arc::clone(store.files());
    let options: StoreOptions = store.options().clone();
    let dest = dest.to_path_buf();
    blocking::run("back up a tenant file", move || {
        file.make_ready()?;
        let conn = open_checked(file.path(), &tenant, Access::Write, &options)?;
        let copied = copy_and_hash(&conn, &dest, path);
        drop(conn);
        drop(pass);
        drop(file);
        files.close_retired();
        copied
    })
    .await
}

fn copy_and_hash(conn: &Connection, dest: &Path, path: String) -> Result<BackupFile, StoreError> {
    let copy = dest.join(&path);
    copy_into(conn, &copy)?;
    let (bytes, sha256) = digest(&copy)?;
    Ok(BackupFile { path, bytes, sha256 })
}

fn prepare(data: &Path, dest: &Path) -> Result<(), StoreError> {
    let refused = |why| StoreError::BackupRefused { path: dest.to_path_buf(), why };
    let dest = folder::prepare(dest)?;
    if dest.starts_with(data) {
        return Err(refused("a backup inside the data folder would be lost with it; choose another folder"));
    }
    if std::fs::read_dir(&dest).map_err(|cause| StoreError::io(&dest, cause))?.next().is_some() {
        return Err(refused("the folder is not empty; choose a new one for each backup"));
    }
    folder::make_dir(&dest.join(TENANTS))
}

fn write_manifest(dest: &Path, manifest: &BackupManifest) -> Result<(), StoreError> {
    let half = dest.join("manifest.json.part");
    let failed = |cause| StoreError::io(&half, cause);
    let text = serde_json::to_vec_pretty(manifest).map_err(|cause| failed(cause.into()))?;
    let mut file = folder::private().create(true).truncate(true).open(&half).map_err(failed)?;
    file.write_all(&text).and_then(|()| file.sync_all()).map_err(failed)?;
    let whole = dest.join(MANIFEST_FILE);
    std::fs::rename(&half, &whole).map_err(|cause| StoreError::io(&whole, cause))
}

fn below_data(file: &Path) -> String {
    let name = file.file_name().map(PathBuf::from).unwrap_or_default();
    format!("{TENANTS}/{}", name.display())
}
