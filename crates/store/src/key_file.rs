//! The key ring on disk: what seals the jobs of this installation, outside the data that it protects.
//!
//! It is modelled as one text file that only its owner may read, replaced whole at each change under an advisory lock
//! beside it, and a copy in memory that is read again when the file is another. Whoever submits or works on sealed
//! jobs holds a [`KeyFile`]; every call here is a few system calls, and only [`KeyFile::open`] and
//! [`KeyFile::rotate`] may wait for another process.

use std::ffi::OsString;
use std::fmt;
use std::fs::{self, File, Metadata, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use haversack::{Keyring, KeyringError, OpenError, SealError, SealedFor, Snapshot};
use zeroize::Zeroizing;

use crate::mutex::hold;

/// A ring of a hundred thousand keys is smaller.
const LARGEST: u64 = 16 * 1024 * 1024;
/// How long another process may hold the lock: it writes one small file.
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(20);

/// The key file of an installation. Cheap to clone.
#[derive(Clone)]
pub struct KeyFile(Arc<Inner>);

struct Inner {
    path: PathBuf,
    ring: Mutex<(Stamp, Keyring)>,
}

/// What went wrong with the key file. No text quotes what is in it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyFileError {
    /// The file would lie beside what it seals: whoever takes the data, or a backup of it, would have both.
    #[error(
        "the key file {} lies inside the data folder {}, so whoever takes the data could read what is sealed; \
         name a place outside",
        .path.display(), .data.display()
    )]
    InsideData {
        /// The key file.
        path: PathBuf,
        /// The data folder.
        data: PathBuf,
    },

    /// Others than the owner may read or write the file.
    #[error(
        "the key file {} may be used by others (mode {mode:04o}); run `chmod 600` on it, and rotate the keys if \
         somebody may have read them",
        .path.display()
    )]
    OpenToOthers {
        /// The key file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },

    /// The file was there and is gone. No new one is made in its place: it would open nothing.
    #[error("the key file {} is gone; put it back from its copy", .path.display())]
    Gone {
        /// The key file.
        path: PathBuf,
    },

    /// The file is no key ring of this release.
    #[error("the key file {} cannot be used: {source}; put it back from its copy", .path.display())]
    Unusable {
        /// The key file.
        path: PathBuf,
        /// What is wrong with it.
        source: KeyringError,
    },

    /// The path leads to a folder, a device, or a file far too large.
    #[error("{} is no key file; name a file of its own", .path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
    },

    /// Another process has held the lock for ten seconds.
    #[error("another process is changing the key file and does not come to an end: it holds {}", .lock.display())]
    Busy {
        /// The lock file.
        lock: PathBuf,
    },

    /// The system refused.
    #[error("the keys cannot be used, because of {}: {source}", .path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Sealing or opening with the key file failed.
#[derive(Debug, thiserror::Error)]
pub enum KeyUseError<E: std::error::Error + 'static> {
    /// The keys could not be had.
    #[error(transparent)]
    Keys(KeyFileError),
    /// The keys were there, and the sealing or opening failed.
    #[error(transparent)]
    Envelope(E),
}

impl KeyFile {
    /// Opens the key file at `path`, and makes it, with one fresh key, where there is none: mode 0600, in a folder of
    /// mode 0700 when that is made too. Of several processes that open it at once, one makes it.
    ///
    /// `data` is the data folder of the installation; it need not exist yet.
    ///
    /// # Errors
    /// [`KeyFileError`] when the file lies inside `data`, is open to others, is no key ring, or cannot be read or made.
    pub fn open(path: &Path, data: &Path) -> Result<Self, KeyFileError> {
        let path = resolve(path)?;
        let data = resolve(data)?;
        if path.starts_with(&data) {
            return Err(KeyFileError::InsideData { path, data });
        }
        let found = match read(&path) {
            Err(KeyFileError::Gone { .. }) => make(&path)?,
            found => found?,
        };
        Ok(Self(Arc::new(Inner { path, ring: Mutex::new(found) })))
    }

