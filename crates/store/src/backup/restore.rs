//! Restoring a backup into an empty data folder.
//!
//! Everything is verified before anything is written, copied into a hidden folder, verified again there, and only
//! then moved into place with the control file last. The `restore` command calls it; it refuses a folder that
//! holds data or that a server holds.

use std::fs;
use std::path::Path;

use super::{BackupFile, BackupManifest, FORMAT, MANIFEST_FILE, digest};
use crate::StoreError;
use crate::folder::{self, CONTROL_FILE, LOCK_FILE, TENANTS, is_tenant_file_name};
use crate::sqlite::make_private;

/// Where files wait until all of them are right.
const STAGING: &str = ".restoring";

/// Restores the backup at `source` into the data folder `data`, which is made or must be empty. Blocks.
///
/// Revoked keys come back as they were at the time of the backup.
///
/// # Errors
/// [`StoreError::BackupRefused`] when the backup is incomplete, altered or of another format, or `data` is not
/// empty; [`StoreError::InUse`] when a server holds `data`; those of the system. `data` is then as it was, but for
/// a lock file.
pub fn restore(source: &Path, data: &Path) -> Result<BackupManifest, StoreError> {
    let manifest = read_manifest(source)?;
    for file in &manifest.files {
        verify(source, file)?;
    }
    let root = folder::prepare(data)?;
    let lock = folder::lock(&root)?;
    refuse_data(&root)?;

    let staging = root.join(STAGING);
    let staged = stage(source, &staging, &manifest);
    let moved = staged.and_then(|()| move_in(&staging, &root));
    // On success only empty folders are left in it; on failure, half a restore that nobody should find.
    let swept = fs::remove_dir_all(&staging).map_err(|cause| StoreError::io(&staging, cause));
    moved?;
    swept?;
    drop(lock);
    Ok(manifest)
}

fn read_manifest(source: &Path) -> Result<BackupManifest, StoreError> {
    let path = source.join(MANIFEST_FILE);
    let refused = |why| StoreError::BackupRefused { path: path.clone(), why };
    let text = match fs::read(&path) {
        Ok(text) => text,
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => {
            return Err(refused("there is no manifest, so this is not a complete backup"));
        }
        Err(cause) => return Err(StoreError::io(&path, cause)),
    };
    let manifest: BackupManifest = serde_json::from_slice(&text)
        .map_err(|_| refused("the manifest cannot be read; use another backup"))?;
    if manifest.format != FORMAT {
        return Err(refused(
            "the backup has a format that this release does not know; use the newer release",
        ));
    }
    if manifest.files.iter().filter(|file| file.path == CONTROL_FILE).count() != 1 {
        return Err(refused("the manifest names no control file; use another backup"));
    }
    // Paths come from outside: only the two forms that a backup writes are accepted.
    let ours = |path: &str| {
        path == CONTROL_FILE
            || path
                .strip_prefix(TENANTS)
                .and_then(|rest| rest.strip_prefix('/'))
                .is_some_and(is_tenant_file_name)
    };
    if !manifest.files.iter().all(|file| ours(&file.path)) {
        return Err(refused("the manifest names a file that no backup writes; use another backup"));
    }
    Ok(manifest)
}

fn verify(folder: &Path, file: &BackupFile) -> Result<(), StoreError> {
    let path = folder.join(&file.path);
    let refused = |why| StoreError::BackupRefused { path: path.clone(), why };
    if !path.is_file() {
        return Err(refused("the backup lacks this file; use another backup"));
    }
    let (bytes, sha256) = digest(&path)?;
    if bytes != file.bytes || sha256 != file.sha256 {
        return Err(refused("the file is not as it was backed up; use another backup"));
    }
    Ok(())
}

fn refuse_data(root: &Path) -> Result<(), StoreError> {
    for entry in fs::read_dir(root).map_err(|cause| StoreError::io(root, cause))? {
        let name = entry.map_err(|cause| StoreError::io(root, cause))?.file_name();
        if name != LOCK_FILE && name != STAGING {
            return Err(StoreError::BackupRefused {
                path: root.to_path_buf(),
                why: "the folder is not empty; restore into a new one, then point the server at it",
            });
        }
    }
    Ok(())
}

fn stage(source: &Path, staging: &Path, manifest: &BackupManifest) -> Result<(), StoreError> {
    if staging.exists() {
        fs::remove_dir_all(staging).map_err(|cause| StoreError::io(staging, cause))?;
    }
    folder::make_dir(&staging.join(TENANTS))?;
    for file in &manifest.files {
        let copy = staging.join(&file.path);
        make_private(&copy)?;
        fill(&source.join(&file.path), &copy).map_err(|cause| StoreError::io(&copy, cause))?;
        verify(staging, file)?;
    }
    Ok(())
}

/// Copies the bytes and not the mode: a backup may have passed through a place that made it readable.
fn fill(source: &Path, dest: &Path) -> std::io::Result<()> {
    let mut to = fs::OpenOptions::new().write(true).open(dest)?;
    std::io::copy(&mut fs::File::open(source)?, &mut to)?;
    to.sync_all()
}

fn move_in(staging: &Path, root: &Path) -> Result<(), StoreError> {
    // The control file last: a folder without one was never a data folder.
    for name in [TENANTS, CONTROL_FILE] {
        let to = root.join(name);
        fs::rename(staging.join(name), &to).map_err(|cause| StoreError::io(&to, cause))?;
    }
    Ok(())
}
