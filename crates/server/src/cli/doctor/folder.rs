//! The data folder: whether it is there, whose it is, who holds it, whether each file is sound and room is left. `doctor`
//! calls it on a thread that may block.

use std::path::Path;

use haversack_store::{FileReport, FolderReport};

use super::Check;
use crate::code::Code;
use crate::config::Store;
use crate::engine::store_options;
use crate::problem::Fault;

/// Less room than this is a finding, in bytes: SQLite needs it for a log and a backup copy of a busy tenant.
const LITTLE_ROOM: u64 = 512 * 1024 * 1024;

/// What the folder looks like.
pub(super) struct Look {
    pub(super) checks: Vec<Check>,
    /// Whether a server holds it.
    pub(super) in_use: bool,
}

pub(super) fn look(config: &Store) -> Look {
    let name = "data folder";
    let path = config.path.as_path();
    let mut checks = Vec::new();
    let metadata = match std::fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            checks.push(absent(path));
            checks.extend(room(existing_parent(path)));
            return Look { checks, in_use: false };
        }
        Err(error) => {
            let detail = format!("{} cannot be looked at: {error}", path.display());
            return Look { checks: vec![Check::finding(name, Code::DataNotWritable, detail)], in_use: false };
        }
    };
    if !metadata.is_dir() {
        let detail = format!("{} is not a folder; set `path` under [store]", path.display());
        return Look { checks: vec![Check::finding(name, Code::DataNotWritable, detail)], in_use: false };
    }
    checks.push(writable(path));
    checks.extend(private(path, &metadata));
    checks.extend(room(path));
    let in_use = match haversack_store::look(path, &store_options(config)) {
        Ok(FolderReport { in_use, by, files }) => {
            let by = by.map(|pid| format!(" by process {pid}")).unwrap_or_default();
            let held = if in_use { format!("held{by}") } else { "held by nobody".to_owned() };
            checks.push(Check::ok("lock", held));
            checks.extend(sound(files));
            in_use
        }
        Err(error) => {
            checks.push(Check::fault("data files", &Fault::from(error)));
            false
        }
    };
    Look { checks, in_use }
}

fn absent(path: &Path) -> Check {
    let name = "data folder";
    match writable(existing_parent(path)) {
        Check { ok: true, .. } => {
            Check::ok(name, format!("{} will be made at the first start", path.display()))
        }
        finding => finding,
    }
}

fn existing_parent(path: &Path) -> &Path {
    let here = Path::new(".");
    path.ancestors().skip(1).find(|above| above.is_dir()).unwrap_or(here)
}

/// Asks by writing: modes, owners, read-only mounts and quotas all end up there.
fn writable(path: &Path) -> Check {
    let name = "data folder";
    match tempfile::Builder::new().prefix(".doctor-").tempfile_in(path) {
        Ok(_) => Check::ok(name, format!("{} can be written", path.display())),
        Err(error) => {
            let detail = format!("{} cannot be written: {error}; check its owner and mode", path.display());
            Check::finding(name, Code::DataNotWritable, detail)
        }
    }
}

#[cfg(unix)]
fn private(path: &Path, metadata: &std::fs::Metadata) -> Option<Check> {
    use std::os::unix::fs::PermissionsExt;
    let mode = metadata.permissions().mode() & 0o777;
    let open = mode & 0o077 != 0;
    let path = path.display();
    Some(if open {
        let detail =
            format!("{path} has mode {mode:03o}: other users of the machine get in; chmod 700 {path}");
        Check::finding("folder rights", Code::DataNotWritable, detail)
    } else {
        Check::ok("folder rights", format!("mode {mode:03o}: only its owner gets in"))
    })
}

#[cfg(not(unix))]
fn private(_path: &Path, _metadata: &std::fs::Metadata) -> Option<Check> {
    None
}

#[cfg(unix)]
fn room(path: &Path) -> Option<Check> {
    let stat = rustix::fs::statvfs(path).ok()?;
    let free = stat.f_bavail.saturating_mul(stat.f_frsize);
    let mib = free / (1024 * 1024);
    Some(if free < LITTLE_ROOM {
        let detail = format!("{mib} MiB are left on the disk of {}; make room", path.display());
        Check::finding("disk space", Code::DiskFull, detail)
    } else {
        Check::ok("disk space", format!("{mib} MiB are left"))
    })
}

#[cfg(not(unix))]
fn room(_path: &Path) -> Option<Check> {
    None
}

/// Schema, stamp and pages of every file; the sound ones in one line.
fn sound(files: Vec<FileReport>) -> Vec<Check> {
    let all = files.len();
    let bad: Vec<Check> = files
        .into_iter()
        .filter_map(|FileReport { file, problem, .. }| {
            let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
            problem.map(|problem| Check::fault(format!("file {name}"), &Fault::from(problem)))
        })
        .collect();
    let good = Check::ok("data files", format!("{} of {all} are sound", all - bad.len()));
    std::iter::once(good).chain(bad).collect()
}