    /// Where it lies.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// The keys as they are now. Costs one look at the file's metadata, and a reading where it is another than before.
    ///
    /// # Errors
    /// [`KeyFileError`] when the file is gone, open to others, or no key ring any more. The next call looks again.
    pub fn keyring(&self) -> Result<Keyring, KeyFileError> {
        let path = self.path();
        let stamp = Stamp::of(&fs::metadata(path).map_err(|cause| failed(path, cause))?);
        let mut ring = hold(&self.0.ring);
        if ring.0 != stamp {
            *ring = read(path)?;
        }
        Ok(ring.1.clone())
    }

    /// Seals with the newest key.
    ///
    /// # Errors
    /// [`KeyUseError`]: the key file's error or the seal's.
    pub fn seal(
        &self,
        snapshot: &Snapshot,
        payload: &[u8],
        bound_to: &SealedFor<'_>,
    ) -> Result<Vec<u8>, KeyUseError<SealError>> {
        let keys = self.keyring().map_err(KeyUseError::Keys)?;
        snapshot.seal(payload, &keys, bound_to).map_err(KeyUseError::Envelope)
    }

    /// Opens what was sealed for the same receiver. A key that is not known yet is looked for in the file once more:
    /// another process may have rotated in this very moment.
    ///
    /// # Errors
    /// [`KeyUseError`]: the key file's error or the opening's.
    pub fn unseal(
        &self,
        sealed: &[u8],
        bound_to: &SealedFor<'_>,
    ) -> Result<(Snapshot, Vec<u8>), KeyUseError<OpenError>> {
        let keys = self.keyring().map_err(KeyUseError::Keys)?;
        match Snapshot::open(sealed, &keys, bound_to) {
            Err(OpenError::UnknownKey { .. }) => {
                let keys = self.read_again().map_err(KeyUseError::Keys)?;
                Snapshot::open(sealed, &keys, bound_to)
            }
            opened => opened,
        }
        .map_err(KeyUseError::Envelope)
    }

    /// Adds a fresh key, which seals from now on, in this process and in every other that has the file open. The keys
    /// before it go on opening for `overlap`; those that retired long ago are dropped, see [`Keyring::rotate`].
    ///
    /// # Errors
    /// [`KeyFileError`]; the file is then as it was.
    pub fn rotate(&self, overlap: Duration) -> Result<Keyring, KeyFileError> {
        let path = self.path();
        let _lock = lock(path)?;
        let (_, ring) = read(path)?;
        let rotated = ring.rotate(overlap).map_err(|source| unusable(path, source))?;
        replace(path, &rotated)?;
        self.read_again()
    }

    fn read_again(&self) -> Result<Keyring, KeyFileError> {
        let found = read(self.path())?;
        let mut ring = hold(&self.0.ring);
        *ring = found;
        Ok(ring.1.clone())
    }
}

impl fmt::Debug for KeyFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyFile").field("path", &self.0.path).finish_non_exhaustive()
    }
}

/// By what a file that was changed or replaced is told apart.
#[derive(Clone, PartialEq, Eq)]
struct Stamp {
    bytes: u64,
    modified: Option<SystemTime>,
    /// Inode and mode; zero where the system has none.
    inode: u64,
    mode: u32,
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        #[cfg(unix)]
        let (inode, mode) = {
            use std::os::unix::fs::MetadataExt;
            (metadata.ino(), metadata.mode())
        };
        #[cfg(not(unix))]
        let (inode, mode) = (0, 0);
        Self { bytes: metadata.len(), modified: metadata.modified().ok(), inode, mode }
    }
}

/// Reads and checks the file. What is checked is what is read: both through one handle.
fn read(path: &Path) -> Result<(Stamp, Keyring), KeyFileError> {
    let failed = |cause| failed(path, cause);
    let file = File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() || metadata.len() > LARGEST {
        return Err(KeyFileError::NotAFile { path: path.to_path_buf() });
    }
    let stamp = Stamp::of(&metadata);
    let mode = stamp.mode & 0o7777;
    if mode & 0o077 != 0 {
        return Err(KeyFileError::OpenToOthers { path: path.to_path_buf(), mode });
    }
    // Room for all from the start: a text that grows leaves copies of secrets behind.
    let room = usize::try_from(metadata.len()).unwrap_or_default() + 1;
    let mut text = Zeroizing::new(String::with_capacity(room));
    file.take(LARGEST).read_to_string(&mut text).map_err(|cause| match cause.kind() {
        io::ErrorKind::InvalidData => unusable(path, KeyringError::NotAKeyring),
        _ => failed(cause),
    })?;
    let ring = Keyring::parse(&text).map_err(|source| unusable(path, source))?;
    Ok((stamp, ring))
}

