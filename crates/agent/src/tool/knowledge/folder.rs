//! The tenant's folder, behind a handle that cannot leave it.
//!
//! Only plain files and plain folders inside are seen: links are skipped, and the confined handle refuses
//! what a race would still turn into one. Only the index of this module's parent opens folders.

use std::io::{ErrorKind, Read};
use std::path::Path;
use std::time::SystemTime;

use cap_std::ambient_authority;
use cap_std::fs::Dir;

use crate::tool::ToolError;

const MAX_DEPTH: usize = 8;
const MAX_FILES: usize = 2_000;
const MAX_BYTES: u64 = 1024 * 1024;

/// Opens the folder of a tenant, if there is one.
pub(super) fn open(root: &Path, tenant: &str) -> Result<Option<Dir>, ToolError> {
    if !is_folder_name(tenant) {
        return Ok(None);
    }
    let root = match Dir::open_ambient_dir(root, ambient_authority()) {
        Ok(root) => root,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    // A link in the place of a tenant's folder would be another tenant's folder as easily as not.
    match root.symlink_metadata(tenant) {
        Ok(found) if found.is_dir() => Ok(Some(root.open_dir(tenant)?)),
        Ok(_) => Ok(None),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// A tenant id is an opaque key. Only one that is a single plain name, and the same name on every file
/// system, may choose a folder.
fn is_folder_name(tenant: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'_' | b'-');
    let begins = tenant.bytes().next().is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    begins && tenant.len() <= 64 && tenant.bytes().all(plain)
}

/// Reads a file of the folder; `None` when it is too large or not UTF-8.
pub(super) fn read(dir: &Dir, path: &str) -> Result<Option<String>, ToolError> {
    let mut bytes = Vec::new();
    dir.open(path)?.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Ok(None);
    }
    Ok(String::from_utf8(bytes).ok())
}

/// Names, sizes and times of the Markdown files of a folder: equal stamps mean nothing changed.
#[derive(PartialEq)]
pub(super) struct Stamp {
    files: Vec<(String, u64, Option<SystemTime>)>,
    skipped: usize,
}

impl Stamp {
    pub(super) fn of(dir: &Dir) -> Result<Self, ToolError> {
        let mut stamp = Self { files: Vec::new(), skipped: 0 };
        stamp.walk(dir, "", 0)?;
        stamp.files.sort();
        Ok(stamp)
    }

    pub(super) fn files(&self) -> impl Iterator<Item = &str> {
        self.files.iter().map(|(path, ..)| path.as_str())
    }

    pub(super) fn skipped(&self) -> usize {
        self.skipped
    }

    fn walk(&mut self, dir: &Dir, prefix: &str, depth: usize) -> Result<(), ToolError> {
        for entry in dir.entries()? {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else {
                self.skipped += 1;
                continue;
            };
            let kind = entry.file_type()?;
            if kind.is_dir() {
                if depth < MAX_DEPTH && !name.starts_with('.') {
                    self.walk(&entry.open_dir()?, &format!("{prefix}{name}/"), depth + 1)?;
                }
            } else if name.ends_with(".md") {
                let metadata = kind.is_file().then(|| entry.metadata()).transpose()?;
                match metadata.filter(|m| m.len() <= MAX_BYTES && self.files.len() < MAX_FILES) {
                    Some(metadata) => {
                        let changed = metadata.modified().ok().map(cap_std::time::SystemTime::into_std);
                        self.files.push((format!("{prefix}{name}"), metadata.len(), changed));
                    }
                    None => self.skipped += 1,
                }
            }
        }
        Ok(())
    }
}
