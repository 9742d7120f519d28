//! How the children of a program are confined: said once by the program, and applied to each command.
//!
//! Landlock adds rights and takes none away, so a grant that holds something private in it would open it. [`Sandbox::new`] refuses
//! such a grant. A crate that starts a child says what is the child's own; everything else comes from the program.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::launch::ARGUMENT;
use crate::system;

/// Paths that a child may use, with everything below them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Access {
    /// May be read and executed.
    pub read: Vec<PathBuf>,
    /// May be read, executed and changed.
    pub write: Vec<PathBuf>,
}

/// Which TCP connections a child may make.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Tcp {
    /// Any, and it may listen.
    Any,
    /// To these ports, and it may not listen.
    Ports(Vec<u16>),
}

/// The resource limits of a child. Core files are never written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Open descriptors of one process.
    pub open_files: u64,
    /// Bytes of one file.
    pub file_bytes: Option<u64>,
    /// Bytes of address space of one process.
    pub memory_bytes: Option<u64>,
    /// Seconds of processor time of one process.
    pub cpu_seconds: Option<u64>,
    /// Processes and threads of the system's user, those of the program included.
    pub processes: Option<u64>,
}

impl Default for Limits {
    fn default() -> Self {
        Self { open_files: 1024, file_bytes: None, memory_bytes: None, cpu_seconds: None, processes: None }
    }
}

/// The launcher's instructions.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Policy {
    pub(crate) access: Access,
    pub(crate) tcp: Tcp,
    pub(crate) limits: Limits,
    pub(crate) required: bool,
}

/// How children are confined, for whoever starts them. Cheap to clone.
#[derive(Clone, Debug)]
pub enum Confinement {
    /// Not at all: a child may do what the program may.
    Off,
    /// By a launcher.
    By(Arc<Sandbox>),
}

/// The restrictions on every child of a program.
#[derive(Clone, Debug)]
pub struct Sandbox {
    launcher: PathBuf,
    access: Access,
    private: Vec<PathBuf>,
    limits: Limits,
    tcp: Tcp,
    required: bool,
}

/// Why a confinement cannot be made, or a command under it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfinementError {
    /// A grant would open something private.
    #[error("the grant {} holds {}, which no child may see; grant a smaller folder", grant.display(), private.display())]
    HoldsPrivate {
        /// The grant.
        grant: PathBuf,
        /// The private path, inside or above the grant.
        private: PathBuf,
    },
    /// A path that is not UTF-8 cannot be handed to the launcher.
    #[error("a path that a child needs is not UTF-8")]
    Path,
}

impl Sandbox {
    /// Children started by `launcher`, a binary that calls [`crate::launch::run`], which may use `access` besides the system
    /// and what is their own. `private` are the folders and files that no grant may hold, and that hold no grant.
    ///
    /// # Errors
    /// [`ConfinementError::HoldsPrivate`].
    pub fn new(
        launcher: impl Into<PathBuf>,
        access: Access,
        private: Vec<PathBuf>,
    ) -> Result<Self, ConfinementError> {
        let private: Vec<_> = private.iter().map(|path| real(path)).collect();
        let system = system::FOLDERS.iter().map(PathBuf::from).filter(|folder| folder.exists());
        for grant in &system.chain(access.read.iter().chain(&access.write).cloned()).collect::<Vec<_>>() {
            let real = real(grant);
            let holds = private.iter().find(|path| path.starts_with(&real) || real.starts_with(path));
            if let Some(private) = holds {
                let (grant, private) = (grant.clone(), private.clone());
                return Err(ConfinementError::HoldsPrivate { grant, private });
            }
        }
        // The launcher starts in the folder of its command, where a relative path would mean something else.
        let absolute = |paths: &[PathBuf]| paths.iter().map(|path| real(path)).collect();
        let access = Access { read: absolute(&access.read), write: absolute(&access.write) };
        let (launcher, limits) = (launcher.into(), Limits::default());
        Ok(Self { launcher, access, private, limits, tcp: Tcp::Any, required: false })
    }

    /// With these limits instead of the defaults.
    #[must_use]
    pub fn limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// With these connections instead of any.
    #[must_use]
    pub fn tcp(self, tcp: Tcp) -> Self {
        Self { tcp, ..self }
    }

    /// Starts nothing where the kernel cannot confine it. Otherwise what the kernel has is used.
    #[must_use]
    pub fn required(self) -> Self {
        Self { required: true, ..self }
    }

    /// Adds paths to every child's access, such as the prefix of an interpreter. Paths that hold something private are left
    /// out, and given back.
    #[must_use]
    pub fn also_read(mut self, paths: Vec<PathBuf>) -> (Self, Vec<PathBuf>) {
        let (held, free): (Vec<_>, Vec<_>) = paths.into_iter().partition(|path| {
            let real = real(path);
            self.private.iter().any(|private| private.starts_with(&real) || real.starts_with(private))
        });
        self.access.read.extend(free);
        (self, held)
    }
}

impl Confinement {
    /// The command that runs `program`, which may use `own` besides what every child may. Arguments, environment and folder are
    /// given to it as to any command.
    ///
    /// # Errors
    /// [`ConfinementError::Path`].
    pub fn command(&self, program: impl AsRef<OsStr>, own: Access) -> Result<Command, ConfinementError> {
        let sandbox = match self {
            Self::Off => return Ok(Command::new(program)),
            Self::By(sandbox) => sandbox,
        };
        let mut access = sandbox.access.clone();
        access.read.extend(own.read);
        access.write.extend(own.write);
        let (tcp, limits) = (sandbox.tcp.clone(), sandbox.limits.clone());
        let policy = Policy { access, tcp, limits, required: sandbox.required };
        let policy = serde_json::to_string(&policy).map_err(|_| ConfinementError::Path)?;
        let mut command = Command::new(&sandbox.launcher);
        command.arg(ARGUMENT).arg(policy).arg(program);
        Ok(command)
    }
}

/// The path as the kernel will find it; of one that does not exist yet, as much as does.
fn real(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut rest = Vec::new();
    let mut there = path.as_path();
    loop {
        if let Ok(found) = there.canonicalize() {
            return rest.iter().rev().fold(found, |whole, name| whole.join(name));
        }
        let (Some(name), Some(parent)) = (there.file_name(), there.parent()) else { return path };
        rest.push(name.to_owned());
        there = parent;
    }
}