/// Makes the file with one key, unless another process was first.
fn make(path: &Path) -> Result<(Stamp, Keyring), KeyFileError> {
    if let Some(parent) = path.parent() {
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(parent).map_err(|cause| refused(parent, cause))?;
    }
    let _lock = lock(path)?;
    match read(path) {
        Err(KeyFileError::Gone { .. }) => {
            let ring = Keyring::generate().map_err(|source| unusable(path, source))?;
            replace(path, &ring)?;
            read(path)
        }
        found => found,
    }
}

/// Puts a new file in the place of the old one, in one step, and waits until it is on disk. Only under the lock.
fn replace(path: &Path, ring: &Keyring) -> Result<(), KeyFileError> {
    let new = beside(path, "new");
    let failed = |cause| refused(&new, cause);
    // One that a crash left behind.
    match fs::remove_file(&new) {
        Err(cause) if cause.kind() != io::ErrorKind::NotFound => return Err(failed(cause)),
        _ => {}
    }
    let mut file = private().write(true).create_new(true).open(&new).map_err(failed)?;
    file.write_all(ring.to_text().as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
    fs::rename(&new, path).map_err(|cause| refused(path, cause))?;
    #[cfg(unix)]
    if let Some(parent) = path.parent() {
        File::open(parent).and_then(|folder| folder.sync_all()).map_err(|cause| refused(parent, cause))?;
    }
    Ok(())
}

/// Waits for the lock of the file at `path`. It is given back when the answer is dropped, or the process dies.
fn lock(path: &Path) -> Result<File, KeyFileError> {
    let lock = beside(path, "lock");
    let open = private().read(true).write(true).create(true).truncate(false).open(&lock);
    let file = open.map_err(|cause| refused(&lock, cause))?;
    let begun = std::time::Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::Error(cause)) => return Err(refused(&lock, cause)),
            Err(TryLockError::WouldBlock) if begun.elapsed() > PATIENCE => {
                return Err(KeyFileError::Busy { lock });
            }
            Err(TryLockError::WouldBlock) => std::thread::sleep(PAUSE),
        }
    }
}

/// Options for a file that only its owner may use.
fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.file_name().map_or_else(OsString::new, OsString::from);
    name.push(".");
    name.push(ending);
    path.with_file_name(name)
}

/// The path with every link followed, also where its end does not exist yet.
fn resolve(path: &Path) -> Result<PathBuf, KeyFileError> {
    let mut whole = std::path::absolute(path).map_err(|cause| refused(path, cause))?;
    let mut missing = Vec::new();
    let found = loop {
        match whole.canonicalize() {
            Ok(found) => break found,
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => {
                let Some(last) = whole.components().next_back().map(|last| last.as_os_str().to_owned())
                else {
                    return Err(refused(path, cause));
                };
                missing.push(last);
                if !whole.pop() {
                    return Err(refused(path, cause));
                }
            }
            Err(cause) => return Err(refused(path, cause)),
        }
    };
    // What does not exist is no link, so going up from it is going to where one came from.
    let rest = missing.into_iter().rev().collect::<PathBuf>();
    Ok(rest.components().fold(found, |mut whole, part| {
        match part {
            Component::ParentDir => drop(whole.pop()),
            part => whole.push(part),
        }
        whole
    }))
}

/// The key file itself could not be had.
fn failed(path: &Path, cause: io::Error) -> KeyFileError {
    match cause.kind() {
        io::ErrorKind::NotFound => KeyFileError::Gone { path: path.to_path_buf() },
        _ => refused(path, cause),
    }
}

fn refused(path: &Path, source: io::Error) -> KeyFileError {
    KeyFileError::Io { path: path.to_path_buf(), source }
}

fn unusable(path: &Path, source: KeyringError) -> KeyFileError {
    KeyFileError::Unusable { path: path.to_path_buf(), source }
}
