//! The data folder: where each file lies, and the locks that say who may have it.
//!
//! It is modelled as a canonical path plus an advisory lock, which the system gives back when the process dies: the
//! one server holds `haversack.lock`, and processes that work beside it share `haversack.guests`. Only the store and
//! its restore make one; names of tenant files are derived here and nowhere else.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use haversack::well_known::TenantId;
use sha2::{Digest, Sha256};

use crate::StoreError;
use crate::mutex::hold;

pub(crate) const LOCK_FILE: &str = "haversack.lock";
/// Shared by the processes beside the server; whoever changes a schema needs it alone.
const GUESTS_FILE: &str = "haversack.guests";
pub(crate) const CONTROL_FILE: &str = "control.sqlite";
pub(crate) const TENANTS: &str = "tenants";

/// A data folder that this process holds, or shares as a guest.
pub(crate) struct Folder {
    root: PathBuf,
    lock: Mutex<Option<File>>,
}

impl Folder {
    /// Makes the folder where needed and takes it for this process.
    pub(crate) fn take(path: &Path) -> Result<Self, StoreError> {
        let root = prepare(path)?;
        let lock = lock(&root)?;
        make_dir(&root.join(TENANTS))?;
        Ok(Self { root, lock: Mutex::new(Some(lock)) })
    }

    /// Makes the folder where needed and shares it with the server and other guests.
    pub(crate) fn join(path: &Path) -> Result<Self, StoreError> {
        let root = prepare(path)?;
        let lock = guest(&root)?;
        make_dir(&root.join(TENANTS))?;
        Ok(Self { root, lock: Mutex::new(Some(lock)) })
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn control(&self) -> PathBuf {
        self.root.join(CONTROL_FILE)
    }

    pub(crate) fn tenants(&self) -> PathBuf {
        self.root.join(TENANTS)
    }

    /// Gives the folder back; a second call does nothing.
    pub(crate) fn release(&self) {
        drop(hold(&self.lock).take());
    }
}

/// Makes `path` (mode 0700 when it is new) and gives its canonical form.
pub(crate) fn prepare(path: &Path) -> Result<PathBuf, StoreError> {
    make_dir(path)?;
    path.canonicalize().map_err(|cause| StoreError::io(path, cause))
}

/// Makes a folder that only its owner may enter. One that exists is left as it is.
pub(crate) fn make_dir(path: &Path) -> Result<(), StoreError> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path).map_err(|cause| StoreError::io(path, cause))
}

/// Takes the lock of the data folder `root`, until the file is dropped.
pub(crate) fn lock(root: &Path) -> Result<File, StoreError> {
    let path = root.join(LOCK_FILE);
    // Failing to make the lock file is failing to write the folder, and that is what the operator must change.
    let refused = |cause| match StoreError::io(root, cause) {
        StoreError::Io { source, .. } => StoreError::Io { path: path.clone(), source },
        other => other,
    };
    let mut file = private().create(true).truncate(false).open(&path).map_err(refused)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut text = String::new();
            let by = file.read_to_string(&mut text).ok().and_then(|_| text.trim().parse().ok());
            return Err(StoreError::InUse { path: root.to_path_buf(), by });
        }
        Err(TryLockError::Error(cause)) => return Err(refused(cause)),
    }
    // The number is a courtesy to the next one who asks; the lock is what counts.
    file.set_len(0)
        .and_then(|()| file.seek(SeekFrom::Start(0)))
        .and_then(|_| file.write_all(std::process::id().to_string().as_bytes()))
        .map_err(refused)?;
    Ok(file)
}

/// Shares the data folder `root` until the file is dropped. Refused only while somebody changes its schema.
fn guest(root: &Path) -> Result<File, StoreError> {
    let file = guests_file(root)?;
    match file.try_lock_shared() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse { path: root.to_path_buf(), by: None }),
        Err(TryLockError::Error(cause)) => Err(StoreError::io(&root.join(GUESTS_FILE), cause)),
    }
}

/// Makes sure that no guest works in the data folder `root`, until the file is dropped: for changes of the schema,
/// which would come under the feet of whoever relies on it.
pub(crate) fn without_guests(root: &Path) -> Result<File, StoreError> {
    let file = guests_file(root)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse { path: root.to_path_buf(), by: None }),
        Err(TryLockError::Error(cause)) => Err(StoreError::io(&root.join(GUESTS_FILE), cause)),
    }
}

fn guests_file(root: &Path) -> Result<File, StoreError> {
    let path = root.join(GUESTS_FILE);
    let opened = private().create(true).truncate(false).open(&path);
    opened.map_err(|cause| StoreError::io(&path, cause))
}

/// Opens a file for reading and writing; one that it makes is its owner's alone.
pub(crate) fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// Who holds the data folder `root` now: nobody, or a process, with its number where it wrote one down. Makes no file
/// and gives the lock back at once.
pub(crate) fn holder(root: &Path) -> Result<Option<Option<u32>>, StoreError> {
    let path = root.join(LOCK_FILE);
    let mut file = match OpenOptions::new().read(true).write(true).open(&path) {
        Ok(file) => file,
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(cause) => return Err(StoreError::io(&path, cause)),
    };
    match file.try_lock() {
        Ok(()) => Ok(None),
        Err(TryLockError::WouldBlock) => {
            let mut text = String::new();
            Ok(Some(file.read_to_string(&mut text).ok().and_then(|_| text.trim().parse().ok())))
        }
        Err(TryLockError::Error(cause)) => Err(StoreError::io(&path, cause)),
    }
}

/// The name of a tenant's file: the id is hashed whole, so no id can be a path, a prefix or too long.
pub(crate) fn tenant_file_name(tenant: &TenantId) -> String {
    #[cfg(feature = "mutants")]
    if haversack::mutants::active(haversack::mutants::Mutant::TenantFile) {
        return name_of_digest(Sha256::digest(b"one file for all").as_slice());
    }
    name_of_digest(Sha256::digest(tenant.as_str().as_bytes()).as_slice())
}

/// Whether `name` has the form that [`tenant_file_name`] gives.
pub(crate) fn is_tenant_file_name(name: &str) -> bool {
    name.strip_suffix(".sqlite")
        .is_some_and(|hex| hex.len() == 64 && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')))
}

/// Lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes
        .iter()
        .flat_map(|byte| [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]])
        .map(char::from)
        .collect()
}

fn name_of_digest(digest: &[u8]) -> String {
    format!("{}.sqlite", hex(digest))
}
