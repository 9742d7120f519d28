//! Looking at the files as files: which tenants there are, and which files cannot be served.
//!
//! Each tenant file is opened by itself and asked for its schema version and stamp, so that a bad one is a line in
//! the report and not the end of it. The operator door (which enters each tenant before it touches data), backup
//! and doctor may ask; no data row is read here.

use std::path::{Path, PathBuf};

use haversack::well_known::TenantId;

use crate::folder::{self, CONTROL_FILE, TENANTS, is_tenant_file_name, tenant_file_name};
use crate::migrate::{CONTROL, TENANT};
use crate::sqlite::{Access, Connection, open};
use crate::tenant_files::read_stamp;
use crate::{StoreError, StoreOptions};

/// One tenant file and what is wrong with it, if anything.
#[derive(Debug)]
pub struct FileReport {
    /// The file.
    pub file: PathBuf,
    /// Whose it is, by its stamp; none when the stamp cannot be read.
    pub tenant: Option<TenantId>,
    /// Why its tenant cannot be served.
    pub problem: Option<StoreError>,
}

/// A data folder, looked at from outside.
#[derive(Debug)]
pub struct FolderReport {
    /// Whether a process holds it now.
    pub in_use: bool,
    /// That process, as it wrote itself down.
    pub by: Option<u32>,
    /// The control file, then every tenant file.
    pub files: Vec<FileReport>,
}

/// Looks at the data folder `data` and all its files, with SQLite's own check of every page, without holding it and
/// without changing a file's content. For doctor. Blocks.
///
/// # Errors
/// When the folder cannot be listed or its lock cannot be tried: a bad file is a line of the report.
pub fn look(data: &Path, options: &StoreOptions) -> Result<FolderReport, StoreError> {
    let data = data.canonicalize().map_err(|cause| StoreError::io(data, cause))?;
    let (in_use, by) = match folder::holder(&data)? {
        Some(by) => (true, by),
        None => (false, None),
    };
    let mut files = Vec::new();
    let control = data.join(CONTROL_FILE);
    if control.exists() {
        let problem = open(&control, Access::Read, options)
            .and_then(|conn| {
                CONTROL.inspect(&conn, &control)?;
                check_pages(&conn, &control)
            })
            .err();
        files.push(FileReport { file: control, tenant: None, problem });
    }
    let tenants = data.join(TENANTS);
    if tenants.is_dir() {
        files.extend(tenant_files(&tenants, options, true)?);
    }
    Ok(FolderReport { in_use, by, files })
}

/// Reports on every tenant file below `folder`, in the order of their names. Blocks.
pub(crate) fn tenant_files(
    folder: &Path,
    options: &StoreOptions,
    deep: bool,
) -> Result<Vec<FileReport>, StoreError> {
    let entries = std::fs::read_dir(folder).map_err(|cause| StoreError::io(folder, cause))?;
    let mut names = Vec::new();
    for entry in entries {
        let name = entry.map_err(|cause| StoreError::io(folder, cause))?.file_name();
        if let Some(name) = name.to_str().filter(|name| is_tenant_file_name(name)) {
            names.push(name.to_owned());
        }
    }
    names.sort();
    Ok(names.iter().map(|name| report(folder, name, options, deep)).collect())
}

fn report(folder: &Path, name: &str, options: &StoreOptions, deep: bool) -> FileReport {
    let file = folder.join(name);
    let mut tenant = None;
    let problem = look_at(&file, name, options, deep, &mut tenant).err();
    FileReport { file, tenant, problem }
}

fn look_at(
    file: &Path,
    name: &str,
    options: &StoreOptions,
    deep: bool,
    tenant: &mut Option<TenantId>,
) -> Result<(), StoreError> {
    let damaged = |what| StoreError::Corrupt { file: file.to_path_buf(), what };
    let conn = open(file, Access::Read, options)?;
    TENANT.inspect(&conn, file)?;
    let stamp = String::from_utf8(read_stamp(&conn, file)?).map_err(|_| damaged("its stamp is not text"))?;
    let id = TenantId::new(stamp).map_err(|_| damaged("its stamp is not a tenant id"))?;
    let right_name = tenant_file_name(&id) == name;
    *tenant = Some(id);
    if !right_name {
        return Err(StoreError::StampMismatch { file: file.to_path_buf() });
    }
    if deep { check_pages(&conn, file) } else { Ok(()) }
}

fn check_pages(conn: &Connection, file: &Path) -> Result<(), StoreError> {
    let verdict: String = conn
        .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
        .map_err(|cause| StoreError::from(cause).located("check", file))?;
    if verdict == "ok" {
        Ok(())
    } else {
        Err(StoreError::Corrupt { file: file.to_path_buf(), what: "SQLite's own check failed" })
    }
}
